//! The agency's view of a download: HTTP bodies put together again from nothing but IP packets.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use etherparse::{SlicedPacket, TransportSlice};

use crate::IpPacket;

/// What one side of a connection sent: first sequence number and the segments by distance from it.
#[derive(Default)]
struct Half {
    start: Option<u32>,
    segments: BTreeMap<u32, Vec<u8>>,
}

impl Half {
    /// Takes a segment. Order and repeats do not matter; a connection is shorter than 4 GiB here.
    fn take(&mut self, sequence: u32, syn: bool, payload: &[u8]) {
        if syn {
            self.start = Some(sequence.wrapping_add(1));
        }
        if payload.is_empty() {
            return;
        }
        let kept = self.segments.entry(sequence).or_default();
        if payload.len() > kept.len() {
            *kept = payload.to_vec();
        }
    }

    /// The bytes from the start up to the first hole.
    fn bytes(&self) -> Vec<u8> {
        let Some(start) = self.start else { return Vec::new() };
        let mut ordered: Vec<_> =
            self.segments.iter().map(|(sequence, payload)| (sequence.wrapping_sub(start) as usize, payload)).collect();
        ordered.sort_by_key(|(offset, _)| *offset);
        let mut bytes = Vec::new();
        for (offset, payload) in ordered {
            if offset > bytes.len() {
                break;
            }
            if let Some(new) = payload.get(bytes.len() - offset..) {
                bytes.extend_from_slice(new);
            }
        }
        bytes
    }
}

/// The bodies of all HTTP/1.1 answers that `server` gave, one a connection, in the order of the clients' addresses.
///
/// A body that is incomplete (a packet is missing) is left out: what is returned has the length its header states.
pub fn rebuild_http_bodies(packets: &[IpPacket], server: SocketAddr) -> Vec<Vec<u8>> {
    let mut halves: HashMap<SocketAddr, Half> = HashMap::new();
    for packet in packets {
        let Some(ends) = packet.ends() else { continue };
        let Ok(sliced) = SlicedPacket::from_ip(&packet.bytes) else { continue };
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { continue };
        if SocketAddr::new(ends.source, tcp.source_port()) == server {
            let client = SocketAddr::new(ends.destination, tcp.destination_port());
            halves.entry(client).or_default().take(tcp.sequence_number(), tcp.syn(), tcp.payload());
        }
    }
    let mut clients: Vec<_> = halves.into_iter().collect();
    clients.sort_by_key(|(client, _)| *client);
    clients.into_iter().filter_map(|(_, half)| http_body(half.bytes())).collect()
}

/// The body behind the header, if as many bytes are there as Content-Length says.
fn http_body(mut answer: Vec<u8>) -> Option<Vec<u8>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let header = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length: usize = header.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let body = answer.split_off(end + 4);
    (body.len() >= length).then(|| body[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const SERVER: &str = "192.0.2.1:80";

    fn segment(sequence: u32, syn: bool, payload: &[u8]) -> IpPacket {
        let builder = PacketBuilder::ipv4([192, 0, 2, 1], [198, 51, 100, 7], 64).tcp(80, 40000, sequence, 1000);
        let builder = if syn { builder.syn() } else { builder };
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).expect("writes to memory");
        IpPacket { utc_ns: 0, bytes }
    }

    #[test]
    fn a_body_survives_disorder_repeats_and_wrap_around() {
        let server = SERVER.parse().expect("an address");
        let first = u32::MAX - 20;
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
        let mut packets = vec![segment(first, true, b"")];
        let at = |offset: usize| first.wrapping_add(1).wrapping_add(u32::try_from(offset).expect("short"));
        packets.push(segment(at(30), false, &text[30..]));
        packets.push(segment(at(0), false, &text[..20]));
        packets.push(segment(at(10), false, &text[10..30]));
        packets.push(segment(at(0), false, &text[..20]));
        assert_eq!(rebuild_http_bodies(&packets, server), [b"0123456789".to_vec()]);
        packets.remove(1);
        assert!(rebuild_http_bodies(&packets, server).is_empty(), "a hole is no body");
    }
}
