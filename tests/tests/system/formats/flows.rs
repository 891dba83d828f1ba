//! Flows of known length: a sender that notes how many packets and octets each direction of a conversation had.

use etherparse::PacketBuilder;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use writ_lab::{Ends, FrameSender};

/// What was counted of one direction of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) packets: u64,
    pub(crate) octets: u64,
}

/// What a packet is of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Udp,
    Tcp,
    /// TCP with FIN.
    LastOfTcp,
}

/// A sender of flows, and what it has sent of each.
pub(crate) struct Flows {
    sender: FrameSender,
    pub(crate) sent: HashMap<Ends, Sum>,
}

/// The ends of a conversation, as the one who begins it sees them. All talk to one peer.
pub(crate) fn conversation(party: &str, port: u16) -> Ends {
    let source: IpAddr = party.parse().expect("an address");
    let destination = match source {
        IpAddr::V4(_) => Ipv4Addr::new(203, 0, 113, 80).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80).into(),
    };
    Ends { source, destination, ports: Some((port, 443)) }
}

/// The other direction.
pub(crate) fn back(Ends { source, destination, ports }: Ends) -> Ends {
    Ends { source: destination, destination: source, ports: ports.map(|(source, destination)| (destination, source)) }
}

impl Flows {
    pub(crate) fn new(sender: FrameSender) -> Self {
        Self { sender, sent: HashMap::new() }
    }

    /// Sends one packet of a flow with so many octets of payload.
    pub(crate) fn send(&mut self, flow: Ends, kind: Kind, payload: usize) {
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let ip = match (flow.source, flow.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), 64),
            (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet.ipv6(source.octets(), destination.octets(), 64),
            _ => unreachable!("a party and its peer are of one family"),
        };
        let (source, destination) = flow.ports.expect("every flow here has ports");
        let (payload, mut frame) = (vec![b'.'; payload], Vec::new());
        match kind {
            Kind::Udp => ip.udp(source, destination).write(&mut frame, &payload),
            Kind::Tcp => ip.tcp(source, destination, 1, 1024).ack(1).write(&mut frame, &payload),
            Kind::LastOfTcp => ip.tcp(source, destination, 1, 1024).ack(1).fin().write(&mut frame, &payload),
        }
        .expect("a vector takes all");
        self.sender.send(&frame).expect("the far end is up");
        let sum = self.sent.entry(flow).or_default();
        sum.packets += 1;
        sum.octets += frame.len() as u64 - 14;
    }

    /// Packets sent in all flows.
    pub(crate) fn packets(&self) -> u64 {
        self.sent.values().map(|sum| sum.packets).sum()
    }
}
