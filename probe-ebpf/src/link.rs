//! The link layer of a frame that is not plain: from its first byte, or from that of a frame that a tunnel carries, to the
//! IP packet. Ethernet with up to three tags; behind it MPLS, PPPoE, LLC or IP; behind MPLS also Ethernet once more.

use aya_ebpf::programs::XdpContext;
use writ_abi::ProbeCounter;

use crate::ethernet::{self, IPV4, IPV6, MAX_LENGTH};
use crate::network::{Family, Network};
use crate::scratch::Scratch;
use crate::{mpls, packet, pppoe};

/// Finds the IP packet of the Ethernet frame from `start` to `end`, or says why there is none within reach. In the scratch
/// is then where the Ethernet header starts that is directly in front of it.
#[inline(always)]
pub fn find(ctx: &XdpContext, start: u16, end: u16) -> Result<Network, ProbeCounter> {
    let Some(scratch) = Scratch::of_this_cpu() else { return Err(ProbeCounter::NotIp) };
    scratch.header.link_offset = start;
    let (kind, offset) = ethernet::payload(ctx, start, end)?;
    if !mpls::announced(kind) {
        return carried(ctx, kind, offset, end);
    }
    let (bottom, end) = scratch.settled(mpls::bottom(ctx, offset, end)?, end);
    let Some([first]) = packet::within::<1>(ctx, bottom, end) else { return Err(ProbeCounter::TooShort) };
    // Nothing in the labels says what they carry. This is how everybody guesses (RFC 4928).
    match first >> 4 {
        4 => Network::at(ctx, Family::V4, bottom, end),
        6 => Network::at(ctx, Family::V6, bottom, end),
        0 => {
            // A control word begins with four zero bits (RFC 4385), and so do MAC addresses. A frame with tags, read as if a
            // control word were in front, is a frame with a tag less: so where there is a tag without one, there is none.
            let (word, none) = (bottom + mpls::CONTROL_WORD, bottom);
            let (first, second) = if ethernet::is_tagged(ctx, bottom, end) { (none, word) } else { (word, none) };
            match within_mpls(ctx, scratch, first, end) {
                Err(ProbeCounter::NotIp | ProbeCounter::TooShort | ProbeCounter::BadVersion) => {
                    within_mpls(ctx, scratch, second, end)
                }
                found => found,
            }
        }
        _ => within_mpls(ctx, scratch, bottom, end),
    }
}

/// An Ethernet frame that labels carry (RFC 4448). It is one if IP can be found in it.
#[inline(always)]
fn within_mpls(ctx: &XdpContext, scratch: &mut Scratch, start: u16, end: u16) -> Result<Network, ProbeCounter> {
    scratch.header.link_offset = start;
    let (kind, offset) = ethernet::payload(ctx, start, end)?;
    if mpls::announced(kind) {
        return Err(ProbeCounter::MplsDepth);
    }
    carried(ctx, kind, offset, end)
}

#[inline(always)]
fn carried(ctx: &XdpContext, kind: u16, offset: u16, end: u16) -> Result<Network, ProbeCounter> {
    match kind {
        IPV4 => Network::at(ctx, Family::V4, offset, end),
        IPV6 => Network::at(ctx, Family::V6, offset, end),
        pppoe::SESSION => pppoe::carried(ctx, offset, end),
        ..=MAX_LENGTH => ethernet::behind_llc(ctx, kind, offset, end),
        _ => Err(ProbeCounter::NotIp),
    }
}
