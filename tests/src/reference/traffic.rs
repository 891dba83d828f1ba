//! Whether a packet is of a kind of traffic, and whose later fragments follow a first one.
//!
//! Sources: RFC 791 section 3.2 and RFC 8200 section 4.5 (what fragments of one packet share, and how long a receiver waits
//! for them); the operator's manual for all else.

use super::packet::{Anatomy, addresses};
use std::collections::HashMap;
use std::net::IpAddr;
use writ_abi::{PortSide, SlotRef, TrafficRule};

/// No receiver waits longer for the rest of a packet, in nanoseconds.
const PATIENCE: u64 = 60_000_000_000;

/// What can be said of a packet and a target's kinds of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// By its ports.
    Ports,
    /// By its protocol.
    Protocol,
    /// What would decide cannot be read.
    Unknown,
    /// It is of another kind.
    No,
}

/// `own`: 0 if the target is the source, 1 if it is the destination.
pub(super) fn fit(rules: &[TrafficRule], anatomy: &Anatomy, packet: &[u8], own: usize) -> Fit {
    let ports = anatomy.ports(packet);
    let mut of_protocol = rules.iter().filter(|rule| rule.protocol == anatomy.protocol).peekable();
    let by_ports = |rule: &&TrafficRule| {
        let Some(ports) = ports else { return false };
        let asked: &[u16] = match rule.side {
            PortSide::OWN => &[ports[own]],
            PortSide::FAR => &[ports[1 - own]],
            PortSide::EITHER => &ports,
            _ => &[],
        };
        asked.iter().any(|port| rule.first <= *port && *port <= rule.last)
    };
    if of_protocol.clone().any(|rule| by_ports(&rule)) {
        Fit::Ports
    } else if of_protocol.clone().any(|rule| rule.side == PortSide::NONE) {
        Fit::Protocol
    } else if anatomy.ends_early(packet) || ports.is_none() && of_protocol.peek().is_some() {
        Fit::Unknown
    } else {
        Fit::No
    }
}

/// What the fragments of a packet share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Whole {
    ends: [IpAddr; 2],
    identification: u32,
    /// Of IPv4 only.
    protocol: Option<u8>,
}

impl Whole {
    fn of(anatomy: &Anatomy, packet: &[u8]) -> Self {
        let protocol = (packet[0] >> 4 == 4).then_some(packet[9]);
        Self { ends: addresses(packet), identification: anatomy.identification, protocol }
    }
}

/// The packets whose first fragments were taken for their ports. There is room for all that a test shows.
#[derive(Clone, Debug, Default)]
pub struct Fragments {
    firsts: HashMap<Whole, (u64, [Vec<SlotRef>; 2])>,
}

impl Fragments {
    /// A packet that some got for its ports: by the source, and by the destination.
    pub(super) fn remember(&mut self, anatomy: &Anatomy, packet: &[u8], now: u64, got: [Vec<SlotRef>; 2]) {
        if anatomy.fragment && got.iter().any(|side| !side.is_empty()) {
            self.firsts.insert(Whole::of(anatomy, packet), (now, got));
        }
    }

    /// Whether this is the rest of a packet whose first fragment this intercept got on this side.
    pub(super) fn follows(&self, anatomy: &Anatomy, packet: &[u8], now: u64, side: usize, slot: SlotRef) -> bool {
        anatomy.is_later_fragment()
            && self
                .firsts
                .get(&Whole::of(anatomy, packet))
                .is_some_and(|(begun, got)| now - begun < PATIENCE && got[side].contains(&slot))
    }
}
