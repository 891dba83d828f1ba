//! The tables from prefixes to intercepts, with what stands before them: the lengths in use and the filter.
//!
//! Whether the kernel finds a prefix turns on one store at a time. A new prefix is entered into its table, then its
//! length into the list, then its bits into the filter, and from then on it is found; a removal goes the other way
//! round. What an entry says is replaced whole. So no step hides another prefix.

use super::filter::Filter;
use super::{TableError, errno, map_array, refused, take_map};
use crate::shared::SharedWords;
use aya::Ebpf;
use aya::maps::{HashMap, MapData, MapError};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::sync::atomic::Ordering;
use writ_abi::{
    Intercepts, MOST_LENGTHS, PrefixEntry4, PrefixEntry6, PrefixKey4, PrefixKey6, PrefixLengths, SLOTS_PER_ADDRESS,
    SlotRef, maps,
};

/// Update only what is there: `BPF_EXIST`.
const EXISTING: u64 = 2;
/// Insert only what is not there: `BPF_NOEXIST`.
const NEW: u64 = 1;

pub(super) struct Prefixes {
    v4: HashMap<MapData, PrefixKey4, PrefixEntry4>,
    v6: HashMap<MapData, PrefixKey6, PrefixEntry6>,
    lengths: Lengths,
    filter: Filter,
}

impl Prefixes {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, TableError> {
        let v4 = HashMap::try_from(take_map(ebpf, maps::PREFIXES_V4)?).map_err(refused(maps::PREFIXES_V4))?;
        let v6 = HashMap::try_from(take_map(ebpf, maps::PREFIXES_V6)?).map_err(refused(maps::PREFIXES_V6))?;
        let before = || map_array(ebpf, maps::PREFIX_LENGTHS, size_of::<u64>());
        let lengths = Lengths::new(before()?);
        let filter = Filter::new(map_array(ebpf, maps::FILTER, size_of::<u64>())?, before()?);
        Ok(Self { v4, v6, lengths, filter })
    }

    pub(super) fn set(&mut self, prefix: IpNet, slots: [SlotRef; SLOTS_PER_ADDRESS]) -> Result<(), TableError> {
        self.lengths.check(prefix)?;
        let intercepts = Intercepts::new(slots);
        let (is_new, mark) = match prefix {
            IpNet::V4(prefix) => {
                let key = key_v4(prefix);
                let entry = PrefixEntry4 { key, intercepts };
                let written = write(|flags| self.v4.insert(key, entry, flags));
                (written.map_err(|error| full(maps::PREFIXES_V4, "addresses_v4", error))?, key.mark())
            }
            IpNet::V6(prefix) => {
                let key = key_v6(prefix);
                let entry = PrefixEntry6 { key, intercepts };
                let written = write(|flags| self.v6.insert(key, entry, flags));
                (written.map_err(|error| full(maps::PREFIXES_V6, "addresses_v6", error))?, key.mark())
            }
        };
        if is_new {
            self.lengths.add(prefix);
            self.filter.add(mark);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, prefix: IpNet) -> Result<(), TableError> {
        let (held, mark) = match prefix {
            IpNet::V4(prefix) => {
                let key = key_v4(prefix);
                (holds(maps::PREFIXES_V4, self.v4.get(&key, 0))?, key.mark())
            }
            IpNet::V6(prefix) => {
                let key = key_v6(prefix);
                (holds(maps::PREFIXES_V6, self.v6.get(&key, 0))?, key.mark())
            }
        };
        if !held {
            return Ok(());
        }
        self.filter.remove(mark);
        self.lengths.remove(prefix);
        match prefix {
            IpNet::V4(prefix) => self.v4.remove(&key_v4(prefix)).map_err(refused(maps::PREFIXES_V4)),
            IpNet::V6(prefix) => self.v6.remove(&key_v6(prefix)).map_err(refused(maps::PREFIXES_V6)),
        }
    }

    pub(super) fn all(&self) -> Result<Vec<(IpNet, Vec<SlotRef>)>, TableError> {
        let used = |it: Intercepts| it.slots.into_iter().filter(|slot| slot.is_some()).collect();
        let mut all = Vec::new();
        for entry in self.v4.iter() {
            let (key, entry) = entry.map_err(refused(maps::PREFIXES_V4))?;
            // The kernel's keys were made from prefixes, so none is turned away here.
            all.extend(
                Ipv4Net::new(key.address().into(), key.length()).map(|net| (net.into(), used(entry.intercepts))),
            );
        }
        for entry in self.v6.iter() {
            let (key, entry) = entry.map_err(refused(maps::PREFIXES_V6))?;
            all.extend(
                Ipv6Net::new(key.address().into(), key.length()).map(|net| (net.into(), used(entry.intercepts))),
            );
        }
        Ok(all)
    }
}

fn key_v4(prefix: Ipv4Net) -> PrefixKey4 {
    PrefixKey4::new(prefix.addr().octets(), prefix.prefix_len())
}

fn key_v6(prefix: Ipv6Net) -> PrefixKey6 {
    PrefixKey6::new(prefix.addr().octets(), prefix.prefix_len())
}

/// Inserts or replaces. Whether it was inserted.
fn write(mut insert: impl FnMut(u64) -> Result<(), MapError>) -> Result<bool, MapError> {
    match insert(NEW) {
        Ok(()) => Ok(true),
        Err(error) if errno(&error) == Some(libc::EEXIST) => insert(EXISTING).map(|()| false),
        Err(error) => Err(error),
    }
}

fn holds<V>(table: &'static str, found: Result<V, MapError>) -> Result<bool, TableError> {
    match found {
        Ok(_) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(source) => Err(TableError::Refused { table, source }),
    }
}

fn full(table: &'static str, field: &'static str, error: MapError) -> TableError {
    // A hash map without room answers E2BIG; one that cannot get memory ENOMEM.
    match errno(&error) {
        Some(libc::E2BIG | libc::ENOMEM) => TableError::Full { table, field },
        _ => TableError::Refused { table, source: error },
    }
}

/// The list of lengths, with how many prefixes there are of each.
struct Lengths {
    words: SharedWords,
    v4: [u32; 33],
    v6: [u32; 129],
}

impl Lengths {
    fn new(words: SharedWords) -> Self {
        Self { words, v4: [0; 33], v6: [0; 129] }
    }

    /// Whether there is room for the prefix's length.
    fn check(&mut self, prefix: IpNet) -> Result<(), TableError> {
        let counts = self.counts(prefix);
        let is_known = counts.get(usize::from(prefix.prefix_len())).is_some_and(|count| *count > 0);
        let in_use = counts.iter().filter(|count| **count > 0).count();
        if is_known || in_use < MOST_LENGTHS { Ok(()) } else { Err(TableError::TooManyLengths) }
    }

    fn add(&mut self, prefix: IpNet) {
        self.change(prefix, |count| count.saturating_add(1));
    }

    fn remove(&mut self, prefix: IpNet) {
        self.change(prefix, |count| count.saturating_sub(1));
    }

    fn change(&mut self, prefix: IpNet, change: impl Fn(u32) -> u32) {
        let counts = self.counts(prefix);
        let Some(count) = counts.get_mut(usize::from(prefix.prefix_len())) else { return };
        let before = *count;
        *count = change(before);
        if (before == 0) == (*count == 0) {
            return;
        }
        let used = (0u8..).zip(counts).filter(|(_, count)| **count > 0).map(|(length, _)| length);
        // There is room: `check` came before.
        let Some(list) = PrefixLengths::new(used) else { return };
        let family = if matches!(prefix, IpNet::V4(_)) { PrefixLengths::V4 } else { PrefixLengths::V6 };
        if let Some(word) = self.words.word(family as usize, 0) {
            word.store(list.word(), Ordering::SeqCst);
        }
    }

    /// By length.
    fn counts(&mut self, prefix: IpNet) -> &mut [u32] {
        match prefix {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        }
    }
}
