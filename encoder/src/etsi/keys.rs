//! The keys of cases, as both sides keep them: a text with a LIID and a key on each line.

use std::collections::HashMap;
use std::fmt;

use super::container::CaseKey;
use super::names::Liid;
use crate::hexadecimal::octets;

/// Stands for every LIID that has no line of its own.
const OTHERS: &str = "*";

/// The keys of cases, by LIID.
#[derive(Default)]
pub struct CaseKeys {
    named: HashMap<Box<[u8]>, CaseKey>,
    others: Option<CaseKey>,
}

/// A text that is no list of keys. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseKeysError {
    /// There is nothing in it.
    #[error("holds no key")]
    Empty,
    /// A line of it, from 1, has this fault.
    #[error("line {0} {1}")]
    Line(usize, &'static str),
}

impl CaseKeys {
    /// Reads lines of a LIID (or `*`) and a key in hexadecimal digits. Empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// The first line that is none, or that there is none.
    pub fn parse(text: &str) -> Result<Self, CaseKeysError> {
        let mut keys = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                keys.add(line).map_err(|fault| CaseKeysError::Line(number, fault))?;
            }
        }
        if keys.named.is_empty() && keys.others.is_none() { Err(CaseKeysError::Empty) } else { Ok(keys) }
    }

    fn add(&mut self, line: &str) -> Result<(), &'static str> {
        // From its end: a LIID may have blanks.
        let (liid, digits) = line.rsplit_once([' ', '\t']).ok_or("has no blank between LIID and key")?;
        let liid = liid.trim_end();
        let key = octets(digits).ok_or("has a key that is not of hexadecimal digits")?;
        let key = CaseKey::new(&key).map_err(|_| "has a key that is not of 48 or 64 digits")?;
        let before = if liid == OTHERS {
            self.others.replace(key)
        } else {
            Liid::new(liid).map_err(|_| "has no LIID of 1 to 25 ASCII characters")?;
            self.named.insert(liid.as_bytes().into(), key)
        };
        if before.is_some() { Err("names a LIID that an earlier line names") } else { Ok(()) }
    }

    /// The LIIDs that have a key; none where there is one for every other.
    pub fn liids(&self) -> Option<Vec<String>> {
        let names = self.named.keys().map(|liid| String::from_utf8_lossy(liid).into_owned());
        self.others.is_none().then(|| names.collect())
    }

    /// The key of a case, if there is one.
    pub fn of(&self, liid: &[u8]) -> Option<&CaseKey> {
        self.named.get(liid).or(self.others.as_ref())
    }
}

/// Whose keys they are is nobody's business.
impl fmt::Debug for CaseKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaseKeys({})", self.named.len() + usize::from(self.others.is_some()))
    }
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
            let error = CaseKeys::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
