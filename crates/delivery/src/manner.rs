//! What is agreed with an agency that talks, ready for use: keep-alives, acknowledgements, integrity checks, encryption. Made of
//! the `[[destination]]` section and the keys that it names, before anything starts.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use writ_encoder::etsi::{self, Cadence, CaseKey, Messenger, SigningKey};
use writ_encoder::handover::EtsiTerms;

/// How the two sides of a connection talk to each other beside the PDUs.
#[derive(Clone, Debug)]
pub enum Manner {
    /// As TS 102 232-1 says.
    Etsi(Arc<EtsiManner>),
    /// As TS 103 221-2 says.
    X3(KeepAlive),
}

/// Questions on an idle connection.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// How long the connection is idle before one; none: never.
    pub idle: Option<Duration>,
    /// How long an answer may take, to this and to every other question.
    pub answer: Duration,
}

/// What is agreed on with an agency of `etsi`.
#[derive(Clone, Debug)]
pub struct EtsiManner {
    /// In whose name the probe speaks where no intercept is meant.
    pub name: Messenger,
    /// Questions on an idle connection.
    pub keep_alive: KeepAlive,
    /// Whether the probe asks the agency to confirm PDUs.
    pub acknowledge: bool,
    /// Hashes and signatures, if there are to be any.
    pub integrity: Option<Checks>,
    /// The keys of the cases; with them nothing goes in the clear.
    pub keys: Option<Arc<CaseKeys>>,
    /// How often at most it is told what was lost of a delivery; none: never.
    pub loss_notices: Option<Duration>,
}

/// How PDUs are vouched for.
#[derive(Clone, Debug)]
pub struct Checks {
    /// When hashes and signatures are due.
    pub cadence: Cadence,
    /// The key that signs; without one there are hashes alone.
    pub key: Option<Arc<SigningKey>>,
}

/// The keys of cases, by LIID.
#[derive(Default)]
pub struct CaseKeys {
    named: HashMap<Box<[u8]>, CaseKey>,
    others: Option<CaseKey>,
}

impl CaseKeys {
    /// Reads lines of a LIID (or `*`) and a key in hexadecimal digits. Empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// The line's number and what is wrong with it; nothing of what it says.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let refuse = |problem: &str| format!("line {number} {problem}");
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // From its end: a LIID may have blanks.
            let (liid, digits) =
                line.rsplit_once([' ', '\t']).ok_or_else(|| refuse("has no blank between LIID and key"))?;
            let liid = liid.trim_end();
            let key = octets(digits).ok_or_else(|| refuse("has a key that is not of hexadecimal digits"))?;
            let key = CaseKey::new(&key).map_err(|_| refuse("has a key that is not of 48 or 64 digits"))?;
            let before = if liid == "*" {
                keys.others.replace(key)
            } else {
                etsi::Liid::new(liid).map_err(|_| refuse("has no LIID of 1 to 25 ASCII characters"))?;
                keys.named.insert(liid.as_bytes().into(), key)
            };
            if before.is_some() {
                return Err(refuse("names a LIID that an earlier line names"));
            }
        }
        if keys.named.is_empty() && keys.others.is_none() {
            return Err("holds no key".to_owned());
        }
        Ok(keys)
    }

    /// The LIIDs that have a key; none where there is one for every other.
    pub fn liids(&self) -> Option<Vec<String>> {
        let names = self.named.keys().map(|liid| String::from_utf8_lossy(liid).into_owned());
        self.others.is_none().then(|| names.collect())
    }

    /// The key of a case.
    pub(crate) fn of(&self, liid: &[u8]) -> Option<&CaseKey> {
        self.named.get(liid).or(self.others.as_ref())
    }
}

/// Whose keys they are is nobody's business.
impl fmt::Debug for CaseKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaseKeys({})", self.named.len() + usize::from(self.others.is_some()))
    }
}

fn octets(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, rest) = digits.as_bytes().as_chunks();
    let octet = |[high, low]: &[u8; 2]| u8::try_from(value(*high)? << 4 | value(*low)?).ok();
    if rest.is_empty() { pairs.iter().map(octet).collect() } else { None }
}

/// The name that stands in keep-alives and in what is said about a connection: no intercept is meant, but a header has to
/// name one.
const NOBODY: &str = "writ";

/// Says in whose name the probe speaks on a connection, or which of the terms does not fit.
pub(crate) fn name_of(terms: &EtsiTerms) -> Result<Messenger, etsi::NameError> {
    let edition = terms.edition.map(|[header, ip_access]| etsi::Edition::new(header, ip_access)).transpose()?;
    let identity = etsi::Identity {
        liid: etsi::Liid::new(NOBODY)?,
        authorization_country: terms.country.clone(),
        operator: terms.operator.clone(),
        network_element: terms.network_element.clone(),
        delivery_country: terms.delivery_country.clone(),
        interception_point: terms.interception_point.clone(),
        edition: edition.unwrap_or_default(),
    };
    Ok(etsi::Intercept::new(&identity, 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys() {
        let (short, long) = ("0f".repeat(24), "A0".repeat(32));
        let keys = CaseKeys::parse(&format!("# of 2026\n\nLIID 1\t {short}\n* {long}\n")).unwrap();
        assert_eq!(format!("{:?} {:?}", keys.of(b"LIID 1").unwrap(), keys.of(b"other").unwrap()), {
            "CaseKey(Aes192Cbc) CaseKey(Aes256Cbc)"
        });
        assert_eq!(keys.liids(), None);
        let keys = CaseKeys::parse(&format!("LIID-1 {short}")).unwrap();
        assert!(keys.of(b"LIID-2").is_none());
        assert_eq!(keys.liids(), Some(vec!["LIID-1".to_owned()]));
        for (text, said) in [
            ("", "holds no key"),
            ("LIID-1", "line 1 has no blank"),
            ("a 00\n", "line 1 has a key that is not of 48"),
            ("\nLIID-1 zz", "line 2 has a key that is not of hex"),
            (&format!("* {short}\n* {long}"), "line 2 names a LIID"),
        ] {
            let error = CaseKeys::parse(text).unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
