//! The frames that are sent: UDP in IP in Ethernet, all of one shape. Checksums are 0; nobody in the lab asks for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ETHERNET: usize = 14;
const UDP: [u8; 4] = [0x9c, 0x40, 0x00, 0x35];

/// A frame from one address to another of the same family. `length` counts from the Ethernet header on, without the
/// check sequence; what is too short for the headers is made long enough.
pub fn udp(source: IpAddr, destination: IpAddr, length: usize) -> Option<Vec<u8>> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Some(udp_v4(source, destination, length)),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Some(udp_v6(source, destination, length)),
        _ => None,
    }
}

/// The same for IPv4.
pub fn udp_v4(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> Vec<u8> {
    let ip_length = length.max(ETHERNET + 28) - ETHERNET;
    let mut frame = ethernet(0x0800);
    frame.extend([0x45, 0]);
    frame.extend(number(ip_length));
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    datagram(frame, ip_length - 20)
}

/// The same for IPv6.
pub fn udp_v6(source: Ipv6Addr, destination: Ipv6Addr, length: usize) -> Vec<u8> {
    let payload = length.max(ETHERNET + 48) - ETHERNET - 40;
    let mut frame = ethernet(0x86dd);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(number(payload));
    frame.extend([17, 64]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    datagram(frame, payload)
}

fn ethernet(ether_type: u16) -> Vec<u8> {
    // Locally administered addresses: nobody's.
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ether_type.to_be_bytes());
    frame
}

fn datagram(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    let end = frame.len() + length;
    frame.extend(UDP);
    frame.extend(number(length));
    frame.extend([0, 0]);
    let payload = frame.len();
    frame.extend((payload..end).map(|place| (place % 251) as u8));
    frame
}

/// Lengths here are those of single frames.
fn number(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}
