//! PDUs read back: what the collector gets from the bytes that arrived, as plain values that print well as JSON.
//!
//! A payload that is not read here is a value too, named by its number, with its octets; members that a later edition
//! may add are passed over or kept as they came. A fault names its member and its octet.

mod ip_access;

use serde::Serialize;

use super::names::{Label, Octets};
use super::read::{DecodeError, Fault, Result, Unread, Value};
use super::records::{AccessReport, DeliveryOption, Hi1, Hi1Change, IntegrityCheck, Summary, Tri};
use super::terms::{Direction, EncryptedPayloadType, EncryptionType, IriType, TimeQualifier};
use crate::UtcMicros;

/// A PS-PDU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pdu {
    /// Whose it is, and which.
    pub header: PsHeader,
    /// What it says.
    pub payload: Payload,
}

/// PSHeader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PsHeader {
    /// The version of LI-PS-PDU that its object identifier names.
    pub version: u32,
    /// The agency's name for the intercept.
    pub liid: Label,
    /// The country whose law allows it.
    pub authorization_country: Option<String>,
    /// The operator.
    pub operator: Label,
    /// The probe.
    pub network_element: Option<Label>,
    /// The session of the target (communicationIdentityNumber).
    pub cin: Option<u32>,
    /// The country of the agency.
    pub delivery_country: Option<String>,
    /// Its number among those of its kind in the session.
    pub sequence: u32,
    /// When: by microSecondTimeStamp, else by timeStamp.
    pub time: Option<UtcMicros>,
    /// Where in the network.
    pub interception_point: Option<String>,
    /// What it is the time of.
    pub qualifier: Option<TimeQualifier>,
}

/// What a PDU says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// Intercept-related information.
    Iri(Vec<Iri>),
    /// Content.
    Cc(Vec<Cc>),
    /// A message about the delivery.
    Tri(Tri),
    /// That an intercept began, changed or ended.
    Hi1(Hi1),
    /// A payload that only its key opens.
    Encrypted(Container),
    /// A payload that is not read here.
    Unsupported(Unsupported),
}

/// Something of the standard that is not read here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unsupported {
    /// The CHOICE of which it is an alternative.
    pub choice: &'static str,
    /// The alternative, as it came.
    #[serde(flatten)]
    pub alternative: Unread,
}

/// One of the IRIs of a PDU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Iri {
    /// Where in a session it stands.
    pub kind: Option<IriType>,
    /// When, where it says so itself.
    pub time: Option<UtcMicros>,
    /// What it is the time of.
    pub qualifier: Option<TimeQualifier>,
    /// Which way the session went.
    pub session_direction: Option<Direction>,
    /// Which way the packet went.
    pub direction: Option<Direction>,
    /// What it says.
    pub contents: IriContents,
}

/// What an IRI says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IriContents {
    /// An event of the target's access (iPIRI).
    Access {
        /// The event.
        report: Box<AccessReport>,
        /// Members that are not read here: location, national parameters, those of a later edition.
        unread: Vec<Unread>,
    },
    /// A packet's headers (iPIRIPacketReport).
    Header(Octets),
    /// A flow (iPIRIPacketReport).
    Summary(Summary),
    /// Another service's.
    Unsupported(Unsupported),
}

/// One of the packets of a PDU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cc {
    /// Which way it went.
    pub direction: Option<Direction>,
    /// When, where it says so itself.
    pub time: Option<UtcMicros>,
    /// What it is the time of.
    pub qualifier: Option<TimeQualifier>,
    /// The packet.
    pub contents: CcContents,
}

/// The content itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CcContents {
    /// An IP packet, from its header.
    Packet(Octets),
    /// The front of one.
    Truncated {
        /// As much of it as there is.
        packet: Octets,
        /// How long it was.
        original_length: Option<u64>,
    },
    /// Another service's.
    Unsupported(Unsupported),
}

/// EncryptionContainer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// The cipher.
    pub cipher: EncryptionType,
    /// What only the key opens.
    pub octets: Octets,
    /// Which part of the standard is in it.
    pub part: Option<EncryptedPayloadType>,
}

/// Reads the PS-PDU at the front of `bytes`, and says how many octets it has.
pub fn decode(bytes: &[u8]) -> Result<(Pdu, usize)> {
    let (value, length) = Value::read(bytes, 0)?;
    if !value.is_sequence() {
        return Err(value.fault(Fault::Identifier));
    }
    let mut members = value.members()?;
    let header = members.required(1, "pSHeader", header)?;
    let payload = members.required(2, "payload", |value| payload(value.choice()?))?;
    members.finish(3)?;
    Ok((Pdu { header, payload }, length))
}

fn header(value: Value<'_>) -> Result<PsHeader> {
    let mut members = value.members()?;
    let version = members.required(0, "li-psDomainId", domain)?;
    let liid = members.required(1, "lawfulInterceptionIdentifier", |value| value.label(1..=25))?;
    let authorization_country = members.optional(2, "authorizationCountryCode", |value| value.printable(2..=2))?;
    let communication = members.required(3, "communicationIdentifier", |value| {
        let mut members = value.members()?;
        let network = members.required(0, "networkIdentifier", |value| {
            let mut members = value.members()?;
            let operator = members.required(0, "operatorIdentifier", |value| value.label(1..=16))?;
            let element = members.optional(1, "networkElementIdentifier", |value| value.label(1..=16))?;
            members.finish(2)?;
            Ok((operator, element))
        })?;
        let cin = members.optional(1, "communicationIdentityNumber", Value::unsigned_32)?;
        let country = members.optional(2, "deliveryCountryCode", |value| value.printable(2..=2))?;
        members.finish(3)?;
        Ok((network, cin, country))
    })?;
    let ((operator, network_element), cin, delivery_country) = communication;
    let sequence = members.required(4, "sequenceNumber", Value::unsigned_32)?;
    let time = members.optional(5, "timeStamp", Value::time)?;
    let interception_point = members.optional(6, "interceptionPointID", |value| value.printable(1..=8))?;
    let stamp = members.optional(7, "microSecondTimeStamp", Value::stamp)?;
    let qualifier = members.optional(8, "timeStampQualifier", Value::enumerated)?;
    members.finish(9)?;
    Ok(PsHeader {
        version,
        liid,
        authorization_country,
        operator,
        network_element,
        cin,
        delivery_country,
        sequence,
        time: stamp.or(time),
        interception_point,
        qualifier,
    })
}

/// The version in 0.4.0.2.2 li-ps(5) genHeader(1) versionN(N).
fn domain(value: Value<'_>) -> Result<u32> {
    match *value.octets(1..=usize::MAX)? {
        [4, 0, 2, 2, 5, 1, version @ 0..0x80] => Ok(version.into()),
        [4, 0, 2, 2, 5, 1, high @ 0x81..=0xff, low @ 0..0x80] => Ok(u32::from(high & 0x7f) << 7 | u32::from(low)),
        _ => Err(value.fault(Fault::Object)),
    }
}

/// An alternative of Payload, also that of EncryptedPayload.
pub(super) fn payload(value: Value<'_>) -> Result<Payload> {
    match value.alternative()? {
        0 => named("iRIPayloadSequence", value.each(iri).map(Payload::Iri)),
        1 => named("cCPayloadSequence", value.each(cc).map(Payload::Cc)),
        2 => named("tRIPayload", value.choice().and_then(tri)),
        3 => named("hI1-Operation", value.choice().and_then(hi1)),
        4 => named("encryptionContainer", container(value).map(Payload::Encrypted)),
        _ => Ok(Payload::Unsupported(unsupported("Payload", value))),
    }
}

/// What an alternative of a CHOICE gave, its faults with its name.
fn named<T>(alternative: &'static str, read: Result<T>) -> Result<T> {
    read.map_err(|error| error.within(alternative))
}

fn unsupported(choice: &'static str, value: Value<'_>) -> Unsupported {
    Unsupported { choice, alternative: value.into() }
}

fn iri(value: Value<'_>) -> Result<Iri> {
    let mut members = sequence(value)?;
    let kind = members.optional(0, "iRIType", Value::enumerated)?;
    let time = members.optional(1, "timeStamp", Value::time)?;
    let contents = members.required(2, "iRIContents", |value| {
        let value = value.choice()?;
        match value.alternative()? {
            2 => named("iPIRI", ip_access::event(value)),
            20 => named("iPIRIPacketReport", ip_access::report(value)),
            _ => Ok(IriContents::Unsupported(unsupported("IRIContents", value))),
        }
    })?;
    let stamp = members.optional(3, "microSecondTimeStamp", Value::stamp)?;
    let qualifier = members.optional(4, "timeStampQualifier", Value::enumerated)?;
    let session_direction = members.optional(5, "sessionDirection", Value::enumerated)?;
    let direction = members.optional(6, "payloadDirection", Value::enumerated)?;
    members.finish(7)?;
    Ok(Iri { kind, time: stamp.or(time), qualifier, session_direction, direction, contents })
}

fn cc(value: Value<'_>) -> Result<Cc> {
    let mut members = sequence(value)?;
    let direction = members.optional(0, "payloadDirection", Value::enumerated)?;
    let time = members.optional(1, "timeStamp", Value::time)?;
    let contents = members.required(2, "cCContents", |value| {
        let value = value.choice()?;
        match value.alternative()? {
            2 => named("iPCC", ip_access::content(value)),
            _ => Ok(CcContents::Unsupported(unsupported("CCContents", value))),
        }
    })?;
    let stamp = members.optional(3, "microSecondTimeStamp", Value::stamp)?;
    let qualifier = members.optional(4, "timeStampQualifier", Value::enumerated)?;
    members.finish(5)?;
    Ok(Cc { direction, time: stamp.or(time), qualifier, contents })
}

/// The members of a payload, which has the identifier of a SEQUENCE.
fn sequence(value: Value<'_>) -> Result<super::read::Members<'_>> {
    if value.is_sequence() { value.members() } else { Err(value.fault(Fault::Unexpected)) }
}

fn tri(value: Value<'_>) -> Result<Payload> {
    let flag = |tri| value.null().map(|()| tri);
    let tri = match value.alternative()? {
        0 => integrity_check(value).map(Tri::IntegrityCheck),
        1 => flag(Tri::Test),
        2 => value.any_octets().map(Tri::Padding),
        3 => flag(Tri::KeepAlive),
        4 => flag(Tri::KeepAliveResponse),
        5 => flag(Tri::FirstSegment),
        6 => flag(Tri::LastSegment),
        7 => flag(Tri::CinReset),
        8 => {
            let mut members = value.members()?;
            let priority = members.required(0, "messagePriority", Value::enumerated)?;
            let message = members.required(1, "message", |value| value.label(1..=255))?;
            members.finish(2)?;
            Ok(Tri::OperatorMessage { priority, message })
        }
        9 => {
            let mut members = value.members()?;
            let requested = members.required(0, "requestedOptions", |value| value.each(option))?;
            members.finish(1)?;
            Ok(Tri::OptionRequest { requested })
        }
        10 => {
            let mut members = value.members()?;
            let accepted = members.required(0, "acceptedOptions", |value| value.each(option))?;
            let declined = members.required(1, "declinedOptions", |value| value.each(option))?;
            members.finish(2)?;
            Ok(Tri::OptionResponse { accepted, declined })
        }
        11 => flag(Tri::OptionComplete),
        12 => flag(Tri::AcknowledgementRequest),
        13 => flag(Tri::AcknowledgementResponse),
        _ => return Ok(Payload::Unsupported(unsupported("TRIPayload", value))),
    };
    tri.map(Payload::Tri)
}

fn option(value: Value<'_>) -> Result<DeliveryOption> {
    match value.alternative()? {
        0 => value.null().map(|()| DeliveryOption::PduAcknowledgement),
        number => Ok(DeliveryOption::Unknown(number)),
    }
}

fn integrity_check(value: Value<'_>) -> Result<IntegrityCheck> {
    let mut members = value.members()?;
    let included = members.required(0, "includedSequenceNumbers", |value| value.each(Value::unsigned_32))?;
    let check = members.required(1, "checkType", Value::enumerated)?;
    let data = members.optional(2, "dataType", Value::enumerated)?;
    let value = members.required(3, "checkValue", Value::any_octets)?;
    let hash = members.optional(4, "hashAlgorithm", Value::enumerated)?;
    let signature = members.optional(5, "signatureAlgorithm", Value::enumerated)?;
    members.finish(6)?;
    Ok(IntegrityCheck { included, check, data, value, hash, signature })
}

fn hi1(value: Value<'_>) -> Result<Payload> {
    let change = match value.alternative()? {
        1 => Hi1Change::Activated,
        2 => Hi1Change::Deactivated,
        3 => Hi1Change::Modified,
        _ => return Ok(Payload::Unsupported(unsupported("HI1-Operation", value))),
    };
    let mut members = value.members()?;
    members.optional(0, "domainID", |value| value.octets(1..=usize::MAX).map(drop))?;
    let liid = members.required(1, "lawfulInterceptionIdentifier", |value| value.label(1..=25))?;
    // What is in it stands in the PDU's own header.
    members.optional(2, "communicationIdentifier", |value| value.members().map(drop))?;
    let time = members.required(3, "timeStamp", |value| {
        let value = value.choice()?;
        match value.alternative()? {
            0 => {
                let mut members = value.members()?;
                let time = members.required(0, "generalizedTime", Value::time)?;
                members.required(1, "winterSummerIndication", |value| value.unsigned(2))?;
                members.finish(2)?;
                Ok(time)
            }
            _ => Err(value.fault(Fault::Time)),
        }
    })?;
    let _national = members.optional(5, "national-HI1-ASN1parameters", |value| value.members().map(drop))?;
    let target = members.optional(6, "target-Information", |value| value.label(1..=256))?;
    members.finish(7)?;
    Ok(Payload::Hi1(Hi1 { change, liid, time, target }))
}

fn container(value: Value<'_>) -> Result<Container> {
    let mut members = value.members()?;
    let cipher = members.required(0, "encryptionType", Value::enumerated)?;
    let octets = members.required(1, "encryptedPayload", Value::any_octets)?;
    let part = members.optional(2, "encryptedPayloadType", Value::enumerated)?;
    members.finish(3)?;
    Ok(Container { cipher, octets, part })
}

/// EncryptedPayload: the byte counter and what the container held. Behind it stands what fills the last block.
pub(super) fn opened(bytes: &[u8]) -> Result<(u64, Payload)> {
    let (value, length) = Value::read(bytes, 0)?;
    if !value.is_sequence() {
        return Err(value.fault(Fault::Identifier));
    }
    let mut members = value.members()?;
    let counter = members.required(0, "byteCounter", |value| value.unsigned(u64::MAX))?;
    let payload = members.required(1, "payload", |value| payload(value.choice()?))?;
    members.finish(2)?;
    if bytes.len() - length >= super::container::BLOCK {
        return Err(DecodeError::new(length, Fault::Unexpected));
    }
    Ok((counter, payload))
}
