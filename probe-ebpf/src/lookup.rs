//! From the two addresses of a packet to the intercepts that want them. This is the only question that a bystander's
//! packet is asked, so the answer comes from the filter nearly always, and a table is asked only where it may know the
//! address.

use core::mem::offset_of;
use core::ptr;
use writ_abi::{
    FilterMark, Intercepts, LinkTargets, MOST_LENGTHS, Prefix4, Prefix6, PrefixEntry4, PrefixEntry6, PrefixKey4,
    PrefixKey6, PrefixLengths, ProbeCounter, SLOTS_PER_ADDRESS, SlotRef,
};

use crate::count::Counters;
use crate::maps::{WRIT_FILTER, WRIT_LENGTHS, WRIT_PREFIX4, WRIT_PREFIX6};
use crate::scratch::{DESTINATION, References, SOURCE, Scratch};

/// In [`Scratch::found`] while addresses are looked up: the sides of which one is there.
const FOUND: [u32; 2] = [1, 2];

/// How often a table is asked for a prefix that the filter has. More than once, because user space rewrites an entry by
/// putting a new one in its place: a reader can come between, and find none or one that is being reused.
pub const TRIES: usize = if cfg!(feature = "no-filter") { 1 } else { 2 };

/// An address in network order, as it stands in the packet.
pub trait Address {
    const FAMILY: usize;
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
    const FAMILY: usize = PrefixLengths::V4;
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

impl Address for [[u8; 8]; 2] {
    const FAMILY: usize = PrefixLengths::V6;
    type Number = [u64; 2];
    type Prefix = Prefix6;
    type Key = PrefixKey6;
    type Entry = PrefixEntry6;

    #[inline(always)]
    fn number(self) -> [u64; 2] {
        let [high, low] = self;
        [u64::from_be_bytes(high), u64::from_be_bytes(low)]
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
pub fn v6([s0, s1]: [[u8; 8]; 2], [d0, d1]: [[u8; 8]; 2]) -> bool {
    let number = u64::from_ne_bytes;
    writ_look_up_v6(number(s0), number(s1), number(d0), number(d1)) != 0
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
    let source = [source_0.to_ne_bytes(), source_1.to_ne_bytes()];
    both(source, [destination_0.to_ne_bytes(), destination_1.to_ne_bytes()]).into()
}

/// Looks up the source and the destination.
#[inline(always)]
fn both<A: Address>(source: A, destination: A) -> bool {
    let Some(front) = Front::get() else { return false };
    let filter_last = front.filter_last();
    let mut lengths = front.lengths(A::FAMILY);
    let (source, destination) = (source.number(), destination.number());
    let Some(scratch) = Scratch::of_this_cpu() else { return false };
    // In the scratch, so that the verifier does not follow what was found so far.
    scratch.found = 0;
    for _ in 0..MOST_LENGTHS {
        scratch.settle();
        let Some(length) = lengths.next() else { break };
        let (one, other) = (A::prefix(source, length), A::prefix(destination, length));
        let (known, other_known) = may_know_either(A::mark(one), A::mark(other), front, filter_last);
        if known != 0 && scratch.found & FOUND[SOURCE] == 0 && fetch::<A>(one, scratch.references(SOURCE)) {
            scratch.found |= FOUND[SOURCE];
        }
        scratch.settle();
        if other_known != 0
            && scratch.found & FOUND[DESTINATION] == 0
            && fetch::<A>(other, scratch.references(DESTINATION))
        {
            scratch.found |= FOUND[DESTINATION];
        }
    }
    scratch.settle();
    if scratch.found == 0 {
        return false;
    }
    if scratch.found & FOUND[SOURCE] == 0 {
        scratch.references(SOURCE).clear();
    }
    if scratch.found & FOUND[DESTINATION] == 0 {
        scratch.references(DESTINATION).clear();
    }
    true
}

/// Whether no table of any kind can know either address, as far as that can be said at once: where all prefixes of the
/// family are of one length. That is the way of nearly all packets on most taps.
#[inline(always)]
pub fn are_bystanders<A: Address>((source, destination): (A, A)) -> bool {
    if cfg!(feature = "no-filter") {
        return false;
    }
    let Some(front) = Front::get() else { return false };
    if front.link_targets() != 0 {
        return false;
    }
    let lengths = front.lengths(A::FAMILY);
    let Some(length) = lengths.only() else { return lengths == PrefixLengths::default() };
    let one = A::mark(A::prefix(source.number(), length));
    let other = A::mark(A::prefix(destination.number(), length));
    let (known, other_known) = may_know_either(one, other, front, front.filter_last());
    (known | other_known) & 1 == 0
}

/// Copies the references of a prefix. False: no table has it.
#[inline(always)]
fn fetch<A: Address>(prefix: A::Prefix, References { slots, conditions }: References<'_>) -> bool {
    let key = A::key(prefix);
    for _ in 0..TRIES {
        let Some(entry) = A::find(&key) else { continue };
        if A::copy(entry, &key, References { slots, conditions }) {
            return true;
        }
        if let Some(counters) = Counters::of_this_cpu() {
            counters.count(ProbeCounter::Torn);
        }
    }
    false
}

/// What is read before any table: one line of memory.
#[derive(Clone, Copy)]
pub struct Front(*const writ_abi::Front);

impl Front {
    /// `None` cannot be: the map has one element.
    #[inline(always)]
    pub fn get() -> Option<Self> {
        WRIT_LENGTHS.get_ptr(0).map(Self)
    }

    /// The prefix lengths in use.
    #[inline(always)]
    pub fn lengths(self, family: usize) -> PrefixLengths {
        PrefixLengths::from_word(self.word(family))
    }

    /// How many words of the filter are in use, less one. Read once a look-up: user space clears what the former number led
    /// to only when every run that may have read that is over.
    #[inline(always)]
    pub fn filter_last(self) -> u32 {
        self.word(PrefixLengths::FILTER_LAST) as u32
    }

    /// Which kinds of targets there are besides addresses: bits of [`LinkTargets`].
    #[inline(always)]
    pub fn link_targets(self) -> u64 {
        self.word(LinkTargets::PLACE)
    }

    /// A word of the filter while it is small.
    #[inline(always)]
    fn filter(self, mark: FilterMark) -> u64 {
        self.word(PrefixLengths::PLACES + mark.word(SMALL) as usize)
    }

    #[inline(always)]
    fn word(self, place: usize) -> u64 {
        // SAFETY: map memory, which outlives the program's run, and a place of it; user space may be writing the word,
        // whole.
        unsafe { ptr::read_volatile(self.0.cast::<u64>().add(place)) }
    }
}

/// How many words of a small filter there are, less one.
const SMALL: u32 = PrefixLengths::FILTER_WORDS as u32 - 1;

/// Whether a table may hold what is so marked: the lowest bit of each answer. Both words are on their way before either is
/// looked at.
#[inline(always)]
fn may_know_either(one: FilterMark, other: FilterMark, front: Front, filter_last: u32) -> (u64, u64) {
    if cfg!(feature = "no-filter") {
        return (1, 1);
    }
    if filter_last == SMALL {
        return (one.is_in(front.filter(one)), other.is_in(front.filter(other)));
    }
    let Some(word) = WRIT_FILTER.get_ptr(one.word(filter_last)) else { return (1, 1) };
    let Some(other_word) = WRIT_FILTER.get_ptr(other.word(filter_last)) else { return (1, 1) };
    // SAFETY: map memory, which outlives the program's run; user space may be writing it, whole.
    let (word, other_word) = unsafe { (ptr::read_volatile(word), ptr::read_volatile(other_word)) };
    (one.is_in(word), other.is_in(other_word))
}

/// Whether a table may hold what is so marked.
#[inline(always)]
pub fn may_know(mark: FilterMark) -> bool {
    let Some(front) = Front::get() else { return true };
    let filter_last = front.filter_last();
    if filter_last == SMALL {
        return mark.is_in(front.filter(mark)) != 0;
    }
    let Some(word) = WRIT_FILTER.get_ptr(mark.word(filter_last)) else { return true };
    // SAFETY: as above.
    mark.is_in(unsafe { ptr::read_volatile(word) }) != 0
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
    const { assert!(offset_of!(Intercepts, sum) == 4 * Intercepts::WORDS) };
    let words = found.cast::<u32>();
    let slots = ptr::from_mut(to.slots).cast::<u32>();
    let conditions = ptr::from_mut(to.conditions).cast::<u32>();
    let mut sum = 0;
    for i in 0..Intercepts::WORDS {
        // SAFETY: within the entry. Map values are aligned to 8 bytes, and the words in them to 4.
        let word = unsafe { ptr::read_volatile(words.add(i)) };
        sum = Intercepts::and_word(sum, i, word);
        // SAFETY: within the references, then within their conditions, both in map memory and aligned to 4.
        unsafe {
            if i < SLOTS_PER_ADDRESS {
                slots.add(i).write(word);
            } else {
                conditions.add(i - SLOTS_PER_ADDRESS).write(word);
            }
        }
    }
    // SAFETY: as above.
    sum == unsafe { ptr::read_volatile(words.add(Intercepts::WORDS)) }
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
