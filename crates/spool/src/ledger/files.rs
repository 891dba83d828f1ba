//! The ledger over the ends of the probe: where its memory lies, and what is made of it at the next start.
//!
//! The live ledger is a file of the runtime directory that all roles map. There it outlives them all, killed or not, and with
//! `/run` in memory no store to it ever waits for a disk. A copy in the state directory is brought up to date every second:
//! what is left after the machine itself was down. A start takes the live one if it is of this boot, else the copy.
//!
//! Numbers go on in either case. But the copy of a probe that was not ended in due form is old by some seconds, so from it
//! they go on [`JUMP`] further. What waited in the streams is gone with their memory: it is counted lost.

use super::loss::LossReason;
use super::slot::{self, SLOT_WORDS};
use super::{
    AT_BOOT, AT_CLEAN, AT_IDENTITY, AT_JUMPED, AT_MAGIC, AT_ORIGIN, AT_SLOTS, AT_STREAMS, AT_UNDELIVERED, AT_VERSION,
    HEADER_BYTES, Ledger, MAGIC, VERSION,
};
use crate::map::{Map, MapError};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How far the numbers of every delivery go on behind those of a copy that may be old. A number is taken with a packet, under
/// the lock of one stream, so by one core at a time: below 100 million a second, whatever the packets are. The copy is made
/// every second; this is enough for three hours without one, and leaves room for 2^24 such ends in 64 bits.
pub const JUMP: u64 = 1 << 40;

/// How long the processes of a former run may take to end: they drain their queues first.
const FORMER_RUN: Duration = Duration::from_secs(60);
const PAGE: usize = 4096;

/// Why the ledger of former runs cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The system does not do it.
    #[error("{}: {source}; check the owner, mode and free space of the folder", file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// It is none of ours, or spoilt.
    #[error(
        "{}: {what}; restore the file from a backup. Without it every intercept in force is numbered anew: if that is to be, \
         move it away",
        file.display()
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The table has become too small.
    #[error("tables.slots: {slots}, and slot {used} is in use; write at least {needed}, or end that intercept first", needed = used + 1)]
    TooSmall {
        /// How many slots there are to be.
        slots: usize,
        /// One that is in use.
        used: usize,
    },
    /// Processes of a former run still work with it.
    #[error("{}: processes of a former run have not ended; stop them, see `pgrep -a writ`", .0.display())]
    InUse(PathBuf),
    /// The memory cannot be mapped.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// What a ledger began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: there was none.
    New,
    /// The figures of a former run, to the last packet.
    Continued,
    /// A copy that may be old: every number went on by [`JUMP`].
    Recovered,
}

impl Origin {
    const ALL: [Self; 3] = [Self::New, Self::Continued, Self::Recovered];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Continued => "continued",
            Self::Recovered => "recovered",
        }
    }
}

/// How the figures of former runs were taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// From what.
    pub origin: Origin,
    /// By how much every number went on: 0, or [`JUMP`].
    pub jumped: u64,
    /// PDUs that waited for an agency when the former run ended, and are counted lost.
    pub undelivered: u64,
}

impl Ledger {
    /// How this ledger began.
    pub fn restart(&self) -> Restart {
        let load = |at| self.map.word(at).map_or(0, |word| word.load(Ordering::Acquire));
        let origin = usize::try_from(load(AT_ORIGIN)).ok();
        Restart {
            origin: origin.and_then(|origin| Origin::ALL.get(origin)).copied().unwrap_or(Origin::New),
            jumped: load(AT_JUMPED),
            undelivered: load(AT_UNDELIVERED),
        }
    }
}

/// A ledger as bytes of a file.
struct Image(Vec<u8>);

impl Image {
    /// Reads a file; none if there is none.
    fn read(file: &Path) -> Result<Option<Self>, KeepError> {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeepError::Io { file: file.to_owned(), source }),
        };
        let damaged = |what| KeepError::Damaged { file: file.to_owned(), what };
        let image = Self(bytes);
        if image.word(AT_MAGIC) != MAGIC {
            return Err(damaged("this is no ledger"));
        }
        if image.word(AT_VERSION) != VERSION {
            return Err(damaged("this is the ledger of another version of writ"));
        }
        let sizes = usize::try_from(image.word(AT_SLOTS)).ok().zip(usize::try_from(image.word(AT_STREAMS)).ok());
        if sizes.and_then(|(slots, streams)| Ledger::bytes(slots, streams)) != Some(image.0.len()) {
            return Err(damaged("the ledger is cut short"));
        }
        Ok(Some(image))
    }

    /// A word; 0 behind the end.
    fn word(&self, at: usize) -> u64 {
        self.0.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    fn double(&self, at: usize) -> u128 {
        u128::from(self.word(at)) | u128::from(self.word(at + 8)) << 64
    }

    fn slots(&self) -> usize {
        self.word(AT_SLOTS) as usize
    }

    /// The words of a slot.
    fn slot(&self, slot: usize) -> [u64; SLOT_WORDS] {
        std::array::from_fn(|word| self.word(HEADER_BYTES + (slot * SLOT_WORDS + word) * 8))
    }
}

/// The two files of a ledger.
#[derive(Clone, Debug)]
pub struct LedgerFiles {
    live: PathBuf,
    copy: PathBuf,
}

impl LedgerFiles {
    /// In these directories, which are there.
    pub fn new(runtime: &Path, state: &Path) -> Self {
        Self { live: runtime.join("ledger"), copy: state.join("ledger") }
    }

    /// Makes a copy that came out of a backup one that may be old, whatever it says: the numbers of what was sent after the
    /// backup are in no file, so the next run jumps ahead of them.
    ///
    /// # Errors
    /// When it is no ledger, or cannot be written.
    pub fn mark_old(copy: &Path) -> Result<(), KeepError> {
        if Image::read(copy)?.is_some() {
            let written = File::options().write(true).open(copy).and_then(|file| {
                file.write_all_at(&0u64.to_ne_bytes(), AT_CLEAN as u64)?;
                file.sync_all()
            });
            written.map_err(|source| KeepError::Io { file: copy.to_owned(), source })?;
        }
        Ok(())
    }

    /// The ledger for this run, for so many slots and streams: with all that is known from former runs. `boot` is the
    /// kernel's name for the time since the machine was started, `now` anything that never was before.
    ///
    /// Waits for processes of a former run to end.
    pub fn open(&self, slots: usize, streams: usize, boot: u128, now: u128) -> Result<Kept, KeepError> {
        let at = |file: &Path| {
            let file = file.to_owned();
            move |source: io::Error| KeepError::Io { file, source }
        };
        let _former = self.wait_for_former_run()?;
        let copy = Image::read(&self.copy)?;
        // A live one that is damaged, or belongs to another state directory, is worth nothing.
        let live = Image::read(&self.live).ok().flatten().filter(|live| {
            let same = |copy: &Image| copy.double(AT_IDENTITY) == live.double(AT_IDENTITY);
            live.double(AT_BOOT) == boot && copy.as_ref().is_some_and(same)
        });
        let (origin, former) = match (live, copy) {
            (Some(live), _) => (Origin::Continued, Some(live)),
            (None, Some(copy)) if copy.word(AT_CLEAN) != 0 => (Origin::Continued, Some(copy)),
            (None, Some(copy)) => (Origin::Recovered, Some(copy)),
            (None, None) => (Origin::New, None),
        };

        let unfinished = self.live.with_extension("new");
        let bytes = Ledger::bytes(slots, streams).ok_or(io::ErrorKind::InvalidInput.into()).map_err(at(&self.live))?;
        let memory = make_private(&unfinished, bytes as u64).map_err(at(&unfinished))?;
        let ledger = Ledger { map: Map::open_private(&memory)?, slots, streams };
        let identity = former.as_ref().map_or(now, |former| former.double(AT_IDENTITY));
        ledger.begin().map_err(at(&unfinished))?;
        ledger.write_header(&[(AT_ORIGIN, origin as u64)]).map_err(at(&unfinished))?;
        ledger.write_header(&double(AT_IDENTITY, identity)).map_err(at(&unfinished))?;
        ledger.write_header(&double(AT_BOOT, boot)).map_err(at(&unfinished))?;
        if let Some(former) = &former {
            let undelivered = take_over(&ledger, former, boot, origin)?;
            let jumped = if origin == Origin::Recovered { JUMP } else { 0 };
            let header = [(AT_UNDELIVERED, undelivered), (AT_JUMPED, jumped)];
            ledger.write_header(&header).map_err(at(&unfinished))?;
        }
        // Held by whoever maps the memory: see `wait_for_former_run`.
        rustix::fs::flock(&memory, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| at(&unfinished)(error.into()))?;
        // The live one first: if that is all that comes to pass, the next start goes on from it.
        std::fs::rename(&unfinished, &self.live).map_err(at(&self.live))?;
        let copy = Copy::create(&self.copy, &ledger).map_err(at(&self.copy))?;
        Ok(Kept { memory, ledger, copy, files: self.clone() })
    }

    /// A role that lost its supervisor still delivers what it has. The lock of the live file is held as long as anybody maps it.
    fn wait_for_former_run(&self) -> Result<Option<File>, KeepError> {
        let Ok(live) = File::open(&self.live) else { return Ok(None) };
        let end = Instant::now() + FORMER_RUN;
        loop {
            match rustix::fs::flock(&live, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(live)),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(KeepError::InUse(self.live.clone())),
                Err(error) => return Err(KeepError::Io { file: self.live.clone(), source: error.into() }),
            }
        }
    }
}

fn double(at: usize, value: u128) -> [(usize, u64); 2] {
    [(at, value as u64), (at + 8, (value >> 64) as u64)]
}

/// The figures of a former run, as they are to go on. Gives how many PDUs waited.
fn take_over(ledger: &Ledger, former: &Image, boot: u128, origin: Origin) -> Result<u64, KeepError> {
    let mut undelivered = 0;
    for number in 0..former.slots() {
        let words = former.slot(number);
        let Some(account) = u16::try_from(number).ok().and_then(|number| ledger.slot(number)) else {
            if slot::is_kept(&words) {
                return Err(KeepError::TooSmall { slots: ledger.slots, used: number });
            }
            continue;
        };
        account.restore(&words);
        let waited = account.write_off_waiting(LossReason::ProbeEnded);
        undelivered += waited;
        account.memos_after(waited > 0 || origin == Origin::Recovered);
        account.close_current();
        if former.double(AT_BOOT) != boot {
            account.forget_stop();
        }
        if origin == Origin::Recovered {
            account.jump(JUMP);
        }
    }
    Ok(undelivered)
}

fn make_private(path: &Path, bytes: u64) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    // All of it now, where a lack of room is an error; later it would be a SIGBUS in the middle of an intercept.
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    Ok(file)
}

/// A ledger that is kept: its memory, for the roles, and its copy.
pub struct Kept {
    memory: OwnedFd,
    ledger: Ledger,
    copy: Copy,
    files: LedgerFiles,
}

impl Kept {
    /// The memory, for the roles.
    pub fn memory(&self) -> &OwnedFd {
        &self.memory
    }

    /// How it began.
    pub fn restart(&self) -> Restart {
        self.ledger.restart()
    }

    /// Brings the copy up to date. To be called every second, by a thread that may wait for a disk.
    ///
    /// # Errors
    /// When the disk does not take it: the next call tries again.
    pub fn save(&mut self) -> Result<(), KeepError> {
        self.copy.save(&self.ledger, false).map_err(|source| KeepError::Io { file: self.files.copy.clone(), source })
    }

    /// The end of a run, when no role is left: the copy is whole, and says so.
    ///
    /// # Errors
    /// When the disk does not take it. The live file stays then, and is as good until the machine is down.
    pub fn close(mut self) -> Result<(), KeepError> {
        let io = |file: &Path, source| KeepError::Io { file: file.to_owned(), source };
        self.copy.save(&self.ledger, true).map_err(|source| io(&self.files.copy, source))?;
        std::fs::remove_file(&self.files.live).map_err(|source| io(&self.files.live, source))
    }
}

/// The copy on disk, and what is in it: only pages that changed are written.
struct Copy {
    file: File,
    written: Vec<u8>,
    /// A write failed: what is there is not known.
    is_spoilt: bool,
}

impl Copy {
    /// A new copy in place of the former, whole or not at all.
    fn create(path: &Path, ledger: &Ledger) -> io::Result<Self> {
        let written = ledger.map.copy();
        let unfinished = path.with_extension("new");
        let file = File::from(make_private(&unfinished, written.len() as u64)?);
        file.write_all_at(&written, 0)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(Self { file, written, is_spoilt: false })
    }

    fn save(&mut self, ledger: &Ledger, clean: bool) -> io::Result<()> {
        let mut now = ledger.map.copy();
        if let Some(word) = now.get_mut(AT_CLEAN..AT_CLEAN + 8) {
            word.copy_from_slice(&u64::from(clean).to_ne_bytes());
        }
        let all = std::mem::replace(&mut self.is_spoilt, true);
        // The header says whether all of it is there: it comes behind all of it.
        for part in [HEADER_BYTES..now.len(), 0..HEADER_BYTES] {
            let mut changed = false;
            for at in part.clone().step_by(PAGE) {
                let page = at..part.end.min(at + PAGE);
                if all || now.get(page.clone()) != self.written.get(page.clone()) {
                    self.file.write_all_at(now.get(page).unwrap_or_default(), at as u64)?;
                    changed = true;
                }
            }
            if changed {
                self.file.sync_data()?;
            }
        }
        (self.written, self.is_spoilt) = (now, false);
        Ok(())
    }
}
