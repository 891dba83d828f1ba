//! Keys and entries of the address tables. The constructors here are the only ones: a key built in two places is a
//! key built in two ways sooner or later.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many intercepts one address can belong to at once.
pub const SLOTS_PER_ADDRESS: usize = 8;

/// Marks an unused [`SlotRef`].
pub const NO_SLOT: u16 = u16::MAX;

/// A slot, and which of its successive owners is meant.
///
/// Slots are reused. A reference whose generation is not the one in the slot's policy speaks of an intercept that is
/// gone, and counts for nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
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

/// An IPv4 address in network order, as it stands in the packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AddressKey4(pub [u8; 4]);

/// An IPv6 address in network order, as it stands in the packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AddressKey6(pub [u8; 16]);

/// What the kernel knows of an IPv4 address.
///
/// The entry repeats its key: the kernel reuses the elements of a hash map under a reader, so the program compares the
/// key after it has read the value, and takes a difference for a miss.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AddressEntry4 {
    /// The key this entry was written for.
    pub key: AddressKey4,
    /// The intercepts that want this address; unused places are [`SlotRef::NONE`], and come last.
    pub slots: [SlotRef; SLOTS_PER_ADDRESS],
}

/// What the kernel knows of an IPv6 address. See [`AddressEntry4`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AddressEntry6 {
    /// The key this entry was written for.
    pub key: AddressKey6,
    /// The intercepts that want this address; unused places are [`SlotRef::NONE`], and come last.
    pub slots: [SlotRef; SLOTS_PER_ADDRESS],
}

const _: () = assert!(size_of::<AddressEntry4>() == 4 + 4 * SLOTS_PER_ADDRESS);
const _: () = assert!(size_of::<AddressEntry6>() == 16 + 4 * SLOTS_PER_ADDRESS);

#[cfg(feature = "user")]
mod pod {
    use super::*;

    // SAFETY: repr(C), Copy, 'static, made of byte arrays and u16 without padding (sizes asserted above).
    unsafe impl aya::Pod for AddressKey4 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for AddressKey6 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for AddressEntry4 {}
    // SAFETY: as above.
    unsafe impl aya::Pod for AddressEntry6 {}
}
