//! All that is told of the subject's access and sessions, beyond the three events with which an intercept goes by itself:
//! what RADIUS, DHCP or an operator's own systems saw. Rare, so that everything goes through the types of the standard.

use std::net::SocketAddr;

use serde::Deserialize;

use super::Intercept;
use crate::UtcMicros;
use crate::t1_ias::asn1::{self, Unknown};
use crate::t1_ias::{
    AccessSessionId, Assignment, CccName, Characteristics, EquipmentId, LocationText, NodeIdentity, Reason, SessionId,
};

/// What happened. What is not known is left out of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Access-Attempt: somebody asked to be let in as the subject.
    AccessAttempt {
        /// Where.
        point: AccessPoint,
        /// How he asked.
        signal: Option<ProtocolSignal>,
    },
    /// Access-Accepted: he was let in.
    AccessAccepted {
        /// Where.
        point: AccessPoint,
        /// What he got.
        assignment: Option<Assignment>,
        /// The session of the access network that began.
        session: AccessSessionId,
        /// Bandwidth and the like.
        characteristics: Option<Characteristics>,
        /// Where he is.
        location: Option<Place>,
        /// How he was told.
        signal: Option<ProtocolSignal>,
    },
    /// Access-Failed: it came to nothing.
    AccessFailed {
        /// What he had.
        assignment: Option<Assignment>,
        /// Why.
        reason: Option<Reason>,
        /// How it showed.
        signal: Option<ProtocolSignal>,
    },
    /// Access-Rejected: he was not let in.
    AccessRejected {
        /// What he had.
        assignment: Option<Assignment>,
        /// Why.
        reason: Option<Reason>,
        /// How he was told.
        signal: Option<ProtocolSignal>,
    },
    /// Access-Session-End: the session of the access network is over.
    AccessSessionEnd {
        /// What he had.
        assignment: Option<Assignment>,
        /// The session.
        session: AccessSessionId,
        /// Why.
        reason: Option<Reason>,
        /// How it was told.
        signal: Option<ProtocolSignal>,
    },
    /// Access-Signaling-Message-Report: messages of the access network as they were.
    AccessSignaling {
        /// The session that they are about.
        session: Option<AccessSessionId>,
        /// The messages. Their order is not told.
        messages: Vec<SignalingMessage>,
    },
    /// Session-Start: a session began.
    SessionStart(Session),
    /// Session-Already-Established: it was there when the warrant came into force.
    SessionAlreadyEstablished(Session),
    /// Session-Failed: a session could not begin.
    SessionFailed {
        /// The session of the access network that it was to be in.
        access_session: Option<AccessSessionId>,
        /// Why.
        reason: Option<Reason>,
    },
    /// Session-End: a session is over.
    SessionEnd {
        /// The session of the access network that it was in.
        access_session: Option<AccessSessionId>,
        /// The session.
        session: SessionId,
        /// What the subject had in it.
        assignment: Assignment,
        /// Why.
        reason: Option<Reason>,
    },
}

/// A session of the subject that began or was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The session.
    pub session: SessionId,
    /// The session of the access network that it is in.
    pub access_session: Option<AccessSessionId>,
    /// What the subject has in it.
    pub assignment: Assignment,
    /// Bandwidth and the like.
    pub characteristics: Option<Characteristics>,
    /// Where he is.
    pub location: Option<Place>,
    /// How its content comes to the agency.
    pub delivery: Option<Delivery>,
}

/// Where a subscriber comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPoint {
    /// By what.
    pub method: Option<AccessMethod>,
    /// The node that lets him in.
    pub node: Option<NodeIdentity>,
}

/// By what a subscriber comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessMethod {
    /// The kind of line.
    pub access_type: Option<AccessType>,
    /// What it ends in.
    pub equipment: Option<EquipmentId>,
    /// Whether this is one of several logins at once.
    pub is_part_of_multiple_login: bool,
}

/// A kind of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessType {
    /// A telephone line.
    DialUp,
    /// DSL.
    Dsl,
    /// A local network.
    Lan,
    /// Cable television.
    Cable,
    /// IEEE 802.11.
    WiFi,
    /// IEEE 802.16.
    WiMax,
    /// Another, in words.
    Other(String),
}

/// Where somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In what terms.
    pub kind: LocationText,
    /// The place.
    pub location: LocationText,
}

/// Packets of a protocol by which subscribers are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolSignal {
    /// The protocol.
    pub protocol: Protocol,
    /// The packets. Their order is not told.
    pub packets: Vec<Vec<u8>>,
}

/// A protocol by which subscribers are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RADIUS.
    Radius,
    /// Another, in words.
    Other(String),
}

/// A message of the access network, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalingMessage {
    /// What it is written in.
    pub kind: SignalingKind,
    /// The message.
    pub message: String,
}

/// What a message of the access network is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalingKind {
    /// RADIUS.
    Radius,
    /// Diameter.
    Diameter,
    /// XML.
    Xml,
    /// ASN.1.
    Asn1,
    /// Something else.
    Other,
}

/// How the content of a session comes to the agency (LEA-CmC-Delivery). What ties the two together is the intercept's
/// contentIdentifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whereto.
    pub to: DeliveryIdentifier,
    /// As what.
    pub format: CcFormat,
}

/// Where content goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryIdentifier {
    /// A call content connection, by its name.
    Ccc(CccName),
    /// An address and port of the agency.
    Address(SocketAddr),
}

/// What content comes as: a setting of the agency (ccDeliveryFormat).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum CcFormat {
    /// As [`content`](Intercept::content) writes it.
    #[default]
    #[serde(rename = "apdu")]
    IasDatagram,
    /// As a [`Connection`](crate::ccc::Connection) of SCTE 24-13 writes it.
    #[serde(rename = "ccc")]
    ScteDatagram,
}

/// A message with the intercept's head.
macro_rules! message {
    ($intercept:ident, $time:ident, $name:ident { $($member:ident: $value:expr),* $(,)? }) => {
        asn1::$name {
            case_id: $intercept.case_id.clone(),
            iap_system_id: $intercept.iap_system_id.clone(),
            timestamp: asn1::generalized($time),
            $($member: $value,)*
            unknown: Unknown::default(),
        }
    };
}
pub(super) use message;

impl Intercept {
    /// The message that tells an event.
    pub fn report(&self, time: UtcMicros, event: &Event) -> Vec<u8> {
        self.event(match event {
            Event::AccessAttempt { point, signal } => asn1::IasMessage::AccessAttempt(message!(
                self,
                time,
                AccessAttempt {
                    subscriber_identity: self.subscriber_identity.clone(),
                    access_method: point.method.as_ref().map(Into::into),
                    network_access_node_identity: text(&point.node, NodeIdentity::as_str),
                    protocol_signal: signal.as_ref().map(Into::into),
                }
            )),
            Event::AccessAccepted { point, assignment, session, characteristics, location, signal } => {
                asn1::IasMessage::AccessAccepted(message!(
                    self,
                    time,
                    AccessAccepted {
                        subscriber_identity: self.subscriber_identity.clone(),
                        access_method: point.method.as_ref().map(Into::into),
                        network_access_node_identity: text(&point.node, NodeIdentity::as_str),
                        ip_address: assignment.map(asn1::IpAddress::of),
                        access_session_id: asn1::Value::text(session.as_str()),
                        access_session_characteristics: text(characteristics, Characteristics::as_str),
                        location: location.as_ref().map(Into::into),
                        protocol_signal: signal.as_ref().map(Into::into),
                    }
                ))
            }
            Event::AccessFailed { assignment, reason, signal } => {
                asn1::IasMessage::AccessFailed(self.access_failed(time, *assignment, reason, signal))
            }
            Event::AccessRejected { assignment, reason, signal } => {
                asn1::IasMessage::AccessRejected(self.access_failed(time, *assignment, reason, signal))
            }
            Event::AccessSessionEnd { assignment, session, reason, signal } => {
                asn1::IasMessage::AccessSessionEnd(message!(
                    self,
                    time,
                    AccessSessionEnd {
                        subscriber_identity: self.subscriber_identity.clone(),
                        ip_address: assignment.map(asn1::IpAddress::of),
                        access_session_id: asn1::Value::text(session.as_str()),
                        reason_for_termination: text(reason, Reason::as_str),
                        protocol_signal: signal.as_ref().map(Into::into),
                    }
                ))
            }
            Event::AccessSignaling { session, messages } => asn1::IasMessage::AccessSignalingMessageReport(message!(
                self,
                time,
                AccessSignalingMessageReport {
                    access_session_id: text(session, AccessSessionId::as_str),
                    signaling_msg: asn1::in_der_order(messages.iter().map(Into::into)),
                }
            )),
            Event::SessionStart(session) => asn1::IasMessage::SessionStart(self.session_told(time, session)),
            Event::SessionAlreadyEstablished(session) => {
                asn1::IasMessage::SessionAlreadyEstablished(self.session_told(time, session))
            }
            Event::SessionFailed { access_session, reason } => asn1::IasMessage::SessionFailed(message!(
                self,
                time,
                SessionFailed {
                    subscriber_identity: self.subscriber_identity.clone(),
                    access_session_id: text(access_session, AccessSessionId::as_str),
                    reason_for_termination: text(reason, Reason::as_str),
                }
            )),
            Event::SessionEnd { access_session, session, assignment, reason } => {
                asn1::IasMessage::SessionEnd(message!(
                    self,
                    time,
                    SessionEnd {
                        subscriber_identity: self.subscriber_identity.clone(),
                        access_session_id: text(access_session, AccessSessionId::as_str),
                        packet_data_session_id: asn1::Value::text(session.as_str()),
                        ip_address: asn1::IpAddress::of(*assignment),
                        reason_for_termination: text(reason, Reason::as_str),
                    }
                ))
            }
        })
    }

    fn access_failed(
        &self,
        time: UtcMicros,
        assignment: Option<Assignment>,
        reason: &Option<Reason>,
        signal: &Option<ProtocolSignal>,
    ) -> asn1::AccessFailed {
        message!(
            self,
            time,
            AccessFailed {
                subscriber_identity: self.subscriber_identity.clone(),
                ip_address: assignment.map(asn1::IpAddress::of),
                reason_for_termination: text(reason, Reason::as_str),
                protocol_signal: signal.as_ref().map(Into::into),
            }
        )
    }

    fn session_told(&self, time: UtcMicros, session: &Session) -> asn1::SessionStart {
        message!(
            self,
            time,
            SessionStart {
                subscriber_identity: self.subscriber_identity.clone(),
                access_session_id: text(&session.access_session, AccessSessionId::as_str),
                packet_data_session_id: asn1::Value::text(session.session.as_str()),
                ip_address: asn1::IpAddress::of(session.assignment),
                access_session_characteristics: text(&session.characteristics, Characteristics::as_str),
                location: session.location.as_ref().map(Into::into),
                delivery_information: session.delivery.as_ref().map(|delivery| asn1::LeaCmcDelivery {
                    content_identifier: self.content_identifier.clone(),
                    delivery_identifier: (&delivery.to).into(),
                    cc_delivery_format: match delivery.format {
                        CcFormat::IasDatagram => asn1::CcDeliveryFormat::IasDatagram(()),
                        CcFormat::ScteDatagram => asn1::CcDeliveryFormat::ScteDatagram(()),
                    },
                    unknown: Unknown::default(),
                }),
            }
        )
    }
}

/// A name that may be known, as a Value.
fn text<T>(name: &Option<T>, as_str: fn(&T) -> &str) -> Option<asn1::Value> {
    name.as_ref().map(|name| asn1::Value::text(as_str(name)))
}

impl From<&AccessMethod> for asn1::AccessMethod {
    fn from(method: &AccessMethod) -> Self {
        Self {
            access_type: method.access_type.as_ref().map(|access_type| match access_type {
                AccessType::DialUp => asn1::AccessType::DialUp(()),
                AccessType::Dsl => asn1::AccessType::Dsl(()),
                AccessType::Lan => asn1::AccessType::Lan(()),
                AccessType::Cable => asn1::AccessType::Cable(()),
                AccessType::WiFi => asn1::AccessType::WiFi(()),
                AccessType::WiMax => asn1::AccessType::WiMax(()),
                AccessType::Other(words) => asn1::AccessType::Other(words.clone()),
            }),
            access_equipment_id: method.equipment.as_ref().map(|equipment| equipment.as_str().to_owned()),
            part_of_multiple_login: method.is_part_of_multiple_login.then_some(()),
            unknown: Unknown::default(),
        }
    }
}

impl From<&Place> for asn1::Location {
    fn from(place: &Place) -> Self {
        Self {
            location_type: place.kind.as_str().to_owned(),
            location: place.location.as_str().to_owned(),
            unknown: Unknown::default(),
        }
    }
}

impl From<&ProtocolSignal> for asn1::ProtocolSignal {
    fn from(signal: &ProtocolSignal) -> Self {
        Self {
            protocol: match &signal.protocol {
                Protocol::Radius => asn1::Protocol::Radius(()),
                Protocol::Other(words) => asn1::Protocol::Other(words.clone()),
            },
            signal: asn1::in_der_order(signal.packets.iter().map(|packet| asn1::Value::Octets(packet.clone().into()))),
            unknown: Unknown::default(),
        }
    }
}

impl From<&SignalingMessage> for asn1::SignalingMessage {
    fn from(message: &SignalingMessage) -> Self {
        Self {
            message_type: match message.kind {
                SignalingKind::Radius => asn1::MessageType::Radius,
                SignalingKind::Diameter => asn1::MessageType::Diameter,
                SignalingKind::Xml => asn1::MessageType::Xml,
                SignalingKind::Asn1 => asn1::MessageType::Asndot1,
                SignalingKind::Other => asn1::MessageType::Other,
            },
            message: message.message.clone(),
            unknown: Unknown::default(),
        }
    }
}

impl From<&DeliveryIdentifier> for asn1::DeliveryIdentifier {
    fn from(to: &DeliveryIdentifier) -> Self {
        match to {
            DeliveryIdentifier::Ccc(name) => Self::CccId(asn1::CccIdentity::CombCcc(asn1::visible(name.as_str()))),
            DeliveryIdentifier::Address(address) => Self::CcAddress(asn1::CcAddress {
                lea_ip_address: address.ip().into(),
                lea_port_number: address.port().to_string(),
                unknown: Unknown::default(),
            }),
        }
    }
}
