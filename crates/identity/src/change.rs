//! From what the kernel holds to what it is to hold: steps, in an order in which no moment takes more of anybody's
//! packets than the state before or the state after would, and none takes less of what both would take.
//!
//! Slots that go are stopped first, then their prefixes are taken out, which makes room; then the terms of those that come
//! are written, then their prefixes. A slot that gets new terms and loses an address at once rests in between, or new
//! terms would meet an address that was only ever covered by the old ones.
//!
//! The kernel asks the longest prefix of an address only. Entries are written from the longest prefix to the shortest, and
//! then those that go are taken out from the shortest to the longest: so what is asked at an address is at each moment
//! either the entry that was asked before, as it was, or the one that will be asked, as it will be.

use crate::prefixes::{Prefixes, Slots};
use crate::reconcile::{Desired, Terms};
use ipnet::IpNet;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use writ_abi::SlotRef;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The slot takes nothing from now on.
    Stop(SlotRef),
    /// The slot is in force with these terms; it was stopped, or its terms are replaced.
    Arm {
        /// The slot.
        slot: SlotRef,
        /// Its terms.
        terms: Terms,
    },
    /// The prefix belongs to these slots and no others.
    Bind {
        /// The prefix.
        prefix: IpNet,
        /// Its slots.
        slots: Slots,
    },
    /// The prefix has no entry of its own.
    Unbind(IpNet),
}

/// The steps from `current` to `desired`.
pub fn difference(current: &Desired, desired: &Desired) -> Vec<Change> {
    let mut stops = Vec::new();
    let mut arms = Vec::new();
    let mut late_arms = Vec::new();
    let losing = losing(current, desired);
    let stays = |slot: SlotRef| desired.terms.get(&slot.slot).is_some_and(|terms| terms.generation == slot.generation);
    for (slot, _) in current.slots() {
        if !stays(slot) {
            stops.push(Change::Stop(slot));
        }
    }
    for (slot, terms) in desired.slots() {
        let arm = Change::Arm { slot, terms: *terms };
        match current.terms.get(&slot.slot) {
            Some(before) if before == terms => {}
            Some(before) if before.generation == terms.generation && losing.contains(&slot.slot) => {
                stops.push(Change::Stop(slot));
                late_arms.push(arm);
            }
            _ => arms.push(arm),
        }
    }
    let rest = current.prefixes.reduced(stays, |prefix| desired.prefixes.holds(prefix));
    let (leaving, coming) = (rebind(&current.prefixes, &rest), rebind(&rest, &desired.prefixes));
    stops.into_iter().chain(leaving).chain(arms).chain(coming).chain(late_arms).collect()
}

/// The steps from one table to another.
fn rebind(from: &Prefixes, to: &Prefixes) -> Vec<Change> {
    let mut binds: Vec<_> = to.iter().filter(|(prefix, slots)| from.get(*prefix) != Some(slots)).collect();
    binds.sort_by_key(|(prefix, _)| Reverse(prefix.prefix_len()));
    let mut unbinds: Vec<_> = from.iter().map(|(prefix, _)| prefix).filter(|prefix| !to.holds(*prefix)).collect();
    unbinds.sort_by_key(IpNet::prefix_len);
    let binds = binds.into_iter().map(|(prefix, slots)| Change::Bind { prefix, slots: *slots });
    binds.chain(unbinds.into_iter().map(Change::Unbind)).collect()
}

/// Slots that lose an address, or may.
fn losing(current: &Desired, desired: &Desired) -> BTreeSet<u16> {
    let mut losing = BTreeSet::new();
    for (prefix, slots) in current.prefixes.iter() {
        let after = desired.prefixes.of(prefix);
        losing.extend(slots.iter().filter(|slot| !after.contains(*slot)).map(|slot| slot.slot));
    }
    losing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::tests::{AMPLE, tenants, world};
    use crate::reconcile::{Tenant, reconcile};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use writ_authority::{Directions, Scope};

    /// The kernel as a plain model: what a packet of an address is taken for, and on which terms.
    #[derive(Clone, Default)]
    struct Kernel {
        slots: BTreeMap<u16, Option<Terms>>,
        prefixes: BTreeMap<IpNet, Slots>,
    }

    impl Kernel {
        fn apply(&mut self, change: Change) {
            match change {
                Change::Stop(slot) => {
                    self.slots.insert(slot.slot, None);
                }
                Change::Arm { slot, terms } => {
                    assert_eq!(slot.generation, terms.generation);
                    self.slots.insert(slot.slot, Some(terms));
                }
                Change::Bind { prefix, slots } => {
                    assert!(slots.iter().count() > 0, "bound to nobody");
                    self.prefixes.insert(prefix, slots);
                }
                Change::Unbind(prefix) => {
                    assert!(self.prefixes.remove(&prefix).is_some(), "unbound what was not bound");
                }
            }
        }

        /// The longest prefix has the last word.
        fn takes(&self) -> BTreeMap<(IpAddr, u16), Terms> {
            let mut takes = BTreeMap::new();
            for address in world() {
                let holders = self.prefixes.iter().filter(|(prefix, _)| prefix.contains(&address));
                let Some((_, slots)) = holders.max_by_key(|(prefix, _)| prefix.prefix_len()) else { continue };
                for slot in slots.iter() {
                    if let Some(Some(terms)) = self.slots.get(&slot.slot)
                        && terms.generation == slot.generation
                    {
                        assert!(takes.insert((address, slot.slot), *terms).is_none(), "taken twice");
                    }
                }
            }
            takes
        }
    }

    /// What these warrants want, whatever a table looks like.
    fn wanted(tenants: &[Tenant], held: &Desired) -> BTreeMap<(IpAddr, u16), Terms> {
        let in_force = tenants.iter().filter(|tenant| held.terms.contains_key(&tenant.slot));
        in_force
            .flat_map(|tenant| {
                let covered = |address: &IpAddr| tenant.prefixes.iter().any(|prefix| prefix.contains(address));
                world().filter(covered).map(|address| ((address, tenant.slot), tenant.terms)).collect::<Vec<_>>()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn steps_lead_to_the_goal_and_never_take_more_or_less_on_the_way(from in tenants(), to in tenants()) {
            let (before, after) = (reconcile(&from, AMPLE).desired, reconcile(&to, AMPLE).desired);
            let mut kernel = Kernel::default();
            for change in difference(&Desired::default(), &before) {
                kernel.apply(change);
            }
            let (old, mut on_the_way) = (kernel.takes(), Vec::new());
            prop_assert_eq!(&old, &wanted(&from, &before));
            for change in difference(&before, &after) {
                kernel.apply(change);
                on_the_way.push(kernel.takes());
            }
            let new = kernel.takes();
            prop_assert_eq!(&new, &wanted(&to, &after));
            prop_assert_eq!(kernel.prefixes.len(), after.prefixes.iter().count(), "nothing is left behind");
            for moment in on_the_way {
                for (pair, terms) in &moment {
                    prop_assert!(old.get(pair) == Some(terms) || new.get(pair) == Some(terms), "took more: {:?}", pair);
                }
                // What both states take on the same terms is never interrupted.
                for (pair, terms) in &old {
                    let same_terms = before.terms[&pair.1] == *terms && after.terms.get(&pair.1) == Some(terms);
                    prop_assert!(!same_terms || new.get(pair) != Some(terms) || moment.get(pair) == Some(terms));
                }
            }
            prop_assert_eq!(difference(&after, &after), []);
        }

        /// After a restart of this side only the prefixes are known that the kernel holds.
        #[test]
        fn a_kernel_that_was_found_comes_to_the_goal_undisturbed(from in tenants(), to in tenants()) {
            let (before, after) = (reconcile(&from, AMPLE).desired, reconcile(&to, AMPLE).desired);
            let mut kernel = Kernel::default();
            for change in difference(&Desired::default(), &before) {
                kernel.apply(change);
            }
            let (old, wanted) = (kernel.takes(), wanted(&to, &after));
            let found = Desired::found(kernel.prefixes.iter().map(|(prefix, slots)| (*prefix, *slots)).collect());
            for change in difference(&found, &after) {
                kernel.apply(change);
                let moment = kernel.takes();
                for (pair, terms) in &old {
                    let stays = wanted.get(pair) == Some(terms);
                    prop_assert!(!stays || moment.get(pair) == Some(terms), "interrupted: {:?}", pair);
                }
            }
            prop_assert_eq!(kernel.prefixes, after.prefixes.iter().map(|(prefix, slots)| (prefix, *slots)).collect());
        }

        /// Who goes makes room before anybody comes.
        #[test]
        fn the_tables_never_hold_more_than_before_or_after(from in tenants(), mut to in tenants()) {
            for tenant in &mut to {
                tenant.slot += 100;
            }
            let (before, after) = (reconcile(&from, AMPLE).desired, reconcile(&to, AMPLE).desired);
            let mut kernel = Kernel { prefixes: before.prefixes.iter().map(|(it, slots)| (it, *slots)).collect(), ..Kernel::default() };
            let most = kernel.prefixes.len().max(after.prefixes.iter().count());
            for change in difference(&before, &after) {
                kernel.apply(change);
                prop_assert!(kernel.prefixes.len() <= most);
            }
        }
    }

    #[test]
    fn a_slot_is_armed_before_its_prefixes_are_bound_and_stopped_before_they_are_unbound() {
        let (scope, directions) = (Scope::Content, Directions::Both);
        let terms = Terms { generation: 9, start_utc_ns: 1, stop_utc_ns: 2, scope, directions };
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let tenants = [Tenant { slot: 3, terms, prefixes: BTreeSet::from([net("192.0.2.0/24"), net("192.0.2.7/32")]) }];
        let desired = reconcile(&tenants, AMPLE).desired;
        let steps = difference(&Desired::default(), &desired);
        let [Change::Arm { .. }, Change::Bind { prefix: first, .. }, Change::Bind { prefix: then, .. }] = steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!([first, then], ["192.0.2.7/32", "192.0.2.0/24"].map(net));
        let steps = difference(&desired, &Desired::default());
        let [Change::Stop(_), Change::Unbind(first), Change::Unbind(then)] = steps[..] else { panic!("{steps:?}") };
        assert_eq!([first, then], ["192.0.2.0/24", "192.0.2.7/32"].map(net));
    }
}
