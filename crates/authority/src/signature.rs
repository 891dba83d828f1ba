//! Signatures of officers over documents: SSHSIG, as `ssh-keygen -Y sign -n NAMESPACE -f KEY FILE` makes them on the
//! officer's own machine. Private keys never come near the probe.
//!
//! ssh-key reads the format and checks Ed25519, ECDSA and hardware keys. RSA goes through ring, because the `rsa` crate
//! that ssh-key would use has an open advisory (RUSTSEC-2023-0071) and takes keys that are too short.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};
use std::path::{Path, PathBuf};

/// What a signature is for. A signature of one namespace counts for nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace(&'static str);

/// Approval of a warrant's first revision.
pub const APPROVE: Namespace = Namespace("writ-approve");
/// Approval of a later revision of a warrant.
pub const AMEND: Namespace = Namespace("writ-amend");
/// The end of a warrant before its time.
pub const REVOKE: Namespace = Namespace("writ-revoke");
/// Agreement to a roster and the policy in it.
pub const POLICY: Namespace = Namespace("writ-policy");
/// The overseer's word that the record of an interception is right.
pub const CERTIFY: Namespace = Namespace("writ-certify");

/// What an agency signs: digests of what was delivered to it.
pub const DIGESTS: Namespace = Namespace("writ-digests");

/// What a probe's key signs: a checkpoint of its audit log.
pub const CHECKPOINT: Namespace = Namespace("writ-checkpoint");
/// What a probe's key signs: the manifest of a case's export.
pub const EXPORT: Namespace = Namespace("writ-export");

impl Namespace {
    /// All of them.
    pub const ALL: [Self; 5] = [APPROVE, AMEND, REVOKE, POLICY, CERTIFY];

    /// The word after `-n`.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// A signature file, read but not yet checked against anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    file: PathBuf,
    armored: String,
    signature: SshSig,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct SignatureError {
    /// The signature's file.
    pub file: PathBuf,
    /// What is wrong.
    pub fault: SignatureFault,
}

/// What can be wrong with a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// No SSHSIG in it.
    #[error("not a signature; hand in the .sig file that `ssh-keygen -Y sign` wrote")]
    Unreadable,
    /// Signed for something else.
    #[error("signed for the namespace {found:?}; sign with `ssh-keygen -Y sign -n {wanted}`")]
    Namespace {
        /// What it was signed for.
        found: String,
        /// What it had to be signed for.
        wanted: &'static str,
    },
    /// No officer of the roster has this key.
    #[error("the key {0} is no officer's in the roster; sign with a key that the roster names")]
    UnknownKey(String),
    /// The document is not the one that was signed.
    #[error("{0}'s signature does not fit the document: one of them was altered; have the officer sign this file")]
    Altered(String),
    /// A hardware key signed without anybody touching it.
    #[error("{0}'s hardware key signed without being touched; sign without no-touch-required")]
    NotTouched(String),
}

impl Signature {
    /// Reads a signature file. `file` only names it in messages.
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, SignatureError> {
        let unreadable = || SignatureError { file: file.to_owned(), fault: SignatureFault::Unreadable };
        let armored = std::str::from_utf8(bytes).map_err(|_| unreadable())?.to_owned();
        let signature = SshSig::from_pem(&armored).map_err(|_| unreadable())?;
        // The version is not among the signed bytes, and ssh-key takes lower ones than there are.
        if signature.version() != SshSig::VERSION || !signature.reserved().is_empty() {
            return Err(unreadable());
        }
        Ok(Self { file: file.to_owned(), armored, signature })
    }

    /// The file it came from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The text of the file.
    pub fn armored(&self) -> &str {
        &self.armored
    }

    /// The key that it says it was made with.
    pub(crate) fn key(&self) -> &KeyData {
        self.signature.public_key()
    }

    pub(crate) fn refused(&self, fault: SignatureFault) -> SignatureError {
        SignatureError { file: self.file.clone(), fault }
    }

    /// Whether it was made with `key`, which is `officer`'s, over `bytes` for `namespace`.
    pub(crate) fn check(
        &self,
        key: &PublicKey,
        officer: &str,
        namespace: Namespace,
        bytes: &[u8],
    ) -> Result<(), SignatureError> {
        let found = self.signature.namespace();
        if found != namespace.0 {
            let fault = SignatureFault::Namespace { found: found.to_owned(), wanted: namespace.0 };
            return Err(self.refused(fault));
        }
        let good = match key.key_data() {
            KeyData::Rsa(_) => self.check_rsa(key, bytes),
            _ => key.verify(namespace.0, bytes, &self.signature).is_ok(),
        };
        if !good {
            return Err(self.refused(SignatureFault::Altered(officer.to_owned())));
        }
        if !self.was_touched() {
            return Err(self.refused(SignatureFault::NotTouched(officer.to_owned())));
        }
        Ok(())
    }

    fn check_rsa(&self, key: &PublicKey, bytes: &[u8]) -> bool {
        if key.key_data() != self.key() {
            return false;
        }
        let Some(rsa) = key.key_data().rsa() else { return false };
        let (Some(n), Some(e)) = (rsa.n.as_positive_bytes(), rsa.e.as_positive_bytes()) else { return false };
        let algorithm = match self.signature.algorithm() {
            Algorithm::Rsa { hash: Some(HashAlg::Sha256) } => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rsa { hash: Some(HashAlg::Sha512) } => &RSA_PKCS1_2048_8192_SHA512,
            _ => return false,
        };
        SshSig::signed_data(self.signature.namespace(), self.signature.hash_alg(), bytes).is_ok_and(|signed| {
            RsaPublicKeyComponents { n, e }.verify(algorithm, &signed, self.signature.signature_bytes()).is_ok()
        })
    }

    /// A hardware key notes in the signed bytes whether its holder touched it (flag 1 of the byte before the counter,
    /// PROTOCOL.u2f). Other keys have nothing to touch.
    fn was_touched(&self) -> bool {
        const TRAILER: usize = 5; // flags (1), counter (4)
        match self.signature.algorithm() {
            Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => {
                let bytes = self.signature.signature_bytes();
                bytes.len().checked_sub(TRAILER).and_then(|at| bytes.get(at)).is_some_and(|flags| flags & 1 == 1)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use ssh_key::public::{Ed25519PublicKey, SkEd25519};

    /// What a hardware key does, with or without a touch (PROTOCOL.u2f): it signs the hash of its application, flags,
    /// counter and the hash of the message.
    fn hardware(flags: u8, bytes: &[u8]) -> (PublicKey, Signature) {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = Ed25519PublicKey(pair.public_key().as_ref().try_into().unwrap());
        let key = KeyData::SkEd25519(SkEd25519::new(public, "ssh:"));
        let trailer = [flags, 0, 0, 0, 7];
        let sha256 = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
        let message = SshSig::signed_data(APPROVE.as_str(), HashAlg::Sha512, bytes).unwrap();
        let signed = [sha256(b"ssh:").as_ref(), &trailer, sha256(&message).as_ref()].concat();
        let data = [pair.sign(&signed).as_ref(), &trailer].concat();
        let raw = ssh_key::Signature::new(Algorithm::SkEd25519, data).unwrap();
        let signature = SshSig::new(key.clone(), APPROVE.as_str(), HashAlg::Sha512, raw).unwrap();
        let armored = signature.to_pem(Default::default()).unwrap();
        (key.into(), Signature::parse(armored.as_bytes(), Path::new("w.sig")).unwrap())
    }

    #[test]
    fn a_hardware_key_counts_only_if_it_was_touched() {
        let (key, signature) = hardware(1, b"document");
        assert_eq!(signature.check(&key, "Ada", APPROVE, b"document"), Ok(()));
        let altered = signature.check(&key, "Ada", APPROVE, b"another").unwrap_err();
        assert_eq!(altered.fault, SignatureFault::Altered("Ada".to_owned()));
        let (key, signature) = hardware(0, b"document");
        let untouched = signature.check(&key, "Ada", APPROVE, b"document").unwrap_err();
        assert_eq!(untouched.fault, SignatureFault::NotTouched("Ada".to_owned()));
    }
}
