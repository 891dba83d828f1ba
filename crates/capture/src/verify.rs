//! The second look: before a frame becomes evidence, its own addresses are compared with the targets of each intercept
//! that the kernel named, and so are its VLAN, its MAC addresses and its ports where these are part of the target. A
//! kernel hash map reuses its elements under a reader, so the program could have read the entry of another address; what
//! does not stand this comparison is destroyed, and counted.

use crate::packet::{End, Packet};
use crate::target::TargetView;
use writ_abi::{FrameHeader, SLOTS_PER_ADDRESS, SlotRef};

/// Which way a packet goes, seen from the subject of the intercept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The source is a target.
    FromSubject,
    /// The destination is a target.
    ToSubject,
    /// The packet is of a target's VLAN, which says nothing of who sends.
    Unknown,
}

/// An intercept that wants a packet, after the second look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The intercept.
    pub slot: SlotRef,
    /// Which way the packet goes. Where both ends are targets of the same intercept: from the subject. Unknown only where
    /// neither is.
    pub direction: Direction,
}

/// What is left of a frame's hits after the second look.
#[derive(Clone, Copy, Debug)]
pub struct Verified {
    hits: [Hit; 2 * SLOTS_PER_ADDRESS],
    length: usize,
    violations: u32,
}

impl Verified {
    const NONE: Self = Self {
        hits: [Hit { slot: SlotRef::NONE, direction: Direction::FromSubject }; 2 * SLOTS_PER_ADDRESS],
        length: 0,
        violations: 0,
    };

    /// The intercepts that get the packet, each once.
    #[inline]
    pub fn hits(&self) -> &[Hit] {
        self.hits.get(..self.length).unwrap_or_default()
    }

    /// Hits that the kernel named and the packet's addresses do not bear out. Each is an isolation violation averted.
    /// After a revocation the frames that were still in the ring count here too, if the view was renewed before they
    /// were read: renew it after the ring has drained.
    #[inline]
    pub fn violations(&self) -> u32 {
        self.violations
    }
}

/// Compares what the kernel said of a frame with the frame itself.
#[inline]
pub fn verify(header: &FrameHeader, frame: &[u8], targets: &TargetView) -> Verified {
    let mut verified = Verified::NONE;
    let Some(packet) = Packet::read(header, frame) else {
        verified.violations = header.source_live.count_ones() + header.destination_live.count_ones();
        return verified;
    };
    let (directed, undirected) = (header.source_live & !header.undirected, header.source_live & header.undirected);
    verified
        .side(directed, &header.source, Direction::FromSubject, |slot| targets.wants_end(slot, &packet, End::Source));
    verified.side(header.destination_live, &header.destination, Direction::ToSubject, |slot| {
        targets.wants_end(slot, &packet, End::Destination)
    });
    // Last: who is known by an end as well is not here.
    verified.side(undirected, &header.source, Direction::Unknown, |slot| targets.wants_vlan(slot, &packet));
    verified
}

impl Verified {
    #[inline]
    fn side(
        &mut self,
        live: u8,
        slots: &[SlotRef; SLOTS_PER_ADDRESS],
        direction: Direction,
        wants: impl Fn(SlotRef) -> bool,
    ) {
        let mut left = live;
        // Of sixteen places a packet mostly has one.
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(&slot) = slots.get(place) else { return };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;
    use ipnet::IpNet;
    use std::net::IpAddr;
    use writ_abi::{Condition, FrameFlags, MacAddress, PortSide, Selector, TrafficRule, VlanMatch};
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
        targets.set(SUBJECT, [[10, 0, 0, 2], [10, 0, 0, 1]].map(|address| IpNet::from(IpAddr::from(address))));
        targets.set(OTHER, [IpNet::from(IpAddr::from([10, 0, 0, 1]))]);
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

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 7]);

    /// A UDP packet from 10.0.0.1 and [`MAC`] to 10.0.0.2, port 1000 to 25, in VLAN 100 within 200.
    fn tagged() -> (FrameHeader, Vec<u8>) {
        let (mut header, packet) = packet([10, 0, 0, 1], [10, 0, 0, 2]);
        let link = [&[2, 0, 0, 0, 0, 9][..], &MAC.0, &[0x88, 0xa8, 0, 200, 0x81, 0, 0x20, 100, 8, 0]].concat();
        let frame = [&link[..], &packet[14..], &[3, 232, 0, 25, 0, 8, 0, 0]].concat();
        (header.ip_offset, header.transport_offset) = (22, 42);
        header.protocol = 17;
        header.flags = FrameFlags::TRANSPORT;
        header.source[0] = SUBJECT;
        (header, frame)
    }

    #[test]
    fn each_part_of_a_target_is_looked_at_again() {
        let rule = |protocol, side, port| TrafficRule { protocol, side, first: port, last: port, reserved: 0 };
        let vlan = |outer, inner| VlanMatch { outer, inner };
        let address = Selector::Prefix(IpNet::from(IpAddr::from([10, 0, 0, 1])));
        let [own, far] = [PortSide::OWN, PortSide::FAR];
        for (selector, in_vlan, at_mac, rules, stands) in [
            (address, Some(vlan(200, 100)), Some(MAC), vec![rule(17, far, 25)], true),
            (address, Some(vlan(200, VlanMatch::ANY)), None, vec![rule(6, far, 25), rule(17, own, 1000)], true),
            (address, Some(vlan(200, 101)), None, vec![], false),
            (address, Some(vlan(200, VlanMatch::NONE)), None, vec![], false),
            (address, None, Some(MacAddress([2, 0, 0, 0, 0, 9])), vec![], false),
            (address, None, None, vec![rule(17, own, 25)], false),
            (address, None, None, vec![rule(17, far, 26)], false),
            (address, None, None, vec![rule(6, PortSide::NONE, 0)], false),
            (Selector::Mac(MAC), None, None, vec![rule(17, PortSide::EITHER, 25)], true),
            (Selector::Mac(MAC), Some(vlan(100, VlanMatch::ANY)), None, vec![], false),
            (Selector::Mac(MacAddress([2, 0, 0, 0, 0, 9])), None, None, vec![], false),
            (Selector::Vlan(vlan(200, 100)), None, None, vec![], false),
        ] {
            let condition = Condition::new(in_vlan, at_mac, &rules).unwrap();
            let mut targets = TargetView::new();
            targets.set(SUBJECT, [Target { selector, condition }]);
            let (mut header, frame) = tagged();
            header.source_live = 1;
            let verified = verify(&header, &frame, &targets);
            assert_eq!((verified.hits().len() == 1, verified.violations() == 0), (stands, stands), "{targets:?}");
        }
    }

    #[test]
    fn a_vlan_has_no_direction_unless_an_address_gives_it_one() {
        let vlan = |outer, inner| Selector::Vlan(VlanMatch { outer, inner });
        let (mut header, frame) = tagged();
        (header.source_live, header.undirected) = (1, 1);
        let hits = |header: &FrameHeader, targets: &[Target]| {
            let mut view = TargetView::new();
            view.set(SUBJECT, targets.iter().copied());
            let verified = verify(header, &frame, &view);
            (verified.hits().first().map(|hit| hit.direction), verified.violations())
        };
        let target = |selector| Target { selector, condition: None };
        for selector in [vlan(200, 100), vlan(200, VlanMatch::ANY)] {
            assert_eq!(hits(&header, &[target(selector)]), (Some(Direction::Unknown), 0));
        }
        assert_eq!(hits(&header, &[target(vlan(200, VlanMatch::NONE))]), (None, 1));
        let address = Target::from(IpNet::from(IpAddr::from([10, 0, 0, 2])));
        // Its address is no reason to take what the kernel says was found by the VLAN.
        assert_eq!(hits(&header, &[address]), (None, 1));
        (header.destination[0], header.destination_live) = (SUBJECT, 1);
        let both = [target(vlan(200, 100)), address];
        assert_eq!(hits(&header, &both), (Some(Direction::ToSubject), 0));
        // Within another packet only addresses count.
        header.flags |= FrameFlags::INNER;
        assert_eq!(hits(&header, &both), (Some(Direction::ToSubject), 1));
    }

    #[test]
    fn a_later_fragment_is_held_to_its_protocol() {
        let (mut header, frame) = tagged();
        header.flags = FrameFlags::FRAGMENT;
        header.source_live = 1;
        for (protocol, stands) in [(17, true), (6, false)] {
            let rule = TrafficRule { protocol, side: PortSide::FAR, first: 25, last: 25, reserved: 0 };
            let mut view = TargetView::new();
            let selector = Selector::Prefix(IpNet::from(IpAddr::from([10, 0, 0, 1])));
            view.set(SUBJECT, [Target { selector, condition: Condition::new(None, None, &[rule]).unwrap() }]);
            assert_eq!(verify(&header, &frame, &view).hits().len() == 1, stands);
        }
    }
}
