//! IPv6: the base header, which decides. Its extension headers are walked in `extensions`.

use aya_ebpf::programs::XdpContext;
use core::mem::offset_of;
use writ_abi::ProbeCounter;

use crate::extensions::{self, NO_NEXT_HEADER};
use crate::packet;
use crate::scratch::Scratch;

/// The base header, RFC 8200 section 3.
#[repr(C)]
pub struct Base {
    version: u8,
    _class_and_flow: [u8; 3],
    _payload_length: [u8; 2],
    next_header: u8,
    _hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

/// Length of the base header, and where in it the fields are that are read alone.
pub const BASE_LENGTH: u16 = size_of::<Base>() as u16;
pub const NEXT_HEADER: u16 = offset_of!(Base, next_header) as u16;
pub const SOURCE: u16 = offset_of!(Base, source) as u16;
pub const DESTINATION: u16 = offset_of!(Base, destination) as u16;

/// Both addresses of a plain frame's packet, each in two halves.
#[inline(always)]
pub fn addresses(ctx: &XdpContext, ip: usize) -> Result<([[u8; 8]; 2], [[u8; 8]; 2]), ProbeCounter> {
    let Some(base) = packet::at::<Base>(ctx, ip) else { return Err(ProbeCounter::TooShort) };
    // SAFETY: `at` has checked the bounds.
    if unsafe { (*base).version } >> 4 != 6 {
        return Err(ProbeCounter::BadVersion);
    }
    // SAFETY: as above.
    Ok(unsafe { addresses_at(base) })
}

/// Both addresses of a base header, each in two halves.
///
/// # Safety
/// All of the header is in the first buffer, which was checked.
#[inline(always)]
pub unsafe fn addresses_at(base: *const Base) -> ([[u8; 8]; 2], [[u8; 8]; 2]) {
    const SOURCE: usize = offset_of!(Base, source);
    const DESTINATION: usize = offset_of!(Base, destination);
    // SAFETY: as the caller has it.
    unsafe {
        let source = [packet::eight::<_, SOURCE>(base), packet::eight::<_, { SOURCE + 8 }>(base)];
        (source, [packet::eight::<_, DESTINATION>(base), packet::eight::<_, { DESTINATION + 8 }>(base)])
    }
}

/// Finds where the packet and its headers end, and which options are to be blanked. Returns what ended the walk before
/// a transport header was read.
#[inline(always)]
pub fn walk(ctx: &XdpContext, scratch: &mut Scratch) -> Option<ProbeCounter> {
    let ip = scratch.header.ip_offset;
    let base = packet::load::<8>(ctx, ip)?;
    let payload_length = u16::from_be_bytes([base[4], base[5]]);
    let next = base[6];
    let offset = ip + BASE_LENGTH;
    scratch.stop_at(next, offset);
    // A payload length of 0 is that of a jumbogram (RFC 2675) and what segmentation offload leaves for packets over
    // 64 KiB: then the frame is the packet, unless the packet itself says that nothing follows.
    if payload_length != 0 || next == NO_NEXT_HEADER {
        scratch.header.ip_end = scratch.header.ip_end.min(offset.saturating_add(payload_length));
    }
    extensions::walk(ctx, scratch)
}
