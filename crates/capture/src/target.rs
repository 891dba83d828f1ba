//! The targets of every slot, as the second look knows them: made by the capture role from what the control role says,
//! and not read back from the kernel.

use crate::packet::{Address, End, Packet};
use ipnet::IpNet;
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
    /// Addresses on no condition, as numbers.
    v4: Arc<[Range<u32>]>,
    v6: Arc<[Range<u128>]>,
    /// All other targets, in order.
    others: Arc<[Target]>,
    /// The lengths of the prefixes among them, in both families.
    lengths: Arc<[u8]>,
}

/// Addresses from the first to the last. The ranges of a slot are sorted and apart from each other.
#[derive(Clone, Copy, Debug)]
struct Range<T> {
    first: T,
    last: T,
}

impl<T: Copy + Ord> Range<T> {
    /// Puts ranges in order. They are those of prefixes, which are apart from each other or lie one in the other.
    fn sorted(mut ranges: Vec<Self>) -> Arc<[Self]> {
        ranges.sort_unstable_by_key(|range| (range.first, range.last));
        ranges.dedup_by(|next, kept| {
            let meet = next.first <= kept.last;
            if meet {
                kept.last = kept.last.max(next.last);
            }
            meet
        });
        ranges.into()
    }

    #[inline]
    fn any_covers(ranges: &[Self], address: T) -> bool {
        let begun = ranges.partition_point(|range| range.first <= address);
        let range = begun.checked_sub(1).and_then(|before| ranges.get(before));
        range.is_some_and(|range| address <= range.last)
    }
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
        let (mut v4, mut v6, mut others, mut lengths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for target in targets.into_iter().map(Into::into) {
            match target {
                Target { selector: Selector::Prefix(IpNet::V4(net)), condition: None } => {
                    v4.push(Range { first: net.network().to_bits(), last: net.broadcast().to_bits() });
                }
                Target { selector: Selector::Prefix(IpNet::V6(net)), condition: None } => {
                    v6.push(Range { first: net.network().to_bits(), last: net.broadcast().to_bits() });
                }
                Target { selector: Selector::Prefix(net), .. } => {
                    lengths.push(net.prefix_len());
                    others.push(Target { selector: Selector::Prefix(net.trunc()), ..target });
                }
                _ => others.push(target),
            }
        }
        others.sort_unstable();
        lengths.sort_unstable();
        lengths.dedup();
        self.slots[index] = Some(SlotTargets {
            generation: slot.generation,
            v4: Range::sorted(v4),
            v6: Range::sorted(v6),
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
    #[inline]
    pub(crate) fn wants_end(&self, slot: SlotRef, packet: &Packet<'_>, end: End) -> bool {
        self.of(slot).is_some_and(|targets| targets.covers(packet.address(end)) || targets.want_end(packet, end))
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

    #[inline]
    fn of(&self, slot: SlotRef) -> Option<&SlotTargets> {
        let targets = self.slots.get(usize::from(slot.slot)).and_then(Option::as_ref);
        targets.filter(|targets| targets.generation == slot.generation)
    }
}

impl SlotTargets {
    #[inline]
    fn covers(&self, address: Address) -> bool {
        match address {
            Address::V4(v4) => Range::any_covers(&self.v4, v4),
            Address::V6(v6) => Range::any_covers(&self.v6, v6),
        }
    }

    /// Whether one of the other targets is this end of a packet.
    fn want_end(&self, packet: &Packet<'_>, end: End) -> bool {
        let any_of = |selector| self.any_of(selector, |condition| meets(condition, packet, end));
        let prefixes = self.lengths.iter().filter_map(|length| IpNet::new(packet.address(end).into(), *length).ok());
        prefixes.map(|net| Selector::Prefix(net.trunc())).any(any_of)
            || !packet.is_inner()
                && !self.others.is_empty()
                && packet.mac(end).is_some_and(|mac| any_of(Selector::Mac(mac)))
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
    use std::net::IpAddr;

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
            let number = match address.parse().unwrap() {
                IpAddr::V4(v4) => Address::V4(v4.to_bits()),
                IpAddr::V6(v6) => Address::V6(v6.to_bits()),
            };
            assert_eq!(targets.covers(number), is_target, "{address}");
        }
        assert!(targets.of(SlotRef { generation: 6, ..SUBJECT }).is_none());
    }
}
