//! The ASN.1 modules of the standard as rasn types, as far as Writ writes them: the reference that the fast path is
//! held to, and the way of what is written rarely.
//!
//! Tags are IMPLICIT, except that a member whose type is a CHOICE is tagged EXPLICIT. Here LI-PS-PDU (TS 102 232-1), in
//! [`ip_access`] IPAccessPDU (TS 102 232-3), in [`hi1`] HI1NotificationOperations. What is read goes another way
//! (`decode`), which can say where a fault is.
#![expect(missing_docs, reason = "types and members bear the names that the standard gives them")]

pub mod hi1;
pub mod ip_access;

use rasn::prelude::*;
use rasn::types::{Any, OctetString, PrintableString};

use super::records;
use super::terms::{
    CheckType, DataType, Direction, EncryptedPayloadType, EncryptionType, HashAlgorithm, IriType, NoticePriority,
    SignatureAlgorithm, TimeQualifier,
};
use crate::UtcMicros;

/// A value of these modules as DER.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    rasn::der::encode(value).expect("no type of these modules has a constraint, and writing to memory cannot fail")
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct PsPdu {
    #[rasn(tag(1))]
    pub ps_header: PsHeader,
    #[rasn(tag(explicit(2)))]
    pub payload: Payload,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct PsHeader {
    #[rasn(tag(0))]
    pub li_ps_domain_id: ObjectId,
    #[rasn(tag(1))]
    pub lawful_interception_identifier: OctetString,
    #[rasn(tag(2))]
    pub authorization_country_code: Option<PrintableString>,
    #[rasn(tag(3))]
    pub communication_identifier: CommunicationIdentifier,
    #[rasn(tag(4))]
    pub sequence_number: u32,
    #[rasn(tag(6))]
    pub interception_point_id: Option<PrintableString>,
    #[rasn(tag(7))]
    pub micro_second_time_stamp: MicroSecondTimeStamp,
    #[rasn(tag(8))]
    pub time_stamp_qualifier: TimeQualifier,
}

/// The contents of an OBJECT IDENTIFIER or a RELATIVE-OID, which the modules' versions are a part of. Always under a
/// context tag, which takes the place of its own.
pub type ObjectId = OctetString;

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct CommunicationIdentifier {
    #[rasn(tag(0))]
    pub network_identifier: NetworkIdentifier,
    #[rasn(tag(1))]
    pub communication_identity_number: u32,
    #[rasn(tag(2))]
    pub delivery_country_code: Option<PrintableString>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct NetworkIdentifier {
    #[rasn(tag(0))]
    pub operator_identifier: OctetString,
    #[rasn(tag(1))]
    pub network_element_identifier: Option<OctetString>,
}

#[derive(AsnType, Encode, Clone, Copy, Debug, PartialEq)]
pub struct MicroSecondTimeStamp {
    #[rasn(tag(0))]
    pub seconds: u64,
    #[rasn(tag(1))]
    pub micro_seconds: u32,
}

impl From<UtcMicros> for MicroSecondTimeStamp {
    fn from(time: UtcMicros) -> Self {
        let micros = time.unix_micros().unsigned_abs(); // never negative
        // What is left of a division by a million fits into 32 bits.
        Self { seconds: micros / 1_000_000, micro_seconds: (micros % 1_000_000) as u32 }
    }
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum Payload {
    #[rasn(tag(0))]
    Iri(Vec<IriPayload>),
    #[rasn(tag(1))]
    Cc(Vec<CcPayload>),
    #[rasn(tag(explicit(2)))]
    Tri(TriPayload),
    #[rasn(tag(explicit(3)))]
    Hi1(hi1::Hi1Operation),
    #[rasn(tag(4))]
    EncryptionContainer(EncryptionContainer),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct CcPayload {
    #[rasn(tag(0))]
    pub payload_direction: Option<Direction>,
    #[rasn(tag(explicit(2)))]
    pub cc_contents: CcContents,
    #[rasn(tag(3))]
    pub micro_second_time_stamp: Option<MicroSecondTimeStamp>,
    #[rasn(tag(4))]
    pub time_stamp_qualifier: Option<TimeQualifier>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum CcContents {
    #[rasn(tag(2))]
    Ip(ip_access::IpCc),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct IriPayload {
    #[rasn(tag(0))]
    pub iri_type: Option<IriType>,
    #[rasn(tag(explicit(2)))]
    pub iri_contents: IriContents,
    #[rasn(tag(6))]
    pub payload_direction: Option<Direction>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum IriContents {
    #[rasn(tag(2))]
    Ip(Box<ip_access::IpIri>),
    #[rasn(tag(20))]
    PacketReport(ip_access::IpIriPacketReport),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
#[rasn(choice)]
pub enum TriPayload {
    #[rasn(tag(0))]
    IntegrityCheck(IntegrityCheck),
    #[rasn(tag(1))]
    TestPdu(()),
    #[rasn(tag(2))]
    PaddingPdu(OctetString),
    #[rasn(tag(3))]
    KeepAlive(()),
    #[rasn(tag(4))]
    KeepAliveResponse(()),
    #[rasn(tag(5))]
    FirstSegmentFlag(()),
    #[rasn(tag(6))]
    LastSegmentFlag(()),
    #[rasn(tag(7))]
    CinReset(()),
    #[rasn(tag(8))]
    OperatorLeaMessage(OperatorLeaMessage),
    #[rasn(tag(9))]
    OptionRequest(OptionRequest),
    #[rasn(tag(10))]
    OptionResponse(OptionResponse),
    #[rasn(tag(11))]
    OptionComplete(()),
    #[rasn(tag(12))]
    PduAcknowledgementRequest(()),
    #[rasn(tag(13))]
    PduAcknowledgementResponse(()),
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct IntegrityCheck {
    #[rasn(tag(0))]
    pub included_sequence_numbers: Vec<u32>,
    #[rasn(tag(1))]
    pub check_type: CheckType,
    #[rasn(tag(2))]
    pub data_type: Option<DataType>,
    #[rasn(tag(3))]
    pub check_value: OctetString,
    #[rasn(tag(4))]
    pub hash_algorithm: Option<HashAlgorithm>,
    #[rasn(tag(5))]
    pub signature_algorithm: Option<SignatureAlgorithm>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct OperatorLeaMessage {
    #[rasn(tag(0))]
    pub message_priority: NoticePriority,
    #[rasn(tag(1))]
    pub message: OctetString,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct OptionRequest {
    #[rasn(tag(0))]
    pub requested_options: Vec<Any>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct OptionResponse {
    #[rasn(tag(0))]
    pub accepted_options: Vec<Any>,
    #[rasn(tag(1))]
    pub declined_options: Vec<Any>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct EncryptionContainer {
    #[rasn(tag(0))]
    pub encryption_type: EncryptionType,
    #[rasn(tag(1))]
    pub encrypted_payload: OctetString,
    #[rasn(tag(2))]
    pub encrypted_payload_type: Option<EncryptedPayloadType>,
}

#[derive(AsnType, Encode, Clone, Debug, PartialEq)]
pub struct EncryptedPayload {
    #[rasn(tag(0))]
    pub byte_counter: u64,
    #[rasn(tag(explicit(1)))]
    pub payload: Payload,
}

/// Option: every alternative known is a NULL under its number.
fn options(given: &[records::DeliveryOption]) -> Vec<Any> {
    let encoded = |option: &records::DeliveryOption| {
        let number = match *option {
            records::DeliveryOption::PduAcknowledgement => 0,
            records::DeliveryOption::Unknown(number) => number,
        };
        Any::new(crate::t1_ias::asn1::encode_member(number, &()))
    };
    given.iter().map(encoded).collect()
}

impl From<&records::Tri> for TriPayload {
    fn from(tri: &records::Tri) -> Self {
        match tri {
            records::Tri::IntegrityCheck(check) => Self::IntegrityCheck(IntegrityCheck {
                included_sequence_numbers: check.included.clone(),
                check_type: check.check,
                data_type: check.data,
                check_value: octets(&check.value.0),
                hash_algorithm: check.hash,
                signature_algorithm: check.signature,
            }),
            records::Tri::Test => Self::TestPdu(()),
            records::Tri::Padding(padding) => Self::PaddingPdu(octets(&padding.0)),
            records::Tri::KeepAlive => Self::KeepAlive(()),
            records::Tri::KeepAliveResponse => Self::KeepAliveResponse(()),
            records::Tri::FirstSegment => Self::FirstSegmentFlag(()),
            records::Tri::LastSegment => Self::LastSegmentFlag(()),
            records::Tri::CinReset => Self::CinReset(()),
            records::Tri::OperatorMessage { priority, message } => Self::OperatorLeaMessage(OperatorLeaMessage {
                message_priority: *priority,
                message: octets(&message.0),
            }),
            records::Tri::OptionRequest { requested } => {
                Self::OptionRequest(OptionRequest { requested_options: options(requested) })
            }
            records::Tri::OptionResponse { accepted, declined } => Self::OptionResponse(OptionResponse {
                accepted_options: options(accepted),
                declined_options: options(declined),
            }),
            records::Tri::OptionComplete => Self::OptionComplete(()),
            records::Tri::AcknowledgementRequest => Self::PduAcknowledgementRequest(()),
            records::Tri::AcknowledgementResponse => Self::PduAcknowledgementResponse(()),
        }
    }
}

pub(super) fn octets(bytes: &[u8]) -> OctetString {
    bytes.to_vec().into()
}

/// A text whose alphabet was checked when its name was made.
pub(super) fn printable(text: &str) -> PrintableString {
    PrintableString::from_bytes(text.as_bytes()).expect("names are checked for this alphabet when made")
}
