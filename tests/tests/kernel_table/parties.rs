//! Packets of all parties, plain: who wants what of whom, and when.

use crate::row::{Row, SECRET, four, not_taken, row, six, taken};
use writ_abi::ProbeCounter;
use writ_tests::cast::{
    BLOCK, BYSTANDER, CONTENT, CROWD, CROWDED, EARLY, EXPIRED, FUTURE, HALF, HALTED, HEADERS, INNER_BLOCK, LODGER,
    MIXED, NEIGHBOUR, NOWHERE, PAST, PEN, Party, RECEIVED, RECEIVER, RESIDENT, REUSED, ROOM, SENDER, SENT, STALE,
    STOPPED, SUBJECT, SUBJECT_AGAIN,
};
use writ_tests::reference::Entry;
use writ_tests::stack::{
    protocol::{TCP, UDP},
    tcp, udp,
};

/// Who wants what of whom. A segment of 10 bytes: IPv4 packet 14..64, TCP header 34..54; IPv6 14..84, 54..74.
pub(crate) fn directions() -> Vec<Row> {
    let segment = tcp(&[], SECRET);
    let v4 = |a, b| four(a, b, TCP, &segment);
    let v6 = |a, b| six(a, b, TCP, &segment);
    let t4 = || taken(14..64).transport(TCP, 34..54);
    let t6 = || taken(14..84).transport(TCP, 54..74).v6();
    vec![
        row("v4 between bystanders", v4(BYSTANDER, BYSTANDER), not_taken(ProbeCounter::Misses)),
        row("v6 between bystanders", v6(BYSTANDER, BYSTANDER), not_taken(ProbeCounter::Misses)),
        row("v4 from the subject", v4(SUBJECT, BYSTANDER), t4().from(&[CONTENT])),
        row("v4 to the subject", v4(BYSTANDER, SUBJECT), t4().to(&[CONTENT])),
        row("v6 from the subject", v6(SUBJECT, BYSTANDER), t6().from(&[CONTENT])),
        row("v6 to the subject", v6(BYSTANDER, SUBJECT), t6().to(&[CONTENT])),
        row("between two addresses of one subject", v4(SUBJECT, SUBJECT_AGAIN), t4().from(&[CONTENT]).to(&[CONTENT])),
        row("from the subject to itself", v6(SUBJECT, SUBJECT), t6().from(&[CONTENT]).to(&[CONTENT])),
        row("v4 headers only, sent", v4(PEN, BYSTANDER), t4().from(&[HEADERS]).cut()),
        row("v4 headers only, received", v4(BYSTANDER, PEN), t4().to(&[HEADERS]).cut()),
        row("v6 headers only, sent", v6(PEN, BYSTANDER), t6().from(&[HEADERS]).cut()),
        row("v6 headers only, received", v6(BYSTANDER, PEN), t6().to(&[HEADERS]).cut()),
        row("headers only to itself", v4(PEN, PEN), t4().from(&[HEADERS]).to(&[HEADERS]).cut()),
        row("headers only to a content subject", v4(PEN, SUBJECT), t4().from(&[HEADERS]).to(&[CONTENT])),
        row("content subject to headers only", v6(SUBJECT, PEN), t6().from(&[CONTENT]).to(&[HEADERS])),
        row("one address, two scopes", v4(MIXED, BYSTANDER), t4().from(&[CONTENT, HEADERS])),
        row("one address, two scopes, v6", v6(BYSTANDER, MIXED), t6().to(&[CONTENT, HEADERS])),
        row("sent, of who is watched as a sender", v4(SENDER, BYSTANDER), t4().from(&[SENT])),
        row(
            "received, of who is watched as a sender",
            v4(BYSTANDER, SENDER),
            not_taken(ProbeCounter::Misses).account(SENT, Entry::OtherDirection),
        ),
        row(
            "sent, of who is watched as a receiver",
            v6(RECEIVER, BYSTANDER),
            not_taken(ProbeCounter::Misses).account(RECEIVED, Entry::OtherDirection),
        ),
        row("received, of who is watched as a receiver", v6(BYSTANDER, RECEIVER), t6().to(&[RECEIVED]).cut()),
        row("sender to receiver", v4(SENDER, RECEIVER), t4().from(&[SENT]).to(&[RECEIVED])),
        row(
            "sender to itself: one side is wanted, so the packet is",
            v4(SENDER, SENDER),
            t4().from(&[SENT]).unwanted_to(&[SENT]),
        ),
        row("receiver to itself", v6(RECEIVER, RECEIVER), t6().unwanted_from(&[RECEIVED]).to(&[RECEIVED]).cut()),
        row(
            "eight orders over one address",
            v4(CROWD, BYSTANDER),
            t4().from(&(CROWDED..CROWDED + 8).collect::<Vec<_>>()),
        ),
        row(
            "eight orders on both sides, each matched once",
            v6(CROWD, CROWD),
            t6().from(&(CROWDED..CROWDED + 8).collect::<Vec<_>>()).to(&(CROWDED..CROWDED + 8).collect::<Vec<_>>()),
        ),
    ]
}

/// Prefixes in prefixes: each order gets the packet once, whatever the lengths.
pub(crate) fn prefixes() -> Vec<Row> {
    let segment = tcp(&[], SECRET);
    let v4 = |a, b| four(a, b, TCP, &segment);
    let v6 = |a, b| six(a, b, TCP, &segment);
    let t4 = || taken(14..64).transport(TCP, 34..54);
    let t6 = || taken(14..84).transport(TCP, 54..74).v6();
    let (first, last, before) = (Party(128), Party(255), NEIGHBOUR);
    vec![
        row("v4 from a prefix", v4(RESIDENT, BYSTANDER), t4().from(&[BLOCK]).cut()),
        row("v6 to a prefix", v6(BYSTANDER, RESIDENT), t6().to(&[BLOCK]).cut()),
        row("the first address of a prefix", v4(first, BYSTANDER), t4().from(&[BLOCK]).cut()),
        row("the last address of two prefixes", v6(last, BYSTANDER), t6().from(&[BLOCK, INNER_BLOCK])),
        row("the address before a prefix", v4(before, BYSTANDER), not_taken(ProbeCounter::Misses)),
        row("the address before a prefix, v6", v6(BYSTANDER, before), not_taken(ProbeCounter::Misses)),
        row("a prefix in a prefix", v4(LODGER, BYSTANDER), t4().from(&[BLOCK, INNER_BLOCK])),
        row("a prefix in a prefix, v6", v6(BYSTANDER, LODGER), t6().to(&[BLOCK, INNER_BLOCK])),
        row("an address in both", v4(ROOM, BYSTANDER), t4().from(&[BLOCK, INNER_BLOCK, HEADERS])),
        row("an address in both, v6", v6(BYSTANDER, ROOM), t6().to(&[BLOCK, INNER_BLOCK, HEADERS])),
        row("within a prefix", v4(RESIDENT, first), t4().from(&[BLOCK]).to(&[BLOCK]).cut()),
        row("from the one to the other", v6(LODGER, SUBJECT), t6().from(&[BLOCK, INNER_BLOCK]).to(&[CONTENT])),
    ]
}

/// Before the start, after the stop, and what is left of orders that are gone.
pub(crate) fn windows() -> Vec<Row> {
    let v4 = |a, b| four(a, b, UDP, &udp(SECRET));
    let miss = |slot, entry| not_taken(ProbeCounter::Misses).account(slot, entry);
    let t4 = || taken(14..52).transport(UDP, 34..42);
    vec![
        row("before the start, sent", v4(EARLY, BYSTANDER), miss(FUTURE, Entry::Early)),
        row("before the start, received", v4(BYSTANDER, EARLY), miss(FUTURE, Entry::Early)),
        row("before the start, both sides: once", v4(EARLY, EARLY), miss(FUTURE, Entry::Early)),
        row("after the stop", v4(EXPIRED, BYSTANDER), miss(PAST, Entry::Expired)),
        row("after the stop, both sides: once", v4(EXPIRED, EXPIRED), miss(PAST, Entry::Expired)),
        row("stopped by hand", v4(BYSTANDER, STOPPED), miss(HALTED, Entry::Expired)),
        row("the slot has another owner", v4(STALE, BYSTANDER), miss(REUSED, Entry::Stale)),
        row("the slot is outside the table", v4(NOWHERE, BYSTANDER), not_taken(ProbeCounter::Misses)),
        row(
            "one order of the address has ended",
            v4(HALF, BYSTANDER),
            t4().unwanted_from(&[PAST, CONTENT])
                .edit(|taken| taken.source_live = 2)
                .account(PAST, Entry::Expired)
                .account(CONTENT, Entry::Matched),
        ),
        row(
            "from who is early to who is past",
            v4(EARLY, EXPIRED),
            miss(FUTURE, Entry::Early).account(PAST, Entry::Expired),
        ),
        row(
            "the other side is live",
            v4(EXPIRED, SUBJECT),
            t4().unwanted_from(&[PAST]).account(PAST, Entry::Expired).to(&[CONTENT]),
        ),
        row(
            "headers only beside an ended content order",
            v4(PEN, EXPIRED),
            t4().from(&[HEADERS]).unwanted_to(&[PAST]).account(PAST, Entry::Expired).cut(),
        ),
    ]
}
