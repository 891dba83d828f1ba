//! Prefixes and who wants them, as the kernel's tables hold them: an entry names its own slots and those of every shorter
//! prefix that it lies in, so that the longest prefix of an address says all there is to say.

use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use writ_abi::{SLOTS_PER_ADDRESS, SlotRef};

/// The slots that want a prefix: as the kernel's entry has them, unused places last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots([SlotRef; SLOTS_PER_ADDRESS]);

impl Slots {
    /// None.
    pub const EMPTY: Self = Self([SlotRef::NONE; SLOTS_PER_ADDRESS]);

    /// The places of a kernel entry.
    pub fn as_array(&self) -> &[SlotRef; SLOTS_PER_ADDRESS] {
        &self.0
    }

    /// Those in use.
    pub fn iter(&self) -> impl Iterator<Item = SlotRef> {
        self.0.into_iter().take_while(|slot| slot.is_some())
    }

    /// Whether this slot, of this owner, is one of them.
    pub fn contains(&self, slot: SlotRef) -> bool {
        self.iter().any(|it| it == slot)
    }

    /// Whether there is no place left.
    pub fn is_full(&self) -> bool {
        self.0.iter().all(|slot| slot.is_some())
    }

    fn insert(&mut self, slot: SlotRef) {
        if self.contains(slot) {
            return;
        }
        if let Some(place) = self.0.iter_mut().find(|place| !place.is_some()) {
            *place = slot;
        }
    }

    fn retain(&self, keep: impl Fn(SlotRef) -> bool) -> Self {
        self.iter().filter(|slot| keep(*slot)).collect()
    }
}

/// More than there are places for are left out.
impl FromIterator<SlotRef> for Slots {
    fn from_iter<I: IntoIterator<Item = SlotRef>>(slots: I) -> Self {
        let mut all = Self::EMPTY;
        slots.into_iter().for_each(|slot| all.insert(slot));
        all
    }
}

/// Prefixes, each with everybody who wants it. Host bits are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    /// In this order a prefix comes before those that lie in it, and these follow it.
    entries: BTreeMap<IpNet, Slots>,
    /// How many prefixes there are of each length, IPv4 first.
    lengths: [BTreeMap<u8, usize>; 2],
}

/// Entries as they were found.
impl FromIterator<(IpNet, Slots)> for Prefixes {
    fn from_iter<I: IntoIterator<Item = (IpNet, Slots)>>(entries: I) -> Self {
        let mut all = Self::default();
        entries.into_iter().for_each(|(prefix, slots)| all.insert(prefix.trunc(), slots));
        all
    }
}

impl Prefixes {
    /// All of them with those who want them, a prefix before those that lie in it.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &Slots)> {
        self.entries.iter().map(|(prefix, slots)| (*prefix, slots))
    }

    /// Who wants exactly this prefix, as far as it has an entry of its own.
    pub fn get(&self, prefix: IpNet) -> Option<&Slots> {
        self.entries.get(&prefix)
    }

    /// Whether the prefix has an entry of its own.
    pub fn holds(&self, prefix: IpNet) -> bool {
        self.entries.contains_key(&prefix)
    }

    /// How many there are of one family.
    pub fn count(&self, is_v4: bool) -> usize {
        self.lengths[usize::from(!is_v4)].values().sum()
    }

    /// The lengths in use in one family.
    pub fn lengths(&self, is_v4: bool) -> BTreeSet<u8> {
        self.lengths[usize::from(!is_v4)].keys().copied().collect()
    }

    /// Who wants all of this prefix: what the longest entry says that holds it.
    pub fn of(&self, prefix: IpNet) -> Slots {
        self.around(prefix, prefix.prefix_len()).unwrap_or(Slots::EMPTY)
    }

    /// Whether one more who wants this prefix would be one too many, for itself or for one that lies in it.
    pub(crate) fn is_full(&self, prefix: IpNet) -> bool {
        self.of(prefix).is_full() || self.inside(prefix).any(|(_, slots)| slots.is_full())
    }

    /// One more wants this prefix. There is room: [`Prefixes::is_full`] comes before.
    pub(crate) fn add(&mut self, prefix: IpNet, slot: SlotRef) {
        let mut slots = self.of(prefix);
        slots.insert(slot);
        self.insert(prefix, slots);
        let inside: Vec<IpNet> = self.inside(prefix).map(|(prefix, _)| *prefix).collect();
        for prefix in inside {
            if let Some(slots) = self.entries.get_mut(&prefix) {
                slots.insert(slot);
            }
        }
    }

    /// What is left where only these slots stay: who wants what does not change for them. An entry that says nothing
    /// that the next shorter one does not say goes, unless it is one to `keep`.
    pub(crate) fn reduced(&self, stays: impl Fn(SlotRef) -> bool, keep: impl Fn(IpNet) -> bool) -> Self {
        let mut reduced = Self::default();
        // A prefix comes before those that lie in it, so what is around it has been reduced before.
        for (prefix, slots) in &self.entries {
            let slots = slots.retain(&stays);
            if keep(*prefix) && slots != Slots::EMPTY || slots != reduced.of(*prefix) {
                reduced.insert(*prefix, slots);
            }
        }
        reduced
    }

    /// The longest entry that holds the prefix, of at most this length.
    fn around(&self, prefix: IpNet, longest: u8) -> Option<Slots> {
        let lengths = &self.lengths[usize::from(matches!(prefix, IpNet::V6(_)))];
        let shorter = lengths.range(..=longest).rev();
        shorter
            .filter_map(|(length, _)| IpNet::new(prefix.addr(), *length).ok())
            .find_map(|holder| self.entries.get(&holder.trunc()).copied())
    }

    /// The entries that lie in the prefix, without its own.
    fn inside(&self, prefix: IpNet) -> impl Iterator<Item = (&IpNet, &Slots)> {
        let last = IpNet::from(prefix.broadcast());
        self.entries.range((Bound::Excluded(prefix), Bound::Included(last)))
    }

    fn insert(&mut self, prefix: IpNet, slots: Slots) {
        if self.entries.insert(prefix, slots).is_none() {
            *self.lengths[usize::from(matches!(prefix, IpNet::V6(_)))].entry(prefix.prefix_len()).or_default() += 1;
        }
    }
}
