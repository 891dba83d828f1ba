//! From the two addresses of a packet to the intercepts that have them. This is the only question that a bystander's
//! packet is asked.

use core::ptr;
use writ_abi::{
    AddressEntry4, AddressEntry6, AddressKey4, AddressKey6, FrameHeader, ProbeCounter, SLOTS_PER_ADDRESS, SlotRef,
};

use crate::count::Counters;
use crate::maps::{WRIT_ADDR4, WRIT_ADDR6};
use crate::scratch::Scratch;

/// An entry of an address table.
pub trait Entry: Sized {
    type Key;

    fn find(key: &Self::Key) -> Option<*const Self>;

    /// Copies the references out. False: by then the entry was another key's.
    fn copy(entry: *const Self, key: &Self::Key, to: &mut [SlotRef; SLOTS_PER_ADDRESS]) -> bool;
}

impl Entry for AddressEntry4 {
    type Key = AddressKey4;

    #[inline(always)]
    fn find(key: &AddressKey4) -> Option<*const Self> {
        WRIT_ADDR4.get_ptr(key)
    }

    #[inline(always)]
    fn copy(entry: *const Self, key: &AddressKey4, to: &mut [SlotRef; SLOTS_PER_ADDRESS]) -> bool {
        // SAFETY: the entry is map memory, which outlives the program's run.
        unsafe { copy(&raw const (*entry).slots, &raw const (*entry).key.0, &key.0, to) }
    }
}

impl Entry for AddressEntry6 {
    type Key = AddressKey6;

    #[inline(always)]
    fn find(key: &AddressKey6) -> Option<*const Self> {
        WRIT_ADDR6.get_ptr(key)
    }

    #[inline(always)]
    fn copy(entry: *const Self, key: &AddressKey6, to: &mut [SlotRef; SLOTS_PER_ADDRESS]) -> bool {
        // SAFETY: the entry is map memory, which outlives the program's run.
        unsafe { copy(&raw const (*entry).slots, &raw const (*entry).key.0, &key.0, to) }
    }
}

/// Looks up the source and the destination. False: no intercept has either. Else their references are in the scratch.
#[inline(always)]
pub fn both<E: Entry>(source: &E::Key, destination: &E::Key, counters: Counters) -> bool {
    // One after the other, with the answer as a truth value: two pointers that are compared at once, the compiler joins
    // by an `or`, which the verifier refuses.
    let source_hit = one::<E>(source, |header| &mut header.source, counters);
    let destination_hit = one::<E>(destination, |header| &mut header.destination, counters);
    if !source_hit && !destination_hit {
        return false;
    }
    let Some(scratch) = Scratch::of_this_cpu() else { return false };
    if !source_hit {
        scratch.header.source = [SlotRef::NONE; SLOTS_PER_ADDRESS];
    }
    if !destination_hit {
        scratch.header.destination = [SlotRef::NONE; SLOTS_PER_ADDRESS];
    }
    true
}

/// Looks up one address and copies its references to their side of the header.
#[inline(always)]
fn one<E: Entry>(
    key: &E::Key,
    side: impl Fn(&mut FrameHeader) -> &mut [SlotRef; SLOTS_PER_ADDRESS],
    counters: Counters,
) -> bool {
    let Some(entry) = E::find(key) else { return false };
    let Some(scratch) = Scratch::of_this_cpu() else { return false };
    let whole = E::copy(entry, key, side(&mut scratch.header));
    if !whole {
        counters.count(ProbeCounter::Torn);
    }
    whole
}

/// Volatile, so that the key is read after the references: the kernel gives the elements of a hash map to other keys
/// under a reader.
///
/// # Safety
/// `slots` and `found` are parts of an entry in map memory.
#[inline(always)]
unsafe fn copy<const N: usize>(
    slots: *const [SlotRef; SLOTS_PER_ADDRESS],
    found: *const [u8; N],
    wanted: &[u8; N],
    to: &mut [SlotRef; SLOTS_PER_ADDRESS],
) -> bool {
    for (i, to) in to.iter_mut().enumerate() {
        // SAFETY: within the array. Map values are aligned to 8 bytes, and the references in them to 4.
        *to = unsafe { ptr::read_volatile(slots.cast::<SlotRef>().add(i)) };
    }
    let mut difference = 0;
    for (i, wanted) in wanted.iter().enumerate() {
        // SAFETY: within the array.
        difference |= unsafe { ptr::read_volatile(found.cast::<u8>().add(i)) } ^ wanted;
    }
    difference == 0
}
