//! IPv4 and IPv6 headers, and what can stand behind them before the transport header.

use crate::row::{Row, SECRET, Wanted, four, row, six, taken};
use writ_abi::{FrameFlags, ProbeCounter};
use writ_tests::cast::{BYSTANDER, CONTENT, HEADERS, MIXED, PEN, SUBJECT};
use writ_tests::stack::{
    IPV4, authentication, ethernet, extension, fragment, ipv4_with_options, patched, protocol::*, resized, udp,
};

/// The IPv4 header behind the addresses. A datagram of 10 bytes: packet 14..52, UDP header 34..42.
pub(crate) fn ipv4_headers() -> Vec<Row> {
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
        row(
            "an authentication header over v4",
            four(PEN, BYSTANDER, AUTHENTICATION, &authentication(UDP, 12, &udp(SECRET))),
            taken(14..76).transport(UDP, 58..66).from(&[HEADERS]).cut(),
        ),
        row(
            "two authentication headers over v4",
            four(
                PEN,
                BYSTANDER,
                AUTHENTICATION,
                &authentication(AUTHENTICATION, 0, &authentication(UDP, 12, &udp(SECRET))),
            ),
            taken(14..88).transport(UDP, 70..78).from(&[HEADERS]).cut(),
        ),
        row(
            "an authentication header that runs past the v4 packet",
            four(PEN, BYSTANDER, AUTHENTICATION, &patched(authentication(UDP, 12, &udp(SECRET)), 1, &[30])),
            taken(14..76).stops(AUTHENTICATION, 34).counted(ProbeCounter::BadExtension).from(&[HEADERS]).cut(),
        ),
        row(
            "an authentication header in a later fragment is content",
            patched(four(PEN, BYSTANDER, AUTHENTICATION, &authentication(UDP, 12, &udp(SECRET))), 20, &[0, 9]),
            taken(14..76)
                .stops(AUTHENTICATION, 34)
                .flag(FrameFlags::FRAGMENT)
                .counted(ProbeCounter::LaterFragments)
                .from(&[HEADERS])
                .cut(),
        ),
        row(
            "ESP behind an authentication header",
            four(PEN, BYSTANDER, AUTHENTICATION, &authentication(ESP, 12, SECRET)),
            taken(14..68).stops(ESP, 58).counted(ProbeCounter::UnknownTransport).from(&[HEADERS]).cut(),
        ),
        row("don't fragment is no fragment", with(PEN, 20, &[0x40, 0]), whole(14..52).from(&[HEADERS]).cut()),
    ]
}

/// IPv6 and its extension headers. The base header is 14..54.
pub(crate) fn ipv6_headers() -> Vec<Row> {
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

    for (what, kind) in [
        ("a mobility header is walked and blanked", MOBILITY),
        ("a host identity header is walked and blanked", HOST_IDENTITY),
        ("a shim6 header is walked and blanked", SHIM6),
    ] {
        let frame = chain(&[kind]);
        let wanted = hit(&frame).transport(UDP, 62..70).option(56..62);
        add(what, frame, wanted);
    }
    let frame = chain(&[MOBILITY, HOST_IDENTITY, SHIM6, HOP_BY_HOP, DESTINATION]);
    let wanted = hit(&frame)
        .stops(DESTINATION, 86)
        .option(56..62)
        .option(64..70)
        .option(72..78)
        .option(80..86)
        .counted(ProbeCounter::ExtensionDepth);
    add("the fifth header to be blanked is cut off, whatever its kind", frame, wanted);
    let frame = pen(MOBILITY, &extension(NO_NEXT_HEADER, SECRET, &[]));
    let wanted = hit(&frame).stops(NO_NEXT_HEADER, 70).option(56..70);
    add("a mobility message and nothing behind it", frame, wanted);
    let frame = pen(HOP_BY_HOP, &extension(ESP, &[1, 4, 0, 0, 0, 0], SECRET));
    let wanted = hit(&frame).stops(ESP, 62).option(56..62).counted(ProbeCounter::UnknownTransport);
    add("ESP ends the extension headers", frame, wanted);

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
