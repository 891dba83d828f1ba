//! The names that a warrant gives: checked once, when the order is read, so that the encoder cannot meet a bad one.
//!
//! Errors say which field and what to do, never what the field held.

use serde::{Deserialize, Serialize};

/// A name that does not fit the handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// Nothing was given.
    #[error("{field} is empty: give 1 to {longest} characters")]
    Empty {
        /// The field, as T1.IAS calls it.
        field: &'static str,
        /// Most octets that fit.
        longest: usize,
    },
    /// More was given than fits.
    #[error("{field} is {length} octets long: give at most {longest}")]
    TooLong {
        /// The field, as T1.IAS calls it.
        field: &'static str,
        /// Octets that were given.
        length: usize,
        /// Most octets that fit.
        longest: usize,
    },
    /// A character that the field cannot hold.
    #[error("{field} has an unfit character at place {place}: {remedy}")]
    Unfit {
        /// The field, as T1.IAS calls it.
        field: &'static str,
        /// Place of the character, from 1.
        place: usize,
        /// What the field can hold.
        remedy: &'static str,
    },
}

fn check_length(field: &'static str, length: usize, longest: usize) -> Result<(), IdentifierError> {
    match length {
        0 => Err(IdentifierError::Empty { field, longest }),
        _ if length > longest => Err(IdentifierError::TooLong { field, length, longest }),
        _ => Ok(()),
    }
}

fn check_text(field: &'static str, text: &str, longest: usize, visible_only: bool) -> Result<(), IdentifierError> {
    check_length(field, text.len(), longest)?;
    let (unfit, remedy): (fn(char) -> bool, _) = if visible_only {
        (|character| !matches!(character, ' '..='~'), "use printable ASCII")
    } else {
        (char::is_control, "leave out control characters")
    };
    match text.chars().position(unfit) {
        Some(before) => Err(IdentifierError::Unfit { field, place: before + 1, remedy }),
        None => Ok(()),
    }
}

/// A text of bounded length that is checked when it is made, also when serde makes it.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $field:literal, longest = $longest:literal, visible_only = $visible:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Most octets that fit.
            pub const LONGEST: usize = $longest;

            /// Checks `text` and takes it over.
            pub fn new(text: impl Into<String>) -> Result<Self, IdentifierError> {
                let text = text.into();
                check_text($field, &text, Self::LONGEST, $visible)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentifierError;
            fn try_from(text: String) -> Result<Self, IdentifierError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

checked_text! {
    /// The agency's name for the case (caseId): 1 to 25 characters of printable ASCII.
    CaseId, "caseId", longest = 25, visible_only = true
}
checked_text! {
    /// The name of the probe (iAPSystemId, iapId): 1 to 15 characters of printable ASCII.
    IapSystemId, "iAPSystemId", longest = 15, visible_only = true
}
checked_text! {
    /// The subject as the operator names him (subscriberIdentity). The standard sets no bound; 256 octets is ours.
    SubscriberIdentity, "subscriberIdentity", longest = 256, visible_only = false
}
checked_text! {
    /// The name of one session of the subject (packetDataSessionID). The standard sets no bound; 256 octets is ours.
    SessionId, "packetDataSessionID", longest = 256, visible_only = false
}
checked_text! {
    /// Why a session ended (reasonForTermination). The standard sets no bound; 256 octets is ours.
    Reason, "reasonForTermination", longest = 256, visible_only = false
}
checked_text! {
    /// The name of one session of the access network (accessSessionID), such as RADIUS' Acct-Session-Id. The standard sets
    /// no bound; 256 octets is ours.
    AccessSessionId, "accessSessionID", longest = 256, visible_only = false
}
checked_text! {
    /// The node that lets subscribers in (networkAccessNodeIdentity), such as RADIUS' NAS-Identifier. The standard sets no
    /// bound; 256 octets is ours.
    NodeIdentity, "networkAccessNodeIdentity", longest = 256, visible_only = false
}
checked_text! {
    /// Bandwidth and the like of a session (accessSessionCharacteristics). The standard sets no bound; 256 octets is ours.
    Characteristics, "accessSessionCharacteristics", longest = 256, visible_only = false
}
checked_text! {
    /// What the subject's line ends in (accessEquipmentID). The standard sets no bound; 256 octets is ours.
    EquipmentId, "accessEquipmentID", longest = 256, visible_only = false
}
checked_text! {
    /// A place, or in what terms it is told (location, locationType). The standard sets no bound; 256 octets is ours.
    LocationText, "location", longest = 256, visible_only = false
}
checked_text! {
    /// A call content connection of both directions (combCCC): 1 to 20 characters of printable ASCII.
    CccName, "combCCC", longest = 20, visible_only = true
}
checked_text! {
    /// What became of a surveillance (surveillanceStatus). The standard sets no bound; 256 octets is ours.
    Status, "surveillanceStatus", longest = 256, visible_only = false
}
checked_text! {
    /// A part of a call identity (callID). The standard sets no bound; 64 octets is ours.
    CallId, "callID", longest = 64, visible_only = false
}

/// Octets that tie content to the case (correlationID): 1 to 64. The standard sets no bound; this one is ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct CorrelationId(Vec<u8>);

impl CorrelationId {
    /// Most octets that fit.
    pub const LONGEST: usize = 64;

    /// Checks `octets` and takes them over.
    pub fn new(octets: impl Into<Vec<u8>>) -> Result<Self, IdentifierError> {
        let octets = octets.into();
        check_length("correlationID", octets.len(), Self::LONGEST)?;
        Ok(Self(octets))
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for CorrelationId {
    type Error = IdentifierError;
    fn try_from(octets: Vec<u8>) -> Result<Self, IdentifierError> {
        Self::new(octets)
    }
}

impl From<CorrelationId> for Vec<u8> {
    fn from(id: CorrelationId) -> Vec<u8> {
        id.0
    }
}

/// How the case id of a test begins: of made-up packets, or of a line whose user agreed. No agency's own id begins so.
pub const TEST_CASE_PREFIX: &str = "TEST-";

/// The id of a case as the name of a file: every character that is not plain in one stands as `%XX`.
///
/// Two ids never share a name, and no id names a place outside: a separator, a leading dot and `%` itself are written as
/// `%XX` too. What bears no id goes to `%unidentified`, which no id can be.
pub fn file_name(case_id: Option<&str>) -> String {
    let Some(case_id) = case_id else { return "%unidentified".to_owned() };
    if case_id.is_empty() {
        return "%empty".to_owned();
    }
    let mut name = String::with_capacity(case_id.len());
    for (index, byte) in case_id.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if index > 0 => name.push('.'),
            _ => {
                name.push('%');
                for digit in [byte >> 4, byte & 0xf] {
                    name.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
    name
}

/// What ties the content and the header reports of one intercept together (contentIdentifier).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentIdentifier {
    /// Octets that the operator chose (correlationID).
    Correlation(CorrelationId),
    /// The identity of a call, and of a leg of it (callID).
    Call {
        /// The call.
        main: CallId,
        /// A leg of the call.
        leg: Option<CallId>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_alphabets() {
        assert!(CaseId::new("A".repeat(25)).is_ok());
        assert_eq!(CaseId::new("A".repeat(26)).unwrap_err().to_string(), "caseId is 26 octets long: give at most 25");
        assert_eq!(IapSystemId::new("").unwrap_err().to_string(), "iAPSystemId is empty: give 1 to 15 characters");
        assert_eq!(
            IapSystemId::new("pöp").unwrap_err().to_string(),
            "iAPSystemId has an unfit character at place 2: use printable ASCII"
        );
        assert!(SubscriberIdentity::new("Žofie").is_ok());
        assert!(SubscriberIdentity::new("two\nlines").is_err());
        assert!(CorrelationId::new([0; 64]).is_ok());
        assert!(CorrelationId::new([0; 65]).is_err());
        assert!(CorrelationId::new([]).is_err());
    }

    #[test]
    fn serde_checks_too() {
        assert!(serde_json::from_str::<CaseId>("\"CASE-1\"").is_ok());
        assert!(serde_json::from_str::<CaseId>("\"\"").is_err());
        let call = ContentIdentifier::Call { main: CallId::new("7").unwrap(), leg: None };
        assert_eq!(serde_json::from_str::<ContentIdentifier>(&serde_json::to_string(&call).unwrap()).unwrap(), call);
    }
}
