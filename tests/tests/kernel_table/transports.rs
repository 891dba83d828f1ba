//! Transport headers, and what has none.

use crate::row::{Row, SECRET, four, row, six, taken};
use std::ops::Range;
use writ_abi::ProbeCounter;
use writ_tests::cast::{BYSTANDER, HEADERS, PEN};
use writ_tests::stack::{icmp, ipv4, patched, protocol::*, resized, sctp, tcp, udp};

/// Transport headers, and what has none. IPv4 behind Ethernet: they begin at 34.
pub(crate) fn transports() -> Vec<Row> {
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

    known("SCTP's chunks are content", SCTP, pen(SCTP, &sctp(SECRET)), 34..46);
    known("SCTP without chunks", SCTP, pen(SCTP, &sctp(&[])), 34..46);

    let mut known = |what, protocol, frame: Vec<u8>, header: Range<u16>| {
        let wanted = hit(&frame).transport(protocol, header).v6();
        rows.push(row(what, frame, wanted));
    };
    known("v6 TCP with options", TCP, pen6(TCP, &tcp(&[1; 20], SECRET)), 54..94);
    known("an ICMPv6 echo's data is content", ICMPV6, pen6(ICMPV6, &icmp(128, 0, SECRET)), 54..62);
    known("an ICMPv6 error loses its quotation", ICMPV6, pen6(ICMPV6, &icmp(1, 4, SECRET)), 54..62);

    known("v6 SCTP", SCTP, pen6(SCTP, &sctp(SECRET)), 54..66);

    let mut unread = |what, protocol, frame: Vec<u8>, reason| {
        let wanted = hit(&frame).stops(protocol, 34).counted(reason);
        rows.push(row(what, frame, wanted));
    };
    let (unknown, bad) = (ProbeCounter::UnknownTransport, ProbeCounter::BadTransport);
    unread("ESP", ESP, pen(ESP, SECRET), unknown);
    unread("GRE", GRE, pen(GRE, SECRET), unknown);
    unread("IP in IP", IP_IN_IP, pen(IP_IN_IP, &quoted), unknown);
    unread("SCTP a byte short", SCTP, pen(SCTP, &sctp(&[])[..11]), bad);
    unread("UDP-Lite", 136, pen(136, &udp(SECRET)), unknown);
    unread("DCCP", 33, pen(33, &udp(SECRET)), unknown);
    unread("no next header, which means nothing in IPv4", NO_NEXT_HEADER, pen(NO_NEXT_HEADER, SECRET), unknown);
    unread("hop-by-hop options, which IPv4 has not", HOP_BY_HOP, pen(HOP_BY_HOP, SECRET), unknown);
    unread("a fragment header in IPv4", FRAGMENT, pen(FRAGMENT, &[17, 0, 0, 0, 0, 0, 0, 1]), unknown);
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
