//! The audit log as one case's export shows it: a line for each record. Those that are the case's, and those that concern
//! all cases alike, are the very lines of the log. Of every other record only its link is left: number, the hash before it
//! and its own. So each line shown whole is bound to its place, and the whole log to the last hash, and nobody
//! learns what the others are about.
//!
//! A link's own hash cannot be reckoned from the link. Whether one of them hides a record of the case shows only to
//! somebody who may see the log itself and holds it against these hashes.

use crate::audit::{AuditError, Head, Record, check_line, each_line_to};
use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is left of another case's record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    number: u64,
    previous: Digest,
    hash: Digest,
}

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    /// Hash of the record.
    pub(super) hash: Digest,
    /// What it says; none of a link.
    pub(super) record: Option<Record>,
}

/// All lines up to a record, the first one first.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The file.
    pub(super) text: Vec<u8>,
    pub(super) lines: Vec<Line>,
}

impl Trail {
    /// Cuts a log down to what `is_shown`.
    pub(super) fn cut(log: &Path, until: u64, mut is_shown: impl FnMut(&Record) -> bool) -> Result<Self, AuditError> {
        let mut trail = Self::default();
        let mut failed = None;
        each_line_to(log, until, |line, hash, record| {
            if is_shown(&record) {
                trail.text.extend_from_slice(line);
                trail.lines.push(Line { hash, record: Some(record) });
                return;
            }
            let link = Link { number: record.number, previous: record.previous, hash };
            match serde_json::to_vec(&link) {
                Ok(text) => trail.text.extend(text),
                Err(error) => failed = Some(error),
            }
            trail.text.push(b'\n');
            trail.lines.push(Line { hash, record: None });
        })?;
        match failed {
            None => Ok(trail),
            Some(error) => Err(AuditError::Io { file: log.to_owned(), source: error.into() }),
        }
    }

    /// Reads it back. Gives what is wrong with it, with the number of the record.
    pub(super) fn read(text: &[u8]) -> Result<Self, (u64, String)> {
        let mut trail = Self { text: text.to_owned(), lines: Vec::new() };
        let mut head = Head::EMPTY;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let number = head.number + 1;
            let link = serde_json::from_slice::<Link>(line);
            let (hash, record) = match link {
                Ok(link) => {
                    // One way to write it, so that no byte of it can be another.
                    let is_ours = serde_json::to_vec(&link).is_ok_and(|own| [&own[..], b"\n"].concat() == line);
                    if (link.number, link.previous, is_ours) != (number, head.hash, true) {
                        return Err((number, "the link does not continue the record before it".to_owned()));
                    }
                    (link.hash, None)
                }
                Err(_) => {
                    let (hash, record) = check_line(line, number, head.hash).map_err(|it| (number, it.to_string()))?;
                    (hash, Some(record))
                }
            };
            head = Head { number, hash };
            trail.lines.push(Line { hash, record });
        }
        Ok(trail)
    }

    /// The records that are shown.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.lines.iter().filter_map(|line| line.record.as_ref())
    }

    /// Its end.
    pub(super) fn head(&self) -> Head {
        let last = self.lines.last();
        Head { number: self.lines.len() as u64, hash: last.map_or(Digest::ZERO, |line| line.hash) }
    }

    /// Whether it has this record with this hash.
    pub(super) fn has(&self, head: Head) -> bool {
        let place = head.number.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.lines.get(place)).is_some_and(|line| line.hash == head.hash)
    }
}
