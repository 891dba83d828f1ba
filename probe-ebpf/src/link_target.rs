//! Targets that are found by the Ethernet header in front of the packet: MAC addresses and VLANs. Where there are none, a
//! word of memory says so, and that is all that a bystander pays.

use aya_ebpf::programs::XdpContext;
use core::ptr;
use writ_abi::{Intercepts, LinkTargets, MacKey, ProbeCounter, SLOTS_PER_ADDRESS, SlotRef, VlanMatch};

use crate::count::Counters;
use crate::ethernet;
use crate::lookup::{self, TRIES};
use crate::maps::{WRIT_LENGTHS, WRIT_MACS, WRIT_VLANS};
use crate::scratch::{DESTINATION, References, SOURCE, Scratch};

/// Which kinds there are: bits of [`LinkTargets`].
#[inline(always)]
pub fn kinds() -> u64 {
    let Some(word) = WRIT_LENGTHS.get_ptr(LinkTargets::PLACE) else { return 0 };
    // SAFETY: map memory, which outlives the program's run; user space may be writing it, whole.
    unsafe { ptr::read_volatile(word) }
}

/// Adds who wants the packet's MAC addresses or its VLAN to those who want its addresses; `found` says whether there are
/// such. Returns whether anybody is in the scratch now.
#[inline(always)]
pub fn look_up(ctx: &XdpContext, scratch: &mut Scratch, counters: Counters, mut found: bool) -> bool {
    let kinds = kinds();
    if kinds == 0 {
        return found;
    }
    if !found {
        scratch.references(SOURCE).clear();
        scratch.references(DESTINATION).clear();
    }
    ethernet::identify(ctx, scratch);
    if kinds & LinkTargets::MAC != 0 {
        found |= mac(scratch, counters, SOURCE);
        found |= mac(scratch, counters, DESTINATION);
    }
    if kinds & LinkTargets::VLAN != 0 && scratch.vlan.outer != VlanMatch::NONE {
        let tags = scratch.vlan;
        found |= vlan(scratch, counters, tags) || vlan(scratch, counters, tags.any_inner());
    }
    found
}

#[inline(always)]
fn mac(scratch: &mut Scratch, counters: Counters, side: usize) -> bool {
    let key: MacKey = scratch.macs[side];
    if !lookup::may_know(key.mark()) {
        return false;
    }
    for _ in 0..TRIES {
        let Some(entry) = WRIT_MACS.get_ptr(&key) else { continue };
        // SAFETY: the entry is map memory, which outlives the program's run.
        let whole = unsafe {
            lookup::copy(&raw const (*entry).intercepts, staged(scratch))
                && lookup::is_same(&raw const (*entry).key, &key)
        };
        if whole {
            append(scratch, counters, side, false);
            return true;
        }
        counters.count(ProbeCounter::Torn);
    }
    false
}

#[inline(always)]
fn vlan(scratch: &mut Scratch, counters: Counters, key: VlanMatch) -> bool {
    if !lookup::may_know(key.mark()) {
        return false;
    }
    for _ in 0..TRIES {
        let Some(entry) = WRIT_VLANS.get_ptr(&key) else { continue };
        // SAFETY: as above.
        let whole = unsafe {
            lookup::copy(&raw const (*entry).intercepts, staged(scratch))
                && lookup::is_same(&raw const (*entry).key, &key)
        };
        if whole {
            append(scratch, counters, SOURCE, true);
            return true;
        }
        counters.count(ProbeCounter::Torn);
    }
    false
}

#[inline(always)]
fn staged(scratch: &mut Scratch) -> References<'_> {
    let Intercepts { slots, conditions, .. } = &mut scratch.staged;
    References { slots, conditions }
}

/// Puts what is staged behind the references of a side.
#[inline(always)]
fn append(scratch: &mut Scratch, counters: Counters, side: usize, undirected: bool) {
    let mut next = 0;
    for slot in scratch.references(side).slots.iter() {
        next += usize::from(slot.is_some());
    }
    for i in 0..SLOTS_PER_ADDRESS {
        let (slot, condition) = (scratch.staged.slots[i], scratch.staged.conditions[i]);
        if !slot.is_some() {
            return;
        }
        let References { slots, conditions } = scratch.references(side);
        let (Some(to), Some(row)) = (slots.get_mut(next), conditions.get_mut(next)) else {
            return counters.count(ProbeCounter::Crowded);
        };
        (*to, *row) = (slot, condition);
        if undirected {
            scratch.header.undirected |= 1 << next;
        }
        next += 1;
    }
}
