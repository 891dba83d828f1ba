//! A provider in small: three subscribers, a router with a mirror port, a server, the probe and an agency.
//!
//! ```text
//!  subscriber 0..2 ──── router ──── server
//!     (s0)              │    │
//!           mirror port │    (every frame of the three subscriber links, both ways)
//!                     probe (tap0) ──── management ──── agency
//! ```
//!
//! Addresses: subscriber n has 198.51.100.(10+4n) and 2001:db8:1:n::10, the server 203.0.113.80 and 2001:db8:80::80,
//! the probe 192.0.2.1 and the agency 192.0.2.2 on the management link. All are documentation prefixes (RFC 5737, 3849).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{LabError, LinkOptions, Namespace, mirror, quiet, veth};

/// IP version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A subscriber, alone in a namespace, linked to the router by the interface [`Subscriber::INTERFACE`].
#[derive(Debug)]
pub struct Subscriber {
    /// Where its programs run.
    pub namespace: Namespace,
    number: u8,
}

impl Subscriber {
    /// Its interface towards the router.
    pub const INTERFACE: &'static str = "wan0";

    /// Its address.
    pub fn address(&self, family: Family) -> IpAddr {
        let n = self.number;
        match family {
            Family::V4 => IpAddr::from([198, 51, 100, 10 + 4 * n]),
            Family::V6 => IpAddr::from([0x2001, 0xdb8, 1, u16::from(n), 0, 0, 0, 0x10]),
        }
    }

    /// The router's address on its link.
    fn gateway(&self, family: Family) -> IpAddr {
        let n = self.number;
        match family {
            Family::V4 => IpAddr::from([198, 51, 100, 9 + 4 * n]),
            Family::V6 => IpAddr::from([0x2001, 0xdb8, 1, u16::from(n), 0, 0, 0, 1]),
        }
    }
}

/// The whole network. Dropping it takes everything down.
#[derive(Debug)]
pub struct Network {
    /// Three of them.
    pub subscribers: [Subscriber; 3],
    /// Between all; its mirror port is `mirror0`.
    pub router: Namespace,
    /// Where [`crate::WebServer`] runs.
    pub server: Namespace,
    /// Where `writ` runs: the tap is [`Network::TAP`], the management interface [`Network::MANAGEMENT`].
    pub probe: Namespace,
    /// Where `writ-collect` runs.
    pub agency: Namespace,
}

impl Network {
    /// The probe's tap.
    pub const TAP: &'static str = "tap0";
    /// The router's end of the tap: what the tap would send, if it did, would be seen here.
    pub const MIRROR: &'static str = "mirror0";
    /// The management interface of probe and agency.
    pub const MANAGEMENT: &'static str = "mgmt0";

    /// Builds it. `tap`: how the link between mirror port and tap is made; with `second_up: false` the tap stays down.
    pub fn new(tap: LinkOptions) -> Result<Self, LabError> {
        let subscriber = |number: u8| -> Result<Subscriber, LabError> {
            Ok(Subscriber { namespace: Namespace::new(&format!("subscriber{number}"))?, number })
        };
        let network = Network {
            subscribers: [subscriber(0)?, subscriber(1)?, subscriber(2)?],
            router: Namespace::new("router")?,
            server: Namespace::new("server")?,
            probe: Namespace::new("probe")?,
            agency: Namespace::new("agency")?,
        };
        let router = &network.router;
        router.forward()?;
        veth((router, Self::MIRROR), (&network.probe, Self::TAP), tap)?;
        quiet(router, Self::MIRROR)?;
        for subscriber in &network.subscribers {
            let port = format!("s{}", subscriber.number);
            veth((&subscriber.namespace, Subscriber::INTERFACE), (router, &port), LinkOptions::default())?;
            for (family, prefix) in [(Family::V4, 30), (Family::V6, 64)] {
                let gateway = subscriber.gateway(family);
                router.address(&port, network_of(gateway, prefix))?;
                subscriber.namespace.address(Subscriber::INTERFACE, network_of(subscriber.address(family), prefix))?;
                subscriber.namespace.default_route(gateway)?;
            }
            mirror(router, &port, Self::MIRROR)?;
        }
        veth((&network.server, "eth0"), (router, "uplink"), LinkOptions::default())?;
        for (server, gateway, prefix) in [
            (network.server_address(Family::V4), IpAddr::from([203, 0, 113, 1]), 24),
            (network.server_address(Family::V6), IpAddr::from([0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 1]), 64),
        ] {
            router.address("uplink", network_of(gateway, prefix))?;
            network.server.address("eth0", network_of(server, prefix))?;
            network.server.default_route(gateway)?;
        }
        let (probe, agency) = (&network.probe, &network.agency);
        veth((probe, Self::MANAGEMENT), (agency, Self::MANAGEMENT), LinkOptions::default())?;
        probe.address(Self::MANAGEMENT, network_of(IpAddr::from([192, 0, 2, 1]), 24))?;
        agency.address(Self::MANAGEMENT, network_of(network.agency_address(), 24))?;
        Ok(network)
    }

    /// The server's address.
    pub fn server_address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::from([203, 0, 113, 80]),
            Family::V6 => IpAddr::from([0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80]),
        }
    }

    /// The agency's address as the probe sees it.
    pub fn agency_address(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, 2])
    }
}

/// An address with the length of its link's prefix. A length too long for the family would be cut to a host address.
fn network_of(address: IpAddr, prefix: u8) -> IpNet {
    IpNet::new(address, prefix).unwrap_or_else(|_| IpNet::from(address))
}
