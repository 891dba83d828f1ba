//! IPv6: the base header, which decides, and the extension headers behind it.

use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, MAX_OPTION_SPANS, OptionSpan, ProbeCounter};

use crate::count::Counters;
use crate::scratch::Scratch;
use crate::{lookup, packet, transport};

/// The base header, RFC 8200 section 3.
#[repr(C)]
struct Base {
    version: u8,
    _class_and_flow: [u8; 3],
    _payload_length: [u8; 2],
    _next_header: u8,
    _hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

const BASE_LENGTH: u16 = size_of::<Base>() as u16;

/// How many extension headers are walked.
const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION: u8 = 60;

/// Looks up both addresses. `None`: no intercept has one of them, or this is not IPv6; counted.
#[inline(always)]
pub fn look_up(ctx: &XdpContext, ip: usize, counters: Counters) -> Option<&'static mut Scratch> {
    let Some(base) = packet::at::<Base>(ctx, ip) else {
        counters.count(ProbeCounter::TooShort);
        return None;
    };
    // SAFETY: `at` has checked the bounds, and nothing moves the packet while this lives.
    let base = unsafe { &*base };
    if base.version >> 4 != 6 {
        counters.count(ProbeCounter::BadVersion);
        return None;
    }
    lookup::both(base.source, base.destination, counters)
}

/// Finds where the packet and its headers end, and which options are to be blanked.
#[inline(always)]
pub fn walk(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters) {
    let ip = scratch.header.ip_offset;
    let frame_end = scratch.frame_end();
    let Some(base) = packet::load::<8>(ctx, ip) else { return };
    let payload_length = u16::from_be_bytes([base[4], base[5]]);
    let mut next = base[6];
    let mut offset = ip + BASE_LENGTH;

    // A payload length of 0 is that of a jumbogram (RFC 2675) and what segmentation offload leaves for packets over
    // 64 KiB: then the frame is the packet, unless the packet itself says that nothing follows.
    let unknown = payload_length == 0 && next != NO_NEXT_HEADER;
    let ip_end = if unknown { frame_end } else { frame_end.min(offset.saturating_add(payload_length)) };
    scratch.header.ip_end = ip_end;

    let mut walked = 0;
    while let HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION = next {
        if walked == MAX_EXTENSIONS {
            counters.count(ProbeCounter::ExtensionDepth);
            scratch.stop_at(next, offset);
            return;
        }
        walked += 1;
        let extension = packet::load::<4>(ctx, offset);
        let length = match (next, extension) {
            (_, None) => u16::MAX,
            (FRAGMENT, _) => 8,
            (AUTHENTICATION, Some([_, length, ..])) => (u16::from(length) + 2) * 4,
            (_, Some([_, length, ..])) => (u16::from(length) + 1) * 8,
        };
        let end = offset.saturating_add(length);
        let Some(extension) = extension.filter(|_| end <= ip_end) else {
            counters.count(ProbeCounter::BadExtension);
            scratch.stop_at(next, offset);
            return;
        };
        match next {
            HOP_BY_HOP | DESTINATION => {
                let spans = scratch.option_spans as usize;
                if spans >= MAX_OPTION_SPANS {
                    counters.count(ProbeCounter::ExtensionDepth);
                    scratch.stop_at(next, offset);
                    return;
                }
                scratch.header.options[spans] = OptionSpan { offset: offset + 2, length: length - 2 };
                scratch.option_spans += 1;
            }
            FRAGMENT => {
                let place = u16::from_be_bytes([extension[2], extension[3]]);
                // Bit 0: more fragments follow. Bits 1 and 2 are reserved. Neither: an atomic fragment (RFC 6946),
                // which is whole.
                if place & 0xfff9 != 0 {
                    scratch.header.flags |= FrameFlags::FRAGMENT;
                }
                if place & 0xfff8 != 0 {
                    counters.count(ProbeCounter::LaterFragments);
                    scratch.stop_at(extension[0], end);
                    return;
                }
            }
            _ => {}
        }
        next = extension[0];
        offset = end;
    }
    scratch.stop_at(next, offset);
    if next != NO_NEXT_HEADER {
        transport::read(ctx, scratch, counters, transport::Family::V6, next, offset);
    }
}
