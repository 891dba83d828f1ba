//! The counters of the program on this CPU. User space reads them from the memory that both map.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use core::ptr;
use writ_abi::{ProbeCounter, ProbeCounters, SlotCounters};

use crate::maps::{WRIT_PROBECNT, WRIT_SLOTCNT, cpus};

/// This CPU's counters. No other CPU writes to them, and XDP does not interrupt itself: plain additions are enough.
#[derive(Clone, Copy)]
pub struct Counters {
    probe: *mut ProbeCounters,
    cpu: u32,
}

impl Counters {
    /// `None`: the counters are not laid out for this CPU.
    #[inline(always)]
    pub fn of_this_cpu() -> Option<Self> {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
        let probe = WRIT_PROBECNT.get_ptr_mut(cpu)?;
        Some(Self { probe, cpu })
    }

    #[inline(always)]
    pub fn count(self, what: ProbeCounter) {
        self.add(what, 1);
    }

    #[inline(always)]
    pub fn add(self, what: ProbeCounter, amount: u64) {
        // SAFETY: map memory, which outlives the program's run; the index is smaller than PLACES by an assertion of
        // the ABI.
        unsafe { (*self.probe).0[what as usize] += amount };
    }

    /// Counts what is known at run time only.
    #[inline(always)]
    pub fn count_reason(self, reason: ProbeCounter) {
        self.count_place(reason as u32);
    }

    /// Counts what a number says: a [`ProbeCounter`]; any other counts nothing.
    #[inline(always)]
    pub fn count_place(self, place: u32) {
        // Volatile: the compiler knows the bound from the type and would leave the check out, which the verifier of
        // older kernels (6.1) cannot do without.
        // SAFETY: a reference to a local is good for a read.
        let place = unsafe { ptr::read_volatile(&raw const place) };
        // SAFETY: map memory, which outlives the program's run, and this CPU's own.
        let counters = unsafe { &mut *self.probe };
        if let Some(counter) = counters.0.get_mut(place as usize) {
            *counter += 1;
        }
    }

    /// The counters of a slot on this CPU.
    #[inline(always)]
    pub fn slot(self, slot: u16) -> Option<&'static mut SlotCounters> {
        let counters = WRIT_SLOTCNT.get_ptr_mut(u32::from(slot) * cpus() + self.cpu)?;
        // SAFETY: map memory, which outlives the program's run, and this CPU's own.
        Some(unsafe { &mut *counters })
    }
}
