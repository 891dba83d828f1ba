//! The rolling SHA-256 of what arrived: of each connection, and of each case within each run of the collector.

use std::fmt::Write;

use ring::digest::{Context, SHA256};
use serde::Serialize;

/// A SHA-256 that can be asked for its value while it goes on.
#[derive(Clone)]
pub(crate) struct Rolling {
    context: Context,
    bytes: u64,
}

/// A digest and how much it is over.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Digest {
    /// Octets.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Default for Rolling {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), bytes: 0 }
    }
}

impl Rolling {
    /// Takes the next octets.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Octets so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest so far.
    pub(crate) fn value(&self) -> Digest {
        Digest { bytes: self.bytes, sha256: hexadecimal(self.context.clone().finish().as_ref()) }
    }
}

/// SHA-256 of one piece, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(ring::digest::digest(&SHA256, bytes).as_ref())
}

/// Two small digits an octet.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The octets that two digits each stand for.
pub(crate) fn octets(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let octets = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    rest.is_empty().then(|| octets.collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_the_way_does_not_disturb_the_end() {
        let mut rolling = Rolling::default();
        rolling.update(b"a");
        assert_eq!(rolling.value().sha256, sha256(b"a"));
        rolling.update(b"bc");
        // FIPS 180-2, appendix B.1
        assert_eq!(rolling.value().sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(rolling.value().bytes, 3);
    }
}
