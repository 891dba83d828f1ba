//! The template of one warrant: who and what every PDU names, encoded once.
//!
//! The control role makes one when a warrant comes into force, from names that were checked with the order. Session
//! events are rare and go through the types of [`asn1`](super::asn1); what is written for every packet is in `fast`.

mod events;
mod optional;
mod summary;

pub use events::{
    AccessMethod, AccessPoint, AccessType, CcFormat, Delivery, DeliveryIdentifier, Event, Place, Protocol,
    ProtocolSignal, Session, SignalingKind, SignalingMessage,
};
pub use optional::{OptionalModule, OptionalModuleError, Surveillance};
pub use summary::Summary;

use rasn::prelude::VisibleString;
use rasn::types::ObjectIdentifier;

use super::asn1::{self, Unknown};
use super::{
    Allocation, Assignment, CaseId, ContentIdentifier, Direction, Flow, IapSystemId, Reason, SessionId,
    SubscriberIdentity,
};
use crate::UtcMicros;
use crate::ber::Prepared;

/// Writes the PDUs of one warrant.
#[derive(Clone, Debug)]
pub struct Intercept {
    case_id: VisibleString,
    iap_system_id: VisibleString,
    content_identifier: asn1::ContentIdentifier,
    subscriber_identity: asn1::Value,
    /// correlationInfo \[0\] of CmCC, whole.
    pub(super) correlation_info: Prepared,
    /// caseId \[0\] and iAPSystemId \[1\], with which every message on CmII begins.
    pub(super) message_head: Prepared,
    /// contentIdentifier \[3\] of a header report, whole.
    pub(super) report_content_identifier: Prepared,
}

impl Intercept {
    /// The template for a warrant with these names.
    pub fn new(
        case_id: &CaseId,
        iap_system_id: &IapSystemId,
        content_identifier: &ContentIdentifier,
        subscriber_identity: &SubscriberIdentity,
    ) -> Self {
        let case_id = asn1::visible(case_id.as_str());
        let iap_system_id = asn1::visible(iap_system_id.as_str());
        let content_identifier = asn1::ContentIdentifier::from(content_identifier);
        let subscriber_identity = asn1::Value::text(subscriber_identity.as_str());

        let mut message_head = asn1::encode_member(0, &case_id);
        message_head.extend(asn1::encode_member(1, &iap_system_id));
        let report_content_identifier = asn1::encode_member(3, &content_identifier).into();
        let mut intercept = Self {
            case_id,
            iap_system_id,
            content_identifier,
            subscriber_identity,
            correlation_info: Vec::new().into(),
            message_head: message_head.into(),
            report_content_identifier,
        };
        intercept.correlation_info = asn1::encode_member(0, &intercept.correlation()).into();
        intercept
    }

    /// Session-Already-Established: the subject's session was there when the warrant came into force. Sent for a fixed
    /// address at activation.
    pub fn session_already_established(&self, time: UtcMicros, session: &SessionId, assignment: Assignment) -> Vec<u8> {
        self.event(asn1::IasMessage::SessionAlreadyEstablished(self.session(time, session, assignment)))
    }

    /// Session-Start: a session of the subject began while the warrant is in force.
    pub fn session_start(&self, time: UtcMicros, session: &SessionId, assignment: Assignment) -> Vec<u8> {
        self.event(asn1::IasMessage::SessionStart(self.session(time, session, assignment)))
    }

    /// Session-End: the session is over, or the warrant is.
    pub fn session_end(
        &self,
        time: UtcMicros,
        session: &SessionId,
        assignment: Assignment,
        reason: &Reason,
    ) -> Vec<u8> {
        self.event(asn1::IasMessage::SessionEnd(asn1::SessionEnd {
            case_id: self.case_id.clone(),
            iap_system_id: self.iap_system_id.clone(),
            timestamp: asn1::generalized(time),
            subscriber_identity: self.subscriber_identity.clone(),
            access_session_id: None,
            packet_data_session_id: asn1::Value::text(session.as_str()),
            ip_address: asn1::IpAddress::of(assignment),
            reason_for_termination: Some(asn1::Value::text(reason.as_str())),
            unknown: Unknown::default(),
        }))
    }

    /// What [`content`](Self::content) writes, as the type of the standard.
    pub fn content_apdu(
        &self,
        time: UtcMicros,
        direction: impl Into<Option<Direction>>,
        sequence: u64,
        packet: &[u8],
    ) -> asn1::IasCcApdu {
        asn1::IasCcApdu {
            cc_delivery_header: Some(asn1::CcDeliveryHeader {
                correlation_info: self.correlation(),
                time_stamp: Some(asn1::generalized(time)),
                packet_direction: direction.into().map(Into::into),
                sequence_number: Some(sequence.into()),
                unknown: Unknown::default(),
            }),
            payload: packet.to_vec().into(),
            unknown: Unknown::default(),
        }
    }

    /// What [`header_report`](Self::header_report) writes, as the type of the standard.
    pub fn header_report_message(&self, time: UtcMicros, flow: &Flow) -> asn1::IasProtocol {
        let mut source_ip_address = asn1::IpAddress::new(flow.source, Allocation::Unknown);
        source_ip_address.ipv6_flow_label = flow.flow_label.map(|label| label.get().to_string());
        self.message(asn1::IasMessage::DataHeaderReport(asn1::PacketDataHeaderReport {
            case_id: self.case_id.clone(),
            iap_system_id: self.iap_system_id.clone(),
            timestamp: asn1::generalized(time),
            content_identifier: self.content_identifier.clone(),
            header_set: asn1::HeaderSet {
                stream_id: asn1::Value::text(&String::from_utf8_lossy(
                    &flow.stream_id().map(u64::to_le_bytes).concat(),
                )),
                source_ip_address,
                destination_ip_address: asn1::IpAddress::new(flow.destination, Allocation::Unknown),
                source_port_number: flow.ports.map(|(source, _)| source.to_string()),
                destination_port_number: flow.ports.map(|(_, destination)| destination.to_string()),
                unknown: Unknown::default(),
            },
            unknown: Unknown::default(),
        }))
    }

    fn correlation(&self) -> asn1::CorrelationInfo {
        asn1::CorrelationInfo {
            case_id: Some(self.case_id.clone()),
            iap_id: Some(self.iap_system_id.clone()),
            content_identifier: self.content_identifier.clone(),
            unknown: Unknown::default(),
        }
    }

    fn session(&self, time: UtcMicros, session: &SessionId, assignment: Assignment) -> asn1::SessionStart {
        asn1::SessionStart {
            case_id: self.case_id.clone(),
            iap_system_id: self.iap_system_id.clone(),
            timestamp: asn1::generalized(time),
            subscriber_identity: self.subscriber_identity.clone(),
            access_session_id: None,
            packet_data_session_id: asn1::Value::text(session.as_str()),
            ip_address: asn1::IpAddress::of(assignment),
            access_session_characteristics: None,
            location: None,
            delivery_information: None,
            unknown: Unknown::default(),
        }
    }

    fn message(&self, ias_message: asn1::IasMessage) -> asn1::IasProtocol {
        asn1::IasProtocol {
            protocol_identifier: ObjectIdentifier::new_unchecked(asn1::CMII_PROTOCOL.into()),
            ias_message,
            unknown: Unknown::default(),
        }
    }

    fn event(&self, message: asn1::IasMessage) -> Vec<u8> {
        asn1::encode(&self.message(message))
    }
}

impl From<Direction> for asn1::PacketDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::FromSubject => Self::FromSubject,
            Direction::ToSubject => Self::ToSubject,
        }
    }
}
