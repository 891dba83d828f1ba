//! The slots of a packet: which of the intercepts that have one of its addresses want it now, and what becomes of it
//! in their accounts. The slots know nothing of each other.

use core::ptr;
use writ_abi::{PolicyFlags, SLOTS_PER_ADDRESS, SlotPolicy};

use crate::condition::{self, Link};
use crate::count::Counters;
use crate::maps::WRIT_SLOTS;
use crate::scratch::{DESTINATION, PLACES, SOURCE, Scratch, places_of, side_of};

/// What a slot says to a reference. Of several references to the same slot the greatest answer counts.
pub mod answer {
    /// The reference is unused.
    pub const NONE: u8 = 0;
    /// The slot belongs to another intercept by now.
    pub const STALE: u8 = 1;
    /// The start is yet to come.
    pub const EARLY: u8 = 2;
    /// The stop has passed.
    pub const EXPIRED: u8 = 3;
    /// The intercept wants the other side's packets only.
    pub const OTHER_DIRECTION: u8 = 4;
    /// The packet is not what the target's condition asks for.
    pub const OTHER_TRAFFIC: u8 = 5;
    /// It cannot be known whether it is.
    pub const UNKNOWN_TRAFFIC: u8 = 6;
    /// Wanted, if it is of the right kind of traffic, which is not known yet.
    pub const WAITING: u8 = 7;
    /// The packet is wanted.
    pub const LIVE: u8 = 8;
}

/// What became of a packet that a target had a part in.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No slot wanted it.
    NotTaken = 0,
    /// On its way to user space.
    HandedOver = 1,
    /// Destroyed: there is no socket to hand it to.
    NoSocket = 2,
    /// Destroyed: it could not be made what may be handed over.
    CutFailed = 3,
}

/// Asks every slot, and marks in the header which of them want the packet. Those whose condition names a kind of traffic
/// are left waiting.
///
/// A global function, as the kernel calls it: the verifier walks it once, and not for each caller. For that it may take
/// nothing but numbers, and has to return one. It calls [`writ_ask`], which is walked once for any place. So do the others
/// whose names are not mangled. The loop is in here and not in the program: Linux 6.1 cannot follow a number back across a
/// call, and would take every number of the function for one that matters.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_judge(now: u64) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    scratch.header.source_live = 0;
    scratch.header.destination_live = 0;
    scratch.content = 0;
    scratch.waiting = 0;
    scratch.asked = 0;
    scratch.clear_answers();
    scratch.settle();
    for side in [SOURCE, DESTINATION] {
        for place in places_of(side) {
            if !scratch.reference(place).is_some() {
                break;
            }
            writ_ask(place as u32, now);
        }
    }
    0
}

/// Asks the slot of one reference.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_ask(place: u32, now: u64) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    let place = place as usize % PLACES;
    let answer = answer_of(scratch, place, now);
    scratch.asked += 1;
    scratch.set_answer(place, answer);
    if answer == answer::LIVE {
        scratch.set_live(place);
    } else if answer == answer::WAITING {
        scratch.waiting = 1;
    }
    0
}

#[inline(always)]
fn answer_of(scratch: &mut Scratch, place: usize, now: u64) -> u8 {
    let reference = scratch.reference(place);
    let Some(policy) = WRIT_SLOTS.get_ptr(reference.slot.into()) else { return answer::STALE };
    let policy = read(policy);
    if policy.generation != reference.generation {
        return answer::STALE;
    }
    if now >= policy.stop_ns {
        return answer::EXPIRED;
    }
    if now < policy.start_ns {
        return answer::EARLY;
    }
    let directions = if side_of(place) == DESTINATION {
        PolicyFlags::DESTINATION
    } else if u32::from(scratch.header.undirected) & 1 << place != 0 {
        // Who is found by the VLAN can be either end, so only who wants both directions is sure to want it.
        PolicyFlags::SOURCE | PolicyFlags::DESTINATION
    } else {
        PolicyFlags::SOURCE
    };
    if policy.flags & directions != directions {
        return answer::OTHER_DIRECTION;
    }
    if policy.flags & PolicyFlags::HEADERS_ONLY == 0 {
        scratch.content |= 1 << place;
    }
    match scratch.condition(place) {
        0 => answer::LIVE,
        row => match condition::link(scratch, side_of(place), row) {
            Link::Met => answer::LIVE,
            Link::MetButTraffic => answer::WAITING,
            Link::NotMet => answer::OTHER_TRAFFIC,
        },
    }
}

/// Reads a policy while user space may be writing it. The stop comes first: who arms a slot writes it last, so with a
/// stop of the new owner all else is the new owner's.
#[inline(always)]
fn read(policy: *const SlotPolicy) -> SlotPolicy {
    // SAFETY: map memory, which outlives the program's run; all fields are plain integers.
    unsafe {
        SlotPolicy {
            stop_ns: ptr::read_volatile(&raw const (*policy).stop_ns),
            start_ns: ptr::read_volatile(&raw const (*policy).start_ns),
            flags: ptr::read_volatile(&raw const (*policy).flags),
            generation: ptr::read_volatile(&raw const (*policy).generation),
            reserved: 0,
        }
    }
}

/// Enters the packet into the account of every slot that it refers to, once: with the best answer where several references
/// are to the same slot. Its fate is read from the scratch. A global function, like [`writ_judge`].
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_account() -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    if scratch.asked == 1 {
        // The usual case: nothing to put together, and no call.
        let Some(counters) = Counters::of_this_cpu() else { return 0 };
        let place = if scratch.reference(0).is_some() { 0 } else { SLOTS_PER_ADDRESS };
        enter(scratch, counters, scratch.reference(place).slot, scratch.answer(place));
        return 0;
    }
    for side in [SOURCE, DESTINATION] {
        for place in places_of(side) {
            if !scratch.reference(place).is_some() {
                break;
            }
            writ_account_one(place as u32);
        }
    }
    0
}

/// Enters the packet for one reference and the later ones to the same slot.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_account_one(place: u32) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    let Some(counters) = Counters::of_this_cpu() else { return 0 };
    let place = place as usize % PLACES;
    if scratch.answer(place) == answer::NONE {
        return 0;
    }
    let reference = scratch.reference(place);
    for later in 1..PLACES {
        if later > place && scratch.reference(later) == reference {
            let best = scratch.answer(later).max(scratch.answer(place));
            scratch.set_answer(place, best);
            scratch.set_answer(later, answer::NONE);
        }
        scratch.settle();
    }
    enter(scratch, counters, reference.slot, scratch.answer(place));
    0
}

#[inline(always)]
fn enter(scratch: &Scratch, counters: Counters, slot: u16, answer: u8) {
    let Some(slot) = counters.slot(slot) else { return };
    match answer {
        answer::LIVE => {
            slot.matched += 1;
            slot.matched_bytes += u64::from(scratch.header.wire_length);
            if scratch.fate == Fate::NoSocket as u32 {
                slot.no_socket += 1;
            } else if scratch.fate == Fate::CutFailed as u32 {
                slot.cut_failed += 1;
            }
        }
        answer::EARLY => slot.early += 1,
        answer::EXPIRED => slot.expired += 1,
        answer::STALE => slot.stale += 1,
        answer::OTHER_TRAFFIC => slot.other_traffic += 1,
        answer::UNKNOWN_TRAFFIC => slot.unknown_traffic += 1,
        _ => slot.other_direction += 1,
    }
}
