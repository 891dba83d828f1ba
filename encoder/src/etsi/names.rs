//! The names that stand in every header: checked once, when a destination is set up, so that the encoder cannot meet a
//! bad one. And what a reader makes of the names that others sent.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A name that does not fit the handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: give {wanted}")]
pub struct NameError {
    /// The field, as TS 102 232-1 calls it.
    pub field: &'static str,
    /// What it can hold.
    pub wanted: &'static str,
}

/// A text that is checked when it is made, also when serde makes it.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $field:literal, $lengths:expr, $fits:expr, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and takes it over.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                if $lengths.contains(&text.len()) && text.bytes().all($fits) {
                    Ok(Self(text))
                } else {
                    Err(NameError { field: $field, wanted: $wanted })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
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

name! {
    /// The agency's name for the intercept (lawfulInterceptionIdentifier): 1 to 25 characters of printable ASCII.
    Liid, "lawfulInterceptionIdentifier", (1..=25), is_visible, "1 to 25 characters of printable ASCII"
}
name! {
    /// The operator's name (operatorIdentifier), which the agency gives: 1 to 16 characters of printable ASCII.
    OperatorId, "operatorIdentifier", (1..=16), is_visible, "1 to 16 characters of printable ASCII"
}
name! {
    /// The name of the probe (networkElementIdentifier): 1 to 16 characters of printable ASCII.
    NetworkElementId, "networkElementIdentifier", (1..=16), is_visible, "1 to 16 characters of printable ASCII"
}
name! {
    /// Where in the network the traffic was taken (interceptionPointID): 1 to 8 characters of PrintableString.
    InterceptionPoint, "interceptionPointID", (1..=8), is_printable, "1 to 8 letters, digits, spaces or '()+,-./:=?"
}
name! {
    /// A country by its two letters (ISO 3166-1).
    CountryCode, "countryCode", (2..=2), |octet| octet.is_ascii_uppercase(), "the two capital letters of ISO 3166-1"
}
fn is_visible(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
}

/// The alphabet of PrintableString (X.680, 41.4).
pub(super) fn is_printable(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&octet)
}

/// Octets that somebody sent as a name: mostly ASCII, but the standard does not say so. Prints as text, what is not
/// printable ASCII as `\xNN`, so that no two print alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(pub Vec<u8>);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// Octets that are not text: prints as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Octets(pub Vec<u8>);

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The versions of the modules that the object identifiers name. They say which fields a reader has to expect; an
/// agency may insist on those that its equipment was tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edition {
    header: u8,
    ip_access: u8,
}

impl Edition {
    /// LI-PS-PDU (TS 102 232-1) of version `header` and IPAccessPDU (TS 102 232-3) of version `ip_access`: 1 to 127.
    pub const fn new(header: u8, ip_access: u8) -> Result<Self, NameError> {
        if header == 0 || header > 127 || ip_access == 0 || ip_access > 127 {
            return Err(NameError { field: "version of the modules", wanted: "numbers from 1 to 127" });
        }
        Ok(Self { header, ip_access })
    }

    /// li-psDomainId: 0.4.0.2.2 li-ps(5) genHeader(1) and the version. As contents of an OBJECT IDENTIFIER.
    pub(super) const fn domain(self) -> [u8; 7] {
        [0x04, 0x00, 0x02, 0x02, 0x05, 0x01, self.header]
    }

    /// li-ps(5) iPAccess(3), the version, and what of it. As contents of a RELATIVE-OID.
    pub(super) const fn object(self, what: u8) -> [u8; 4] {
        [5, 3, self.ip_access, what]
    }
}

/// Version 40 of LI-PS-PDU and 20 of IPAccessPDU.
impl Default for Edition {
    fn default() -> Self {
        Self { header: 40, ip_access: 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_alphabets() {
        assert!(Liid::new("L".repeat(25)).is_ok());
        assert_eq!(
            Liid::new("L".repeat(26)).unwrap_err().to_string(),
            "lawfulInterceptionIdentifier: give 1 to 25 characters of printable ASCII"
        );
        assert!(OperatorId::new("").is_err());
        assert!(OperatorId::new("Žofie").is_err());
        assert!(InterceptionPoint::new("pop-3/a").is_ok());
        assert!(InterceptionPoint::new("pop_3").is_err());
        assert!(CountryCode::new("cz").is_err());
        assert!(serde_json::from_str::<CountryCode>("\"CZ\"").is_ok());
        assert!(serde_json::from_str::<CountryCode>("\"CZE\"").is_err());
        assert!(Edition::new(128, 20).is_err());
        assert!(Edition::new(40, 0).is_err());
    }

    #[test]
    fn labels_print_without_loss() {
        assert_eq!(Label(b"TEST-1".to_vec()).to_string(), "TEST-1");
        assert_eq!(Label(b"a\\\x00".to_vec()).to_string(), "a\\\\\\x00");
    }
}
