//! IPv4: the base header, which decides, and the way behind it.

use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, ProbeCounter};

use crate::count::Counters;
use crate::scratch::Scratch;
use crate::{lookup, packet, transport};

/// The base header, RFC 791 section 3.1.
#[repr(C)]
struct Base {
    version_and_length: u8,
    _service: u8,
    _total_length: [u8; 2],
    _identification: [u8; 2],
    _fragment: [u8; 2],
    _time_to_live: u8,
    _protocol: u8,
    _checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

const BASE_LENGTH: u16 = size_of::<Base>() as u16;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Looks up both addresses. `None`: no intercept has one of them, or this is not IPv4; counted.
#[inline(always)]
pub fn look_up(ctx: &XdpContext, ip: usize, counters: Counters) -> Option<&'static mut Scratch> {
    let Some(base) = packet::at::<Base>(ctx, ip) else {
        counters.count(ProbeCounter::TooShort);
        return None;
    };
    // SAFETY: `at` has checked the bounds, and nothing moves the packet while this lives.
    let base = unsafe { &*base };
    if base.version_and_length >> 4 != 4 {
        counters.count(ProbeCounter::BadVersion);
        return None;
    }
    lookup::both(base.source, base.destination, counters)
}

/// Finds where the packet and its headers end.
#[inline(always)]
pub fn walk(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters) {
    let ip = scratch.header.ip_offset;
    let frame_end = scratch.frame_end();
    let Some(base) = packet::load::<{ BASE_LENGTH as usize }>(ctx, ip) else { return };
    let header_length = u16::from(base[0] & 15) * 4;
    let total_length = u16::from_be_bytes([base[2], base[3]]);
    let fragment = u16::from_be_bytes([base[6], base[7]]);
    let protocol = base[9];
    scratch.header.protocol = protocol;
    if fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        scratch.header.flags |= FrameFlags::FRAGMENT;
    }

    // A total length of 0 is what segmentation offload leaves for packets over 64 KiB: then the frame is the packet.
    let impossible = header_length < BASE_LENGTH || (total_length != 0 && total_length < header_length);
    let ip_end =
        if impossible || total_length == 0 { frame_end } else { frame_end.min(ip.saturating_add(total_length)) };
    scratch.header.ip_end = ip_end;
    let offset = ip + header_length;
    if impossible || offset > ip_end {
        counters.count(ProbeCounter::BadIpHeader);
        scratch.header.header_end = ip + BASE_LENGTH;
        return;
    }
    scratch.header.header_end = offset;
    if fragment & FRAGMENT_OFFSET != 0 {
        counters.count(ProbeCounter::LaterFragments);
        return;
    }
    transport::read(ctx, scratch, counters, transport::Family::V4, protocol, offset);
}
