//! People who sign: a key pair each, made and used by the real `ssh-keygen`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{LabError, run};

/// An officer of the operator or the agency, with an Ed25519 key without passphrase.
#[derive(Debug, Clone)]
pub struct Officer {
    /// Name, also of the key file.
    pub name: String,
    /// Public key as one OpenSSH line: type, base64, comment.
    pub public_key: String,
    /// File of the private key; the public one lies beside it as `.pub`.
    pub key: PathBuf,
}

impl Officer {
    /// Makes a key in the directory.
    pub fn new(directory: &Path, name: &str) -> Result<Self, LabError> {
        fs::create_dir_all(directory).map_err(LabError::io(directory.display().to_string()))?;
        let key = directory.join(name);
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&key))?;
        let public = with_suffix(&key, "pub");
        let public_key = fs::read_to_string(&public).map_err(LabError::io(public.display().to_string()))?;
        Ok(Officer { name: name.to_owned(), public_key: public_key.trim().to_owned(), key })
    }

    /// Signs a file as it is (SSHSIG under the given namespace); the signature lies beside it as `FILE.<name>.sig`.
    pub fn sign(&self, file: &Path, namespace: &str) -> Result<PathBuf, LabError> {
        let made = with_suffix(file, "sig");
        // ssh-keygen asks before it overwrites.
        if made.exists() {
            fs::remove_file(&made).map_err(LabError::io(made.display().to_string()))?;
        }
        run(Command::new("ssh-keygen").args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(&self.key).arg(file))?;
        let signature = with_suffix(file, &format!("{}.sig", self.name));
        fs::rename(&made, &signature).map_err(LabError::io(signature.display().to_string()))?;
        Ok(signature)
    }
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}
