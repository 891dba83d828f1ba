//! Which of a target's packets an order wants, where it does not want all: transport protocols and their ports.

use crate::document::{Section, Wrong};
use crate::error::Fault;
use std::fmt;

/// How many kinds of traffic a target can name; each range of ports is one. The kernel's condition has as many places.
pub const MOST_TRAFFIC_RULES: usize = 16;

/// Protocols by the names that documents use.
const NAMES: [(&str, u8); 5] = [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmpv6", 58), ("sctp", 132)];
/// Protocols that have ports: TCP, UDP, SCTP.
const WITH_PORTS: [u8; 3] = [6, 17, 132];

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrafficRule<Side = PortSide> {
    /// IP protocol number.
    pub protocol: u8,
    /// Which ports; none: the protocol will do. Only of protocols that have ports.
    pub ports: Option<Ports<Side>>,
}

/// A range of ports of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports<Side = PortSide> {
    /// Whose.
    pub side: Side,
    /// The first.
    pub first: u16,
    /// The last; not before the first.
    pub last: u16,
}

/// Whose ports are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortSide {
    /// The target's own.
    Own,
    /// The far end's.
    Far,
    /// Those of either.
    Either,
}

/// Whose ports are meant where nobody knows which end is the target: those of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EitherSide;

impl From<EitherSide> for PortSide {
    fn from(EitherSide: EitherSide) -> Self {
        Self::Either
    }
}

impl TrafficRule<EitherSide> {
    /// The same, as a target that has an end would say it.
    pub(crate) fn directed(&self) -> TrafficRule {
        let ports =
            self.ports.map(|Ports { side: EitherSide, first, last }| Ports { side: PortSide::Either, first, last });
        TrafficRule { protocol: self.protocol, ports }
    }
}

impl TrafficRule {
    /// Whether every packet that this means is one that `other` means.
    pub(crate) fn lies_in(&self, other: &Self) -> bool {
        let ports_lie_in = match (self.ports, other.ports) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(one), Some(two)) => {
                (two.side == PortSide::Either || one.side == two.side) && two.first <= one.first && one.last <= two.last
            }
        };
        self.protocol == other.protocol && ports_lie_in
    }

    /// The same, if it tells no end from the other.
    fn undirected(self) -> Option<TrafficRule<EitherSide>> {
        let ports = match self.ports {
            None => None,
            Some(Ports { side: PortSide::Either, first, last }) => Some(Ports { side: EitherSide, first, last }),
            Some(_) => return None,
        };
        Some(TrafficRule { protocol: self.protocol, ports })
    }

    /// Whether there is a packet that both mean by the same port.
    fn overlaps(&self, other: &Self) -> bool {
        let ports_meet = match (self.ports, other.ports) {
            (Some(one), Some(two)) => {
                let ends_meet = one.side == two.side || [one.side, two.side].contains(&PortSide::Either);
                ends_meet && one.first <= two.last && two.first <= one.last
            }
            (None, _) | (_, None) => true,
        };
        self.protocol == other.protocol && ports_meet
    }

    /// Reads `tcp far 25,587-590`, `udp own 5060`, `tcp either 80`, `icmp` or `47`.
    fn parse(text: &str) -> Result<Vec<Self>, Wrong> {
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default();
        let protocol = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let protocol = protocol.or_else(|| name.parse().ok().filter(|number| name == u8::to_string(number)));
        let protocol = protocol.ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            Wrong::new("does not begin with a protocol", format!("begin with one of {names}, or a number up to 255"))
        })?;
        let Some(side) = words.next() else { return Ok(vec![Self { protocol, ports: None }]) };
        if !WITH_PORTS.contains(&protocol) {
            let remedy = "name the protocol alone; only tcp, udp and sctp have ports";
            return Err(Wrong::new(format!("{} has no ports", protocol_name(protocol)), remedy));
        }
        let shape =
            || Wrong::new("not a kind of traffic", "write it as \"tcp far 25,587-590\", or \"tcp\" for all of it");
        let side = match side {
            "own" => PortSide::Own,
            "far" => PortSide::Far,
            "either" => PortSide::Either,
            _ => {
                let remedy = "write own (the target's port), far (the other end's) or either in front of the ports";
                return Err(Wrong::new("does not say whose ports are meant", remedy));
            }
        };
        let (Some(list), None) = (words.next(), words.next()) else { return Err(shape()) };
        list.split(',')
            .map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (first, last) = port(first).zip(port(last)).ok_or_else(shape)?;
                if first > last {
                    return Err(Wrong::new(
                        format!("the range {range} runs backwards"),
                        format!("write {last}-{first}"),
                    ));
                }
                Ok(Self { protocol, ports: Some(Ports { side, first, last }) })
            })
            .collect()
    }

    /// Reads a target's `traffic`; none without it. What cannot be read is in `faults` afterwards.
    pub(crate) fn read(section: &mut Section, faults: &mut Vec<Fault>) -> Vec<Self> {
        if !section.has("traffic") {
            return Vec::new();
        }
        let path = section.path("traffic");
        let Some(texts) = section.texts("traffic", "[\"tcp far 25\"]", faults) else { return Vec::new() };
        let mut rules: Vec<Self> = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            let field = || format!("{path}[{}]", i + 1);
            match Self::parse(text) {
                Ok(more) => {
                    for rule in more {
                        if rules.iter().any(|other| other.overlaps(&rule)) {
                            let problem = format!("{rule} is named already, or a part of it");
                            faults.push(Fault::new(field(), problem, "name each protocol and port once"));
                        }
                        rules.push(rule);
                    }
                }
                Err(wrong) => faults.push(Fault::new(field(), wrong.problem, wrong.remedy)),
            }
        }
        if rules.len() > MOST_TRAFFIC_RULES {
            let problem = format!("{} protocols and ranges of ports; a target takes {MOST_TRAFFIC_RULES}", rules.len());
            faults.push(Fault::new(path, problem, "write wider ranges"));
        }
        rules
    }

    /// The rules for a target of which nobody knows which end it is; a fault for each that needs to know.
    pub(crate) fn all_undirected(rules: &[Self], path: &str, faults: &mut Vec<Fault>) -> Vec<TrafficRule<EitherSide>> {
        let mut undirected = Vec::new();
        for rule in rules {
            match rule.undirected() {
                Some(rule) => undirected.push(rule),
                None => faults.push(Fault::new(
                    path,
                    format!("{rule}: a VLAN does not say which end of a packet is the target's"),
                    "write either in front of the ports, or add the target's address or mac",
                )),
            }
        }
        undirected
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| text == u16::to_string(port))
}

fn protocol_name(protocol: u8) -> String {
    let name = NAMES.iter().find(|(_, number)| *number == protocol);
    name.map_or_else(|| format!("protocol {protocol}"), |(name, _)| name.to_uppercase().replace("V6", "v6"))
}

/// For people: `TCP ports 587-590 at the far end`.
impl<Side: Copy + Into<PortSide>> fmt::Display for TrafficRule<Side> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&protocol_name(self.protocol))?;
        let Some(Ports { side, first, last }) = self.ports else { return Ok(()) };
        if first == last {
            write!(f, " port {first}")?;
        } else {
            write!(f, " ports {first}-{last}")?;
        }
        f.write_str(match side.into() {
            PortSide::Own => " at the target's own end",
            PortSide::Far => " at the far end",
            PortSide::Either => " at either end",
        })
    }
}
