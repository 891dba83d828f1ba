//! The targets of every slot, as the second look knows them: made by the capture role from what the control role says,
//! and not read back from the kernel.

use crate::packet::{End, Packet};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use writ_abi::{Condition, Selector, SlotRef};

/// A target of an intercept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// By what its packets are found.
    pub selector: Selector,
    /// What else they have to meet.
    pub condition: Option<Condition>,
}

impl From<IpNet> for Target {
    fn from(prefix: IpNet) -> Self {
        Self { selector: Selector::Prefix(prefix), condition: None }
    }
}

/// The targets of all slots at one moment. Made anew when warrants change, and shared with the workers.
#[derive(Clone, Debug, Default)]
pub struct TargetView {
    slots: Vec<Option<SlotTargets>>,
}

#[derive(Clone, Debug)]
struct SlotTargets {
    generation: u16,
    /// Addresses on no condition.
    ranges: Arc<[Range]>,
    /// All other targets, in order.
    others: Arc<[Target]>,
    /// The lengths of the prefixes among them, in both families.
    lengths: Arc<[u8]>,
}

/// Addresses from the first to the last. The ranges of a slot are sorted and apart from each other.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: IpAddr,
    last: IpAddr,
}

impl TargetView {
    /// A view without targets: nothing passes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the targets of a slot, in place of those it had.
    pub fn set<T: Into<Target>>(&mut self, slot: SlotRef, targets: impl IntoIterator<Item = T>) {
        if !slot.is_some() {
            return;
        }
        let index = usize::from(slot.slot);
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        let (mut ranges, mut others, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for target in targets.into_iter().map(Into::into) {
            match target {
                Target { selector: Selector::Prefix(net), condition: None } => {
                    ranges.push(Range { first: net.network(), last: net.broadcast() });
                }
                Target { selector: Selector::Prefix(net), .. } => {
                    lengths.push(net.prefix_len());
                    others.push(Target { selector: Selector::Prefix(net.trunc()), ..target });
                }
                _ => others.push(target),
            }
        }
        ranges.sort_unstable_by_key(|range| (range.first, range.last));
        // Prefixes are apart from each other or one lies in the other.
        ranges.dedup_by(|next, kept| {
            let meet = next.first <= kept.last;
            if meet {
                kept.last = kept.last.max(next.last);
            }
            meet
        });
        others.sort_unstable();
        lengths.sort_unstable();
        lengths.dedup();
        self.slots[index] = Some(SlotTargets {
            generation: slot.generation,
            ranges: ranges.into(),
            others: others.into(),
            lengths: lengths.into(),
        });
    }

    /// Empties a slot.
    pub fn remove(&mut self, slot: u16) {
        if let Some(targets) = self.slots.get_mut(usize::from(slot)) {
            *targets = None;
        }
    }

    /// Whether one end of a packet is a target of this intercept, by its address or by its MAC address.
    pub(crate) fn wants_end(&self, slot: SlotRef, packet: &Packet<'_>, end: End) -> bool {
        let address = packet.address(end);
        self.of(slot).is_some_and(|targets| {
            targets.covers(address)
                || targets.lengths.iter().filter_map(|length| IpNet::new(address, *length).ok()).any(|net| {
                    let selector = Selector::Prefix(net.trunc());
                    targets.any_of(selector, |condition| meets(condition, packet, end))
                })
                || !packet.is_inner()
                    && !targets.others.is_empty()
                    && packet.mac(end).is_some_and(|mac| {
                        targets.any_of(Selector::Mac(mac), |condition| meets(condition, packet, end))
                    })
        })
    }

    /// Whether the packet's VLAN is a target of this intercept. Nobody knows then which end is the subject.
    pub(crate) fn wants_vlan(&self, slot: SlotRef, packet: &Packet<'_>) -> bool {
        let Some(vlan) = packet.vlan().filter(|_| !packet.is_inner()) else { return false };
        self.of(slot).is_some_and(|targets| {
            [vlan, vlan.any_inner()]
                .into_iter()
                .any(|vlan| targets.any_of(Selector::Vlan(vlan), |condition| meets(condition, packet, End::Source)))
        })
    }

    fn of(&self, slot: SlotRef) -> Option<&SlotTargets> {
        let targets = self.slots.get(usize::from(slot.slot)).and_then(Option::as_ref);
        targets.filter(|targets| targets.generation == slot.generation)
    }
}

impl SlotTargets {
    fn covers(&self, address: IpAddr) -> bool {
        let begun = self.ranges.partition_point(|range| range.first <= address);
        let range = begun.checked_sub(1).and_then(|before| self.ranges.get(before));
        range.is_some_and(|range| address <= range.last)
    }

    /// Whether one of the targets with this selector is content with the rest.
    fn any_of(&self, selector: Selector, meets: impl Fn(Option<&Condition>) -> bool) -> bool {
        let first = self.others.partition_point(|target| target.selector < selector);
        let found = self.others.get(first..).unwrap_or_default().iter().take_while(|it| it.selector == selector);
        found.into_iter().any(|target| meets(target.condition.as_ref()))
    }
}

fn meets(condition: Option<&Condition>, packet: &Packet<'_>, end: End) -> bool {
    let Some(condition) = condition else { return true };
    condition.vlan().is_none_or(|wanted| packet.vlan().is_some_and(|vlan| wanted.means(vlan)))
        && condition.mac().is_none_or(|wanted| packet.mac(end) == Some(wanted))
        && (condition.traffic().is_empty() || condition.traffic().iter().any(|rule| packet.fits(rule, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: SlotRef = SlotRef { slot: 2, generation: 5 };

    #[test]
    fn an_address_in_a_prefix_is_a_target() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let mut targets = TargetView::new();
        // In no order, one inside another, and two side by side.
        let prefixes = ["10.0.8.0/22", "2001:db8::/32", "10.0.9.0/24", "10.0.0.0/30", "10.0.0.4/31"];
        targets.set(SUBJECT, prefixes.map(net));
        for (address, is_target) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.0.0.5", true),
            ("10.0.0.6", false),
            ("10.0.8.0", true),
            ("10.0.11.255", true),
            ("10.0.12.0", false),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
            ("::10.0.0.1", false),
        ] {
            let targets = targets.of(SUBJECT).unwrap();
            assert_eq!(targets.covers(address.parse().unwrap()), is_target, "{address}");
        }
        assert!(targets.of(SlotRef { generation: 6, ..SUBJECT }).is_none());
    }
}
