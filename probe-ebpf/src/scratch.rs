//! The program's own memory: per CPU, of a packet whose address belongs to an intercept.

use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{Ordering, compiler_fence};
use writ_abi::{
    ABI_VERSION, FragmentEntry, FrameFlags, FrameHeader, Intercepts, MacKey, OptionSpan, SLOTS_PER_ADDRESS, SlotRef,
    VlanMatch,
};

use crate::maps::WRIT_SCRATCH;
use crate::network::{Family, Network};

/// The two sides of a packet, as indices.
pub const SOURCE: usize = 0;
pub const DESTINATION: usize = 1;

/// In [`Scratch::stop`]: the headers have not been walked.
pub const NOT_WALKED: u32 = u32::MAX;
/// In [`Scratch::stop`]: nothing ended the walk.
pub const ARRIVED: u32 = u32::MAX - 1;

/// The places of both sides: those of the source, then those of the destination.
pub const PLACES: usize = 2 * SLOTS_PER_ADDRESS;

/// The side of a place.
#[inline(always)]
pub fn side_of(place: usize) -> usize {
    place / SLOTS_PER_ADDRESS
}

/// The places of a side. Those that are used come first.
#[inline(always)]
pub fn places_of(side: usize) -> core::ops::Range<usize> {
    side * SLOTS_PER_ADDRESS..(side + 1) * SLOTS_PER_ADDRESS
}

/// What is known of the packet so far. Kept in a map and not on the stack: the verifier then forgets the values
/// between the steps, and what it has to follow is the sum of the steps and not their product.
#[repr(C)]
pub struct Scratch {
    /// What user space will read.
    pub header: FrameHeader,
    /// The condition of each reference: of the source side, then of the destination side.
    pub conditions: [[u16; SLOTS_PER_ADDRESS]; 2],
    /// What the slots said to each reference: of the source side, then of the destination side.
    pub answers: [[u8; SLOTS_PER_ADDRESS]; 2],
    /// Entries that are read before they are believed: of a MAC address or a VLAN.
    pub staged: Intercepts,
    /// Whether there are references; while addresses are looked up, which sides have some.
    pub found: u32,
    /// How many places of a side are used.
    pub used: u32,
    /// The MAC address of each end, and the VLAN, of the Ethernet header that counts. Written if somebody asks.
    pub macs: [MacKey; 2],
    pub vlan: VlanMatch,
    /// How many of the header's option spans are used.
    pub option_spans: u32,
    /// A bit for each reference whose slot wants content: of the source from bit 0, of the destination from bit 8.
    pub content: u32,
    /// How many references were asked.
    pub asked: u32,
    /// Whether a reference waits for the kind of traffic to be known.
    pub waiting: u32,
    /// What ended the walk through the headers before a transport header was read: a
    /// [`ProbeCounter`](writ_abi::ProbeCounter), or [`NOT_WALKED`] or [`ARRIVED`].
    pub stop: u32,
    /// IPv6: the identification in the fragment header.
    pub identification: u32,
    /// Source and destination port, if `has_ports` is not 0.
    pub ports: [u16; 2],
    pub has_ports: u32,
    /// What was found out of one reference's traffic: [`crate::traffic`]'s.
    pub remarks: u32,
    /// What is known of the packet's first fragment.
    pub fragment: FragmentEntry,
    /// What became of the packet: a [`Fate`](crate::slots::Fate).
    pub fate: u32,
    /// The interface that this CPU had a hit of last, and its place among the sockets: the table of ports is not asked for
    /// each hit. No interface is 0.
    pub interface: u32,
    pub first_socket: u32,
    pub queues: u32,
}

/// [`SlotRef::NONE`] as a word in memory.
const NONE: u32 = SlotRef::NONE.slot as u32 | (SlotRef::NONE.generation as u32) << 16;

/// The references of one side, each with its condition.
pub struct References<'a> {
    pub slots: &'a mut [SlotRef; SLOTS_PER_ADDRESS],
    pub conditions: &'a mut [u16; SLOTS_PER_ADDRESS],
}

impl References<'_> {
    /// Leaves none.
    #[inline(always)]
    pub fn clear(self) {
        // In words, and volatile: the compiler would go by single references, or call a loop over bytes.
        for i in 0..SLOTS_PER_ADDRESS {
            // SAFETY: within the references, which are aligned to 4 in map memory.
            unsafe { ptr::write_volatile(ptr::from_mut(self.slots).cast::<u32>().add(i), NONE) };
        }
        for i in 0..SLOTS_PER_ADDRESS / 2 {
            // SAFETY: within the conditions, likewise.
            unsafe { ptr::write_volatile(ptr::from_mut(self.conditions).cast::<u32>().add(i), 0) };
        }
    }
}

impl Scratch {
    /// Rounded up from (255 + 1) * 8 - 2 bytes, the most that an option header can hold.
    pub const LONGEST_OPTIONS: usize = 2048;

    /// This CPU's. `None` cannot be: the map has one entry.
    #[inline(always)]
    pub fn of_this_cpu() -> Option<&'static mut Self> {
        let scratch = WRIT_SCRATCH.get_ptr_mut(0)?;
        // SAFETY: map memory, which outlives the program's run, and this CPU's own; the program never holds two at a time.
        Some(unsafe { &mut *scratch })
    }

    /// The references of one side.
    #[inline(always)]
    pub fn references(&mut self, side: usize) -> References<'_> {
        let slots = if side == SOURCE { &mut self.header.source } else { &mut self.header.destination };
        References { slots, conditions: &mut self.conditions[side] }
    }

    /// Begins a packet. The references of both sides are there already; all else is as the last packet left it.
    #[inline(always)]
    pub fn begin(&mut self, length: u32, network: Network, flags: u32) {
        let header = &mut self.header;
        let ip = network.offset;
        header.abi = ABI_VERSION;
        header.flags = flags | if network.family == Family::V6 { FrameFlags::IPV6 } else { 0 };
        header.wire_length = length;
        header.ip_offset = ip;
        header.ip_end = network.end;
        header.undirected = 0;
        header.header_end = ip;
        header.transport_offset = 0;
        header.protocol = 0;
        for span in &mut header.options {
            // Volatile, or the compiler makes a call to a loop over bytes of it.
            // SAFETY: a reference is good for a write.
            unsafe { ptr::write_volatile(span, OptionSpan { offset: 0, length: 0 }) };
        }
        self.option_spans = 0;
        self.stop = NOT_WALKED;
        self.settle();
    }

    /// From here on what was written is read back. Otherwise the compiler hands on values that differ from path to path, and
    /// the verifier walks all that follows once for each of them.
    #[inline(always)]
    pub fn settle(&mut self) {
        compiler_fence(Ordering::SeqCst);
    }

    /// Keeps two offsets for a moment and gives them back as [`Scratch::settle`] does.
    #[inline(always)]
    pub fn settled(&mut self, offset: u16, end: u16) -> (u16, u16) {
        self.header.ip_offset = offset;
        self.header.ip_end = end;
        self.settle();
        (self.header.ip_offset, self.header.ip_end)
    }

    /// Where the packet begins, and the most that it can be.
    #[inline(always)]
    pub fn network(&self) -> Network {
        Network { family: self.family(), offset: self.header.ip_offset, end: self.header.ip_end }
    }

    /// The reference at a place of both sides.
    #[inline(always)]
    pub fn reference(&self, place: usize) -> SlotRef {
        const {
            let side = size_of::<[SlotRef; SLOTS_PER_ADDRESS]>();
            assert!(offset_of!(FrameHeader, destination) == offset_of!(FrameHeader, source) + side);
        }
        let header = &raw const self.header;
        // SAFETY: the destination's references follow the source's, so all places are within the header.
        unsafe { ptr::read_volatile((&raw const (*header).source).cast::<SlotRef>().add(place % PLACES)) }
    }

    /// The row of that reference's condition.
    #[inline(always)]
    pub fn condition(&self, place: usize) -> u16 {
        self.conditions.as_flattened()[place % PLACES]
    }

    /// What was said to that reference.
    #[inline(always)]
    pub fn answer(&self, place: usize) -> u8 {
        self.answers.as_flattened()[place % PLACES]
    }

    /// Says something to that reference.
    #[inline(always)]
    pub fn set_answer(&mut self, place: usize, answer: u8) {
        self.answers.as_flattened_mut()[place % PLACES] = answer;
    }

    /// Forgets what was said.
    #[inline(always)]
    pub fn clear_answers(&mut self) {
        for side in &mut self.answers {
            // As a word: the compiler would write byte by byte.
            const { assert!(offset_of!(Scratch, answers).is_multiple_of(8) && SLOTS_PER_ADDRESS == 8) };
            // SAFETY: eight bytes of a side, aligned to 8 in map memory, which is too.
            unsafe { ptr::write_volatile(ptr::from_mut(side).cast::<u64>(), 0) };
        }
    }

    /// Notes that the slot at this place wants the packet.
    #[inline(always)]
    pub fn set_live(&mut self, place: usize) {
        let bit = 1 << (place % SLOTS_PER_ADDRESS);
        if side_of(place) == SOURCE {
            self.header.source_live |= bit;
        } else {
            self.header.destination_live |= bit;
        }
    }

    /// Whether a slot that wants the packet wants its content too.
    #[inline(always)]
    pub fn content_wanted(&self) -> bool {
        let live = u32::from(self.header.source_live) | u32::from(self.header.destination_live) << 8;
        self.content & live != 0
    }

    /// Whether any reference is bound to a condition.
    #[inline(always)]
    pub fn is_conditional(&self) -> bool {
        const { assert!(offset_of!(Scratch, conditions).is_multiple_of(4)) };
        let words = (&raw const self.conditions).cast::<u32>();
        // In the words in which they were written: a longer one would wait until all of it has left for the cache.
        // SAFETY: within the conditions, which are aligned to 4 in map memory.
        (0..size_of_val(&self.conditions) / 4).fold(0, |any, i| any | unsafe { ptr::read_volatile(words.add(i)) }) != 0
    }

    /// Whether any slot wants the packet.
    #[inline(always)]
    pub fn wanted(&self) -> bool {
        self.header.source_live | self.header.destination_live != 0
    }

    /// Version of the packet.
    #[inline(always)]
    pub fn family(&self) -> Family {
        if self.header.flags & FrameFlags::IPV6 == 0 { Family::V4 } else { Family::V6 }
    }

    /// Ends the headers at `offset`, where a header of the kind `protocol` is not read.
    #[inline(always)]
    pub fn stop_at(&mut self, protocol: u8, offset: u16) {
        self.header.protocol = protocol;
        self.header.header_end = offset;
    }
}
