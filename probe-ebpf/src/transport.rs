//! The transport header: how long it is. What is behind it is content, and never looked at; so is the packet that an
//! ICMP error quotes.

use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, ProbeCounter};

use crate::network::Family;
use crate::packet;
use crate::scratch::Scratch;

const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

const TCP_LEAST: u16 = 20;
/// The common header of SCTP, RFC 9260 section 3.1. Its chunks are content.
const SCTP_COMMON: u16 = 12;
/// Offset of the TCP header's own length, RFC 9293 section 3.1.
const TCP_DATA_OFFSET: u16 = 12;

/// Moves the end of the headers behind the transport header, if one is known and whole there. Returns why there is none.
#[inline(always)]
pub fn read(ctx: &XdpContext, scratch: &mut Scratch) -> Option<ProbeCounter> {
    let offset = scratch.header.header_end;
    // Each IP has an ICMP of its own, and the other's number means nothing there.
    let length = match (scratch.header.protocol, scratch.family()) {
        (TCP, _) => tcp_length(ctx, offset),
        (UDP, _) | (ICMP, Family::V4) | (ICMPV6, Family::V6) => Some(8),
        (SCTP, _) => Some(SCTP_COMMON),
        _ => return Some(ProbeCounter::UnknownTransport),
    };
    match length.map(|length| offset.saturating_add(length)) {
        Some(end) if end <= scratch.header.ip_end => {
            scratch.header.header_end = end;
            scratch.header.transport_offset = offset;
            scratch.header.flags |= FrameFlags::TRANSPORT;
            None
        }
        _ => Some(ProbeCounter::BadTransport),
    }
}

/// Whether the header of this protocol begins with two ports.
#[inline(always)]
pub fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | SCTP)
}

#[inline(always)]
fn tcp_length(ctx: &XdpContext, offset: u16) -> Option<u16> {
    let [words] = packet::load::<1>(ctx, offset.saturating_add(TCP_DATA_OFFSET))?;
    let length = u16::from(words >> 4) * 4;
    (length >= TCP_LEAST).then_some(length)
}
