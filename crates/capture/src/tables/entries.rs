//! A hash table of the kernel's, from what packets are found by to who wants them. An entry is always replaced whole.

use super::next_key::next_key;
use super::{TableError, errno, refused, take_map};
use aya::maps::{HashMap, Map, MapData, MapError};
use aya::{Ebpf, Pod};
use std::os::fd::{AsFd, OwnedFd};
use writ_abi::{
    FilterMark, Intercepts, MacEntry, MacKey, PrefixEntry4, PrefixEntry6, PrefixKey4, PrefixKey6, VlanEntry, VlanMatch,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Update only what is there: `BPF_EXIST`.
const EXISTING: u64 = 2;
/// Insert only what is not there: `BPF_NOEXIST`.
const NEW: u64 = 1;

/// What a table holds.
pub(super) trait Entry: Pod {
    type Key: Pod + PartialEq + FromBytes + IntoBytes + Immutable;

    fn new(key: Self::Key, intercepts: Intercepts) -> Self;

    fn key(&self) -> Self::Key;

    /// Where the key is marked in the filter.
    fn mark(key: &Self::Key) -> FilterMark;

    fn intercepts(&self) -> Intercepts;
}

macro_rules! entries {
    ($($entry:ident of $key:ident),+) => {$(
        impl Entry for $entry {
            type Key = $key;

            fn new(key: $key, intercepts: Intercepts) -> Self {
                Self { key, intercepts }
            }

            fn key(&self) -> $key {
                self.key
            }

            fn mark(key: &$key) -> FilterMark {
                key.mark()
            }

            fn intercepts(&self) -> Intercepts {
                self.intercepts
            }
        }
    )+};
}

entries!(PrefixEntry4 of PrefixKey4, PrefixEntry6 of PrefixKey6, MacEntry of MacKey, VlanEntry of VlanMatch);

pub(super) struct Entries<E: Entry> {
    map: HashMap<MapData, E::Key, E>,
    /// The map once more: the library does not hand on its own descriptor.
    descriptor: OwnedFd,
    name: &'static str,
    /// The setting of its size.
    field: &'static str,
}

impl<E: Entry> Entries<E> {
    pub(super) fn take(ebpf: &mut Ebpf, name: &'static str, field: &'static str) -> Result<Self, TableError> {
        let map = take_map(ebpf, name)?;
        let Map::HashMap(data) = &map else { return Err(TableError::Missing(name)) };
        let descriptor =
            data.fd().as_fd().try_clone_to_owned().map_err(|source| TableError::Map { table: name, source })?;
        let map = HashMap::try_from(map).map_err(refused(name))?;
        Ok(Self { map, descriptor, name, field })
    }

    /// Inserts or replaces. What was there before.
    pub(super) fn put(&mut self, key: E::Key, intercepts: Intercepts) -> Result<Option<Intercepts>, TableError> {
        let entry = E::new(key, intercepts);
        match self.map.insert(key, entry, NEW) {
            Ok(()) => Ok(None),
            Err(error) if errno(&error) == Some(libc::EEXIST) => {
                let before = self.get(&key)?;
                self.map.insert(key, entry, EXISTING).map_err(|error| self.full(error))?;
                Ok(before)
            }
            Err(error) => Err(self.full(error)),
        }
    }

    pub(super) fn get(&self, key: &E::Key) -> Result<Option<Intercepts>, TableError> {
        match self.map.get(key, 0) {
            Ok(entry) => Ok(Some(entry.intercepts())),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(source) => Err(TableError::Refused { table: self.name, source }),
        }
    }

    pub(super) fn remove(&mut self, key: &E::Key) -> Result<(), TableError> {
        self.map.remove(key).map_err(refused(self.name))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Result<(E::Key, Intercepts), TableError>> {
        self.map.iter().map(|found| found.map(|(key, entry)| (key, entry.intercepts())).map_err(refused(self.name)))
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The key behind this one, or the first; none behind the last.
    pub(super) fn next(&self, key: Option<&E::Key>) -> Result<Option<E::Key>, TableError> {
        next_key(self.descriptor.as_fd(), key).map_err(|source| TableError::Map { table: self.name, source })
    }

    /// Whether the entry of a key is whole and says just this.
    pub(super) fn holds(&self, key: &E::Key, intercepts: Intercepts) -> Result<bool, TableError> {
        match self.map.get(key, 0) {
            Ok(entry) => Ok(entry.key() == *key && entry.intercepts() == intercepts),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(source) => Err(TableError::Refused { table: self.name, source }),
        }
    }

    /// Writes an entry whatever is there.
    pub(super) fn put_right(&mut self, key: E::Key, intercepts: Intercepts) -> Result<(), TableError> {
        self.map.insert(key, E::new(key, intercepts), 0).map_err(|error| self.full(error))
    }

    fn full(&self, error: MapError) -> TableError {
        // A hash map without room answers E2BIG; one that cannot get memory ENOMEM.
        match errno(&error) {
            Some(libc::E2BIG | libc::ENOMEM) => TableError::Full { table: self.name, field: self.field },
            _ => TableError::Refused { table: self.name, source: error },
        }
    }
}
