//! From what the kernel holds to what it is to hold: steps, in an order in which no moment takes more of anybody's
//! packets than the state before or the state after would, and none takes less of what both would take.
//!
//! Slots that go are stopped first, then their claims are taken out, which makes room; then the terms of those that come
//! are written, then their claims. A slot that gets new terms while it is in force is not stopped: until its claims are the
//! new ones it has what both terms allow, or new terms would meet a packet that was only ever covered by the old ones.
//!
//! Of one address, and of one frame's VLAN tags, the kernel asks the narrowest entry only. Entries are written from the
//! narrowest to the widest, and then those that go are taken out from the widest to the narrowest: so what is asked is at
//! each moment either the entry that was asked before, as it was, or the one that will be asked, as it will be.
//!
//! Address, MAC address and VLAN of a packet are asked beside each other. So where an intercept moves from one to another,
//! the entries first hold the claims of both states, as far as there are places for them.

use crate::entries::{Claims, Entries, narrowness};
use crate::reconcile::{Desired, Terms};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use writ_abi::{SLOTS_PER_ADDRESS, Selector, SlotRef};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The slot takes nothing from now on.
    Stop(SlotRef),
    /// The slot comes into force with these terms. One that is in force is from now on limited to what both its terms and
    /// these allow, until [`Change::Complete`].
    Arm {
        /// The slot.
        slot: SlotRef,
        /// Its terms.
        terms: Terms,
    },
    /// The claims of a slot that was armed are the new ones: its terms are in force whole.
    Complete(SlotRef),
    /// What is found by this selector belongs to these claims and no others.
    Bind {
        /// The selector.
        selector: Selector,
        /// Who claims it.
        claims: Claims,
    },
    /// The selector has no entry of its own.
    Unbind(Selector),
}

/// The steps from `current` to `desired`.
pub fn difference(current: &Desired, desired: &Desired) -> Vec<Change> {
    let stays = |slot: SlotRef| desired.terms.get(&slot.slot).is_some_and(|terms| terms.generation == slot.generation);
    let gone = current.slots().map(|(slot, _)| slot).filter(|slot| !stays(*slot));
    let mut changes: Vec<_> = gone.map(Change::Stop).collect();
    let armed = || desired.slots().filter(|(slot, terms)| current.terms.get(&slot.slot) != Some(terms));
    let rest = current.entries.reduced(stays, |selector| desired.entries.holds(selector));
    rebind(&current.entries, &rest, &mut changes);
    changes.extend(armed().map(|(slot, terms)| Change::Arm { slot, terms: *terms }));
    if losing(&current.entries, &desired.entries).into_iter().any(stays) {
        let both = both(&rest, &desired.entries);
        rebind(&rest, &both, &mut changes);
        rebind(&both, &desired.entries, &mut changes);
    } else {
        rebind(&rest, &desired.entries, &mut changes);
    }
    changes.extend(armed().map(|(slot, _)| Change::Complete(slot)));
    changes
}

/// The steps from one table to another.
fn rebind(from: &Entries, to: &Entries, changes: &mut Vec<Change>) {
    let mut binds: Vec<_> = to.iter().filter(|(selector, claims)| from.get(*selector) != Some(claims)).collect();
    binds.sort_by_key(|(selector, _)| Reverse(narrowness(*selector)));
    let mut unbinds: Vec<_> = from.iter().map(|(selector, _)| selector).filter(|it| !to.holds(*it)).collect();
    unbinds.sort_by_key(|selector| narrowness(*selector));
    changes.extend(binds.into_iter().map(|(selector, claims)| Change::Bind { selector, claims: claims.clone() }));
    changes.extend(unbinds.into_iter().map(Change::Unbind));
}

/// Every entry of either state with the claims of both; where there are no places for these, with those of the second.
fn both(one: &Entries, two: &Entries) -> Entries {
    let selectors = one.iter().chain(two.iter()).map(|(selector, _)| selector);
    selectors
        .map(|selector| {
            let after = two.of(selector);
            let claims: Claims = one.of(selector).iter().chain(after.iter()).collect();
            (selector, if claims.len() > SLOTS_PER_ADDRESS { after } else { claims })
        })
        .filter(|(_, claims)| !claims.is_empty())
        .collect()
}

/// Slots that lose a claim, or may.
fn losing(current: &Entries, desired: &Entries) -> BTreeSet<SlotRef> {
    let mut losing = BTreeSet::new();
    for (selector, claims) in current.iter() {
        let after = desired.of(selector);
        let lost = claims.places().iter().filter(|place| !after.places().contains(place));
        losing.extend(lost.map(|place| place.slot));
    }
    losing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::Want;
    use crate::entries::Table;
    use crate::reconcile::tests::{AMPLE, Side, tenants, world};
    use crate::reconcile::{Tenant, reconcile};
    use ipnet::IpNet;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use writ_abi::{PolicyFlags, SlotPolicy};
    use writ_authority::{Directions, Scope};

    /// The terms as the kernel has them, with moments of UTC in place of boot time.
    fn policy(terms: &Terms) -> SlotPolicy {
        SlotPolicy {
            start_ns: terms.start_utc_ns,
            stop_ns: terms.stop_utc_ns,
            flags: terms.flags(),
            generation: terms.generation,
            reserved: 0,
        }
    }

    /// Whether one takes nothing that the other does not.
    fn is_within(one: &SlotPolicy, other: &SlotPolicy) -> bool {
        one.generation == other.generation && one.meet(other) == *one
    }

    /// Whether it takes anything at all.
    fn takes_anything(policy: &SlotPolicy) -> bool {
        policy.start_ns < policy.stop_ns && policy.flags & (PolicyFlags::SOURCE | PolicyFlags::DESTINATION) != 0
    }

    /// The kernel as a plain model: what a packet is taken for by one of its sides, and on which terms.
    #[derive(Clone, Default)]
    struct Kernel {
        slots: BTreeMap<u16, Option<SlotPolicy>>,
        /// The terms of slots that were armed and are not complete.
        coming: BTreeMap<u16, SlotPolicy>,
        entries: BTreeMap<Selector, Claims>,
    }

    impl Kernel {
        fn apply(&mut self, change: Change) {
            match change {
                Change::Stop(slot) => {
                    self.slots.insert(slot.slot, None);
                }
                Change::Arm { slot, terms } => {
                    assert_eq!(slot.generation, terms.generation);
                    let terms = policy(&terms);
                    let before = self.slots.get(&slot.slot).copied().flatten();
                    let in_force = before.filter(|before| before.generation == slot.generation);
                    self.slots.insert(slot.slot, Some(in_force.map_or(terms, |before| before.meet(&terms))));
                    self.coming.insert(slot.slot, terms);
                }
                Change::Complete(slot) => {
                    let terms = self.coming.remove(&slot.slot).expect("armed before");
                    self.slots.insert(slot.slot, Some(terms));
                }
                Change::Bind { selector, claims } => {
                    assert!(!claims.is_empty(), "bound to nobody");
                    assert!(claims.len() <= SLOTS_PER_ADDRESS, "more than an entry holds");
                    self.entries.insert(selector, claims);
                }
                Change::Unbind(selector) => {
                    assert!(self.entries.remove(&selector).is_some(), "unbound what was not bound");
                }
            }
        }

        /// The longest prefix has the last word over an address, all tags over the outer one; the three are asked
        /// beside each other.
        fn found(&self, side: Side) -> impl Iterator<Item = &Claims> {
            let prefixes = self.entries.iter().filter_map(move |(selector, claims)| match selector {
                Selector::Prefix(prefix) if prefix.contains(&side.address) => Some((prefix.prefix_len(), claims)),
                _ => None,
            });
            let address = prefixes.max_by_key(|(length, _)| *length).map(|(_, claims)| claims);
            let vlan = self.entries.get(&Selector::Vlan(side.vlan));
            let vlan = vlan.or_else(|| self.entries.get(&Selector::Vlan(side.vlan.any_inner())));
            [address, self.entries.get(&Selector::Mac(side.mac)), vlan].into_iter().flatten()
        }

        fn takes(&self) -> BTreeMap<(Side, u16), SlotPolicy> {
            let mut takes = BTreeMap::new();
            for side in world() {
                for claim in self.found(side).flat_map(Claims::iter) {
                    if let Some(Some(terms)) = self.slots.get(&claim.slot.slot)
                        && terms.generation == claim.slot.generation
                        && side.meets(claim.condition)
                    {
                        takes.insert((side, claim.slot.slot), *terms);
                    }
                }
            }
            takes
        }
    }

    /// What these warrants want, whatever a table looks like.
    fn wanted(tenants: &[Tenant], held: &Desired) -> BTreeMap<(Side, u16), SlotPolicy> {
        let in_force = tenants.iter().filter(|tenant| held.terms.contains_key(&tenant.slot));
        in_force
            .flat_map(|tenant| {
                let is_wanted = |side: &Side| {
                    tenant.wants.iter().any(|want| side.is_found_by(want.selector) && side.meets(want.condition))
                };
                let terms = policy(&tenant.terms);
                world().filter(is_wanted).map(|side| ((side, tenant.slot), terms)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Whether an entry would need more places than there are for the claims of both states.
    fn is_crowded(one: &Desired, two: &Desired) -> bool {
        let selectors = one.entries.iter().chain(two.entries.iter()).map(|(selector, _)| selector);
        selectors.into_iter().any(|selector| {
            let (one, two) = (one.entries.of(selector), two.entries.of(selector));
            one.iter().chain(two.iter()).collect::<Claims>().len() > SLOTS_PER_ADDRESS
        })
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
            prop_assert_eq!(kernel.entries.len(), after.entries.iter().count(), "nothing is left behind");
            for moment in on_the_way {
                for (pair, terms) in &moment {
                    let of = |state: &BTreeMap<_, _>| state.get(pair).is_some_and(|of| is_within(terms, of));
                    prop_assert!(of(&old) || of(&new), "took more: {:?}", pair);
                }
                // What both states take is never interrupted.
                if is_crowded(&before, &after) {
                    continue;
                }
                for (pair, before) in &old {
                    let Some(after) = new.get(pair).filter(|after| after.generation == before.generation) else { continue };
                    let both = before.meet(after);
                    let is_taken = moment.get(pair).is_some_and(|terms| is_within(&both, terms));
                    prop_assert!(is_taken || !takes_anything(&both), "interrupted: {:?}", pair);
                }
            }
            prop_assert_eq!(difference(&after, &after), []);
        }

        /// After a restart of this side only the entries are known that the kernel holds.
        #[test]
        fn a_kernel_that_was_found_comes_to_the_goal_undisturbed(from in tenants(), to in tenants()) {
            let (before, after) = (reconcile(&from, AMPLE).desired, reconcile(&to, AMPLE).desired);
            let mut kernel = Kernel::default();
            for change in difference(&Desired::default(), &before) {
                kernel.apply(change);
            }
            let (old, wanted) = (kernel.takes(), wanted(&to, &after));
            let found = Desired::found(kernel.entries.iter().map(|(selector, claims)| (*selector, claims.clone())).collect());
            let crowded = is_crowded(&before, &after);
            for change in difference(&found, &after) {
                kernel.apply(change);
                if crowded {
                    continue;
                }
                let moment = kernel.takes();
                for (pair, before) in &old {
                    let Some(after) = wanted.get(pair).filter(|after| after.generation == before.generation) else { continue };
                    let both = before.meet(after);
                    let is_taken = moment.get(pair).is_some_and(|terms| is_within(&both, terms));
                    prop_assert!(is_taken || !takes_anything(&both), "interrupted: {:?}", pair);
                }
            }
            prop_assert_eq!(kernel.entries, after.entries.iter().map(|(selector, claims)| (selector, claims.clone())).collect());
        }

        /// Who goes makes room before anybody comes.
        #[test]
        fn the_tables_never_hold_more_than_before_or_after(from in tenants(), mut to in tenants()) {
            for tenant in &mut to {
                tenant.slot += 100;
            }
            let (before, after) = (reconcile(&from, AMPLE).desired, reconcile(&to, AMPLE).desired);
            let entries = before.entries.iter().map(|(selector, claims)| (selector, claims.clone())).collect();
            let mut kernel = Kernel { entries, ..Kernel::default() };
            let count = |kernel: &Kernel| {
                let mut count = [0; 4];
                kernel.entries.keys().for_each(|selector| count[Table::of(*selector) as usize] += 1);
                count
            };
            let tables = [Table::V4, Table::V6, Table::Macs, Table::Vlans];
            let most = tables.map(|table| before.entries.count(table).max(after.entries.count(table)));
            for change in difference(&before, &after) {
                kernel.apply(change);
                prop_assert!(count(&kernel).iter().zip(most).all(|(count, most)| *count <= most));
            }
        }
    }

    #[test]
    fn a_slot_is_armed_before_its_entries_are_bound_and_stopped_before_they_are_unbound() {
        let (scope, directions) = (Scope::Content, Directions::Both);
        let terms = Terms { generation: 9, revision: 1, start_utc_ns: 1, stop_utc_ns: 2, scope, directions };
        let net = |text: &str| Selector::Prefix(text.parse::<IpNet>().unwrap());
        let vlan = |inner| Selector::Vlan(writ_abi::VlanMatch { outer: 200, inner });
        let any = writ_abi::VlanMatch::ANY;
        let selectors = [net("192.0.2.0/24"), net("192.0.2.7/32"), vlan(any), vlan(100)];
        let wants = selectors.map(|selector| Want { selector, condition: None }).into();
        let tenants = [Tenant { slot: 3, terms, wants }];
        let desired = reconcile(&tenants, AMPLE).desired;
        let steps = difference(&Desired::default(), &desired);
        let [Change::Arm { .. }, binds @ .., Change::Complete(_)] = &steps[..] else { panic!("{steps:?}") };
        let order: Vec<_> = binds
            .iter()
            .map(|it| if let Change::Bind { selector, .. } = it { *selector } else { panic!("{it:?}") })
            .collect();
        assert_eq!(order, [net("192.0.2.7/32"), net("192.0.2.0/24"), vlan(100), vlan(any)]);
        let steps = difference(&desired, &Desired::default());
        let [Change::Stop(_), unbinds @ ..] = &steps[..] else { panic!("{steps:?}") };
        let order: Vec<_> = unbinds
            .iter()
            .map(|it| if let Change::Unbind(selector) = it { *selector } else { panic!("{it:?}") })
            .collect();
        assert_eq!(order, [vlan(any), vlan(100), net("192.0.2.0/24"), net("192.0.2.7/32")]);
    }
}
