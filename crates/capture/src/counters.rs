//! What the kernel counted, read from shared memory by whoever holds the two maps: the capture role, the control role
//! (which has no capability and gets the descriptors over a socket), or `writ status --kernel` (root, by name). The
//! counts are still there when the process that loaded the program is not.

use crate::shared::{Access, SharedWords};
use crate::tables::errno;
use aya::maps::{MapData, MapInfo};
use aya::programs::loaded_programs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use thiserror::Error;
use writ_abi::{PROGRAM_DROP, ProbeCounter, ProbeCounters, SlotCounters, maps};

/// Why counters cannot be read.
#[derive(Debug, Error)]
pub enum CounterError {
    /// The descriptor is not that of the counter map, or of a map of another version.
    #[error("the {map} counters cannot be mapped: both ends must be of the same version of writ")]
    Map {
        /// Which map.
        map: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The two maps do not belong together.
    #[error("{slot_entries} slot counters cannot be laid out for {cpus} CPUs")]
    Shape {
        /// Entries of the slot counters.
        slot_entries: usize,
        /// Entries of the probe counters: one a CPU.
        cpus: usize,
    },
    /// The kernel's programs cannot be listed.
    #[error("the programs in the kernel cannot be listed: this needs root (CAP_SYS_ADMIN)")]
    List(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The descriptors of the counter maps, to be passed to another process.
#[derive(Debug)]
pub struct CounterFds {
    /// Of the counters of the slots.
    pub slots: OwnedFd,
    /// Of the counters of the program.
    pub probe: OwnedFd,
}

/// A read-only view of the kernel's counters.
pub struct CounterView {
    slots: SharedWords,
    probe: SharedWords,
    cpus: usize,
}

impl CounterView {
    /// Maps the counters behind these descriptors. Needs no capability. The descriptors can be closed afterwards.
    pub fn open(fds: &CounterFds) -> Result<Self, CounterError> {
        Self::map(&fds.slots, &fds.probe)
    }

    fn map(slots: impl AsFd, probe: impl AsFd) -> Result<Self, CounterError> {
        let slots = SharedWords::map(slots, size_of::<SlotCounters>(), Access::Read)
            .map_err(|source| CounterError::Map { map: maps::SLOT_COUNTERS, source })?;
        let probe = SharedWords::map(probe, size_of::<ProbeCounters>(), Access::Read)
            .map_err(|source| CounterError::Map { map: maps::PROBE_COUNTERS, source })?;
        let cpus = probe.len();
        if cpus == 0 || !slots.len().is_multiple_of(cpus) {
            return Err(CounterError::Shape { slot_entries: slots.len(), cpus });
        }
        Ok(Self { slots, probe, cpus })
    }

    /// The counters of every Writ program that is loaded on this machine, with the program's id. Needs root.
    pub fn of_running_probes() -> Result<Vec<(u32, Self)>, CounterError> {
        let list = |error: Box<dyn std::error::Error + Send + Sync>| CounterError::List(error);
        let mut found = Vec::new();
        for program in loaded_programs() {
            let program = match program {
                Ok(program) => program,
                // Unloaded since it was listed.
                Err(error) if errno(&error) == Some(libc::ENOENT) => continue,
                Err(error) => return Err(list(error.into())),
            };
            // Each load has one program of either name; taking one name finds each load once.
            if program.name_as_str() != Some(PROGRAM_DROP) {
                continue;
            }
            let ids = program.map_ids().map_err(|error| list(error.into()))?.unwrap_or_default();
            let named = |name: &str| {
                let info =
                    ids.iter().filter_map(|id| MapInfo::from_id(*id).ok()).find(|i| i.name_as_str() == Some(name));
                info.and_then(|info| MapData::from_id(info.id()).ok())
            };
            if let (Some(slots), Some(probe)) = (named(maps::SLOT_COUNTERS), named(maps::PROBE_COUNTERS)) {
                found.push((program.id(), Self::map(slots.fd(), probe.fd())?));
            }
        }
        Ok(found)
    }

    /// How many slots are counted.
    pub fn slots(&self) -> usize {
        self.slots.len() / self.cpus
    }

    /// The counters of a slot, summed over the CPUs; all 0 for a slot outside the table. Counters never go back, not
    /// even when a slot gets a new owner: take the difference.
    pub fn slot(&self, slot: u16) -> SlotCounters {
        let mut sum = SlotCounters::default();
        for cpu in 0..self.cpus {
            let element = usize::from(slot) * self.cpus + cpu;
            let word = |word| self.slots.word(element, word).map_or(0, |value| value.load(Ordering::Relaxed));
            sum.matched += word(0);
            sum.matched_bytes += word(1);
            sum.early += word(2);
            sum.expired += word(3);
            sum.stale += word(4);
            sum.no_socket += word(5);
            sum.cut_failed += word(6);
            sum.other_direction += word(7);
            sum.other_traffic += word(8);
            sum.unknown_traffic += word(9);
        }
        sum
    }

    /// A counter of the program, summed over the CPUs.
    pub fn probe(&self, counter: ProbeCounter) -> u64 {
        if counter == ProbeCounter::Frames {
            return ProbeCounter::OUTCOMES.into_iter().map(|outcome| self.probe(outcome)).sum();
        }
        let word = |cpu| self.probe.word(cpu, counter as usize).map_or(0, |value| value.load(Ordering::Relaxed));
        (0..self.cpus).map(word).sum()
    }
}
