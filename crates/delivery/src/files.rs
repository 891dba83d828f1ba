//! The files of a destination on this machine: for each case a directory, in it a file for each of the two streams. Or, with
//! the format `files`, those that an agency fetches ([`drop`]).
//!
//! ```text
//! FOLDER/CASE/cmii.ber   identifying information: the PDUs as an agency would get them, back to back
//! FOLDER/CASE/cmc.ber    content
//! FOLDER/CASE/*.undo     how long the file was before what is being written to it now
//! ```
//!
//! PDUs come from a stream's memory and are appended in rounds: written, synced, and only then released there. Whatever
//! ends a round in the middle leaves no trace of it. If writing failed, this process cuts the files back; if it was killed,
//! its successor does, who finds in the undo file that the round it belongs to was never released. After a power cut the
//! memory is gone too: then every whole PDU stays, for nobody will write it again.

mod drop;

pub use drop::Rotation;

use crate::failure::{Failure, FailureKind};
use drop::DropFiles;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use writ_digests::Stream as StreamKind;
use writ_encoder::stream::{StreamDecoder, StreamError};
use writ_encoder::t1_ias::{decode_cmcc, decode_cmii, file_name};
use writ_spool::{Ledger, Record};

/// Files held open at once. Those of further cases are opened again when something comes for them.
const MOST_OPEN: usize = 128;
/// How an undo file begins: a mark of the stream's memory, a length of the file. Both are 8 bytes, little endian.
const UNDO_BYTES: usize = 16;

/// The case that the PDU at the front of `pdus` is for, as a file name.
fn case(kind: StreamKind, pdus: &[u8]) -> String {
    let case_id = match kind {
        StreamKind::Cmii => decode_cmii(pdus).ok().map(|(message, _)| message.case_id),
        StreamKind::Cmc => decode_cmcc(pdus).ok().and_then(|(content, _)| content.case_id),
    };
    file_name(case_id.as_deref())
}

/// What the files of a folder are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A file for each case and stream, which is appended to for ever.
    Streams,
    /// Files for an agency to fetch.
    Drop(Rotation),
}

/// The files of one stream below a destination's folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: Arc<Path>,
    form: Form,
    kind: StreamKind,
}

impl Folder {
    /// Both of a destination.
    pub(crate) fn both(path: &Path, form: Form) -> [Self; 2] {
        StreamKind::ALL.map(|kind| Self { path: path.into(), form, kind })
    }

    /// Puts right what a predecessor left half done. `mark` stands for what is released of the stream now.
    pub(crate) fn open(&self, predecessor: Predecessor, mark: u64) -> Result<Box<dyn Files>, Failure> {
        Ok(match self.form {
            Form::Streams => Box::new(CaseFiles::open(self, predecessor, mark)?),
            Form::Drop(rotation) => Box::new(DropFiles::open(self, rotation, predecessor, mark)?),
        })
    }

    fn file(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.ber", self.kind.name()))
    }

    fn undo(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.undo", self.kind.name()))
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.path.display();
        match self.form {
            Form::Streams => write!(f, "{folder}/CASE/{}.ber", self.kind.name()),
            Form::Drop(_) => write!(f, "{folder}/CASE/*.{}", drop::suffix(self.kind)),
        }
    }
}

/// What is wrong with a folder, and what to do about it.
pub(crate) struct BadFolder {
    pub(crate) problem: String,
    pub(crate) remedy: &'static str,
}

/// Looks whether a folder can be a destination's: this user's own, and closed to all others, but for the group that fetches
/// files from it.
pub(crate) fn check_folder(path: &Path, form: Form) -> Result<(), BadFolder> {
    let bad = |problem: String, remedy| Err(BadFolder { problem, remedy });
    let (make, close, others) = match form {
        Form::Streams => {
            let make = "make it, mode 0700, for the user that runs the probe: install -d -m 700 FOLDER";
            (make, "chmod 700 it", 0o077)
        }
        Form::Drop(_) => {
            let make = "make it, mode 2750, for the user that runs the probe and the group that fetches: \
                        install -d -m 2750 -g GROUP FOLDER";
            (make, "chmod 2750 it: the group that fetches reads, and nobody else does", 0o027)
        }
    };
    if !path.is_absolute() {
        return bad("is no absolute path".to_owned(), "write the path from / on");
    }
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return bad(format!("cannot be used ({error})"), make),
    };
    if !metadata.is_dir() {
        return bad("is no directory".to_owned(), make);
    }
    let (user, owner) = (rustix::process::geteuid().as_raw(), metadata.uid());
    if owner != user {
        return bad(format!("is user {owner}'s, and the probe runs as user {user}"), "chown it to that user");
    }
    let mode = metadata.mode() & 0o7777;
    if mode & others != 0 {
        return bad(format!("is open to others (mode {mode:04o})"), close);
    }
    // Only with this bit do the files become the group's.
    if mode & 0o050 != 0 && mode & 0o2000 == 0 {
        return bad(format!("does not hand its group on to what is in it (mode {mode:04o})"), "chmod 2750 it");
    }
    Ok(())
}

/// Who wrote to a stream's files before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// Nobody in this run of the probe: what is half done is from a former one, whose memory is gone.
    FormerRun,
    /// A process of this run, from the same memory.
    SameRun,
    /// Somebody writes to them now. This one keeps to a case of its own.
    AtWork,
}

/// The files of one stream, open for appending in rounds.
pub(crate) trait Files: Send {
    /// Appends records of one delivery of one intercept, `first` and what follows it. They are on disk after the next
    /// [`Files::sync`]; `mark` stands for what was released of the stream before this round.
    fn append(&mut self, mark: u64, first: &Record, records: &[u8]) -> Result<(), Failure>;

    /// Waits until the disk has everything appended: the round is done.
    fn sync(&mut self) -> Result<(), Failure>;

    /// Takes back what a round that failed has appended. To be called again until it works.
    fn roll_back(&mut self) -> Result<(), Failure>;

    /// Everything appended is released. To be called now and then also where nothing comes: a file's time may be over, or its
    /// intercept.
    fn released(&mut self, _now: Instant, _ledger: &Ledger) -> Result<(), Failure> {
        Ok(())
    }

    /// The same, and nothing more will come.
    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// The files of one stream of which each is a stream of PDUs.
struct CaseFiles {
    folder: Folder,
    open: HashMap<String, CaseFile>,
    /// Held locked, so that two probes do not write the same files.
    _lock: Option<File>,
}

struct CaseFile {
    file: File,
    undo: File,
    /// What is synced.
    whole: u64,
    /// What is written.
    length: u64,
    in_round: bool,
}

impl CaseFiles {
    /// Puts right what a predecessor left half done.
    fn open(folder: &Folder, predecessor: Predecessor, mark: u64) -> Result<Self, Failure> {
        let lock = match predecessor {
            Predecessor::AtWork => None,
            Predecessor::FormerRun | Predecessor::SameRun => {
                let lock = lock(&folder.path.join(format!(".{}.lock", folder.kind.name())))?;
                put_right(folder, (predecessor == Predecessor::SameRun).then_some(mark))?;
                Some(lock)
            }
        };
        Ok(Self { folder: folder.clone(), open: HashMap::new(), _lock: lock })
    }
}

impl Files for CaseFiles {
    fn append(&mut self, mark: u64, _: &Record, pdus: &[u8]) -> Result<(), Failure> {
        let file = match self.open.entry(case(self.folder.kind, pdus)) {
            Entry::Occupied(known) if known.get().is_there()? => known.into_mut(),
            Entry::Occupied(mut moved) => {
                let anew = CaseFile::open(&self.folder, moved.key())?;
                moved.insert(anew);
                moved.into_mut()
            }
            Entry::Vacant(new) => {
                let opened = CaseFile::open(&self.folder, new.key())?;
                new.insert(opened)
            }
        };
        file.append(mark, pdus).map_err(of_files)
    }

    fn sync(&mut self) -> Result<(), Failure> {
        sync(self.open.values_mut())?;
        if self.open.len() > MOST_OPEN {
            self.open.clear();
        }
        Ok(())
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        self.open.values_mut().try_for_each(CaseFile::roll_back)
    }
}

/// Waits until the disk has what was appended to all of these.
fn sync<'f>(files: impl Iterator<Item = &'f mut CaseFile>) -> Result<(), Failure> {
    let mut written: Vec<_> = files.filter(|file| file.in_round).collect();
    for file in &written {
        file.file.sync_data().map_err(of_files)?;
    }
    for file in &mut written {
        (file.whole, file.in_round) = (file.length, false);
    }
    Ok(())
}

impl CaseFile {
    fn open(folder: &Folder, case: &str) -> Result<Self, Failure> {
        let directory = folder.path.join(case);
        let open = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
            let undo = open_file(&folder.undo(&directory))?;
            let file = open_file(&folder.file(&directory))?;
            // A file that was made just now has to be found after a power cut.
            for directory in [&*directory, &*folder.path] {
                File::open(directory)?.sync_all()?;
            }
            let length = file.metadata()?.len();
            Ok(Self { file, undo, whole: length, length, in_round: false })
        };
        open().map_err(of_files)
    }

    /// Whether it still has a name. Within a round it is kept as it is: what was appended goes together.
    fn is_there(&self) -> Result<bool, Failure> {
        Ok(self.in_round || self.file.metadata().map_err(of_files)?.nlink() > 0)
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        if self.in_round {
            self.file.set_len(self.whole).map_err(of_files)?;
            (self.length, self.in_round) = (self.whole, false);
        }
        Ok(())
    }

    fn append(&mut self, mark: u64, pdus: &[u8]) -> io::Result<()> {
        if !self.in_round {
            let mut undo = [0; UNDO_BYTES];
            undo[..8].copy_from_slice(&mark.to_le_bytes());
            undo[8..].copy_from_slice(&self.whole.to_le_bytes());
            self.undo.write_all_at(&undo, 0)?;
            self.in_round = true;
        }
        self.file.write_all_at(pdus, self.length)?;
        self.length += pdus.len() as u64;
        Ok(())
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Keeps others away from a stream's files.
fn lock(path: &Path) -> Result<File, Failure> {
    let lock = open_file(path).map_err(of_files)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(FailureKind::Files, "another process writes to the folder's files"))
        }
        Err(TryLockError::Error(error)) => Err(of_files(error)),
    }
}

/// Cuts what was being written when a predecessor ended off every file. With a mark: what was not released then, which
/// comes again. Without: what is no whole PDU.
fn put_right(folder: &Folder, mark: Option<u64>) -> Result<(), Failure> {
    for entry in std::fs::read_dir(&folder.path).map_err(of_files)? {
        let directory = entry.map_err(of_files)?.path();
        put_file_right(folder, &directory, mark).map_err(of_files)?;
    }
    Ok(())
}

fn put_file_right(folder: &Folder, directory: &Path, mark: Option<u64>) -> io::Result<()> {
    let (undo_path, path) = (folder.undo(directory), folder.file(directory));
    let undo = match std::fs::read(&undo_path) {
        Ok(undo) => undo,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    let word = |at: usize| undo.get(at..at + 8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return std::fs::remove_file(undo_path),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    // Not written out before a power cut, or of another file: then the whole file is looked at.
    let before = word(8).filter(|before| *before <= length).unwrap_or(0);
    match mark {
        Some(mark) if word(0) == Some(mark) => file.set_len(before)?,
        // The round was released, or its memory is gone: nothing of it comes again.
        _ => match whole_pdus(&mut file, before)? {
            Ok(whole) => file.set_len(whole)?,
            Err(error) => {
                tracing::error!(%error, "a file of a stream is garbled: it is kept beside, and a new one begun");
                set_aside(&path)?;
            }
        },
    }
    file.sync_all()?;
    std::fs::remove_file(undo_path)
}

/// Where the last whole PDU of a file ends, if it is a row of PDUs from `start` on.
fn whole_pdus(file: &mut File, start: u64) -> io::Result<Result<u64, StreamError>> {
    let mut decoder = StreamDecoder::default();
    let mut whole = start;
    let mut piece = vec![0; 1 << 18];
    file.seek(SeekFrom::Start(start))?;
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(Ok(whole));
        }
        decoder.push(&piece[..length]);
        loop {
            match decoder.next_pdu() {
                Ok(Some(pdu)) => whole = start + pdu.offset + pdu.bytes.len() as u64,
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

/// Gives a damaged file another name beside its own: `cmc.damaged-1.ber`.
fn set_aside(path: &Path) -> io::Result<()> {
    let free = (1u32..).map(|number| path.with_extension(format!("damaged-{number}.ber"))).find(|name| !name.exists());
    std::fs::rename(path, free.ok_or(io::ErrorKind::AlreadyExists)?)
}

/// What the system says to an operation on a file. Without the file's name: it holds the case's.
fn of_files(error: io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::DiskFull,
        _ => FailureKind::Files,
    };
    Failure::new(kind, error.to_string())
}
