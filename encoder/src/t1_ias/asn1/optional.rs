//! The optional module: what changed with the service, and with the surveillance itself. Its object identifier is not
//! public, so it is a setting; neither are the members of the first three messages but those that all begin with.

use rasn::prelude::*;

use super::Unknown;

/// One message of the optional module.
#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
pub struct IasOptionalProtocol {
    pub protocol_identifier: ObjectIdentifier,
    pub ias_optional_message: IasOptionalMessage,
    pub unknown: Unknown,
}

#[derive(AsnType, Encode, Decode, Clone, Debug, PartialEq, Eq)]
#[rasn(choice)]
pub enum IasOptionalMessage {
    #[rasn(tag(0))]
    ServiceChange(ServiceEvent),
    #[rasn(tag(1))]
    VpnSecurityEstablishment(ServiceEvent),
    #[rasn(tag(2))]
    VpnSecurityRelease(ServiceEvent),
    #[rasn(tag(3))]
    SurveillanceActivation(SurveillanceStatus),
    #[rasn(tag(4))]
    SurveillanceContinuation(SurveillanceStatus),
    #[rasn(tag(5))]
    SurveillanceChange(SurveillanceStatus),
    #[rasn(tag(6))]
    SurveillanceDeActivation(SurveillanceStatus),
}

message! {
    /// A message of which only the head is known; the rest is kept as it came.
    ServiceEvent {}
}

message! {
    SurveillanceStatus {
        #[rasn(tag(3))]
        pub surveillance_status: Utf8String,
    }
}
