//! Whether the targets of one warrant get into each other's way: a packet that two of them mean by the same thing would be
//! a packet of which nobody can say which target it was taken for.

use crate::link::{MacAddress, Vlan};
use crate::target::{Criteria, Target};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

/// What can tell two targets apart that are found by the same thing.
#[derive(Clone, Copy)]
struct Link {
    mac: Option<MacAddress>,
    vlan: Option<Vlan>,
}

impl Link {
    fn meets(self, other: Self) -> bool {
        let macs_meet = self.mac.zip(other.mac).is_none_or(|(one, two)| one == two);
        macs_meet && self.vlan.zip(other.vlan).is_none_or(|(one, two)| one.meets(two))
    }
}

/// The places of all targets that mean packets of a target before them, by their address, MAC address or VLAN. Address
/// and MAC address of one line may both be there.
pub(crate) fn overlapping<'a>(targets: impl Iterator<Item = (usize, &'a Target)>) -> BTreeSet<usize> {
    let mut prefixes: Vec<(IpNet, usize, Link)> = Vec::new();
    let mut macs: BTreeMap<MacAddress, Vec<(usize, Link)>> = BTreeMap::new();
    let mut vlans: BTreeMap<u16, Vec<(usize, Link)>> = BTreeMap::new();
    for (place, target) in targets {
        match &target.criteria {
            Criteria::Address { prefix, mac, vlan, .. } => {
                prefixes.push((*prefix, place, Link { mac: *mac, vlan: *vlan }));
            }
            Criteria::Mac { mac, vlan, .. } => {
                macs.entry(*mac).or_default().push((place, Link { mac: None, vlan: *vlan }));
            }
            Criteria::Vlan { vlan, .. } => {
                let link = Link { mac: None, vlan: Some(*vlan) };
                vlans.entry(vlan.outer().get()).or_default().push((place, link));
            }
        }
    }
    let mut overlapping = BTreeSet::new();
    for group in macs.values().chain(vlans.values()) {
        for (i, (place, link)) in group.iter().enumerate() {
            if group[..i].iter().any(|(_, other)| other.meets(*link)) {
                overlapping.insert(*place);
            }
        }
    }
    // In this order a prefix comes behind all that hold it, with nothing in between that does not.
    prefixes.sort_unstable_by_key(|(prefix, place, _)| (*prefix, *place));
    let mut around: Vec<(IpNet, usize, Link)> = Vec::new();
    for (prefix, place, link) in prefixes {
        while around.pop_if(|(holder, ..)| !holder.contains(&prefix)).is_some() {}
        for (_, other, _) in around.iter().filter(|(_, _, holder)| holder.meets(link)) {
            overlapping.insert(place.max(*other));
        }
        around.push((prefix, place, link));
    }
    overlapping
}
