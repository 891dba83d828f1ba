//! What a PDU says, as plain values: the same in what is written and in what is read. They print as JSON.

use std::net::IpAddr;

use serde::Serialize;

use super::names::{Label, Octets};
use super::terms::{
    AccessEvent, AccessType, Assignment, Authentication, CheckType, DataType, EndReason, HashAlgorithm, IpVersion,
    NoticePriority, SignatureAlgorithm, SummaryTrigger,
};
use crate::UtcMicros;

/// An event of the target's access to the network (IPIRIContents).
///
/// What the standard demands is asked for by [`new`](Self::new); the rest is none until it is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessReport {
    /// What happened.
    pub event: AccessEvent,
    /// The target's name with the operator (targetUsername).
    pub username: Label,
    /// Over what the target is connected.
    pub access_type: AccessType,
    /// What the session carries.
    pub ip_version: IpVersion,
    /// The first address of the target (targetIPAddress): of IPv4 if it has one.
    pub address: Option<Address>,
    /// The target's network identity (targetNetworkID), such as a MAC address: 1 to 20 octets.
    pub network_id: Option<String>,
    /// The target's equipment (targetCPEID), such as a relay agent's circuit: 1 to 128 octets.
    pub cpe_id: Option<String>,
    /// Where the target is (targetLocation): 1 to 64 octets.
    pub location: Option<String>,
    /// Port of the point of presence (pOPPortNumber).
    pub pop_port: Option<u32>,
    /// callBackNumber: 1 to 20 octets.
    pub call_back_number: Option<String>,
    /// When the session or lease began (startTime).
    pub start: Option<UtcMicros>,
    /// When it ended (endTime).
    pub end: Option<UtcMicros>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// Octets that the target received.
    pub octets_received: Option<u64>,
    /// Octets that the target sent.
    pub octets_transmitted: Option<u64>,
    /// The message of RADIUS or DHCP that told of the event, whole (rawAAAData).
    pub raw_aaa: Option<Octets>,
    /// When the lease will end (expectedEndTime).
    pub expected_end: Option<UtcMicros>,
    /// pOPPhoneNumber: 1 to 20 octets.
    pub pop_phone_number: Option<String>,
    /// The point of presence (pOPIdentifier).
    pub pop_identifier: Option<PopIdentifier>,
    /// The address of the point of presence (pOPIPAddress).
    pub pop_address: Option<Address>,
    /// The first address of IPv6 where the target has both (additionalIPAddress).
    pub additional_address: Option<Address>,
    /// How the operator knows the target.
    pub authentication: Option<Authentication>,
    /// Further addresses of the target (otherTargetIdentifiers). None are left out.
    pub other_addresses: Vec<Address>,
    /// NAS-Port-Id as RADIUS gives it (pOPPortID).
    pub pop_port_id: Option<Label>,
    /// Framed-Routes as RADIUS gives them. None are left out.
    pub framed_routes: Vec<Label>,
}

impl AccessReport {
    /// An event with what every event has to say.
    pub fn new(event: AccessEvent, username: Label, access_type: AccessType, ip_version: IpVersion) -> Self {
        Self {
            event,
            username,
            access_type,
            ip_version,
            address: None,
            network_id: None,
            cpe_id: None,
            location: None,
            pop_port: None,
            call_back_number: None,
            start: None,
            end: None,
            end_reason: None,
            octets_received: None,
            octets_transmitted: None,
            raw_aaa: None,
            expected_end: None,
            pop_phone_number: None,
            pop_identifier: None,
            pop_address: None,
            additional_address: None,
            authentication: None,
            other_addresses: Vec::new(),
            pop_port_id: None,
            framed_routes: Vec::new(),
        }
    }

    /// The first text that has no octet or too many, if there is one: the standard bounds them.
    pub(super) fn unfit(&self) -> Option<&'static str> {
        let printable = match &self.pop_identifier {
            Some(PopIdentifier::Printable(text)) => Some(text),
            _ => None,
        };
        [
            ("targetNetworkID", &self.network_id, 20),
            ("targetCPEID", &self.cpe_id, 128),
            ("targetLocation", &self.location, 64),
            ("callBackNumber", &self.call_back_number, 20),
            ("pOPPhoneNumber", &self.pop_phone_number, 20),
            ("pOPIdentifier", &printable.cloned(), 128),
        ]
        .into_iter()
        .find(|(_, text, longest)| text.as_ref().is_some_and(|text| !(1..=*longest).contains(&text.chars().count())))
        .map(|(name, _, _)| name)
    }
}

/// An address, or a prefix with all that is in it (IPAddress).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Address {
    /// The address; of a prefix any one in it.
    pub address: IpAddr,
    /// Bits of the prefix. The standard demands it for IPv6, where none is written as 128.
    pub prefix_length: Option<u8>,
    /// How the target came to it.
    pub assignment: Option<Assignment>,
    /// Whether it was translated (iP-NAT-translated).
    pub translated: Option<bool>,
}

impl Address {
    /// A single address.
    pub const fn new(address: IpAddr, assignment: Assignment) -> Self {
        Self { address, prefix_length: None, assignment: Some(assignment), translated: None }
    }
}

/// A point of presence (IPIRIIDType).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PopIdentifier {
    /// A name: 1 to 128 octets.
    Printable(String),
    /// A MAC address.
    Mac([u8; 6]),
    /// An address.
    Address(Address),
}

/// What a summary of a flow says (PacketReportSummary).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The headers of one packet of the flow, with what differs between packets set to zero.
    pub header: Octets,
    /// What was set to zero or taken out.
    pub indications: Indications,
    /// Why the summary was made.
    pub trigger: SummaryTrigger,
    /// Packets.
    pub packets: Option<u64>,
    /// Octets of the packets.
    pub octets: Option<u64>,
    /// The first packet's time.
    pub first: Option<UtcMicros>,
    /// The last packet's time.
    pub last: Option<UtcMicros>,
}

/// PacketReportIndications: bit 0 is the highest, as in the BIT STRING.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Indications(pub u16);

impl Indications {
    /// zeroedIPv4TotalLength.
    pub const IPV4_TOTAL_LENGTH: Self = Self(1 << 15);
    /// zeroedIPv4Flags.
    pub const IPV4_FLAGS: Self = Self(1 << 14);
    /// zeroedIPv4TimeToLive.
    pub const IPV4_TIME_TO_LIVE: Self = Self(1 << 13);
    /// zeroedIPv4HeaderChecksum.
    pub const IPV4_HEADER_CHECKSUM: Self = Self(1 << 12);
    /// zeroedIPv6PayloadLength.
    pub const IPV6_PAYLOAD_LENGTH: Self = Self(1 << 11);
    /// removedIPv6ExtensionHeaders.
    pub const IPV6_EXTENSION_HEADERS: Self = Self(1 << 10);
    /// zeroedTCPSequenceNumber.
    pub const TCP_SEQUENCE_NUMBER: Self = Self(1 << 9);
    /// zeroedTCPAcknowledgementNumber.
    pub const TCP_ACKNOWLEDGEMENT_NUMBER: Self = Self(1 << 8);
    /// zeroedTCPFlags.
    pub const TCP_FLAGS: Self = Self(1 << 7);
    /// zeroedTCPWindowSize.
    pub const TCP_WINDOW_SIZE: Self = Self(1 << 6);
    /// zeroedTCPChecksum.
    pub const TCP_CHECKSUM: Self = Self(1 << 5);
    /// zeroedUDPLength.
    pub const UDP_LENGTH: Self = Self(1 << 4);
    /// zeroedUDPChecksum.
    pub const UDP_CHECKSUM: Self = Self(1 << 3);
}

impl std::ops::BitOr for Indications {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A message about the delivery itself (TRIPayload).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tri {
    /// A hash over PDUs, or a signature over hashes.
    IntegrityCheck(IntegrityCheck),
    /// A PDU that tests the connection.
    Test,
    /// Octets without meaning.
    Padding(Octets),
    /// "Are you there?", on an idle connection.
    KeepAlive,
    /// "I am."
    KeepAliveResponse,
    /// What follows begins a record.
    FirstSegment,
    /// What went before ended a record.
    LastSegment,
    /// The communication identity numbers begin anew: those before are not continued.
    CinReset,
    /// A message for people.
    OperatorMessage {
        /// Whether it hurts the intercepted data.
        priority: NoticePriority,
        /// The message.
        message: Label,
    },
    /// Options that the sender would like to use.
    OptionRequest {
        /// Which.
        requested: Vec<DeliveryOption>,
    },
    /// The answer to a request.
    OptionResponse {
        /// Those that will be used.
        accepted: Vec<DeliveryOption>,
        /// Those that will not.
        declined: Vec<DeliveryOption>,
    },
    /// The negotiation is over.
    OptionComplete,
    /// "Say when you have all that came before."
    AcknowledgementRequest,
    /// "I have all that came before."
    AcknowledgementResponse,
}

impl Tri {
    /// What the receiver answers, if this asks for an answer. Of the options it accepts those in `supported`.
    pub fn answer(&self, supported: &[DeliveryOption]) -> Option<Self> {
        match self {
            Self::KeepAlive => Some(Self::KeepAliveResponse),
            Self::AcknowledgementRequest => Some(Self::AcknowledgementResponse),
            Self::OptionRequest { requested } => {
                let (accepted, declined) = requested.iter().partition(|option| supported.contains(option));
                Some(Self::OptionResponse { accepted, declined })
            }
            _ => None,
        }
    }
}

/// What can be negotiated (Option).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryOption {
    /// PDUs are acknowledged by the receiver.
    PduAcknowledgement,
    /// An option of a later edition, by its tag number: to be declined.
    Unknown(u32),
}

/// IntegrityCheck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IntegrityCheck {
    /// Sequence numbers of the PDUs that it is over, in the order in which they were worked on. Those of a signature
    /// are the numbers of the hash PDUs.
    pub included: Vec<u32>,
    /// What `value` is.
    pub check: CheckType,
    /// Which series the PDUs belong to.
    pub data: Option<DataType>,
    /// The hash, or the signature.
    pub value: Octets,
    /// How the hash was made.
    pub hash: Option<HashAlgorithm>,
    /// How the signature was made.
    pub signature: Option<SignatureAlgorithm>,
}

/// What became of an intercept as a whole (HI1-Operation).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hi1 {
    /// Activated, modified, deactivated.
    pub change: Hi1Change,
    /// The intercept.
    pub liid: Label,
    /// When.
    pub time: UtcMicros,
    /// The target, as the agency named it (target-Information): 1 to 256 octets.
    pub target: Option<Label>,
}

/// The alternatives of HI1-Operation that are about one intercept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hi1Change {
    /// liActivated.
    Activated,
    /// liDeactivated.
    Deactivated,
    /// liModified.
    Modified,
}
