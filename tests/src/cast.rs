//! Who plays in the packet tests: parties, each with an IPv4 and an IPv6 address, lines with a MAC address or a VLAN, and
//! the intercepts against them.

use crate::reference::World;
use crate::stack::protocol;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use writ_abi::{
    Claim, Condition, MacAddress, PolicyFlags, PortSide, Selector, SlotPolicy, SlotRef, TrafficRule, VlanMatch,
};
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

/// Of its packets [`MAIL`] wants TCP to ports 25 and 587 to 590 of the far end, and UDP of its own port 5060.
pub const MAILER: Party = Party(12);
/// Wanted in VLAN 100, and in whatever is within VLAN 200, by [`WITHIN`].
pub const TAGGED: Party = Party(13);
/// Wanted behind [`HOME`], by [`WITHIN`].
pub const HOUSED: Party = Party(14);
/// Of its packets [`MAIL`] wants ICMP, ICMPv6 and GRE.
pub const PINGER: Party = Party(15);
/// [`MAIL`] wants SCTP of port 2905, at either end, in VLAN 100 and behind [`HOME`].
pub const CALLER: Party = Party(16);
/// [`MAIL`] wants its name look-ups, [`HEADERS`] the headers of all.
pub const ASKER: Party = Party(17);
/// [`SENT`] wants TCP to port 80 of the far end, [`RECEIVED`] TCP of its own port 80.
pub const SURFER: Party = Party(18);

/// Under [`LINE`].
pub const MODEM: MacAddress = MacAddress([2, 0, 0x5e, 0x10, 0, 1]);
/// Under [`LINE`] in VLAN 100, and under [`PEN_LINE`] everywhere.
pub const ROUTER: MacAddress = MacAddress([2, 0, 0x5e, 0x10, 0, 2]);
/// Under no order by itself.
pub const HOME: MacAddress = MacAddress([2, 0, 0x5e, 0x10, 0, 3]);
/// Under [`ONE_WAY`], which wants what it sends.
pub const TALKER: MacAddress = MacAddress([2, 0, 0x5e, 0x10, 0, 4]);
/// The MAC addresses of the play.
pub const MACS: [MacAddress; 4] = [MODEM, ROUTER, HOME, TALKER];
/// The VLANs of the play, and some beside them.
pub const VLANS: [u16; 9] = [0, 100, 200, 300, 400, 500, 600, 700, 4095];

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
/// Slot of a content order over MAC addresses and over the VLANs 300, 400.* and 700.
pub const LINE: u16 = 18;
/// Slot of a headers-only order over a MAC address and over the VLANs 400.100 and 700.
pub const PEN_LINE: u16 = 19;
/// Slot of a content order over kinds of traffic, in VLAN 500 too.
pub const MAIL: u16 = 20;
/// Slot of a content order over addresses in VLANs.
pub const WITHIN: u16 = 21;
/// Slot of an order over what is sent from a MAC address; a VLAN, 600, has no direction that it could want.
pub const ONE_WAY: u16 = 22;

/// Every party.
pub const ALL: [Party; 25] = [
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
    MAILER,
    TAGGED,
    HOUSED,
    PINGER,
    CALLER,
    ASKER,
    SURFER,
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

    fn claims(self) -> Vec<Claim> {
        let [any, own, far, either] = [PortSide::NONE, PortSide::OWN, PortSide::FAR, PortSide::EITHER];
        let conditional = match self {
            MAILER => {
                let rules = [
                    rule(protocol::TCP, far, 25, 25),
                    rule(protocol::TCP, far, 587, 590),
                    rule(protocol::UDP, own, 5060, 5060),
                ];
                vec![claim(MAIL, None, None, &rules)]
            }
            TAGGED => [vlan(100, VlanMatch::NONE), vlan(200, VlanMatch::ANY)]
                .map(|vlan| claim(WITHIN, Some(vlan), None, &[]))
                .to_vec(),
            HOUSED => vec![claim(WITHIN, None, Some(HOME), &[])],
            PINGER => {
                let rules = [protocol::ICMP, protocol::ICMPV6, protocol::GRE].map(|number| rule(number, any, 0, 0));
                vec![claim(MAIL, None, None, &rules)]
            }
            CALLER => {
                let rules = [rule(protocol::SCTP, either, 2905, 2905)];
                vec![claim(MAIL, Some(vlan(100, VlanMatch::NONE)), Some(HOME), &rules)]
            }
            ASKER => {
                vec![claim(MAIL, None, None, &[rule(protocol::UDP, far, 53, 53)]), claim(HEADERS, None, None, &[])]
            }
            SURFER => vec![
                claim(SENT, None, None, &[rule(protocol::TCP, far, 80, 80)]),
                claim(RECEIVED, None, None, &[rule(protocol::TCP, own, 80, 80)]),
            ],
            _ => vec![],
        };
        let unconditional = self.slots().into_iter().map(|slot| claim(slot, None, None, &[]));
        conditional.into_iter().chain(unconditional).collect()
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
fn blocks() -> [(Selector, Vec<Claim>); 4] {
    let net = |party: Party, (v4, v6)| [(party.v4().into(), v4), (party.v6().into(), v6)];
    let [outer, outer6] = net(Party(128), (25, 121));
    let [inner, inner6] = net(Party(192), (26, 122));
    [(outer, BLOCK), (outer6, BLOCK), (inner, INNER_BLOCK), (inner6, INNER_BLOCK)]
        .map(|((address, length), slot)| (prefix(address, length), vec![claim(slot, None, None, &[])]))
}

/// The targets that are no addresses.
fn lines() -> [(Selector, Vec<Claim>); 9] {
    let all = |slot| claim(slot, None, None, &[]);
    let web = [rule(protocol::TCP, PortSide::EITHER, 80, 80), rule(protocol::ICMP, PortSide::NONE, 0, 0)];
    [
        (Selector::Mac(MODEM), vec![all(LINE)]),
        (Selector::Mac(ROUTER), vec![claim(LINE, Some(vlan(100, VlanMatch::NONE)), None, &[]), all(PEN_LINE)]),
        (Selector::Mac(TALKER), vec![all(ONE_WAY)]),
        (Selector::Vlan(vlan(300, VlanMatch::NONE)), vec![all(LINE)]),
        (Selector::Vlan(vlan(400, VlanMatch::ANY)), vec![all(LINE)]),
        (Selector::Vlan(vlan(400, 100)), vec![all(PEN_LINE)]),
        (Selector::Vlan(vlan(500, VlanMatch::NONE)), vec![claim(MAIL, None, None, &web)]),
        (Selector::Vlan(vlan(600, VlanMatch::NONE)), vec![all(ONE_WAY)]),
        (Selector::Vlan(vlan(700, VlanMatch::NONE)), vec![all(PEN_LINE), all(LINE)]),
    ]
}

fn prefix(address: IpAddr, length: u8) -> Selector {
    Selector::Prefix(IpNet::new(address, length).expect("no longer than an address"))
}

fn vlan(outer: u16, inner: u16) -> VlanMatch {
    VlanMatch { outer, inner }
}

fn rule(protocol: u8, side: u8, first: u16, last: u16) -> TrafficRule {
    TrafficRule { protocol, side, first, last, reserved: 0 }
}

fn claim(slot: u16, vlan: Option<VlanMatch>, mac: Option<MacAddress>, traffic: &[TrafficRule]) -> Claim {
    Claim { slot: reference(slot), condition: Condition::new(vlan, mac, traffic).expect("few rules") }
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
    let slots = (0..=ONE_WAY).map(|slot| {
        let (start_ns, stop_ns, flags) = match slot {
            CONTENT => (past, future, BOTH),
            HEADERS => (past, future, BOTH | PolicyFlags::HEADERS_ONLY),
            SENT => (past, future, PolicyFlags::SOURCE),
            RECEIVED => (past, future, PolicyFlags::DESTINATION | PolicyFlags::HEADERS_ONLY),
            FUTURE => (future, future + 1, BOTH),
            PAST => (past, past + 1, BOTH),
            HALTED => (past, 0, BOTH),
            REUSED => (past, future, BOTH),
            15 | INNER_BLOCK | LINE | MAIL | WITHIN => (past, future, BOTH),
            ONE_WAY => (past, future, PolicyFlags::SOURCE),
            _ => (past, future, BOTH | PolicyFlags::HEADERS_ONLY),
        };
        let generation = reference(slot).generation + u16::from(slot == REUSED);
        SlotPolicy { start_ns, stop_ns, flags, generation, reserved: 0 }
    });
    let targets = ALL.iter().flat_map(|party| {
        let addresses = [(party.v4().into(), 32), (party.v6().into(), 128)];
        let claims = party.claims();
        let is_target = !claims.is_empty();
        let claims = addresses.map(|(address, length)| (prefix(address, length), claims.clone()));
        claims.into_iter().filter(move |_| is_target)
    });
    let targets: BTreeMap<_, _> = targets.chain(blocks()).chain(lines()).collect();
    World { targets, slots: slots.collect(), look_inside: true, tunnel: Tunnel::None }
}

/// The same play without the targets that are no addresses.
pub fn world_of_addresses() -> World {
    let mut world = world();
    world.targets.retain(|selector, _| matches!(selector, Selector::Prefix(_)));
    world
}
