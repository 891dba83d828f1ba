//! The tables from prefixes to intercepts, with what stands before them: the lengths in use, and the filter.
//!
//! Whether the kernel finds a prefix turns on one store at a time. A new prefix is entered into its table, then its
//! length into the list, then its bits into the filter, and from then on it is found; a removal goes the other way
//! round. What an entry says is replaced whole. So no step hides another prefix.

use super::entries::Entries;
use super::filter::Filter;
use super::{TableError, map_array};
use crate::shared::SharedWords;
use aya::Ebpf;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::sync::atomic::Ordering;
use writ_abi::{
    Front, Intercepts, MOST_LENGTHS, PrefixEntry4, PrefixEntry6, PrefixKey4, PrefixKey6, PrefixLengths, Selector, maps,
};

pub(super) struct Prefixes {
    v4: Entries<PrefixEntry4>,
    v6: Entries<PrefixEntry6>,
    lengths: Lengths,
}

impl Prefixes {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, TableError> {
        Ok(Self {
            v4: Entries::take(ebpf, maps::PREFIXES_V4, "addresses_v4")?,
            v6: Entries::take(ebpf, maps::PREFIXES_V6, "addresses_v6")?,
            lengths: Lengths::new(map_array(ebpf, maps::PREFIX_LENGTHS, size_of::<Front>())?),
        })
    }

    pub(super) fn v4(&mut self) -> &mut Entries<PrefixEntry4> {
        &mut self.v4
    }

    pub(super) fn v6(&mut self) -> &mut Entries<PrefixEntry6> {
        &mut self.v6
    }

    /// How many prefixes were put here.
    pub(super) fn held(&self) -> usize {
        self.lengths.v4.iter().chain(&self.lengths.v6).map(|count| *count as usize).sum()
    }

    /// What the prefix had before.
    pub(super) fn put(
        &mut self,
        prefix: IpNet,
        intercepts: Intercepts,
        filter: &mut Filter,
    ) -> Result<Option<Intercepts>, TableError> {
        self.lengths.check(prefix)?;
        let (before, mark) = match prefix {
            IpNet::V4(prefix) => {
                let key = key_v4(prefix);
                (self.v4.put(key, intercepts)?, key.mark())
            }
            IpNet::V6(prefix) => {
                let key = key_v6(prefix);
                (self.v6.put(key, intercepts)?, key.mark())
            }
        };
        if before.is_none() {
            self.lengths.add(prefix);
            filter.add(mark);
        }
        Ok(before)
    }

    /// What the prefix had. One that is not there is no error.
    pub(super) fn remove(&mut self, prefix: IpNet, filter: &mut Filter) -> Result<Option<Intercepts>, TableError> {
        let (before, mark) = match prefix {
            IpNet::V4(prefix) => {
                let key = key_v4(prefix);
                (self.v4.get(&key)?, key.mark())
            }
            IpNet::V6(prefix) => {
                let key = key_v6(prefix);
                (self.v6.get(&key)?, key.mark())
            }
        };
        if before.is_none() {
            return Ok(None);
        }
        filter.remove(mark);
        self.lengths.remove(prefix);
        match prefix {
            IpNet::V4(prefix) => self.v4.remove(&key_v4(prefix))?,
            IpNet::V6(prefix) => self.v6.remove(&key_v6(prefix))?,
        }
        Ok(before)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Result<(Selector, Intercepts), TableError>> {
        // The kernel's keys were made from prefixes, so none is turned away here.
        let v4 = self.v4.all().filter_map(|found| {
            let net = |key: PrefixKey4| Ipv4Net::new(key.address().into(), key.length()).ok();
            found.map(|(key, it)| net(key).map(|net| (Selector::Prefix(net.into()), it))).transpose()
        });
        let v6 = self.v6.all().filter_map(|found| {
            let net = |key: PrefixKey6| Ipv6Net::new(key.address().into(), key.length()).ok();
            found.map(|(key, it)| net(key).map(|net| (Selector::Prefix(net.into()), it))).transpose()
        });
        v4.chain(v6)
    }
}

pub(super) fn key_v4(prefix: Ipv4Net) -> PrefixKey4 {
    PrefixKey4::new(prefix.addr().octets(), prefix.prefix_len())
}

pub(super) fn key_v6(prefix: Ipv6Net) -> PrefixKey6 {
    PrefixKey6::new(prefix.addr().octets(), prefix.prefix_len())
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
        if let Some(word) = self.words.word(0, family) {
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
