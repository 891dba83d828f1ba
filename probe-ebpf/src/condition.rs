//! What a reference's condition says of the Ethernet header in front of the packet: the VLAN and the MAC address. The kind
//! of traffic is asked later (`traffic`), and only if all this is met: it takes a walk through the headers.

use core::ptr;
use writ_abi::{Condition, ConditionFlags, VlanMatch};

use crate::maps::WRIT_CONDITIONS;
use crate::scratch::Scratch;

/// What can be said before the headers are walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// All is met.
    Met,
    /// All but the kind of traffic, which is not known yet.
    MetButTraffic,
    /// Something is not met.
    NotMet,
}

/// The condition in this row. `None`: there is no such row.
#[inline(always)]
pub fn at(row: u16) -> Option<*const Condition> {
    WRIT_CONDITIONS.get_ptr(row.into())
}

/// Asks the condition in a row about the side's end of the link.
#[inline(always)]
pub fn link(scratch: &Scratch, side: usize, row: u16) -> Link {
    let Some(condition) = at(row) else { return Link::NotMet };
    // SAFETY: map memory, which outlives the program's run.
    let flags = unsafe { ptr::read_volatile(&raw const (*condition).flags) };
    if flags & ConditionFlags::VLAN != 0 {
        // SAFETY: as above.
        let vlan: VlanMatch = unsafe { ptr::read_volatile(&raw const (*condition).vlan) };
        if !vlan.means(scratch.vlan) {
            return Link::NotMet;
        }
    }
    if flags & ConditionFlags::MAC != 0 {
        // The address and the two bytes of zeros behind it, as in a key.
        // SAFETY: as above; the rows are aligned to 8 bytes, and so is the field in them.
        let wanted = unsafe { ptr::read_volatile((&raw const (*condition).mac).cast::<u64>()) };
        // SAFETY: a key of 8 bytes, which the scratch aligns to 8.
        let found = unsafe { ptr::read_volatile((&raw const scratch.macs[side]).cast::<u64>()) };
        if wanted != found {
            return Link::NotMet;
        }
    }
    if flags & ConditionFlags::TRAFFIC != 0 { Link::MetButTraffic } else { Link::Met }
}
