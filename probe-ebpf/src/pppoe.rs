//! PPP over Ethernet, in session (RFC 2516). Discovery is not IP.

use aya_ebpf::programs::XdpContext;
use writ_abi::ProbeCounter;

use crate::network::{Family, Network};
use crate::packet;

/// EtherType of a frame of a session.
pub const SESSION: u16 = 0x8864;

/// Version 1 and type 1, code 0: data of a session.
const DATA: [u8; 2] = [0x11, 0];
const HEADER_LENGTH: u16 = 6;
/// Numbers of PPP, which are written in two bytes here: RFC 2516 section 7 is against the short form.
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

/// IP behind a PPPoE header at `offset`, whose length bounds it.
#[inline(always)]
pub fn carried(ctx: &XdpContext, offset: u16, end: u16) -> Result<Network, ProbeCounter> {
    let Some([version, code, _, _, length @ .., p0, p1]) = packet::within::<8>(ctx, offset, end) else {
        return Err(ProbeCounter::TooShort);
    };
    if [version, code] != DATA {
        return Err(ProbeCounter::NotIp);
    }
    let family = match u16::from_be_bytes([p0, p1]) {
        PPP_IPV4 => Family::V4,
        PPP_IPV6 => Family::V6,
        _ => return Err(ProbeCounter::NotIp),
    };
    let payload = offset + HEADER_LENGTH;
    let end = end.min(payload.saturating_add(u16::from_be_bytes(length)));
    Network::at(ctx, family, payload + 2, end)
}
