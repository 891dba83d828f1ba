//! PDUs read back: what the collector gets from the bytes that arrived.
//!
//! Plain values that print well as JSON. A message that is not known yet is a value too ([`Message::Unsupported`]), and
//! members that a later edition may add are passed over, so that neither costs the rest of the stream.

pub mod access;
pub mod delivery;
mod optional;

pub use optional::{OptionalCmii, OptionalMessage, decode_optional, module_of};

use std::net::IpAddr;

use serde::Serialize;

use super::{Allocation, Direction, asn1};
use crate::UtcMicros;
use crate::hexadecimal::hexadecimal;
use crate::time::TimeOutOfRange;

/// Octets that are not the PDU that was asked for. May quote them: for the agency's side, whose case it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not BER, or not the structure of the standard.
    #[error("no {what}: {cause}")]
    Malformed {
        /// What was looked for.
        what: &'static str,
        /// What rasn found instead.
        cause: String,
    },
    /// The protocolIdentifier is not that of CmII.
    #[error("the message bears the protocol identifier of something else than T1.IAS CmII")]
    NotCmii,
    /// The protocolIdentifier is not that of the optional module that was asked for.
    #[error("the message bears the protocol identifier of something else than the optional module")]
    OtherModule,
    /// A member that is there, but makes no sense.
    #[error("{member}: {fault}")]
    Member {
        /// The member, as T1.IAS calls it.
        member: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A time that no handover can mean.
    #[error("timestamp: {0}")]
    Time(#[from] TimeOutOfRange),
}

/// A message of CmII: an event, or what a packet's headers said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cmii {
    /// The agency's name for the case.
    pub case_id: String,
    /// The probe.
    pub iap_system_id: String,
    /// When it happened.
    pub timestamp: UtcMicros,
    /// What happened.
    #[serde(flatten)]
    pub message: Message,
}

/// What a [`Cmii`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum Message {
    /// Access-Attempt.
    AccessAttempt(access::AccessAttempt),
    /// Access-Accepted.
    AccessAccepted(access::AccessAccepted),
    /// Access-Failed.
    AccessFailed(access::AccessFailed),
    /// Access-Session-End.
    AccessSessionEnd(access::AccessSessionEnd),
    /// Access-Rejected.
    AccessRejected(access::AccessFailed),
    /// Access-Signaling-Message-Report.
    AccessSignaling(access::AccessSignaling),
    /// Session-Start.
    SessionStart(SessionStart),
    /// Session-Failed.
    SessionFailed(SessionFailed),
    /// Session-Already-Established.
    SessionAlreadyEstablished(SessionStart),
    /// Session-End.
    SessionEnd(SessionEnd),
    /// Packet-Data-Header-Report.
    HeaderReport(HeaderReport),
    /// Packet-Data-Summary-Report.
    SummaryReport(SummaryReport),
    /// A message of T1.IAS that is not read here, by its number in IasMessage.
    Unsupported {
        /// Tag number in the CHOICE IasMessage.
        number: u32,
    },
}

/// A session of the subject, that began or was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionStart {
    /// The subject.
    pub subscriber_identity: Value,
    /// The session of the access network.
    pub access_session_id: Option<Value>,
    /// The session.
    pub session_id: Value,
    /// The subject's address in it.
    pub address: Address,
    /// Bandwidth and the like.
    pub characteristics: Option<Value>,
    /// Where the subject is.
    pub location: Option<Location>,
    /// How the session's content comes to the agency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<delivery::Delivery>,
}

/// A session of the subject that could not begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionFailed {
    /// The subject.
    pub subscriber_identity: Value,
    /// The session of the access network.
    pub access_session_id: Option<Value>,
    /// Why.
    pub reason: Option<Value>,
}

/// A session of the subject that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionEnd {
    /// The subject.
    pub subscriber_identity: Value,
    /// The session of the access network.
    pub access_session_id: Option<Value>,
    /// The session.
    pub session_id: Value,
    /// The subject's address in it.
    pub address: Address,
    /// Why it ended.
    pub reason: Option<Value>,
}

/// The headers of one packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderReport {
    /// Ties the report to the content.
    pub content_identifier: Content,
    /// The flow the packet belongs to.
    pub stream_id: Value,
    /// Sender.
    pub source: Address,
    /// Receiver.
    pub destination: Address,
    /// Sender's port.
    pub source_port: Option<u16>,
    /// Receiver's port.
    pub destination_port: Option<u16>,
}

/// How many packets a flow had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SummaryReport {
    /// Ties the report to the content.
    pub content_identifier: Content,
    /// The flow.
    pub stream_id: Value,
    /// Sender.
    pub source: Address,
    /// Receiver.
    pub destination: Address,
    /// Packets since the last report of the flow.
    pub packet_count: u64,
    /// Sender's port.
    pub source_port: Option<u16>,
    /// Receiver's port.
    pub destination_port: Option<u16>,
}

/// An address and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// How it came to its holder.
    pub allocation: Allocation,
    /// IPv6 flow label, as text.
    pub flow_label: Option<String>,
    /// Bits of the prefix, where a whole prefix is meant.
    pub prefix_length: Option<u8>,
}

/// Where somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// In what terms.
    pub kind: String,
    /// The place.
    pub location: String,
}

/// A name in one of the forms that T1.IAS knows (its type Value).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "form", content = "value", rename_all = "kebab-case")]
pub enum Value {
    /// VisibleString or UTF8String.
    Text(String),
    /// INTEGER, in decimal digits; one of more than 128 bits in hexadecimal ones, behind `0x`.
    Integer(String),
    /// OCTET STRING.
    Octets(#[serde(serialize_with = "hexadecimal")] Vec<u8>),
    /// NumericString.
    Numeric(String),
}

/// What ties content and reports of one intercept together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// correlationID.
    Correlation(#[serde(serialize_with = "hexadecimal")] Vec<u8>),
    /// callID.
    Call(Call),
}

/// The identity of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The call.
    pub main: String,
    /// A leg of it.
    pub leg: Option<String>,
}

/// One packet of content (CmCC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cmcc {
    /// The agency's name for the case.
    pub case_id: Option<String>,
    /// The probe.
    pub iap_system_id: Option<String>,
    /// The intercept. None: the PDU has no header at all.
    pub content_identifier: Option<Content>,
    /// When the probe saw the packet.
    pub timestamp: Option<UtcMicros>,
    /// Which way it went.
    pub direction: Option<Direction>,
    /// Its number in the intercept.
    pub sequence: Option<u64>,
    /// The packet, from its IP header.
    #[serde(serialize_with = "hexadecimal")]
    pub payload: Vec<u8>,
}

/// Reads the message of CmII at the front of `bytes`, and says how many octets it has.
pub fn decode_cmii(bytes: &[u8]) -> Result<(Cmii, usize), DecodeError> {
    let (envelope, length) = front::<asn1::Envelope>("IasProtocol", bytes)?;
    let identifier: &[u32] = &envelope.protocol_identifier;
    if identifier != asn1::CMII_PROTOCOL {
        return Err(DecodeError::NotCmii);
    }
    Ok((message(envelope.ias_message.as_bytes())?, length))
}

/// Reads the packet of content at the front of `bytes`, and says how many octets its PDU has.
pub fn decode_cmcc(bytes: &[u8]) -> Result<(Cmcc, usize), DecodeError> {
    let (apdu, length) = front::<asn1::IasCcApdu>("IAS-CC-APDU", bytes)?;
    let payload = apdu.payload.to_vec();
    let Some(header) = apdu.cc_delivery_header else {
        let content = Cmcc {
            case_id: None,
            iap_system_id: None,
            content_identifier: None,
            timestamp: None,
            direction: None,
            sequence: None,
            payload,
        };
        return Ok((content, length));
    };
    let content = Cmcc {
        case_id: header.correlation_info.case_id.as_ref().map(visible),
        iap_system_id: header.correlation_info.iap_id.as_ref().map(visible),
        content_identifier: Some(header.correlation_info.content_identifier.into()),
        timestamp: header.time_stamp.as_ref().map(time).transpose()?,
        direction: header.packet_direction.map(|direction| match direction {
            asn1::PacketDirection::FromSubject => Direction::FromSubject,
            asn1::PacketDirection::ToSubject => Direction::ToSubject,
        }),
        sequence: header.sequence_number.map(|number| unsigned("sequenceNumber", number)).transpose()?,
        payload,
    };
    Ok((content, length))
}

/// The value at the front of `bytes`, and its length.
fn front<T: rasn::Decode>(what: &'static str, bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    let (value, rest) = rasn::ber::decode_with_remainder::<T>(bytes)
        .map_err(|error| DecodeError::Malformed { what, cause: error.to_string() })?;
    Ok((value, bytes.len() - rest.len()))
}

/// A message with the three members that each begins with.
macro_rules! told {
    ($given:ident, $message:expr) => {
        Cmii {
            case_id: visible(&$given.case_id),
            iap_system_id: visible(&$given.iap_system_id),
            timestamp: time(&$given.timestamp)?,
            message: $message,
        }
    };
}

/// An alternative of IasMessage, whole.
fn message(bytes: &[u8]) -> Result<Cmii, DecodeError> {
    let number = match bytes.first() {
        // Context-specific and constructed, with a tag number below 31.
        Some(&first) if first & 0xe0 == 0xa0 && first & 0x1f != 0x1f => u32::from(first & 0x1f),
        _ => return Err(DecodeError::Member { member: "iasMessage", fault: "no alternative of IasMessage" }),
    };
    if !asn1::IasMessage::is_known(number) {
        let head = asn1::decode_member::<asn1::Head>(number, bytes)
            .map_err(|error| DecodeError::Malformed { what: "message", cause: error.to_string() })?;
        return Ok(Cmii {
            case_id: visible(&head.case_id),
            iap_system_id: visible(&head.iap_system_id),
            timestamp: time(&head.timestamp)?,
            message: Message::Unsupported { number },
        });
    }
    let (message, _) = front::<asn1::IasMessage>("IasMessage", bytes)?;
    use asn1::IasMessage as Given;
    Ok(match message {
        Given::AccessAttempt(attempt) => told!(attempt, Message::AccessAttempt(attempt.into())),
        Given::AccessAccepted(accepted) => told!(accepted, Message::AccessAccepted(accepted.try_into()?)),
        Given::AccessFailed(failed) => told!(failed, Message::AccessFailed(failed.try_into()?)),
        Given::AccessSessionEnd(end) => told!(end, Message::AccessSessionEnd(end.try_into()?)),
        Given::AccessRejected(failed) => told!(failed, Message::AccessRejected(failed.try_into()?)),
        Given::AccessSignalingMessageReport(report) => told!(report, Message::AccessSignaling(report.into())),
        Given::SessionStart(start) => told!(start, Message::SessionStart(start.try_into()?)),
        Given::SessionFailed(failed) => told!(
            failed,
            Message::SessionFailed(SessionFailed {
                subscriber_identity: failed.subscriber_identity.into(),
                access_session_id: failed.access_session_id.map(Value::from),
                reason: failed.reason_for_termination.map(Value::from),
            })
        ),
        Given::SessionAlreadyEstablished(start) => told!(start, Message::SessionAlreadyEstablished(start.try_into()?)),
        Given::SessionEnd(end) => told!(
            end,
            Message::SessionEnd(SessionEnd {
                subscriber_identity: end.subscriber_identity.into(),
                access_session_id: end.access_session_id.map(Value::from),
                session_id: end.packet_data_session_id.into(),
                address: Address::try_from(end.ip_address)?,
                reason: end.reason_for_termination.map(Value::from),
            })
        ),
        Given::DataHeaderReport(report) => told!(
            report,
            Message::HeaderReport(HeaderReport {
                content_identifier: report.content_identifier.into(),
                stream_id: report.header_set.stream_id.into(),
                source: Address::try_from(report.header_set.source_ip_address)?,
                destination: Address::try_from(report.header_set.destination_ip_address)?,
                source_port: source_port(report.header_set.source_port_number)?,
                destination_port: destination_port(report.header_set.destination_port_number)?,
            })
        ),
        Given::DataSummaryReport(report) => told!(
            report,
            Message::SummaryReport(SummaryReport {
                content_identifier: report.content_identifier.into(),
                stream_id: report.stream_set.stream_id.into(),
                source: Address::try_from(report.stream_set.source_ip_address)?,
                destination: Address::try_from(report.stream_set.destination_ip_address)?,
                packet_count: unsigned("packetCount", report.stream_set.packet_count)?,
                source_port: source_port(report.stream_set.source_port_number)?,
                destination_port: destination_port(report.stream_set.destination_port_number)?,
            })
        ),
    })
}

impl TryFrom<asn1::SessionStart> for SessionStart {
    type Error = DecodeError;

    fn try_from(start: asn1::SessionStart) -> Result<Self, DecodeError> {
        Ok(Self {
            subscriber_identity: start.subscriber_identity.into(),
            access_session_id: start.access_session_id.map(Value::from),
            session_id: start.packet_data_session_id.into(),
            address: Address::try_from(start.ip_address)?,
            characteristics: start.access_session_characteristics.map(Value::from),
            location: start.location.map(Location::from),
            delivery: start.delivery_information.map(delivery::Delivery::try_from).transpose()?,
        })
    }
}

fn visible(text: &rasn::types::VisibleString) -> String {
    text.as_iso646_bytes().iter().copied().map(char::from).collect()
}

fn time(time: &rasn::types::GeneralizedTime) -> Result<UtcMicros, DecodeError> {
    Ok(UtcMicros::new(time.timestamp_micros())?)
}

fn port(member: &'static str, text: &str) -> Result<u16, DecodeError> {
    text.parse().map_err(|_| DecodeError::Member { member, fault: "no port number" })
}

fn source_port(text: Option<String>) -> Result<Option<u16>, DecodeError> {
    text.map(|text| port("sourcePortNumber", &text)).transpose()
}

fn destination_port(text: Option<String>) -> Result<Option<u16>, DecodeError> {
    text.map(|text| port("destinationPortNumber", &text)).transpose()
}

fn unsigned(member: &'static str, number: rasn::types::Integer) -> Result<u64, DecodeError> {
    u64::try_from(number).map_err(|_| DecodeError::Member { member, fault: "not from 0 to 2^64 - 1" })
}

fn bare_address(member: &'static str, address: &asn1::BareAddress) -> Result<IpAddr, DecodeError> {
    let address = match address {
        asn1::BareAddress::V4(octets) => <[u8; 4]>::try_from(octets.as_ref()).map(IpAddr::from),
        asn1::BareAddress::V6(octets) => <[u8; 16]>::try_from(octets.as_ref()).map(IpAddr::from),
    };
    address.map_err(|_| DecodeError::Member { member, fault: "not the octets of its family" })
}

impl TryFrom<asn1::IpAddress> for Address {
    type Error = DecodeError;

    fn try_from(address: asn1::IpAddress) -> Result<Self, DecodeError> {
        Ok(Self {
            address: bare_address("address", &address.address)?,
            allocation: match address.allocation_method {
                asn1::AllocationMethod::Static(()) => Allocation::Static,
                asn1::AllocationMethod::Dynamic(()) => Allocation::Dynamic,
                asn1::AllocationMethod::Unknown(()) => Allocation::Unknown,
                asn1::AllocationMethod::NotApplicable(()) => Allocation::NotApplicable,
            },
            flow_label: address.ipv6_flow_label,
            prefix_length: address
                .prefix_len
                .map(|length| {
                    u8::try_from(length)
                        .map_err(|_| DecodeError::Member { member: "prefixLen", fault: "not from 0 to 255" })
                })
                .transpose()?,
        })
    }
}

impl From<asn1::Location> for Location {
    fn from(location: asn1::Location) -> Self {
        Self { kind: location.location_type, location: location.location }
    }
}

impl From<asn1::Value> for Value {
    fn from(value: asn1::Value) -> Self {
        match value {
            asn1::Value::Visible(text) => Self::Text(visible(&text)),
            asn1::Value::Utf8(text) => Self::Text(text),
            // The decimal digits of a long number take a time that grows with the square of its length.
            asn1::Value::Integer(number) => Self::Integer(match i128::try_from(number) {
                Ok(number) => number.to_string(),
                Err(error) => format!("{:#x}", error.into_original()),
            }),
            asn1::Value::Octets(octets) => Self::Octets(octets.to_vec()),
            asn1::Value::Numeric(digits) => Self::Numeric(digits.as_bytes().iter().copied().map(char::from).collect()),
        }
    }
}

impl From<asn1::ContentIdentifier> for Content {
    fn from(identifier: asn1::ContentIdentifier) -> Self {
        match identifier {
            asn1::ContentIdentifier::CorrelationId(octets) => Self::Correlation(octets.to_vec()),
            asn1::ContentIdentifier::CallId(call) => Self::Call(Call { main: call.main, leg: call.leg }),
        }
    }
}
