//! ATIS-1000013.2007 (T1.IAS): lawfully authorised electronic surveillance of Internet access, the handover of the US.
//!
//! Two streams go to the agency. CmII carries events and header reports ([`Cmii`]), CmC carries content ([`Cmcc`]),
//! both as BER values one behind the other; [`stream`](crate::stream) cuts them apart again. An [`Intercept`] is the
//! template of one warrant: it writes content and header reports without allocation (`fast`), and the same messages and
//! the session events through the types of the standard's module ([`asn1`]).

pub mod asn1;
mod decode;
mod fast;
mod flow;
mod header_set;
mod identifiers;
mod intercept;

pub use decode::{
    Address, Call, Cmcc, Cmii, Content, DecodeError, HeaderReport, Location, Message, OptionalCmii, OptionalMessage,
    SessionEnd, SessionFailed, SessionStart, SummaryReport, Value, access, decode_cmcc, decode_cmii, decode_optional,
    delivery, module_of,
};
pub use flow::{Flow, FlowLabel};
pub use header_set::{HeaderSet, HeaderSets};
pub use identifiers::{
    AccessSessionId, CallId, CaseId, CccName, Characteristics, ContentIdentifier, CorrelationId, EquipmentId,
    IapSystemId, IdentifierError, LocationText, NodeIdentity, Reason, SessionId, Status, SubscriberIdentity,
    TEST_CASE_PREFIX, file_name,
};
pub use intercept::{
    AccessMethod, AccessPoint, AccessType, CcFormat, Delivery, DeliveryIdentifier, Event, Intercept, OptionalModule,
    OptionalModuleError, Place, Protocol, ProtocolSignal, Session, SignalingKind, SignalingMessage, Summary,
    Surveillance,
};

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};

/// Which way a packet goes, seen from the subject of the warrant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The subject sent it.
    FromSubject,
    /// It was sent to the subject.
    ToSubject,
}

/// What the subject has in a session: an address, or a prefix with all that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// The address; of a prefix the first one.
    pub address: IpAddr,
    /// Bits of the prefix (prefixLen), where a whole prefix is meant.
    pub prefix_length: Option<u8>,
    /// How it came to the subject.
    pub allocation: Allocation,
}

impl Assignment {
    /// A single address.
    pub const fn of(address: IpAddr, allocation: Allocation) -> Self {
        Self { address, prefix_length: None, allocation }
    }

    /// No address: the subject is known by a MAC address or a VLAN. The standard wants an address in every session event,
    /// so the unspecified one stands there, which says that there is none (RFC 4291 section 2.5.2).
    pub const fn without_address() -> Self {
        Self::of(IpAddr::V6(Ipv6Addr::UNSPECIFIED), Allocation::NotApplicable)
    }
}

/// How an address came to its holder (allocationMethod).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// Fixed by configuration.
    Static,
    /// Leased: DHCP, RADIUS, router advertisements.
    Dynamic,
    /// Not known to the probe.
    Unknown,
    /// The question does not arise, as for a server outside the operator's network.
    NotApplicable,
}
