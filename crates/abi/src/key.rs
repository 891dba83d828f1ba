//! Keys and entries of the prefix tables. The constructors here are the only ones: a key built in two places is a key
//! built in two ways sooner or later.

use crate::filter::FilterMark;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many intercepts can want one address at once.
pub const SLOTS_PER_ADDRESS: usize = 8;

/// Marks an unused [`SlotRef`].
pub const NO_SLOT: u16 = u16::MAX;

/// A slot, and which of its successive owners is meant.
///
/// Slots are reused. A reference whose generation is not the one in the slot's policy speaks of an intercept that is
/// gone, and counts for nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SlotRef {
    /// Index into the slot table, or [`NO_SLOT`].
    pub slot: u16,
    /// The slot's generation at the time the reference was made.
    pub generation: u16,
}

impl SlotRef {
    /// No slot.
    pub const NONE: Self = Self { slot: NO_SLOT, generation: 0 };

    /// Whether this refers to a slot at all.
    #[inline(always)]
    pub const fn is_some(self) -> bool {
        self.slot != NO_SLOT
    }
}

/// An IPv4 prefix; a single address is one of 32 bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrefixKey4 {
    /// In network order, as it stands in the packet; bits outside the prefix are 0.
    address: [u8; 4],
    /// In bits.
    length: u8,
    /// Always 0.
    reserved: [u8; 3],
}

/// An IPv6 prefix; a single address is one of 128 bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrefixKey6 {
    /// In network order, as it stands in the packet; bits outside the prefix are 0.
    address: [u8; 16],
    /// In bits.
    length: u8,
    /// Always 0.
    reserved: [u8; 3],
}

impl PrefixKey4 {
    /// The key of the prefix of `length` bits (more than 32 are 32) that this address is in.
    pub const fn new(address: [u8; 4], length: u8) -> Self {
        Prefix4::new(u32::from_be_bytes(address), length).key()
    }

    /// The first address of the prefix.
    pub const fn address(&self) -> [u8; 4] {
        self.address
    }

    /// The prefix's length in bits.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Where the prefix is marked in the filter.
    pub const fn mark(&self) -> FilterMark {
        Prefix4 { address: u32::from_be_bytes(self.address), length: self.length }.mark()
    }
}

impl PrefixKey6 {
    /// The key of the prefix of `length` bits (more than 128 are 128) that this address is in.
    pub const fn new(address: [u8; 16], length: u8) -> Self {
        let address = u128::from_be_bytes(address);
        Prefix6::new((address >> 64) as u64, address as u64, length).key()
    }

    /// The first address of the prefix.
    pub const fn address(&self) -> [u8; 16] {
        self.address
    }

    /// The prefix's length in bits.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Where the prefix is marked in the filter.
    pub const fn mark(&self) -> FilterMark {
        let address = u128::from_be_bytes(self.address);
        Prefix6 { high: (address >> 64) as u64, low: address as u64, length: self.length }.mark()
    }
}

/// An IPv4 prefix as numbers: what is asked of the filter, before a key is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix4 {
    address: u32,
    length: u8,
}

impl Prefix4 {
    /// The prefix of `length` bits (more than 32 are 32) that this address is in.
    #[inline(always)]
    pub const fn new(address: u32, length: u8) -> Self {
        let length = if length > 32 { 32 } else { length };
        // In 64 bits, where a shift by all 32 is none too far.
        Self { address: address & (0xffff_ffff_0000_0000u64 >> length) as u32, length }
    }

    /// Where it is marked in the filter.
    #[inline(always)]
    pub const fn mark(self) -> FilterMark {
        FilterMark::of_one(self.address as u64 | (self.length as u64) << 32)
    }

    /// Its key.
    #[inline(always)]
    pub const fn key(self) -> PrefixKey4 {
        PrefixKey4 { address: self.address.to_be_bytes(), length: self.length, reserved: [0; 3] }
    }
}

/// An IPv6 prefix as numbers. See [`Prefix4`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix6 {
    high: u64,
    low: u64,
    length: u8,
}

impl Prefix6 {
    /// The prefix of `length` bits (more than 128 are 128) that this address is in, given by its two halves.
    #[inline(always)]
    pub const fn new(high: u64, low: u64, length: u8) -> Self {
        let length = if length > 128 { 128 } else { length };
        let (high, low) = if length > 64 {
            (high, low & u64::MAX << (128 - length))
        } else if length > 0 {
            (high & u64::MAX << (64 - length), 0)
        } else {
            (0, 0)
        };
        Self { high, low, length }
    }

    /// Where it is marked in the filter.
    #[inline(always)]
    pub const fn mark(self) -> FilterMark {
        FilterMark::of(self.low ^ (self.length as u64) << 56, self.high)
    }

    /// Its key.
    #[inline(always)]
    pub const fn key(self) -> PrefixKey6 {
        let [a, b, c, d, e, f, g, h] = self.high.to_be_bytes();
        let [i, j, k, l, m, n, o, p] = self.low.to_be_bytes();
        let address = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
        PrefixKey6 { address, length: self.length, reserved: [0; 3] }
    }
}

/// What the kernel knows of an IPv4 prefix. See [`Intercepts`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrefixEntry4 {
    /// The key that this entry was written for.
    pub key: PrefixKey4,
    /// Who wants it.
    pub intercepts: Intercepts,
}

/// What the kernel knows of an IPv6 prefix. See [`Intercepts`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrefixEntry6 {
    /// The key that this entry was written for.
    pub key: PrefixKey6,
    /// Who wants it.
    pub intercepts: Intercepts,
}

/// The intercepts that want a prefix: its own, and those of every shorter prefix that it lies in. So the longest prefix
/// that an address is found under has the last word. Likewise of a MAC address or a VLAN.
///
/// The kernel reuses the elements of a hash map under a reader. So an entry repeats its key and carries a sum of its
/// references; the program compares both after it has read them, and where they differ it looks again.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Intercepts {
    /// Unused places are [`SlotRef::NONE`], and come last. The same slot can have several places, with a condition each.
    pub slots: [SlotRef; SLOTS_PER_ADDRESS],
    /// Row of the [`Condition`](crate::Condition) that each place is bound to; 0: none.
    pub conditions: [u16; SLOTS_PER_ADDRESS],
    /// [`Intercepts::sum_of`] the slots and conditions.
    pub sum: u32,
}

impl Intercepts {
    /// These, with their sum.
    pub const fn new(slots: [SlotRef; SLOTS_PER_ADDRESS], conditions: [u16; SLOTS_PER_ADDRESS]) -> Self {
        Self { slots, conditions, sum: Self::sum_of(&slots, &conditions) }
    }

    /// A sum in which it matters which reference is at which place.
    pub const fn sum_of(slots: &[SlotRef; SLOTS_PER_ADDRESS], conditions: &[u16; SLOTS_PER_ADDRESS]) -> u32 {
        let (mut sum, mut i) = (0u32, 0);
        while i < SLOTS_PER_ADDRESS {
            sum = Self::and_word(sum, i, slots[i].slot as u32 | (slots[i].generation as u32) << 16);
            i += 1;
        }
        let mut i = 0;
        while i < SLOTS_PER_ADDRESS {
            let word = conditions[i] as u32 | (conditions[i + 1] as u32) << 16;
            sum = Self::and_word(sum, SLOTS_PER_ADDRESS + i / 2, word);
            i += 2;
        }
        sum
    }

    /// How many words there are before the sum.
    pub const WORDS: usize = SLOTS_PER_ADDRESS + SLOTS_PER_ADDRESS / 2;

    /// Odd numbers far from any simple relation to each other: the powers of one.
    const MULTIPLIERS: [u32; Self::WORDS] = {
        let mut multipliers = [0x9e37_79b1u32; Self::WORDS];
        let mut i = 1;
        while i < Self::WORDS {
            multipliers[i] = multipliers[i - 1].wrapping_mul(multipliers[0]);
            i += 1;
        }
        multipliers
    };

    /// [`Intercepts::sum_of`], word by word as they lie in memory: the sum of those before, and the word at a place. Each
    /// place has a multiplier of its own, so no product waits for another.
    #[inline(always)]
    pub const fn and_word(sum: u32, place: usize, word: u32) -> u32 {
        sum.wrapping_add(word.wrapping_mul(Self::MULTIPLIERS[place]))
    }
}

const _: () = assert!(size_of::<PrefixEntry4>() == 8 + 6 * SLOTS_PER_ADDRESS + 4);
const _: () = assert!(size_of::<PrefixEntry6>() == 20 + 6 * SLOTS_PER_ADDRESS + 4);

#[cfg(feature = "user")]
mod pod {
    use super::*;

    // SAFETY: repr(C), Copy, 'static, made of byte arrays and integers without padding (sizes asserted above).
    unsafe impl aya::Pod for PrefixKey4 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PrefixKey6 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PrefixEntry4 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PrefixEntry6 {}
}
