//! What is read of the optional module.

use serde::Serialize;

use super::{DecodeError, front, time, visible};
use crate::UtcMicros;
use crate::t1_ias::OptionalModule;
use crate::t1_ias::asn1::{self, IasOptionalMessage as Given};

/// A message of the optional module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptionalCmii {
    /// The agency's name for the case.
    pub case_id: String,
    /// The probe.
    pub iap_system_id: String,
    /// When it happened.
    pub timestamp: UtcMicros,
    /// What happened.
    #[serde(flatten)]
    pub message: OptionalMessage,
}

/// What an [`OptionalCmii`] says. Of the first three no more is public than that they exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "message", content = "status", rename_all = "kebab-case")]
pub enum OptionalMessage {
    /// serviceChange.
    ServiceChange,
    /// vpnSecurityEstablishment.
    VpnSecurityEstablishment,
    /// vpnSecurityRelease.
    VpnSecurityRelease,
    /// surveillanceActivation, and its surveillanceStatus.
    SurveillanceActivation(String),
    /// surveillanceContinuation, likewise.
    SurveillanceContinuation(String),
    /// surveillanceChange, likewise.
    SurveillanceChange(String),
    /// surveillanceDeActivation, likewise.
    SurveillanceDeActivation(String),
}

/// Which module the message at the front of `bytes` is of: the protocolIdentifier that it bears.
pub fn module_of(bytes: &[u8]) -> Result<OptionalModule, DecodeError> {
    let (envelope, _) = front::<asn1::Envelope>("protocolIdentifier", bytes)?;
    Ok(OptionalModule::of(envelope.protocol_identifier))
}

/// Reads the message of the optional module at the front of `bytes`, and says how many octets it has.
pub fn decode_optional(module: &OptionalModule, bytes: &[u8]) -> Result<(OptionalCmii, usize), DecodeError> {
    let (protocol, length) = front::<asn1::IasOptionalProtocol>("IasOptionalProtocol", bytes)?;
    if !module.is(&protocol.protocol_identifier) {
        return Err(DecodeError::OtherModule);
    }
    let service =
        |event: asn1::ServiceEvent, message| told(&event.case_id, &event.iap_system_id, &event.timestamp, message);
    let surveillance = |status: asn1::SurveillanceStatus, message: fn(String) -> OptionalMessage| {
        told(&status.case_id, &status.iap_system_id, &status.timestamp, message(status.surveillance_status))
    };
    let message = match protocol.ias_optional_message {
        Given::ServiceChange(event) => service(event, OptionalMessage::ServiceChange)?,
        Given::VpnSecurityEstablishment(event) => service(event, OptionalMessage::VpnSecurityEstablishment)?,
        Given::VpnSecurityRelease(event) => service(event, OptionalMessage::VpnSecurityRelease)?,
        Given::SurveillanceActivation(status) => surveillance(status, OptionalMessage::SurveillanceActivation)?,
        Given::SurveillanceContinuation(status) => surveillance(status, OptionalMessage::SurveillanceContinuation)?,
        Given::SurveillanceChange(status) => surveillance(status, OptionalMessage::SurveillanceChange)?,
        Given::SurveillanceDeActivation(status) => surveillance(status, OptionalMessage::SurveillanceDeActivation)?,
    };
    Ok((message, length))
}

fn told(
    case_id: &rasn::types::VisibleString,
    iap_system_id: &rasn::types::VisibleString,
    timestamp: &rasn::types::GeneralizedTime,
    message: OptionalMessage,
) -> Result<OptionalCmii, DecodeError> {
    let (case_id, iap_system_id) = (visible(case_id), visible(iap_system_id));
    Ok(OptionalCmii { case_id, iap_system_id, timestamp: time(timestamp)?, message })
}
