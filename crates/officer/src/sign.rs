//! From a document that was shown to a signature file beside it.

use anyhow::{Context as _, Result, bail};
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};
use std::fs::OpenOptions;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use writ_authority::Paper;

/// Asks whether to sign. Only `yes` is yes.
pub(crate) fn confirmed() -> Result<bool> {
    let mut out = std::io::stdout().lock();
    write!(out, "sign this? Type yes: ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(answer.trim() == "yes")
}

/// Signs the document's bytes with a key file, and gives the signature's file.
pub(crate) fn sign(paper: &Paper, file: &Path, key_file: &Path, name: Option<&str>) -> Result<PathBuf> {
    let key = read_key(key_file)?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => key_file.file_name().context("the key's path has no file name")?.to_string_lossy().into_owned(),
    };
    let mut signature_file = file.as_os_str().to_owned();
    signature_file.push(format!(".{name}.sig"));
    let signature_file = PathBuf::from(signature_file);
    // What was shown is what is signed: the bytes are those in memory, whatever the file has become meanwhile.
    let signature = key
        .sign(paper.namespace().as_str(), HashAlg::Sha512, paper.bytes())
        .with_context(|| format!("{}: does not sign", key_file.display()))?;
    let text = signature.to_pem(LineEnding::LF).context("the signature cannot be written")?;
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&signature_file)
        .with_context(|| format!("{}: cannot be made; remove it if it is there", signature_file.display()))?;
    out.write_all(text.as_bytes()).with_context(|| format!("{}: cannot be written", signature_file.display()))?;
    Ok(signature_file)
}

fn read_key(file: &Path) -> Result<PrivateKey> {
    let key = PrivateKey::read_openssh_file(file)
        .with_context(|| format!("{}: no private key of OpenSSH; name the file without .pub", file.display()))?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => {}
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => bail!(
            "{}: a hardware key; sign with `ssh-keygen -Y sign -n NAMESPACE -f KEY FILE` and touch it",
            file.display()
        ),
        other => bail!(
            "{}: a key of the kind {}; sign with `ssh-keygen -Y sign -n NAMESPACE -f KEY FILE`",
            file.display(),
            other.as_str()
        ),
    }
    if !key.is_encrypted() {
        return Ok(key);
    }
    let passphrase = rpassword::prompt_password(format!("passphrase of {}: ", file.display()))
        .context("the passphrase cannot be read; sign at a terminal")?;
    key.decrypt(passphrase).with_context(|| format!("{}: wrong passphrase", file.display()))
}
