//! The ASN.1 module of T1.IAS as rasn types: the reference that the fast path is held to, and what the decoder reads.
//!
//! Tags are IMPLICIT, except that a member whose type is a CHOICE is tagged EXPLICIT. The module itself, as text:
//! `encoder/asn1/T1-IAS.asn1`.
#![expect(missing_docs, reason = "types and members bear the names that the standard gives them")]

use rasn::prelude::*;
use rasn::types::{Any, NumericString, OctetString};

use super::{Allocation, Assignment, ContentIdentifier as GivenContentIdentifier};
use crate::UtcMicros;

/// A message: the three members that each begins with, its own, and what a later edition may add. The members go through
/// as tokens: rasn has to see an `Option` as such.
macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($members:tt)* }) => {
        $(#[$doc])*
        #[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            #[rasn(tag(0))]
            pub case_id: VisibleString,
            #[rasn(tag(1))]
            pub iap_system_id: VisibleString,
            #[rasn(tag(2))]
            pub timestamp: GeneralizedTime,
            $($members)*
            pub unknown: Unknown,
        }
    };
}

mod access;
mod delivery;
mod optional;

pub use access::{
    AccessAccepted, AccessAttempt, AccessFailed, AccessMethod, AccessSessionEnd, AccessSignalingMessageReport,
    AccessType, MessageType, Protocol, ProtocolSignal, SignalingMessage,
};
pub use delivery::{CcAddress, CcDeliveryFormat, CccIdentity, CccPair, DeliveryIdentifier, LeaCmcDelivery};
pub use optional::{IasOptionalMessage, IasOptionalProtocol, ServiceEvent, SurveillanceStatus};

/// protocolIdentifier of CmII: 1.2.840.113737.2.1.1.0.0.
pub const CMII_PROTOCOL: &[u32] = &[1, 2, 840, 113_737, 2, 1, 1, 0, 0];

/// A value of this module as DER.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    rasn::der::encode(value).expect(INFALLIBLE)
}

/// A member of a SEQUENCE as DER, under its context tag: EXPLICIT for a CHOICE, else IMPLICIT.
pub(crate) fn encode_member<T: Encode>(tag: u32, value: &T) -> Vec<u8> {
    let tag = Tag::new(rasn::types::Class::Context, tag);
    rasn::der::encode_scope(|encoder| value.encode_with_tag(encoder, tag)).expect(INFALLIBLE)
}

/// The other way round: one value of BER and nothing behind it.
pub(crate) fn decode_member<T: Decode>(tag: u32, bytes: &[u8]) -> Result<T, rasn::error::DecodeError> {
    let mut decoder = rasn::ber::de::Decoder::new(bytes, rasn::ber::de::DecoderOptions::ber());
    T::decode_with_tag(&mut decoder, Tag::new(rasn::types::Class::Context, tag))
}

/// Why encoding a value of this module cannot fail.
const INFALLIBLE: &str = "no type of this module has a constraint, and writing to memory has no other way to fail";

/// Members that stand behind those we know: a later edition of the standard may add some. They are kept as they came, so
/// that a message that is read and written again stays the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown(pub Vec<Any>);

impl AsnType for Unknown {
    const TAG: Tag = Tag::EOC;
}

impl Decode for Unknown {
    fn decode_with_tag_and_constraints<D: Decoder>(decoder: &mut D, _: Tag, _: &Constraints) -> Result<Self, D::Error> {
        let mut members = Vec::new();
        while let Some(member) = decoder.decode_optional::<Any>()? {
            members.push(member);
        }
        Ok(Self(members))
    }
}

impl Encode for Unknown {
    fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
        &self,
        encoder: &mut E,
        _: Tag,
        _: &Constraints,
        _: rasn::types::Identifier,
    ) -> Result<(), E::Error> {
        self.0.iter().try_for_each(|member| member.encode(encoder))
    }
}

/// One message on CmII.
#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct IasProtocol {
    pub protocol_identifier: ObjectIdentifier,
    pub ias_message: IasMessage,
    pub unknown: Unknown,
}

/// [`IasProtocol`] before it is known whether the message is one of ours.
#[derive(AsnType, Decode, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub protocol_identifier: ObjectIdentifier,
    pub ias_message: Any,
    pub unknown: Unknown,
}

/// What every message begins with, and as much as can be read of one that is not in [`IasMessage`].
#[derive(AsnType, Decode, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    #[rasn(tag(0))]
    pub case_id: VisibleString,
    #[rasn(tag(1))]
    pub iap_system_id: VisibleString,
    #[rasn(tag(2))]
    pub timestamp: GeneralizedTime,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum IasMessage {
    #[rasn(tag(0))]
    AccessAttempt(AccessAttempt),
    #[rasn(tag(1))]
    AccessAccepted(AccessAccepted),
    #[rasn(tag(2))]
    AccessFailed(AccessFailed),
    #[rasn(tag(3))]
    AccessSessionEnd(AccessSessionEnd),
    #[rasn(tag(4))]
    AccessRejected(AccessFailed),
    #[rasn(tag(5))]
    AccessSignalingMessageReport(AccessSignalingMessageReport),
    #[rasn(tag(6))]
    SessionStart(SessionStart),
    #[rasn(tag(7))]
    SessionFailed(SessionFailed),
    #[rasn(tag(8))]
    SessionEnd(SessionEnd),
    #[rasn(tag(9))]
    SessionAlreadyEstablished(SessionStart),
    #[rasn(tag(10))]
    DataHeaderReport(PacketDataHeaderReport),
    #[rasn(tag(11))]
    DataSummaryReport(PacketDataSummaryReport),
}

impl IasMessage {
    /// Whether the alternative with this tag number can be read.
    pub(crate) const fn is_known(number: u32) -> bool {
        number <= 11
    }
}

message! {
    /// Session-Start and Session-Already-Established.
    SessionStart {
        #[rasn(tag(explicit(3)))]
        pub subscriber_identity: Value,
        #[rasn(tag(explicit(4)))]
        pub access_session_id: Option<Value>,
        #[rasn(tag(explicit(5)))]
        pub packet_data_session_id: Value,
        #[rasn(tag(6))]
        pub ip_address: IpAddress,
        #[rasn(tag(explicit(7)))]
        pub access_session_characteristics: Option<Value>,
        #[rasn(tag(8))]
        pub location: Option<Location>,
        #[rasn(tag(9))]
        pub delivery_information: Option<LeaCmcDelivery>,
    }
}

message! {
    SessionFailed {
        #[rasn(tag(explicit(3)))]
        pub subscriber_identity: Value,
        #[rasn(tag(explicit(4)))]
        pub access_session_id: Option<Value>,
        #[rasn(tag(explicit(5)))]
        pub reason_for_termination: Option<Value>,
    }
}

message! {
    SessionEnd {
        #[rasn(tag(explicit(3)))]
        pub subscriber_identity: Value,
        #[rasn(tag(explicit(4)))]
        pub access_session_id: Option<Value>,
        #[rasn(tag(explicit(5)))]
        pub packet_data_session_id: Value,
        #[rasn(tag(6))]
        pub ip_address: IpAddress,
        #[rasn(tag(explicit(7)))]
        pub reason_for_termination: Option<Value>,
    }
}

message! {
    PacketDataHeaderReport {
        #[rasn(tag(explicit(3)))]
        pub content_identifier: ContentIdentifier,
        #[rasn(tag(4))]
        pub header_set: HeaderSet,
    }
}

message! {
    PacketDataSummaryReport {
        #[rasn(tag(explicit(3)))]
        pub content_identifier: ContentIdentifier,
        #[rasn(tag(4))]
        pub stream_set: StreamSet,
    }
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct StreamSet {
    #[rasn(tag(explicit(0)))]
    pub stream_id: Value,
    #[rasn(tag(1))]
    pub source_ip_address: IpAddress,
    #[rasn(tag(2))]
    pub destination_ip_address: IpAddress,
    #[rasn(tag(3))]
    pub packet_count: Integer,
    #[rasn(tag(4))]
    pub source_port_number: Option<Utf8String>,
    #[rasn(tag(5))]
    pub destination_port_number: Option<Utf8String>,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct HeaderSet {
    #[rasn(tag(explicit(0)))]
    pub stream_id: Value,
    #[rasn(tag(1))]
    pub source_ip_address: IpAddress,
    #[rasn(tag(2))]
    pub destination_ip_address: IpAddress,
    #[rasn(tag(3))]
    pub source_port_number: Option<Utf8String>,
    #[rasn(tag(4))]
    pub destination_port_number: Option<Utf8String>,
    pub unknown: Unknown,
}

/// IPAddress: an address and what is known of it.
#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct IpAddress {
    #[rasn(tag(explicit(0)))]
    pub address: BareAddress,
    #[rasn(tag(explicit(1)))]
    pub allocation_method: AllocationMethod,
    #[rasn(tag(2))]
    pub ipv6_flow_label: Option<Utf8String>,
    #[rasn(tag(3))]
    pub prefix_len: Option<Integer>,
    pub unknown: Unknown,
}

/// IpAddress: the address alone, 4 or 16 octets in network order.
#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum BareAddress {
    #[rasn(tag(1))]
    V4(OctetString),
    #[rasn(tag(2))]
    V6(OctetString),
}

#[derive(AsnType, Encode, Decode, Clone, Copy, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum AllocationMethod {
    #[rasn(tag(0))]
    Static(()),
    #[rasn(tag(1))]
    Dynamic(()),
    #[rasn(tag(2))]
    Unknown(()),
    #[rasn(tag(3))]
    NotApplicable(()),
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum Value {
    #[rasn(tag(0))]
    Visible(VisibleString),
    #[rasn(tag(1))]
    Utf8(Utf8String),
    #[rasn(tag(2))]
    Integer(Integer),
    #[rasn(tag(3))]
    Octets(OctetString),
    #[rasn(tag(4))]
    Numeric(NumericString),
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct Location {
    #[rasn(tag(0))]
    pub location_type: Utf8String,
    #[rasn(tag(1))]
    pub location: Utf8String,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum ContentIdentifier {
    #[rasn(tag(0))]
    CorrelationId(OctetString),
    #[rasn(tag(1))]
    CallId(CallId),
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct CallId {
    #[rasn(tag(0))]
    pub main: Utf8String,
    #[rasn(tag(1))]
    pub leg: Option<Utf8String>,
    pub unknown: Unknown,
}

/// IAS-CC-APDU: one packet of content on CmC.
#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct IasCcApdu {
    #[rasn(tag(0))]
    pub cc_delivery_header: Option<CcDeliveryHeader>,
    #[rasn(tag(1))]
    pub payload: OctetString,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct CcDeliveryHeader {
    #[rasn(tag(0))]
    pub correlation_info: CorrelationInfo,
    #[rasn(tag(1))]
    pub time_stamp: Option<GeneralizedTime>,
    #[rasn(tag(2))]
    pub packet_direction: Option<PacketDirection>,
    #[rasn(tag(3))]
    pub sequence_number: Option<Integer>,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct CorrelationInfo {
    #[rasn(tag(0))]
    pub case_id: Option<VisibleString>,
    #[rasn(tag(1))]
    pub iap_id: Option<VisibleString>,
    #[rasn(tag(explicit(2)))]
    pub content_identifier: ContentIdentifier,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Copy, Debug, PartialEq, Eq)]
#[rasn(enumerated)]
pub enum PacketDirection {
    FromSubject = 0,
    ToSubject = 1,
}

impl Value {
    /// A text as VisibleString if it fits into one, else as UTF8String.
    pub(crate) fn text(text: &str) -> Self {
        match VisibleString::from_iso646_bytes(text.as_bytes()) {
            Ok(visible) => Self::Visible(visible),
            Err(_) => Self::Utf8(text.to_owned()),
        }
    }
}

impl IpAddress {
    pub(crate) fn of(assignment: Assignment) -> Self {
        let prefix_len = assignment.prefix_length.map(Integer::from);
        Self { prefix_len, ..Self::new(assignment.address, assignment.allocation) }
    }

    pub(crate) fn new(address: std::net::IpAddr, allocation: Allocation) -> Self {
        Self {
            address: address.into(),
            allocation_method: match allocation {
                Allocation::Static => AllocationMethod::Static(()),
                Allocation::Dynamic => AllocationMethod::Dynamic(()),
                Allocation::Unknown => AllocationMethod::Unknown(()),
                Allocation::NotApplicable => AllocationMethod::NotApplicable(()),
            },
            ipv6_flow_label: None,
            prefix_len: None,
            unknown: Unknown::default(),
        }
    }
}

impl From<std::net::IpAddr> for BareAddress {
    fn from(address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(v4) => Self::V4(v4.octets().to_vec().into()),
            std::net::IpAddr::V6(v6) => Self::V6(v6.octets().to_vec().into()),
        }
    }
}

/// The members of a SET OF in the order that DER wants (X.690, 11.6).
pub(crate) fn in_der_order<T: Encode>(members: impl Iterator<Item = T>) -> Vec<T> {
    let mut members: Vec<T> = members.collect();
    members.sort_by_cached_key(encode);
    members
}

impl From<&GivenContentIdentifier> for ContentIdentifier {
    fn from(given: &GivenContentIdentifier) -> Self {
        match given {
            GivenContentIdentifier::Correlation(id) => Self::CorrelationId(id.as_bytes().to_vec().into()),
            GivenContentIdentifier::Call { main, leg } => Self::CallId(CallId {
                main: main.as_str().to_owned(),
                leg: leg.as_ref().map(|leg| leg.as_str().to_owned()),
                unknown: Unknown::default(),
            }),
        }
    }
}

/// The text of a [`CaseId`](super::CaseId) or [`IapSystemId`](super::IapSystemId).
pub(crate) fn visible(checked: &str) -> VisibleString {
    VisibleString::from_iso646_bytes(checked.as_bytes()).expect("identifiers are checked for this alphabet when made")
}

/// The time as rasn has it.
pub(crate) fn generalized(time: UtcMicros) -> GeneralizedTime {
    // `UtcMicros` is within 1970 to 9999, where chrono always has an answer; the epoch stands in for none.
    chrono::DateTime::from_timestamp_micros(time.unix_micros()).unwrap_or_default().fixed_offset()
}
