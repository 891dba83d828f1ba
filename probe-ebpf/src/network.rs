//! An IP packet within the frame: which version, from where, to where. The link layer finds it, its base header decides,
//! and what is behind that is walked only if an intercept wants it.

use aya_ebpf::programs::XdpContext;
use writ_abi::ProbeCounter;

use crate::{ipv4, ipv6, lookup, packet};

/// Version of the Internet Protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// A packet whose base header is there and of the right version.
#[derive(Clone, Copy)]
pub struct Network {
    pub family: Family,
    /// Of the base header, from the frame's first byte.
    pub offset: u16,
    /// Where that ends which carries the packet. The packet may end before.
    pub end: u16,
}

impl Network {
    /// A packet of this version from `offset`, within what ends at `end`.
    #[inline(always)]
    pub fn at(ctx: &XdpContext, family: Family, offset: u16, end: u16) -> Result<Self, ProbeCounter> {
        let (length, version) = match family {
            Family::V4 => (ipv4::BASE_LENGTH, 4),
            Family::V6 => (ipv6::BASE_LENGTH, 6),
        };
        if u32::from(offset) + u32::from(length) > u32::from(end) {
            return Err(ProbeCounter::TooShort);
        }
        match packet::load::<1>(ctx, offset) {
            Some([first]) if first >> 4 == version => Ok(Self { family, offset, end }),
            Some(_) => Err(ProbeCounter::BadVersion),
            None => Err(ProbeCounter::TooShort),
        }
    }

    /// Looks up both addresses, at any offset. False: no intercept has one of them.
    #[inline(always)]
    pub fn look_up(self, ctx: &XdpContext) -> bool {
        self.try_look_up(ctx).unwrap_or(false)
    }

    #[inline(always)]
    fn try_look_up(self, ctx: &XdpContext) -> Option<bool> {
        match self.family {
            Family::V4 => {
                let source: [u8; 4] = packet::load(ctx, self.offset + ipv4::SOURCE)?;
                let destination = packet::load(ctx, self.offset + ipv4::DESTINATION)?;
                Some(lookup::v4(source, destination))
            }
            Family::V6 => {
                let source = packet::load(ctx, self.offset + ipv6::SOURCE)?;
                let destination = packet::load(ctx, self.offset + ipv6::DESTINATION)?;
                Some(lookup::v6(halves(source), halves(destination)))
            }
        }
    }
}

/// The two halves of an IPv6 address.
#[inline(always)]
fn halves(address: [u8; 16]) -> [[u8; 8]; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address;
    [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]]
}
