//! The optional module: the agency is told what becomes of the surveillance itself.

use rasn::types::ObjectIdentifier;
use serde::{Deserialize, Serialize};

use super::Intercept;
use super::events::message;
use crate::UtcMicros;
use crate::t1_ias::Status;
use crate::t1_ias::asn1::{self, Unknown};

/// The module's object identifier, which the agency has to name: it is not public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OptionalModule(ObjectIdentifier);

/// A text that is no object identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object identifier: give 2 to 32 numbers with points between, such as 1.2.840.113737.2.1.1.2.0")]
pub struct OptionalModuleError;

impl OptionalModule {
    /// Reads numbers with points between. The first is at most 2, and below 2 the second at most 39 (X.660).
    pub fn new(text: &str) -> Result<Self, OptionalModuleError> {
        let numbers: Result<Vec<u32>, _> = text.split('.').take(33).map(str::parse).collect();
        let numbers = numbers.map_err(|_| OptionalModuleError)?;
        let is_sound = match *numbers.as_slice() {
            [0 | 1, second, ..] => second < 40,
            // Both are written as one number.
            [2, second, ..] => second <= u32::MAX - 80,
            _ => false,
        };
        if !is_sound || numbers.len() > 32 {
            return Err(OptionalModuleError);
        }
        ObjectIdentifier::new(numbers).map(Self).ok_or(OptionalModuleError)
    }

    /// That of a message that bears these numbers.
    pub(in crate::t1_ias) fn of(numbers: ObjectIdentifier) -> Self {
        Self(numbers)
    }

    /// Whether a message that bears these numbers is of this module.
    pub(in crate::t1_ias) fn is(&self, numbers: &ObjectIdentifier) -> bool {
        self.0 == *numbers
    }
}

impl TryFrom<String> for OptionalModule {
    type Error = OptionalModuleError;
    fn try_from(text: String) -> Result<Self, OptionalModuleError> {
        Self::new(&text)
    }
}

impl From<OptionalModule> for String {
    fn from(module: OptionalModule) -> Self {
        module.0.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }
}

/// What became of a surveillance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surveillance {
    /// surveillanceActivation: it began.
    Activation,
    /// surveillanceContinuation: it goes on.
    Continuation,
    /// surveillanceChange: its terms are others.
    Change,
    /// surveillanceDeActivation: it is over.
    DeActivation,
}

impl Intercept {
    /// The message that tells what became of the surveillance.
    pub fn surveillance(
        &self,
        module: &OptionalModule,
        time: UtcMicros,
        surveillance: Surveillance,
        status: &Status,
    ) -> Vec<u8> {
        let message = message!(self, time, SurveillanceStatus { surveillance_status: status.as_str().to_owned() });
        let alternative = match surveillance {
            Surveillance::Activation => asn1::IasOptionalMessage::SurveillanceActivation,
            Surveillance::Continuation => asn1::IasOptionalMessage::SurveillanceContinuation,
            Surveillance::Change => asn1::IasOptionalMessage::SurveillanceChange,
            Surveillance::DeActivation => asn1::IasOptionalMessage::SurveillanceDeActivation,
        };
        asn1::encode(&asn1::IasOptionalProtocol {
            protocol_identifier: module.0.clone(),
            ias_optional_message: alternative(message),
            unknown: Unknown::default(),
        })
    }
}
