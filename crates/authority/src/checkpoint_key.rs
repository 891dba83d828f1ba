//! The key by which a probe signs its checkpoints: Ed25519, in OpenSSH's own format, made at the first start and never
//! leaving the state directory. Its public half goes to the officers, who put it into the roster, and to whoever checks
//! the audit log elsewhere.
//!
//! Root on the machine can read the key. It proves that a checkpoint comes from this machine; that it is true is proved
//! by the witness that had it before anybody could want it changed.

use crate::durable;
use ring::rand::{SecureRandom, SystemRandom};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Why the probe's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointKeyError {
    /// It cannot be read or made.
    #[error("{}: {source}; check owner and mode of the state directory", file.display())]
    Io {
        /// The key's file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is something else in the file.
    #[error(
        "{}: no Ed25519 key in OpenSSH's format; restore the probe's key, or move the file away, and a new key is made, \
         which the roster and all who check the log must then be told", .0.display()
    )]
    Unreadable(PathBuf),
    /// Others may read it.
    #[error("{}: mode {mode:o} lets others read the probe's key; run `chmod 600` on it", file.display())]
    Exposed {
        /// The key's file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for the probe's key")]
    NoRandomness,
}

/// The private half.
#[derive(Debug)]
pub struct CheckpointKey(PrivateKey);

impl CheckpointKey {
    /// The key in `file`, which is made if it is not there. `probe` becomes the key's comment.
    pub fn open(file: &Path, probe: &str) -> Result<Self, CheckpointKeyError> {
        let io = |source| CheckpointKeyError::Io { file: file.to_owned(), source };
        if !file.try_exists().map_err(io)? {
            Self::make(file, probe)?;
        }
        let mode = std::fs::metadata(file).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CheckpointKeyError::Exposed { file: file.to_owned(), mode });
        }
        let text = std::fs::read(file).map_err(io)?;
        match PrivateKey::from_openssh(text) {
            Ok(key) if key.key_data().ed25519().is_some() => Ok(Self(key)),
            _ => Err(CheckpointKeyError::Unreadable(file.to_owned())),
        }
    }

    fn make(file: &Path, probe: &str) -> Result<(), CheckpointKeyError> {
        let io = |source| CheckpointKeyError::Io { file: file.to_owned(), source };
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| CheckpointKeyError::NoRandomness)?;
        let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
        let text = PrivateKey::new(pair, format!("writ probe {probe}"))
            .and_then(|key| key.to_openssh(LineEnding::LF))
            .map_err(|error| io(io::Error::other(error)))?;
        let folder = file.parent().ok_or_else(|| io(io::ErrorKind::InvalidInput.into()))?;
        let unfinished = file.with_added_extension(format!("{}.new", std::process::id()));
        let made = (|| {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            new.write_all(text.as_bytes())?;
            new.sync_all()?;
            // A link does not take the place of a key that another process has made meanwhile.
            match std::fs::hard_link(&unfinished, file) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => std::fs::remove_file(&unfinished)?,
            }
            durable::sync_folder(folder)
        })();
        made.map_err(io)
    }

    /// The public half.
    pub fn public(&self) -> CheckpointPublicKey {
        CheckpointPublicKey(self.0.public_key().clone())
    }

    /// SSHSIG over `bytes`.
    pub(crate) fn sign(&self, namespace: &str, bytes: &[u8]) -> Result<SshSig, ssh_key::Error> {
        self.0.sign(namespace, HashAlg::Sha512, bytes)
    }
}

/// The public half, as `writ audit key` prints it and as the roster has it: `ssh-ed25519 AAAA... comment`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointPublicKey(PublicKey);

impl CheckpointPublicKey {
    /// `SHA256:...`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.0
    }
}

/// A text that is no probe's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a probe's public key; give the line `ssh-ed25519 AAAA...` that `writ audit key` printed")]
pub struct NotACheckpointKey;

impl FromStr for CheckpointPublicKey {
    type Err = NotACheckpointKey;

    fn from_str(text: &str) -> Result<Self, NotACheckpointKey> {
        let key = PublicKey::from_openssh(text.trim()).map_err(|_| NotACheckpointKey)?;
        if key.key_data().ed25519().is_some() { Ok(Self(key)) } else { Err(NotACheckpointKey) }
    }
}

impl std::fmt::Display for CheckpointPublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_openssh().map_err(|_| std::fmt::Error)?)
    }
}
