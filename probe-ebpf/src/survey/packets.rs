//! Whether a packet came before: a mirror that copies a switch's ingress and its egress shows each packet twice.
//!
//! Packets are compared by what no router changes of them: the IP header without type of service, time to live and
//! checksum, and the first bytes behind the headers of IP, with the transport's checksum in them. Only those are compared
//! that say which they are: TCP segments with payload, and IPv4 packets with an identification. An acknowledgement that
//! is sent three times over IPv6 is three packets, and nothing in them says so.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, SurveyCounter, SurveyedPacket};

use super::addresses;
use super::digest::{self, Digest};
use super::tally::Tally;
use crate::network::Family;
use crate::packet;
use crate::scratch::Scratch;
use crate::transport::TCP;

#[map]
static WRIT_SRVPACKETS: Array<SurveyedPacket> = Array::with_max_entries(1, 0);

/// How many places there are, less one; set at load.
#[unsafe(no_mangle)]
static WRIT_SURVEY_LAST: u32 = 0;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;

/// Holds a packet against those before it.
#[inline(always)]
pub fn compare(ctx: &XdpContext, tally: Tally, scratch: &mut Scratch) {
    let _ = try_compare(ctx, tally, scratch);
}

#[inline(always)]
fn try_compare(ctx: &XdpContext, tally: Tally, scratch: &mut Scratch) -> Option<()> {
    let network = scratch.network();
    let header_end = scratch.header.header_end;
    let has_payload = scratch.header.protocol == TCP
        && scratch.header.flags & FrameFlags::TRANSPORT != 0
        && header_end < scratch.header.ip_end;
    let base = packet::load::<8>(ctx, network.offset)?;
    let [b0, b1, b2, b3, b4, b5, b6, b7] = base;
    let (named, hops, fixed) = match network.family {
        Family::V4 => {
            let [hops] = packet::load::<1>(ctx, network.offset + 8)?;
            (b4 | b5 != 0, hops, u64::from_ne_bytes([b0, 0, b2, b3, b4, b5, b6, b7]))
        }
        // The flow label stays, the traffic class does not; the hop limit is the last byte.
        Family::V6 => (false, b7, u64::from_ne_bytes([b0 & 0xf0, b1 & 0x0f, b2, b3, b4, b5, b6, 0])),
    };
    if !named && !has_payload {
        return None;
    }
    let [source, destination] = addresses(ctx, network)?;
    // Of the transport header at least what is as long as UDP's; the checksum of whole datagrams is in it.
    let behind =
        if scratch.header.flags & FrameFlags::TRANSPORT == 0 { header_end } else { scratch.header.transport_offset };
    let first: [u8; 8] = packet::within(ctx, behind, scratch.header.ip_end).unwrap_or_default();
    let then: [u8; 16] = packet::within(ctx, behind.saturating_add(8), scratch.header.ip_end).unwrap_or_default();
    let digest = Digest::new()
        .word(fixed)
        .words(source)
        .words(destination)
        .word(u64::from_ne_bytes(first))
        .words(digest::words(then))
        .word(scratch.header.protocol.into())
        .finish();
    let macs: [u8; 12] = packet::load(ctx, 0)?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = macs;
    let link = Digest::new()
        .word(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
        .word(u64::from(u32::from_ne_bytes([i, j, k, l])) << 32 | u64::from(network.offset))
        .finish() as u32;
    look_up(tally, digest, link, hops.into())
}

#[inline(always)]
fn look_up(tally: Tally, digest: u64, link: u32, hops: u32) -> Option<()> {
    tally.count(SurveyCounter::Compared);
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    // SAFETY: a reference to a static is good for a read.
    let last = unsafe { core::ptr::read_volatile(&raw const WRIT_SURVEY_LAST) };
    let place = WRIT_SRVPACKETS.get_ptr_mut(digest as u32 & last)?;
    // SAFETY: map memory, which outlives the program's run. Another CPU can write it at the same time, and then an answer
    // is wrong; nothing hangs on a single one.
    let known = unsafe { &mut *place };
    let age = now.wrapping_sub(known.time_ns);
    if known.digest != digest || age > 100 * MILLISECOND {
        *known = SurveyedPacket { digest, time_ns: now, link, hops };
        return None;
    }
    match age {
        _ if age <= 100 * MICROSECOND => tally.count(SurveyCounter::DuplicateIn100us),
        _ if age <= MILLISECOND => tally.count(SurveyCounter::DuplicateIn1ms),
        _ if age <= 10 * MILLISECOND => tally.count(SurveyCounter::DuplicateIn10ms),
        _ => tally.count(SurveyCounter::DuplicateIn100ms),
    }
    tally.count_if(SurveyCounter::DuplicateRouted, known.hops != hops);
    tally.count_if(SurveyCounter::DuplicateSame, known.hops == hops && known.link == link);
    None
}
