//! Ethernet with its VLAN tags, and the LLC header of IEEE 802.3. Which VLAN it is, and from which MAC address to which, is
//! read only if somebody asks.

use aya_ebpf::programs::XdpContext;
use writ_abi::{FrameHeader, MacAddress, MacKey, ProbeCounter, VlanMatch};

use crate::network::{Family, Network};
use crate::scratch::{DESTINATION, SOURCE, Scratch};
use crate::{ipv4, ipv6, lookup, packet};

/// How many VLAN tags are walked, of any of the three kinds.
const MAX_TAGS: usize = 3;
/// Of which so many without asking the kernel for each.
const MAX_PLAIN_TAGS: usize = 2;

/// Offset of the EtherType behind the two MAC addresses.
const ETHER_TYPE: u16 = 12;

pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;
/// IEEE 802.1Q, IEEE 802.1ad, and what was in use before the latter.
pub const CUSTOMER_TAG: u16 = 0x8100;
pub const SERVICE_TAG: u16 = 0x88a8;
pub const OLD_SERVICE_TAG: u16 = 0x9100;

/// Greatest value of the type field that is a length, and so is followed by an LLC header (IEEE 802.3 clause 3.2.6).
pub const MAX_LENGTH: u16 = 1500;
/// LLC unnumbered information between the SNAP access points, and the organisation whose protocols are EtherTypes (RFC
/// 1042). The EtherType follows.
const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
const SNAP_LENGTH: u16 = 8;

/// Where the IP header of a plain frame starts: IP directly behind Ethernet or its tags, the base header in the first
/// buffer. (Of a jumbo frame some drivers put next to nothing there.)
#[derive(Clone, Copy)]
pub enum Plain {
    V4(usize),
    V6(usize),
    /// The frame is anything else.
    Other,
}

/// Whether no target can have a part in the packet of a plain frame. False: that has to be looked at closer, and so has what
/// is damaged. The way of nearly all frames, and so the shortest: that of a frame without tags is straight.
#[inline(always)]
pub fn is_bystanders(ctx: &XdpContext) -> bool {
    const KIND: usize = ETHER_TYPE as usize;
    const IP: usize = KIND + 2;
    let Some(frame) = packet::at::<[u8; IP + ipv4::BASE_LENGTH as usize]>(ctx, 0) else { return false };
    // The EtherType and the version of IP behind it.
    // SAFETY: within what has just been found.
    match u32::from_be_bytes(unsafe { packet::four::<_, KIND>(frame) }) & 0xffff_f000 {
        0x0800_4000 => {
            // SAFETY: the base header is within it too.
            lookup::are_bystanders(unsafe { ipv4::addresses_at(frame.byte_add(IP).cast()) })
        }
        0x86dd_6000 => {
            let Some(frame) = packet::at::<[u8; IP + ipv6::BASE_LENGTH as usize]>(ctx, 0) else { return false };
            // SAFETY: likewise.
            lookup::are_bystanders(unsafe { ipv6::addresses_at(frame.byte_add(IP).cast()) })
        }
        _ => match plain(ctx) {
            Plain::V4(ip) => ipv4::addresses(ctx, ip).is_ok_and(lookup::are_bystanders),
            Plain::V6(ip) => ipv6::addresses(ctx, ip).is_ok_and(lookup::are_bystanders),
            Plain::Other => false,
        },
    }
}

/// The frames that are read by pointer.
#[inline(always)]
pub fn plain(ctx: &XdpContext) -> Plain {
    let mut offset = usize::from(ETHER_TYPE);
    for _ in 0..=MAX_PLAIN_TAGS {
        let Some(kind) = packet::at::<[u8; 2]>(ctx, offset) else { return Plain::Other };
        // SAFETY: `at` has checked the bounds.
        let kind = u16::from_be_bytes(unsafe { *kind });
        offset += 2;
        match kind {
            IPV4 if packet::at::<[u8; ipv4::BASE_LENGTH as usize]>(ctx, offset).is_some() => return Plain::V4(offset),
            IPV6 if packet::at::<[u8; ipv6::BASE_LENGTH as usize]>(ctx, offset).is_some() => return Plain::V6(offset),
            CUSTOMER_TAG | SERVICE_TAG | OLD_SERVICE_TAG => offset += 2,
            _ => return Plain::Other,
        }
    }
    Plain::Other
}

/// The type field behind MAC addresses at `start` and their tags, and where what it announces begins.
#[inline(always)]
pub fn payload(ctx: &XdpContext, start: u16, end: u16) -> Result<(u16, u16), ProbeCounter> {
    let mut offset = start + ETHER_TYPE;
    for _ in 0..=MAX_TAGS {
        let Some(kind) = packet::within(ctx, offset, end) else { return Err(ProbeCounter::TooShort) };
        let kind = u16::from_be_bytes(kind);
        offset += 2;
        match kind {
            CUSTOMER_TAG | SERVICE_TAG | OLD_SERVICE_TAG => offset += 2,
            _ => return Ok((kind, offset)),
        }
    }
    Err(ProbeCounter::VlanDepth)
}

/// Whether a tag is behind MAC addresses at `start`.
#[inline(always)]
pub fn is_tagged(ctx: &XdpContext, start: u16, end: u16) -> bool {
    let kind = packet::within(ctx, start + ETHER_TYPE, end).map(u16::from_be_bytes);
    matches!(kind, Some(CUSTOMER_TAG | SERVICE_TAG | OLD_SERVICE_TAG))
}

/// Reads the MAC addresses and the VLAN of the Ethernet header that the packet in the scratch is in.
#[inline(always)]
pub fn identify(ctx: &XdpContext, scratch: &mut Scratch) {
    scratch.macs = [MacKey::new(MacAddress([0; 6])); 2];
    scratch.vlan = VlanMatch { outer: VlanMatch::NONE, inner: VlanMatch::NONE };
    let start = scratch.header.link_offset;
    if start == FrameHeader::NO_LINK {
        return;
    }
    let Some([a, b, c, d, e, f, g, h, i, j, k, l, kind @ ..]) = packet::load::<14>(ctx, start) else { return };
    scratch.macs[DESTINATION] = MacKey::new(MacAddress([a, b, c, d, e, f]));
    scratch.macs[SOURCE] = MacKey::new(MacAddress([g, h, i, j, k, l]));
    let mut kind = u16::from_be_bytes(kind);
    let mut offset = start + ETHER_TYPE + 2;
    for _ in 0..MAX_TAGS {
        if !matches!(kind, CUSTOMER_TAG | SERVICE_TAG | OLD_SERVICE_TAG) {
            return;
        }
        let Some([t0, t1, k0, k1]) = packet::load(ctx, offset) else { return };
        // Through the scratch, so that the verifier does not follow what the tags say.
        scratch.settle();
        scratch.vlan = scratch.vlan.and_tag(u16::from_be_bytes([t0, t1]));
        scratch.settle();
        kind = u16::from_be_bytes([k0, k1]);
        offset += 4;
    }
}

/// IP behind an LLC header; `length` is what stands in place of the type. Padding follows what it covers.
#[inline(always)]
pub fn behind_llc(ctx: &XdpContext, length: u16, offset: u16, end: u16) -> Result<Network, ProbeCounter> {
    if length < SNAP_LENGTH {
        return Err(ProbeCounter::NotIp);
    }
    let Some([a, b, c, d, e, f, kind @ ..]) = packet::within::<8>(ctx, offset, end) else {
        return Err(ProbeCounter::TooShort);
    };
    let family = match u16::from_be_bytes(kind) {
        IPV4 if [a, b, c, d, e, f] == SNAP => Family::V4,
        IPV6 if [a, b, c, d, e, f] == SNAP => Family::V6,
        _ => return Err(ProbeCounter::NotIp),
    };
    Network::at(ctx, family, offset + SNAP_LENGTH, end.min(offset + length))
}
