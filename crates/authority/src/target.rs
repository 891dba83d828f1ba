//! Whom an order is about, as the probe can match it: fixed addresses, MAC addresses and VLANs that a named person
//! confirmed, and which of their packets the order wants.
//!
//! An order for a subscriber is not an order for whoever has the address next, so an address counts as fixed only when
//! somebody answers for it. Leased addresses are bindings with an expiry; they come in through `writ-identity`.

use crate::document::{Section, Wrong, date};
use crate::error::Fault;
use crate::link::{MacAddress, Vlan, VlanId};
use crate::traffic::{EitherSide, TrafficRule};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::civil::Date;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Widest IPv4 prefix of a target that needs no permission of the policy.
pub(crate) const WIDEST_V4: u8 = 24;
/// Widest IPv6 prefix of a target that needs no permission of the policy: what a site is given (RFC 6177).
pub(crate) const WIDEST_V6: u8 = 48;
/// Widest IPv4 prefix at all: wider than a whole customer base is no subscriber's.
const WIDEST_OF_ALL_V4: u8 = 16;
/// Widest IPv6 prefix at all: what a registry gives a whole provider.
const WIDEST_OF_ALL_V6: u8 = 32;

/// A target: a line of the subscriber's, by what its packets can be told from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which packets are the target's.
    pub criteria: Criteria,
    /// Who confirmed that this is fixed to the subscriber.
    pub confirmed_by: String,
    /// On which day.
    pub confirmed_on: Date,
    /// The subscriber, by the operator's own name for them.
    pub subscriber: String,
}

/// Which packets are a target's: what they are found by, and what they must have besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criteria {
    /// By the address of a packet's end, which is the target's.
    Address {
        /// The address or prefix; host bits are zero.
        prefix: IpNet,
        /// The MAC address of the same end, in the frame.
        mac: Option<MacAddress>,
        /// The frame's VLAN.
        vlan: Option<Vlan>,
        /// Kinds of traffic, one of which it must be; none: all traffic.
        traffic: Vec<TrafficRule>,
    },
    /// By the MAC address of a frame's end, which is the target's.
    Mac {
        /// The MAC address.
        mac: MacAddress,
        /// The frame's VLAN.
        vlan: Option<Vlan>,
        /// Kinds of traffic, one of which it must be; none: all traffic.
        traffic: Vec<TrafficRule>,
    },
    /// By the VLAN of a frame, which does not say which of its ends is the target's.
    Vlan {
        /// The VLAN.
        vlan: Vlan,
        /// Kinds of traffic, one of which it must be; none: all traffic.
        traffic: Vec<TrafficRule<EitherSide>>,
    },
}

/// What a target is found by. A target lies only in such as are found by one of its [`Criteria::wider_handles`], so a long
/// list need not be compared each with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Handle {
    Prefix(IpNet),
    Mac(MacAddress),
    Vlan(Vlan),
}

/// All that can be asked of a packet, each of which may be left open.
struct Facets {
    prefix: Option<IpNet>,
    mac: Option<MacAddress>,
    vlan: Option<Vlan>,
    traffic: Vec<TrafficRule>,
}

/// For people: `192.0.2.7 in VLAN 100, only TCP port 25 at the far end`.
impl fmt::Display for Criteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { prefix, mac, vlan, traffic } => {
                if prefix.prefix_len() == prefix.max_prefix_len() {
                    write!(f, "{}", prefix.addr())?;
                } else {
                    write!(f, "{prefix}")?;
                }
                if let Some(mac) = mac {
                    write!(f, " at MAC {mac}")?;
                }
                say_rest(f, *vlan, traffic)
            }
            Self::Mac { mac, vlan, traffic } => {
                write!(f, "MAC {mac}")?;
                say_rest(f, *vlan, traffic)
            }
            Self::Vlan { vlan, traffic } => {
                write!(f, "VLAN {vlan}")?;
                say_rest(f, None, traffic)
            }
        }
    }
}

fn say_rest<Rule: fmt::Display>(f: &mut fmt::Formatter<'_>, vlan: Option<Vlan>, traffic: &[Rule]) -> fmt::Result {
    if let Some(vlan) = vlan {
        write!(f, " in VLAN {vlan}")?;
    }
    for (i, rule) in traffic.iter().enumerate() {
        write!(f, "{}{rule}", if i == 0 { ", only " } else { " or " })?;
    }
    Ok(())
}

/// Why an address cannot be a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not an address or prefix at all.
    #[error("not an IP address or prefix")]
    NotAnAddress,
    /// The address of a prefix has bits outside of it.
    #[error("the address has bits set outside its prefix")]
    HostBits(IpNet),
    /// An address that no one subscriber has.
    #[error("{0} addresses belong to no subscriber")]
    NotASubscribers(&'static str),
    /// An IPv6 address that only stands for an IPv4 one.
    #[error("an IPv4 address in IPv6 form, which is on no wire")]
    Mapped(Ipv4Addr),
    /// A prefix that is wider than any subscriber's, whatever the policy says.
    #[error("wider than /{0}, which no policy can allow")]
    TooWide(u8),
}

impl TargetError {
    fn remedy(&self) -> String {
        match self {
            Self::NotAnAddress => {
                "write an address or prefix such as \"192.0.2.7\", \"192.0.2.0/28\" or \"2001:db8:20::/56\"".to_owned()
            }
            Self::HostBits(right) => format!("write \"{right}\", or a single address"),
            Self::NotASubscribers(_) => "write the address that the subscriber has".to_owned(),
            Self::Mapped(address) => format!("write \"{address}\""),
            Self::TooWide(_) => "name narrower prefixes".to_owned(),
        }
    }
}

impl Target {
    /// Reads an address (`192.0.2.7`, `2001:db8::7`) or a prefix (`192.0.2.0/28`, `2001:db8:20::/56`).
    pub fn parse_address(text: &str) -> Result<IpNet, TargetError> {
        let net: IpNet = match text.parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => text.parse().map_err(|_| TargetError::NotAnAddress)?,
        };
        if net != net.trunc() {
            return Err(TargetError::HostBits(net.trunc()));
        }
        match net {
            IpNet::V4(net) => check_v4(net)?,
            IpNet::V6(net) => check_v6(net)?,
        }
        Ok(net)
    }

    /// If it means more than one subscriber usually has: its field, in what way, and a narrower thing to name.
    pub(crate) fn wider_than_usual(&self) -> Option<Wide> {
        match self.criteria {
            Criteria::Address { prefix, .. } => {
                let widest = match prefix {
                    IpNet::V4(_) => WIDEST_V4,
                    IpNet::V6(_) => WIDEST_V6,
                };
                (prefix.prefix_len() < widest).then_some(Wide::Prefix { prefix, widest })
            }
            Criteria::Vlan { vlan: Vlan::Outer(outer), .. } => Some(Wide::Vlan(outer)),
            Criteria::Mac { .. } | Criteria::Vlan { .. } => None,
        }
    }

    pub(crate) fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let criteria = Criteria::read(&mut section, faults);
        let confirmed_by = section.text("confirmed_by", "C. Engineer, provisioning", faults);
        let confirmed_on = section.parsed("confirmed_on", "2026-11-19", faults, date);
        let subscriber = section.text("subscriber", "account 20117", faults);
        section.finish(faults);
        Some(Self {
            criteria: criteria?,
            confirmed_by: confirmed_by?,
            confirmed_on: confirmed_on?,
            subscriber: subscriber?,
        })
    }
}

/// What only the policy can allow.
pub(crate) enum Wide {
    /// A prefix wider than the one of this length.
    Prefix { prefix: IpNet, widest: u8 },
    /// Everything behind an outer tag.
    Vlan(VlanId),
}

impl Criteria {
    /// Whether every packet that these mean is one that `other` means. All that is written of a target is about the
    /// same end of a packet, so each thing that `other` asks for must be asked for here, as narrowly or more.
    pub fn lies_in(&self, other: &Self) -> bool {
        let (inner, outer) = (self.facets(), other.facets());
        let within = |inside: bool, unasked: bool| unasked || inside;
        within(inner.prefix.zip(outer.prefix).is_some_and(|(a, b)| b.contains(&a)), outer.prefix.is_none())
            && within(inner.mac.is_some() && inner.mac == outer.mac, outer.mac.is_none())
            && within(inner.vlan.zip(outer.vlan).is_some_and(|(a, b)| a.lies_in(b)), outer.vlan.is_none())
            && (outer.traffic.is_empty()
                || !inner.traffic.is_empty()
                    && inner.traffic.iter().all(|rule| outer.traffic.iter().any(|wider| rule.lies_in(wider))))
    }

    /// What it is found by.
    pub(crate) fn handle(&self) -> Handle {
        match self {
            Self::Address { prefix, .. } => Handle::Prefix(*prefix),
            Self::Mac { mac, .. } => Handle::Mac(*mac),
            Self::Vlan { vlan, .. } => Handle::Vlan(*vlan),
        }
    }

    /// What everything is found by in which this can lie. Some 130 at most.
    pub(crate) fn wider_handles(&self) -> Vec<Handle> {
        let Facets { prefix, mac, vlan, .. } = self.facets();
        let supernets = std::iter::successors(prefix, IpNet::supernet).map(Handle::Prefix);
        let vlans = vlan.into_iter().flat_map(|vlan| [vlan, Vlan::Outer(vlan.outer())]).map(Handle::Vlan);
        supernets.chain(mac.map(Handle::Mac)).chain(vlans).collect()
    }

    fn facets(&self) -> Facets {
        let directed = |rules: &[TrafficRule<EitherSide>]| rules.iter().map(|rule| rule.directed()).collect();
        match self {
            Self::Address { prefix, mac, vlan, traffic } => {
                Facets { prefix: Some(*prefix), mac: *mac, vlan: *vlan, traffic: traffic.clone() }
            }
            Self::Mac { mac, vlan, traffic } => {
                Facets { prefix: None, mac: Some(*mac), vlan: *vlan, traffic: traffic.clone() }
            }
            Self::Vlan { vlan, traffic } => {
                Facets { prefix: None, mac: None, vlan: Some(*vlan), traffic: directed(traffic) }
            }
        }
    }

    /// The field that they are found by.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Mac { .. } => "mac",
            Self::Vlan { .. } => "vlan",
        }
    }

    pub(crate) fn read(section: &mut Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let before = faults.len();
        let prefix = section.has("address").then(|| {
            section.parsed("address", "192.0.2.7", faults, |text| {
                Target::parse_address(text).map_err(|error| Wrong::new(error.to_string(), error.remedy()))
            })
        });
        let mac =
            section.has("mac").then(|| section.parsed("mac", "02:00:5e:10:00:01", faults, MacAddress::parse)).flatten();
        let vlan = section.has("vlan").then(|| section.parsed("vlan", "200.100", faults, Vlan::parse)).flatten();
        let traffic = TrafficRule::read(section, faults);
        if faults.len() > before {
            return None;
        }
        match (prefix.flatten(), mac, vlan) {
            (Some(prefix), mac, vlan) => Some(Self::Address { prefix, mac, vlan, traffic }),
            (None, Some(mac), vlan) => Some(Self::Mac { mac, vlan, traffic }),
            (None, None, Some(vlan)) => {
                let traffic = TrafficRule::all_undirected(&traffic, &section.path("traffic"), faults);
                Some(Self::Vlan { vlan, traffic })
            }
            (None, None, None) => {
                let problem = "neither address nor mac nor vlan: nothing tells the target's packets";
                faults.push(Fault::new(
                    section.path("address"),
                    problem,
                    "write address = \"192.0.2.7\", a mac or a vlan",
                ));
                None
            }
        }
    }
}

fn check_v4(net: Ipv4Net) -> Result<(), TargetError> {
    let overlaps = |address: [u8; 4], length| {
        Ipv4Net::new(address.into(), length).is_ok_and(|other| other.contains(&net) || net.contains(&other))
    };
    if overlaps([0, 0, 0, 0], 8) {
        return Err(TargetError::NotASubscribers("unspecified"));
    }
    if overlaps([127, 0, 0, 0], 8) {
        return Err(TargetError::NotASubscribers("loopback"));
    }
    if overlaps([224, 0, 0, 0], 4) {
        return Err(TargetError::NotASubscribers("multicast"));
    }
    if overlaps([240, 0, 0, 0], 4) {
        return Err(TargetError::NotASubscribers("broadcast and reserved"));
    }
    if net.prefix_len() < WIDEST_OF_ALL_V4 {
        return Err(TargetError::TooWide(WIDEST_OF_ALL_V4));
    }
    Ok(())
}

fn check_v6(net: Ipv6Net) -> Result<(), TargetError> {
    if net.prefix_len() < WIDEST_OF_ALL_V6 {
        return Err(TargetError::TooWide(WIDEST_OF_ALL_V6));
    }
    let lies_in = |address: Ipv6Addr, length| Ipv6Net::new(address, length).is_ok_and(|other| other.contains(&net));
    if let Some(mapped) = net.addr().to_ipv4_mapped()
        && net.prefix_len() == 128
    {
        return Err(TargetError::Mapped(mapped));
    }
    if net.addr().is_loopback() {
        return Err(TargetError::NotASubscribers("loopback"));
    }
    // RFC 4291: nothing that begins with eight zero bits is anybody's on a network; the unspecified, the loopback and
    // the mapped addresses lie there.
    if lies_in(Ipv6Addr::UNSPECIFIED, 8) {
        return Err(TargetError::NotASubscribers("unspecified and reserved"));
    }
    if lies_in(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8) {
        return Err(TargetError::NotASubscribers("multicast"));
    }
    Ok(())
}
