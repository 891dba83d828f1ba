//! The agency's keys: those of cases, which open what probes encrypted, and that of the carrier, which its signatures are
//! held against. Read once, at the start.

use std::{collections::HashMap, fs, io, os::unix::fs::PermissionsExt, path::Path};

use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use writ_encoder::etsi::{CaseKey, PublicKey};
use x509_parser::{prelude::FromDer, public_key::PublicKey as Parsed, x509::SubjectPublicKeyInfo};

/// Stands in the file for every case that has no line of its own.
const ANY: &str = "*";
/// id-Ed25519 (RFC 8410).
const ED25519: &str = "1.3.101.112";
/// secp256r1 (RFC 5480).
const P256: &str = "1.2.840.10045.3.1.7";

/// The keys of cases, by LIID.
#[derive(Debug, Default)]
pub struct Keys {
    cases: HashMap<String, CaseKey>,
    any: Option<CaseKey>,
}

/// A file of keys that is of no use. Quotes nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others than its owner may read it.
    #[error("others than its owner may read it: give it mode 0600")]
    Open,
    /// A line is not what it should be.
    #[error("line {0}: give a LIID or *, a space, and 48 or 64 hexadecimal digits; each LIID once")]
    Line(usize),
    /// No public key that is known.
    #[error("no public key of Ed25519 or P-256, as PEM or DER: `openssl pkey -pubout` writes one")]
    PublicKey,
}

impl Keys {
    /// Reads the keys of cases: on each line a LIID (or `*` for all others) and a key in hexadecimal; `#` begins a remark.
    ///
    /// # Errors
    /// A file that others may read, or a line that is none.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::Open);
        }
        let text = fs::read_to_string(path)?;
        let mut keys = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || KeyFileError::Line(number);
            // A LIID may have spaces in it.
            let (liid, key) = line.rsplit_once(char::is_whitespace).ok_or_else(bad)?;
            let key = CaseKey::new(&crate::digest::octets(key).ok_or_else(bad)?).map_err(|_| bad())?;
            let before = match liid.trim() {
                ANY => keys.any.replace(key).map(drop),
                liid => keys.cases.insert(liid.to_owned(), key).map(drop),
            };
            if before.is_some() {
                return Err(bad());
            }
        }
        Ok(keys)
    }

    /// The key of a case, if there is one.
    pub(crate) fn of_case(&self, liid: &[u8]) -> Option<&CaseKey> {
        str::from_utf8(liid).ok().and_then(|liid| self.cases.get(liid)).or(self.any.as_ref())
    }
}

/// Reads the key that verifies a carrier's signatures.
///
/// # Errors
/// A file that holds no such key.
pub fn public_key(path: &Path) -> Result<PublicKey, KeyFileError> {
    let bytes = fs::read(path)?;
    let der = match SubjectPublicKeyInfoDer::from_pem_slice(&bytes) {
        Ok(key) => key.as_ref().to_vec(),
        Err(_) => bytes,
    };
    let (_, info) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| KeyFileError::PublicKey)?;
    let curve = info.algorithm.parameters.as_ref().and_then(|curve| Some(curve.as_oid().ok()?.to_id_string()));
    match info.parsed() {
        Ok(Parsed::EC(point)) if curve == Some(P256.to_owned()) => Ok(PublicKey::EcdsaP256(point.data().to_vec())),
        Ok(Parsed::Unknown(octets)) if info.algorithm.algorithm.to_id_string() == ED25519 => {
            Ok(PublicKey::Ed25519(octets.to_vec()))
        }
        _ => Err(KeyFileError::PublicKey),
    }
}
