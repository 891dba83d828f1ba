//! Keys and entries of the tables of MAC addresses and VLANs: targets that have no address of their own, or more than
//! their address.

use crate::filter::FilterMark;
use crate::key::Intercepts;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A MAC address, as it stands in the frame.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct MacAddress(pub [u8; 6]);

/// Key of the MAC table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MacKey {
    address: MacAddress,
    /// Always 0.
    reserved: [u8; 2],
}

impl MacKey {
    /// The key of an address.
    #[inline(always)]
    pub const fn new(address: MacAddress) -> Self {
        Self { address, reserved: [0; 2] }
    }

    /// The address.
    pub const fn address(&self) -> MacAddress {
        self.address
    }

    /// Where the address is marked in the filter.
    #[inline(always)]
    pub const fn mark(&self) -> FilterMark {
        let [a, b, c, d, e, f] = self.address.0;
        // The upper two bytes keep it apart from every prefix and VLAN.
        FilterMark::of(u64::from_be_bytes([0xff, 1, a, b, c, d, e, f]), 0)
    }
}

/// Which VLAN tags a frame has, of those directly in front of its packet: what a frame is looked up by, and what a target
/// can name. Tags of VLAN 0, which only carry a priority (IEEE 802.1Q), are no VLAN.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct VlanMatch {
    /// The outermost tag's VLAN, 1 to 4094; [`VlanMatch::NONE`] in a frame without tags.
    pub outer: u16,
    /// The next one's; [`VlanMatch::NONE`] if there is one tag only, [`VlanMatch::ANY`] if it does not matter, nor whether
    /// there is one.
    pub inner: u16,
}

impl VlanMatch {
    /// No tag at this place.
    pub const NONE: u16 = 0;
    /// Anything at this place. In a target only, and only as the inner.
    pub const ANY: u16 = 0xffff;
    /// In a frame: more than two tags. No target's inner but [`VlanMatch::ANY`] means it.
    pub const DEEPER: u16 = 0xfffe;

    /// Where it is marked in the filter.
    #[inline(always)]
    pub const fn mark(self) -> FilterMark {
        FilterMark::of(0xff02_0000_0000_0000 | (self.outer as u64) << 16 | self.inner as u64, 0)
    }

    /// The tags so far with one more behind them, of which this is the control information: its lower 12 bits are the VLAN.
    #[inline(always)]
    pub const fn and_tag(self, control: u16) -> Self {
        let vlan = control & 0x0fff;
        if vlan == Self::NONE {
            self
        } else if self.outer == Self::NONE {
            Self { outer: vlan, inner: Self::NONE }
        } else if self.inner == Self::NONE {
            Self { outer: self.outer, inner: vlan }
        } else {
            Self { outer: self.outer, inner: Self::DEEPER }
        }
    }

    /// The same outer tag, whatever is behind it.
    #[inline(always)]
    pub const fn any_inner(self) -> Self {
        Self { outer: self.outer, inner: Self::ANY }
    }

    /// Whether a target that names this means a frame with those tags.
    #[inline(always)]
    pub const fn means(self, frame: Self) -> bool {
        self.outer == frame.outer && (self.inner == Self::ANY || self.inner == frame.inner)
    }
}

/// What the kernel knows of a MAC address. See [`Intercepts`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct MacEntry {
    /// The key that this entry was written for.
    pub key: MacKey,
    /// Who wants it.
    pub intercepts: Intercepts,
}

/// What the kernel knows of a VLAN. Its key is a [`VlanMatch`]; an entry whose inner is not [`VlanMatch::ANY`], be it a tag
/// or [`VlanMatch::NONE`], holds the intercepts of the outer with `ANY` too, and has the last word. See [`Intercepts`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct VlanEntry {
    /// The key that this entry was written for.
    pub key: VlanMatch,
    /// Who wants it.
    pub intercepts: Intercepts,
}

/// Which kinds of targets there are besides addresses: a word beside the prefix lengths, so that nobody pays for a table
/// that is empty.
pub struct LinkTargets;

impl LinkTargets {
    /// Place of the word in the map of the [`PrefixLengths`](crate::PrefixLengths).
    pub const PLACE: usize = 3;
    /// There are MAC addresses.
    pub const MAC: u64 = 1;
    /// There are VLANs.
    pub const VLAN: u64 = 2;
}

const _: () = assert!(size_of::<MacEntry>() == 8 + size_of::<Intercepts>());
const _: () = assert!(size_of::<VlanEntry>() == 4 + size_of::<Intercepts>());

#[cfg(feature = "user")]
mod pod {
    // SAFETY: repr(C), Copy, 'static, made of bytes and integers without padding (sizes asserted above).
    unsafe impl aya::Pod for super::MacKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::VlanMatch {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::MacEntry {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::VlanEntry {}
}
