//! IPv4: the base header, which decides, and the way behind it.

use aya_ebpf::programs::XdpContext;
use core::mem::offset_of;
use writ_abi::{FrameFlags, ProbeCounter};

use crate::scratch::Scratch;
use crate::{extensions, packet};

/// The base header, RFC 791 section 3.1.
#[repr(C)]
pub struct Base {
    version_and_length: u8,
    _service: u8,
    _total_length: [u8; 2],
    _identification: [u8; 2],
    _fragment: [u8; 2],
    _time_to_live: u8,
    protocol: u8,
    _checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

/// Length of the base header, and where in it the fields are that are read alone.
pub const BASE_LENGTH: u16 = size_of::<Base>() as u16;
pub const PROTOCOL: u16 = offset_of!(Base, protocol) as u16;
pub const SOURCE: u16 = offset_of!(Base, source) as u16;
pub const DESTINATION: u16 = offset_of!(Base, destination) as u16;

const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Both addresses of a plain frame's packet.
#[inline(always)]
pub fn addresses(ctx: &XdpContext, ip: usize) -> Result<([u8; 4], [u8; 4]), ProbeCounter> {
    let Some(base) = packet::at::<Base>(ctx, ip) else { return Err(ProbeCounter::TooShort) };
    // SAFETY: `at` has checked the bounds.
    if unsafe { (*base).version_and_length } >> 4 != 4 {
        return Err(ProbeCounter::BadVersion);
    }
    // SAFETY: as above.
    Ok(unsafe { addresses_at(base) })
}

/// Both addresses of a base header.
///
/// # Safety
/// All of the header is in the first buffer, which was checked.
#[inline(always)]
pub unsafe fn addresses_at(base: *const Base) -> ([u8; 4], [u8; 4]) {
    // SAFETY: as the caller has it.
    unsafe {
        let source = packet::four::<_, { offset_of!(Base, source) }>(base);
        (source, packet::four::<_, { offset_of!(Base, destination) }>(base))
    }
}

/// Finds where the packet and its headers end. Returns what ended the walk before a transport header was read.
#[inline(always)]
pub fn walk(ctx: &XdpContext, scratch: &mut Scratch) -> Option<ProbeCounter> {
    let ip = scratch.header.ip_offset;
    let bound = scratch.header.ip_end;
    let base = packet::load::<{ BASE_LENGTH as usize }>(ctx, ip)?;
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
    let ip_end = if impossible || total_length == 0 { bound } else { bound.min(ip.saturating_add(total_length)) };
    scratch.header.ip_end = ip_end;
    let offset = ip + header_length;
    if impossible || offset > ip_end {
        scratch.header.header_end = ip + BASE_LENGTH;
        return Some(ProbeCounter::BadIpHeader);
    }
    scratch.header.header_end = offset;
    if fragment & FRAGMENT_OFFSET != 0 {
        return Some(ProbeCounter::LaterFragments);
    }
    extensions::walk(ctx, scratch)
}
