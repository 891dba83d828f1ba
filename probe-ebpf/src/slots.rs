//! The slots of a packet: which of the intercepts that have one of its addresses want it now, and what becomes of it
//! in their accounts. The slots know nothing of each other.

use core::ptr;
use writ_abi::{PolicyFlags, SLOTS_PER_ADDRESS, SlotPolicy, SlotRef};

use crate::count::Counters;
use crate::maps::WRIT_SLOTS;
use crate::scratch::Scratch;

/// What a slot says to a reference.
mod answer {
    /// The reference is unused.
    pub const NONE: u8 = 0;
    /// The packet is wanted.
    pub const LIVE: u8 = 1;
    /// The start is yet to come.
    pub const EARLY: u8 = 2;
    /// The stop has passed.
    pub const EXPIRED: u8 = 3;
    /// The slot belongs to another intercept by now.
    pub const STALE: u8 = 4;
    /// The intercept wants the other side's packets only.
    pub const OTHER_DIRECTION: u8 = 5;
}

const SOURCE: usize = 0;
const DESTINATION: usize = 1;

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

/// Asks every slot, and marks in the header which of them want the packet.
#[inline(always)]
pub fn judge(scratch: &mut Scratch, now: u64) {
    scratch.header.source_live = 0;
    scratch.header.destination_live = 0;
    for i in 0..SLOTS_PER_ADDRESS {
        let answer = ask(scratch.header.source[i], PolicyFlags::SOURCE, now, &mut scratch.content_wanted);
        scratch.answers[SOURCE][i] = answer;
        if answer == answer::LIVE {
            scratch.header.source_live |= 1 << i;
        }
    }
    for i in 0..SLOTS_PER_ADDRESS {
        let answer = ask(scratch.header.destination[i], PolicyFlags::DESTINATION, now, &mut scratch.content_wanted);
        scratch.answers[DESTINATION][i] = answer;
        if answer == answer::LIVE {
            scratch.header.destination_live |= 1 << i;
        }
    }
}

#[inline(always)]
fn ask(reference: SlotRef, direction: u32, now: u64, content_wanted: &mut u32) -> u8 {
    if !reference.is_some() {
        return answer::NONE;
    }
    let Some(policy) = WRIT_SLOTS.get_ptr(reference.slot.into()) else { return answer::STALE };
    let policy = read(policy);
    if policy.generation != reference.generation {
        answer::STALE
    } else if now >= policy.stop_ns {
        answer::EXPIRED
    } else if now < policy.start_ns {
        answer::EARLY
    } else if policy.flags & direction == 0 {
        answer::OTHER_DIRECTION
    } else {
        if policy.flags & PolicyFlags::HEADERS_ONLY == 0 {
            *content_wanted = 1;
        }
        answer::LIVE
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

/// Enters the packet into the account of every slot that it refers to, once: where both sides refer to the same slot,
/// the source side's account speaks for both, and a packet that either side wants is wanted. Its fate is read from the
/// scratch, so that the verifier walks this once and not once for each.
#[inline(always)]
pub fn account(scratch: &Scratch, counters: Counters) {
    for i in 0..SLOTS_PER_ADDRESS {
        let mut answer = scratch.answers[SOURCE][i];
        if answer == answer::NONE {
            continue;
        }
        if let Some(twin) = twin(scratch.header.source[i], &scratch.header.destination)
            && scratch.answers[DESTINATION][twin] == answer::LIVE
        {
            answer = answer::LIVE;
        }
        enter(scratch, counters, scratch.header.source[i].slot, answer);
    }
    for i in 0..SLOTS_PER_ADDRESS {
        let answer = scratch.answers[DESTINATION][i];
        if answer == answer::NONE || twin(scratch.header.destination[i], &scratch.header.source).is_some() {
            continue;
        }
        enter(scratch, counters, scratch.header.destination[i].slot, answer);
    }
}

/// Place of the same reference on the other side.
#[inline(always)]
fn twin(reference: SlotRef, others: &[SlotRef; SLOTS_PER_ADDRESS]) -> Option<usize> {
    others.iter().position(|other| *other == reference)
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
        _ => slot.other_direction += 1,
    }
}
