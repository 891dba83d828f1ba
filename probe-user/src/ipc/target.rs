//! Targets and claims as messages carry them: what a packet is found by, what it must be besides, and who wants it. The
//! kernel's own forms, in which unused places count, do not travel.

use super::message::SlotName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use writ_abi::{Claim, Condition, MacAddress, Selector, TrafficRule, VlanMatch};
use writ_capture::Target;
use writ_identity::Want;

/// A target of an intercept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArmedTarget {
    /// What its packets are found by.
    #[serde(with = "selector")]
    pub selector: Selector,
    /// What they must be besides.
    #[serde(with = "condition", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

impl From<Want> for ArmedTarget {
    fn from(want: Want) -> Self {
        Self { selector: want.selector, condition: want.condition }
    }
}

impl From<ArmedTarget> for Target {
    fn from(target: ArmedTarget) -> Self {
        Self { selector: target.selector, condition: target.condition }
    }
}

impl From<IpNet> for ArmedTarget {
    fn from(prefix: IpNet) -> Self {
        Self { selector: Selector::Prefix(prefix), condition: None }
    }
}

impl From<IpAddr> for ArmedTarget {
    fn from(address: IpAddr) -> Self {
        IpNet::from(address).into()
    }
}

impl ArmedTarget {
    /// Bytes that it has in a message, at most.
    pub fn bytes(&self) -> usize {
        SELECTOR_BYTES + condition_bytes(self.condition.as_ref())
    }
}

/// An intercept's claim on what a selector finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotClaim {
    /// The intercept.
    pub slot: SlotName,
    /// What the packets must be besides.
    #[serde(with = "condition", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

impl From<Claim> for SlotClaim {
    fn from(claim: Claim) -> Self {
        Self { slot: claim.slot.into(), condition: claim.condition }
    }
}

impl From<SlotClaim> for Claim {
    fn from(claim: SlotClaim) -> Self {
        Self { slot: claim.slot.into(), condition: claim.condition }
    }
}

/// An entry of the kernel's tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundSelector {
    /// What packets are found by.
    #[serde(with = "selector")]
    pub selector: Selector,
    /// Who claims them: its own claims, and those of every wider selector that it lies in.
    pub claims: Vec<SlotClaim>,
}

impl BoundSelector {
    /// Bytes that it has in a message, at most.
    pub fn bytes(&self) -> usize {
        let claims = self.claims.iter().map(|claim| CLAIM_BYTES + condition_bytes(claim.condition.as_ref()));
        SELECTOR_BYTES + claims.sum::<usize>()
    }
}

/// A selector in a message, with its name: an IPv6 prefix of 43 characters and what is around it.
const SELECTOR_BYTES: usize = 100;
/// A claim in a message, with its names.
const CLAIM_BYTES: usize = 60;

fn condition_bytes(condition: Option<&Condition>) -> usize {
    // `"condition":` with a VLAN and a MAC address; `[132,3,65535,65535],` for each rule.
    condition.map_or(0, |condition| 80 + 20 * condition.traffic().len())
}

/// As one of `{"prefix":..}`, `{"mac":..}`, `{"vlan":[outer,inner]}`.
pub(super) mod selector {
    use super::{Deserialize, IpNet, MacAddress, Selector, Serialize, VlanMatch};
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Form {
        Prefix(IpNet),
        Mac([u8; 6]),
        Vlan(u16, u16),
    }

    pub(in crate::ipc) fn serialize<S: Serializer>(selector: &Selector, serializer: S) -> Result<S::Ok, S::Error> {
        match *selector {
            Selector::Prefix(prefix) => Form::Prefix(prefix),
            Selector::Mac(MacAddress(octets)) => Form::Mac(octets),
            Selector::Vlan(VlanMatch { outer, inner }) => Form::Vlan(outer, inner),
        }
        .serialize(serializer)
    }

    pub(in crate::ipc) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Selector, D::Error> {
        Ok(match Form::deserialize(deserializer)? {
            Form::Prefix(prefix) => Selector::Prefix(prefix),
            Form::Mac(octets) => Selector::Mac(MacAddress(octets)),
            Form::Vlan(outer, inner) => Selector::Vlan(VlanMatch { outer, inner }),
        })
    }
}

/// As `[vlan, mac, [[protocol, side, first, last], ..]]`.
mod condition {
    use super::{Condition, Deserialize, MacAddress, Serialize, TrafficRule, VlanMatch};
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    type Form = (Option<(u16, u16)>, Option<[u8; 6]>, Vec<(u8, u8, u16, u16)>);

    pub(super) fn serialize<S: Serializer>(condition: &Option<Condition>, serializer: S) -> Result<S::Ok, S::Error> {
        let form: Option<Form> = condition.as_ref().map(|condition| {
            let rules = condition.traffic().iter().map(|rule| (rule.protocol, rule.side, rule.first, rule.last));
            (
                condition.vlan().map(|vlan| (vlan.outer, vlan.inner)),
                condition.mac().map(|MacAddress(octets)| octets),
                rules.collect(),
            )
        });
        form.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Condition>, D::Error> {
        let Some((vlan, mac, rules)) = Option::<Form>::deserialize(deserializer)? else { return Ok(None) };
        let rules: Vec<_> = rules
            .into_iter()
            .map(|(protocol, side, first, last)| TrafficRule { protocol, side, first, last, reserved: 0 })
            .collect();
        let vlan = vlan.map(|(outer, inner)| VlanMatch { outer, inner });
        let condition = Condition::new(vlan, mac.map(MacAddress), &rules);
        // One that asks nothing would be one that is met by everything: nobody sends that.
        condition.ok().flatten().map(Some).ok_or_else(|| D::Error::custom("a condition of nothing, or of too much"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::Ipv6Addr;
    use writ_abi::{MOST_TRAFFIC_RULES, PortSide, SlotRef};

    /// A target that needs as many bytes as any.
    pub(crate) fn longest() -> ArmedTarget {
        let rules: Vec<_> = (0..MOST_TRAFFIC_RULES as u16)
            .map(|i| TrafficRule {
                protocol: 132,
                side: PortSide::EITHER,
                first: 65_500,
                last: 65_500 + i,
                reserved: 0,
            })
            .collect();
        let vlan = VlanMatch { outer: 4094, inner: VlanMatch::ANY };
        let condition = Condition::new(Some(vlan), Some(MacAddress([254; 6])), &rules).unwrap();
        ArmedTarget { selector: Selector::Prefix(IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)).into()), condition }
    }

    #[test]
    fn targets_and_claims_arrive_as_they_were_sent_and_are_no_longer_than_they_say() {
        let slot = SlotRef { slot: u16::MAX, generation: u16::MAX };
        let vlan = Selector::Vlan(VlanMatch { outer: 200, inner: VlanMatch::NONE });
        let selectors = [longest().selector, Selector::Mac(MacAddress([2, 0, 0x5e, 0x10, 0, 255])), vlan];
        let in_vlan = Condition::new(Some(VlanMatch { outer: 1, inner: 2 }), None, &[]).unwrap();
        for selector in selectors {
            for condition in [None, in_vlan, longest().condition] {
                let target = ArmedTarget { selector, condition };
                let text = serde_json::to_string(&target).unwrap();
                assert!(text.len() < target.bytes(), "{text}");
                assert_eq!(serde_json::from_str::<ArmedTarget>(&text).unwrap(), target);
                let claims = vec![Claim { slot, condition }.into(); 8];
                let bound = BoundSelector { selector, claims };
                let text = serde_json::to_string(&bound).unwrap();
                assert!(text.len() < bound.bytes(), "{text}");
                assert_eq!(serde_json::from_str::<BoundSelector>(&text).unwrap(), bound);
            }
        }
        let nothing = r#"{"selector":{"mac":[2,0,0,0,0,1]},"condition":[null,null,[]]}"#;
        assert!(serde_json::from_str::<ArmedTarget>(nothing).is_err());
    }
}
