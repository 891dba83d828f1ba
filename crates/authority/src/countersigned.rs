//! Digests of what was delivered, as an agency countersigned them: its file of lines, its signature (SSHSIG, namespace
//! `writ-digests`) and the public key by which it is to be checked. Whose key that is the officer knows who hands it in.

use crate::archive::Original;
use crate::signature::{DIGESTS, Signature, SignatureError};
use ssh_key::{HashAlg, PublicKey};
use std::path::PathBuf;

/// Who the signer is in messages.
const AGENCY: &str = "the agency";

/// A file of digests with its signature and the key.
#[derive(Clone, Debug)]
pub struct Countersigned {
    /// The lines, exactly as they were signed.
    pub digests: Original,
    /// The signature.
    pub signature: Original,
    /// The public key, a line of OpenSSH.
    pub key: Original,
}

/// Why it does not count.
#[derive(Debug, thiserror::Error)]
pub enum CountersignedError {
    /// The key is none.
    #[error("{}: not an OpenSSH public key; hand in the .pub file that the agency gave you", .0.display())]
    Key(PathBuf),
    /// The signature was made with another key.
    #[error("{}: made with the key {found}, and not with that of {}; ask the agency which key it signs with", signature.display(), key.display())]
    OtherKey {
        /// The signature's file.
        signature: PathBuf,
        /// The key that made it.
        found: String,
        /// The key's file.
        key: PathBuf,
    },
    /// The signature itself.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Countersigned {
    /// Checks the signature, and gives the fingerprint of the key.
    ///
    /// # Errors
    /// What does not fit, and what would help.
    pub fn check(&self) -> Result<String, CountersignedError> {
        let Self { digests, signature, key } = self;
        let not_a_key = || CountersignedError::Key(key.name.clone());
        let line = std::str::from_utf8(&key.bytes).map_err(|_| not_a_key())?;
        let public = PublicKey::from_openssh(line.trim()).map_err(|_| not_a_key())?;
        let found = Signature::parse(&signature.bytes, &signature.name)?;
        if found.key() != public.key_data() {
            return Err(CountersignedError::OtherKey {
                signature: signature.name.clone(),
                found: found.key().fingerprint(HashAlg::Sha256).to_string(),
                key: key.name.clone(),
            });
        }
        found.check(&public, AGENCY, DIGESTS, &digests.bytes)?;
        Ok(public.fingerprint(HashAlg::Sha256).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{APPROVE, Namespace, SignatureFault};
    use ssh_key::private::Ed25519Keypair;
    use ssh_key::{LineEnding, PrivateKey};

    fn key(seed: u8) -> PrivateKey {
        Ed25519Keypair::from_seed(&[seed; 32]).into()
    }

    fn handed_in(digests: &str, signer: &PrivateKey, namespace: Namespace, public: &PrivateKey) -> Countersigned {
        let signature = signer.sign(namespace.as_str(), HashAlg::Sha512, b"lines").unwrap();
        Countersigned {
            digests: Original::new("digests.jsonl", digests),
            signature: Original::new("digests.jsonl.sig", signature.to_pem(LineEnding::LF).unwrap()),
            key: Original::new("agency.pub", public.public_key().to_openssh().unwrap()),
        }
    }

    #[test]
    fn only_the_agencys_own_signature_over_these_very_lines_counts() {
        let (agency, stranger) = (key(1), key(2));
        let good = handed_in("lines", &agency, DIGESTS, &agency);
        assert_eq!(good.check().unwrap(), agency.fingerprint(HashAlg::Sha256).to_string());
        let fault = |papers: Countersigned| match papers.check().unwrap_err() {
            CountersignedError::Signature(error) => error.fault,
            other => panic!("{other}"),
        };
        let altered = fault(handed_in("lines.", &agency, DIGESTS, &agency));
        assert_eq!(altered, SignatureFault::Altered(AGENCY.to_owned()));
        let other = fault(handed_in("lines", &agency, APPROVE, &agency));
        assert!(matches!(other, SignatureFault::Namespace { wanted: "writ-digests", .. }), "{other}");
        let other = handed_in("lines", &stranger, DIGESTS, &agency).check().unwrap_err();
        assert!(matches!(other, CountersignedError::OtherKey { .. }), "{other}");
        let no_key = Countersigned { key: Original::new("agency.pub", "ssh-ed25519 nonsense"), ..good };
        assert!(no_key.check().unwrap_err().to_string().starts_with("agency.pub: not an OpenSSH public key"));
    }
}
