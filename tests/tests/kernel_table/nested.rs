//! Packets within packets: the outer one decides, and the inner one only where nobody wants the outer.

use crate::row::{Row, SECRET, Wanted, four, not_taken, row, six, taken};
use writ_abi::{FrameFlags, ProbeCounter};
use writ_tests::cast::{BYSTANDER, CONTENT, EARLY, EXPIRED, FUTURE, HEADERS, PAST, PEN, Party, SUBJECT};
use writ_tests::reference::Entry;
use writ_tests::stack::{
    IPV4, PPP_IPV4, PPPOE, VLAN, authentication, ethernet, extension, fragment, ipv4, ipv4_with_options, ipv6, mpls,
    patched, pppoe, protocol::*, resized, tag, udp,
};

/// A datagram of 18 bytes within a packet, between bystanders unless it is said otherwise.
pub(crate) fn nested() -> Vec<Row> {
    let datagram = udp(SECRET);
    let p4 = |a: Party, b: Party| ipv4(a.v4(), b.v4(), UDP, &datagram);
    let p6 = |a: Party, b: Party| ipv6(a.v6(), b.v6(), UDP, &datagram);
    let in4 = |kind, inner: &[u8]| four(BYSTANDER, BYSTANDER, kind, inner);
    let in6 = |kind, inner: &[u8]| six(BYSTANDER, BYSTANDER, kind, inner);
    let found4 = |at: u16| taken(at..at + 38).transport(UDP, at + 20..at + 28).flag(FrameFlags::INNER);
    let found6 = |at: u16| taken(at..at + 58).transport(UDP, at + 40..at + 48).flag(FrameFlags::INNER).v6();
    let pen = |found: Wanted| found.from(&[HEADERS]).cut();
    let miss = || not_taken(ProbeCounter::Misses);
    let unread = ProbeCounter::UnknownTransport;
    let fourfold = in4(IP_IN_IP, &ipv4(PEN.v4(), BYSTANDER.v4(), IP_IN_IP, &p4(SUBJECT, BYSTANDER)));
    let options = ipv4_with_options(BYSTANDER.v4(), BYSTANDER.v4(), IP_IN_IP, &[1; 8], &p4(PEN, BYSTANDER));
    let limit = [4, 1, 4, 1, 0, 0];
    let nine =
        (0..9).fold((IP_IN_IP, p4(PEN, BYSTANDER)), |(next, inner), _| (ROUTING, extension(next, &[0; 6], &inner)));
    vec![
        row("6in4", in4(IPV6_IN_IP, &p6(PEN, BYSTANDER)), pen(found6(34))),
        row("4in4", in4(IP_IN_IP, &p4(PEN, BYSTANDER)), pen(found4(34))),
        row("4in6", in6(IP_IN_IP, &p4(PEN, BYSTANDER)), pen(found4(54))),
        row("6in6", in6(IPV6_IN_IP, &p6(PEN, BYSTANDER)), pen(found6(54))),
        row("6in4 to the subject", in4(IPV6_IN_IP, &p6(BYSTANDER, SUBJECT)), found6(34).to(&[CONTENT])),
        row("4in6 from the subject", in6(IP_IN_IP, &p4(SUBJECT, BYSTANDER)), found4(54).from(&[CONTENT])),
        row("6in4 between bystanders", in4(IPV6_IN_IP, &p6(BYSTANDER, BYSTANDER)), miss()),
        row("4in4 behind v4 options", ethernet(IPV4, &options), pen(found4(42))),
        row(
            "4in6 behind a tunnel's option, which is not the target's",
            in6(DESTINATION, &extension(IP_IN_IP, &limit, &p4(PEN, BYSTANDER))),
            pen(found4(62)),
        ),
        row(
            "6in4 behind an authentication header",
            in4(AUTHENTICATION, &authentication(IPV6_IN_IP, 12, &p6(PEN, BYSTANDER))),
            pen(found6(58)),
        ),
        row(
            "the inner packet's own options are blanked",
            in4(
                IPV6_IN_IP,
                &ipv6(PEN.v6(), BYSTANDER.v6(), DESTINATION, &extension(UDP, &[1, 4, 9, 9, 9, 9], &datagram)),
            ),
            taken(34..100).v6().flag(FrameFlags::INNER).transport(UDP, 82..90).option(76..82).from(&[HEADERS]).cut(),
        ),
        row(
            "6in4 behind a tag",
            ethernet(VLAN, &tag(7, IPV4, &in4(IPV6_IN_IP, &p6(PEN, BYSTANDER))[14..])),
            pen(found6(38)),
        ),
        row(
            "6in4 behind a label",
            ethernet(0x8847, &mpls(&[16], &in4(IPV6_IN_IP, &p6(PEN, BYSTANDER))[14..])),
            pen(found6(38)),
        ),
        row(
            "6in4 in a session",
            ethernet(PPPOE, &pppoe(PPP_IPV4, &in4(IPV6_IN_IP, &p6(PEN, BYSTANDER))[14..])),
            pen(found6(42)),
        ),
        row("padding behind the outer packet", resized(in4(IP_IN_IP, &p4(PEN, BYSTANDER)), 90), pen(found4(34))),
        row(
            "the outer packet ends before the inner says it does",
            patched(in4(IP_IN_IP, &p4(PEN, BYSTANDER)), 16, &[0, 50]),
            pen(taken(34..64).flag(FrameFlags::INNER).transport(UDP, 54..62)),
        ),
        row(
            "the inner packet ends before the outer does",
            patched(in4(IP_IN_IP, &p4(PEN, BYSTANDER)), 36, &[0, 30]),
            pen(taken(34..64).flag(FrameFlags::INNER).transport(UDP, 54..62)),
        ),
        row(
            "the outer packet ends within the inner base header",
            patched(in4(IP_IN_IP, &p4(PEN, BYSTANDER)), 16, &[0, 39]),
            miss(),
        ),
        row("the frame ends within the inner base header", resized(in4(IPV6_IN_IP, &p6(PEN, BYSTANDER)), 73), miss()),
        row(
            "the first fragment of the outer packet",
            patched(in4(IP_IN_IP, &p4(PEN, BYSTANDER)), 20, &[0x20, 0]),
            pen(found4(34)),
        ),
        row("a later fragment of the outer packet", patched(in4(IP_IN_IP, &p4(PEN, BYSTANDER)), 20, &[0, 5]), miss()),
        row(
            "a later fragment of the outer packet, v6",
            in6(FRAGMENT, &fragment(IP_IN_IP, 5, false, &p4(PEN, BYSTANDER))),
            miss(),
        ),
        row(
            "a later fragment within",
            patched(in4(IP_IN_IP, &p4(PEN, BYSTANDER)), 40, &[0, 5]),
            pen(taken(34..72).flag(FrameFlags::INNER).flag(FrameFlags::FRAGMENT).stops(UDP, 54))
                .counted(ProbeCounter::LaterFragments),
        ),
        row("v4 under the number of v6", in4(IPV6_IN_IP, &resized(p4(PEN, BYSTANDER), 60)), miss()),
        row("v6 under the number of v4", in4(IP_IN_IP, &p6(PEN, BYSTANDER)), miss()),
        row("a packet within ESP", in4(ESP, &p4(PEN, BYSTANDER)), miss()),
        row("a packet within UDP", in4(UDP, &udp(&p4(PEN, BYSTANDER))), miss()),
        row("an outer header that cannot be", patched(in4(IP_IN_IP, &p4(PEN, BYSTANDER)), 14, &[0x44]), miss()),
        row(
            "headers only of the outer packet: it is cut behind the outer header",
            four(PEN, BYSTANDER, IP_IN_IP, &p4(SUBJECT, BYSTANDER)),
            taken(14..72).stops(IP_IN_IP, 34).counted(unread).from(&[HEADERS]).cut(),
        ),
        row(
            "headers only of the outer packet, v6",
            six(BYSTANDER, PEN, IPV6_IN_IP, &p6(SUBJECT, BYSTANDER)),
            taken(14..112).v6().stops(IPV6_IN_IP, 54).counted(unread).to(&[HEADERS]).cut(),
        ),
        row(
            "content of the outer packet: the inner is part of it",
            four(SUBJECT, BYSTANDER, IPV6_IN_IP, &p6(PEN, BYSTANDER)),
            taken(14..92).stops(IPV6_IN_IP, 34).counted(unread).from(&[CONTENT]),
        ),
        row(
            "the order over the outer has ended",
            four(EXPIRED, BYSTANDER, IP_IN_IP, &p4(SUBJECT, BYSTANDER)),
            found4(34).from(&[CONTENT]).account(PAST, Entry::Expired),
        ),
        row(
            "the order over the outer has ended, and nobody's is within",
            four(EXPIRED, BYSTANDER, IP_IN_IP, &p4(BYSTANDER, BYSTANDER)),
            miss().account(PAST, Entry::Expired),
        ),
        row(
            "an order ended without, another to begin within",
            four(EXPIRED, BYSTANDER, IP_IN_IP, &p4(EARLY, BYSTANDER)),
            miss().account(PAST, Entry::Expired).account(FUTURE, Entry::Early),
        ),
        row(
            "the second of three hits: it is cut behind its own header",
            fourfold,
            pen(taken(34..92).flag(FrameFlags::INNER).stops(IP_IN_IP, 54)).counted(unread),
        ),
        row(
            "the third of three",
            in4(IP_IN_IP, &ipv4(BYSTANDER.v4(), BYSTANDER.v4(), IP_IN_IP, &p4(PEN, BYSTANDER))),
            miss().counted(ProbeCounter::InnerDepth),
        ),
        row(
            "the third of three, v6",
            in6(IPV6_IN_IP, &ipv6(BYSTANDER.v6(), BYSTANDER.v6(), IP_IN_IP, &p4(PEN, BYSTANDER))),
            miss().counted(ProbeCounter::InnerDepth),
        ),
        row("a packet behind nine extension headers", in6(nine.0, &nine.1), miss().counted(ProbeCounter::InnerDepth)),
    ]
}
