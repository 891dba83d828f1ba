//! The second look: before a frame becomes evidence, its own addresses are compared with the targets of each intercept
//! that the kernel named. A kernel hash map reuses its elements under a reader, so the program could have read the
//! entry of another address; what does not stand this comparison is destroyed, and counted.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use writ_abi::{FrameFlags, FrameHeader, SLOTS_PER_ADDRESS, SlotRef};

/// Which way a packet goes, seen from the subject of the intercept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The source is a target.
    FromSubject,
    /// The destination is a target.
    ToSubject,
}

/// An intercept that wants a packet, after the second look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The intercept.
    pub slot: SlotRef,
    /// Which way the packet goes. Where both sides are targets of the same intercept: from the subject.
    pub direction: Direction,
}

/// The targets of all slots at one moment. Made anew when warrants change, and shared with the workers.
#[derive(Clone, Debug, Default)]
pub struct TargetView {
    slots: Vec<Option<SlotTargets>>,
}

#[derive(Clone, Debug)]
struct SlotTargets {
    generation: u16,
    ranges: Arc<[Range]>,
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
    pub fn set(&mut self, slot: SlotRef, targets: impl IntoIterator<Item = IpNet>) {
        if !slot.is_some() {
            return;
        }
        let index = usize::from(slot.slot);
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        let mut ranges: Vec<_> =
            targets.into_iter().map(|net| Range { first: net.network(), last: net.broadcast() }).collect();
        ranges.sort_unstable_by_key(|range| (range.first, range.last));
        // Prefixes are apart from each other or one lies in the other.
        ranges.dedup_by(|next, kept| {
            let meet = next.first <= kept.last;
            if meet {
                kept.last = kept.last.max(next.last);
            }
            meet
        });
        self.slots[index] = Some(SlotTargets { generation: slot.generation, ranges: ranges.into() });
    }

    /// Empties a slot.
    pub fn remove(&mut self, slot: u16) {
        if let Some(targets) = self.slots.get_mut(usize::from(slot)) {
            *targets = None;
        }
    }

    fn wants(&self, slot: SlotRef, address: IpAddr) -> bool {
        let targets = self.slots.get(usize::from(slot.slot)).and_then(Option::as_ref);
        targets.is_some_and(|targets| {
            let begun = targets.ranges.partition_point(|range| range.first <= address);
            let range = begun.checked_sub(1).and_then(|before| targets.ranges.get(before));
            targets.generation == slot.generation && range.is_some_and(|range| address <= range.last)
        })
    }
}

/// What is left of a frame's hits after the second look.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    hits: [Hit; 2 * SLOTS_PER_ADDRESS],
    length: usize,
    violations: u32,
}

impl Verified {
    /// The intercepts that get the packet, each once.
    pub fn hits(&self) -> &[Hit] {
        self.hits.get(..self.length).unwrap_or_default()
    }

    /// Hits that the kernel named and the packet's addresses do not bear out. Each is an isolation violation averted.
    /// After a revocation the frames that were still in the ring count here too, if the view was renewed before they
    /// were read: renew it after the ring has drained.
    pub fn violations(&self) -> u32 {
        self.violations
    }
}

/// Compares what the kernel said of a frame with the frame's own addresses.
pub fn verify(header: &FrameHeader, frame: &[u8], targets: &TargetView) -> Verified {
    let unused = Hit { slot: SlotRef::NONE, direction: Direction::FromSubject };
    let mut verified = Verified { hits: [unused; 2 * SLOTS_PER_ADDRESS], length: 0, violations: 0 };
    let Some((source, destination)) = addresses(header, frame) else {
        verified.violations = header.source_live.count_ones() + header.destination_live.count_ones();
        return verified;
    };
    verified.side(header.source_live, &header.source, Direction::FromSubject, |slot| targets.wants(slot, source));
    verified.side(header.destination_live, &header.destination, Direction::ToSubject, |slot| {
        targets.wants(slot, destination)
    });
    verified
}

impl Verified {
    fn side(
        &mut self,
        live: u8,
        slots: &[SlotRef; SLOTS_PER_ADDRESS],
        direction: Direction,
        wants: impl Fn(SlotRef) -> bool,
    ) {
        for (bit, &slot) in slots.iter().enumerate() {
            if live & (1 << bit) == 0 {
                continue;
            }
            if !slot.is_some() || !wants(slot) {
                self.violations += 1;
            } else if !self.hits().iter().any(|hit| hit.slot == slot) {
                // There is room: at most one hit for each of the 2 x 8 places.
                if let Some(place) = self.hits.get_mut(self.length) {
                    *place = Hit { slot, direction };
                    self.length += 1;
                }
            }
        }
    }
}

/// Source and destination address as they stand in the frame; `None` if there is no whole IP header where the kernel
/// says there is one.
pub fn addresses(header: &FrameHeader, frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let packet = frame.get(usize::from(header.ip_offset)..)?;
    let version = packet.first()? >> 4;
    if header.flags & FrameFlags::IPV6 == 0 {
        let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
        let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
        (version == 4).then(|| (Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into()))
    } else {
        let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
        let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
        (version == 6).then(|| (Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    const SUBJECT: SlotRef = SlotRef { slot: 2, generation: 5 };
    const OTHER: SlotRef = SlotRef { slot: 7, generation: 1 };

    fn packet(source: [u8; 4], destination: [u8; 4]) -> (FrameHeader, Vec<u8>) {
        let mut frame = vec![0; 14 + 20];
        frame[14] = 0x45;
        frame[26..30].copy_from_slice(&source);
        frame[30..34].copy_from_slice(&destination);
        let mut header = FrameHeader::new_zeroed();
        header.ip_offset = 14;
        header.source = [SlotRef::NONE; SLOTS_PER_ADDRESS];
        header.destination = [SlotRef::NONE; SLOTS_PER_ADDRESS];
        (header, frame)
    }

    fn targets() -> TargetView {
        let mut targets = TargetView::new();
        targets.set(SUBJECT, [IpAddr::from([10, 0, 0, 2]).into(), IpAddr::from([10, 0, 0, 1]).into()]);
        targets.set(OTHER, [IpAddr::from([10, 0, 0, 1]).into()]);
        targets
    }

    #[test]
    fn both_sides_of_one_intercept_are_one_hit_from_the_subject() {
        let (mut header, frame) = packet([10, 0, 0, 1], [10, 0, 0, 2]);
        (header.source[0], header.source[1], header.destination[0]) = (SUBJECT, OTHER, SUBJECT);
        (header.source_live, header.destination_live) = (0b11, 0b1);
        let verified = verify(&header, &frame, &targets());
        let from = |slot| Hit { slot, direction: Direction::FromSubject };
        assert_eq!(verified.hits(), [from(SUBJECT), from(OTHER)]);
        assert_eq!(verified.violations(), 0);
    }

    #[test]
    fn what_the_address_does_not_bear_out_is_destroyed() {
        let (mut header, frame) = packet([10, 0, 0, 2], [10, 0, 0, 9]);
        // The destination is nobody's, the source not that of OTHER.
        (header.source[0], header.source[3], header.destination[0]) = (SUBJECT, OTHER, SUBJECT);
        (header.source_live, header.destination_live) = (0b1001, 0b1);
        let verified = verify(&header, &frame, &targets());
        assert_eq!(verified.hits(), [Hit { slot: SUBJECT, direction: Direction::FromSubject }]);
        assert_eq!(verified.violations(), 2);
    }

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
            assert_eq!(targets.wants(SUBJECT, address.parse().unwrap()), is_target, "{address}");
            assert!(!targets.wants(OTHER, address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_former_owner_of_the_slot_gets_nothing() {
        let (mut header, frame) = packet([10, 0, 0, 9], [10, 0, 0, 1]);
        header.destination[0] = SlotRef { generation: 4, ..SUBJECT };
        header.destination_live = 1;
        let mut targets = targets();
        assert_eq!(
            (verify(&header, &frame, &targets).hits().len(), verify(&header, &frame, &targets).violations()),
            (0, 1)
        );
        header.destination[0] = SUBJECT;
        assert_eq!(verify(&header, &frame, &targets).hits(), [Hit { slot: SUBJECT, direction: Direction::ToSubject }]);
        targets.remove(SUBJECT.slot);
        assert!(verify(&header, &frame, &targets).hits().is_empty());
    }

    #[test]
    fn a_slot_that_is_not_live_is_not_looked_at() {
        let (mut header, frame) = packet([10, 0, 0, 1], [10, 0, 0, 9]);
        (header.source[0], header.source[1]) = (SUBJECT, OTHER);
        header.source_live = 0b10;
        assert_eq!(
            verify(&header, &frame, &targets()).hits(),
            [Hit { slot: OTHER, direction: Direction::FromSubject }]
        );
    }

    #[test]
    fn a_frame_too_short_for_its_addresses_is_destroyed_whole() {
        let (mut header, frame) = packet([10, 0, 0, 1], [10, 0, 0, 2]);
        (header.source[0], header.destination[0]) = (SUBJECT, SUBJECT);
        (header.source_live, header.destination_live) = (1, 1);
        for length in 0..frame.len() {
            let verified = verify(&header, &frame[..length], &targets());
            assert_eq!((verified.hits().len(), verified.violations()), (0, 2), "{length} bytes");
        }
        header.flags = FrameFlags::IPV6;
        assert!(verify(&header, &frame, &targets()).hits().is_empty());
    }
}
