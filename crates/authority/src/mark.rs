//! The mark: how far time and the audit log had come, in a small file that is written anew all the time. At a start it
//! shows a clock that has gone back, and a log that has lost records (an older copy put back, a disk that lied).
//!
//! Nothing here decides what follows from that: [`Mark::judge`] and [`Mark::clock_behind`] are pure.

use crate::audit::Head;
use crate::digest::Digest;
use crate::durable;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// How far time and log had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The latest wall time seen.
    pub time: Timestamp,
    /// The end of the log.
    pub head: Head,
}

/// A log that is not the one that the mark saw, or not all of it. Its words name no case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogDoubt {
    /// It ends before the record that was its last.
    #[error(
        "the audit log ends at record {found}, and record {} was written once: records were cut off, or an older copy was put back",
        seen.number
    )]
    Behind {
        /// The end that was seen.
        seen: Head,
        /// Number of the last record now.
        found: u64,
    },
    /// Its record of that number is another.
    #[error("record {} of the audit log is not the one that was written: the log was exchanged", seen.number)]
    Exchanged {
        /// The end that was seen.
        seen: Head,
    },
}

/// Holds a log against a head that was seen once, by the mark, by a signed document or by a witness.
///
/// `hash_at_seen`: the hash of the log's record of that number, if it has one; see
/// [`hash_of_record`](crate::hash_of_record).
pub fn judge_log(seen: Head, log: Head, hash_at_seen: Option<Digest>) -> Option<LogDoubt> {
    if seen.number == 0 {
        return None;
    }
    match hash_at_seen {
        _ if log.number < seen.number => Some(LogDoubt::Behind { seen, found: log.number }),
        Some(hash) if hash == seen.hash => None,
        _ => Some(LogDoubt::Exchanged { seen }),
    }
}

impl Mark {
    /// [`judge_log`] with the mark's head.
    pub fn judge(&self, log: Head, hash_at_mark: Option<Digest>) -> Option<LogDoubt> {
        judge_log(self.head, log, hash_at_mark)
    }

    /// How far the clock is behind the mark, if by more than `tolerance`. Until it has caught up, nobody knows what time
    /// it is, only that it is no earlier than the mark.
    pub fn clock_behind(&self, now: Timestamp, tolerance: SignedDuration) -> Option<SignedDuration> {
        let behind = self.time.duration_since(now);
        (behind > tolerance).then_some(behind)
    }

    /// The earliest that it can be: by this moment is judged what has run out.
    pub fn no_earlier(&self, now: Timestamp) -> Timestamp {
        self.time.max(now)
    }
}

/// The mark's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// It cannot be read or written.
    #[error("{}: {source}; check its owner, mode and the free space", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no mark.
    #[error("{}: no mark of the clock and the audit log; it was altered", .0.display())]
    Unreadable(PathBuf),
}

/// The mark in its file.
#[derive(Debug)]
pub struct MarkFile {
    path: PathBuf,
}

impl MarkFile {
    /// The file, which need not be there.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What it says, if it is there.
    pub fn read(&self) -> Result<Option<Mark>, MarkError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| MarkError::Unreadable(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MarkError::Io { file: self.path.clone(), source }),
        }
    }

    /// Puts a mark in the place of the one before, at one stroke.
    pub fn write(&self, mark: &Mark) -> Result<(), MarkError> {
        let io = |source| MarkError::Io { file: self.path.clone(), source };
        let bytes = serde_json::to_vec_pretty(mark).map_err(|error| io(error.into()))?;
        durable::write(&self.path, &bytes).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn head(number: u64, text: &str) -> Head {
        Head { number, hash: Digest::of(text.as_bytes()) }
    }

    #[test]
    fn a_log_is_held_against_the_head_that_was_seen() {
        let seen = head(7, "seven");
        assert_eq!(judge_log(seen, head(9, "nine"), Some(seen.hash)), None);
        assert_eq!(judge_log(seen, head(6, "six"), None), Some(LogDoubt::Behind { seen, found: 6 }));
        let other = Some(Digest::of(b"another seven"));
        assert_eq!(judge_log(seen, head(9, "nine"), other), Some(LogDoubt::Exchanged { seen }));
        assert_eq!(judge_log(Head { number: 0, hash: Digest::ZERO }, head(0, ""), None), None);
    }

    #[test]
    fn time_goes_no_further_back_than_the_mark() {
        let mark = Mark { time: at("2026-11-20T14:00:00Z"), head: head(1, "one") };
        let second = SignedDuration::from_secs(1);
        let before = at("2026-11-20T13:00:00Z");
        assert_eq!(mark.clock_behind(before, second), Some(SignedDuration::from_hours(1)));
        assert_eq!(mark.no_earlier(before), mark.time);
        for now in ["2026-11-20T13:59:59.5Z", "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z"] {
            assert_eq!(mark.clock_behind(at(now), second), None, "{now}");
        }
    }

    #[test]
    fn the_file_holds_the_last_mark() {
        let folder = tempfile::tempdir().unwrap();
        let file = MarkFile::new(&folder.path().join("mark"));
        assert_eq!(file.read().unwrap(), None);
        for (time, number) in [("2026-11-20T14:00:00Z", 1), ("2026-11-20T14:00:10.123456789Z", 22)] {
            let mark = Mark { time: at(time), head: head(number, "it") };
            file.write(&mark).unwrap();
            assert_eq!(file.read().unwrap(), Some(mark));
        }
        std::fs::write(folder.path().join("mark"), "{\"time\":").unwrap();
        assert!(matches!(file.read(), Err(MarkError::Unreadable(_))));
    }
}
