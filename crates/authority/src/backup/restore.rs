//! Restoring a backup: everything is unpacked beside where it belongs and judged there, and moves to its place when nothing
//! is wrong with it, the log last. A log that came out of a backup says so in its next record, by which everything is held.

use super::{BackupError, LEDGER, MANIFEST, MANIFEST_DETAIL, Manifest, Part};
use crate::approval::ProbeIdentity;
use crate::audit::{Act, Actor, Head, Outcome, Record, each_record};
use crate::digest::Digest;
use crate::durable;
use crate::register::{AUDIT_LOG, Register, named_papers};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tar::{Archive, Entry, EntryType};

/// Where it is unpacked, in the state directory.
const UNFINISHED: &str = "restore.unfinished";

/// A backup that is sound, unpacked and not yet in its place. Dropped, nothing is left of it.
pub struct Unpacked {
    state: PathBuf,
    folder: PathBuf,
    identity: ProbeIdentity,
    manifest: Digest,
    head: Head,
}

/// What came out of an archive, beside what is on disk by now.
#[derive(Default)]
struct Contents {
    manifest: Option<Vec<u8>>,
    listed: BTreeMap<String, Digest>,
    documents: BTreeSet<Digest>,
    has_log: bool,
}

impl Unpacked {
    /// Unpacks a backup of this probe into an empty state directory, and holds it against its own log.
    pub fn open(archive: &Path, state: &Path, identity: &ProbeIdentity) -> Result<Self, BackupError> {
        let file = File::open(archive).map_err(|source| BackupError::Io { file: archive.to_owned(), source })?;
        let at_state = |source| BackupError::Io { file: state.to_owned(), source };
        durable::make_private_folder(state).map_err(at_state)?;
        if fs::read_dir(state).map_err(at_state)?.next().is_some() {
            return Err(BackupError::NotEmpty(state.to_owned()));
        }
        let folder = state.join(UNFINISHED);
        durable::make_private_folder(&folder).map_err(at_state)?;
        let (manifest, head) = (Digest::ZERO, Head::EMPTY);
        let mut unpacked = Self { state: state.to_owned(), folder, identity: identity.clone(), manifest, head };
        let contents = unpacked.unpack(archive, file)?;
        unpacked.judge(archive, contents)?;
        Ok(unpacked)
    }

    /// The end of the log that is in it.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The ledger that is in it, if there is one: what an old ledger needs is for its own crate to do.
    pub fn ledger(&self) -> Option<PathBuf> {
        Some(self.folder.join(LEDGER)).filter(|file| file.exists())
    }

    /// Records in the log that it came out of a backup, and puts everything in its place.
    pub fn put_in_place(self, actor: Actor, now: Timestamp) -> Result<(), BackupError> {
        let (mut register, _) = Register::open(&self.folder, self.identity.clone(), now)?;
        register.restored(self.manifest, actor, now)?;
        drop(register);
        let moved = (|| {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                names.push(entry?.file_name());
            }
            // What a crash leaves has documents and no log: nothing can be in force by it.
            names.sort_by_key(|name| name == AUDIT_LOG);
            for name in names {
                fs::rename(self.folder.join(&name), self.state.join(&name))?;
                durable::sync_folder(&self.state)?;
            }
            Ok(())
        })();
        moved.map_err(|source| BackupError::Io { file: self.state.clone(), source })
    }

    fn unpack(&self, archive: &Path, file: File) -> Result<Contents, BackupError> {
        let unsound = |what: String| BackupError::Unsound { file: archive.to_owned(), what };
        let broken = |error: io::Error| unsound(format!("is no whole tar file: {error}"));
        let mut contents = Contents::default();
        let mut archive = Archive::new(file);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let part = Part::of(&path).filter(|_| entry.header().entry_type() == EntryType::Regular);
            let Some(part) = part else {
                return Err(unsound(format!("has {path:?} in it, which is no file of a backup")));
            };
            let place = self.folder.join(&path);
            if place.symlink_metadata().is_ok() || part == Part::Manifest && contents.manifest.is_some() {
                return Err(unsound(format!("has {path:?} in it twice")));
            }
            match part {
                Part::Manifest => contents.manifest = Some(read(&mut entry).map_err(broken)?),
                Part::Log => {
                    contents.has_log = true;
                    write(&place, &mut entry).map_err(broken)?;
                }
                Part::Document(_) | Part::Listed => {
                    let bytes = read(&mut entry).map_err(broken)?;
                    let digest = Digest::of(&bytes);
                    match part {
                        Part::Document(name) if name != digest => {
                            return Err(unsound(format!("{path} is altered: its bytes are not those of its name")));
                        }
                        Part::Document(_) => {
                            contents.documents.insert(digest);
                        }
                        _ => {
                            contents.listed.insert(path, digest);
                        }
                    }
                    let io = |source| BackupError::Io { file: place.clone(), source };
                    durable::make_private_folder(place.parent().unwrap_or(&self.folder)).map_err(io)?;
                    write(&place, &mut &bytes[..]).map_err(io)?;
                }
            }
        }
        Ok(contents)
    }

    /// Everything that the log and the manifest name is there as they name it, and nothing else.
    fn judge(&mut self, archive: &Path, contents: Contents) -> Result<(), BackupError> {
        let unsound = |what: String| BackupError::Unsound { file: archive.to_owned(), what };
        let Some(bytes) = contents.manifest.filter(|_| contents.has_log) else {
            return Err(unsound(format!("has no {MANIFEST} or no {AUDIT_LOG}: it is no backup, or was cut short")));
        };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| unsound(format!("{MANIFEST} is unreadable: {error}")))?;
        if (&manifest.operator, &manifest.probe) != (&self.identity.operator, &self.identity.probe) {
            let Manifest { probe, operator, .. } = manifest;
            return Err(BackupError::Foreign { file: archive.to_owned(), probe, operator });
        }
        self.manifest = Digest::of(&bytes);
        let log = self.folder.join(AUDIT_LOG);
        let mut last: Option<Record> = None;
        self.head = each_record(&log, |_, record| last = Some(record)).map_err(|error| unsound(error.to_string()))?;
        let own = |record: Record| {
            record.act == Act::BackupCreate.as_str()
                && record.outcome == Outcome::Done
                && record.details.get(MANIFEST_DETAIL) == Some(&self.manifest.to_string())
        };
        if !last.is_some_and(own) {
            return Err(unsound(format!("{MANIFEST} is not the one that the log's last record tells of")));
        }
        let names = manifest.files.keys().chain(contents.listed.keys());
        if let Some(path) = names.into_iter().find(|path| manifest.files.get(*path) != contents.listed.get(*path)) {
            return Err(unsound(format!("{path} is missing, added or altered")));
        }
        let named = named_papers(&log, u64::MAX)?;
        let mut wanted = named.difference(&manifest.missing);
        if let Some(digest) = wanted.find(|digest| !contents.documents.contains(digest)) {
            return Err(unsound(format!("the document {digest}, which the log names, is not in it")));
        }
        if let Some(digest) = contents.documents.difference(&named).next() {
            return Err(unsound(format!("the log does not name the document {digest}, which is in it")));
        }
        Ok(())
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // What cannot be removed is named by the next attempt: the state directory is not empty.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Makes a file that is on disk when this returns.
fn write(place: &Path, bytes: &mut impl Read) -> io::Result<()> {
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
    io::copy(bytes, &mut new)?;
    new.sync_all()
}

/// All bytes of a file, if they are all there.
fn read(entry: &mut Entry<'_, File>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    if bytes.len() as u64 == entry.size() { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
