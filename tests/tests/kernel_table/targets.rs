//! Targets that are no addresses, or more than their address: MAC addresses, VLANs, kinds of traffic.

use crate::row::{Row, SECRET, Wanted, four, not_taken, row, six, taken};
use writ_abi::{FrameFlags, FrameHeader, ProbeCounter};
use writ_capture::Tunnel;
use writ_tests::cast::{
    ASKER, BYSTANDER, CALLER, HEADERS, HOME, HOUSED, LINE, MAIL, MAILER, MODEM, ONE_WAY, PEN_LINE, PINGER, Party,
    RECEIVED, ROUTER, SENT, SUBJECT, SURFER, TAGGED, TALKER, WITHIN,
};
use writ_tests::reference::Entry;
use writ_tests::stack::{
    BRIDGED, IPV4, MPLS, OLD_SERVICE_VLAN, PPP_IPV4, PPPOE, SERVICE_VLAN, VLAN, between, control_word, ethernet, gre,
    icmp, ipv4, mpls, patched, ports, pppoe, protocol::*, resized, sctp, tag, tcp, udp, vxlan,
};

/// A datagram of 18 bytes between two parties, in IPv4: 38 bytes.
fn datagram(source: Party, destination: Party) -> Vec<u8> {
    ipv4(source.v4(), destination.v4(), UDP, &udp(SECRET))
}

fn bystanders() -> Vec<u8> {
    ethernet(IPV4, &datagram(BYSTANDER, BYSTANDER))
}

fn hit(at: u16) -> Wanted {
    taken(at..at + 38).transport(UDP, at + 20..at + 28)
}

fn miss() -> Wanted {
    not_taken(ProbeCounter::Misses)
}

/// Behind these tags, the outermost first, of the kinds in turn.
fn tagged(tags: &[u16], packet: &[u8]) -> Vec<u8> {
    let kinds = [SERVICE_VLAN, VLAN, OLD_SERVICE_VLAN];
    let (mut kind, mut payload) = (IPV4, packet.to_vec());
    for (number, vlan) in tags.iter().enumerate().rev() {
        payload = tag(*vlan, kind, &payload);
        kind = kinds[number % kinds.len()];
    }
    ethernet(kind, &payload)
}

/// Where a MAC address leads.
pub(crate) fn macs() -> Vec<Row> {
    let other = HOME;
    let from = |mac| between(other, mac, bystanders());
    let to = |mac| between(mac, other, bystanders());
    let in_100 = tagged(&[100], &datagram(BYSTANDER, BYSTANDER));
    let behind = |frame: &[u8]| ethernet(MPLS, &mpls(&[16], &control_word(0, frame)));
    vec![
        row("from a MAC address", from(MODEM), hit(14).from(&[LINE])),
        row("to a MAC address", to(MODEM), hit(14).to(&[LINE])),
        row("a MAC address on both sides", between(MODEM, MODEM, bystanders()), hit(14).from(&[LINE]).to(&[LINE])),
        row("a MAC address that is no target", from(HOME), miss()),
        row("ARP of a MAC address", patched(from(MODEM), 12, &[0x08, 0x06]), not_taken(ProbeCounter::NotIp)),
        row(
            "a MAC address outside its VLAN",
            from(ROUTER),
            hit(14)
                .unwanted_from(&[LINE, PEN_LINE])
                .edit(|taken| taken.source_live = 2)
                .account(LINE, Entry::OtherTraffic)
                .account(PEN_LINE, Entry::Matched)
                .cut(),
        ),
        row("a MAC address in its VLAN", between(other, ROUTER, in_100), hit(18).from(&[LINE, PEN_LINE])),
        row("from a MAC address of which that is wanted", from(TALKER), hit(14).from(&[ONE_WAY])),
        row(
            "to a MAC address of which the other direction is wanted",
            to(TALKER),
            miss().account(ONE_WAY, Entry::OtherDirection),
        ),
        row(
            "an address and a MAC address",
            between(other, MODEM, ethernet(IPV4, &datagram(SUBJECT, BYSTANDER))),
            hit(14).from(&[0, LINE]),
        ),
        row(
            "a MAC address to an address",
            between(other, MODEM, ethernet(IPV4, &datagram(BYSTANDER, SUBJECT))),
            hit(14).from(&[LINE]).to(&[0]),
        ),
        row("a MAC address within labels", behind(&from(MODEM)), hit(36).link(22).from(&[LINE])),
        row("a MAC address in front of labels that carry Ethernet", between(other, MODEM, behind(&from(HOME))), miss()),
        row(
            "a MAC address in front of labels that carry IP",
            between(other, MODEM, ethernet(MPLS, &mpls(&[16], &datagram(BYSTANDER, BYSTANDER)))),
            hit(18).from(&[LINE]),
        ),
        row(
            "a MAC address, packet in packet",
            between(other, MODEM, four(BYSTANDER, BYSTANDER, IP_IN_IP, &datagram(BYSTANDER, BYSTANDER))),
            taken(14..72).stops(IP_IN_IP, 34).counted(ProbeCounter::UnknownTransport).from(&[LINE]),
        ),
    ]
}

/// Where VLAN tags lead.
pub(crate) fn vlans() -> Vec<Row> {
    let packet = datagram(BYSTANDER, BYSTANDER);
    let behind = |frame: &[u8]| ethernet(MPLS, &mpls(&[16], frame));
    let session = ethernet(VLAN, &tag(300, PPPOE, &pppoe(PPP_IPV4, &packet)));
    let web = tagged(&[500], &ipv4(BYSTANDER.v4(), BYSTANDER.v4(), TCP, &tcp(&[], SECRET)));
    let in_tcp = taken(18..68).transport(TCP, 38..58);
    vec![
        row("in a VLAN", tagged(&[300], &packet), hit(18).in_vlan(&[LINE])),
        row("in a VLAN with a priority", tagged(&[0xe000 | 300], &packet), hit(18).in_vlan(&[LINE])),
        row("a priority tag in front", tagged(&[0, 300], &packet), hit(22).in_vlan(&[LINE])),
        row("a priority tag behind", tagged(&[300, 0xe000], &packet), hit(22).in_vlan(&[LINE])),
        row("a priority tag alone", tagged(&[0], &packet), miss()),
        row("a VLAN within the VLAN", tagged(&[300, 301], &packet), miss()),
        row("the VLAN within another", tagged(&[301, 300], &packet), miss()),
        row("the outer VLAN alone", tagged(&[400], &packet), hit(18).in_vlan(&[LINE])),
        row("the outer VLAN with any inner", tagged(&[400, 7], &packet), hit(22).in_vlan(&[LINE])),
        row(
            "the outer VLAN with an inner of its own",
            tagged(&[400, 100], &packet),
            hit(22).in_vlan(&[LINE, PEN_LINE]),
        ),
        row("the outer VLAN with two inner", tagged(&[400, 100, 5], &packet), hit(26).in_vlan(&[LINE])),
        row("a pair behind a priority tag", tagged(&[0, 400, 100], &packet), hit(26).in_vlan(&[LINE, PEN_LINE])),
        row("the pair the wrong way round", tagged(&[100, 400], &packet), miss()),
        row("two orders over a VLAN", tagged(&[700], &packet), hit(18).in_vlan(&[PEN_LINE, LINE])),
        row("a VLAN has no direction", tagged(&[600], &packet), miss().account(ONE_WAY, Entry::OtherDirection)),
        row("a session in a VLAN", session, hit(26).in_vlan(&[LINE])),
        row("ARP in a VLAN", ethernet(VLAN, &tag(300, 0x0806, &packet)), not_taken(ProbeCounter::NotIp)),
        row("traffic of a VLAN", web.clone(), in_tcp.in_vlan(&[MAIL])),
        row("other traffic of a VLAN", tagged(&[500], &packet), miss().account(MAIL, Entry::OtherTraffic)),
        row("a VLAN in front of labels", ethernet(VLAN, &tag(300, MPLS, &behind(&bystanders())[14..])), miss()),
        row("a VLAN within labels", behind(&tagged(&[300], &packet)), hit(36).link(18).in_vlan(&[LINE])),
        row(
            "an address in a VLAN that is a target",
            tagged(&[300], &datagram(SUBJECT, BYSTANDER)),
            hit(18).from(&[0, LINE]).edit(|taken| taken.undirected = 2),
        ),
        row(
            "a VLAN and a MAC address of one order",
            between(HOME, MODEM, tagged(&[300], &packet)),
            hit(18).from(&[LINE, LINE]).edit(|taken| taken.undirected = 2),
        ),
        row(
            "a packet in a packet in a VLAN",
            tagged(&[700], &ipv4(BYSTANDER.v4(), BYSTANDER.v4(), IP_IN_IP, &packet)),
            taken(18..76).stops(IP_IN_IP, 38).counted(ProbeCounter::UnknownTransport).in_vlan(&[PEN_LINE, LINE]),
        ),
    ]
}

/// Addresses with a VLAN or a MAC address.
pub(crate) fn addresses() -> Vec<Row> {
    let tagged_packet = datagram(TAGGED, BYSTANDER);
    let other = |slot| miss().account(slot, Entry::OtherTraffic);
    let call = |tags: &[u16], port| {
        let segment = ports(40000, port, sctp(SECRET));
        between(HOME, MODEM, tagged(tags, &ipv4(BYSTANDER.v4(), CALLER.v4(), SCTP, &segment)))
    };
    let inner = four(BYSTANDER, BYSTANDER, IP_IN_IP, &tagged_packet);
    let one_of = |live: u8| {
        move |wanted: Wanted| {
            wanted
                .unwanted_from(&[WITHIN, WITHIN])
                .edit(|taken| taken.source_live = live)
                .account(WITHIN, Entry::Matched)
        }
    };
    vec![
        row("an address in its VLAN", tagged(&[100], &tagged_packet), one_of(1)(hit(18))),
        row("an address within its outer VLAN", tagged(&[200, 9], &tagged_packet), one_of(2)(hit(22))),
        row("an address in no VLAN", ethernet(IPV4, &tagged_packet), other(WITHIN)),
        row("an address in another VLAN", tagged(&[101], &tagged_packet), other(WITHIN)),
        row("an address in its VLAN within another", tagged(&[100, 200], &tagged_packet), other(WITHIN)),
        row(
            "an inner address in its VLAN",
            ethernet(VLAN, &tag(100, IPV4, &inner[14..])),
            one_of(1)(hit(38).flag(FrameFlags::INNER)),
        ),
        row(
            "an address behind its MAC address",
            between(MODEM, HOME, ethernet(IPV4, &datagram(HOUSED, BYSTANDER))),
            hit(14).from(&[WITHIN]).to(&[LINE]),
        ),
        row(
            "an address, its MAC address on the other side",
            between(HOME, TALKER, ethernet(IPV4, &datagram(HOUSED, BYSTANDER))),
            hit(14)
                .unwanted_from(&[WITHIN, ONE_WAY])
                .edit(|taken| taken.source_live = 2)
                .account(WITHIN, Entry::OtherTraffic)
                .account(ONE_WAY, Entry::Matched),
        ),
        row("an address behind another MAC address", ethernet(IPV4, &datagram(HOUSED, BYSTANDER)), other(WITHIN)),
        row(
            "VLAN, MAC address and port",
            call(&[100], 2905),
            taken(18..60).transport(SCTP, 38..50).from(&[LINE]).to(&[MAIL]),
        ),
        row(
            "VLAN and MAC address, another port",
            call(&[100], 2904),
            taken(18..60)
                .transport(SCTP, 38..50)
                .from(&[LINE])
                .edit(|taken| taken.destination = vec![MAIL])
                .account(MAIL, Entry::OtherTraffic),
        ),
    ]
}

/// Kinds of traffic, at the edges of their ranges.
pub(crate) fn traffic() -> Vec<Row> {
    let other = || miss().account(MAIL, Entry::OtherTraffic);
    let unknown = || miss().account(MAIL, Entry::UnknownTraffic);
    let segment = |source, destination| ports(source, destination, tcp(&[], SECRET));
    let sent = |destination| four(MAILER, BYSTANDER, TCP, &segment(40000, destination));
    let t4 = || taken(14..64).transport(TCP, 34..54);
    let call = |source, destination, own, far| four(source, destination, UDP, &ports(own, far, udp(SECRET)));
    let mut rows = vec![
        row("mail to the target", four(BYSTANDER, MAILER, TCP, &segment(25, 40000)), t4().to(&[MAIL])),
        row("mail at the target's own port", four(MAILER, BYSTANDER, TCP, &segment(25, 40000)), other()),
        row(
            "mail, v6",
            six(MAILER, BYSTANDER, TCP, &segment(1, 590)),
            taken(14..84).v6().transport(TCP, 54..74).from(&[MAIL]),
        ),
        row("mail's port in UDP", call(MAILER, BYSTANDER, 40000, 25), other()),
        row("a call from the target", call(MAILER, BYSTANDER, 5060, 9), hit(14).from(&[MAIL])),
        row("a call to the target", call(BYSTANDER, MAILER, 9, 5060), hit(14).to(&[MAIL])),
        row("a call to the far end's port", call(MAILER, BYSTANDER, 9, 5060), other()),
        row(
            "a segment whose ports are not whole",
            resized(four(MAILER, BYSTANDER, TCP, &segment(40000, 25)), 37),
            unknown(),
        ),
        row(
            "a segment whose header is not whole",
            resized(four(MAILER, BYSTANDER, TCP, &segment(40000, 25)), 53),
            unknown(),
        ),
        row("a protocol without ports", four(MAILER, BYSTANDER, ICMP, &icmp(8, 0, SECRET)), other()),
        row(
            "an extension header that is damaged",
            six(MAILER, BYSTANDER, DESTINATION, &[TCP, 200, 0, 0, 0, 0, 0, 0]),
            unknown(),
        ),
        row(
            "a ping",
            four(PINGER, BYSTANDER, ICMP, &icmp(8, 0, SECRET)),
            taken(14..52).transport(ICMP, 34..42).from(&[MAIL]),
        ),
        row(
            "a ping, v6",
            six(BYSTANDER, PINGER, ICMPV6, &icmp(128, 0, SECRET)),
            taken(14..72).v6().transport(ICMPV6, 54..62).to(&[MAIL]),
        ),
        row(
            "a protocol by its number",
            four(PINGER, BYSTANDER, GRE, SECRET),
            taken(14..44).stops(GRE, 34).counted(ProbeCounter::UnknownTransport).from(&[MAIL]),
        ),
        row("no ping", four(PINGER, BYSTANDER, UDP, &udp(SECRET)), other()),
        row(
            "a look-up of who is under two orders",
            four(ASKER, BYSTANDER, UDP, &udp(SECRET)),
            hit(14).from(&[MAIL, HEADERS]),
        ),
        row(
            "another datagram of who is under two orders: no content",
            call(ASKER, BYSTANDER, 40000, 54),
            hit(14)
                .unwanted_from(&[MAIL, HEADERS])
                .edit(|taken| taken.source_live = 2)
                .account(MAIL, Entry::OtherTraffic)
                .account(HEADERS, Entry::Matched)
                .cut(),
        ),
        row(
            "sent, of who sends and receives different things",
            four(SURFER, BYSTANDER, TCP, &segment(1, 80)),
            t4().unwanted_from(&[SENT, RECEIVED])
                .edit(|taken| taken.source_live = 1)
                .account(SENT, Entry::Matched)
                .account(RECEIVED, Entry::OtherDirection),
        ),
        row(
            "received, of who sends and receives different things",
            four(BYSTANDER, SURFER, TCP, &segment(1, 80)),
            t4().unwanted_to(&[SENT, RECEIVED])
                .edit(|taken| taken.destination_live = 2)
                .account(RECEIVED, Entry::Matched)
                .account(SENT, Entry::OtherDirection)
                .cut(),
        ),
    ];
    for (what, port, is_wanted) in [
        ("port 24", 24, false),
        ("port 25", 25, true),
        ("port 26", 26, false),
        ("before a range", 586, false),
        ("the first of a range", 587, true),
        ("within a range", 589, true),
        ("the last of a range", 590, true),
        ("behind a range", 591, false),
    ] {
        rows.push(row(what, sent(port), if is_wanted { t4().from(&[MAIL]) } else { other() }));
    }
    rows
}

/// Of frames in a mirror's tunnel the mirrored link layer counts.
pub(crate) fn mirrored() -> Vec<Row> {
    let outer = |protocol, payload: &[u8]| four(BYSTANDER, BYSTANDER, protocol, payload);
    let packet = datagram(BYSTANDER, BYSTANDER);
    let from = between(HOME, MODEM, bystanders());
    let in_gre = |what, frame, wanted: Wanted| Row { tunnel: Tunnel::Gre, ..row(what, frame, wanted) };
    let mirrored = |wanted: Wanted| wanted.flag(FrameFlags::MIRRORED);
    let bare = outer(GRE, &gre(0, IPV4, &packet));
    vec![
        in_gre("a mirrored MAC address", outer(GRE, &gre(0, BRIDGED, &from)), mirrored(hit(52).link(38).from(&[LINE]))),
        in_gre(
            "a mirrored VLAN",
            outer(GRE, &gre(0, BRIDGED, &tagged(&[400, 100], &packet))),
            mirrored(hit(60).link(38).in_vlan(&[LINE, PEN_LINE])),
        ),
        in_gre(
            "the mirror's own MAC address",
            between(HOME, MODEM, outer(GRE, &gre(0, BRIDGED, &bystanders()))),
            miss(),
        ),
        in_gre(
            "the mirror's own VLAN",
            ethernet(VLAN, &tag(300, IPV4, &outer(GRE, &gre(0, BRIDGED, &bystanders()))[14..])),
            miss(),
        ),
        in_gre("a mirror's MAC address in front of a bare packet", between(HOME, MODEM, bare), miss()),
        in_gre(
            "a bare packet is in no VLAN",
            ethernet(VLAN, &tag(100, IPV4, &outer(GRE, &gre(0, IPV4, &datagram(TAGGED, SUBJECT)))[14..])),
            mirrored(hit(42).link(FrameHeader::NO_LINK).unwanted_from(&[WITHIN, WITHIN]))
                .account(WITHIN, Entry::OtherTraffic)
                .to(&[0]),
        ),
        Row {
            tunnel: Tunnel::Vxlan,
            ..row(
                "a VLAN within VXLAN",
                outer(UDP, &vxlan(&tagged(&[300], &packet))),
                mirrored(hit(68).link(50).in_vlan(&[LINE])),
            )
        },
    ]
}
