//! The messages about the access network: who asked to be let in, and what came of it.

use rasn::prelude::*;

use super::{IpAddress, Location, Unknown, Value};

message! {
    AccessAttempt {
        #[rasn(tag(explicit(3)))]
        pub subscriber_identity: Value,
        #[rasn(tag(4))]
        pub access_method: Option<AccessMethod>,
        #[rasn(tag(explicit(5)))]
        pub network_access_node_identity: Option<Value>,
        #[rasn(tag(6))]
        pub protocol_signal: Option<ProtocolSignal>,
    }
}

message! {
    AccessAccepted {
        #[rasn(tag(explicit(3)))]
        pub subscriber_identity: Value,
        #[rasn(tag(4))]
        pub access_method: Option<AccessMethod>,
        #[rasn(tag(explicit(5)))]
        pub network_access_node_identity: Option<Value>,
        #[rasn(tag(6))]
        pub ip_address: Option<IpAddress>,
        #[rasn(tag(explicit(7)))]
        pub access_session_id: Value,
        #[rasn(tag(explicit(8)))]
        pub access_session_characteristics: Option<Value>,
        #[rasn(tag(9))]
        pub location: Option<Location>,
        #[rasn(tag(10))]
        pub protocol_signal: Option<ProtocolSignal>,
    }
}

message! {
    /// Access-Failed and Access-Rejected.
    AccessFailed {
        #[rasn(tag(explicit(3)))]
        pub subscriber_identity: Value,
        #[rasn(tag(4))]
        pub ip_address: Option<IpAddress>,
        #[rasn(tag(explicit(5)))]
        pub reason_for_termination: Option<Value>,
        #[rasn(tag(6))]
        pub protocol_signal: Option<ProtocolSignal>,
    }
}

message! {
    AccessSessionEnd {
        #[rasn(tag(explicit(3)))]
        pub subscriber_identity: Value,
        #[rasn(tag(4))]
        pub ip_address: Option<IpAddress>,
        #[rasn(tag(explicit(5)))]
        pub access_session_id: Value,
        #[rasn(tag(explicit(6)))]
        pub reason_for_termination: Option<Value>,
        #[rasn(tag(7))]
        pub protocol_signal: Option<ProtocolSignal>,
    }
}

message! {
    AccessSignalingMessageReport {
        #[rasn(tag(explicit(3)))]
        pub access_session_id: Option<Value>,
        /// A SET OF: under an IMPLICIT tag it is written as a SEQUENCE OF, but for the order that DER wants.
        #[rasn(tag(4))]
        pub signaling_msg: SequenceOf<SignalingMessage>,
    }
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct SignalingMessage {
    #[rasn(tag(0))]
    pub message_type: MessageType,
    #[rasn(tag(1))]
    pub message: Utf8String,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Copy, Debug, PartialEq, Eq)]
#[rasn(enumerated)]
pub enum MessageType {
    Radius = 0,
    Diameter = 1,
    Xml = 2,
    Asndot1 = 3,
    Other = 4,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct AccessMethod {
    #[rasn(tag(explicit(0)))]
    pub access_type: Option<AccessType>,
    #[rasn(tag(1))]
    pub access_equipment_id: Option<Utf8String>,
    #[rasn(tag(2))]
    pub part_of_multiple_login: Option<()>,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum AccessType {
    #[rasn(tag(0))]
    DialUp(()),
    #[rasn(tag(1))]
    Dsl(()),
    #[rasn(tag(2))]
    Lan(()),
    #[rasn(tag(3))]
    Cable(()),
    #[rasn(tag(4))]
    WiFi(()),
    #[rasn(tag(5))]
    WiMax(()),
    #[rasn(tag(6))]
    Other(Utf8String),
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct ProtocolSignal {
    #[rasn(tag(explicit(0)))]
    pub protocol: Protocol,
    /// A SET OF, as signalingMsg.
    #[rasn(tag(1))]
    pub signal: SequenceOf<Value>,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum Protocol {
    #[rasn(tag(0))]
    Radius(()),
    #[rasn(tag(1))]
    Other(Utf8String),
}
