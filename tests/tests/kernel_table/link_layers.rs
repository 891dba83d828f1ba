//! Frames with all that can be between the first byte and the IP packet.

use crate::row::{Row, SECRET, Wanted, not_taken, row, taken};
use writ_abi::ProbeCounter;
use writ_tests::cast::{BYSTANDER, CONTENT, HEADERS, PEN, SUBJECT};
use writ_tests::stack::{
    IPV4, IPV6, MPLS, MPLS_UPSTREAM, OLD_SERVICE_VLAN, PPP_IPV4, PPP_IPV6, PPPOE, SERVICE_VLAN, VLAN, control_word,
    ethernet, ipv4, ipv6, mpls, patched, pppoe, protocol::UDP, resized, snap, tag, udp,
};

/// Ethernet and VLAN tags, and frames too short for what they announce. A datagram of 10 bytes.
pub(crate) fn tags() -> Vec<Row> {
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
            "three tags of three kinds",
            ethernet(OLD_SERVICE_VLAN, &tag(1, SERVICE_VLAN, &tag(2, VLAN, &tag(3, IPV4, &packet)))),
            hit(26),
        ),
        row(
            "v6 behind three tags, cut",
            ethernet(VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, IPV6, &packet6)))),
            hit6(26),
        ),
        row("an old provider's tag", ethernet(OLD_SERVICE_VLAN, &tag(1, IPV4, &packet)), hit(18)),
        row(
            "four tags",
            ethernet(SERVICE_VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, VLAN, &tag(4, IPV4, &packet))))),
            not_taken(ProbeCounter::VlanDepth),
        ),
        row(
            "the oldest tag, which is none any more",
            ethernet(0x9200, &tag(1, IPV4, &packet)),
            not_taken(ProbeCounter::NotIp),
        ),
        row("ARP", ethernet(0x0806, &packet), not_taken(ProbeCounter::NotIp)),
        row("between length and type", ethernet(1501, &snap(IPV4, &packet)), not_taken(ProbeCounter::NotIp)),
        row(
            "ARP behind three tags",
            ethernet(VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, 0x0806, &packet)))),
            not_taken(ProbeCounter::NotIp),
        ),
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

/// MPLS, and what labels carry without saying so. The datagram as in [`tags`].
pub(crate) fn labels() -> Vec<Row> {
    let packet = ipv4(SUBJECT.v4(), BYSTANDER.v4(), UDP, &udp(SECRET));
    let packet6 = ipv6(PEN.v6(), BYSTANDER.v6(), UDP, &udp(SECRET));
    let hit = |at: u16| taken(at..at + 38).transport(UDP, at + 20..at + 28).from(&[CONTENT]);
    let hit6 = |at: u16| taken(at..at + 58).transport(UDP, at + 40..at + 48).from(&[HEADERS]).v6().cut();
    let behind = |labels: &[u32], payload: &[u8]| ethernet(MPLS, &mpls(labels, payload));
    let miss = |reason| not_taken(reason);
    // MAC addresses as they come: this one begins as a control word does.
    let mac = |first: u8, frame: &[u8]| patched(frame.to_vec(), 0, &[first]);
    let inner = ethernet(IPV4, &packet);
    let inner6 = ethernet(IPV6, &packet6);
    let tagged = ethernet(SERVICE_VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, IPV4, &packet))));
    let session = ethernet(PPPOE, &pppoe(PPP_IPV4, &packet));
    let llc = ethernet(46, &snap(IPV4, &packet));
    let padded = resized(behind(&[16], &packet), 80);
    vec![
        row("one label", behind(&[16], &packet), hit(18)),
        row("one label, v6, cut", behind(&[16], &packet6), hit6(18)),
        row("two labels", behind(&[16, 17], &packet), hit(22)),
        row("three labels", behind(&[16, 17, 0xf_ffff], &packet), hit(26)),
        row("four labels", behind(&[16, 17, 18, 19], &packet), hit(30)),
        row("four labels, v6, cut", behind(&[16, 17, 18, 19], &packet6), hit6(30)),
        row("five labels", behind(&[16, 17, 18, 19, 20], &packet), miss(ProbeCounter::MplsDepth)),
        row("the null label of v4", behind(&[0], &packet), hit(18)),
        row("the null label of v6", behind(&[2], &packet6), hit6(18)),
        row("a label of upstream", ethernet(MPLS_UPSTREAM, &mpls(&[16], &packet)), hit(18)),
        row("labels behind a tag", ethernet(VLAN, &tag(7, MPLS, &mpls(&[16], &packet))), hit(22)),
        row(
            "four labels behind three tags",
            ethernet(VLAN, &tag(1, VLAN, &tag(2, VLAN, &tag(3, MPLS, &mpls(&[16, 17, 18, 19], &packet))))),
            hit(42),
        ),
        row("padding behind labels is outside the packet", padded, hit(18)),
        row("a stack without a bottom", ethernet(MPLS, &[0; 4 * 6]), miss(ProbeCounter::MplsDepth)),
        row("nothing behind the label", behind(&[16], &[]), miss(ProbeCounter::TooShort)),
        row("ends within a label", resized(behind(&[16, 17], &packet), 20), miss(ProbeCounter::TooShort)),
        row("v4 behind a label, a byte short", resized(behind(&[16], &packet), 37), miss(ProbeCounter::TooShort)),
        row("v6 behind a label, a byte short", resized(behind(&[16], &packet6), 57), miss(ProbeCounter::TooShort)),
        row("Ethernet behind a label", behind(&[16], &mac(0x12, &inner)), hit(32).link(18)),
        row("Ethernet whose address begins with zero", behind(&[16], &mac(0, &inner)), hit(32).link(18)),
        row("Ethernet, v6, cut", behind(&[16, 17], &mac(0xf2, &inner6)), hit6(36).link(22)),
        row("a control word and Ethernet", behind(&[16], &control_word(0, &inner)), hit(36).link(22)),
        row("a control word, numbered", behind(&[16, 17], &control_word(0x0800, &mac(0x45, &inner))), hit(40).link(26)),
        row("a control word and v6, cut", behind(&[16], &control_word(7, &inner6)), hit6(36).link(22)),
        row("tags within labels", behind(&[16], &control_word(0, &tagged)), hit(48).link(22)),
        row("tags within labels, no control word", behind(&[16], &tagged), hit(44).link(18)),
        row("a session within labels", behind(&[16], &control_word(0, &session)), hit(44).link(22)),
        row("a session within labels, no control word", behind(&[16], &session), hit(40).link(18)),
        row("LLC within labels", behind(&[16], &control_word(0, &llc)), hit(44).link(22)),
        row("LLC within labels, no control word", behind(&[16], &llc), hit(40).link(18)),
        row(
            "four tags within labels",
            behind(&[16], &control_word(0, &ethernet(VLAN, &tag(0, VLAN, &tagged[14..])))),
            miss(ProbeCounter::VlanDepth),
        ),
        row(
            "labels within labels",
            behind(&[16], &control_word(0, &ethernet(MPLS, &mpls(&[17], &packet)))),
            miss(ProbeCounter::MplsDepth),
        ),
        row(
            "ARP within labels",
            behind(&[16], &control_word(0, &ethernet(0x0806, &packet))),
            miss(ProbeCounter::NotIp),
        ),
        row("ARP within labels, no control word", behind(&[16], &ethernet(0x0806, &packet)), miss(ProbeCounter::NotIp)),
        row(
            "an associated channel",
            behind(&[16], &[&[0x10, 0, 0, 0x21][..], &packet].concat()),
            miss(ProbeCounter::NotIp),
        ),
        row(
            "an address that begins as IPv4 does is taken for it",
            behind(&[16], &mac(0x45, &ethernet(IPV4, &packet))),
            miss(ProbeCounter::Misses),
        ),
    ]
}

/// PPPoE, and 802.3 with LLC: both have a length of their own. The datagram as in [`tags`]; the packet of 38 bytes.
pub(crate) fn sessions() -> Vec<Row> {
    let packet = ipv4(PEN.v4(), BYSTANDER.v4(), UDP, &udp(SECRET));
    let packet6 = ipv6(PEN.v6(), BYSTANDER.v6(), UDP, &udp(SECRET));
    let part = |at: u16, length: u16| taken(at..at + length).from(&[HEADERS]).cut();
    let hit = |at: u16| part(at, 38).transport(UDP, at + 20..at + 28);
    let hit6 = |at: u16| part(at, 58).v6().transport(UDP, at + 40..at + 48);
    let damaged = |wanted: Wanted, at: u16| wanted.stops(UDP, at).counted(ProbeCounter::BadTransport);
    let miss = |reason| not_taken(reason);
    let session = ethernet(PPPOE, &pppoe(PPP_IPV4, &packet));
    let session6 = ethernet(PPPOE, &pppoe(PPP_IPV6, &packet6));
    let llc = ethernet(46, &snap(IPV4, &packet));
    let llc6 = ethernet(66, &snap(IPV6, &packet6));
    let with = |frame: &[u8], at: usize, bytes: &[u8]| patched(frame.to_vec(), at, bytes);
    vec![
        row("a session", session.clone(), hit(22)),
        row("a session, v6", session6.clone(), hit6(22)),
        row("a session behind a tag", ethernet(VLAN, &tag(7, PPPOE, &session[14..])), hit(26)),
        row("a session behind two tags, v6", ethernet(VLAN, &tag(7, VLAN, &tag(8, PPPOE, &session6[14..]))), hit6(30)),
        row("discovery", ethernet(0x8863, &session[14..]), miss(ProbeCounter::NotIp)),
        row("a session's end", with(&session, 15, &[0xa7]), miss(ProbeCounter::NotIp)),
        row("version 2 of PPPoE", with(&session, 14, &[0x21]), miss(ProbeCounter::NotIp)),
        row("type 2 of PPPoE", with(&session, 14, &[0x12]), miss(ProbeCounter::NotIp)),
        row("LCP", with(&session, 20, &[0xc0, 0x21]), miss(ProbeCounter::NotIp)),
        row("IPCP", with(&session, 20, &[0x80, 0x21]), miss(ProbeCounter::NotIp)),
        row("v6 under PPP's number of v4", with(&session6, 20, &[0, 0x21]), miss(ProbeCounter::BadVersion)),
        row("padding behind a session is outside the packet", resized(session.clone(), 90), hit(22)),
        row("a session's length longer than the frame", with(&session, 18, &[5, 0xdc]), hit(22)),
        row("a session's length of all ones", with(&session, 18, &[0xff, 0xff]), hit(22)),
        row("a session's length within the transport header", with(&session, 18, &[0, 29]), damaged(part(22, 27), 42)),
        row(
            "a session's length at the end of the transport header",
            with(&session, 18, &[0, 30]),
            part(22, 28).transport(UDP, 42..50),
        ),
        row("a session's length at the end of the IP header", with(&session, 18, &[0, 22]), damaged(part(22, 20), 42)),
        row("a session's length within the IP header", with(&session, 18, &[0, 21]), miss(ProbeCounter::TooShort)),
        row("a session's length of 0", with(&session, 18, &[0, 0]), miss(ProbeCounter::TooShort)),
        row("ends within the session's header", resized(session.clone(), 21), miss(ProbeCounter::TooShort)),
        row("ends behind the session's header", resized(session, 22), miss(ProbeCounter::TooShort)),
        row("LLC", llc.clone(), hit(22)),
        row("LLC, v6", llc6.clone(), hit6(22)),
        row("LLC behind a tag", ethernet(VLAN, &tag(7, 46, &llc[14..])), hit(26)),
        row(
            "LLC behind three tags, v6",
            ethernet(VLAN, &tag(7, VLAN, &tag(8, VLAN, &tag(9, 66, &llc6[14..])))),
            hit6(34),
        ),
        row("LLC and padding", resized(llc.clone(), 90), hit(22)),
        row("LLC of the greatest length", with(&llc, 12, &[0x05, 0xdc]), hit(22)),
        row("LLC within the transport header", with(&llc, 12, &[0, 35]), damaged(part(22, 27), 42)),
        row("LLC within the IP header", with(&llc, 12, &[0, 27]), miss(ProbeCounter::TooShort)),
        row("LLC shorter than SNAP", with(&llc, 12, &[0, 7]), miss(ProbeCounter::NotIp)),
        row("a length of 0", with(&llc, 12, &[0, 0]), miss(ProbeCounter::NotIp)),
        row("spanning tree", with(&llc, 14, &[0x42, 0x42, 3]), miss(ProbeCounter::NotIp)),
        row("LLC with numbered frames", with(&llc, 16, &[0]), miss(ProbeCounter::NotIp)),
        row("SNAP of another organisation", with(&llc, 17, &[0, 0, 0x0c]), miss(ProbeCounter::NotIp)),
        row("ARP in SNAP", with(&llc, 20, &[0x08, 0x06]), miss(ProbeCounter::NotIp)),
        row("v4 under SNAP's type of v6", resized(with(&llc, 20, &[0x86, 0xdd]), 90), miss(ProbeCounter::TooShort)),
        row("ends within SNAP", resized(llc, 21), miss(ProbeCounter::TooShort)),
    ]
}
