//! The audit log: every act and every refused act, one JSON line each, each line chained to the one before by its hash.
//!
//! A line is an object whose last field is `hash`: the SHA-256 of the line up to and without `,"hash":...`. The hash of
//! the line before is in the field `previous`, so it is covered too, and checking needs no second way to write JSON.
//! A line is on disk before [`AuditLog::append`] returns. One process writes, and holds a lock while it does.
//!
//! The chain shows any change inside the log. That its end was cut off, or that all of it was written anew, shows only
//! against a head that was noted elsewhere: see [`Evidence`](crate::Evidence).

use crate::digest::Digest;
use crate::durable;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

macro_rules! acts {
    ($($(#[$doc:meta])+ $name:ident = $word:literal),+ $(,)?) => {
        /// What was done, or was to be done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Act { $($(#[$doc])+ $name),+ }

        impl Act {
            /// The word for it in the log.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// The act that a word of the log stands for; none for a word of a later version.
            pub fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

acts! {
    /// The probe began to run, with this version and configuration.
    ProbeStart = "probe-start",
    /// The probe ended.
    ProbeStop = "probe-stop",
    /// A role of the probe came back after it had died.
    RoleRestart = "role-restart",
    /// A roster was installed.
    RosterInstall = "roster-install",
    /// A warrant was handed in, new or in a further revision.
    WarrantSubmit = "warrant-submit",
    /// More signatures were handed in for a warrant that waits for them.
    WarrantApprove = "warrant-approve",
    /// A warrant was put into the kernel; it takes from its start on.
    WarrantArm = "warrant-arm",
    /// A warrant's window began.
    InterceptStart = "intercept-start",
    /// An intercept ended, with its counters.
    InterceptStop = "intercept-stop",
    /// A warrant was revoked, or what it waited for denied.
    WarrantRevoke = "warrant-revoke",
    /// A warrant's time is over, or that which an emergency has without its further signatures.
    WarrantExpire = "warrant-expire",
    /// What was measured of an interception was certified.
    WarrantCertify = "warrant-certify",
    /// A certification is overdue.
    CertificationOverdue = "certification-overdue",
    /// The scanned order was put beside its warrant, sealed.
    OrderAttach = "order-attach",
    /// Digests of what was delivered were handed in, countersigned by the agency.
    DigestsCountersign = "digests-countersign",
    /// A case was closed, and its key destroyed.
    WarrantClose = "warrant-close",
    /// Everything on a case was put together for a court or an auditor.
    CaseExport = "case-export",
    /// A compromise of an interception, or one without authority, was reported.
    Incident = "incident",
    /// An agency was told of an incident.
    IncidentTold = "incident-told",
    /// Somebody looked at the incidents.
    IncidentView = "incident-view",
    /// A notice to somebody was written.
    Notice = "notice",
    /// The log is older than what somebody outside saw of it: nothing that was in force is any more.
    StoreHold = "store-hold",
    /// A backup was made of all that is in the log up to this record.
    BackupCreate = "backup-create",
    /// This log came out of a backup: everything is held until the backup is known to be the last there was to know.
    StoreRestore = "store-restore",
    /// Somebody showed that the log is as it was last seen: what was held for that is in force again.
    StoreRelease = "store-release",
    /// The documents of a case that was closed long ago were removed.
    RecordsDiscard = "records-discard",
    /// Somebody looked at a warrant or the list of them.
    WarrantView = "warrant-view",
    /// A destination was tried with made-up packets: once before, once with what became of it.
    DestinationTest = "destination-test",
    /// Somebody asked for what is not for them: refused before it was looked at.
    AccessRefuse = "access-refuse",
    /// A capture file was put through a warrant, outside any interception.
    Replay = "replay",
    /// A file of the store could not be used.
    StoreDamaged = "store-damaged",
    /// The clock was stepped, or is in doubt.
    ClockDoubt = "clock-doubt",
    /// What would show that the log is whole, the mark, is not there.
    LogDoubt = "log-doubt",
    /// Entries in the kernel's tables were not what the probe had written: found, counted and put right.
    TablesForeign = "tables-foreign",
    /// A line that a power cut had left unfinished was put aside.
    LogRecover = "log-recover",
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// It was tried and did not work.
    Failed,
}

/// Who did it: the peer of the control socket, or the probe itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Login name, or `writ` for the probe itself.
    pub who: String,
    /// User id.
    pub uid: u32,
    /// Process id.
    pub pid: u32,
}

/// What it was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// UUID of the warrant, where there is one.
    pub uuid: Option<Uuid>,
    /// Digest of the document, where there is one.
    pub sha256: Option<Digest>,
}

/// An act to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What.
    pub act: Act,
    /// With what outcome.
    pub outcome: Outcome,
    /// By whom.
    pub actor: Actor,
    /// To what, if to one thing.
    pub subject: Option<Subject>,
    /// Anything more, by name.
    pub details: BTreeMap<String, String>,
}

/// A line of the log without its hash. Field order is the order in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Running number, from 1.
    pub number: u64,
    /// When it was recorded.
    pub time: Timestamp,
    /// What: a word of [`Act`], or of a later version of it.
    pub act: String,
    /// With what outcome.
    pub outcome: Outcome,
    /// By whom.
    pub actor: Actor,
    /// To what.
    pub subject: Option<Subject>,
    /// Anything more.
    pub details: BTreeMap<String, String>,
    /// Hash of the record before; zero for the first.
    pub previous: Digest,
}

/// The end of the log: noted outside of the box, it proves later that nothing before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the last record; 0 in an empty log.
    pub number: u64,
    /// Its hash; zero in an empty log.
    pub hash: Digest,
}

impl Head {
    /// Of an empty log.
    pub const EMPTY: Self = Self { number: 0, hash: Digest::ZERO };
}

/// What [`verify`] found in a log that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSummary {
    /// Its end.
    pub head: Head,
    /// Time of the first record.
    pub first: Option<Timestamp>,
    /// Time of the last record.
    pub last: Option<Timestamp>,
    /// Number of the record that the head from outside belongs to: up to there nothing can be missing or exchanged.
    pub proven_to: Option<u64>,
}

/// A log that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: record {number}: {what}; the records before it are whole, compare this one with a copy from outside the box", file.display())]
pub struct AuditFault {
    /// The log.
    pub file: PathBuf,
    /// Number of the record that is at fault, counted from 1.
    pub number: u64,
    /// What is wrong with it.
    pub what: Tampering,
}

/// What can be wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// Its bytes are not those that its hash was made of, or it is no record at all.
    Changed,
    /// Another record stands in its place: it was removed, or others were added or put out of order.
    Replaced {
        /// The number that the record found there says it has.
        found: u64,
    },
    /// It does not continue the record before it: one of the two was exchanged.
    Unchained,
    /// It has no end of line: cut short, or still being written.
    Unfinished,
    /// The log ends before it, or never had it, although the head from outside says so.
    Missing,
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("was changed"),
            Self::Replaced { found } => {
                write!(f, "record {found} stands in its place: removed, added or put out of order")
            }
            Self::Unchained => f.write_str("does not continue the record before it: one of them was exchanged"),
            Self::Unfinished => f.write_str("has no end"),
            Self::Missing => f.write_str("the given head is not in the log up to here: cut off or written anew"),
        }
    }
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It is not what was written.
    #[error(transparent)]
    Fault(#[from] AuditFault),
    /// Another process writes it.
    #[error("{}: in use by another process; only one probe may run on a state directory", .0.display())]
    InUse(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {source}; check its owner, mode and the free space", file.display())]
    Io {
        /// The log.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A record could not be written, and what was left of it not removed: the log takes no more.
    #[error("{}: an earlier record could not be written; repair the disk and start the probe again", .0.display())]
    Broken(PathBuf),
}

/// The log, open for writing.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    file: File,
    length: u64,
    head: Head,
    broken: bool,
}

impl AuditLog {
    /// Opens the log and checks all of it; makes it, and its folder, if there is none.
    ///
    /// A last line without an end is what a power cut leaves of a record that was never confirmed: its bytes are put
    /// aside into a file beside the log, and that is recorded. Anything else that is wrong is an error, and the file
    /// is left as it is.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, AuditError> {
        Self::open_reading(path, now, |_, _| {})
    }

    /// As [`AuditLog::open`], and shows every record that is there, with its hash, while it is checked.
    pub fn open_reading(
        path: &Path,
        now: Timestamp,
        mut visit: impl FnMut(Digest, &Record),
    ) -> Result<Self, AuditError> {
        let io = |source| AuditError::Io { file: path.to_owned(), source };
        // An empty parent is the working directory, which is there.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => AuditError::InUse(path.to_owned()),
            TryLockError::Error(source) => io(source),
        })?;
        // From here on whatever fails unlocks it.
        let mut log = Self { path: path.to_owned(), file, length: 0, head: Head::EMPTY, broken: false };
        if let Some(folder) = folder {
            durable::sync_folder(folder).map_err(io)?;
        }
        let mut lines = Lines::new(path, &mut log.file);
        let torn = loop {
            match lines.next_record() {
                Ok(Some(record)) => visit(lines.head.hash, &record),
                Ok(None) => break None,
                Err(AuditError::Fault(AuditFault { what: Tampering::Unfinished, .. })) => {
                    break Some(lines.line.clone());
                }
                Err(error) => return Err(error),
            }
        };
        (log.head, log.length) = (lines.head, lines.good_bytes);
        if let Some(torn) = torn {
            let record = log.put_aside(&torn, now)?;
            visit(log.head.hash, &record);
        }
        Ok(log)
    }

    /// Records an act. It is on disk when this returns; if this fails, nothing was recorded.
    pub fn append(&mut self, now: Timestamp, entry: &Entry) -> Result<Head, AuditError> {
        self.append_record(now, entry).map(|_| self.head)
    }

    fn append_record(&mut self, now: Timestamp, entry: &Entry) -> Result<Record, AuditError> {
        if self.broken {
            return Err(AuditError::Broken(self.path.clone()));
        }
        let record = Record {
            number: self.head.number + 1,
            time: now,
            act: entry.act.as_str().to_owned(),
            outcome: entry.outcome,
            actor: entry.actor.clone(),
            subject: entry.subject.clone(),
            details: entry.details.clone(),
            previous: self.head.hash,
        };
        let io = |source| AuditError::Io { file: self.path.clone(), source };
        let mut line = serde_json::to_vec(&record).map_err(|error| io(error.into()))?;
        line.pop(); // The closing brace comes behind the hash.
        let hash = Digest::of(&line);
        line.extend_from_slice(tail_of(hash).as_bytes());
        line.push(b'\n');
        if let Err(source) = self.write(&line) {
            let taken_back = self.file.set_len(self.length).and_then(|()| self.file.sync_data());
            self.broken = taken_back.is_err();
            return Err(AuditError::Io { file: self.path.clone(), source });
        }
        self.length += line.len() as u64;
        self.head = Head { number: record.number, hash };
        Ok(record)
    }

    /// The end of the log.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The probe itself, as who does what nobody asked for.
    pub(crate) fn own_actor(&self) -> Actor {
        Actor { who: "writ".to_owned(), uid: owner_of(&self.file), pid: std::process::id() }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(line)?;
        self.file.sync_data()
    }

    /// Copies the torn bytes into a file of their own before it cuts them off, and records both.
    fn put_aside(&mut self, torn: &[u8], now: Timestamp) -> Result<Record, AuditError> {
        let digest = Digest::of(torn);
        let name = format!("torn-{}-{}", self.head.number + 1, &digest.to_string()[..8]);
        let aside = self.path.with_added_extension(name);
        let copied = (|| {
            let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            copy.write_all(torn)?;
            copy.sync_all()?;
            self.file.set_len(self.length)?;
            self.file.sync_data()
        })();
        copied.map_err(|source| AuditError::Io { file: aside.clone(), source })?;
        let actor = self.own_actor();
        let details = BTreeMap::from([
            ("bytes".to_owned(), torn.len().to_string()),
            ("sha256".to_owned(), digest.to_string()),
            ("file".to_owned(), aside.display().to_string()),
        ]);
        let entry = Entry { act: Act::LogRecover, outcome: Outcome::Done, actor, subject: None, details };
        self.append_record(now, &entry)
    }
}

/// Closing the file would not do: a child that another thread is just starting has it too until it runs its program, and
/// with it the lock.
impl Drop for AuditLog {
    fn drop(&mut self) {
        // What fails here fails at the next open, and is said there.
        drop(self.file.unlock());
    }
}

/// The file was opened or made by this process, whose user is its owner.
fn owner_of(file: &File) -> u32 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(0, |metadata| metadata.uid())
}

/// Checks a log from its first record to its last, and that the record with the hash `head` is in it, if one is given.
///
/// Without a head, cutting records off at the end goes unseen, and so does a log written anew from the start.
pub fn verify(path: &Path, head: Option<Digest>) -> Result<AuditSummary, AuditError> {
    let mut summary = AuditSummary { head: Head::EMPTY, first: None, last: None, proven_to: None };
    summary.head = each_record(path, |hash, record| {
        summary.first.get_or_insert(record.time);
        summary.last = Some(record.time);
        if head == Some(hash) {
            summary.proven_to = Some(record.number);
        }
    })?;
    if head.is_some() && summary.proven_to.is_none() {
        let number = summary.head.number + 1;
        return Err(AuditFault { file: path.to_owned(), number, what: Tampering::Missing }.into());
    }
    Ok(summary)
}

/// The hash of a log's record of this number, if it has one. Of record 1 it says which log this is.
pub fn hash_of_record(path: &Path, number: u64) -> Result<Option<Digest>, AuditError> {
    let mut file = File::open(path).map_err(|source| AuditError::Io { file: path.to_owned(), source })?;
    let mut lines = Lines::new(path, &mut file);
    while let Some(record) = lines.next_record()? {
        if record.number == number {
            return Ok(Some(lines.head.hash));
        }
    }
    Ok(None)
}

/// All records of a log that is whole.
pub fn read_records(path: &Path) -> Result<Vec<Record>, AuditError> {
    let mut records = Vec::new();
    each_record(path, |_, record| records.push(record))?;
    Ok(records)
}

/// Reads a log that may be growing, up to this record or else to the last whole one: shows each, and gives the end and
/// how many bytes lie before it.
pub(crate) fn each_record_until(
    path: &Path,
    last: u64,
    mut visit: impl FnMut(&Record),
) -> Result<(Head, u64), AuditError> {
    let mut file = File::open(path).map_err(|source| AuditError::Io { file: path.to_owned(), source })?;
    let mut lines = Lines::new(path, &mut file);
    while lines.head.number < last {
        match lines.next_record() {
            Ok(Some(record)) => visit(&record),
            Ok(None) | Err(AuditError::Fault(AuditFault { what: Tampering::Unfinished, .. })) => break,
            Err(error) => return Err(error),
        }
    }
    Ok((lines.head, lines.good_bytes))
}

pub(crate) fn each_record(path: &Path, mut visit: impl FnMut(Digest, Record)) -> Result<Head, AuditError> {
    each_line_to(path, u64::MAX, |_, hash, record| visit(hash, record))
}

/// Shows every line up to the record of this number, as it stands in the file, with its hash and what it says. What
/// comes behind is not read: the log may be growing.
pub(crate) fn each_line_to(
    path: &Path,
    last: u64,
    mut visit: impl FnMut(&[u8], Digest, Record),
) -> Result<Head, AuditError> {
    let mut file = File::open(path).map_err(|source| AuditError::Io { file: path.to_owned(), source })?;
    let mut lines = Lines::new(path, &mut file);
    while lines.head.number < last
        && let Some(record) = lines.next_record()?
    {
        visit(&lines.line, lines.head.hash, record);
    }
    Ok(lines.head)
}

/// The one place that says what a sound log is.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<&'a mut File>,
    line: Vec<u8>,
    head: Head,
    good_bytes: u64,
}

impl<'a> Lines<'a> {
    fn new(path: &'a Path, file: &'a mut File) -> Self {
        Self { path, reader: BufReader::new(file), line: Vec::new(), head: Head::EMPTY, good_bytes: 0 }
    }

    fn next_record(&mut self) -> Result<Option<Record>, AuditError> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line);
        let length = read.map_err(|source| AuditError::Io { file: self.path.to_owned(), source })?;
        if length == 0 {
            return Ok(None);
        }
        let number = self.head.number + 1;
        let (hash, record) = check_line(&self.line, number, self.head.hash).map_err(|what| AuditFault {
            file: self.path.to_owned(),
            number,
            what,
        })?;
        self.head = Head { number, hash };
        self.good_bytes += length as u64;
        Ok(Some(record))
    }
}

/// A line of the log, with its end, that is record `number` and continues the record with the hash `previous`.
pub(crate) fn check_line(line: &[u8], number: u64, previous: Digest) -> Result<(Digest, Record), Tampering> {
    let Some(line) = line.strip_suffix(b"\n") else { return Err(Tampering::Unfinished) };
    let tail = tail_of(Digest::ZERO).len();
    let body = line.len().checked_sub(tail).map(|at| &line[..at]).ok_or(Tampering::Changed)?;
    let hash = Digest::of(body);
    if &line[body.len()..] != tail_of(hash).as_bytes() {
        return Err(Tampering::Changed);
    }
    let mut object = body.to_vec();
    object.push(b'}');
    let record: Record = serde_json::from_slice(&object).map_err(|_| Tampering::Changed)?;
    if record.number != number {
        return Err(Tampering::Replaced { found: record.number });
    }
    if record.previous != previous {
        return Err(Tampering::Unchained);
    }
    Ok((hash, record))
}

/// How a line ends.
fn tail_of(hash: Digest) -> String {
    format!(",\"hash\":\"{hash}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_being_started_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::open(&path, Timestamp::UNIX_EPOCH).unwrap();
        // What a fork does with every descriptor, until the child runs its program.
        let of_child = log.file.try_clone().unwrap();
        assert!(matches!(AuditLog::open(&path, Timestamp::UNIX_EPOCH), Err(AuditError::InUse(_))));
        drop(log);
        AuditLog::open(&path, Timestamp::UNIX_EPOCH).unwrap();
        drop(of_child);
    }
}
