//! The keys of the cases: what is kept sealed of a case (the scanned order) is readable only while its key is there, and
//! the key is destroyed when the case is closed. One key of 256 bits a case, in a file of its own; AES-256-GCM.
//!
//! This guards copies of the archive (a backup, a disk that is sent in), not against root on the running probe.

use crate::durable;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const KEY_BYTES: usize = 32;

/// See the module.
#[derive(Debug)]
pub(crate) struct CaseKeys {
    folder: PathBuf,
}

/// Why something is not sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The case has no key: nothing was sealed for it, or it is closed.
    #[error("{}: missing; the key of a case is destroyed when the case is closed", .0.display())]
    NoKey(PathBuf),
    /// What was sealed was altered, or is another case's.
    #[error("what was sealed does not open with the key of its case: one of them was exchanged; restore both")]
    Altered,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes; try again")]
    NoRandomness,
    /// A key file cannot be read or written.
    #[error("{}: {source}; check the folder's owner, mode and free space", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl CaseKeys {
    /// Takes the folder, or makes it. Nobody else may look into it.
    pub(crate) fn open(folder: &Path) -> Result<Self, SealError> {
        durable::make_private_folder(folder).map_err(|source| SealError::Io { file: folder.to_owned(), source })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Seals something for a case, whose key is made if there is none: a random nonce, what is sealed, and the tag.
    pub(crate) fn seal(&self, case: Uuid, open: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = match self.key(case) {
            Err(SealError::NoKey(_)) => self.make(case)?,
            key => key?,
        };
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let mut bytes = open.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(case.as_bytes()), &mut bytes)
            .map_err(|_| SealError::Altered)?;
        Ok([&nonce[..], &bytes].concat())
    }

    /// Opens what was sealed for a case.
    pub(crate) fn unseal(&self, case: Uuid, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.key(case)?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Altered)?;
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let open =
            key.open_in_place(nonce, Aad::from(case.as_bytes()), &mut bytes).map_err(|_| SealError::Altered)?.len();
        bytes.truncate(open);
        Ok(bytes)
    }

    /// Destroys the key of a case, if there is one: what was sealed with it is nobody's any more. The bytes are written
    /// over first; that a disk keeps no copy of them is beyond any program.
    pub(crate) fn destroy(&self, case: Uuid) -> Result<(), SealError> {
        let file = self.file_of(case);
        let destroyed = (|| {
            let mut key = OpenOptions::new().write(true).open(&file)?;
            key.write_all(&[0; KEY_BYTES])?;
            key.sync_all()?;
            fs::remove_file(&file)?;
            durable::sync_folder(&self.folder)
        })();
        match destroyed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            destroyed => destroyed.map_err(|source| SealError::Io { file, source }),
        }
    }

    fn key(&self, case: Uuid) -> Result<LessSafeKey, SealError> {
        let file = self.file_of(case);
        match fs::read(&file) {
            Ok(bytes) => UnboundKey::new(&AES_256_GCM, &bytes).map(LessSafeKey::new).map_err(|_| SealError::Altered),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SealError::NoKey(file)),
            Err(source) => Err(SealError::Io { file, source }),
        }
    }

    fn make(&self, case: Uuid) -> Result<LessSafeKey, SealError> {
        let mut bytes = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::NoRandomness)?;
        let file = self.file_of(case);
        durable::write(&file, &bytes).map_err(|source| SealError::Io { file, source })?;
        UnboundKey::new(&AES_256_GCM, &bytes).map(LessSafeKey::new).map_err(|_| SealError::Altered)
    }

    fn file_of(&self, case: Uuid) -> PathBuf {
        self.folder.join(format!("{case}.key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_case_only_and_never_after_the_key_is_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let keys = CaseKeys::open(&folder.path().join("keys")).unwrap();
        let (case, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = keys.seal(case, b"the scanned order").unwrap();
        let of_other = keys.seal(other, b"another").unwrap();
        assert_eq!(keys.unseal(case, &sealed).unwrap(), b"the scanned order");
        assert!(!sealed.windows(7).any(|part| part == b"scanned"));
        for (case, sealed) in [(case, &of_other[..]), (other, &sealed), (case, &sealed[..20]), (case, &[])] {
            assert!(matches!(keys.unseal(case, sealed), Err(SealError::Altered)));
        }
        let mut flipped = sealed.clone();
        flipped[NONCE_LEN] ^= 1;
        assert!(matches!(keys.unseal(case, &flipped), Err(SealError::Altered)));
        keys.destroy(case).unwrap();
        keys.destroy(case).unwrap();
        assert!(matches!(keys.unseal(case, &sealed), Err(SealError::NoKey(_))));
        assert_eq!(keys.unseal(other, &of_other).unwrap(), b"another");
    }
}
