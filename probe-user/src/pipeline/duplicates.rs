//! Packets that a mirror shows twice: one that copies the ingress and the egress of a switch or router, or two ports that
//! a packet passes one after the other. Each worker remembers keyed digests of the packets that hit an intercept, for a
//! short window, in a table of fixed size. Bystanders' packets never come here.
//!
//! What is compared is the IP packet without what a router changes on the way: type of service or traffic class, time to
//! live or hop limit, the IPv4 header's checksum. MAC addresses and tags are outside it. Every other byte counts, under a
//! secret of this worker: checksums and lengths alone would let a target send a decoy that makes the probe drop the
//! packet behind it. The digest need not withstand those who see it, since nobody does; SipHash, which would, costs a
//! microsecond for a full frame, more than all else that is done with it.
//!
//! Equal bytes alone do not make one packet of two, so there has to be something in a packet that names it:
//!
//! - an IPv4 identification, which is not repeated while a packet lives (RFC 6864 leaves it open for packets that must
//!   not be fragmented, and systems count it up for these too), or an IPv6 fragment header, which has one;
//! - a TCP sequence number with payload behind it. A sender repeats such a segment when a round trip has passed without
//!   an acknowledgement, in IPv6 and in IPv4 without identification possibly byte for byte, so the window has to be
//!   shorter than the shortest round trip of a connection;
//! - else another time to live than that of its likeness: two packets of one sender come along one way with the same
//!   one. (Traceroute varies it, and numbers its probes.) A datagram sent twice over IPv6, or an acknowledgement sent
//!   three times, is two and three packets.
//!
//! Not recognised, and delivered twice: what came in on two ports or two queues (a NIC spreads packets by addresses and
//! ports, so copies mostly share a queue); copies of which one was translated (NAT), wrapped or fragmented in between;
//! what has no name and comes twice with the same time to live; what was pushed out of the table.

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use writ_abi::{FrameFlags, FrameHeader};
use writ_capture::{DuplicateAction, PortSettings};

/// Packets remembered: sets of as many as share a cache line. 256 KiB hold the hits of 2 ms at 8 million a second.
const SETS: usize = 4096;
const WAYS: usize = 4;

const TCP: u8 = 6;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

/// A packet that was seen, in two words. All zeros: none.
#[derive(Clone, Copy, Default)]
struct Seen {
    digest: u64,
    /// When, in nanoseconds; the last eight bits are its time to live.
    time_and_hops: u64,
}

impl Seen {
    fn hops(self) -> u8 {
        self.time_and_hops as u8
    }
}

/// What one worker remembers of the packets of its queue.
pub struct Duplicates {
    drop: bool,
    window_ns: u64,
    secret: (u64, SharedSeed),
    sets: Box<[[Seen; WAYS]]>,
    count: u64,
}

impl Duplicates {
    /// As a port is set up; none if it is to take packets as they come.
    pub fn of(settings: &PortSettings) -> Option<Self> {
        let drop = match settings.duplicates {
            DuplicateAction::Off => return None,
            DuplicateAction::Count => false,
            DuplicateAction::Drop => true,
        };
        Some(Self::new(drop, Duration::from_micros(settings.duplicate_window_us.into())))
    }

    fn new(drop: bool, window: Duration) -> Self {
        let sets = vec![[Seen::default(); WAYS]; SETS].into_boxed_slice();
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        // The standard library's keys come from the system's random numbers.
        let random = RandomState::new();
        let secret = (random.hash_one(0), SharedSeed::from_u64(random.hash_one(1)));
        Self { drop, window_ns, secret, sets, count: 0 }
    }

    /// Whether duplicates are to be dropped, and not only counted.
    pub fn are_dropped(&self) -> bool {
        self.drop
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the packet in a frame was seen before within the window. `time_ns` is the frame's.
    pub fn recognise(&mut self, header: &FrameHeader, frame: &[u8], time_ns: u64) -> bool {
        let Some(packet) = Packet::read(header, frame) else { return false };
        let packet_digest = self.digest(&packet);
        let Some(set) = self.sets.get_mut(packet_digest as usize % SETS) else { return false };
        let known = set.iter().any(|seen| {
            seen.digest == packet_digest
                && time_ns.abs_diff(seen.time_and_hops) <= self.window_ns
                && (packet.is_named || seen.hops() != packet.hops)
        });
        if known {
            // The first stays: a third copy is held against it too.
            self.count += 1;
            return true;
        }
        if let Some(oldest) = set.iter_mut().min_by_key(|seen| seen.time_and_hops) {
            *oldest = Seen { digest: packet_digest, time_and_hops: time_ns & !0xff | u64::from(packet.hops) };
        }
        false
    }

    fn digest(&self, packet: &Packet<'_>) -> u64 {
        let (seed, shared) = &self.secret;
        let mut hasher = FoldHasher::with_seed(*seed, shared);
        for word in packet.header {
            hasher.write_u64(word);
        }
        hasher.write(packet.behind);
        hasher.finish()
    }
}

/// A packet as it is compared.
struct Packet<'a> {
    /// The base header without what changes on the way, in words of which the lowest byte comes first.
    header: [u64; V6_HEADER / 8],
    behind: &'a [u8],
    hops: u8,
    /// Whether there is something in it that tells it apart from a packet of the same bytes.
    is_named: bool,
}

impl<'a> Packet<'a> {
    #[inline]
    fn read(header: &FrameHeader, frame: &'a [u8]) -> Option<Self> {
        // A frame that was cut ends before its packet does.
        let end = frame.len().min(header.ip_end.into());
        let packet = frame.get(header.ip_offset.into()..end)?;
        let is_v6 = header.flags & FrameFlags::IPV6 != 0;
        if packet.first()? >> 4 != if is_v6 { 6 } else { 4 } {
            return None;
        }
        let word = u64::from_le_bytes;
        let (base, behind, hops, has_identification) = if is_v6 {
            let (base, behind) = packet.split_first_chunk::<V6_HEADER>()?;
            let (&[first, a, b, c, d], []) = base.as_chunks() else { return None };
            // The traffic class lies across the first two bytes; the hop limit is the eighth.
            let first = word(first) & !0xff00_0000_0000_f00f;
            let base_words = [first, word(a), word(b), word(c), word(d)];
            (base_words, behind, base[7], header.flags & FrameFlags::FRAGMENT != 0)
        } else {
            let (base, behind) = packet.split_first_chunk::<V4_HEADER>()?;
            let (&[first, second], &[a, b, c, d]) = base.as_chunks() else { return None };
            // The type of service is the second byte, the time to live the ninth; the checksum follows the protocol.
            let (first, second) = (word(first) & !0xff00, word(second) & !0xffff_00ff);
            let base_words = [first, second, u32::from_le_bytes([a, b, c, d]).into(), 0, 0];
            (base_words, behind, base[8], base[4] | base[5] != 0)
        };
        let has_sequence =
            header.flags & FrameFlags::TRANSPORT != 0 && header.protocol == TCP && header.header_end < header.ip_end;
        Some(Self { header: base, behind, hops, is_named: has_identification || has_sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    const WINDOW_US: u64 = 2000;
    /// The moment of the first packet. Stamps are kept to 256 ns.
    const T: u64 = 1 << 40;

    fn table() -> Duplicates {
        Duplicates::new(true, Duration::from_micros(WINDOW_US))
    }

    /// A packet in Ethernet, and what the kernel says of it.
    #[derive(Clone)]
    struct Frame {
        header: FrameHeader,
        bytes: Vec<u8>,
    }

    impl Frame {
        fn v4(identification: u16, protocol: u8, payload: &[u8]) -> Self {
            let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0x12, 0x34, 198, 51, 100, 7, 203, 0, 113, 9];
            ip[4..6].copy_from_slice(&identification.to_be_bytes());
            Self::new(0, ip, protocol, payload)
        }

        fn v6(protocol: u8, payload: &[u8]) -> Self {
            let mut ip = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            ip.extend([0x20; 32]);
            Self::new(FrameFlags::IPV6, ip, protocol, payload)
        }

        fn new(flags: u32, ip: Vec<u8>, protocol: u8, payload: &[u8]) -> Self {
            let transport = if protocol == TCP { vec![1; 20] } else { vec![2; 8] };
            let mut header = FrameHeader::new_zeroed();
            header.flags = flags | FrameFlags::TRANSPORT;
            header.protocol = protocol;
            header.ip_offset = 14;
            header.header_end = (14 + ip.len() + transport.len()) as u16;
            let bytes = [vec![0xee; 14], ip, transport, payload.to_vec()].concat();
            header.ip_end = bytes.len() as u16;
            Self { header, bytes }
        }

        /// As it leaves a router: other MAC addresses, another class, a hop less, another checksum.
        fn routed(&self) -> Self {
            let mut routed = self.clone();
            routed.bytes[..12].fill(0xaa);
            if self.header.flags & FrameFlags::IPV6 == 0 {
                routed.bytes[15] = 0xb8;
                routed.bytes[22] -= 1;
                routed.bytes[24] ^= 0x5a;
            } else {
                routed.bytes[14] |= 0x0b;
                routed.bytes[15] |= 0x80;
                routed.bytes[21] -= 1;
            }
            routed
        }
    }

    fn seen(table: &mut Duplicates, frame: &Frame, after_us: u64) -> bool {
        table.recognise(&frame.header, &frame.bytes, T + after_us * 1000)
    }

    #[test]
    fn a_copy_is_recognised_within_the_window_and_not_behind_it() {
        for frame in [Frame::v4(7, 17, b"datagram"), Frame::v4(7, TCP, b""), Frame::v6(TCP, b"segment")] {
            let mut table = table();
            assert!(!seen(&mut table, &frame, 0));
            assert!(seen(&mut table, &frame, 10));
            assert!(seen(&mut table, &frame.routed(), WINDOW_US - 1), "a third copy, behind a router");
            assert!(!seen(&mut table, &frame, WINDOW_US + 1), "too late to be a copy");
            assert!(seen(&mut table, &frame, WINDOW_US + 2));
            assert_eq!(table.count(), 3);
        }
    }

    #[test]
    fn packets_without_a_name_are_copies_only_behind_a_router() {
        for frame in [Frame::v6(17, b"datagram"), Frame::v6(TCP, b""), Frame::v4(0, 17, b"datagram")] {
            let mut table = table();
            assert!(!seen(&mut table, &frame, 0));
            assert!(!seen(&mut table, &frame, 1), "the same again");
            assert!(seen(&mut table, &frame.routed(), 2));
        }
    }

    #[test]
    fn every_byte_tells_two_packets_apart() {
        let frame = Frame::v4(7, 17, &[9; 300]);
        for place in 14..frame.bytes.len() {
            let mut other = frame.clone();
            other.bytes[place] ^= 1;
            let changes_on_the_way = matches!(place - 14, 1 | 8 | 10 | 11);
            let mut table = table();
            assert!(!seen(&mut table, &frame, 0));
            assert_eq!(seen(&mut table, &other, 1), changes_on_the_way, "byte {place}");
        }
    }

    #[test]
    fn a_frame_cut_to_its_headers_is_compared_by_them() {
        let whole = Frame::v6(TCP, &[9; 300]);
        let mut cut = whole.clone();
        cut.header.flags |= FrameFlags::CUT;
        cut.bytes.truncate(cut.header.header_end.into());
        let mut table = table();
        assert!(!seen(&mut table, &cut, 0));
        assert!(seen(&mut table, &cut.routed(), 1));
    }

    #[test]
    fn ethernet_padding_is_no_part_of_a_packet() {
        let frame = Frame::v4(7, 17, b"x");
        let mut padded = frame.clone();
        padded.bytes.extend([0x55; 17]);
        let mut table = table();
        assert!(!seen(&mut table, &frame, 0));
        assert!(seen(&mut table, &padded, 1));
    }

    #[test]
    fn a_full_table_forgets_the_oldest() {
        let mut table = table();
        let frames: Vec<_> = (1..=SETS as u16 * 8).map(|id| Frame::v4(id, 17, b"datagram")).collect();
        assert!(!frames.iter().any(|frame| seen(&mut table, frame, 0)));
        assert!(seen(&mut table, frames.last().unwrap(), 1));
        assert!(table.count() == 1);
    }

    #[test]
    fn what_is_no_packet_is_no_copy() {
        let frame = Frame::v6(17, b"datagram");
        let mut table = table();
        for length in 0..14 + V6_HEADER {
            assert!(!table.recognise(&frame.header, &frame.bytes[..length], T));
            assert!(!table.recognise(&frame.header, &frame.bytes[..length], T));
        }
        let mut other = frame.routed();
        for first in [0x00, 0x45, 0xf0] {
            other.bytes[14] = first;
            assert!(!seen(&mut table, &other, 0));
            assert!(!seen(&mut table, &other, 0));
        }
    }
}
