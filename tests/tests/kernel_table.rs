//! Packets as a table: what it is, the packet in, the verdict, what the FrameHeader says, the packet out. Needs root.

use std::ops::Range;
use writ_abi::{ABI_VERSION, FrameFlags, FrameHeader, ProbeCounter, SLOTS_PER_ADDRESS, SlotRef};
use writ_capture::{OnMiss, boot_now_ns};
use writ_tests::cast::{
    self, BLOCK, BYSTANDER, CONTENT, CROWD, CROWDED, EARLY, EXPIRED, FUTURE, HALF, HALTED, HEADERS, INNER_BLOCK,
    LODGER, MIXED, NEIGHBOUR, NOWHERE, PAST, PEN, Party, RECEIVED, RECEIVER, RESIDENT, REUSED, ROOM, SENDER, SENT,
    STALE, STOPPED, SUBJECT, SUBJECT_AGAIN,
};
use writ_tests::kernel::{Counts, Outcome, Trial};
use writ_tests::reference::Entry;
use writ_tests::stack::{
    IPV4, IPV6, SERVICE_VLAN, VLAN, authentication, ethernet, extension, fragment, icmp, ipv4, ipv4_with_options, ipv6,
    patched, protocol::*, resized, tag, tcp, udp,
};

/// A row: what it is, the packet in, what is to become of it.
struct Row {
    what: &'static str,
    frame: Vec<u8>,
    wanted: Wanted,
}

/// What is to become of a packet, told in the words of the standards and not in those of the reference model.
struct Wanted {
    counted: Vec<ProbeCounter>,
    accounts: Vec<(u16, Entry)>,
    taken: Option<Taken>,
}

struct Taken {
    flags: u32,
    ip: Range<u16>,
    header_end: u16,
    transport: u16,
    protocol: u8,
    source: Vec<u16>,
    source_live: u8,
    destination: Vec<u16>,
    destination_live: u8,
    blank: Vec<Range<u16>>,
}

/// Not taken, and counted for this reason.
fn not_taken(reason: ProbeCounter) -> Wanted {
    Wanted { counted: vec![reason], accounts: vec![], taken: None }
}

/// Taken: from `ip.start` to `ip.end` it is the IP packet.
fn taken(ip: Range<u16>) -> Wanted {
    let taken = Taken {
        flags: 0,
        header_end: ip.end,
        ip,
        transport: 0,
        protocol: 0,
        source: vec![],
        source_live: 0,
        destination: vec![],
        destination_live: 0,
        blank: vec![],
    };
    Wanted { counted: vec![ProbeCounter::Hits], accounts: vec![], taken: Some(taken) }
}

impl Wanted {
    fn edit(mut self, edit: impl FnOnce(&mut Taken)) -> Self {
        edit(self.taken.as_mut().expect("only a packet that is taken has a header"));
        self
    }

    /// The intercepts of the source, all wanting the packet.
    fn from(self, slots: &[u16]) -> Self {
        let wanted = self.edit(|taken| {
            taken.source = slots.to_vec();
            taken.source_live = ((1u16 << slots.len()) - 1) as u8;
        });
        slots.iter().fold(wanted, |wanted, slot| wanted.account(*slot, Entry::Matched))
    }

    /// The intercepts of the destination, all wanting the packet.
    fn to(self, slots: &[u16]) -> Self {
        let wanted = self.edit(|taken| {
            taken.destination = slots.to_vec();
            taken.destination_live = ((1u16 << slots.len()) - 1) as u8;
        });
        slots.iter().fold(wanted, |wanted, slot| wanted.account(*slot, Entry::Matched))
    }

    /// The source's intercepts, if none of them wants the packet.
    fn unwanted_from(self, slots: &[u16]) -> Self {
        self.edit(|taken| taken.source = slots.to_vec())
    }

    /// The destination's intercepts, if none of them wants the packet.
    fn unwanted_to(self, slots: &[u16]) -> Self {
        self.edit(|taken| taken.destination = slots.to_vec())
    }

    fn account(mut self, slot: u16, entry: Entry) -> Self {
        if !self.accounts.contains(&(slot, entry)) {
            self.accounts.push((slot, entry));
        }
        self
    }

    fn counted(mut self, counter: ProbeCounter) -> Self {
        self.counted.push(counter);
        self
    }

    fn flag(self, flag: u32) -> Self {
        self.edit(|taken| taken.flags |= flag)
    }

    /// A transport header from here to there.
    fn transport(self, protocol: u8, header: Range<u16>) -> Self {
        self.flag(FrameFlags::TRANSPORT).edit(|taken| {
            taken.protocol = protocol;
            taken.transport = header.start;
            taken.header_end = header.end;
        })
    }

    /// No transport header; the headers end here, and this is the protocol that follows.
    fn stops(self, protocol: u8, header_end: u16) -> Self {
        self.edit(|taken| {
            taken.protocol = protocol;
            taken.header_end = header_end;
        })
    }

    /// Option data, blanked for who may not have it.
    fn option(self, span: Range<u16>) -> Self {
        self.edit(|taken| taken.blank.push(span))
    }

    /// Nobody may have the content.
    fn cut(self) -> Self {
        self.flag(FrameFlags::CUT).counted(ProbeCounter::Cut)
    }

    fn v6(self) -> Self {
        self.flag(FrameFlags::IPV6)
    }
}

fn row(what: &'static str, frame: Vec<u8>, wanted: Wanted) -> Row {
    Row { what, frame, wanted }
}

/// Ethernet and IPv4 between two parties.
fn four(source: Party, destination: Party, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(IPV4, &ipv4(source.v4(), destination.v4(), protocol, payload))
}

/// Ethernet and IPv6 between two parties.
fn six(source: Party, destination: Party, next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(IPV6, &ipv6(source.v6(), destination.v6(), next, payload))
}

/// Ten bytes that no headers-only intercept may ever see.
const SECRET: &[u8] = b"SECRETWORD";

fn rows() -> Vec<Row> {
    [directions(), prefixes(), windows(), link_layer(), ipv4_headers(), ipv6_headers(), transports()]
        .into_iter()
        .flatten()
        .collect()
}

/// Who wants what of whom. A segment of 10 bytes: IPv4 packet 14..64, TCP header 34..54; IPv6 14..84, 54..74.
fn directions() -> Vec<Row> {
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
fn prefixes() -> Vec<Row> {
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
fn windows() -> Vec<Row> {
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

/// Ethernet and VLAN tags, and frames too short for what they announce. A datagram of 10 bytes.
fn link_layer() -> Vec<Row> {
    let packet = ipv4(SUBJECT.v4(), BYSTANDER.v4(), UDP, &udp(SECRET));
    let packet6 = ipv6(PEN.v6(), BYSTANDER.v6(), UDP, &udp(SECRET));
    let hit = |at: u16| taken(at..at + 38).transport(UDP, at + 20..at + 28).from(&[CONTENT]);
    let hit6 = |at: u16| taken(at..at + 58).transport(UDP, at + 40..at + 48).from(&[HEADERS]).v6().cut();
    let frame = ethernet(IPV4, &packet);
    let one = ethernet(VLAN, &tag(7, IPV4, &packet));
    vec![
        row("no tag", frame.clone(), hit(14)),
        row("one tag", one.clone(), hit(18)),
        row("one tag with priority and drop bits", ethernet(VLAN, &tag(0xf007, IPV4, &packet)), hit(18)),
        row("a provider's tag alone", ethernet(SERVICE_VLAN, &tag(7, IPV4, &packet)), hit(18)),
        row("two tags", ethernet(SERVICE_VLAN, &tag(1, VLAN, &tag(2, IPV4, &packet))), hit(22)),
        row("two customer's tags", ethernet(VLAN, &tag(1, VLAN, &tag(2, IPV4, &packet))), hit(22)),
        row("v6 behind one tag, cut", ethernet(VLAN, &tag(7, IPV6, &packet6)), hit6(18)),
        row("v6 behind two tags, cut", ethernet(SERVICE_VLAN, &tag(1, VLAN, &tag(2, IPV6, &packet6))), hit6(22)),
        row(
            "three tags",
            ethernet(SERVICE_VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, IPV4, &packet)))),
            not_taken(ProbeCounter::VlanDepth),
        ),
        row("ARP", ethernet(0x0806, &packet), not_taken(ProbeCounter::NotIp)),
        row("802.3 length instead of a type", ethernet(38, &packet), not_taken(ProbeCounter::NotIp)),
        row("MPLS", ethernet(0x8847, &packet), not_taken(ProbeCounter::NotIp)),
        row("a tag around ARP", ethernet(VLAN, &tag(1, 0x0806, &packet)), not_taken(ProbeCounter::NotIp)),
        row("nothing behind the Ethernet header", ethernet(IPV4, &[]), not_taken(ProbeCounter::TooShort)),
        row("ends within a tag", resized(one, 16), not_taken(ProbeCounter::TooShort)),
        row("v4 base header a byte short", resized(frame.clone(), 33), not_taken(ProbeCounter::TooShort)),
        row("v6 base header a byte short", resized(ethernet(IPV6, &packet6), 53), not_taken(ProbeCounter::TooShort)),
        row(
            "v4 base header and nothing more",
            resized(frame.clone(), 34),
            taken(14..34).stops(UDP, 34).counted(ProbeCounter::BadTransport).from(&[CONTENT]),
        ),
        row("v6 under the type of v4", ethernet(IPV4, &packet6), not_taken(ProbeCounter::BadVersion)),
        row("v4 under the type of v6", ethernet(IPV6, &resized(packet, 60)), not_taken(ProbeCounter::BadVersion)),
        row("IP version 5", patched(frame, 14, &[0x55]), not_taken(ProbeCounter::BadVersion)),
    ]
}

/// The IPv4 header behind the addresses. A datagram of 10 bytes: packet 14..52, UDP header 34..42.
fn ipv4_headers() -> Vec<Row> {
    let frame = |source| four(source, BYSTANDER, UDP, &udp(SECRET));
    let with = |source, at, bytes: &[u8]| patched(frame(source), at, bytes);
    let whole = |ip| taken(ip).transport(UDP, 34..42);
    let options =
        |n: usize| ethernet(IPV4, &ipv4_with_options(PEN.v4(), BYSTANDER.v4(), UDP, &vec![1; n], &udp(SECRET)));
    let bad = |ip| taken(ip).stops(UDP, 34).counted(ProbeCounter::BadIpHeader);
    vec![
        row("v4 options of 4 bytes stay", options(4), taken(14..56).transport(UDP, 38..46).from(&[HEADERS]).cut()),
        row("v4 options of 40 bytes stay", options(40), taken(14..92).transport(UDP, 74..82).from(&[HEADERS]).cut()),
        row("padding is outside the packet", resized(frame(SUBJECT), 60), whole(14..52).from(&[CONTENT])),
        row("padding is cut off", resized(frame(PEN), 60), whole(14..52).from(&[HEADERS]).cut()),
        row("total length longer than the frame", with(SUBJECT, 16, &[5, 0]), whole(14..52).from(&[CONTENT])),
        row("total length 0: an offloaded packet", with(SUBJECT, 16, &[0, 0]), whole(14..52).from(&[CONTENT])),
        row("total length 0, cut", with(PEN, 16, &[0, 0]), whole(14..52).from(&[HEADERS]).cut()),
        row("total length below the header", with(SUBJECT, 16, &[0, 19]), bad(14..52).from(&[CONTENT])),
        row("total length below the header, cut", with(PEN, 16, &[0, 19]), bad(14..52).from(&[HEADERS]).cut()),
        row("header length below 20, cut", with(PEN, 14, &[0x44]), bad(14..52).from(&[HEADERS]).cut()),
        row("header length past the packet, cut", with(PEN, 14, &[0x4f]), bad(14..52).from(&[HEADERS]).cut()),
        row(
            "header length past the frame, cut",
            patched(resized(frame(PEN), 40), 14, &[0x48]),
            bad(14..40).from(&[HEADERS]).cut(),
        ),
        row(
            "total length ends within the transport header, cut",
            with(PEN, 16, &[0, 27]),
            taken(14..41).stops(UDP, 34).counted(ProbeCounter::BadTransport).from(&[HEADERS]).cut(),
        ),
        row(
            "first fragment, cut",
            with(PEN, 20, &[0x20, 0]),
            whole(14..52).from(&[HEADERS]).flag(FrameFlags::FRAGMENT).cut(),
        ),
        row(
            "middle fragment, cut",
            with(PEN, 20, &[0x20, 1]),
            taken(14..52)
                .stops(UDP, 34)
                .from(&[HEADERS])
                .flag(FrameFlags::FRAGMENT)
                .counted(ProbeCounter::LaterFragments)
                .cut(),
        ),
        row(
            "fragment at half of the greatest offset, cut",
            with(PEN, 20, &[0x10, 0]),
            taken(14..52)
                .stops(UDP, 34)
                .from(&[HEADERS])
                .flag(FrameFlags::FRAGMENT)
                .counted(ProbeCounter::LaterFragments)
                .cut(),
        ),
        row(
            "last fragment, content",
            with(SUBJECT, 20, &[0x1f, 0xff]),
            taken(14..52)
                .stops(UDP, 34)
                .from(&[CONTENT])
                .flag(FrameFlags::FRAGMENT)
                .counted(ProbeCounter::LaterFragments),
        ),
        row("don't fragment is no fragment", with(PEN, 20, &[0x40, 0]), whole(14..52).from(&[HEADERS]).cut()),
    ]
}

/// IPv6 and its extension headers. The base header is 14..54.
fn ipv6_headers() -> Vec<Row> {
    let pen = |next, payload: &[u8]| six(PEN, BYSTANDER, next, payload);
    let datagram = udp(SECRET);
    let end = |frame: &Vec<u8>| frame.len() as u16;
    let hit = |frame: &Vec<u8>| taken(14..end(frame)).v6().from(&[HEADERS]).cut();
    let chain = |kinds: &[u8]| {
        let mut next = UDP;
        let mut payload = datagram.clone();
        for kind in kinds.iter().rev() {
            payload = extension(next, &[1, 4, 0x5e, 0xc1, 0xe7, 0x5e], &payload);
            next = *kind;
        }
        pen(next, &payload)
    };
    let mut rows = Vec::new();
    let mut add = |what, frame: Vec<u8>, wanted: Wanted| rows.push(row(what, frame, wanted));

    let frame = chain(&[HOP_BY_HOP]);
    let wanted = hit(&frame).transport(UDP, 62..70).option(56..62);
    add("hop-by-hop options are blanked", frame, wanted);
    let frame = chain(&[DESTINATION]);
    let wanted = hit(&frame).transport(UDP, 62..70).option(56..62);
    add("destination options are blanked", frame, wanted);
    let frame = six(SUBJECT, BYSTANDER, DESTINATION, &extension(UDP, &[1, 4, 9, 9, 9, 9], &datagram));
    let wanted = taken(14..end(&frame)).v6().from(&[CONTENT]).transport(UDP, 62..70).option(56..62);
    add("options stay for a content order, and are told", frame, wanted);
    let frame = six(MIXED, BYSTANDER, DESTINATION, &extension(UDP, &[1, 4, 9, 9, 9, 9], &datagram));
    let wanted = taken(14..end(&frame)).v6().from(&[CONTENT, HEADERS]).transport(UDP, 62..70).option(56..62);
    add("options stay where one of two orders wants content", frame, wanted);
    let frame = chain(&[HOP_BY_HOP, DESTINATION]);
    let wanted = hit(&frame).transport(UDP, 70..78).option(56..62).option(64..70);
    add("two option headers are blanked", frame, wanted);
    let frame = pen(DESTINATION, &extension(UDP, &[9; 254], &datagram));
    let wanted = hit(&frame).transport(UDP, 310..318).option(56..310);
    add("long options are blanked whole", frame, wanted);
    let frame = pen(DESTINATION, &extension(UDP, &[9; 2046], &datagram));
    let wanted = hit(&frame).transport(UDP, 2102..2110).option(56..2102);
    add("the longest options are blanked whole", frame, wanted);
    let frame = chain(&[ROUTING]);
    let wanted = hit(&frame).transport(UDP, 62..70);
    add("a routing header is walked and stays", frame, wanted);
    let frame = pen(AUTHENTICATION, &authentication(UDP, 12, &datagram));
    let wanted = hit(&frame).transport(UDP, 78..86);
    add("an authentication header is walked in its own units", frame, wanted);
    let frame = chain(&[HOP_BY_HOP, ROUTING, DESTINATION, DESTINATION]);
    let wanted = hit(&frame).transport(UDP, 86..94).option(56..62).option(72..78).option(80..86);
    add("four extension headers", frame, wanted);
    let frame = chain(&[DESTINATION; 4]);
    let wanted = hit(&frame).transport(UDP, 86..94).option(56..62).option(64..70).option(72..78).option(80..86);
    add("four option headers are blanked", frame, wanted);
    let frame = chain(&[DESTINATION; 5]);
    let wanted = hit(&frame)
        .stops(DESTINATION, 86)
        .option(56..62)
        .option(64..70)
        .option(72..78)
        .option(80..86)
        .counted(ProbeCounter::ExtensionDepth);
    add("the fifth option header is cut off", frame, wanted);
    let frame = chain(&[ROUTING; 8]);
    let wanted = hit(&frame).transport(UDP, 118..126);
    add("eight extension headers", frame, wanted);
    let frame = chain(&[ROUTING; 9]);
    let wanted = hit(&frame).stops(ROUTING, 118).counted(ProbeCounter::ExtensionDepth);
    add("the ninth extension header is cut off", frame, wanted);

    let frame = patched(chain(&[DESTINATION]), 55, &[200]);
    let wanted = hit(&frame).stops(DESTINATION, 54).counted(ProbeCounter::BadExtension);
    add("an extension header that runs past the packet is cut off", frame, wanted);
    let frame = patched(resized(chain(&[DESTINATION]), 90), 18, &[0, 4]);
    let wanted = taken(14..58).v6().from(&[HEADERS]).cut().stops(DESTINATION, 54).counted(ProbeCounter::BadExtension);
    add("an extension header that runs into the padding is cut off", frame, wanted);
    let frame = resized(chain(&[DESTINATION]), 55);
    let wanted = hit(&frame).stops(DESTINATION, 54).counted(ProbeCounter::BadExtension);
    add("a frame that ends in an extension header's first byte", frame, wanted);
    let frame = patched(chain(&[HOP_BY_HOP, DESTINATION]), 63, &[200]);
    let wanted = hit(&frame).stops(DESTINATION, 62).option(56..62).counted(ProbeCounter::BadExtension);
    add("what was read before a bad extension header stays", frame, wanted);

    let frame = pen(FRAGMENT, &fragment(UDP, 0, true, &datagram));
    let wanted = hit(&frame).transport(UDP, 62..70).flag(FrameFlags::FRAGMENT);
    add("v6 first fragment", frame, wanted);
    let frame = pen(FRAGMENT, &fragment(UDP, 3, true, &datagram));
    let wanted = hit(&frame).stops(UDP, 62).flag(FrameFlags::FRAGMENT).counted(ProbeCounter::LaterFragments);
    add("v6 middle fragment has no headers of its own", frame, wanted);
    let frame = pen(FRAGMENT, &fragment(DESTINATION, 3, false, &datagram));
    let wanted = hit(&frame).stops(DESTINATION, 62).flag(FrameFlags::FRAGMENT).counted(ProbeCounter::LaterFragments);
    add("v6 last fragment, whatever it says follows", frame, wanted);
    let frame = pen(FRAGMENT, &fragment(UDP, 0, false, &datagram));
    let wanted = hit(&frame).transport(UDP, 62..70);
    add("an atomic fragment is whole", frame, wanted);

    let frame = patched(pen(FRAGMENT, &fragment(UDP, 0, false, &datagram)), 57, &[6]);
    let wanted = hit(&frame).transport(UDP, 62..70);
    add("reserved bits make no fragment", frame, wanted);
    let frame = pen(FRAGMENT, &fragment(UDP, 0x1000, false, &datagram));
    let wanted = hit(&frame).stops(UDP, 62).flag(FrameFlags::FRAGMENT).counted(ProbeCounter::LaterFragments);
    add("v6 fragment at half of the greatest offset", frame, wanted);

    let frame = pen(NO_NEXT_HEADER, SECRET);
    let wanted = hit(&frame).stops(NO_NEXT_HEADER, 54);
    add("no next header: what follows is content", frame, wanted);
    let frame = resized(pen(NO_NEXT_HEADER, &[]), 60);
    let wanted = taken(14..54).v6().from(&[HEADERS]).cut().stops(NO_NEXT_HEADER, 54);
    add("no next header and padding", frame, wanted);
    let frame = patched(pen(UDP, &datagram), 18, &[0, 0]);
    let wanted = hit(&frame).transport(UDP, 54..62);
    add("payload length 0: an offloaded packet", frame, wanted);
    let frame = resized(pen(UDP, &datagram), 90);
    let wanted = taken(14..72).v6().from(&[HEADERS]).cut().transport(UDP, 54..62);
    add("v6 padding is cut off", frame, wanted);
    let frame = patched(pen(UDP, &datagram), 18, &[0x20, 0]);
    let wanted = hit(&frame).transport(UDP, 54..62);
    add("v6 payload length longer than the frame", frame, wanted);
    rows
}

/// Transport headers, and what has none. IPv4 behind Ethernet: they begin at 34.
fn transports() -> Vec<Row> {
    let pen = |protocol, payload: &[u8]| four(PEN, BYSTANDER, protocol, payload);
    let pen6 = |next, payload: &[u8]| six(PEN, BYSTANDER, next, payload);
    let quoted = ipv4(BYSTANDER.v4(), PEN.v4(), UDP, &udp(SECRET));
    let hit = |frame: &Vec<u8>| taken(14..frame.len() as u16).from(&[HEADERS]).cut();
    let mut rows = Vec::new();
    let mut known = |what, protocol, frame: Vec<u8>, header: Range<u16>| {
        let wanted = hit(&frame).transport(protocol, header);
        rows.push(row(what, frame, wanted));
    };
    known("TCP with 40 bytes of options", TCP, pen(TCP, &tcp(&[1; 40], SECRET)), 34..94);
    known("TCP without data", TCP, pen(TCP, &tcp(&[], &[])), 34..54);
    known("a large segment", TCP, pen(TCP, &tcp(&[1; 12], &[0x5e; 1400])), 34..66);
    known("UDP without data", UDP, pen(UDP, &udp(&[])), 34..42);
    known("DNS is content", UDP, pen(UDP, &udp(&[0x13; 40])), 34..42);
    known("an ICMP echo's data is content", ICMP, pen(ICMP, &icmp(8, 0, SECRET)), 34..42);
    known("an ICMP error loses its quotation", ICMP, pen(ICMP, &icmp(3, 3, &quoted)), 34..42);
    known("an ICMP redirect's quotation too", ICMP, pen(ICMP, &icmp(5, 1, &quoted)), 34..42);

    let mut known = |what, protocol, frame: Vec<u8>, header: Range<u16>| {
        let wanted = hit(&frame).transport(protocol, header).v6();
        rows.push(row(what, frame, wanted));
    };
    known("v6 TCP with options", TCP, pen6(TCP, &tcp(&[1; 20], SECRET)), 54..94);
    known("an ICMPv6 echo's data is content", ICMPV6, pen6(ICMPV6, &icmp(128, 0, SECRET)), 54..62);
    known("an ICMPv6 error loses its quotation", ICMPV6, pen6(ICMPV6, &icmp(1, 4, SECRET)), 54..62);

    let mut unread = |what, protocol, frame: Vec<u8>, reason| {
        let wanted = hit(&frame).stops(protocol, 34).counted(reason);
        rows.push(row(what, frame, wanted));
    };
    let (unknown, bad) = (ProbeCounter::UnknownTransport, ProbeCounter::BadTransport);
    unread("ESP", ESP, pen(ESP, SECRET), unknown);
    unread("GRE", GRE, pen(GRE, SECRET), unknown);
    unread("IP in IP", IP_IN_IP, pen(IP_IN_IP, &quoted), unknown);
    unread("SCTP", SCTP, pen(SCTP, SECRET), unknown);
    unread("a protocol that does not exist", 253, pen(253, SECRET), unknown);
    unread("ICMPv6 in IPv4", ICMPV6, pen(ICMPV6, &icmp(128, 0, SECRET)), unknown);
    unread("TCP header shorter than 20", TCP, patched(pen(TCP, &tcp(&[], SECRET)), 46, &[0x40]), bad);
    unread("TCP header longer than the packet", TCP, patched(pen(TCP, &tcp(&[], SECRET)), 46, &[0xf0]), bad);
    unread("TCP header ends with the frame a byte short", TCP, resized(pen(TCP, &tcp(&[], SECRET)), 53), bad);
    unread("TCP without its length", TCP, pen(TCP, &[0; 12]), bad);
    unread("UDP header a byte short", UDP, pen(UDP, &[0; 7]), bad);
    unread("ICMP header a byte short", ICMP, pen(ICMP, &[0; 7]), bad);
    unread("TCP and nothing behind IP", TCP, pen(TCP, &[]), bad);

    let frame = pen6(ICMP, &icmp(8, 0, SECRET));
    let wanted = hit(&frame).v6().stops(ICMP, 54).counted(unknown);
    rows.push(row("ICMP of IPv4 in IPv6", frame, wanted));
    rows
}

#[test]
fn every_packet_meets_its_fate() {
    let mut trial = Trial::load(&cast::world());
    let mut expected = Counts::zero();
    let mut number = 0;
    let rows = rows();
    assert!(rows.len() >= 80, "{} rows", rows.len());
    for on_miss in [OnMiss::Drop, OnMiss::Pass] {
        for Row { what, frame, wanted } in &rows {
            let from = boot_now_ns();
            let outcome = trial.run(on_miss, frame);
            let to = boot_now_ns();
            match (&wanted.taken, outcome, on_miss) {
                (None, Outcome::Dropped, OnMiss::Drop) | (None, Outcome::Passed, OnMiss::Pass) => {}
                (Some(taken), Outcome::HandedOver(header, out), _) => {
                    assert!((from..=to).contains(&header.time_ns), "{what}: time");
                    assert_eq!(*header, taken.header(frame.len(), header.time_ns, number), "{what}: header");
                    assert_eq!(out, taken.bytes(frame), "{what}: bytes");
                    if taken.flags & FrameFlags::CUT != 0 {
                        assert!(!out.windows(SECRET.len()).any(|window| window == SECRET), "{what}: content leaked");
                    }
                    number += 1;
                }
                (_, outcome, _) => panic!("{what}: {outcome:?}"),
            }
            expected.add_frame(&wanted.counted, frame.len());
            for (slot, entry) in &wanted.accounts {
                expected.add_entry(*slot, *entry, frame.len());
            }
            assert_eq!(trial.counts(), expected, "{what}: counters");
        }
    }
}

impl Taken {
    fn header(&self, length: usize, time_ns: u64, number: u64) -> FrameHeader {
        let side = |slots: &[u16]| -> [SlotRef; SLOTS_PER_ADDRESS] {
            std::array::from_fn(|i| slots.get(i).map_or(SlotRef::NONE, |slot| cast::reference(*slot)))
        };
        FrameHeader {
            abi: ABI_VERSION,
            flags: self.flags,
            time_ns,
            number,
            wire_length: length as u32,
            ifindex: 1,
            ip_offset: self.ip.start,
            ip_end: self.ip.end,
            header_end: self.header_end,
            transport_offset: self.transport,
            protocol: self.protocol,
            source_live: self.source_live,
            destination_live: self.destination_live,
            reserved: 0,
            queue: 0,
            source: side(&self.source),
            destination: side(&self.destination),
            options: std::array::from_fn(|i| {
                let span = self.blank.get(i).cloned().unwrap_or(0..0);
                writ_abi::OptionSpan { offset: span.start, length: span.end - span.start }
            }),
        }
    }

    fn bytes(&self, frame: &[u8]) -> Vec<u8> {
        let mut bytes = frame.to_vec();
        if self.flags & FrameFlags::CUT != 0 {
            for span in &self.blank {
                bytes[usize::from(span.start)..usize::from(span.end)].fill(0);
            }
            bytes.truncate(self.header_end.into());
        }
        bytes
    }
}
