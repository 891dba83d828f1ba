//! Making a backup, while the probe runs or does not. The log is only ever appended to, and a document is there before the
//! record that names it: so whatever happens meanwhile, all that the log names up to a record can be read after it.

use super::{BackupError, CHECKPOINTS, DELIVERED, Format, LEDGER, MANIFEST, MANIFEST_DETAIL, Manifest, is_notice};
use crate::approval::ProbeIdentity;
use crate::archive::{Archive, ArchiveError};
use crate::audit::{Act, Actor, Entry, Head, Outcome, each_record_until};
use crate::digest::Digest;
use crate::durable;
use crate::register::{AUDIT_LOG, DOCUMENTS, NOTICES, named_papers};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tar::{Builder, EntryType, Header};

/// A backup of which all but the end of the log is written. Dropped, nothing is left of it.
pub struct BackupDraft {
    state: PathBuf,
    archive: Archive,
    /// Where it is to be.
    file: PathBuf,
    /// Where it is until then.
    unfinished: PathBuf,
    builder: Builder<BufWriter<File>>,
    manifest: Digest,
    written: BTreeSet<Digest>,
    missing: BTreeSet<Digest>,
}

/// A backup that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The end of the log that is in it: the record that tells of it.
    pub head: Head,
    /// How many documents are in it.
    pub documents: usize,
    /// How many the log names that were missing or altered.
    pub missing: usize,
}

impl BackupDraft {
    /// Writes what is there of a state directory beside `file`, which must not be there. Its end is written by
    /// [`BackupDraft::finish`], once the log has a record of it.
    pub fn begin(state: &Path, identity: &ProbeIdentity, file: &Path) -> Result<Self, BackupError> {
        if file.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(file.to_owned()));
        }
        let named = named_papers(&state.join(AUDIT_LOG), u64::MAX)?;
        let unfinished = file.with_added_extension("part");
        let io = |source| BackupError::Io { file: unfinished.clone(), source };
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(io)?;
        let mut draft = Self {
            state: state.to_owned(),
            archive: Archive::open(&state.join(DOCUMENTS))?,
            file: file.to_owned(),
            unfinished,
            builder: Builder::new(BufWriter::new(new)),
            manifest: Digest::ZERO,
            written: BTreeSet::new(),
            missing: BTreeSet::new(),
        };
        let files = draft.put_listed()?;
        for digest in named {
            match draft.put_document(digest) {
                Err(BackupError::Archive(ArchiveError::Missing(_) | ArchiveError::Altered(_))) => {
                    draft.missing.insert(digest);
                }
                done => done?,
            }
        }
        let ProbeIdentity { operator, probe } = identity.clone();
        let manifest = Manifest { format: Format::V1, operator, probe, files, missing: draft.missing.clone() };
        let bytes = serde_json::to_vec_pretty(&manifest).map_err(|error| draft.failed(error.into()))?;
        draft.manifest = Digest::of(&bytes);
        draft.put(MANIFEST, &bytes[..], bytes.len() as u64)?;
        Ok(draft)
    }

    /// Digest of all that the log does not name.
    pub fn manifest(&self) -> Digest {
        self.manifest
    }

    /// The record that the log is to have of a backup with this manifest: the last one that is in it. So it is made before
    /// the file is whole; whether that came to pass, whoever has the file knows.
    pub fn entry(manifest: Digest, actor: Actor) -> Entry {
        let details = [(MANIFEST_DETAIL.to_owned(), manifest.to_string())].into();
        Entry { act: Act::BackupCreate, outcome: Outcome::Done, actor, subject: None, details }
    }

    /// Writes the log up to its record of this backup, and the documents that came meanwhile. The file is there, whole and on
    /// disk, when this returns.
    pub fn finish(mut self, record: Head) -> Result<Saved, BackupError> {
        let log = self.state.join(AUDIT_LOG);
        for digest in named_papers(&log, record.number)? {
            if !self.written.contains(&digest) && !self.missing.contains(&digest) {
                self.put_document(digest)?;
            }
        }
        let (head, length) = each_record_until(&log, record.number, |_| {})?;
        if head != record {
            return Err(BackupError::Changed(log));
        }
        let bytes = File::open(&log).map_err(|source| BackupError::Io { file: log, source })?;
        self.put(AUDIT_LOG, bytes.take(length), length)?;
        let done = self.builder.finish().and_then(|()| {
            let writer = self.builder.get_mut();
            io::Write::flush(writer)?;
            writer.get_ref().sync_all()?;
            fs::rename(&self.unfinished, &self.file)?;
            durable::sync_folder(self.file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")))
        });
        done.map_err(|source| self.failed(source))?;
        Ok(Saved { head, documents: self.written.len(), missing: self.missing.len() })
    }

    /// The files that the log does not name. Of the checkpoints so many as there are now: none is of a record that the log
    /// will not have.
    fn put_listed(&mut self) -> Result<BTreeMap<String, Digest>, BackupError> {
        let mut paths: Vec<String> = [CHECKPOINTS, DELIVERED, LEDGER].map(str::to_owned).into();
        for entry in fs::read_dir(self.state.join(NOTICES)).into_iter().flatten() {
            let name = entry.map_err(|source| self.failed(source))?.file_name();
            paths.extend(name.to_str().filter(|name| is_notice(name)).map(|name| format!("{NOTICES}/{name}")));
        }
        let mut files = BTreeMap::new();
        for path in paths {
            let file = self.state.join(&path);
            let bytes = match fs::read(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.map_err(|source| BackupError::Io { file, source })?,
            };
            self.put(&path, &bytes[..], bytes.len() as u64)?;
            files.insert(path, Digest::of(&bytes));
        }
        Ok(files)
    }

    fn put_document(&mut self, digest: Digest) -> Result<(), BackupError> {
        let paper = self.archive.get(digest)?;
        self.put(&format!("{DOCUMENTS}/{digest}"), &paper.bytes[..], paper.bytes.len() as u64)?;
        self.written.insert(digest);
        Ok(())
    }

    fn put(&mut self, path: &str, bytes: impl Read, length: u64) -> Result<(), BackupError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_mtime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        header.set_size(length);
        self.builder.append_data(&mut header, path, bytes).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> BackupError {
        BackupError::Io { file: self.unfinished.clone(), source }
    }
}

impl Drop for BackupDraft {
    fn drop(&mut self) {
        // Not there any more if it was finished.
        drop(fs::remove_file(&self.unfinished));
    }
}
