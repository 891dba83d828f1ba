//! Packets, a function per layer: each puts its header in front of what it carries. Lengths and numbers are right;
//! whoever wants a wrong one overwrites it with [`patched`].

use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader};
use std::net::{Ipv4Addr, Ipv6Addr};
use writ_abi::MacAddress;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of a customer's VLAN tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of a provider's VLAN tag.
pub const SERVICE_VLAN: u16 = 0x88a8;
/// EtherType of a provider's VLAN tag before there was a standard.
pub const OLD_SERVICE_VLAN: u16 = 0x9100;
/// EtherType of MPLS.
pub const MPLS: u16 = 0x8847;
/// EtherType of MPLS with a label that somebody upstream has given.
pub const MPLS_UPSTREAM: u16 = 0x8848;
/// EtherType of a PPPoE session.
pub const PPPOE: u16 = 0x8864;
/// PPP's number of IPv4.
pub const PPP_IPV4: u16 = 0x0021;
/// PPP's number of IPv6.
pub const PPP_IPV6: u16 = 0x0057;

/// IP protocol numbers.
pub mod protocol {
    #![expect(missing_docs, reason = "they are the names of IANA's table")]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IP_IN_IP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6_IN_IP: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AUTHENTICATION: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT_HEADER: u8 = 59;
    pub const DESTINATION: u8 = 60;
    pub const SCTP: u8 = 132;
    pub const MOBILITY: u8 = 135;
    pub const HOST_IDENTITY: u8 = 139;
    pub const SHIM6: u8 = 140;
}

/// An Ethernet frame.
pub fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let header =
        Ethernet2Header { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2], ether_type: EtherType(kind) };
    [&header.to_bytes()[..], payload].concat()
}

/// A VLAN tag, to stand behind an EtherType that announces one.
pub fn tag(vlan: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&vlan.to_be_bytes()[..], &kind.to_be_bytes(), payload].concat()
}

/// A stack of MPLS labels.
pub fn mpls(labels: &[u32], payload: &[u8]) -> Vec<u8> {
    let last = labels.len().saturating_sub(1);
    let words = labels.iter().enumerate().map(|(i, label)| label << 12 | u32::from(i == last) << 8 | 64);
    words.flat_map(u32::to_be_bytes).chain(payload.iter().copied()).collect()
}

/// A pseudowire's control word with this sequence number.
pub fn control_word(sequence: u16, payload: &[u8]) -> Vec<u8> {
    [&[0, 0][..], &sequence.to_be_bytes(), payload].concat()
}

/// Data of a PPPoE session.
pub fn pppoe(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() + 2) as u16;
    [&[0x11, 0, 0x12, 0x34][..], &length.to_be_bytes(), &kind.to_be_bytes(), payload].concat()
}

/// An LLC and SNAP header, to stand behind a length.
pub fn snap(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0], &kind.to_be_bytes()[..], payload].concat()
}

/// GRE with these of checksum, key and sequence number (bits 0x80, 0x20, 0x10).
pub fn gre(optional: u8, kind: u16, payload: &[u8]) -> Vec<u8> {
    let words = (optional & 0xb0).count_ones() as usize;
    [&[optional, 0][..], &kind.to_be_bytes(), &[0x5a; 12][..4 * words], payload].concat()
}

/// GRE's number of Ethernet.
pub const BRIDGED: u16 = 0x6558;
/// GRE's number of ERSPAN types I and II.
pub const ERSPAN: u16 = 0x88be;
/// GRE's number of ERSPAN type III.
pub const ERSPAN_III: u16 = 0x22eb;

/// ERSPAN type I: no header of its own.
pub fn erspan_i(frame: &[u8]) -> Vec<u8> {
    gre(0, ERSPAN, frame)
}

/// ERSPAN type II of session 100.
pub fn erspan_ii(frame: &[u8]) -> Vec<u8> {
    gre(0x10, ERSPAN, &[&[0x10, 7, 0, 100, 0, 0, 0, 9], frame].concat())
}

/// ERSPAN type III of session 100, with or without the subheader of a platform. `frame_type`: 0 Ethernet, 2 IP.
pub fn erspan_iii(frame_type: u8, platform: bool, frame: &[u8]) -> Vec<u8> {
    let header = [0x20, 7, 0, 100, 0xff, 0xff, 0xff, 0xff, 0, 0, frame_type << 2, 0xd6 | u8::from(platform)];
    let subheader: &[u8] = if platform { &[0x33; 8] } else { &[] };
    gre(0x10, ERSPAN_III, &[&header, subheader, frame].concat())
}

/// VXLAN of network 42, from its UDP header on.
pub fn vxlan(frame: &[u8]) -> Vec<u8> {
    to_port(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], frame].concat())
}

/// TZSP with these tags, the end of which is added, from its UDP header on.
pub fn tzsp(tags: &[u8], frame: &[u8]) -> Vec<u8> {
    to_port(37008, &[&[1, 0, 0, 1], tags, &[1], frame].concat())
}

fn to_port(port: u16, payload: &[u8]) -> Vec<u8> {
    patched(udp(payload), 2, &port.to_be_bytes())
}

/// An IPv4 packet without options.
pub fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with_options(source, destination, protocol, &[], payload)
}

/// An IPv4 packet with options: 0 to 40 bytes, a multiple of 4.
pub fn ipv4_with_options(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let mut header = Ipv4Header {
        time_to_live: 64,
        protocol: IpNumber(protocol),
        source: source.octets(),
        destination: destination.octets(),
        options: options.try_into().expect("0 to 40 bytes, a multiple of 4"),
        ..Ipv4Header::default()
    };
    header.total_len = (header.header_len() + payload.len()) as u16;
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

/// An IPv6 packet; extension headers are part of what it carries.
pub fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: payload.len() as u16,
        next_header: IpNumber(next),
        hop_limit: 64,
        source: source.octets(),
        destination: destination.octets(),
    };
    [&header.to_bytes()[..], payload].concat()
}

/// An extension header of the usual form: next header, length in units of 8 bytes after the first, data. `data` is
/// filled with zeros to a whole unit. Hop-by-hop options, destination options and routing look like this.
pub fn extension(next: u8, data: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = (2 + data.len()).next_multiple_of(8);
    let mut header = vec![next, (length / 8 - 1) as u8];
    header.extend_from_slice(data);
    header.resize(length, 0);
    [&header[..], payload].concat()
}

/// An IPv6 fragment header of packet 7; `offset` in units of 8 bytes.
pub fn fragment(next: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let place = (offset << 3 | u16::from(more)).to_be_bytes();
    [&[next, 0, place[0], place[1], 0, 0, 0, 7], payload].concat()
}

/// An authentication header with `icv` bytes of integrity check, a multiple of 4.
pub fn authentication(next: u8, icv: usize, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![next, (icv / 4 + 1) as u8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    header.resize(12 + icv, 0xaa);
    [&header[..], payload].concat()
}

/// An SCTP packet: ports, verification tag, checksum, chunks.
pub fn sctp(chunks: &[u8]) -> Vec<u8> {
    [&[0x9c, 0x40, 0x0b, 0x59, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef], chunks].concat()
}

/// A TCP segment with options: 0 to 40 bytes, a multiple of 4.
pub fn tcp(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(40000, 80, 1, 1024);
    header.ack = true;
    header.set_options_raw(options).expect("0 to 40 bytes");
    [&header.to_bytes()[..], payload].concat()
}

/// A UDP datagram.
pub fn udp(payload: &[u8]) -> Vec<u8> {
    let length = (UdpHeader::LEN + payload.len()) as u16;
    let header = UdpHeader { source_port: 40000, destination_port: 53, length, checksum: 0 };
    [&header.to_bytes()[..], payload].concat()
}

/// An ICMP or ICMPv6 message: type, code, checksum, the second word of its header, the rest.
pub fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0, 0, 1, 0, 2], rest].concat()
}

/// The frame between these MAC addresses.
pub fn between(destination: MacAddress, source: MacAddress, frame: Vec<u8>) -> Vec<u8> {
    patched(patched(frame, 0, &destination.0), 6, &source.0)
}

/// The segment from one port to another; of TCP, UDP or SCTP.
pub fn ports(source: u16, destination: u16, segment: Vec<u8>) -> Vec<u8> {
    patched(patched(segment, 0, &source.to_be_bytes()), 2, &destination.to_be_bytes())
}

/// A fragment of an IPv4 packet: `offset` in units of 8 bytes, and whether more follow.
pub fn fragment_v4(packet: Vec<u8>, identification: u16, offset: u16, more: bool) -> Vec<u8> {
    let place = offset | if more { 0x2000 } else { 0 };
    patched(patched(packet, 4, &identification.to_be_bytes()), 6, &place.to_be_bytes())
}

/// The same bytes with some of them replaced from `offset` on.
pub fn patched(mut bytes: Vec<u8>, offset: usize, with: &[u8]) -> Vec<u8> {
    bytes[offset..offset + with.len()].copy_from_slice(with);
    bytes
}

/// The first `length` bytes, or all of them and zeros behind.
pub fn resized(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.resize(length, 0);
    bytes
}
