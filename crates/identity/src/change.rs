//! From what the kernel holds to what it is to hold: steps, in an order in which no moment takes more of anybody's
//! packets than the state before or the state after would.
//!
//! Adding writes the terms, then the addresses; removing stops the slot first, then takes out the addresses. A slot
//! that gets new terms and loses an address at once rests in between, or new terms would meet an address that was only
//! ever covered by the old ones.

use crate::reconcile::{Desired, Slots, Terms};
use std::collections::BTreeSet;
use std::net::IpAddr;
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
    /// The address belongs to these slots and no others.
    Bind {
        /// The address.
        address: IpAddr,
        /// Its slots.
        slots: Slots,
    },
    /// The address belongs to nobody.
    Unbind(IpAddr),
}

/// The steps from `current` to `desired`.
pub fn difference(current: &Desired, desired: &Desired) -> Vec<Change> {
    let mut stops = Vec::new();
    let mut arms = Vec::new();
    let mut late_arms = Vec::new();
    let losing = losing(current, desired);
    for (slot, _) in current.slots() {
        if desired.terms.get(&slot.slot).is_none_or(|terms| terms.generation != slot.generation) {
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
    let binds = desired
        .addresses()
        .filter(|(address, slots)| current.addresses.get(address) != Some(slots))
        .map(|(address, slots)| Change::Bind { address, slots: *slots });
    let gone = current.addresses.keys().filter(|address| !desired.addresses.contains_key(address));
    let unbinds = gone.map(|address| Change::Unbind(*address));
    stops.into_iter().chain(arms).chain(binds).chain(unbinds).chain(late_arms).collect()
}

/// Slots that lose an address.
fn losing(current: &Desired, desired: &Desired) -> BTreeSet<u16> {
    let keeps =
        |address, slot| desired.addresses.get(&address).is_some_and(|slots: &Slots| slots.iter().any(|it| it == slot));
    let pairs = current.addresses().flat_map(|(address, slots)| slots.iter().map(move |slot| (address, slot)));
    pairs.filter(|(address, slot)| !keeps(*address, *slot)).map(|(_, slot)| slot.slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::reconcile;
    use crate::reconcile::tests::tenants;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The kernel as a plain model: what a packet of `address` is taken for, and on which terms.
    #[derive(Clone, Default)]
    struct Kernel {
        slots: BTreeMap<u16, Option<Terms>>,
        addresses: BTreeMap<IpAddr, Slots>,
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
                Change::Bind { address, slots } => {
                    self.addresses.insert(address, slots);
                }
                Change::Unbind(address) => {
                    assert!(self.addresses.remove(&address).is_some(), "unbound what was not bound");
                }
            }
        }

        fn takes(&self) -> BTreeMap<(IpAddr, u16), Terms> {
            let mut takes = BTreeMap::new();
            for (address, slots) in &self.addresses {
                for slot in slots.iter() {
                    if let Some(Some(terms)) = self.slots.get(&slot.slot)
                        && terms.generation == slot.generation
                    {
                        takes.insert((*address, slot.slot), *terms);
                    }
                }
            }
            takes
        }
    }

    proptest! {
        #[test]
        fn steps_lead_to_the_goal_and_never_take_more_on_the_way(before in tenants(), after in tenants()) {
            let (before, after) = (reconcile(&before).desired, reconcile(&after).desired);
            let mut kernel = Kernel::default();
            for change in difference(&Desired::default(), &before) {
                kernel.apply(change);
            }
            let (old, mut on_the_way) = (kernel.takes(), Vec::new());
            for change in difference(&before, &after) {
                kernel.apply(change);
                on_the_way.push(kernel.takes());
            }
            let new = kernel.takes();
            let wanted: BTreeMap<_, _> = after
                .addresses()
                .flat_map(|(address, slots)| slots.iter().map(move |slot| (address, slot.slot)))
                .map(|(address, slot)| ((address, slot), after.terms[&slot]))
                .collect();
            prop_assert_eq!(&new, &wanted);
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
    }

    #[test]
    fn a_slot_is_armed_before_its_address_is_bound_and_stopped_before_it_is_unbound() {
        let tenants = [crate::reconcile::Tenant {
            slot: 3,
            terms: Terms {
                generation: 9,
                start_utc_ns: 1,
                stop_utc_ns: 2,
                scope: writ_authority::Scope::Content,
                directions: writ_authority::Directions::Both,
            },
            addresses: BTreeSet::from([IpAddr::from([192, 0, 2, 7])]),
        }];
        let desired = reconcile(&tenants).desired;
        let steps = difference(&Desired::default(), &desired);
        assert!(matches!(steps[..], [Change::Arm { .. }, Change::Bind { .. }]), "{steps:?}");
        let steps = difference(&desired, &Desired::default());
        assert!(matches!(steps[..], [Change::Stop(_), Change::Unbind(_)]), "{steps:?}");
    }
}
