//! Numbered packets: a sender that notes when it sent each, and the numbers in what an agency has.
//!
//! Each tick sends one UDP packet of each party: with an even number from the party to [`PEER_V4`] or [`PEER_V6`], with
//! an odd one the other way. The number stands at the end of the payload and in the party's port, so that a header
//! report shows it too.

use etherparse::PacketBuilder;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use writ_lab::{Ends, FrameSender, IpPacket};

/// Whom all parties talk to.
const PEER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80);
/// The peer's port (discard), and the party's port of packet 0.
const PEER_PORT: u16 = 9;
const FIRST_PORT: u16 = 10_000;
/// Stands in every payload, in front of the number.
pub(crate) const CONTENT: &[u8] = b"what-they-say-to-each-other";
/// A packet a millisecond from each party.
const PACE: Duration = Duration::from_millis(1);

/// When the packets of one number were sent, in nanoseconds since 1970: they passed the tap after `before`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) before_ns: u64,
    pub(crate) after_ns: u64,
}

/// One packet as an agency has it: its number, and the time in its record.
pub(crate) type Delivered = (usize, u64);

/// A sender under way.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sent>>,
}

impl Traffic {
    /// Starts to send, until it is stopped or a link is down. Packets go out of the interfaces in turn.
    pub(crate) fn start(mut ports: Vec<FrameSender>, parties: &[IpAddr]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, parties) = (Arc::clone(&stop), parties.to_vec());
        let thread = thread::spawn(move || {
            let mut sent = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let number = sent.len();
                let frames: Vec<_> = parties.iter().map(|party| frame(*party, number)).collect();
                let port = number % ports.len();
                let before_ns = now_ns();
                // The probe takes its port down at its end, if it was down before: then nothing passes any more.
                if frames.iter().any(|frame| ports[port].send(frame).is_err()) {
                    break;
                }
                sent.push(Sent { before_ns, after_ns: now_ns() });
                thread::sleep(PACE);
            }
            sent
        });
        Self { stop, thread }
    }

    /// Ends it, and gives what was sent, by number.
    pub(crate) fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the sender does not panic")
    }
}

/// The frame of one party and number.
pub(crate) fn frame(party: IpAddr, number: usize) -> Vec<u8> {
    let port = FIRST_PORT + u16::try_from(number).ok().filter(|number| *number < 50_000).expect("a short test");
    let outward = number.is_multiple_of(2);
    let peer: IpAddr = if party.is_ipv4() { PEER_V4.into() } else { PEER_V6.into() };
    let (source, destination) = if outward { (party, peer) } else { (peer, party) };
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 64),
        _ => unreachable!("a party and its peer are of one family"),
    };
    let udp = if outward { ip.udp(port, PEER_PORT) } else { ip.udp(PEER_PORT, port) };
    let payload = [CONTENT, &(number as u32).to_be_bytes()].concat();
    let mut frame = Vec::new();
    udp.write(&mut frame, &payload).expect("a vector takes all");
    frame
}

/// The numbers in packets.
pub(crate) fn of_packets(packets: &[IpPacket]) -> Vec<Delivered> {
    let number = |packet: &IpPacket| {
        let (payload, number) = packet.bytes.split_last_chunk::<4>().expect("a packet with a number");
        assert!(payload.ends_with(CONTENT), "a packet that nobody sent: {packet:?}");
        (u32::from_be_bytes(*number) as usize, packet.utc_ns)
    };
    packets.iter().map(number).collect()
}

/// The numbers in header reports.
pub(crate) fn of_reports(reports: &[(u64, Ends)]) -> Vec<Delivered> {
    let number = |(utc_ns, ends): &(u64, Ends)| {
        let (source, destination) = ends.ports.expect("a report of a UDP packet has ports");
        let port = if source == PEER_PORT { destination } else { source };
        (usize::from(port - FIRST_PORT), *utc_ns)
    };
    reports.iter().map(number).collect()
}

/// Holds what an agency has against what was sent: each packet at most once, every packet sent within `surely`, and
/// none stamped or sent outside `possibly`. Both in nanoseconds since 1970.
pub(crate) fn hold(what: &str, sent: &[Sent], delivered: &[Delivered], surely: Range<u64>, possibly: Range<u64>) {
    let mut times = BTreeMap::new();
    for (number, stamp) in delivered {
        assert!(times.insert(*number, *stamp).is_none(), "{what}: number {number} is there twice");
        let Sent { before_ns, after_ns } = sent[*number];
        assert!(possibly.contains(stamp), "{what}: number {number} is stamped {stamp}, outside {possibly:?}");
        assert!(
            after_ns >= possibly.start && before_ns < possibly.end,
            "{what}: number {number} was sent from {before_ns} to {after_ns}, outside {possibly:?}"
        );
        // The handover cuts to microseconds.
        assert!(stamp + 1_000 > before_ns, "{what}: number {number} is stamped {stamp}, before it was sent");
    }
    let wanted =
        sent.iter().enumerate().filter(|(_, sent)| sent.before_ns >= surely.start && sent.after_ns < surely.end);
    let missing: Vec<_> = wanted.clone().map(|(number, _)| number).filter(|n| !times.contains_key(n)).collect();
    assert!(wanted.count() > 50, "{what}: too few packets to prove anything");
    assert!(missing.is_empty(), "{what}: {} packets are missing, the first {:?}", missing.len(), missing.first());
}

/// The time now, in nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
    u64::try_from(now.as_nanos()).expect("it is before 2554")
}
