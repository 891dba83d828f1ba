//! The kind of traffic: whether a packet whose headers have been walked is of the protocol and the ports that a reference's
//! condition names. Ports that cannot be read are no ports: such a packet is not taken, and counted, unless it is a later
//! fragment of a packet whose first one was taken for its ports (`fragments`).

use aya_ebpf::programs::XdpContext;
use core::ptr;
use writ_abi::{FrameFlags, MOST_TRAFFIC_RULES, PortSide, SLOTS_PER_ADDRESS, SlotRef, TrafficRule};

use crate::scratch::{PLACES, Scratch, side_of};
use crate::slots::answer;
use crate::{condition, extensions, fragments, packet, transport};

/// What the rules of one condition say; bits of `Scratch::remarks`.
mod remark {
    /// A protocol fits for which no port is asked.
    pub const PROTOCOL: u32 = 1;
    /// A protocol and its ports fit.
    pub const PORTS: u32 = 2;
    /// Something would fit if it could be read.
    pub const DOUBT: u32 = 4;
}

/// Answers every reference that waits for its traffic.
#[inline(always)]
pub fn resolve(ctx: &XdpContext, scratch: &mut Scratch, now: u64) {
    read_ports(ctx, scratch);
    scratch.fragment.source = [SlotRef::NONE; SLOTS_PER_ADDRESS];
    scratch.fragment.destination = [SlotRef::NONE; SLOTS_PER_ADDRESS];
    scratch.waiting = 0;
    scratch.settle();
    writ_traffic();
    scratch.settle();
    if scratch.header.flags & FrameFlags::FRAGMENT != 0 {
        fragments::resolve(ctx, scratch, now);
    }
}

#[inline(always)]
fn read_ports(ctx: &XdpContext, scratch: &mut Scratch) {
    scratch.has_ports = 0;
    let header = &scratch.header;
    if header.flags & FrameFlags::TRANSPORT == 0 || !transport::has_ports(header.protocol) {
        return;
    }
    let Some([a, b, c, d]) = packet::load(ctx, header.transport_offset) else { return };
    scratch.ports = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    scratch.has_ports = 1;
}

/// Answers every reference that waits. A global function, like [`writ_judge`](crate::slots::writ_judge).
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_traffic() -> u32 {
    for place in 0..PLACES as u32 {
        writ_traffic_one(place);
    }
    0
}

/// Answers one reference, if it waits.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn writ_traffic_one(place: u32) -> u32 {
    let Some(scratch) = Scratch::of_this_cpu() else { return 0 };
    let place = place as usize % PLACES;
    if scratch.answer(place) != answer::WAITING {
        return 0;
    }
    ask_rules(scratch, side_of(place), scratch.condition(place));
    let remarks = scratch.remarks;
    if remarks & remark::PORTS != 0 {
        fragments::keep(scratch, place);
    }
    if remarks & (remark::PROTOCOL | remark::PORTS) != 0 {
        scratch.set_answer(place, answer::LIVE);
        scratch.set_live(place);
    } else if remarks & remark::DOUBT != 0 {
        scratch.set_answer(place, answer::UNKNOWN_TRAFFIC);
    } else {
        scratch.set_answer(place, answer::OTHER_TRAFFIC);
    }
    0
}

/// Leaves in the scratch what the rules of the condition in this row say.
#[inline(always)]
fn ask_rules(scratch: &mut Scratch, side: usize, row: u16) {
    // A header that was not read could be in front of any transport header.
    let arrived = !extensions::is_extension(scratch.family(), scratch.header.protocol);
    scratch.remarks = if arrived { 0 } else { remark::DOUBT };
    let Some(condition) = condition::at(row) else { return };
    // SAFETY: map memory, which outlives the program's run.
    let used = unsafe { ptr::read_volatile(&raw const (*condition).rules_used) };
    let (own, far) = (scratch.ports[side & 1], scratch.ports[side & 1 ^ 1]);
    for i in 0..MOST_TRAFFIC_RULES {
        if i >= usize::from(used) {
            return;
        }
        // SAFETY: within the array, as above.
        let rule: TrafficRule =
            unsafe { ptr::read_volatile((&raw const (*condition).rules).cast::<TrafficRule>().add(i)) };
        if rule.protocol != scratch.header.protocol {
            continue;
        }
        let within = |port: u16| rule.first <= port && port <= rule.last;
        let found = if rule.side == PortSide::NONE {
            remark::PROTOCOL
        } else if scratch.has_ports == 0 {
            remark::DOUBT
        } else if rule.side & PortSide::OWN != 0 && within(own) || rule.side & PortSide::FAR != 0 && within(far) {
            remark::PORTS
        } else {
            0
        };
        // Through the scratch, so that the verifier does not follow which of the rules before has fitted.
        scratch.settle();
        scratch.remarks |= found;
        scratch.settle();
    }
}
