//! A packet within a packet: 6in4 and IP in IP (RFC 4213, 2003, 2473), in all four combinations. Looked for only where the
//! setting says so and the outer packet is nobody's: whoever has the tunnel has what is in it.

use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameFlags, ProbeCounter};

use crate::network::{Family, Network};
use crate::scratch::Scratch;
use crate::{ipv4, ipv6, packet, walk};

/// Protocol numbers of a packet within a packet.
const IPV4: u8 = 4;
const IPV6: u8 = 41;

/// Goes on to the packet that is directly behind the headers of this one, extension headers included. `Err`: there is
/// none.
#[inline(always)]
pub fn enter(ctx: &XdpContext, scratch: &mut Scratch) -> Result<(), ProbeCounter> {
    walk(ctx, scratch);
    if scratch.stop == ProbeCounter::ExtensionDepth as u32 {
        return Err(ProbeCounter::InnerDepth);
    }
    if scratch.stop != ProbeCounter::UnknownTransport as u32 {
        return Err(ProbeCounter::Misses);
    }
    let family = match scratch.header.protocol {
        IPV4 => Family::V4,
        IPV6 => Family::V6,
        _ => return Err(ProbeCounter::Misses),
    };
    let inner = Network::at(ctx, family, scratch.header.header_end, scratch.header.ip_end);
    let inner = inner.map_err(|_| ProbeCounter::Misses)?;
    let flags = scratch.header.flags & FrameFlags::MIRRORED;
    scratch.begin(scratch.header.wire_length, inner, flags | FrameFlags::INNER);
    Ok(())
}

/// Whether there is one more in this one, which is not looked at.
#[inline(always)]
pub fn is_outer(ctx: &XdpContext, scratch: &Scratch) -> bool {
    let protocol = match scratch.family() {
        Family::V4 => ipv4::PROTOCOL,
        Family::V6 => ipv6::NEXT_HEADER,
    };
    matches!(packet::load(ctx, scratch.header.ip_offset + protocol), Some([IPV4 | IPV6]))
}
