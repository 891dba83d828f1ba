//! From the two addresses of a packet to the intercepts that want them. This is the only question that a bystander's
//! packet is asked, so the answer comes from the filter nearly always, and a table is asked only where it may know the
//! address.

use core::ptr;
use writ_abi::{
    FilterMark, Intercepts, MOST_LENGTHS, Prefix4, Prefix6, PrefixEntry4, PrefixEntry6, PrefixKey4, PrefixKey6,
    PrefixLengths, ProbeCounter, SLOTS_PER_ADDRESS, SlotRef,
};

use crate::count::Counters;
use crate::maps::{WRIT_FILTER, WRIT_LENGTHS, WRIT_PREFIX4, WRIT_PREFIX6};
use crate::scratch::{DESTINATION, References, SOURCE, Scratch};

/// How often a table is asked for a prefix that the filter has. More than once, because user space rewrites an entry by
/// putting a new one in its place: a reader can come between, and find none or one that is being reused.
pub const TRIES: usize = if cfg!(feature = "no-filter") { 1 } else { 2 };

/// An address in network order, as it stands in the packet.
pub trait Address {
    const FAMILY: u32;
    type Number: Copy;
    type Prefix: Copy;
    type Key;
    type Entry;

    /// Read once: the packet has it byte for byte.
    fn number(self) -> Self::Number;

    fn prefix(number: Self::Number, length: u8) -> Self::Prefix;

    fn mark(prefix: Self::Prefix) -> FilterMark;

    fn key(prefix: Self::Prefix) -> Self::Key;

    fn find(key: &Self::Key) -> Option<*const Self::Entry>;

    /// Copies the references out. False: by then the entry was another one.
    fn copy(entry: *const Self::Entry, key: &Self::Key, to: References<'_>) -> bool;
}

impl Address for [u8; 4] {
    const FAMILY: u32 = PrefixLengths::V4;
    type Number = u32;
    type Prefix = Prefix4;
    type Key = PrefixKey4;
    type Entry = PrefixEntry4;

    #[inline(always)]
    fn number(self) -> u32 {
        u32::from_be_bytes(self)
    }

    #[inline(always)]
    fn prefix(number: u32, length: u8) -> Prefix4 {
        Prefix4::new(number, length)
    }

    #[inline(always)]
    fn mark(prefix: Prefix4) -> FilterMark {
        prefix.mark()
    }

    #[inline(always)]
    fn key(prefix: Prefix4) -> PrefixKey4 {
        prefix.key()
    }

    #[inline(always)]
    fn find(key: &PrefixKey4) -> Option<*const PrefixEntry4> {
        WRIT_PREFIX4.get_ptr(key)
    }

    #[inline(always)]
    fn copy(entry: *const PrefixEntry4, key: &PrefixKey4, to: References<'_>) -> bool {
        // SAFETY: the entry is map memory, which outlives the program's run.
        unsafe { copy(&raw const (*entry).intercepts, to) && is_same(&raw const (*entry).key, key) }
    }
}

impl Address for [u8; 16] {
    const FAMILY: u32 = PrefixLengths::V6;
    type Number = [u64; 2];
    type Prefix = Prefix6;
    type Key = PrefixKey6;
    type Entry = PrefixEntry6;

    #[inline(always)]
    fn number(self) -> [u64; 2] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self;
        [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])]
    }

    #[inline(always)]
    fn prefix([high, low]: [u64; 2], length: u8) -> Prefix6 {
        Prefix6::new(high, low, length)
    }

    #[inline(always)]
    fn mark(prefix: Prefix6) -> FilterMark {
        prefix.mark()
    }

    #[inline(always)]
    fn key(prefix: Prefix6) -> PrefixKey6 {
        prefix.key()
    }

    #[inline(always)]
    fn find(key: &PrefixKey6) -> Option<*const PrefixEntry6> {
        WRIT_PREFIX6.get_ptr(key)
    }

    #[inline(always)]
    fn copy(entry: *const PrefixEntry6, key: &PrefixKey6, to: References<'_>) -> bool {
        // SAFETY: the entry is map memory, which outlives the program's run.
        unsafe { copy(&raw const (*entry).intercepts, to) && is_same(&raw const (*entry).key, key) }
    }
}

/// Looks up both addresses of an IPv4 packet. False: no intercept has either. Else their references are in the scratch.
#[inline(always)]
pub fn v4(source: [u8; 4], destination: [u8; 4]) -> bool {
    writ_look_up_v4(u32::from_ne_bytes(source), u32::from_ne_bytes(destination)) != 0
}

/// The same of an IPv6 packet.
#[inline(always)]
pub fn v6(source: [u8; 16], destination: [u8; 16]) -> bool {
    let [s0, s1] = halves(source);
    let [d0, d1] = halves(destination);
    writ_look_up_v6(s0, s1, d0, d1) != 0
}

/// A global function, like [`writ_judge`](crate::slots::writ_judge).
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_look_up_v4(source: u32, destination: u32) -> u32 {
    both(source.to_ne_bytes(), destination.to_ne_bytes()).into()
}

/// Likewise.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_look_up_v6(source_0: u64, source_1: u64, destination_0: u64, destination_1: u64) -> u32 {
    both(whole([source_0, source_1]), whole([destination_0, destination_1])).into()
}

/// As it stands in the packet, in the two numbers that go through registers.
#[inline(always)]
fn halves(address: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])]
}

/// Takes back [`halves`].
#[inline(always)]
fn whole([one, other]: [u64; 2]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h] = one.to_ne_bytes();
    let [i, j, k, l, m, n, o, p] = other.to_ne_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// Looks up the source and the destination.
#[inline(always)]
fn both<A: Address>(source: A, destination: A) -> bool {
    let lengths = lengths(A::FAMILY);
    let filter_last = filter_last();
    // One after the other, with the answer as a truth value: two pointers that are compared at once, the compiler joins
    // by an `or`, which the verifier refuses.
    let source_hit = one(source, lengths, filter_last, SOURCE);
    let destination_hit = one(destination, lengths, filter_last, DESTINATION);
    if !source_hit && !destination_hit {
        return false;
    }
    let Some(scratch) = Scratch::of_this_cpu() else { return false };
    if !source_hit {
        scratch.references(SOURCE).clear();
    }
    if !destination_hit {
        scratch.references(DESTINATION).clear();
    }
    true
}

/// Looks up one address and copies the references of the longest prefix that holds it to their side of the scratch.
#[inline(always)]
fn one<A: Address>(address: A, mut lengths: PrefixLengths, filter_last: u32, side: usize) -> bool {
    let number = address.number();
    for _ in 0..MOST_LENGTHS {
        let Some(length) = lengths.next() else { return false };
        let prefix = A::prefix(number, length);
        if !cfg!(feature = "no-filter") && !may_know(A::mark(prefix), filter_last) {
            continue;
        }
        let key = A::key(prefix);
        for _ in 0..TRIES {
            let Some(entry) = A::find(&key) else { continue };
            let Some(scratch) = Scratch::of_this_cpu() else { return false };
            if A::copy(entry, &key, scratch.references(side)) {
                return true;
            }
            if let Some(counters) = Counters::of_this_cpu() {
                counters.count(ProbeCounter::Torn);
            }
        }
    }
    false
}

/// The prefix lengths in use.
#[inline(always)]
fn lengths(family: u32) -> PrefixLengths {
    let Some(word) = WRIT_LENGTHS.get_ptr(family) else { return PrefixLengths::default() };
    // SAFETY: map memory, which outlives the program's run; user space may be writing it, whole.
    PrefixLengths::from_word(unsafe { ptr::read_volatile(word) })
}

/// How many words of the filter are in use, less one. Read once a packet: user space clears what the former number led to
/// only when every run that may have read that is over.
#[inline(always)]
pub fn filter_last() -> u32 {
    let Some(word) = WRIT_LENGTHS.get_ptr(PrefixLengths::FILTER_LAST) else { return 0 };
    // SAFETY: as above.
    unsafe { ptr::read_volatile(word) as u32 }
}

/// Whether a table may hold what is so marked.
#[inline(always)]
pub fn may_know(mark: FilterMark, filter_last: u32) -> bool {
    let Some(word) = WRIT_FILTER.get_ptr(mark.word(filter_last)) else { return true };
    // SAFETY: as above.
    let word = unsafe { ptr::read_volatile(word) };
    word & mark.bits() == mark.bits()
}

/// Copies references.
///
/// # Safety
/// `found` is part of an entry in map memory, aligned to 4 bytes.
#[inline(always)]
pub unsafe fn copy_references(found: *const [SlotRef; SLOTS_PER_ADDRESS], to: &mut [SlotRef; SLOTS_PER_ADDRESS]) {
    for (i, to) in to.iter_mut().enumerate() {
        // SAFETY: within the array.
        *to = unsafe { ptr::read_volatile(found.cast::<SlotRef>().add(i)) };
    }
}

/// Copies the references. False: they are not those of one entry.
///
/// # Safety
/// `found` is part of an entry in map memory.
#[inline(always)]
pub unsafe fn copy(found: *const Intercepts, to: References<'_>) -> bool {
    // SAFETY: map values are aligned to 8 bytes, and the references in them to 4.
    unsafe { copy_references(&raw const (*found).slots, to.slots) };
    for (i, to) in to.conditions.iter_mut().enumerate() {
        // SAFETY: as above, aligned to 2.
        *to = unsafe { ptr::read_volatile((&raw const (*found).conditions).cast::<u16>().add(i)) };
    }
    // SAFETY: within the entry, and aligned.
    let sum = unsafe { ptr::read_volatile(&raw const (*found).sum) };
    sum == Intercepts::sum_of(to.slots, to.conditions)
}

/// Whether an entry is the key's own. Volatile, so that it is read after the references.
///
/// # Safety
/// `found` is part of an entry in map memory.
#[inline(always)]
pub unsafe fn is_same<K>(found: *const K, wanted: &K) -> bool {
    const { assert!(size_of::<K>().is_multiple_of(4) && align_of::<K>() <= 4) };
    let (found, wanted) = (found.cast::<u32>(), ptr::from_ref(wanted).cast::<u32>());
    let mut difference = 0;
    for i in 0..size_of::<K>() / 4 {
        // SAFETY: within the key, which comes first in its entry, and so is aligned to 8 bytes.
        let found = unsafe { ptr::read_volatile(found.add(i)) };
        // SAFETY: within the key.
        difference |= found ^ unsafe { ptr::read_unaligned(wanted.add(i)) };
    }
    difference == 0
}
