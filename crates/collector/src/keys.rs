//! The agency's keys: those of cases, which open what probes encrypted, and that of the carrier, which its signatures are
//! held against. Read once, at the start.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use writ_encoder::etsi::{CaseKeys, CaseKeysError, PublicKey};
use x509_parser::{prelude::FromDer, public_key::PublicKey as Parsed, x509::SubjectPublicKeyInfo};

/// id-Ed25519 (RFC 8410).
const ED25519: &str = "1.3.101.112";
/// secp256r1 (RFC 5480).
const P256: &str = "1.2.840.10045.3.1.7";

/// A file of keys that is of no use. Quotes nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others than its owner may read it.
    #[error("others than its owner may read it: give it mode 0600")]
    Open,
    /// It is no list of keys.
    #[error("{0}: give a LIID or *, a space, and 48 or 64 hexadecimal digits on each line; each LIID once")]
    CaseKeys(#[from] CaseKeysError),
    /// No public key that is known.
    #[error("no public key of Ed25519 or P-256, as PEM or DER: `openssl pkey -pubout` writes one")]
    PublicKey,
}

/// Reads the [keys of cases](CaseKeys).
///
/// # Errors
/// A file that others may read, or that is no list of keys.
pub fn case_keys(path: &Path) -> Result<CaseKeys, KeyFileError> {
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Open);
    }
    Ok(CaseKeys::parse(&fs::read_to_string(path)?)?)
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
