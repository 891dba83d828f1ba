//! Octets in JSON: lower-case hexadecimal digits.

use std::fmt;

use serde::Serializer;

/// For `#[serde(serialize_with)]`. Digits are written as they are made: nothing is allocated.
pub(crate) fn hexadecimal<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Hexadecimal(octets))
}

struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
