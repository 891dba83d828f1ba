//! What an agency of `etsi` or `x3` and the carrier agreed to say to each other beside the PDUs, as the configuration has it.

use serde::Deserialize;
use std::path::PathBuf;

/// `keep_alive = { ... }`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeepAliveSettings {
    /// After so many seconds without a PDU the probe asks whether the agency is there (TIME1); 0: never.
    pub idle_seconds: u32,
    /// After so many seconds without an answer the connection is given up (TIME3).
    pub answer_seconds: u32,
}

/// What TS 102 232-1 recommends.
impl Default for KeepAliveSettings {
    fn default() -> Self {
        Self { idle_seconds: 120, answer_seconds: 60 }
    }
}

/// `integrity = { ... }`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntegritySettings {
    /// A hash after so many PDUs at the latest.
    pub hash_pdus: u16,
    /// A hash so many seconds after its first PDU at the latest.
    pub hash_seconds: u16,
    /// A signature after so many hashes at the latest.
    pub signature_hashes: u16,
    /// A signature so many seconds after its first hash at the latest.
    pub signature_seconds: u16,
    /// The key that signs, PEM of PKCS #8, Ed25519 or P-256. Without one there are hashes alone.
    pub key: Option<PathBuf>,
}

/// What annex J of TS 102 232-1 recommends.
impl Default for IntegritySettings {
    fn default() -> Self {
        Self { hash_pdus: 1000, hash_seconds: 1, signature_hashes: 15, signature_seconds: 30, key: None }
    }
}

/// `encryption = { ... }`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptionSettings {
    /// The file of keys: a LIID and a key of 48 or 64 hexadecimal digits a line, `*` for all other LIIDs.
    pub keys: PathBuf,
}
