//! What a case has to say of its delivery, each in a file that is there when there was any: `gaps.jsonl`, `sealed.jsonl`,
//! `checks.jsonl`. All but what is sealed is logged as well.

use std::{io, path::Path};

use serde::Serialize;
use serde_json::{Value, json};
use writ_encoder::etsi::Verdict;

use crate::{Stream, formats::Check, lines::Lines, now, numberings::Event, pcapng::Source};

const GAPS: &str = "gaps.jsonl";
const SEALED: &str = "sealed.jsonl";
const CHECKS: &str = "checks.jsonl";

/// A write that failed, and to which file.
pub(crate) type Unwritten = (&'static str, io::Error);

/// The files of one case.
#[derive(Debug)]
pub(crate) struct Notes {
    /// The case's directory, for logs.
    case: String,
    files: [File; 3],
}

/// A file that is made when its first line comes.
#[derive(Debug)]
struct File {
    name: &'static str,
    lines: Option<Lines>,
}

/// A line: when, what, and whose.
#[derive(Serialize)]
struct Line<'a, T> {
    at: String,
    #[serde(flatten)]
    what: T,
    iap: &'a str,
    content_identifier: &'a str,
}

/// What numbers said of a stream.
#[derive(Serialize)]
struct Gap {
    #[serde(flatten)]
    event: Event,
    stream: Stream,
}

/// What no key here opens, as it came.
#[derive(Serialize)]
struct Sealed<'a> {
    stream: Stream,
    why: &'a str,
    sequence: u32,
    pdu: &'a str,
}

/// What a check was worth.
#[derive(Serialize)]
struct Checked<'a> {
    arrived: Stream,
    over_stream: Option<Stream>,
    #[serde(flatten)]
    check: Check<'a>,
}

impl Notes {
    /// The notes of a case. `sealed` is told of what was sealed when the case was open before.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn open(case: &str, folder: &Path, mut sealed: impl FnMut(&Value)) -> io::Result<Self> {
        let file = folder.join(SEALED);
        let lines = if file.try_exists()? {
            Some(Lines::open(&file, |line| sealed(&serde_json::from_slice(line).unwrap_or_default()))?)
        } else {
            None
        };
        let files =
            [File { name: GAPS, lines: None }, File { name: SEALED, lines }, File { name: CHECKS, lines: None }];
        Ok(Self { case: case.to_owned(), files })
    }

    /// Says what numbers say.
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn gap(
        &mut self,
        folder: &Path,
        stream: Stream,
        source: &Source,
        event: Event,
    ) -> Result<(), Unwritten> {
        let Source { iap, content_identifier, .. } = source;
        let (case, what) = (&self.case, if stream == Stream::Cmc { "content" } else { "information" });
        match event {
            Event::Begins { first } => tracing::info!(case, iap, content_identifier, "{what} begins with {first}"),
            Event::Gap { first, last } => {
                tracing::warn!(case, iap, content_identifier, "gap: {what} {first} to {last} missing");
            }
            Event::Filled { first, last } => {
                tracing::info!(case, iap, content_identifier, "{first} to {last} came late");
            }
            Event::Restarted { first, expected } => {
                tracing::warn!(case, iap, content_identifier, "numbered anew from {first}, {expected} was expected");
            }
        }
        self.append(folder, GAPS, source, Gap { event, stream })
    }

    /// Keeps what no key here opens; `pdu` in hexadecimal.
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn sealed(
        &mut self,
        folder: &Path,
        stream: Stream,
        source: &Source,
        sequence: u32,
        why: &str,
        pdu: &str,
    ) -> Result<(), Unwritten> {
        self.append(folder, SEALED, source, Sealed { stream, why, sequence, pdu })
    }

    /// Says what a check was worth, which arrived on `arrived`. One that was changed is an alarm.
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn check(
        &mut self,
        folder: &Path,
        arrived: Stream,
        source: &Source,
        over_stream: Option<Stream>,
        check: Check<'_>,
    ) -> Result<(), Unwritten> {
        let (case, Source { iap, content_identifier, .. }) = (&self.case, source);
        match check.verdict {
            Verdict::Good | Verdict::NotChecked => {}
            Verdict::Missing(numbers) => {
                tracing::warn!(case, iap, content_identifier, "a check is over {} that did not arrive", numbers.len());
            }
            Verdict::Bad => tracing::error!(
                case,
                iap,
                content_identifier,
                "ALARM: {:?} {} does not fit what arrived: something was changed on the way, or by the sender",
                check.check,
                check.number,
            ),
        }
        self.append(folder, CHECKS, source, Checked { arrived, over_stream, check })
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn flush(&mut self) -> Result<(), Unwritten> {
        self.each(Lines::flush)
    }

    /// Writes out what is buffered and waits until the disk has it.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn sync(&mut self) -> Result<(), Unwritten> {
        self.each(Lines::sync)
    }

    fn each(&mut self, act: impl Fn(&mut Lines) -> io::Result<()>) -> Result<(), Unwritten> {
        self.files
            .iter_mut()
            .try_for_each(|File { name, lines }| lines.as_mut().map_or(Ok(()), &act).map_err(|error| (*name, error)))
    }

    fn append<T: Serialize>(
        &mut self,
        folder: &Path,
        name: &'static str,
        source: &Source,
        what: T,
    ) -> Result<(), Unwritten> {
        let Source { iap, content_identifier, .. } = source;
        let line = json!(Line { at: now(), what, iap, content_identifier }).to_string();
        let append = |File { lines, .. }: &mut File| match lines {
            Some(lines) => lines.append(line.as_bytes()),
            lines => lines.insert(Lines::open(&folder.join(name), |_| {})?).append(line.as_bytes()),
        };
        let file = self.files.iter_mut().find(|file| file.name == name);
        file.map_or(Ok(()), append).map_err(|error| (name, error))
    }
}
