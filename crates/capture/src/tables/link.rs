//! The tables of MAC addresses and VLANs, with the word that says whether there is anything in them. The same order as
//! with prefixes: table, word, filter; a removal goes the other way round.

use super::entries::Entries;
use super::filter::Filter;
use super::{TableError, map_array};
use crate::shared::SharedWords;
use aya::Ebpf;
use std::sync::atomic::Ordering;
use writ_abi::{Front, Intercepts, LinkTargets, MacAddress, MacEntry, MacKey, Selector, VlanEntry, VlanMatch, maps};

pub(super) struct LinkTables {
    macs: Entries<MacEntry>,
    vlans: Entries<VlanEntry>,
    /// How many entries each has.
    held: [usize; 2],
    words: SharedWords,
}

impl LinkTables {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, TableError> {
        Ok(Self {
            macs: Entries::take(ebpf, maps::MACS, "macs")?,
            vlans: Entries::take(ebpf, maps::VLANS, "vlans")?,
            held: [0; 2],
            words: map_array(ebpf, maps::PREFIX_LENGTHS, size_of::<Front>())?,
        })
    }

    pub(super) fn macs(&mut self) -> &mut Entries<MacEntry> {
        &mut self.macs
    }

    pub(super) fn vlans(&mut self) -> &mut Entries<VlanEntry> {
        &mut self.vlans
    }

    /// How many entries were put into both.
    pub(super) fn held(&self) -> usize {
        self.held.iter().sum()
    }

    pub(super) fn put_mac(
        &mut self,
        address: MacAddress,
        intercepts: Intercepts,
        filter: &mut Filter,
    ) -> Result<Option<Intercepts>, TableError> {
        let key = MacKey::new(address);
        let before = self.macs.put(key, intercepts)?;
        if before.is_none() {
            self.count(|[macs, _]| *macs += 1);
            filter.add(key.mark());
        }
        Ok(before)
    }

    pub(super) fn put_vlan(
        &mut self,
        vlan: VlanMatch,
        intercepts: Intercepts,
        filter: &mut Filter,
    ) -> Result<Option<Intercepts>, TableError> {
        let before = self.vlans.put(vlan, intercepts)?;
        if before.is_none() {
            self.count(|[_, vlans]| *vlans += 1);
            filter.add(vlan.mark());
        }
        Ok(before)
    }

    pub(super) fn remove_mac(
        &mut self,
        address: MacAddress,
        filter: &mut Filter,
    ) -> Result<Option<Intercepts>, TableError> {
        let key = MacKey::new(address);
        let Some(before) = self.macs.get(&key)? else { return Ok(None) };
        filter.remove(key.mark());
        self.count(|[macs, _]| *macs = macs.saturating_sub(1));
        self.macs.remove(&key).map(|()| Some(before))
    }

    pub(super) fn remove_vlan(
        &mut self,
        vlan: VlanMatch,
        filter: &mut Filter,
    ) -> Result<Option<Intercepts>, TableError> {
        let Some(before) = self.vlans.get(&vlan)? else { return Ok(None) };
        filter.remove(vlan.mark());
        self.count(|[_, vlans]| *vlans = vlans.saturating_sub(1));
        self.vlans.remove(&vlan).map(|()| Some(before))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Result<(Selector, Intercepts), TableError>> {
        let macs = self.macs.all().map(|found| found.map(|(key, it)| (Selector::Mac(key.address()), it)));
        macs.chain(self.vlans.all().map(|found| found.map(|(vlan, it)| (Selector::Vlan(vlan), it))))
    }

    fn count(&mut self, change: impl Fn(&mut [usize; 2])) {
        change(&mut self.held);
        let [macs, vlans] = self.held;
        let there_are = |held: usize, flag| if held > 0 { flag } else { 0 };
        let word = there_are(macs, LinkTargets::MAC) | there_are(vlans, LinkTargets::VLAN);
        if let Some(shared) = self.words.word(0, LinkTargets::PLACE) {
            shared.store(word, Ordering::SeqCst);
        }
    }
}
