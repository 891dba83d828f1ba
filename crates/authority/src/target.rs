//! Whom an order is about, as the probe can match it: fixed addresses that a named person confirmed.
//!
//! An order for a subscriber is not an order for whoever has the address next, so an address counts as fixed only when
//! somebody answers for it. Leased addresses are bindings with an expiry; they come in through `writ-identity`.

use crate::document::{Section, Wrong, date};
use crate::error::Fault;
use ipnet::{IpNet, Ipv4Net};
use jiff::civil::Date;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Widest IPv4 prefix of a target that needs no permission of the policy.
pub(crate) const WIDEST_V4: u8 = 24;
/// Widest IPv4 prefix at all: the kernel holds each of its addresses.
const WIDEST_EXPANDED_V4: u8 = 16;

/// A target: one address, or an IPv4 prefix, that is fixed to a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address or prefix; host bits are zero.
    pub prefix: IpNet,
    /// Who confirmed that it is fixed to the subscriber.
    pub confirmed_by: String,
    /// On which day.
    pub confirmed_on: Date,
    /// The subscriber, by the operator's own name for them.
    pub subscriber: String,
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
    /// An IPv6 prefix: single addresses only.
    #[error("an IPv6 prefix; this release matches single IPv6 addresses (/128)")]
    Ipv6Prefix,
    /// An IPv4 prefix too wide to be held address by address.
    #[error("wider than /{WIDEST_EXPANDED_V4}; this release matches every address of a prefix singly")]
    TooWide,
}

impl TargetError {
    fn remedy(&self) -> String {
        match self {
            Self::NotAnAddress => {
                "write an address such as \"192.0.2.7\", \"192.0.2.0/28\" or \"2001:db8::7\"".to_owned()
            }
            Self::HostBits(right) => format!("write \"{right}\", or a single address"),
            Self::NotASubscribers(_) => "write the address that the subscriber has".to_owned(),
            Self::Mapped(address) => format!("write \"{address}\""),
            Self::Ipv6Prefix => "name each address of the subscriber as a target of its own".to_owned(),
            Self::TooWide => "name narrower prefixes".to_owned(),
        }
    }
}

impl Target {
    /// Reads an address (`192.0.2.7`, `2001:db8::7`) or an IPv4 prefix (`192.0.2.0/28`).
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
            IpNet::V6(net) if net.prefix_len() < 128 => return Err(TargetError::Ipv6Prefix),
            IpNet::V6(net) => check_v6(net.addr())?,
        }
        Ok(net)
    }

    /// Every address of it, in order; network and broadcast address included, which in an access network are
    /// addresses like others.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let (v4, v6) = match self.prefix {
            IpNet::V4(net) => (Some(u32::from(net.network())..=u32::from(net.broadcast())), None),
            IpNet::V6(net) => (None, Some(IpAddr::V6(net.addr()))),
        };
        v4.into_iter().flatten().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).chain(v6)
    }

    pub(crate) fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let prefix = section.parsed("address", "192.0.2.7", faults, |text| {
            Self::parse_address(text).map_err(|error| Wrong::new(error.to_string(), error.remedy()))
        });
        let confirmed_by = section.text("confirmed_by", "C. Engineer, provisioning", faults);
        let confirmed_on = section.parsed("confirmed_on", "2026-11-19", faults, date);
        let subscriber = section.text("subscriber", "account 20117", faults);
        section.finish(faults);
        Some(Self {
            prefix: prefix?,
            confirmed_by: confirmed_by?,
            confirmed_on: confirmed_on?,
            subscriber: subscriber?,
        })
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
    if net.prefix_len() < WIDEST_EXPANDED_V4 {
        return Err(TargetError::TooWide);
    }
    Ok(())
}

fn check_v6(address: Ipv6Addr) -> Result<(), TargetError> {
    if address.is_unspecified() {
        return Err(TargetError::NotASubscribers("unspecified"));
    }
    if address.is_loopback() {
        return Err(TargetError::NotASubscribers("loopback"));
    }
    if address.is_multicast() {
        return Err(TargetError::NotASubscribers("multicast"));
    }
    match address.to_ipv4_mapped() {
        Some(mapped) => Err(TargetError::Mapped(mapped)),
        None => Ok(()),
    }
}
