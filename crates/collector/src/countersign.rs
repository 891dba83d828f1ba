//! The agency's signature over a file of digests: SSHSIG, made by `ssh-keygen`, which knows agents, passphrases and
//! hardware keys.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::write_atomically;

/// What the signature is for; `ssh-keygen -Y verify -n` asks for the same.
pub const NAMESPACE: &str = "writ-digests";

/// Why a file is not signed.
#[derive(Debug, thiserror::Error)]
pub enum CountersignError {
    /// A file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program is not there.
    #[error("ssh-keygen: {0}; install OpenSSH's client")]
    Program(io::Error),
    /// The program did not sign; it has said why.
    #[error("{}: ssh-keygen does not sign with this key", .0.display())]
    Key(PathBuf),
}

/// Signs a file with a key; gives the signature's file.
///
/// # Errors
/// When the file cannot be read, or the key does not sign.
pub fn countersign(file: &Path, key: &Path) -> Result<PathBuf, CountersignError> {
    let input = File::open(file).map_err(|source| CountersignError::Io { file: file.to_owned(), source })?;
    let output = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", NAMESPACE, "-f"])
        .arg(key)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .map_err(CountersignError::Program)?;
    if !output.status.success() || output.stdout.is_empty() {
        return Err(CountersignError::Key(key.to_owned()));
    }
    let mut signature = file.as_os_str().to_owned();
    signature.push(".sig");
    let signature = PathBuf::from(signature);
    match write_atomically(&signature, &output.stdout) {
        Ok(()) => Ok(signature),
        Err(source) => Err(CountersignError::Io { file: signature, source }),
    }
}
