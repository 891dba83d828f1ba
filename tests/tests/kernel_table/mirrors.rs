//! Frames that a mirror sends in a tunnel, on a port that is set up for that tunnel.

use crate::row::{Row, SECRET, Wanted, four, not_taken, row, six, taken};
use writ_abi::{FrameFlags, FrameHeader, ProbeCounter};
use writ_capture::Tunnel;
use writ_tests::cast::{BYSTANDER, CONTENT, HEADERS, PEN, Party, SUBJECT};
use writ_tests::stack::{
    BRIDGED, ERSPAN, IPV4, IPV6, MPLS, PPP_IPV4, PPPOE, SERVICE_VLAN, VLAN, control_word, erspan_i, erspan_ii,
    erspan_iii, ethernet, fragment, gre, ipv4, ipv4_with_options, ipv6, mpls, patched, pppoe, protocol::*, resized,
    snap, tag, tzsp, udp, vxlan,
};

/// From the mirror to the probe. The outer IPv4 header is 14..34.
fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    four(BYSTANDER, BYSTANDER, protocol, payload)
}

/// A datagram of 18 bytes in IPv4.
fn datagram(source: Party, destination: Party) -> Vec<u8> {
    ipv4(source.v4(), destination.v4(), UDP, &udp(SECRET))
}

fn pen() -> Vec<u8> {
    ethernet(IPV4, &datagram(PEN, BYSTANDER))
}

/// The packet of [`pen`], if it begins at `at`.
fn hit(at: u16) -> Wanted {
    whole(at).from(&[HEADERS]).cut()
}

/// A datagram directly behind the MAC addresses and the type.
fn whole(at: u16) -> Wanted {
    taken(at..at + 38).link(at - 14).transport(UDP, at + 20..at + 28).flag(FrameFlags::MIRRORED)
}

fn no_tunnel() -> Wanted {
    not_taken(ProbeCounter::NotTunnel)
}

/// Of all four kinds.
pub(crate) fn mirrors() -> Vec<Row> {
    [
        (Tunnel::Gre, over_gre()),
        (Tunnel::Erspan, over_erspan()),
        (Tunnel::Vxlan, over_vxlan()),
        (Tunnel::Tzsp, over_tzsp()),
    ]
    .into_iter()
    .flat_map(|(tunnel, rows)| rows.into_iter().map(move |row| Row { tunnel, ..row }))
    .collect()
}

fn over_gre() -> Vec<Row> {
    let frame = pen();
    let bridged = |optional, frame: &[u8]| outer(GRE, &gre(optional, BRIDGED, frame));
    let packet6 = ipv6(PEN.v6(), BYSTANDER.v6(), UDP, &udp(SECRET));
    let in_mpls = ethernet(MPLS, &mpls(&[16, 17], &control_word(1, &frame)));
    let in_vlan = ethernet(SERVICE_VLAN, &tag(1, VLAN, &tag(2, IPV4, &frame[14..])));
    let in_session = ethernet(PPPOE, &pppoe(PPP_IPV4, &frame[14..]));
    let nested = ethernet(IPV4, &ipv4(BYSTANDER.v4(), BYSTANDER.v4(), IP_IN_IP, &frame[14..]));
    vec![
        row("GRE", bridged(0, &frame), hit(52)),
        row("GRE with a checksum", bridged(0x80, &frame), hit(56)),
        row("GRE with a key", bridged(0x20, &frame), hit(56)),
        row("GRE with a sequence number", bridged(0x10, &frame), hit(56)),
        row("GRE with all three", bridged(0xb0, &frame), hit(64)),
        row(
            "GRE with IPv4 and no Ethernet",
            outer(GRE, &gre(0, IPV4, &frame[14..])),
            hit(38).link(FrameHeader::NO_LINK),
        ),
        row(
            "GRE with IPv6 and no Ethernet",
            outer(GRE, &gre(0x20, IPV6, &packet6)),
            taken(42..100)
                .link(FrameHeader::NO_LINK)
                .v6()
                .transport(UDP, 82..90)
                .flag(FrameFlags::MIRRORED)
                .from(&[HEADERS])
                .cut(),
        ),
        row("GRE over v6", six(BYSTANDER, BYSTANDER, GRE, &gre(0, BRIDGED, &frame)), hit(72)),
        row(
            "GRE behind three tags",
            ethernet(VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, IPV4, &bridged(0, &frame)[14..])))),
            hit(64),
        ),
        row(
            "GRE behind v4 options",
            ethernet(IPV4, &ipv4_with_options(BYSTANDER.v4(), BYSTANDER.v4(), GRE, &[1; 40], &gre(0, BRIDGED, &frame))),
            hit(92),
        ),
        row("tags within GRE", bridged(0, &in_vlan), hit(60).link(38)),
        row("labels within GRE", bridged(0, &in_mpls), hit(78)),
        row("a session within GRE", bridged(0, &in_session), hit(60).link(38)),
        row("4in4 within GRE", bridged(0, &nested), hit(72).link(38).flag(FrameFlags::INNER)),
        row(
            "content of a mirrored frame",
            bridged(0, &ethernet(IPV4, &datagram(SUBJECT, BYSTANDER))),
            whole(52).from(&[CONTENT]),
        ),
        row(
            "a mirrored bystander",
            bridged(0, &ethernet(IPV4, &datagram(BYSTANDER, BYSTANDER))),
            not_taken(ProbeCounter::Misses),
        ),
        row("mirrored ARP", bridged(0, &ethernet(0x0806, &frame[14..])), not_taken(ProbeCounter::NotIp)),
        row("a mirrored frame of 10 bytes", bridged(0, &frame[..10]), not_taken(ProbeCounter::TooShort)),
        row(
            "the mirror's own addresses do not count",
            four(PEN, SUBJECT, GRE, &gre(0, BRIDGED, &ethernet(IPV4, &datagram(BYSTANDER, BYSTANDER)))),
            not_taken(ProbeCounter::Misses),
        ),
        row("padding of the outer frame", resized(bridged(0, &frame), 120), hit(52)),
        row("the padding of a mirrored frame", bridged(0, &resized(frame.clone(), 60)), hit(52)),
        row(
            "the outer packet ends within the mirrored transport header",
            patched(bridged(0, &frame), 16, &[0, 65]),
            taken(52..79)
                .link(38)
                .stops(UDP, 72)
                .flag(FrameFlags::MIRRORED)
                .counted(ProbeCounter::BadTransport)
                .from(&[HEADERS])
                .cut(),
        ),
        row("a target's packet that is in no tunnel", four(PEN, BYSTANDER, UDP, &udp(SECRET)), no_tunnel()),
        row("ARP on a mirror port", ethernet(0x0806, &frame[14..]), no_tunnel()),
        row("GRE behind labels", ethernet(MPLS, &mpls(&[16], &bridged(0, &frame)[14..])), no_tunnel()),
        row(
            "GRE behind four tags",
            ethernet(VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, VLAN, &tag(4, IPV4, &bridged(0, &frame)[14..]))))),
            no_tunnel(),
        ),
        row("GRE of version 1", outer(GRE, &patched(gre(0, BRIDGED, &frame), 1, &[1])), no_tunnel()),
        row("GRE with routing", outer(GRE, &gre(0x40, BRIDGED, &frame)), no_tunnel()),
        row("GRE with bit 4", outer(GRE, &gre(0x08, BRIDGED, &frame)), no_tunnel()),
        row("GRE with bit 5", outer(GRE, &gre(0x04, BRIDGED, &frame)), no_tunnel()),
        row("GRE with bit 6, which is to be ignored", outer(GRE, &gre(0x02, BRIDGED, &frame)), hit(52)),
        row("GRE with something else", outer(GRE, &gre(0, 0x880b, &frame)), no_tunnel()),
        row("GRE with ERSPAN", outer(GRE, &erspan_ii(&frame)), no_tunnel()),
        row("GRE cut short", outer(GRE, &[0, 0, 0x65]), no_tunnel()),
        row("VXLAN where GRE is expected", outer(UDP, &vxlan(&frame)), no_tunnel()),
        row(
            "a first fragment of a tunnel",
            patched(bridged(0, &frame), 20, &[0x20, 0]),
            not_taken(ProbeCounter::TunnelFragment),
        ),
        row(
            "a later fragment of a tunnel",
            patched(bridged(0, &frame), 20, &[0, 9]),
            not_taken(ProbeCounter::TunnelFragment),
        ),
        row(
            "a fragment of a tunnel over v6",
            six(BYSTANDER, BYSTANDER, FRAGMENT, &fragment(GRE, 0, true, &gre(0, BRIDGED, &frame))),
            not_taken(ProbeCounter::TunnelFragment),
        ),
        row("don't fragment", patched(bridged(0, &frame), 20, &[0x40, 0]), hit(52)),
        row("an outer header that cannot be", patched(bridged(0, &frame), 14, &[0x44]), no_tunnel()),
        row("an outer length that cannot be", patched(bridged(0, &frame), 16, &[0, 19]), no_tunnel()),
        row("an outer packet of version 6 under the type of v4", patched(bridged(0, &frame), 14, &[0x65]), no_tunnel()),
    ]
}

fn over_erspan() -> Vec<Row> {
    let frame = pen();
    let llc = ethernet(46, &snap(IPV4, &frame[14..]));
    let packet6 = ipv6(PEN.v6(), BYSTANDER.v6(), UDP, &udp(SECRET));
    let hit6 = |at: u16| {
        taken(at..at + 58).v6().transport(UDP, at + 40..at + 48).flag(FrameFlags::MIRRORED).from(&[HEADERS]).cut()
    };
    vec![
        row("ERSPAN I", outer(GRE, &erspan_i(&frame)), hit(52)),
        row("ERSPAN II", outer(GRE, &erspan_ii(&frame)), hit(64)),
        row("ERSPAN II, LLC", outer(GRE, &erspan_ii(&llc)), hit(72).link(50)),
        row("ERSPAN III", outer(GRE, &erspan_iii(0, false, &frame)), hit(68)),
        row("ERSPAN III with a platform's header", outer(GRE, &erspan_iii(0, true, &frame)), hit(76)),
        row(
            "ERSPAN III with IPv4",
            outer(GRE, &erspan_iii(2, false, &frame[14..])),
            hit(54).link(FrameHeader::NO_LINK),
        ),
        row("ERSPAN III with IPv6", outer(GRE, &erspan_iii(2, true, &packet6)), hit6(62).link(FrameHeader::NO_LINK)),
        row("ERSPAN II over v6", six(BYSTANDER, BYSTANDER, GRE, &erspan_ii(&frame)), hit(84)),
        row("ERSPAN III with a frame of another kind", outer(GRE, &erspan_iii(1, false, &frame)), no_tunnel()),
        row(
            "ERSPAN III with neither IP",
            outer(GRE, &erspan_iii(2, false, &[0x55; 60])),
            not_taken(ProbeCounter::BadVersion),
        ),
        row("ERSPAN II with III's version", outer(GRE, &patched(erspan_ii(&frame), 8, &[0x20])), no_tunnel()),
        row(
            "ERSPAN III with II's version",
            outer(GRE, &patched(erspan_iii(0, false, &frame), 8, &[0x10])),
            no_tunnel(),
        ),
        row("ERSPAN II cut short", outer(GRE, &erspan_ii(&[])[..15]), no_tunnel()),
        row("ERSPAN III cut short", outer(GRE, &erspan_iii(0, false, &[])[..19]), no_tunnel()),
        row("ERSPAN with a key", outer(GRE, &gre(0x20, ERSPAN, &frame)), hit(56)),
        row("bridging where ERSPAN is expected", outer(GRE, &gre(0, BRIDGED, &frame)), no_tunnel()),
    ]
}

fn over_vxlan() -> Vec<Row> {
    let frame = pen();
    vec![
        row("VXLAN", outer(UDP, &vxlan(&frame)), hit(64)),
        row("VXLAN over v6", six(BYSTANDER, BYSTANDER, UDP, &vxlan(&frame)), hit(84)),
        row("VXLAN behind a tag", ethernet(VLAN, &tag(7, IPV4, &outer(UDP, &vxlan(&frame))[14..])), hit(68)),
        row("a tag within VXLAN", outer(UDP, &vxlan(&ethernet(VLAN, &tag(7, IPV4, &frame[14..])))), hit(68).link(50)),
        row("VXLAN with reserved bits", outer(UDP, &patched(vxlan(&frame), 8, &[0x88])), hit(64)),
        row("VXLAN without a network", outer(UDP, &patched(vxlan(&frame), 8, &[0])), no_tunnel()),
        row("from VXLAN's port", outer(UDP, &patched(vxlan(&frame), 0, &[0x12, 0xb5, 0x12, 0xb6])), no_tunnel()),
        row("VXLAN cut short", outer(UDP, &vxlan(&[])[..15]), no_tunnel()),
        row("an empty VXLAN", outer(UDP, &vxlan(&[])), not_taken(ProbeCounter::TooShort)),
        row("VXLAN in TCP", outer(TCP, &vxlan(&frame)), no_tunnel()),
        row(
            "VXLAN in VXLAN is nobody's",
            outer(UDP, &vxlan(&outer(UDP, &vxlan(&frame)))),
            not_taken(ProbeCounter::Misses),
        ),
    ]
}

fn over_tzsp() -> Vec<Row> {
    let frame = pen();
    vec![
        row("TZSP", outer(UDP, &tzsp(&[], &frame)), hit(61)),
        row("TZSP over v6", six(BYSTANDER, BYSTANDER, UDP, &tzsp(&[], &frame)), hit(81)),
        row("TZSP to be sent", outer(UDP, &patched(tzsp(&[], &frame), 9, &[1])), hit(61)),
        row("TZSP with a tag and padding", outer(UDP, &tzsp(&[0, 0x0a, 1, 0xc8, 0], &frame)), hit(66)),
        row("TZSP with a tag of no bytes", outer(UDP, &tzsp(&[0x29, 0], &frame)), hit(63)),
        row("TZSP with seven tags and the end", outer(UDP, &tzsp(&[0; 7], &frame)), hit(68)),
        row(
            "TZSP with eight tags and the end",
            outer(UDP, &tzsp(&[0; 8], &frame)),
            not_taken(ProbeCounter::TunnelDepth),
        ),
        row("a TZSP tag longer than the packet", outer(UDP, &tzsp(&[0x0a, 255], &frame)), no_tunnel()),
        row("TZSP keep-alive", outer(UDP, &patched(tzsp(&[], &frame), 9, &[4])), no_tunnel()),
        row("TZSP of 802.11", outer(UDP, &patched(tzsp(&[], &frame), 11, &[0x12])), no_tunnel()),
        row("TZSP of version 2", outer(UDP, &patched(tzsp(&[], &frame), 8, &[2])), no_tunnel()),
        row("TZSP to another port", outer(UDP, &patched(tzsp(&[], &frame), 2, &[0x90, 0x91])), no_tunnel()),
        row("TZSP cut short", outer(UDP, &tzsp(&[], &[])[..11]), no_tunnel()),
        row("TZSP without an end", outer(UDP, &tzsp(&[], &[])[..12]), no_tunnel()),
    ]
}
