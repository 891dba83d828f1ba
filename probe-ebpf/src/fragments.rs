//! Fragments after the first have no ports. So the program remembers the first fragments that a rule with ports has let
//! through, and for whom; the others follow them, for as long as a receiver would wait for them. One that comes before its
//! first is not taken: nobody can know of what traffic it is.

use aya_ebpf::programs::XdpContext;
use core::ptr;
use writ_abi::{FragmentEntry, FragmentKey, ProbeCounter, SLOTS_PER_ADDRESS, SlotRef};

use crate::lookup;
use crate::maps::WRIT_FRAGMENTS;
use crate::network::Family;
use crate::packet;
use crate::scratch::{PLACES, SOURCE, Scratch, side_of};
use crate::slots::answer;
use crate::{ipv4, ipv6};

/// Remembers a first fragment for those who got it for its ports, and lets those have a later one who had the first.
#[inline(always)]
pub fn resolve(ctx: &XdpContext, scratch: &mut Scratch, now: u64) {
    if set_key(ctx, scratch).is_none() {
        return;
    }
    scratch.settle();
    if scratch.stop == ProbeCounter::LaterFragments as u32 {
        writ_follow(now);
    } else if scratch.has_ports != 0 {
        writ_remember(now);
    }
    scratch.settle();
}

/// Remembers a first fragment with the references that the scratch holds for it, if there are any. A global function, like
/// [`writ_judge`](crate::slots::writ_judge).
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_remember(now: u64) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    let kept = |references: &[SlotRef; SLOTS_PER_ADDRESS]| references.iter().any(|reference| reference.is_some());
    if kept(&scratch.fragment.source) || kept(&scratch.fragment.destination) {
        scratch.fragment.time_ns = now;
        // Without memory for it, the later fragments are not taken and counted as of unknown traffic.
        _ = WRIT_FRAGMENTS.insert(&scratch.fragment.key, &scratch.fragment, 0);
    }
    0
}

/// Keeps the reference at a place for [`remember`].
#[inline(always)]
pub fn keep(scratch: &mut Scratch, place: usize) {
    let reference = scratch.reference(place);
    let side = if side_of(place) == SOURCE { &mut scratch.fragment.source } else { &mut scratch.fragment.destination };
    side[place % SLOTS_PER_ADDRESS] = reference;
}

/// Lets every reference have a later fragment that had the first. A global function, like
/// [`writ_judge`](crate::slots::writ_judge).
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_follow(now: u64) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    if recall(scratch, now) {
        for place in 0..PLACES as u32 {
            writ_follow_one(place);
        }
    }
    0
}

/// The same for one reference.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_follow_one(place: u32) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    let place = place as usize % PLACES;
    if scratch.answer(place) != answer::UNKNOWN_TRAFFIC {
        return 0;
    }
    let reference = scratch.reference(place);
    let side = if side_of(place) == SOURCE { &scratch.fragment.source } else { &scratch.fragment.destination };
    if side.iter().any(|known| *known == reference) {
        scratch.set_answer(place, answer::LIVE);
        scratch.set_live(place);
    }
    0
}

/// Copies what is known of the packet into the scratch. False: nothing, or it is too old.
#[inline(always)]
fn recall(scratch: &mut Scratch, now: u64) -> bool {
    let Some(entry) = WRIT_FRAGMENTS.get_ptr(&scratch.fragment.key) else { return false };
    // SAFETY: part of the entry, which is map memory and outlives the program's run.
    unsafe {
        lookup::copy_references(&raw const (*entry).source, &mut scratch.fragment.source);
        lookup::copy_references(&raw const (*entry).destination, &mut scratch.fragment.destination);
    }
    // SAFETY: as above.
    let time = unsafe { ptr::read_volatile(&raw const (*entry).time_ns) };
    // SAFETY: as above. Last, since elements are reused under a reader.
    let same = unsafe { lookup::is_same(&raw const (*entry).key, &scratch.fragment.key) };
    same && now.wrapping_sub(time) < FragmentEntry::LIFE_NS
}

/// What tells the packet's fragments from those of others.
#[inline(always)]
fn set_key(ctx: &XdpContext, scratch: &mut Scratch) -> Option<()> {
    let ip = scratch.header.ip_offset;
    match scratch.family() {
        Family::V4 => {
            let [_, _, _, _, i0, i1, _, _, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
                packet::load::<{ ipv4::BASE_LENGTH as usize }>(ctx, ip)?;
            scratch.fragment.key = FragmentKey {
                source: [s0, s1, s2, s3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                destination: [d0, d1, d2, d3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                identification: u16::from_be_bytes([i0, i1]).into(),
                protocol,
                version: 4,
                reserved: [0; 2],
            };
        }
        Family::V6 => {
            let key = &mut scratch.fragment.key;
            // Straight into the scratch: there is little room on the stack.
            packet::load_into(ctx, ip + ipv6::SOURCE, &mut key.source)?;
            packet::load_into(ctx, ip + ipv6::DESTINATION, &mut key.destination)?;
            key.identification = scratch.identification;
            (key.protocol, key.version, key.reserved) = (0, 6, [0; 2]);
        }
    }
    Some(())
}
