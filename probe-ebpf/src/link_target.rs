//! Targets that are found by the Ethernet header in front of the packet: MAC addresses and VLANs. Where there are none, a
//! word of memory says so, and that is all that a bystander pays.

use aya_ebpf::programs::XdpContext;
use writ_abi::{Intercepts, LinkTargets, MacKey, ProbeCounter, SLOTS_PER_ADDRESS, VlanMatch};

use crate::count::Counters;
use crate::ethernet;
use crate::lookup::{self, Front, TRIES};
use crate::maps::{WRIT_MACS, WRIT_VLANS};
use crate::scratch::{DESTINATION, References, SOURCE, Scratch};

/// Which kinds there are: bits of [`LinkTargets`].
#[inline(always)]
pub fn kinds() -> u64 {
    Front::get().map_or(0, Front::link_targets)
}

/// Adds who wants the packet's MAC addresses or its VLAN to those who want its addresses; `found` says whether there are
/// such. Returns whether anybody is in the scratch now.
#[inline(always)]
pub fn look_up(ctx: &XdpContext, scratch: &mut Scratch, found: bool) -> bool {
    if kinds() == 0 {
        return found;
    }
    if !found {
        scratch.references(SOURCE).clear();
        scratch.references(DESTINATION).clear();
    }
    scratch.found = found.into();
    ethernet::identify(ctx, scratch);
    scratch.settle();
    writ_link_targets();
    scratch.settle();
    scratch.found != 0
}

/// Looks up the MAC addresses and the VLAN in the scratch. A global function, like
/// [`writ_judge`](crate::slots::writ_judge).
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_link_targets() -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    let kinds = kinds();
    if kinds & LinkTargets::MAC != 0 {
        scratch.found |= writ_mac(SOURCE as u32);
        scratch.settle();
        scratch.found |= writ_mac(DESTINATION as u32);
        scratch.settle();
    }
    if kinds & LinkTargets::VLAN != 0 && scratch.vlan.outer != VlanMatch::NONE {
        let exact = writ_vlan(0);
        scratch.found |= if exact != 0 { exact } else { writ_vlan(1) };
    }
    0
}

/// Looks up the MAC address of a side. Not 0: somebody wants it.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_mac(side: u32) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    let Some(counters) = Counters::of_this_cpu() else { return 0 };
    let side = side as usize & 1;
    let key: MacKey = scratch.macs[side];
    if !lookup::may_know(key.mark()) {
        return 0;
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
            return 1;
        }
        counters.count(ProbeCounter::Torn);
    }
    0
}

/// Looks up the frame's VLAN; if `any` is not 0, its outer one whatever is behind it. Else like [`writ_mac`].
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_vlan(any: u32) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    let Some(counters) = Counters::of_this_cpu() else { return 0 };
    let key = if any == 0 { scratch.vlan } else { scratch.vlan.any_inner() };
    if !lookup::may_know(key.mark()) {
        return 0;
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
            return 1;
        }
        counters.count(ProbeCounter::Torn);
    }
    0
}

#[inline(always)]
fn staged(scratch: &mut Scratch) -> References<'_> {
    let Intercepts { slots, conditions, .. } = &mut scratch.staged;
    References { slots, conditions }
}

/// Puts what is staged behind the references of a side.
#[inline(always)]
fn append(scratch: &mut Scratch, counters: Counters, side: usize, undirected: bool) {
    scratch.used = 0;
    for i in 0..SLOTS_PER_ADDRESS {
        // Through the scratch, so that the verifier does not follow each number on its own.
        scratch.settle();
        if scratch.references(side).slots[i].is_some() {
            scratch.used = i as u32 + 1;
        }
    }
    scratch.settle();
    let mut next = scratch.used as usize;
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
