//! Checkpoints: the head of the audit log at a moment, signed by the probe's key, one JSON line each. They go to
//! witnesses outside the machine, against whose copies the log is held later ([`Evidence`](crate::Evidence)).
//!
//! A line is an object whose last field is `signature`: an SSHSIG over the line up to and without `,"signature":...`,
//! its armour and line breaks left away. Each names the digest of the line before, so a witness's file shows by itself
//! whether lines are missing.
//!
//! The probe keeps all it has made in a file of its own: what a witness could not take waits there, not in memory.

use crate::approval::ProbeIdentity;
use crate::audit::Head;
use crate::checkpoint_key::{CheckpointKey, CheckpointPublicKey};
use crate::digest::Digest;
use crate::durable;
use crate::signature::{CHECKPOINT, Signature};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ssh_key::{LineEnding, SshSig};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Longest line of a checkpoint, in bytes: names of probe and operator are bounded, and so is the rest.
pub const LONGEST_CHECKPOINT: usize = 8 << 10;

const SIGNATURE_FIELD: &[u8] = b",\"signature\":\"";
const PEM_BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const PEM_END: &str = "-----END SSH SIGNATURE-----";
/// Characters in a line of the armour, as OpenSSH writes it.
const PEM_WIDTH: usize = 70;

/// What this is, for whoever finds the line among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckpointFormat {
    /// The fields of [`Checkpoint`].
    #[serde(rename = "writ-checkpoint-1")]
    V1,
}

/// The head of a log at a moment. Field order is the order in the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// What this is.
    pub format: CheckpointFormat,
    /// Id of the probe.
    pub probe: String,
    /// The carrier.
    pub operator: String,
    /// Which log: the hash of its first record.
    pub log: Digest,
    /// Number of its last record.
    pub number: u64,
    /// Hash of that record.
    pub hash: Digest,
    /// When the checkpoint was made.
    pub time: Timestamp,
    /// Digest of the line of the checkpoint before; zero for the first.
    pub previous: Digest,
}

impl Checkpoint {
    /// The head that was seen.
    pub fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash }
    }
}

/// A line that is no sound checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// It is none, or not whole.
    #[error("no whole checkpoint")]
    Unreadable,
    /// It was altered, or signed by somebody else.
    #[error("not signed by any of the probe's keys that were given: altered, or another probe's")]
    Signature,
}

/// A checkpoint with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    line: String,
    /// Bytes of the line that are signed.
    signed: usize,
    signature: Signature,
}

impl SignedCheckpoint {
    /// Signs.
    ///
    /// # Errors
    /// When the key does not sign, which an Ed25519 key always does.
    pub fn sign(checkpoint: Checkpoint, key: &CheckpointKey) -> io::Result<Self> {
        let mut line = serde_json::to_string(&checkpoint)?;
        line.pop(); // The closing brace comes behind the signature.
        let signed = line.len();
        let signature = key.sign(CHECKPOINT.as_str(), line.as_bytes()).map_err(io::Error::other)?;
        let armored = signature.to_pem(LineEnding::LF).map_err(io::Error::other)?;
        let tail = format!(",\"signature\":\"{}\"}}", unarmored(&armored));
        line.push_str(&tail);
        let signature = Signature::parse(armored.as_bytes(), Path::new("checkpoint")).map_err(io::Error::other)?;
        Ok(Self { checkpoint, line, signed, signature })
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// When it is no checkpoint. Whether the signature fits is asked by [`SignedCheckpoint::check`].
    pub fn parse(line: &[u8]) -> Result<Self, CheckpointFault> {
        const BAD: CheckpointFault = CheckpointFault::Unreadable;
        let text = std::str::from_utf8(line).map_err(|_| BAD)?;
        let signed = line.windows(SIGNATURE_FIELD.len()).rposition(|it| it == SIGNATURE_FIELD).ok_or(BAD)?;
        let body = text.get(signed + SIGNATURE_FIELD.len()..).and_then(|it| it.strip_suffix("\"}")).ok_or(BAD)?;
        let object = format!("{}}}", text.get(..signed).ok_or(BAD)?);
        let checkpoint: Checkpoint = serde_json::from_str(&object).map_err(|_| BAD)?;
        if !body.is_ascii() {
            return Err(BAD);
        }
        let wrapped: Vec<&str> =
            body.as_bytes().chunks(PEM_WIDTH).filter_map(|chunk| std::str::from_utf8(chunk).ok()).collect();
        let armored = format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", wrapped.join("\n"));
        // Of the ways to write one signature, only ours: a line that was touched anywhere is none of ours.
        let canonical = SshSig::from_pem(&armored).and_then(|it| it.to_pem(LineEnding::LF)).map_err(|_| BAD)?;
        if unarmored(&canonical) != body {
            return Err(BAD);
        }
        let signature = Signature::parse(armored.as_bytes(), Path::new("checkpoint")).map_err(|_| BAD)?;
        Ok(Self { checkpoint, line: text.to_owned(), signed, signature })
    }

    /// Whether one of these keys has signed it.
    ///
    /// # Errors
    /// When none has.
    pub fn check(&self, keys: &[CheckpointPublicKey]) -> Result<&Checkpoint, CheckpointFault> {
        let bytes = self.line.as_bytes().get(..self.signed).unwrap_or_default();
        let fits = |key: &CheckpointPublicKey| {
            key.key().key_data() == self.signature.key()
                && self.signature.check(key.key(), "the probe", CHECKPOINT, bytes).is_ok()
        };
        if keys.iter().any(fits) { Ok(&self.checkpoint) } else { Err(CheckpointFault::Signature) }
    }

    /// What it says, whoever signed it.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The line, without its end.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The digest by which the next checkpoint names this one.
    pub fn digest(&self) -> Digest {
        Digest::of(self.line.as_bytes())
    }
}

/// A signature without its armour and line breaks.
fn unarmored(armored: &str) -> String {
    armored.lines().filter(|line| !line.starts_with("-----")).collect()
}

/// The probe's own file of checkpoints cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; check its owner, mode and the free space", file.display())]
pub struct CheckpointError {
    /// The file.
    pub file: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// A checkpoint in the probe's own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// Where its line ends in the file: what lies before this has been seen by whoever has seen this.
    pub end: u64,
    /// Number of the last record that it covers.
    pub number: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The line, without its end.
    pub line: String,
}

/// The probe's own file of checkpoints. Only ever appended to.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    file: File,
    length: u64,
    last: Option<SignedCheckpoint>,
    key: CheckpointKey,
    identity: ProbeIdentity,
}

impl Checkpoints {
    /// Opens the file, or makes it. What a power cut left of a last line is cut off: no witness had it.
    pub fn open(path: &Path, key: CheckpointKey, identity: ProbeIdentity) -> Result<Self, CheckpointError> {
        let error = |source| CheckpointError { file: path.to_owned(), source };
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(error)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            durable::sync_folder(folder).map_err(error)?;
        }
        let (mut length, mut last) = (0, None);
        let mut lines = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line).map_err(error)?;
            let Some(whole) = line.strip_suffix(b"\n") else { break };
            length += read as u64;
            if let Ok(checkpoint) = SignedCheckpoint::parse(whole) {
                last = Some(checkpoint);
            }
        }
        file.set_len(length).map_err(error)?;
        Ok(Self { path: path.to_owned(), file, length, last, key, identity })
    }

    /// The newest one.
    pub fn last(&self) -> Option<&Checkpoint> {
        self.last.as_ref().map(SignedCheckpoint::checkpoint)
    }

    /// Where the file ends.
    pub fn end(&self) -> u64 {
        self.length
    }

    /// The public half of the key that signs.
    pub fn public_key(&self) -> CheckpointPublicKey {
        self.key.public()
    }

    /// Makes one. It is on disk when this returns. `log` is the hash of the log's first record.
    pub fn make(&mut self, log: Digest, head: Head, now: Timestamp) -> Result<(), CheckpointError> {
        let checkpoint = Checkpoint {
            format: CheckpointFormat::V1,
            probe: self.identity.probe.clone(),
            operator: self.identity.operator.clone(),
            log,
            number: head.number,
            hash: head.hash,
            time: now,
            previous: self.last.as_ref().map_or(Digest::ZERO, SignedCheckpoint::digest),
        };
        let written = SignedCheckpoint::sign(checkpoint, &self.key).and_then(|signed| {
            let line = format!("{}\n", signed.line());
            self.file.write_all(line.as_bytes())?;
            self.file.sync_data()?;
            Ok((signed, line.len() as u64))
        });
        match written {
            Ok((signed, length)) => {
                self.length += length;
                self.last = Some(signed);
                Ok(())
            }
            Err(source) => {
                // What is left of it must not stand before the next one. If that fails too, the next start does it.
                drop(self.file.set_len(self.length));
                Err(CheckpointError { file: self.path.clone(), source })
            }
        }
    }

    /// The checkpoints from a place on that is an [`end`](KeptCheckpoint::end), or 0, at most so many. A place that is
    /// none, because the file was exchanged, is as good as the start.
    pub fn since(&mut self, place: u64, most: usize) -> Result<Vec<KeptCheckpoint>, CheckpointError> {
        let path = self.path.clone();
        let error = |source| CheckpointError { file: path.clone(), source };
        let mut end = if place <= self.length { place } else { 0 };
        let mut found = Vec::new();
        self.file.seek(SeekFrom::Start(end)).map_err(error)?;
        let mut lines = BufReader::new((&self.file).take(self.length - end));
        let mut line = Vec::new();
        while found.len() < most {
            line.clear();
            let read = lines.read_until(b'\n', &mut line).map_err(error)?;
            if read == 0 {
                break;
            }
            end += read as u64;
            if let Ok(signed) = SignedCheckpoint::parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
                let Checkpoint { number, time, .. } = signed.checkpoint;
                found.push(KeptCheckpoint { end, number, time, line: signed.line });
            }
        }
        Ok(found)
    }
}
