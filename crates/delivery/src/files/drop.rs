//! Files that an agency fetches: begun anew by size and by time, each finished whole and with its sum beside it.
//!
//! ```text
//! FOLDER/CASE/CASE-CONTENT-20261122T101500Z-0001.pcapng         packets
//! FOLDER/CASE/CASE-CONTENT-20261122T101500Z-0001.events.jsonl   identifying information
//! FOLDER/CASE/*.sha256                                          the sum of each, as sha256sum has it
//! FOLDER/.work/STREAM/CASE/                                     what is being written, for the probe alone
//! ```
//!
//! A file in work is appended to in rounds, with an undo file, as its parent module says. Only when all that is in it was
//! released is it finished: its sum is made of what the file system has, then the sum and behind it the file get their names
//! in the case's directory. So whoever looks there sees whole files only, and a sum for each. A process does not go on with
//! the files of its predecessor: it puts them right and finishes them. What is finished is the agency's; the probe never
//! touches it again.

mod records;

use super::{CaseFile, Failure, Files, Folder, MOST_OPEN, Predecessor, UNDO_BYTES, lock, of_files, open_file};
use records::{names, read_whole};
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use writ_digests::Stream as StreamKind;
use writ_encoder::UtcMicros;
use writ_encoder::files::{Names, section};
use writ_encoder::t1_ias::file_name;
use writ_spool::{Ledger, Record};

/// Octets of the content id in a file's name at most: with all else in it, and the ends of other names, there is room in 255.
const LONGEST_CONTENT: usize = 64;
/// The agency's group reads what is finished.
const FINISHED_FILE: u32 = 0o640;
const FINISHED_DIRECTORY: u32 = 0o750;

/// `rotate = { megabytes = 100, minutes = 15 }`: when a file is finished and a new one begun, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// Before it would be larger: millions of bytes.
    pub megabytes: NonZeroU32,
    /// So long after it was begun.
    pub minutes: NonZeroU32,
}

impl Default for Rotation {
    fn default() -> Self {
        const MEGABYTES: NonZeroU32 = NonZeroU32::new(100).unwrap();
        const MINUTES: NonZeroU32 = NonZeroU32::new(15).unwrap();
        Self { megabytes: MEGABYTES, minutes: MINUTES }
    }
}

/// The files of one stream that are in work.
pub(super) struct DropFiles {
    rotation: Rotation,
    desk: Desk,
    open: HashMap<Names, WorkFile>,
    /// Nothing more goes to these. They are finished once what is in them is released.
    closed: Vec<WorkFile>,
    /// Held locked, so that two probes do not write the same files.
    _lock: Option<File>,
}

/// Where files are begun.
struct Desk {
    folder: Folder,
    /// `FOLDER/.work/STREAM`
    work: PathBuf,
    /// How many files each intercept has had of this process.
    numbers: HashMap<Names, u32>,
}

struct WorkFile {
    file: CaseFile,
    place: Place,
    begun: Instant,
    /// Bytes in front of the first record.
    head: u64,
    /// The slot of the last record's intercept, and which of its owners that is.
    owner: (u16, u16),
}

/// Where a file is while it is in work, and where it goes.
struct Place {
    /// `FOLDER/.work/STREAM/CASE`
    work: PathBuf,
    /// `FOLDER/CASE`
    case: PathBuf,
    name: String,
}

impl DropFiles {
    /// Finishes what a predecessor left in work. `mark` stands for what is released of the stream now.
    pub(super) fn open(
        folder: &Folder,
        rotation: Rotation,
        predecessor: Predecessor,
        mark: u64,
    ) -> Result<Self, Failure> {
        let hidden = folder.path.join(".work");
        let work = hidden.join(folder.kind.name());
        let make = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&work)?;
            [&*folder.path, &hidden].into_iter().try_for_each(sync_directory)
        };
        make().map_err(of_files)?;
        let desk = Desk { folder: folder.clone(), work, numbers: HashMap::new() };
        let lock = match predecessor {
            Predecessor::AtWork => None,
            Predecessor::FormerRun | Predecessor::SameRun => {
                let lock = lock(&hidden.join(format!("{}.lock", folder.kind.name())))?;
                let mark = (predecessor == Predecessor::SameRun).then_some(mark);
                desk.finish_leftovers(mark).map_err(of_files)?;
                Some(lock)
            }
        };
        Ok(Self { rotation, desk, open: HashMap::new(), closed: Vec::new(), _lock: lock })
    }

    /// Finishes what nothing more goes to. All that was appended has to be released.
    fn finish_closed(&mut self) -> Result<(), Failure> {
        while let Some(WorkFile { file, place, head, .. }) = self.closed.last() {
            if !file.is_there()? {
                tracing::error!("a file in work was removed by somebody else: what was in it is not handed over");
            } else if file.length == *head {
                place.remove().map_err(of_files)?;
            } else {
                place.finish(&file.file).map_err(of_files)?;
            }
            self.closed.pop();
        }
        Ok(())
    }

    fn files(&mut self) -> impl Iterator<Item = &mut CaseFile> {
        self.open.values_mut().chain(&mut self.closed).map(|work| &mut work.file)
    }
}

impl Files for DropFiles {
    fn append(&mut self, mark: u64, first: &Record, records: &[u8]) -> Result<(), Failure> {
        let most = u64::from(self.rotation.megabytes.get()) * 1_000_000;
        let names = names(self.desk.folder.kind, records);
        if let Some(work) = self.open.get(&names) {
            let length = work.file.length;
            let is_full = length > work.head && length + records.len() as u64 > most;
            if is_full || !work.file.is_there()? {
                self.closed.extend(self.open.remove(&names));
            }
        }
        let work = match self.open.entry(names) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let work = self.desk.begin(new.key()).map_err(of_files)?;
                new.insert(work)
            }
        };
        work.owner = (first.slot, first.generation);
        work.file.append(mark, records).map_err(of_files)
    }

    fn sync(&mut self) -> Result<(), Failure> {
        super::sync(self.files())
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        self.files().try_for_each(CaseFile::roll_back)
    }

    fn released(&mut self, now: Instant, ledger: &Ledger) -> Result<(), Failure> {
        let most = Duration::from_secs(u64::from(self.rotation.minutes.get()) * 60);
        // Beyond so many open files all of them are finished early.
        let too_many = self.open.len() > MOST_OPEN;
        let is_due = |work: &WorkFile| {
            too_many || now.saturating_duration_since(work.begun) >= most || has_ended(ledger, work.owner)
        };
        self.closed.extend(self.open.extract_if(|_, work| is_due(work)).map(|(_, work)| work));
        self.finish_closed()
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.closed.extend(self.open.drain().map(|(_, work)| work));
        self.finish_closed()
    }
}

/// Whether nothing more comes of an intercept.
fn has_ended(ledger: &Ledger, (slot, generation): (u16, u16)) -> bool {
    ledger
        .slot(slot)
        .is_none_or(|account| !account.is_owned_by(generation) || account.is_closing_memos() && !account.has_waiting())
}

impl Desk {
    /// Begins a file for an intercept.
    fn begin(&mut self, names: &Names) -> io::Result<WorkFile> {
        let case = file_name(Some(&names.case_id));
        let mut content = file_name(Some(&names.content_id));
        content.truncate(LONGEST_CONTENT);
        let time = UtcMicros::from(SystemTime::now()).iso_basic();
        DirBuilder::new().recursive(true).mode(0o700).create(self.work.join(&case))?;
        let mut number = self.numbers.get(names).copied().unwrap_or_default();
        let (place, file) = loop {
            number += 1;
            let name = format!("{case}-{content}-{time}-{number:04}.{}", suffix(self.folder.kind));
            let place = Place { work: self.work.join(&case), case: self.folder.path.join(&case), name };
            // A clock that was set back may give a name once more.
            if place.case.join(&place.name).exists() {
                continue;
            }
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(place.file()) {
                Ok(file) => break (place, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let head = match self.folder.kind {
            StreamKind::Cmc => section(names),
            StreamKind::Cmii => Vec::new(),
        };
        let prepare = || {
            file.write_all_at(&head, 0)?;
            let undo = open_file(&place.beside("undo"))?;
            // A file that was made just now has to be found after a power cut.
            [&place.work, &self.work].into_iter().try_for_each(sync_directory)?;
            Ok(undo)
        };
        let undo = prepare().inspect_err(|_: &io::Error| {
            let _else_the_next_start_does = place.remove();
        })?;
        // Only now: a disk that is full for long does not use numbers up.
        self.numbers.insert(names.clone(), number);
        let head = head.len() as u64;
        let file = CaseFile { file, undo, whole: head, length: head, in_round: false };
        Ok(WorkFile { file, place, begun: Instant::now(), head, owner: (0, 0) })
    }

    /// Finishes every file that a predecessor had in work. `mark` is as in [`Place::put_right`].
    fn finish_leftovers(&self, mark: Option<u64>) -> io::Result<()> {
        let suffix = format!(".{}", suffix(self.folder.kind));
        for directory in fs::read_dir(&self.work)? {
            let directory = directory?;
            if !directory.file_type()?.is_dir() {
                continue;
            }
            let (work, case) = (directory.path(), self.folder.path.join(directory.file_name()));
            for entry in fs::read_dir(&work)? {
                let Ok(name) = entry?.file_name().into_string() else { continue };
                let place = Place { work: work.clone(), case: case.clone(), name };
                if place.name.ends_with(&suffix) {
                    let file = OpenOptions::new().read(true).write(true).open(place.file())?;
                    let has_records = place.put_right(self.folder.kind, &file, mark)?;
                    if has_records { place.finish(&file)? } else { place.remove()? }
                } else if place.name.ends_with(".undo") && !place.file().with_extension("").exists() {
                    // Its file was finished, perhaps a moment ago.
                    remove_if_there(&place.file())?;
                }
            }
        }
        Ok(())
    }
}

impl Place {
    /// The file in work.
    fn file(&self) -> PathBuf {
        self.work.join(&self.name)
    }

    /// The same with something behind its name.
    fn beside(&self, suffix: &str) -> PathBuf {
        self.work.join(format!("{}.{suffix}", self.name))
    }

    /// Cuts off what was being written when a predecessor ended. With a mark: what was not released then, which comes again.
    /// Without: what is no whole record. Says whether there are records in the file.
    fn put_right(&self, kind: StreamKind, file: &File, mark: Option<u64>) -> io::Result<bool> {
        let undo = fs::read(self.beside("undo")).unwrap_or_default();
        if let Ok(undo) = <[u8; UNDO_BYTES]>::try_from(undo) {
            let [written, before] =
                [0, 8].map(|at| undo[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word)));
            if mark == Some(written) && before < file.metadata()?.len() {
                file.set_len(before)?;
            }
        }
        let found = read_whole(kind, &mut &*file)?;
        if let Some(error) = found.garbled {
            tracing::error!(%error, "a file in work is garbled: it is kept in .work as it is, what is whole is handed over");
            fs::copy(self.file(), self.beside("damaged"))?;
        }
        file.set_len(found.whole)?;
        Ok(found.has_records)
    }

    /// Gives a file that has all its records its sum, and both their names in the case's directory.
    fn finish(&self, file: &File) -> io::Result<()> {
        // Modes are set by themselves: of those in `mode` the umask takes away.
        let readable = |file: &File| file.set_permissions(Permissions::from_mode(FINISHED_FILE));
        readable(file)?;
        file.sync_all()?;
        let sum_path = self.beside("sha256");
        let mut sum = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&sum_path)?;
        readable(&sum)?;
        writeln!(sum, "{}  {}", sum_of(file)?, self.name)?;
        sum.sync_all()?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.case)?;
        fs::set_permissions(&self.case, Permissions::from_mode(FINISHED_DIRECTORY))?;
        fs::rename(sum_path, self.case.join(format!("{}.sha256", self.name)))?;
        fs::rename(self.file(), self.case.join(&self.name))?;
        sync_directory(&self.case)?;
        self.case.parent().map_or(Ok(()), sync_directory)?;
        self.leave()
    }

    /// Removes a file that no record is in.
    fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.file())?;
        self.leave()
    }

    /// Removes what is beside a file that is no longer in work.
    fn leave(&self) -> io::Result<()> {
        remove_if_there(&self.beside("undo"))?;
        let _others_are_in_it = fs::remove_dir(&self.work);
        Ok(())
    }
}

pub(super) fn suffix(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Cmii => "events.jsonl",
        StreamKind::Cmc => "pcapng",
    }
}

/// SHA-256 of a file, in digits.
fn sum_of(file: &File) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 1 << 18];
    let mut at = 0;
    loop {
        let length = file.read_at(&mut piece, at)?;
        if length == 0 {
            break;
        }
        context.update(&piece[..length]);
        at += length as u64;
    }
    let mut digits = String::new();
    for octet in context.finish().as_ref() {
        let _a_string_takes_all = write!(digits, "{octet:02x}");
    }
    Ok(digits)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(directory: impl AsRef<Path>) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::Form;
    use super::*;
    use writ_encoder::files::{Event, Intercept};
    use writ_encoder::t1_ias::{Assignment, CaseId, CorrelationId, IapSystemId, SessionId, SubscriberIdentity};
    use writ_spool::RecordKind;

    #[test]
    fn a_file_is_finished_when_its_time_is_over() {
        let root = tempfile::tempdir().unwrap();
        let rotation = Rotation { minutes: NonZeroU32::new(5).unwrap(), ..Rotation::default() };
        let [cmii, _] = Folder::both(root.path(), Form::Drop(rotation));
        let mut files = cmii.open(Predecessor::FormerRun, 0).unwrap();
        let ledger = Ledger::open(Ledger::create(1, 1).unwrap()).unwrap();
        ledger.slot(0).unwrap().reset(1, 1);
        let template = Intercept::new(
            &CaseId::new("CASE").unwrap(),
            &IapSystemId::new("probe").unwrap(),
            &CorrelationId::new("c").unwrap(),
            &SubscriberIdentity::new("line").unwrap(),
        );
        let record = Record { slot: 0, generation: 1, delivery: 0, kind: RecordKind::Event, sequence: 0 };
        let session = SessionId::new("s").unwrap();
        let mut write = |number, then| {
            let time = UtcMicros::from_unix_nanos(0);
            let line = template.event(time, number, &session, Assignment::without_address(), Event::SessionStart);
            files.append(number, &record, &line).unwrap();
            files.sync().unwrap();
            files.released(Instant::now() + Duration::from_secs(then), &ledger).unwrap();
            fs::read_dir(root.path().join("CASE")).map_or(0, Iterator::count)
        };
        // A minute before, behind; and the next one has its own time.
        assert_eq!([write(1, 240), write(2, 300), write(3, 240), write(4, 300)], [0, 2, 2, 4]);
        let mut lines: Vec<_> = fs::read_dir(root.path().join("CASE"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "jsonl"))
            .map(|path| fs::read_to_string(path).unwrap().lines().count())
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, [2, 2]);
    }
}
