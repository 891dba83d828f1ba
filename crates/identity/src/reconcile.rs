//! What the kernel is to hold, as a pure function of the warrants in force and the bindings known.

use crate::binding::Bindings;
use crate::prefixes::Prefixes;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use writ_abi::{MOST_LENGTHS, PolicyFlags, SLOTS_PER_ADDRESS, SlotRef};
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

/// A warrant in force with its slot and its targets' addresses.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub(crate) slot: u16,
    pub(crate) terms: Terms,
    pub(crate) prefixes: BTreeSet<IpNet>,
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
        let prefixes = warrant.targets().iter().flat_map(|target| bindings.prefixes(target));
        Self { slot: slot.slot, terms, prefixes: prefixes.map(|prefix| prefix.trunc()).collect() }
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
    pub(crate) prefixes: Prefixes,
}

impl Desired {
    /// What a kernel holds that was found as it is, of whose slots' terms nothing is known: they are all to be told anew.
    pub fn found(prefixes: Prefixes) -> Self {
        Self { terms: BTreeMap::new(), prefixes }
    }

    /// Slots in use, each with its terms.
    pub fn slots(&self) -> impl Iterator<Item = (SlotRef, &Terms)> {
        self.terms.iter().map(|(slot, terms)| (SlotRef { slot: *slot, generation: terms.generation }, terms))
    }

    /// Prefixes that anybody wants, each with the slots that want it.
    pub fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }
}

/// How many prefixes the kernel's tables have room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// IPv4 addresses and prefixes: `tables.addresses_v4` of the configuration.
    pub v4: usize,
    /// IPv6 addresses and prefixes: `tables.addresses_v6`.
    pub v6: usize,
}

/// A warrant that is left out. Names no address and no other warrant: this may be told to whoever handed the warrant in,
/// and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target: {reason}")]
pub struct LeftOut {
    /// Its slot.
    pub slot: SlotRef,
    /// Why.
    pub reason: NoRoom,
}

/// Why a warrant finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// So many of its prefixes are wanted by as many others as can be, or would make that so many for a prefix in them.
    #[error(
        "in {0} of its prefixes are addresses that belong to {SLOTS_PER_ADDRESS} intercepts already, the most that one \
         address can, prefixes around and inside it counted; end one of those, or use another probe"
    )]
    Slots(usize),
    /// Too many different prefix lengths.
    #[error(
        "{lengths} different prefix lengths of {family} would be in use, and the kernel's table takes {MOST_LENGTHS}; \
         write the prefixes in lengths that are in use, or use another probe"
    )]
    Lengths {
        /// How many there would be.
        lengths: usize,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// The kernel's table is too small.
    #[error(
        "{needed} addresses and prefixes would be in force, and the kernel's table holds {room}; raise tables.{field} \
         in the configuration and start the probe again"
    )]
    Table {
        /// How many there would be.
        needed: usize,
        /// How many there can be.
        room: usize,
        /// The setting of the table's size.
        field: &'static str,
    },
}

/// What [`reconcile`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// What the kernel is to hold.
    pub desired: Desired,
    /// Warrants that found no room and are left out whole.
    pub left_out: Vec<LeftOut>,
}

/// What the kernel is to hold for these warrants. They are served in the order given, so one that comes later never
/// pushes out one that was there before; each is taken whole or left out whole.
pub fn reconcile(tenants: &[Tenant], room: Room) -> Reconciled {
    let mut desired = Desired::default();
    let mut left_out = Vec::new();
    for tenant in tenants {
        if let Err(reason) = check(&desired.prefixes, tenant, room) {
            left_out.push(LeftOut { slot: tenant.slot(), reason });
            continue;
        }
        desired.terms.insert(tenant.slot, tenant.terms);
        for prefix in &tenant.prefixes {
            desired.prefixes.add(*prefix, tenant.slot());
        }
    }
    Reconciled { desired, left_out }
}

/// Whether there is room for one more.
fn check(held: &Prefixes, tenant: &Tenant, room: Room) -> Result<(), NoRoom> {
    let overfull = tenant.prefixes.iter().filter(|prefix| held.is_full(**prefix)).count();
    if overfull > 0 {
        return Err(NoRoom::Slots(overfull));
    }
    let new = || tenant.prefixes.iter().filter(|prefix| !held.holds(**prefix));
    for (family, is_v4, room, field) in
        [("IPv4", true, room.v4, "addresses_v4"), ("IPv6", false, room.v6, "addresses_v6")]
    {
        let of_family = |prefix: &&IpNet| matches!(prefix, IpNet::V4(_)) == is_v4;
        let mut lengths = held.lengths(is_v4);
        lengths.extend(new().filter(of_family).map(IpNet::prefix_len));
        if lengths.len() > MOST_LENGTHS {
            return Err(NoRoom::Lengths { lengths: lengths.len(), family });
        }
        let needed = held.count(is_v4) + new().filter(of_family).count();
        if needed > room {
            return Err(NoRoom::Table { needed, room, field });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    pub(crate) const AMPLE: Room = Room { v4: 1000, v6: 1000 };

    /// A small world: eight addresses of each family.
    pub(crate) fn world() -> impl Iterator<Item = IpAddr> {
        let v4 = (0..8).map(|host| IpAddr::from([192, 0, 2, host]));
        v4.chain((0..8).map(|host| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host])))
    }

    /// Addresses and prefixes of the small world.
    pub(crate) fn prefixes() -> impl Strategy<Value = BTreeSet<IpNet>> {
        let prefix = (0usize..16, 0u8..4).prop_map(|(address, wider)| {
            let host = IpNet::from(world().nth(address).unwrap());
            IpNet::new(host.addr(), host.prefix_len() - wider).unwrap().trunc()
        });
        prop::collection::btree_set(prefix, 1..5)
    }

    /// Few slots and few addresses, so that they meet.
    pub(crate) fn tenants() -> impl Strategy<Value = Vec<Tenant>> {
        let tenant = (0u16..16, 0u16..2, 0u64..3, any::<bool>(), 0usize..3, prefixes());
        prop::collection::vec(tenant, 0..16).prop_map(|list| {
            let mut slots = BTreeSet::new();
            list.into_iter()
                .filter(|tenant| slots.insert(tenant.0))
                .map(|(slot, generation, stop, content, directions, prefixes)| Tenant {
                    slot,
                    terms: Terms {
                        generation,
                        start_utc_ns: 1,
                        stop_utc_ns: 2 + stop,
                        scope: if content { Scope::Content } else { Scope::Headers },
                        directions: Directions::ALL[directions],
                    },
                    prefixes,
                })
                .collect()
        })
    }

    fn tenant(slot: u16, prefixes: &[&str]) -> Tenant {
        let (scope, directions) = (Scope::Headers, Directions::Both);
        let terms = Terms { generation: 1, start_utc_ns: 1, stop_utc_ns: 2, scope, directions };
        Tenant { slot, terms, prefixes: prefixes.iter().map(|text| text.parse().unwrap()).collect() }
    }

    fn covers(tenant: &Tenant, address: IpAddr) -> bool {
        tenant.prefixes.iter().any(|prefix| prefix.contains(&address))
    }

    proptest! {
        #[test]
        fn every_warrant_is_held_whole_or_not_at_all(tenants in tenants()) {
            let Reconciled { desired, left_out } = reconcile(&tenants, AMPLE);
            for (i, tenant) in tenants.iter().enumerate() {
                let left = left_out.iter().find(|it| it.slot == tenant.slot());
                // The model: count who came before and was taken.
                let earlier = |address| {
                    let taken = |it: &&Tenant| !left_out.iter().any(|left| left.slot == it.slot());
                    tenants[..i].iter().filter(taken).filter(|it| covers(it, address)).count()
                };
                let full = |prefix: &&IpNet| {
                    world().any(|address| prefix.contains(&address) && earlier(address) >= SLOTS_PER_ADDRESS)
                };
                let full = tenant.prefixes.iter().filter(full).count();
                prop_assert_eq!(left.map(|it| it.reason), (full > 0).then_some(NoRoom::Slots(full)));
                prop_assert_eq!(desired.terms.contains_key(&tenant.slot), left.is_none());
                for address in world() {
                    let wanted = left.is_none() && covers(tenant, address);
                    let slots = desired.prefixes.of(address.into());
                    let held = slots.iter().filter(|slot| *slot == tenant.slot()).count();
                    prop_assert_eq!(held, usize::from(wanted), "{}", address);
                }
            }
            prop_assert!(desired.prefixes.iter().all(|(_, slots)| slots.iter().count() > 0));
            // Nobody's prefix is there that nobody asked for.
            let asked: BTreeSet<_> = tenants.iter().flat_map(|tenant| &tenant.prefixes).collect();
            prop_assert!(desired.prefixes.iter().all(|(prefix, _)| asked.contains(&prefix)));
            prop_assert_eq!(desired.prefixes.count(true) + desired.prefixes.count(false), desired.prefixes.iter().count());
        }

        #[test]
        fn one_warrant_more_disturbs_no_other(tenants in tenants()) {
            let Some((_, before)) = tenants.split_last() else { return Ok(()) };
            let (less, more) = (reconcile(before, AMPLE).desired, reconcile(&tenants, AMPLE).desired);
            for (slot, terms) in &less.terms {
                prop_assert_eq!(more.terms.get(slot), Some(terms));
            }
            for address in world() {
                let after = more.prefixes.of(address.into());
                prop_assert!(less.prefixes.of(address.into()).iter().all(|slot| after.contains(slot)));
            }
        }
    }

    #[test]
    fn the_ninth_intercept_of_an_address_is_refused_and_the_eight_stay() {
        // Each around the one before it, so that they meet at one address only.
        let lengths = [32, 31, 30, 29, 28, 27, 26, 25];
        let mut tenants: Vec<_> = (0u16..)
            .zip(lengths)
            .map(|(slot, length)| tenant(slot, &[&format!("192.0.2.0/{length}"), "2001:db8::/64"]))
            .collect();
        let eight = reconcile(&tenants, AMPLE);
        assert_eq!(eight.left_out, []);
        assert_eq!(eight.desired.prefixes.of("192.0.2.0/32".parse().unwrap()).iter().count(), 8);
        for ninth in ["192.0.2.0/32", "192.0.2.0/24", "192.0.2.0/31", "2001:db8::7/128", "2001:db8::/48"] {
            tenants.push(tenant(8, &["198.51.100.7/32", ninth]));
            let reconciled = reconcile(&tenants, AMPLE);
            let left_out = LeftOut { slot: SlotRef { slot: 8, generation: 1 }, reason: NoRoom::Slots(1) };
            assert_eq!(reconciled.left_out, [left_out], "{ninth}");
            assert!(left_out.to_string().contains("belong to 8 intercepts already"));
            assert_eq!(reconciled.desired, eight.desired);
            tenants.pop();
        }
        // Beside them there is room.
        tenants.push(tenant(8, &["192.0.2.1/32", "192.0.2.128/25", "2001:db8:0:1::/64"]));
        assert_eq!(reconcile(&tenants, AMPLE).left_out, []);
    }

    #[test]
    fn a_warrant_that_does_not_fit_the_tables_is_refused_whole() {
        let room = Room { v4: 3, v6: 1 };
        let held = [tenant(0, &["192.0.2.1/32", "192.0.2.2/32", "2001:db8::7/128"])];
        let before = reconcile(&held, room).desired;
        for (prefixes, needed, field) in [
            (["192.0.2.3/32", "192.0.2.4/32"], 4, "addresses_v4"),
            (["192.0.2.3/32", "2001:db8::8/128"], 2, "addresses_v6"),
        ] {
            let reconciled = reconcile(&[held[0].clone(), tenant(1, &prefixes)], room);
            let [left_out] = reconciled.left_out[..] else { panic!("one is left out") };
            assert!(matches!(left_out.reason, NoRoom::Table { needed: n, field: f, .. } if (n, f) == (needed, field)));
            assert!(left_out.to_string().contains(&format!("tables.{field}")), "{left_out}");
            assert_eq!(reconciled.desired, before);
        }
        // What is in the table already takes no more room.
        let shared = reconcile(&[held[0].clone(), tenant(1, &["192.0.2.1/32", "192.0.2.0/24"])], room);
        assert_eq!(shared.left_out, []);
    }

    #[test]
    fn a_ninth_prefix_length_is_refused() {
        let lengths: Vec<_> = (17..25).map(|length| format!("10.{length}.0.0/{length}")).collect();
        let lengths: Vec<_> = lengths.iter().map(String::as_str).collect();
        let eight = tenant(0, &lengths);
        let reconciled = reconcile(&[eight.clone(), tenant(1, &["10.9.0.0/25", "192.0.2.0/24"])], AMPLE);
        let [left_out] = reconciled.left_out[..] else { panic!("one is left out") };
        assert_eq!(left_out.reason, NoRoom::Lengths { lengths: 9, family: "IPv4" });
        assert!(left_out.to_string().contains("9 different prefix lengths of IPv4"), "{left_out}");
        // Of the other family, and of a length that is there.
        assert_eq!(reconcile(&[eight, tenant(1, &["2001:db8::/64", "192.0.2.0/24"])], AMPLE).left_out, []);
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
