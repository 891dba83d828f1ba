//! What a target's packets are found by. Fixed addresses, MAC addresses and VLANs stand in the warrant itself; sources that
//! learn leased addresses from signalling come behind the same trait.

use ipnet::IpNet;
use writ_abi::{Condition, MOST_TRAFFIC_RULES, PortSide, Selector, TrafficRule, VlanMatch};
use writ_authority::{Criteria, MacAddress, Target, Vlan};

/// One way to find a target's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Want {
    /// By what.
    pub selector: Selector,
    /// What they must have besides.
    pub condition: Option<Condition>,
}

impl From<IpNet> for Want {
    fn from(prefix: IpNet) -> Self {
        Self { selector: Selector::Prefix(prefix), condition: None }
    }
}

/// A source of knowledge about which packets are whose.
pub trait Bindings {
    /// All that the target's packets are found by now.
    fn wants(&self, target: &Target) -> Vec<Want>;
}

/// What the warrant names and a person confirmed.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedAddresses;

impl Bindings for FixedAddresses {
    fn wants(&self, target: &Target) -> Vec<Want> {
        let (selector, condition) = match &target.criteria {
            Criteria::Address { prefix, mac, vlan, traffic } => (
                Selector::Prefix(prefix.trunc()),
                Condition::new(vlan.map(vlan_match), mac.map(mac_address), &rules(traffic)),
            ),
            Criteria::Mac { mac, vlan, traffic } => {
                (Selector::Mac(mac_address(*mac)), Condition::new(vlan.map(vlan_match), None, &rules(traffic)))
            }
            Criteria::Vlan { vlan, traffic } => {
                (Selector::Vlan(vlan_match(*vlan)), Condition::new(None, None, &rules(traffic)))
            }
        };
        // No warrant has a target with more rules than a condition takes; one that had would find nothing, not too much.
        const { assert!(writ_authority::MOST_TRAFFIC_RULES == MOST_TRAFFIC_RULES) };
        condition.map(|condition| Want { selector, condition }).into_iter().collect()
    }
}

fn mac_address(mac: MacAddress) -> writ_abi::MacAddress {
    writ_abi::MacAddress(mac.octets())
}

fn vlan_match(vlan: Vlan) -> VlanMatch {
    let inner = match vlan {
        Vlan::Single(_) => VlanMatch::NONE,
        Vlan::Pair { inner, .. } => inner.get(),
        Vlan::Outer(_) => VlanMatch::ANY,
    };
    VlanMatch { outer: vlan.outer().get(), inner }
}

fn rules<Side: Copy + Into<writ_authority::PortSide>>(rules: &[writ_authority::TrafficRule<Side>]) -> Vec<TrafficRule> {
    rules
        .iter()
        .map(|rule| {
            let (side, first, last) = rule.ports.map_or((PortSide::NONE, 0, 0), |ports| {
                let side = match ports.side.into() {
                    writ_authority::PortSide::Own => PortSide::OWN,
                    writ_authority::PortSide::Far => PortSide::FAR,
                    writ_authority::PortSide::Either => PortSide::EITHER,
                };
                (side, ports.first, ports.last)
            });
            TrafficRule { protocol: rule.protocol, side, first, last, reserved: 0 }
        })
        .collect()
}
