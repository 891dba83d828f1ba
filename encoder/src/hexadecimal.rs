//! Octets as hexadecimal digits: in JSON, and in files of keys.

use std::fmt;

use serde::Serializer;

/// For `#[serde(serialize_with)]`. Digits are written as they are made: nothing is allocated.
pub(crate) fn hexadecimal<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Hexadecimal(octets))
}

/// The octets that two digits each stand for.
pub(crate) fn octets(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks();
    let value = |digit: u8| char::from(digit).to_digit(16);
    let octet = |[high, low]: &[u8; 2]| u8::try_from(value(*high)? << 4 | value(*low)?).ok();
    if rest.is_empty() { pairs.iter().map(octet).collect() } else { None }
}

struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
