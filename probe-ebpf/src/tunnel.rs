//! Mirror tunnels: a switch or router that mirrors over an IP network wraps each frame, and addresses it to the probe. On a
//! port that is set up for this, the frame in the tunnel is the frame; offsets still count from the outer one's first
//! byte.

use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameHeader, ProbeCounter, Tunnel};

use crate::ethernet::{self, IPV4, IPV6};
use crate::link;
use crate::maps::WRIT_PORTS;
use crate::network::{Family, Network};
use crate::scratch::Scratch;
use crate::{ipv4, ipv6, packet};

pub const GRE: u8 = 47;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
/// More fragments follow, or some came before.
const FRAGMENTED: u16 = 0x3fff;

/// Bits of a GRE header: of those that say what it holds, and of those that a receiver must find clear (RFC 2784 section
/// 2.3 and the version).
const CHECKSUM: u16 = 0x8000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const NOT_UNDERSTOOD: u16 = 0x4c07;

pub const BRIDGED: u16 = 0x6558;
pub const ERSPAN_I_OR_II: u16 = 0x88be;
pub const ERSPAN_III: u16 = 0x22eb;
/// Versions in the first four bits of ERSPAN headers; type I has no header.
const ERSPAN_II_VERSION: u8 = 1;
const ERSPAN_III_VERSION: u8 = 2;

pub const VXLAN_PORT: u16 = 4789;
/// The header is good for something.
const VXLAN_IDENTIFIED: u8 = 0x08;
const UDP_AND_VXLAN: u16 = 16;

pub const TZSP_PORT: u16 = 37008;
const UDP_AND_TZSP: u16 = 12;
/// How many tags of TZSP are walked.
const MAX_TZSP_TAGS: usize = 8;
const TZSP_PADDING: u8 = 0;
const TZSP_END: u8 = 1;

/// What a tunnel carries, and where it lies in the frame.
#[derive(Clone, Copy)]
pub enum Carried {
    Frame { start: u16, end: u16 },
    Packet { family: Family, start: u16, end: u16 },
}

impl Carried {
    /// The IP packet in it, or why there is none.
    #[inline(always)]
    pub fn network(self, ctx: &XdpContext) -> Result<Network, ProbeCounter> {
        match self {
            Self::Frame { start, end } => link::find(ctx, start, end),
            Self::Packet { family, start, end } => {
                if let Some(scratch) = Scratch::of_this_cpu() {
                    scratch.header.link_offset = FrameHeader::NO_LINK;
                }
                Network::at(ctx, family, start, end)
            }
        }
    }
}

/// Opens the tunnel of the port that the frame came in on, or says why not.
#[inline(always)]
pub fn open(ctx: &XdpContext, end: u16) -> Result<Carried, ProbeCounter> {
    let interface = ctx.ingress_ifindex() as u32;
    // SAFETY: ports are entered before frames come in and stay as they are.
    let Some(port) = (unsafe { WRIT_PORTS.get(interface) }) else { return Err(ProbeCounter::NotTunnel) };
    let tunnel = port.tunnel;
    let outer = outer(ctx, end)?;
    let carried = match (tunnel, outer.protocol) {
        (Tunnel::GRE | Tunnel::ERSPAN, GRE) => gre(ctx, outer, tunnel),
        (Tunnel::VXLAN, UDP) => vxlan(ctx, outer),
        (Tunnel::TZSP, UDP) => return tzsp(ctx, outer),
        _ => None,
    };
    carried.ok_or(ProbeCounter::NotTunnel)
}

/// What the packet that a mirror sent carries.
#[derive(Clone, Copy)]
struct Outer {
    protocol: u8,
    start: u16,
    end: u16,
}

/// Mirrors send whole packets, without extension headers. One that did not fit the way here comes in fragments, which
/// cannot be put together here.
#[inline(always)]
fn outer(ctx: &XdpContext, end: u16) -> Result<Outer, ProbeCounter> {
    let (kind, offset) = ethernet::payload(ctx, 0, end).map_err(|_| ProbeCounter::NotTunnel)?;
    let outer = match kind {
        IPV4 => outer_v4(ctx, offset, end)?,
        IPV6 => outer_v6(ctx, offset, end)?,
        _ => return Err(ProbeCounter::NotTunnel),
    };
    if outer.start > outer.end { Err(ProbeCounter::NotTunnel) } else { Ok(outer) }
}

#[inline(always)]
fn outer_v4(ctx: &XdpContext, offset: u16, end: u16) -> Result<Outer, ProbeCounter> {
    let base = packet::within::<{ ipv4::BASE_LENGTH as usize }>(ctx, offset, end).ok_or(ProbeCounter::NotTunnel)?;
    let header_length = u16::from(base[0] & 15) * 4;
    if base[0] >> 4 != 4 || header_length < ipv4::BASE_LENGTH {
        return Err(ProbeCounter::NotTunnel);
    }
    if u16::from_be_bytes([base[6], base[7]]) & FRAGMENTED != 0 {
        return Err(ProbeCounter::TunnelFragment);
    }
    let packet_end = offset.saturating_add(u16::from_be_bytes([base[2], base[3]]));
    Ok(Outer { protocol: base[9], start: offset + header_length, end: end.min(packet_end) })
}

#[inline(always)]
fn outer_v6(ctx: &XdpContext, offset: u16, end: u16) -> Result<Outer, ProbeCounter> {
    let base = packet::within::<8>(ctx, offset, end).ok_or(ProbeCounter::NotTunnel)?;
    if base[0] >> 4 != 6 {
        return Err(ProbeCounter::NotTunnel);
    }
    if base[6] == FRAGMENT {
        return Err(ProbeCounter::TunnelFragment);
    }
    let start = offset + ipv6::BASE_LENGTH;
    let packet_end = start.saturating_add(u16::from_be_bytes([base[4], base[5]]));
    Ok(Outer { protocol: base[6], start, end: end.min(packet_end) })
}

#[inline(always)]
fn gre(ctx: &XdpContext, outer: Outer, tunnel: u32) -> Option<Carried> {
    let [f0, f1, k0, k1] = packet::within(ctx, outer.start, outer.end)?;
    let flags = u16::from_be_bytes([f0, f1]);
    if flags & NOT_UNDERSTOOD != 0 {
        return None;
    }
    let optional = |flag| if flags & flag != 0 { 4 } else { 0 };
    let start = outer.start + 4 + optional(CHECKSUM) + optional(KEY) + optional(SEQUENCE);
    let end = outer.end;
    match (tunnel, u16::from_be_bytes([k0, k1])) {
        (Tunnel::GRE, BRIDGED) => Some(Carried::Frame { start, end }),
        (Tunnel::GRE, IPV4) => Some(Carried::Packet { family: Family::V4, start, end }),
        (Tunnel::GRE, IPV6) => Some(Carried::Packet { family: Family::V6, start, end }),
        (Tunnel::ERSPAN, ERSPAN_I_OR_II) if flags & SEQUENCE == 0 => Some(Carried::Frame { start, end }),
        (Tunnel::ERSPAN, ERSPAN_I_OR_II) => {
            let [first, ..] = packet::within::<8>(ctx, start, end)?;
            (first >> 4 == ERSPAN_II_VERSION).then_some(Carried::Frame { start: start + 8, end })
        }
        (Tunnel::ERSPAN, ERSPAN_III) => erspan_iii(ctx, start, end),
        _ => None,
    }
}

/// The header of type III: 12 bytes, and 8 more if its last bit says so.
#[inline(always)]
fn erspan_iii(ctx: &XdpContext, start: u16, end: u16) -> Option<Carried> {
    let header = packet::within::<12>(ctx, start, end)?;
    if header[0] >> 4 != ERSPAN_III_VERSION {
        return None;
    }
    let start = start + if header[11] & 1 != 0 { 20 } else { 12 };
    // Frame type: Ethernet, or IP without it.
    match header[10] >> 2 & 0x1f {
        0 => Some(Carried::Frame { start, end }),
        2 => {
            let [first] = packet::within(ctx, start, end)?;
            let family = if first >> 4 == 4 { Family::V4 } else { Family::V6 };
            Some(Carried::Packet { family, start, end })
        }
        _ => None,
    }
}

#[inline(always)]
fn vxlan(ctx: &XdpContext, outer: Outer) -> Option<Carried> {
    let headers = packet::within::<{ UDP_AND_VXLAN as usize }>(ctx, outer.start, outer.end)?;
    let understood = [headers[2], headers[3]] == VXLAN_PORT.to_be_bytes() && headers[8] & VXLAN_IDENTIFIED != 0;
    understood.then_some(Carried::Frame { start: outer.start + UDP_AND_VXLAN, end: outer.end })
}

#[inline(always)]
fn tzsp(ctx: &XdpContext, outer: Outer) -> Result<Carried, ProbeCounter> {
    let headers = packet::within::<{ UDP_AND_TZSP as usize }>(ctx, outer.start, outer.end);
    let headers = headers.ok_or(ProbeCounter::NotTunnel)?;
    // Version 1; a frame received or to be sent; Ethernet.
    let understood = matches!(headers[8..12], [1, 0 | 1, 0, 1]);
    if [headers[2], headers[3]] != TZSP_PORT.to_be_bytes() || !understood {
        return Err(ProbeCounter::NotTunnel);
    }
    let mut start = outer.start + UDP_AND_TZSP;
    for _ in 0..MAX_TZSP_TAGS {
        let [tag] = packet::within(ctx, start, outer.end).ok_or(ProbeCounter::NotTunnel)?;
        start += 1;
        match tag {
            TZSP_PADDING => {}
            TZSP_END => return Ok(Carried::Frame { start, end: outer.end }),
            _ => {
                let [length] = packet::within(ctx, start, outer.end).ok_or(ProbeCounter::NotTunnel)?;
                start += 1 + u16::from(length);
            }
        }
    }
    Err(ProbeCounter::TunnelDepth)
}
