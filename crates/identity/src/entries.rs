//! Selectors and who claims them, as the kernel's tables hold them: an entry names its own claims and those of every wider
//! selector that it lies in, so that the narrowest that a packet is found by says all there is to say. Prefixes lie in
//! shorter ones, and the tags of a frame in their outer tag with whatever is behind it.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use writ_abi::{Claim, Condition, Selector, SlotRef, VlanMatch};

/// A claim, its condition shared with the others that ask the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: SlotRef,
    pub(crate) condition: Option<Arc<Condition>>,
}

/// Who claims a selector: each once for each condition, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Vec<Place>);

impl Claims {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Claim> + '_ {
        self.0.iter().map(|place| Claim { slot: place.slot, condition: place.condition.as_deref().copied() })
    }

    /// How many places of a kernel entry they take.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.0
    }

    pub(crate) fn insert(&mut self, place: Place) {
        if !self.0.contains(&place) {
            self.0.push(place);
        }
    }

    fn retain(&self, keep: impl Fn(SlotRef) -> bool) -> Self {
        Self(self.0.iter().filter(|place| keep(place.slot)).cloned().collect())
    }
}

impl FromIterator<Claim> for Claims {
    fn from_iter<I: IntoIterator<Item = Claim>>(claims: I) -> Self {
        let mut all = Self::default();
        for claim in claims {
            all.insert(Place { slot: claim.slot, condition: claim.condition.map(Arc::new) });
        }
        all
    }
}

/// The kernel's tables of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Of IPv4 prefixes.
    V4,
    /// Of IPv6 prefixes.
    V6,
    /// Of MAC addresses.
    Macs,
    /// Of VLANs.
    Vlans,
}

impl Table {
    /// The one that a selector belongs in.
    pub fn of(selector: Selector) -> Self {
        match selector {
            Selector::Prefix(IpNet::V4(_)) => Self::V4,
            Selector::Prefix(IpNet::V6(_)) => Self::V6,
            Selector::Mac(_) => Self::Macs,
            Selector::Vlan(_) => Self::Vlans,
        }
    }
}

/// How narrow a selector is among its like: one that lies in another is narrower.
pub(crate) fn narrowness(selector: Selector) -> u8 {
    match selector {
        Selector::Prefix(prefix) => prefix.prefix_len(),
        Selector::Vlan(vlan) => u8::from(vlan.inner != VlanMatch::ANY),
        Selector::Mac(_) => 0,
    }
}

/// Selectors, each with everybody who claims it. Host bits of prefixes are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// In this order a prefix comes before those that lie in it, and these follow it.
    entries: BTreeMap<Selector, Claims>,
    /// How many prefixes there are of each length, IPv4 first.
    lengths: [BTreeMap<u8, usize>; 2],
    /// By table: how many entries there are of so many claims.
    sizes: [BTreeMap<usize, usize>; 4],
}

/// Entries as they were found.
impl FromIterator<(Selector, Claims)> for Entries {
    fn from_iter<I: IntoIterator<Item = (Selector, Claims)>>(entries: I) -> Self {
        let mut all = Self::default();
        for (selector, claims) in entries {
            all.set(canonical(selector), Some(claims));
        }
        all
    }
}

/// A prefix without host bits.
pub(crate) fn canonical(selector: Selector) -> Selector {
    match selector {
        Selector::Prefix(prefix) => Selector::Prefix(prefix.trunc()),
        other => other,
    }
}

impl Entries {
    /// All of them with those who claim them, a prefix before those that lie in it.
    pub fn iter(&self) -> impl Iterator<Item = (Selector, &Claims)> {
        self.entries.iter().map(|(selector, claims)| (*selector, claims))
    }

    /// Who claims exactly this selector, as far as it has an entry of its own.
    pub fn get(&self, selector: Selector) -> Option<&Claims> {
        self.entries.get(&selector)
    }

    /// Whether the selector has an entry of its own.
    pub fn holds(&self, selector: Selector) -> bool {
        self.entries.contains_key(&selector)
    }

    /// How many there are in one table.
    pub fn count(&self, table: Table) -> usize {
        self.sizes[table as usize].values().sum()
    }

    /// The most claims of one entry in one table.
    pub fn most(&self, table: Table) -> usize {
        self.sizes[table as usize].last_key_value().map_or(0, |(most, _)| *most)
    }

    /// How many lengths of prefixes are in use in one family.
    pub fn lengths(&self, is_v4: bool) -> usize {
        self.lengths[usize::from(!is_v4)].len()
    }

    /// Who claims all that the selector finds: what the narrowest entry says that holds it.
    pub fn of(&self, selector: Selector) -> Claims {
        let found = match selector {
            Selector::Prefix(prefix) => self.around(prefix),
            Selector::Mac(_) => self.get(selector),
            Selector::Vlan(vlan) => self.get(selector).or_else(|| self.get(Selector::Vlan(vlan.any_inner()))),
        };
        found.cloned().unwrap_or_default()
    }

    /// One more claims this selector. Every entry that changes is noted. Gives the most claims that one of these has now.
    pub(crate) fn add(&mut self, selector: Selector, place: &Place, before: &mut Before) -> usize {
        let mut claims = self.of(selector);
        claims.insert(place.clone());
        let mut most = claims.len();
        before.0.push((selector, self.set(selector, Some(claims))));
        for selector in self.inside(selector) {
            let Some(claims) = self.entries.get(&selector) else { continue };
            most = most.max(claims.len());
            if !claims.places().contains(place) {
                let mut claims = claims.clone();
                claims.insert(place.clone());
                most = most.max(claims.len());
                before.0.push((selector, self.set(selector, Some(claims))));
            }
        }
        most
    }

    /// As it was before.
    pub(crate) fn undo(&mut self, before: Before) {
        for (selector, claims) in before.0.into_iter().rev() {
            self.set(selector, claims);
        }
    }

    /// What is left where only these slots stay: who claims what does not change for them. An entry that says nothing
    /// that the next wider one does not say goes, unless it is one to `keep`.
    pub(crate) fn reduced(&self, stays: impl Fn(SlotRef) -> bool, keep: impl Fn(Selector) -> bool) -> Self {
        let mut reduced = Self::default();
        // The wider before those that lie in them, so what is around an entry has been reduced before.
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|(selector, _)| narrowness(*selector));
        for (selector, claims) in entries {
            let claims = claims.retain(&stays);
            if keep(selector) && !claims.is_empty() || claims != reduced.of(selector) {
                reduced.set(selector, Some(claims));
            }
        }
        reduced
    }

    /// The narrowest entry that holds the prefix.
    fn around(&self, prefix: IpNet) -> Option<&Claims> {
        let lengths = &self.lengths[usize::from(matches!(prefix, IpNet::V6(_)))];
        let shorter = lengths.range(..=prefix.prefix_len()).rev();
        shorter
            .filter_map(|(length, _)| IpNet::new(prefix.addr(), *length).ok())
            .find_map(|holder| self.get(Selector::Prefix(holder.trunc())))
    }

    /// The entries that lie in the selector, without its own.
    fn inside(&self, selector: Selector) -> Vec<Selector> {
        let range = match selector {
            Selector::Prefix(prefix) => {
                let last = Selector::Prefix(prefix.broadcast().into());
                (Bound::Excluded(selector), Bound::Included(last))
            }
            Selector::Vlan(vlan) if vlan.inner == VlanMatch::ANY => {
                let first = Selector::Vlan(VlanMatch { inner: 0, ..vlan });
                (Bound::Included(first), Bound::Excluded(selector))
            }
            Selector::Vlan(_) | Selector::Mac(_) => return Vec::new(),
        };
        self.entries.range(range).map(|(selector, _)| *selector).collect()
    }

    /// Sets or removes an entry, and gives what it was.
    pub(crate) fn set(&mut self, selector: Selector, claims: Option<Claims>) -> Option<Claims> {
        let sizes = &mut self.sizes[Table::of(selector) as usize];
        let is_there = claims.is_some();
        if let Some(claims) = &claims {
            *sizes.entry(claims.len()).or_default() += 1;
        }
        let before = match claims {
            Some(claims) => self.entries.insert(selector, claims),
            None => self.entries.remove(&selector),
        };
        if let Some(before) = &before {
            remove_one(sizes, before.len());
        }
        if let Selector::Prefix(prefix) = selector {
            let lengths = &mut self.lengths[usize::from(matches!(prefix, IpNet::V6(_)))];
            match (before.is_some(), is_there) {
                (false, true) => *lengths.entry(prefix.prefix_len()).or_default() += 1,
                (true, false) => remove_one(lengths, prefix.prefix_len()),
                _ => {}
            }
        }
        before
    }
}

/// One fewer; one that there are none of is not listed.
fn remove_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// What entries were before they changed, in order.
#[derive(Default)]
pub(crate) struct Before(Vec<(Selector, Option<Claims>)>);
