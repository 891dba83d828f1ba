//! TCP flows: whether both directions are there, and what was lost before the tap.
//!
//! A direction's sequence numbers leave a hole where a segment was not seen. What fills it later was only late. Once the
//! far side has acknowledged the bytes of a hole, they were on the wire and not on the tap: the mirror lost them. An
//! acknowledgement of bytes behind everything seen makes a hole as well.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::XdpContext;
use writ_abi::{SurveyCounter, SurveyDirection, SurveyFlow};

use super::addresses;
use super::digest::Digest;
use super::tally::Tally;
use crate::packet;
use crate::scratch::Scratch;

#[map]
static WRIT_SRVFLOWS: LruHashMap<u64, SurveyFlow> = LruHashMap::with_max_entries(1, 0);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A flow counts from so many segments on: scans and refused connections have no other direction.
const LEAST_SEGMENTS: u32 = 4;
/// A jump over more bytes than this is no hole, but another life of the flow.
const LONGEST_HOLE: u32 = 1 << 24;

/// What a segment says, in the numbers of RFC 9293.
#[derive(Clone, Copy)]
struct Segment {
    sequence: u32,
    /// Bytes of payload, SYN and FIN.
    length: u32,
    acknowledged: u32,
    flags: u8,
}

/// Enters a segment into its flow.
#[inline(always)]
pub fn follow(ctx: &XdpContext, tally: Tally, scratch: &mut Scratch, packet_end: u32) {
    tally.count(SurveyCounter::TcpSegments);
    let _ = try_follow(ctx, tally, scratch, packet_end);
}

#[inline(always)]
fn try_follow(ctx: &XdpContext, tally: Tally, scratch: &mut Scratch, packet_end: u32) -> Option<()> {
    let head: [u8; 16] = packet::load(ctx, scratch.header.transport_offset)?;
    let [source, destination] = addresses(ctx, scratch.network())?;
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let flags = head[13];
    let payload = packet_end.saturating_sub(scratch.header.header_end.into());
    let segment = Segment {
        sequence: number(4),
        length: payload + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0),
        acknowledged: number(8),
        flags,
    };
    let end_of = |address, port: [u8; 2]| Digest::new().words(address).word(u16::from_be_bytes(port).into()).finish();
    let sender = end_of(source, [head[0], head[1]]);
    let receiver = end_of(destination, [head[2], head[3]]);
    // The same for both directions.
    let key = sender.wrapping_add(receiver);
    let forward = sender >= receiver;
    let Some(flow) = WRIT_SRVFLOWS.get_ptr_mut(&key) else {
        let mut flow = SurveyFlow { segments: 1, ..SurveyFlow::default() };
        let first = SurveyDirection { seen: 1, end: segment.end(), ..SurveyDirection::default() };
        if forward {
            flow.directions[0] = first;
        } else {
            flow.directions[1] = first;
        }
        // A table that takes no more makes the figures smaller, and nothing else.
        let _ = WRIT_SRVFLOWS.insert(&key, &flow, 0);
        return None;
    };
    // SAFETY: map memory, which outlives the program's run; see the module `survey` on what other CPUs do to it.
    let flow = unsafe { &mut *flow };
    flow.segments = flow.segments.saturating_add(1);
    let [low, high] = &mut flow.directions;
    let (own, other) = if forward { (low, high) } else { (high, low) };
    if flow.segments == LEAST_SEGMENTS {
        tally.count(SurveyCounter::TcpFlows);
    }
    let both = other.seen != 0;
    if both {
        tally.count(SurveyCounter::TcpSegmentsBoth);
        tally.add(SurveyCounter::TcpBytes, payload.into());
        if flow.segments >= LEAST_SEGMENTS && flow.counted_both == 0 {
            flow.counted_both = 1;
            tally.count(SurveyCounter::TcpFlowsBoth);
        }
    }
    if segment.flags & RST != 0 {
        return None;
    }
    sent(own, segment, tally);
    if segment.flags & ACK != 0 && both {
        acknowledged(other, segment.acknowledged, tally);
    }
    None
}

impl Segment {
    #[inline(always)]
    fn end(self) -> u32 {
        self.sequence.wrapping_add(self.length)
    }
}

/// How far `later` is behind `earlier` in sequence numbers; none if it is not, or too far to be of the same stream.
#[inline(always)]
fn ahead(later: u32, earlier: u32) -> Option<u32> {
    let distance = later.wrapping_sub(earlier);
    (distance != 0 && distance < LONGEST_HOLE).then_some(distance)
}

/// Enters a segment into the direction that it goes in.
#[inline(always)]
fn sent(own: &mut SurveyDirection, segment: Segment, tally: Tally) {
    let behind = own.end.wrapping_sub(segment.sequence);
    let far_off = behind.wrapping_add(LONGEST_HOLE) > 2 * LONGEST_HOLE;
    if own.seen == 0 || segment.flags & SYN != 0 || far_off {
        *own = SurveyDirection { seen: 1, end: segment.end(), ..SurveyDirection::default() };
        return;
    }
    if let Some(hole) = ahead(segment.sequence, own.end) {
        own.missing = own.missing.saturating_add(hole);
        own.missing_end = segment.sequence;
    } else if behind != 0 {
        fill(own, segment.length.min(behind), tally);
    }
    if ahead(segment.end(), own.end).is_some() {
        own.end = segment.end();
    }
}

/// Enters an acknowledgement into the direction that it speaks of.
#[inline(always)]
fn acknowledged(other: &mut SurveyDirection, number: u32, tally: Tally) {
    if let Some(hole) = ahead(number, other.end) {
        other.missing = other.missing.saturating_add(hole);
        other.missing_end = number;
        other.end = number;
    }
    if other.missing != 0 && (number == other.missing_end || ahead(number, other.missing_end).is_some()) {
        tally.add(SurveyCounter::TcpUnseen, other.missing.into());
        other.unseen = other.unseen.saturating_add(other.missing);
        other.missing = 0;
    }
}

/// So many bytes came that could have been in a hole. A byte that is sent again although it was seen is taken for one
/// that was not, if there is a hole: the estimate comes out too small rather than too great.
#[inline(always)]
fn fill(own: &mut SurveyDirection, bytes: u32, tally: Tally) {
    let filled = bytes.min(own.missing);
    own.missing -= filled;
    let late = (bytes - filled).min(own.unseen);
    own.unseen -= late;
    tally.add(SurveyCounter::TcpLate, late.into());
}
