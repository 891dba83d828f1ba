//! What the kernel is to hold, as a pure function of the warrants in force and the bindings known.

use crate::binding::Bindings;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use writ_abi::{PolicyFlags, SLOTS_PER_ADDRESS, SlotRef};
use writ_authority::{ApprovedWarrant, Directions, Scope};

/// What the owner of a slot may take, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Which of the slot's owners this is.
    pub generation: u16,
    /// First moment at which a packet may be taken: UTC, nanoseconds since 1970.
    pub start_utc_ns: u64,
    /// First moment at which none may be taken any more: UTC, nanoseconds since 1970.
    pub stop_utc_ns: u64,
    /// What is taken of a packet.
    pub scope: Scope,
    /// Which packets.
    pub directions: Directions,
}

impl Terms {
    /// The kernel's [`PolicyFlags`] for these terms.
    pub fn flags(&self) -> u32 {
        let side = |wanted: bool, flag| if wanted { flag } else { 0 };
        side(self.directions.from_target(), PolicyFlags::SOURCE)
            | side(self.directions.to_target(), PolicyFlags::DESTINATION)
            | side(self.scope == Scope::Headers, PolicyFlags::HEADERS_ONLY)
    }
}

/// The slots that want an address: as the kernel's entry has them, unused places last.
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

    fn is_full(&self) -> bool {
        self.0.iter().all(|slot| slot.is_some())
    }

    fn insert(&mut self, slot: SlotRef) {
        if let Some(place) = self.0.iter_mut().find(|place| !place.is_some()) {
            *place = slot;
        }
    }
}

/// A warrant in force with its slot and its targets' addresses.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub(crate) slot: u16,
    pub(crate) terms: Terms,
    pub(crate) addresses: BTreeSet<IpAddr>,
}

impl Tenant {
    /// What the warrant asks for in this slot. Only a warrant that was approved can ask for anything.
    pub fn new(slot: SlotRef, approved: &ApprovedWarrant, bindings: &impl Bindings) -> Self {
        let warrant = approved.warrant();
        let terms = Terms {
            generation: slot.generation,
            start_utc_ns: warrant.window().start_utc_ns(),
            stop_utc_ns: warrant.window().stop_utc_ns(),
            scope: warrant.grant().scope(),
            directions: warrant.grant().directions(),
        };
        let addresses = warrant.targets().iter().flat_map(|target| bindings.addresses(target)).collect();
        Self { slot: slot.slot, terms, addresses }
    }

    /// Its slot.
    pub fn slot(&self) -> SlotRef {
        SlotRef { slot: self.slot, generation: self.terms.generation }
    }
}

/// What the kernel is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    pub(crate) terms: BTreeMap<u16, Terms>,
    pub(crate) addresses: BTreeMap<IpAddr, Slots>,
}

impl Desired {
    /// Slots in use, each with its terms.
    pub fn slots(&self) -> impl Iterator<Item = (SlotRef, &Terms)> {
        self.terms.iter().map(|(slot, terms)| (SlotRef { slot: *slot, generation: terms.generation }, terms))
    }

    /// Addresses that anybody wants, each with the slots that want it.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &Slots)> {
        self.addresses.iter().map(|(address, slots)| (*address, slots))
    }

    /// How many IPv4 and how many IPv6 addresses there are: to be held against the sizes of the kernel's tables.
    pub fn address_counts(&self) -> (usize, usize) {
        let v4 = self.addresses.keys().filter(|address| address.is_ipv4()).count();
        (v4, self.addresses.len() - v4)
    }
}

/// A warrant that finds no room at one of its addresses. Names no address and no other warrant: this may be told to
/// whoever handed the warrant in, and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "target: {addresses} of the addresses belong to {SLOTS_PER_ADDRESS} intercepts already, the most that one address \
     can; end one of those, or use another probe"
)]
pub struct Overfull {
    /// The slot of the warrant that was left out.
    pub slot: SlotRef,
    /// How many of its addresses have no room.
    pub addresses: usize,
}

/// What [`reconcile`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// What the kernel is to hold.
    pub desired: Desired,
    /// Warrants that found no room and are left out whole.
    pub left_out: Vec<Overfull>,
}

/// What the kernel is to hold for these warrants. They are served in the order given, so one that comes later never
/// pushes out one that was there before; each is taken whole or left out whole.
pub fn reconcile(tenants: &[Tenant]) -> Reconciled {
    let mut desired = Desired::default();
    let mut left_out = Vec::new();
    for tenant in tenants {
        let is_full = |address: &&IpAddr| desired.addresses.get(address).is_some_and(Slots::is_full);
        let addresses = tenant.addresses.iter().filter(is_full).count();
        if addresses > 0 {
            left_out.push(Overfull { slot: tenant.slot(), addresses });
            continue;
        }
        desired.terms.insert(tenant.slot, tenant.terms);
        for address in &tenant.addresses {
            desired.addresses.entry(*address).or_insert(Slots::EMPTY).insert(tenant.slot());
        }
    }
    Reconciled { desired, left_out }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    /// Few slots and few addresses, so that they meet.
    pub(crate) fn tenants() -> impl Strategy<Value = Vec<Tenant>> {
        let tenant = (0u16..12, 0u16..2, 0u64..3, any::<bool>(), 0usize..3, prop::collection::btree_set(0u32..6, 1..5));
        prop::collection::vec(tenant, 0..12).prop_map(|list| {
            let mut slots = BTreeSet::new();
            list.into_iter()
                .filter(|tenant| slots.insert(tenant.0))
                .map(|(slot, generation, stop, content, directions, hosts)| Tenant {
                    slot,
                    terms: Terms {
                        generation,
                        start_utc_ns: 1,
                        stop_utc_ns: 2 + stop,
                        scope: if content { Scope::Content } else { Scope::Headers },
                        directions: Directions::ALL[directions],
                    },
                    addresses: hosts
                        .into_iter()
                        .map(|host| IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + host)))
                        .collect(),
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_warrant_is_held_whole_or_not_at_all(tenants in tenants()) {
            let Reconciled { desired, left_out } = reconcile(&tenants);
            for (i, tenant) in tenants.iter().enumerate() {
                let left = left_out.iter().any(|it| it.slot == tenant.slot());
                // The model: count who came before and was taken.
                let earlier = |address| {
                    let taken = |it: &&Tenant| !left_out.iter().any(|left| left.slot == it.slot());
                    tenants[..i].iter().filter(taken).filter(|it| it.addresses.contains(address)).count()
                };
                let full = tenant.addresses.iter().filter(|address| earlier(address) >= SLOTS_PER_ADDRESS).count();
                prop_assert_eq!(left, full > 0);
                prop_assert_eq!(desired.terms.contains_key(&tenant.slot), !left);
                for (address, slots) in desired.addresses() {
                    let wanted = !left && tenant.addresses.contains(&address);
                    let held = slots.iter().filter(|slot| *slot == tenant.slot()).count();
                    prop_assert_eq!(held, usize::from(wanted));
                }
            }
            prop_assert!(desired.addresses.values().all(|slots| slots.iter().count() > 0));
        }

        #[test]
        fn one_warrant_more_disturbs_no_other(tenants in tenants()) {
            let Some((_, before)) = tenants.split_last() else { return Ok(()) };
            let (less, more) = (reconcile(before).desired, reconcile(&tenants).desired);
            for (slot, terms) in &less.terms {
                prop_assert_eq!(more.terms.get(slot), Some(terms));
            }
            for (address, slots) in less.addresses() {
                let after = more.addresses[&address];
                prop_assert!(slots.iter().all(|slot| after.iter().any(|it| it == slot)));
            }
        }
    }

    #[test]
    fn the_ninth_intercept_of_an_address_is_refused_and_the_eight_stay() {
        let tenant = |slot| Tenant {
            slot,
            terms: Terms {
                generation: 1,
                start_utc_ns: 1,
                stop_utc_ns: 2,
                scope: Scope::Headers,
                directions: Directions::Both,
            },
            addresses: BTreeSet::from([IpAddr::from([192, 0, 2, 7])]),
        };
        let tenants: Vec<_> = (0..9).map(tenant).collect();
        let reconciled = reconcile(&tenants);
        assert_eq!(reconciled.left_out, [Overfull { slot: SlotRef { slot: 8, generation: 1 }, addresses: 1 }]);
        assert!(reconciled.left_out[0].to_string().contains("belong to 8 intercepts already"));
        assert_eq!(reconciled.desired, reconcile(&tenants[..8]).desired);
    }

    #[test]
    fn a_scope_without_content_says_so_to_the_kernel() {
        let terms = |scope, directions| Terms { generation: 0, start_utc_ns: 0, stop_utc_ns: 1, scope, directions };
        let both = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
        assert_eq!(terms(Scope::Content, Directions::Both).flags(), both);
        assert_eq!(terms(Scope::Headers, Directions::From).flags(), PolicyFlags::SOURCE | PolicyFlags::HEADERS_ONLY);
        assert_eq!(terms(Scope::Content, Directions::To).flags(), PolicyFlags::DESTINATION);
    }
}
