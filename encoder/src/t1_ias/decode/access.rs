//! What is read of the messages about the access network.

use serde::Serialize;

use super::{Address, DecodeError, Location, Value};
use crate::t1_ias::asn1;

/// Access-Attempt: somebody asked to be let in as the subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessAttempt {
    /// The subject.
    pub subscriber_identity: Value,
    /// By what he came.
    pub access_method: Option<AccessMethod>,
    /// The node that he came to.
    pub node: Option<Value>,
    /// How he asked.
    pub signal: Option<ProtocolSignal>,
}

/// Access-Accepted: he was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessAccepted {
    /// The subject.
    pub subscriber_identity: Value,
    /// By what he came.
    pub access_method: Option<AccessMethod>,
    /// The node that let him in.
    pub node: Option<Value>,
    /// What he got.
    pub address: Option<Address>,
    /// The session of the access network.
    pub access_session_id: Value,
    /// Bandwidth and the like.
    pub characteristics: Option<Value>,
    /// Where he is.
    pub location: Option<Location>,
    /// How he was told.
    pub signal: Option<ProtocolSignal>,
}

/// Access-Failed and Access-Rejected: he was not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessFailed {
    /// The subject.
    pub subscriber_identity: Value,
    /// What he had.
    pub address: Option<Address>,
    /// Why.
    pub reason: Option<Value>,
    /// How it was told.
    pub signal: Option<ProtocolSignal>,
}

/// Access-Session-End: the session of the access network is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessSessionEnd {
    /// The subject.
    pub subscriber_identity: Value,
    /// What he had.
    pub address: Option<Address>,
    /// The session.
    pub access_session_id: Value,
    /// Why.
    pub reason: Option<Value>,
    /// How it was told.
    pub signal: Option<ProtocolSignal>,
}

/// Access-Signaling-Message-Report: messages of the access network as they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessSignaling {
    /// The session that they are about.
    pub access_session_id: Option<Value>,
    /// The messages, in no order that means something.
    pub messages: Vec<SignalingMessage>,
}

/// A message of the access network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignalingMessage {
    /// What it is written in: radius, diameter, xml, asndot1 or other.
    pub kind: &'static str,
    /// The message.
    pub message: String,
}

/// By what a subscriber comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessMethod {
    /// The kind of line, by the standard's name for it or in words.
    pub access_type: Option<String>,
    /// What it ends in.
    pub equipment: Option<String>,
    /// Whether this is one of several logins at once.
    pub is_part_of_multiple_login: bool,
}

/// Packets of a protocol by which subscribers are let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProtocolSignal {
    /// The protocol: radius, or another in words.
    pub protocol: String,
    /// The packets, in no order that means something.
    pub packets: Vec<Value>,
}

impl From<asn1::AccessAttempt> for AccessAttempt {
    fn from(message: asn1::AccessAttempt) -> Self {
        Self {
            subscriber_identity: message.subscriber_identity.into(),
            access_method: message.access_method.map(Into::into),
            node: message.network_access_node_identity.map(Into::into),
            signal: message.protocol_signal.map(Into::into),
        }
    }
}

impl TryFrom<asn1::AccessAccepted> for AccessAccepted {
    type Error = DecodeError;

    fn try_from(message: asn1::AccessAccepted) -> Result<Self, DecodeError> {
        Ok(Self {
            subscriber_identity: message.subscriber_identity.into(),
            access_method: message.access_method.map(Into::into),
            node: message.network_access_node_identity.map(Into::into),
            address: message.ip_address.map(Address::try_from).transpose()?,
            access_session_id: message.access_session_id.into(),
            characteristics: message.access_session_characteristics.map(Into::into),
            location: message.location.map(Into::into),
            signal: message.protocol_signal.map(Into::into),
        })
    }
}

impl TryFrom<asn1::AccessFailed> for AccessFailed {
    type Error = DecodeError;

    fn try_from(message: asn1::AccessFailed) -> Result<Self, DecodeError> {
        Ok(Self {
            subscriber_identity: message.subscriber_identity.into(),
            address: message.ip_address.map(Address::try_from).transpose()?,
            reason: message.reason_for_termination.map(Into::into),
            signal: message.protocol_signal.map(Into::into),
        })
    }
}

impl TryFrom<asn1::AccessSessionEnd> for AccessSessionEnd {
    type Error = DecodeError;

    fn try_from(message: asn1::AccessSessionEnd) -> Result<Self, DecodeError> {
        Ok(Self {
            subscriber_identity: message.subscriber_identity.into(),
            address: message.ip_address.map(Address::try_from).transpose()?,
            access_session_id: message.access_session_id.into(),
            reason: message.reason_for_termination.map(Into::into),
            signal: message.protocol_signal.map(Into::into),
        })
    }
}

impl From<asn1::AccessSignalingMessageReport> for AccessSignaling {
    fn from(report: asn1::AccessSignalingMessageReport) -> Self {
        let message = |message: asn1::SignalingMessage| SignalingMessage {
            kind: match message.message_type {
                asn1::MessageType::Radius => "radius",
                asn1::MessageType::Diameter => "diameter",
                asn1::MessageType::Xml => "xml",
                asn1::MessageType::Asndot1 => "asndot1",
                asn1::MessageType::Other => "other",
            },
            message: message.message,
        };
        Self {
            access_session_id: report.access_session_id.map(Into::into),
            messages: report.signaling_msg.into_iter().map(message).collect(),
        }
    }
}

impl From<asn1::AccessMethod> for AccessMethod {
    fn from(method: asn1::AccessMethod) -> Self {
        let access_type = |access_type| match access_type {
            asn1::AccessType::DialUp(()) => "dialUp".to_owned(),
            asn1::AccessType::Dsl(()) => "dsl".to_owned(),
            asn1::AccessType::Lan(()) => "lan".to_owned(),
            asn1::AccessType::Cable(()) => "cable".to_owned(),
            asn1::AccessType::WiFi(()) => "wiFi".to_owned(),
            asn1::AccessType::WiMax(()) => "wiMax".to_owned(),
            asn1::AccessType::Other(words) => words,
        };
        Self {
            access_type: method.access_type.map(access_type),
            equipment: method.access_equipment_id,
            is_part_of_multiple_login: method.part_of_multiple_login.is_some(),
        }
    }
}

impl From<asn1::ProtocolSignal> for ProtocolSignal {
    fn from(signal: asn1::ProtocolSignal) -> Self {
        Self {
            protocol: match signal.protocol {
                asn1::Protocol::Radius(()) => "radius".to_owned(),
                asn1::Protocol::Other(words) => words,
            },
            packets: signal.signal.into_iter().map(Into::into).collect(),
        }
    }
}
