//! What the kernel is to hold, as a pure function of the warrants in force and the bindings known.

use crate::binding::{Bindings, Want};
use crate::entries::{Before, Entries, Place, Table, canonical};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use writ_abi::{Condition, MOST_LENGTHS, PolicyFlags, SLOTS_PER_ADDRESS, SlotRef};
use writ_authority::{ApprovedWarrant, Directions, Force, Scope, Target, Warrant};

/// What the owner of a slot may take, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Which of the slot's owners this is.
    pub generation: u16,
    /// Which revision of the owner's warrant says so.
    pub revision: u32,
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
    fn of(slot: SlotRef, warrant: &Warrant) -> Self {
        Self {
            generation: slot.generation,
            revision: warrant.revision(),
            start_utc_ns: warrant.window().start_utc_ns(),
            stop_utc_ns: warrant.window().stop_utc_ns(),
            scope: warrant.grant().scope(),
            directions: warrant.grant().directions(),
        }
    }

    /// The kernel's [`PolicyFlags`] for these terms.
    pub fn flags(&self) -> u32 {
        let side = |wanted: bool, flag| if wanted { flag } else { 0 };
        side(self.directions.from_target(), PolicyFlags::SOURCE)
            | side(self.directions.to_target(), PolicyFlags::DESTINATION)
            | side(self.scope == Scope::Headers, PolicyFlags::HEADERS_ONLY)
    }
}

/// A warrant in force with its slot and what its targets' packets are found by.
#[derive(Clone, Debug)]
pub struct Tenant {
    pub(crate) slot: u16,
    pub(crate) terms: Terms,
    pub(crate) wants: BTreeSet<Want>,
}

impl Tenant {
    /// What the warrant asks for in this slot. Only a warrant that was approved can ask for anything.
    pub fn new(slot: SlotRef, approved: &ApprovedWarrant, bindings: &impl Bindings) -> Self {
        let warrant = approved.warrant();
        Self { slot: slot.slot, terms: Terms::of(slot, warrant), wants: wants(warrant.targets(), bindings) }
    }

    /// What the register has in force in this slot, in the register's time: an emergency has less than its warrant says, and
    /// what an extension allows as well goes on into it.
    pub fn in_force(slot: SlotRef, force: &Force, bindings: &impl Bindings) -> Self {
        let terms = Terms::of(slot, force.warrant());
        let terms = Terms {
            start_utc_ns: force.window.start_utc_ns(),
            stop_utc_ns: force.window.stop_utc_ns(),
            scope: force.scope(),
            // Where two revisions have no direction in common, the register has the one or the other in force.
            directions: force.directions().unwrap_or(terms.directions),
            ..terms
        };
        Self { slot: slot.slot, terms, wants: wants(force.targets(), bindings) }
    }

    /// The same warrant with all that an earlier revision of it wants besides, as the tables hold it while the one takes the
    /// other's place.
    #[must_use]
    pub fn beside(mut self, earlier: &Self) -> Self {
        self.wants.extend(&earlier.wants);
        self
    }

    /// Its slot.
    pub fn slot(&self) -> SlotRef {
        SlotRef { slot: self.slot, generation: self.terms.generation }
    }
}

fn wants<'a>(targets: impl IntoIterator<Item = &'a Target>, bindings: &impl Bindings) -> BTreeSet<Want> {
    let wants = targets.into_iter().flat_map(|target| bindings.wants(target));
    wants.map(|want| Want { selector: canonical(want.selector), ..want }).collect()
}

/// What the kernel is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    pub(crate) terms: BTreeMap<u16, Terms>,
    pub(crate) entries: Entries,
}

impl Desired {
    /// What a kernel holds that was found as it is, of whose slots' terms nothing is known: they are all to be told anew.
    pub fn found(entries: Entries) -> Self {
        Self { terms: BTreeMap::new(), entries }
    }

    /// Slots in use, each with its terms.
    pub fn slots(&self) -> impl Iterator<Item = (SlotRef, &Terms)> {
        self.terms.iter().map(|(slot, terms)| (SlotRef { slot: *slot, generation: terms.generation }, terms))
    }

    /// What anybody's packets are found by, each with those who claim it.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }
}

/// How much the kernel's tables have room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// IPv4 addresses and prefixes: `tables.addresses_v4` of the configuration.
    pub v4: usize,
    /// IPv6 addresses and prefixes: `tables.addresses_v6`.
    pub v6: usize,
    /// MAC addresses: `tables.macs`.
    pub macs: usize,
    /// VLANs: `tables.vlans`.
    pub vlans: usize,
    /// Different conditions: `tables.conditions`.
    pub conditions: usize,
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
    /// So many of its targets are claimed by as many others as can be, or would make that so many for a prefix in them.
    #[error(
        "in {0} of its targets are addresses, MAC addresses or VLANs that belong to {SLOTS_PER_ADDRESS} intercepts already, \
         the most that can, prefixes around and inside counted, and a target under two conditions twice; end one of those, \
         or use another probe"
    )]
    Places(usize),
    /// An address, a MAC address and a VLAN could meet in one packet that is claimed too often.
    #[error(
        "one packet could belong to {addresses} intercepts by its address, {macs} by its MAC address and {vlans} by its \
         VLAN, and the kernel takes {SLOTS_PER_ADDRESS} together; end one of those, or use another probe"
    )]
    Together {
        /// Most claims of an address.
        addresses: usize,
        /// Most claims of a MAC address.
        macs: usize,
        /// Most claims of a VLAN.
        vlans: usize,
    },
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
        "{needed} {what} would be in force, and the kernel's table holds {room}; raise tables.{field} in the \
         configuration and start the probe again"
    )]
    Table {
        /// What the table is of.
        what: &'static str,
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
    let mut conditions = HashSet::new();
    let mut left_out = Vec::new();
    for tenant in tenants {
        match serve(&mut desired.entries, &mut conditions, tenant, room) {
            Ok(()) => drop(desired.terms.insert(tenant.slot, tenant.terms)),
            Err(reason) => left_out.push(LeftOut { slot: tenant.slot(), reason }),
        }
    }
    Reconciled { desired, left_out }
}

/// Enters what a tenant wants, or leaves all as it was.
fn serve(
    entries: &mut Entries,
    conditions: &mut HashSet<Arc<Condition>>,
    tenant: &Tenant,
    room: Room,
) -> Result<(), NoRoom> {
    let mut before = Before::default();
    let mut own = HashSet::new();
    let mut overfull = 0;
    for want in &tenant.wants {
        let condition = want.condition.map(|condition| {
            let known = conditions.get(&condition).or_else(|| own.get(&condition)).cloned();
            known.unwrap_or_else(|| {
                let new = Arc::new(condition);
                own.insert(Arc::clone(&new));
                new
            })
        });
        let most = entries.add(want.selector, &Place { slot: tenant.slot(), condition }, &mut before);
        overfull += usize::from(most > SLOTS_PER_ADDRESS);
    }
    let checked =
        if overfull > 0 { Err(NoRoom::Places(overfull)) } else { check(entries, conditions.len() + own.len(), room) };
    match checked {
        Ok(()) => conditions.extend(own),
        Err(_) => entries.undo(before),
    }
    checked
}

/// Whether all of it fits.
fn check(entries: &Entries, conditions: usize, room: Room) -> Result<(), NoRoom> {
    let addresses = entries.most(Table::V4).max(entries.most(Table::V6));
    let (macs, vlans) = (entries.most(Table::Macs), entries.most(Table::Vlans));
    if addresses + macs + vlans > SLOTS_PER_ADDRESS {
        return Err(NoRoom::Together { addresses, macs, vlans });
    }
    for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let lengths = entries.lengths(is_v4);
        if lengths > MOST_LENGTHS {
            return Err(NoRoom::Lengths { lengths, family });
        }
    }
    for (what, needed, room, field) in [
        ("addresses and prefixes", entries.count(Table::V4), room.v4, "addresses_v4"),
        ("addresses and prefixes", entries.count(Table::V6), room.v6, "addresses_v6"),
        ("MAC addresses", entries.count(Table::Macs), room.macs, "macs"),
        ("VLANs", entries.count(Table::Vlans), room.vlans, "vlans"),
        ("different conditions of targets", conditions, room.conditions, "conditions"),
    ] {
        if needed > room {
            return Err(NoRoom::Table { what, needed, room, field });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ipnet::IpNet;
    use proptest::prelude::*;
    use std::net::IpAddr;
    use writ_abi::{Claim, MacAddress, PortSide, Selector, TrafficRule, VlanMatch};

    pub(crate) const AMPLE: Room = Room { v4: 1000, v6: 1000, macs: 1000, vlans: 1000, conditions: 1000 };

    /// What a packet shows of one of its sides, in a small world.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Side {
        pub(crate) address: IpAddr,
        pub(crate) mac: MacAddress,
        pub(crate) vlan: VlanMatch,
        pub(crate) protocol: u8,
    }

    impl Side {
        /// By the definitions of the parts, without any table.
        pub(crate) fn is_found_by(&self, selector: Selector) -> bool {
            match selector {
                Selector::Prefix(prefix) => prefix.contains(&self.address),
                Selector::Mac(mac) => mac == self.mac,
                Selector::Vlan(vlan) => vlan.means(self.vlan),
            }
        }

        pub(crate) fn meets(&self, condition: Option<Condition>) -> bool {
            condition.is_none_or(|it| {
                it.vlan().is_none_or(|vlan| vlan.means(self.vlan))
                    && it.mac().is_none_or(|mac| mac == self.mac)
                    && (it.traffic().is_empty() || it.traffic().iter().any(|rule| rule.protocol == self.protocol))
            })
        }
    }

    fn mac(number: u8) -> MacAddress {
        MacAddress([2, 0, 0x5e, 0x10, 0, number])
    }

    fn addresses() -> impl Iterator<Item = IpAddr> {
        let v4 = (0..4).map(|host| IpAddr::from([192, 0, 2, host]));
        v4.chain((0..4).map(|host| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host])))
    }

    /// All of the small world.
    pub(crate) fn world() -> impl Iterator<Item = Side> {
        let tags = [(0, VlanMatch::NONE), (1, VlanMatch::NONE), (1, 2), (1, VlanMatch::DEEPER), (2, 1)];
        addresses().flat_map(move |address| {
            tags.into_iter().flat_map(move |(outer, inner)| {
                let vlan = VlanMatch { outer, inner };
                let side = move |number, protocol| Side { address, mac: mac(number), vlan, protocol };
                [side(0, 6), side(1, 17)]
            })
        })
    }

    fn vlan_match() -> impl Strategy<Value = VlanMatch> {
        let tags = [(1, VlanMatch::NONE), (1, 2), (1, VlanMatch::ANY), (2, 1), (2, VlanMatch::ANY)];
        prop::sample::select(tags.map(|(outer, inner)| VlanMatch { outer, inner }).to_vec())
    }

    /// What finds somebody in the small world.
    pub(crate) fn wants() -> impl Strategy<Value = BTreeSet<Want>> {
        let prefix = (0usize..8, 0u8..3).prop_map(|(address, wider)| {
            let host = IpNet::from(addresses().nth(address).unwrap());
            Selector::Prefix(IpNet::new(host.addr(), host.prefix_len() - wider).unwrap().trunc())
        });
        let selector = prop_oneof![
            3 => prefix,
            1 => (0u8..2).prop_map(|number| Selector::Mac(mac(number))),
            1 => vlan_match().prop_map(Selector::Vlan),
        ];
        let traffic = prop_oneof![
            2 => Just(vec![]),
            1 => Just(vec![TrafficRule { protocol: 6, side: PortSide::NONE, first: 0, last: 0, reserved: 0 }]),
        ];
        let condition = (prop::option::weighted(0.3, vlan_match()), prop::option::weighted(0.2, 0u8..2), traffic);
        let want = (selector, condition).prop_map(|(selector, (vlan, number, traffic))| Want {
            selector,
            condition: Condition::new(vlan, number.map(mac), &traffic).unwrap(),
        });
        prop::collection::btree_set(want, 1..5)
    }

    /// Few slots in a small world, so that they meet.
    pub(crate) fn tenants() -> impl Strategy<Value = Vec<Tenant>> {
        let tenant = (0u16..9, 0u16..2, 0u32..2, (0u64..2, 0u64..3), any::<bool>(), 0usize..3, wants());
        prop::collection::vec(tenant, 0..9).prop_map(|list| {
            let mut slots = BTreeSet::new();
            list.into_iter()
                .filter(|tenant| slots.insert(tenant.0))
                .map(|(slot, generation, revision, (start, stop), content, directions, wants)| Tenant {
                    slot,
                    terms: Terms {
                        generation,
                        revision,
                        start_utc_ns: 1 + start,
                        stop_utc_ns: 3 + stop,
                        scope: if content { Scope::Content } else { Scope::Headers },
                        directions: Directions::ALL[directions],
                    },
                    wants,
                })
                .collect()
        })
    }

    fn asking(slot: u16, wants: impl IntoIterator<Item = Want>) -> Tenant {
        let (scope, directions) = (Scope::Headers, Directions::Both);
        let terms = Terms { generation: 1, revision: 1, start_utc_ns: 1, stop_utc_ns: 2, scope, directions };
        Tenant { slot, terms, wants: wants.into_iter().collect() }
    }

    fn tenant(slot: u16, prefixes: &[&str]) -> Tenant {
        asking(slot, prefixes.iter().map(|text| text.parse::<IpNet>().unwrap().into()))
    }

    /// An address of one place in the tables, whatever the condition.
    fn claims_of(tenants: &[&Tenant], is_asked: impl Fn(Selector) -> bool) -> BTreeSet<Claim> {
        let claims = |tenant: &&Tenant| {
            let slot = tenant.slot();
            let found = tenant.wants.iter().filter(|want| is_asked(want.selector)).cloned().collect::<Vec<_>>();
            found.into_iter().map(move |want| Claim { slot, condition: want.condition })
        };
        tenants.iter().flat_map(claims).collect()
    }

    proptest! {
        #[test]
        fn every_warrant_is_held_whole_or_not_at_all(tenants in tenants()) {
            let Reconciled { desired, left_out } = reconcile(&tenants, AMPLE);
            let mut taken: Vec<&Tenant> = Vec::new();
            for tenant in &tenants {
                taken.push(tenant);
                // The model: how many claims meet in one packet, kind by kind.
                let most = |of: fn(&Selector) -> bool| {
                    let claims = |side: Side| claims_of(&taken, |it| of(&it) && side.is_found_by(it)).len();
                    world().map(claims).max().unwrap_or_default()
                };
                let addresses = most(|it| matches!(it, Selector::Prefix(_)));
                let macs = most(|it| matches!(it, Selector::Mac(_)));
                let vlans = most(|it| matches!(it, Selector::Vlan(_)));
                let reason = left_out.iter().find(|left| left.slot == tenant.slot()).map(|left| left.reason);
                match reason {
                    Some(NoRoom::Places(_)) => prop_assert!(addresses.max(macs).max(vlans) > SLOTS_PER_ADDRESS),
                    Some(reason) => prop_assert_eq!(reason, NoRoom::Together { addresses, macs, vlans }),
                    None => prop_assert!(addresses + macs + vlans <= SLOTS_PER_ADDRESS),
                }
                if reason.is_some() {
                    prop_assert!(addresses + macs + vlans > SLOTS_PER_ADDRESS);
                    taken.pop();
                }
                prop_assert_eq!(desired.terms.contains_key(&tenant.slot), reason.is_none());
            }
            // Each entry says all that is claimed where it is asked, and nothing is there that nobody asked for.
            for (selector, claims) in desired.entries.iter() {
                let holds = |other: Selector| match (other, selector) {
                    (Selector::Prefix(other), Selector::Prefix(prefix)) => other.contains(&prefix),
                    (Selector::Vlan(other), Selector::Vlan(vlan)) => other == vlan || other == vlan.any_inner(),
                    _ => other == selector,
                };
                let held: Vec<_> = claims.iter().collect();
                prop_assert_eq!(held.len(), held.iter().collect::<BTreeSet<_>>().len(), "a place for nothing");
                prop_assert_eq!(held.into_iter().collect::<BTreeSet<_>>(), claims_of(&taken, holds));
                prop_assert!(taken.iter().any(|tenant| tenant.wants.iter().any(|want| want.selector == selector)));
            }
            for want in taken.iter().flat_map(|tenant| &tenant.wants) {
                prop_assert!(desired.entries.holds(want.selector));
            }
            let tables = [Table::V4, Table::V6, Table::Macs, Table::Vlans];
            prop_assert_eq!(tables.map(|it| desired.entries.count(it)).iter().sum::<usize>(), desired.entries.iter().count());
        }

        #[test]
        fn one_warrant_more_disturbs_no_other(tenants in tenants()) {
            let Some((_, before)) = tenants.split_last() else { return Ok(()) };
            let (less, more) = (reconcile(before, AMPLE).desired, reconcile(&tenants, AMPLE).desired);
            for (slot, terms) in &less.terms {
                prop_assert_eq!(more.terms.get(slot), Some(terms));
            }
            for (selector, claims) in less.entries.iter() {
                let after: Vec<_> = more.entries.of(selector).iter().collect();
                prop_assert!(claims.iter().all(|claim| after.contains(&claim)));
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
        assert_eq!(eight.desired.entries.most(Table::V4), 8);
        for ninth in ["192.0.2.0/32", "192.0.2.0/24", "192.0.2.0/31", "2001:db8::7/128", "2001:db8::/48"] {
            tenants.push(tenant(8, &["198.51.100.7/32", ninth]));
            let reconciled = reconcile(&tenants, AMPLE);
            let left_out = LeftOut { slot: SlotRef { slot: 8, generation: 1 }, reason: NoRoom::Places(1) };
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
        let room = Room { v4: 3, v6: 1, ..AMPLE };
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
    fn claims_of_address_mac_address_and_vlan_share_the_eight_places() {
        let vlan = |outer, inner| Want { selector: Selector::Vlan(VlanMatch { outer, inner }), condition: None };
        let mac = |number| Want { selector: Selector::Mac(mac(number)), condition: None };
        let address = |text: &str| Want::from(text.parse::<IpNet>().unwrap());
        let mut tenants: Vec<_> = (0..5).map(|slot| asking(slot, [address("192.0.2.7/32")])).collect();
        tenants.push(asking(5, [mac(1)]));
        tenants.push(asking(6, [vlan(200, VlanMatch::ANY)]));
        tenants.push(asking(7, [vlan(200, 100)]));
        let eight = reconcile(&tenants, AMPLE);
        assert_eq!(eight.left_out, []);
        for (wants, together) in [
            (vec![mac(2)], None),
            (vec![vlan(300, 7), vlan(300, VlanMatch::NONE), address("192.0.2.8/32")], None),
            (vec![mac(1)], Some((5, 2, 2))),
            // Behind the outer tag that is claimed whole: a third claim of these frames.
            (vec![vlan(200, 100)], Some((5, 1, 3))),
            (vec![vlan(200, VlanMatch::ANY)], Some((5, 1, 3))),
            (vec![vlan(200, VlanMatch::NONE)], None),
            (vec![address("192.0.2.0/24")], Some((6, 1, 2))),
        ] {
            tenants.push(asking(8, wants.iter().copied()));
            let reconciled = reconcile(&tenants, AMPLE);
            let reason = together.map(|(addresses, macs, vlans)| NoRoom::Together { addresses, macs, vlans });
            assert_eq!(reconciled.left_out.first().map(|it| it.reason), reason, "{wants:?}");
            if let Some(left_out) = reconciled.left_out.first() {
                assert!(left_out.to_string().contains("the kernel takes 8 together"), "{left_out}");
                assert_eq!(reconciled.desired, eight.desired);
            }
            tenants.pop();
        }
    }

    #[test]
    fn one_condition_takes_one_row_however_many_ask_it_and_a_full_table_refuses_whole() {
        let room = Room { conditions: 2, macs: 1, vlans: 1, ..AMPLE };
        let in_vlan = |text: &str, outer| Want {
            condition: Condition::new(Some(VlanMatch { outer, inner: VlanMatch::NONE }), None, &[]).unwrap(),
            ..Want::from(text.parse::<IpNet>().unwrap())
        };
        let held = asking(0, [in_vlan("192.0.2.1/32", 1), in_vlan("192.0.2.2/32", 1), in_vlan("192.0.2.3/32", 2)]);
        let before = reconcile(std::slice::from_ref(&held), room);
        assert_eq!(before.left_out, []);
        let vlan = |outer| Want { selector: Selector::Vlan(VlanMatch { outer, inner: 7 }), condition: None };
        let mac = |number| Want { selector: Selector::Mac(mac(number)), condition: None };
        for (wants, field) in [
            (vec![in_vlan("192.0.2.4/32", 1), in_vlan("192.0.2.4/32", 2)], None),
            (vec![in_vlan("192.0.2.4/32", 1), in_vlan("192.0.2.5/32", 3)], Some("conditions")),
            (vec![mac(1)], None),
            (vec![mac(1), mac(2)], Some("macs")),
            (vec![vlan(1), vlan(2)], Some("vlans")),
        ] {
            let reconciled = reconcile(&[held.clone(), asking(1, wants)], room);
            let found = reconciled.left_out.first().map(|left_out| left_out.to_string());
            assert_eq!(found.is_some(), field.is_some(), "{found:?}");
            if let (Some(found), Some(field)) = (found, field) {
                assert!(found.contains(&format!("raise tables.{field} ")), "{found}");
                assert_eq!(reconciled.desired, before.desired);
            }
        }
        // What a refused warrant asked takes no row from the next.
        let refused = asking(1, [in_vlan("192.0.2.4/32", 3), in_vlan("192.0.2.5/32", 4)]);
        let next = asking(2, [in_vlan("192.0.2.4/32", 2)]);
        assert_eq!(reconcile(&[held, refused, next], room).left_out.len(), 1);
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
        let terms = |scope, directions| Terms {
            generation: 0,
            revision: 1,
            start_utc_ns: 0,
            stop_utc_ns: 1,
            scope,
            directions,
        };
        let both = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
        assert_eq!(terms(Scope::Content, Directions::Both).flags(), both);
        assert_eq!(terms(Scope::Headers, Directions::From).flags(), PolicyFlags::SOURCE | PolicyFlags::HEADERS_ONLY);
        assert_eq!(terms(Scope::Content, Directions::To).flags(), PolicyFlags::DESTINATION);
    }
}
