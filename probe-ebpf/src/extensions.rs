//! What can stand between the base IP header and the transport header: the extension headers of IPv6, of which IPv4 knows
//! the authentication header only. ESP is none of them here: nothing behind it can be read.

use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, MAX_OPTION_SPANS, OptionSpan, ProbeCounter};

use crate::network::Family;
use crate::scratch::Scratch;
use crate::{packet, transport};

/// How many extension headers are walked.
const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
pub const NO_NEXT_HEADER: u8 = 59;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Offset in a fragment header, RFC 8200 section 4.5.
const FRAGMENT_IDENTIFICATION: u16 = 4;

/// Walks from where the headers end so far to behind the transport header. Returns what ended the walk before that.
#[inline(always)]
pub fn walk(ctx: &XdpContext, scratch: &mut Scratch) -> Option<ProbeCounter> {
    // All of it through the scratch, so that the verifier walks this once and not once for each version and length.
    let family = scratch.family();
    let ip_end = scratch.header.ip_end;
    let mut next = scratch.header.protocol;
    let mut offset = scratch.header.header_end;
    let mut walked = 0;
    while is_extension(family, next) {
        if walked == MAX_EXTENSIONS {
            scratch.stop_at(next, offset);
            return Some(ProbeCounter::ExtensionDepth);
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
            scratch.stop_at(next, offset);
            return Some(ProbeCounter::BadExtension);
        };
        match next {
            HOP_BY_HOP | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 => {
                let spans = scratch.option_spans as usize;
                if spans >= MAX_OPTION_SPANS {
                    scratch.stop_at(next, offset);
                    return Some(ProbeCounter::ExtensionDepth);
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
                    let identification = packet::load(ctx, offset + FRAGMENT_IDENTIFICATION);
                    scratch.identification = u32::from_be_bytes(identification.unwrap_or_default());
                }
                if place & 0xfff8 != 0 {
                    scratch.stop_at(extension[0], end);
                    return Some(ProbeCounter::LaterFragments);
                }
            }
            _ => {}
        }
        next = extension[0];
        offset = end;
    }
    scratch.stop_at(next, offset);
    if family == Family::V6 && next == NO_NEXT_HEADER {
        return None;
    }
    transport::read(ctx, scratch)
}

/// Whether this is a header that can stand before the transport header.
#[inline(always)]
pub fn is_extension(family: Family, kind: u8) -> bool {
    match kind {
        AUTHENTICATION => true,
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 => family == Family::V6,
        _ => false,
    }
}
