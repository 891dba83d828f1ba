//! X2 and X3 of ETSI TS 103 221-2: what a network function hands to the mediation function of a network, over TLS.
//!
//! A PDU is a header of 40 octets, attributes (type, length, value), and a payload as it was seen. X2 carries events, X3
//! content; both have one form, and a [`Task`] is the template for the PDUs of one of them. Keep-alives go both ways.
//! [`decode`] reads a PDU, [`PduStream`] cuts a connection into them.

mod decode;
mod stream;
mod task;

pub use decode::{Attribute, Attributes, Pdu, decode};
pub use stream::{PduStream, StreamError};
pub use task::{Identity, IdentityError, Task, keep_alive, keep_alive_answer};

use serde::{Deserialize, Serialize};

/// Octets of a header without attributes.
pub const HEADER: usize = 40;
/// The major version of the header that is spoken here.
const VERSION: u16 = 1;

/// What a PDU is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u16)]
pub enum Kind {
    /// An event: identifying information.
    X2 = 1,
    /// Content.
    X3 = 2,
    /// A question whether the other side is there.
    KeepAlive = 3,
    /// The answer to it.
    KeepAliveAnswer = 4,
}

/// What the payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Format(pub u16);

impl Format {
    /// No payload: keep-alives.
    pub const NONE: Self = Self(0);
    /// A packet, from its IPv4 header.
    pub const IPV4: Self = Self(5);
    /// A packet, from its IPv6 header.
    pub const IPV6: Self = Self(6);
    /// A frame, from its Ethernet header.
    pub const ETHERNET: Self = Self(7);
    /// A SIP message.
    pub const SIP: Self = Self(9);
    /// A DHCP message.
    pub const DHCP: Self = Self(10);
    /// A RADIUS packet.
    pub const RADIUS: Self = Self(11);
}

/// Which way the payload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u16)]
pub enum Direction {
    /// A keep-alive went no way.
    None = 0,
    /// Not known.
    Unknown = 1,
    /// To the target.
    ToTarget = 2,
    /// From the target.
    FromTarget = 3,
    /// Both.
    Several = 4,
    /// The question does not arise.
    NotApplicable = 5,
}

/// Types of attributes (TS 103 221-2 table 4). All others are handed on as they are.
mod attribute {
    pub(super) const DOMAIN_ID: u16 = 5;
    pub(super) const NETWORK_FUNCTION_ID: u16 = 6;
    pub(super) const INTERCEPTION_POINT_ID: u16 = 7;
    pub(super) const SEQUENCE_NUMBER: u16 = 8;
    pub(super) const TIMESTAMP: u16 = 9;
    pub(super) const SOURCE_IPV4: u16 = 10;
    pub(super) const DESTINATION_IPV4: u16 = 11;
    pub(super) const SOURCE_IPV6: u16 = 12;
    pub(super) const DESTINATION_IPV6: u16 = 13;
    pub(super) const SOURCE_PORT: u16 = 14;
    pub(super) const DESTINATION_PORT: u16 = 15;
    pub(super) const PROTOCOL: u16 = 16;
    pub(super) const MATCHED_TARGET: u16 = 17;
    pub(super) const OTHER_TARGET: u16 = 18;
}
