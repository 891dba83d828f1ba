//! Who plays in the packet tests: parties, each with an IPv4 and an IPv6 address, and the intercepts against them.

use crate::reference::World;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use writ_abi::{PolicyFlags, SlotPolicy, SlotRef};
use writ_capture::Tunnel;

/// Somebody with an IPv4 and an IPv6 address; the number is the last byte of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party(pub u8);

/// Under no order.
pub const BYSTANDER: Party = Party(1);
/// Content, both directions: [`CONTENT`].
pub const SUBJECT: Party = Party(10);
/// Another address of the same subject.
pub const SUBJECT_AGAIN: Party = Party(11);
/// Headers only, both directions: [`HEADERS`].
pub const PEN: Party = Party(20);
/// Content, but only what the party sends: [`SENT`].
pub const SENDER: Party = Party(30);
/// Headers only, and only what comes to the party: [`RECEIVED`].
pub const RECEIVER: Party = Party(40);
/// One order wants content and another headers only.
pub const MIXED: Party = Party(50);
/// The order begins tomorrow.
pub const EARLY: Party = Party(60);
/// The order has ended.
pub const EXPIRED: Party = Party(70);
/// The order was stopped by hand.
pub const STOPPED: Party = Party(80);
/// The entry speaks of an earlier owner of the slot.
pub const STALE: Party = Party(90);
/// The entry speaks of a slot that does not exist.
pub const NOWHERE: Party = Party(100);
/// Eight orders: seven headers only, the last one content.
pub const CROWD: Party = Party(110);
/// Two orders, one of them ended: content, and expired.
pub const HALF: Party = Party(120);
/// In a prefix under an order: [`BLOCK`].
pub const RESIDENT: Party = Party(131);
/// In a prefix within that prefix, under another: [`BLOCK`] and [`INNER_BLOCK`].
pub const LODGER: Party = Party(195);
/// In both, and under an order of its own: [`BLOCK`], [`INNER_BLOCK`] and [`HEADERS`].
pub const ROOM: Party = Party(196);
/// The last address before the prefixes.
pub const NEIGHBOUR: Party = Party(127);

/// Slot of a content order.
pub const CONTENT: u16 = 0;
/// Slot of a headers-only order.
pub const HEADERS: u16 = 1;
/// Slot of a content order over what the party sends.
pub const SENT: u16 = 2;
/// Slot of a headers-only order over what comes to the party.
pub const RECEIVED: u16 = 3;
/// Slot of an order that is yet to begin.
pub const FUTURE: u16 = 4;
/// Slot of an order that has ended.
pub const PAST: u16 = 5;
/// Slot of an order that was stopped.
pub const HALTED: u16 = 6;
/// Slot that has another owner by now.
pub const REUSED: u16 = 7;
/// First of the eight slots of [`CROWD`].
pub const CROWDED: u16 = 8;
/// Slot of a headers-only order over the prefixes of [`blocks`].
pub const BLOCK: u16 = 16;
/// Slot of a content order over prefixes within those.
pub const INNER_BLOCK: u16 = 17;

/// Every party.
pub const ALL: [Party; 18] = [
    BYSTANDER,
    SUBJECT,
    SUBJECT_AGAIN,
    PEN,
    SENDER,
    RECEIVER,
    MIXED,
    EARLY,
    EXPIRED,
    STOPPED,
    STALE,
    NOWHERE,
    CROWD,
    HALF,
    RESIDENT,
    LODGER,
    ROOM,
    NEIGHBOUR,
];

impl Party {
    /// The party's IPv4 address.
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.0)
    }

    /// The party's IPv6 address.
    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, self.0.into())
    }

    fn slots(self) -> Vec<u16> {
        match self {
            SUBJECT | SUBJECT_AGAIN => vec![CONTENT],
            PEN | ROOM => vec![HEADERS],
            SENDER => vec![SENT],
            RECEIVER => vec![RECEIVED],
            MIXED => vec![CONTENT, HEADERS],
            EARLY => vec![FUTURE],
            EXPIRED => vec![PAST],
            STOPPED => vec![HALTED],
            STALE => vec![REUSED],
            NOWHERE => vec![999],
            CROWD => (CROWDED..CROWDED + 8).collect(),
            HALF => vec![PAST, CONTENT],
            _ => vec![],
        }
    }
}

/// The prefixes that are targets whole, from [`RESIDENT`] on, and their orders.
fn blocks() -> [(IpNet, SlotRef); 4] {
    let net = |party: Party, (v4, v6)| [(party.v4().into(), v4), (party.v6().into(), v6)];
    let [outer, outer6] = net(Party(128), (25, 121));
    let [inner, inner6] = net(Party(192), (26, 122));
    [(outer, BLOCK), (outer6, BLOCK), (inner, INNER_BLOCK), (inner6, INNER_BLOCK)]
        .map(|((address, length), slot)| (prefix(address, length), reference(slot)))
}

fn prefix(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).expect("no longer than an address")
}

/// A reference to a slot, as the prefix tables hold it.
pub fn reference(slot: u16) -> SlotRef {
    SlotRef { slot, generation: 3 + slot }
}

/// The parties and the intercepts against them. Nothing begins or ends while a test runs.
pub fn world() -> World {
    const BOTH: u32 = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
    // In nanoseconds since the machine started: it has been up for longer than the one and for less than the other.
    let (past, future) = (1, u64::MAX / 2);
    let slots = (0..=INNER_BLOCK).map(|slot| {
        let (start_ns, stop_ns, flags) = match slot {
            CONTENT => (past, future, BOTH),
            HEADERS => (past, future, BOTH | PolicyFlags::HEADERS_ONLY),
            SENT => (past, future, PolicyFlags::SOURCE),
            RECEIVED => (past, future, PolicyFlags::DESTINATION | PolicyFlags::HEADERS_ONLY),
            FUTURE => (future, future + 1, BOTH),
            PAST => (past, past + 1, BOTH),
            HALTED => (past, 0, BOTH),
            REUSED => (past, future, BOTH),
            15 | INNER_BLOCK => (past, future, BOTH),
            _ => (past, future, BOTH | PolicyFlags::HEADERS_ONLY),
        };
        let generation = reference(slot).generation + u16::from(slot == REUSED);
        SlotPolicy { start_ns, stop_ns, flags, generation, reserved: 0 }
    });
    let targets = ALL.iter().flat_map(|party| {
        let slots: Vec<_> = party.slots().into_iter().map(reference).collect();
        let addresses = [IpAddr::from(party.v4()), IpAddr::from(party.v6())];
        addresses.into_iter().filter(|_| !party.slots().is_empty()).map(move |address| (address.into(), slots.clone()))
    });
    let blocks = blocks().into_iter().map(|(prefix, slot)| (prefix, vec![slot]));
    World { targets: targets.chain(blocks).collect(), slots: slots.collect(), look_inside: true, tunnel: Tunnel::None }
}
