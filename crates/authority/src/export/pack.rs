//! The archive as a file: a tar that any program reads, written in one way only. Every file in it stands in a manifest
//! in the form of `sha256sum`, and the manifest is signed with the probe's key. Because there is one way to write it, a
//! byte that was altered is found wherever it is, in a file's header and its padding too.

use super::ExportError;
use crate::checkpoint_key::{CheckpointKey, CheckpointPublicKey};
use crate::digest::Digest;
use crate::signature::{EXPORT, Signature};
use jiff::Timestamp;
use ssh_key::{LineEnding, SshSig};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Component, Path};

/// The list of all other files.
pub(super) const MANIFEST: &str = "MANIFEST";
/// The probe's signature over it.
pub(super) const SIGNATURE: &str = "MANIFEST.sig";

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path in the archive: plain names, with `/` between them.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Member {
    /// A file of this path.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into() }
    }
}

/// What is in an archive.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// The files by their paths, without the manifest and its signature.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// The manifest.
    pub(super) manifest: Vec<u8>,
    /// Its signature.
    pub(super) signature: Vec<u8>,
}

/// Writes the archive, below one folder of this name.
pub(super) fn pack(
    folder: &str,
    mut members: Vec<Member>,
    key: &CheckpointKey,
    at: Timestamp,
) -> Result<Vec<u8>, ExportError> {
    members.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest: String =
        members.iter().map(|member| format!("{}  {}\n", Digest::of(&member.bytes), member.path)).collect();
    let signed = key.sign(EXPORT.as_str(), manifest.as_bytes());
    let signature = signed.and_then(|signature| signature.to_pem(LineEnding::LF)).map_err(ExportError::Signature)?;
    members.extend([Member::new(MANIFEST, manifest), Member::new(SIGNATURE, signature)]);
    let files = members.iter().map(|member| (member.path.as_str(), &member.bytes[..]));
    write(folder, files, u64::try_from(at.as_second()).unwrap_or(0)).map_err(ExportError::Archive)
}

/// The one way to write it.
fn write<'a>(folder: &str, files: impl Iterator<Item = (&'a str, &'a [u8])>, seconds: u64) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(seconds);
        tar.append_data(&mut header, format!("{folder}/{path}"), bytes)?;
    }
    tar.into_inner()
}

/// Reads an archive, and finds whether it is written in that one way.
pub(super) fn unpack(bytes: &[u8]) -> Result<Unpacked, String> {
    let unreadable = |error: io::Error| format!("no archive that tar can read: {error}");
    let mut archive = tar::Archive::new(bytes);
    let mut order: Vec<(String, Vec<u8>)> = Vec::new();
    let (mut folder, mut seconds) = (None::<String>, 0);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let (top, rest) = split(&path).ok_or_else(|| format!("{}: no path of an export", path.display()))?;
        if !entry.header().entry_type().is_file() || folder.get_or_insert(top.clone()) != &top {
            return Err(format!("{}: no file of an export", path.display()));
        }
        seconds = entry.header().mtime().map_err(unreadable)?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(unreadable)?;
        order.push((rest, content));
    }
    let folder = folder.ok_or("it is empty")?;
    let again = write(&folder, order.iter().map(|(path, content)| (path.as_str(), &content[..])), seconds);
    if again.map_err(unreadable)? != bytes {
        return Err("it is not written as the probe writes it: something outside its files was altered".to_owned());
    }
    let count = order.len();
    let mut files: BTreeMap<_, _> = order.into_iter().collect();
    if files.len() != count {
        return Err("two files in it have one name".to_owned());
    }
    let manifest = files.remove(MANIFEST).ok_or("MANIFEST is missing")?;
    let signature = files.remove(SIGNATURE).ok_or("MANIFEST.sig is missing")?;
    Ok(Unpacked { files, manifest, signature })
}

/// The folder, and the path below it.
fn split(path: &Path) -> Option<(String, String)> {
    let mut names = path.components().map(|component| match component {
        Component::Normal(name) => name.to_str().map(str::to_owned),
        _ => None,
    });
    let top = names.next()??;
    let rest = names.collect::<Option<Vec<_>>>()?;
    (!rest.is_empty()).then(|| (top, rest.join("/")))
}

impl Unpacked {
    /// What of the files is not as the manifest says.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut listed = BTreeMap::new();
        for (number, line) in (1..).zip(String::from_utf8_lossy(&self.manifest).lines()) {
            match line.split_once("  ").and_then(|(digest, path)| Some((path.to_owned(), digest.parse().ok()?))) {
                Some((path, digest)) => drop(listed.insert(path, digest)),
                None => faults.push(format!("MANIFEST: line {number} is no line of sha256sum")),
            }
        }
        for (path, bytes) in &self.files {
            match listed.remove(path) {
                Some(digest) if Digest::of(bytes) == digest => {}
                Some(_) => faults.push(format!("{path}: was altered: the MANIFEST has another digest")),
                None => faults.push(format!("{path}: is not in the MANIFEST: it was added")),
            }
        }
        faults.extend(
            listed.into_keys().map(|path| format!("{path}: is in the MANIFEST and not here: it was taken out")),
        );
        faults
    }

    /// Which of these keys signed the manifest.
    pub(super) fn signer<'a>(&self, keys: &'a [CheckpointPublicKey]) -> Option<&'a CheckpointPublicKey> {
        let signature = Signature::parse(&self.signature, Path::new(SIGNATURE)).ok()?;
        // Of the ways to write one signature, only that of the probe.
        let own = SshSig::from_pem(signature.armored()).and_then(|it| it.to_pem(LineEnding::LF)).ok()?;
        if own.as_bytes() != self.signature {
            return None;
        }
        let fits = |key: &&CheckpointPublicKey| {
            key.key().key_data() == signature.key()
                && signature.check(key.key(), "the probe", EXPORT, &self.manifest).is_ok()
        };
        keys.iter().find(fits)
    }
}
