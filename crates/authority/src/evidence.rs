//! Holding an audit log against what was seen of it outside the machine: checkpoints from witnesses, heads in signed
//! documents, heads noted by hand. From files and public keys alone; the log may be a copy.
//!
//! The chain shows a change inside the log; only a head from outside shows that the end was cut off, or that the chain
//! was reckoned anew behind the change. So nothing can be said of what lies behind the last head that was seen.

use crate::audit::{AuditError, AuditFault, Head, each_record};
use crate::checkpoint::{CheckpointFault, LONGEST_CHECKPOINT, SignedCheckpoint};
use crate::checkpoint_key::CheckpointPublicKey;
use crate::digest::Digest;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// How a line of a witness's file that holds other messages too is known for a checkpoint.
const MARKER: &[u8] = b"{\"format\":\"writ-checkpoint-";
/// No signed document is larger than this.
const LONGEST_DOCUMENT: u64 = 4 << 20;

/// Where a head was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// In a witness's file.
    Checkpoint {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// When the checkpoint was made.
        time: Timestamp,
    },
    /// In a signed document, as the head that its signers saw.
    Document(PathBuf),
    /// Named by whoever asks.
    Given,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint { file, line, time } => {
                write!(f, "the checkpoint of {time} ({} line {line})", file.display())
            }
            Self::Document(file) => write!(f, "the signed document {}", file.display()),
            Self::Given => f.write_str("the given head"),
        }
    }
}

/// A file of evidence cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; name a file or folder that a witness wrote", file.display())]
pub struct EvidenceError {
    /// The file or folder.
    pub file: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Something that is not as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidenceFault {
    /// The chain is broken. What lies behind the break was not looked at.
    Chain(AuditFault),
    /// A line of a witness's file is no sound checkpoint.
    Checkpoint {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: CheckpointFault,
    },
    /// A checkpoint is of a log that began with another record.
    OtherLog(Source),
    /// The log ends before a record that was seen.
    CutOff {
        /// By whom.
        by: Source,
        /// The record.
        number: u64,
        /// The last one that there is.
        last: u64,
    },
    /// A record is not the one that was seen.
    Exchanged {
        /// By whom.
        by: Source,
        /// The record: it, or one before it, was exchanged.
        number: u64,
        /// Up to here the log is as it was seen.
        sound_to: u64,
    },
    /// A head without a number is nowhere in the log.
    Nowhere(Digest),
}

impl fmt::Display for EvidenceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(fault) => fault.fmt(f),
            Self::Checkpoint { file, line, what } => write!(f, "{} line {line}: {what}", file.display()),
            Self::OtherLog(source) => {
                write!(
                    f,
                    "{source} is of a log that began with another record: this log was begun anew, or is not the one"
                )
            }
            Self::CutOff { by, number, last } => {
                write!(f, "{by} saw record {number}, and the log ends at record {last}: records were cut off")
            }
            Self::Exchanged { by, number, sound_to } => write!(
                f,
                "{by} saw another record {number}: of records {} to {number} one or more were changed, removed, added or \
                 put elsewhere, and the chain reckoned anew",
                sound_to + 1
            ),
            Self::Nowhere(hash) => {
                write!(f, "the given head {hash} is nowhere in the log: records were cut off, or the log written anew")
            }
        }
    }
}

/// How far the log is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The last record that was seen outside, as it is in the log.
    pub record: u64,
    /// Its time.
    pub time: Timestamp,
    /// Who saw it.
    pub by: Source,
}

/// What came of holding a log against the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// The end of the log, or of its sound part.
    pub head: Head,
    /// Time of the last record of that.
    pub last: Option<Timestamp>,
    /// How far it is proved; none if nobody saw any of it.
    pub reach: Option<Reach>,
    /// Everything that is not as it was seen.
    pub faults: Vec<EvidenceFault>,
    /// Checkpoints that name one before them which is in none of the files: lines or files of the witness are missing.
    /// What they covered is covered by those that came after them.
    pub gaps: Vec<Source>,
    /// How many heads the log was held against.
    pub heads: usize,
}

impl Findings {
    /// Whether everything is as it was seen.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

/// The part of a signed document that says which head its signers saw.
#[derive(Deserialize)]
struct Signed {
    seen: Seen,
}

#[derive(Deserialize)]
struct Seen {
    record: u64,
    hash: Digest,
}

/// Heads that were seen outside the machine.
#[derive(Debug, Default)]
pub struct Evidence {
    /// By number of the record.
    heads: BTreeMap<u64, Vec<(Digest, Source)>>,
    given: HashSet<Digest>,
    /// First records that checkpoints name.
    logs: HashMap<Digest, Source>,
    /// Digest of each checkpoint's line.
    lines: HashSet<Digest>,
    /// What each checkpoint names as the one before, by number of the record.
    previous: BTreeMap<(u64, Timestamp), Vec<(Digest, Source)>>,
    faults: Vec<EvidenceFault>,
}

impl Evidence {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A head that somebody noted.
    pub fn add_head(&mut self, hash: Digest) {
        self.given.insert(hash);
    }

    /// Checkpoints from a file of a witness, or from every file in a folder. In a file that a probe wrote (`.jsonl`) every
    /// line must be one; in any other, a syslog's for example, lines of other programs are passed over.
    pub fn add_checkpoints(&mut self, path: &Path, keys: &[CheckpointPublicKey]) -> Result<(), EvidenceError> {
        for file in files(path)? {
            self.add_file(&file, keys).map_err(|source| EvidenceError { file: file.clone(), source })?;
        }
        Ok(())
    }

    fn add_file(&mut self, file: &Path, keys: &[CheckpointPublicKey]) -> io::Result<()> {
        let strict = file.extension().is_some_and(|extension| extension == "jsonl");
        let mut reader = BufReader::new(File::open(file)?);
        let mut torn: Option<(usize, Vec<u8>)> = None;
        for number in 1.. {
            let mut line = Vec::new();
            if reader.by_ref().take(LONGEST_CHECKPOINT as u64 * 2).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = if strict { line } else { line.strip_suffix(b"\r").unwrap_or(line) };
            let begin = line.windows(MARKER.len()).position(|window| window == MARKER);
            let text = match (begin, strict) {
                (Some(begin), false) => &line[begin..],
                (None, false) => continue,
                (_, true) => line,
            };
            // A witness that lost its power in the middle of a line gets the line again, whole.
            if let Some((at, start)) = torn.take()
                && !text.starts_with(&start)
            {
                self.fault(file, at, CheckpointFault::Unreadable);
            }
            let signed = match SignedCheckpoint::parse(text) {
                Ok(signed) => signed,
                Err(_) => {
                    torn = Some((number, text.to_vec()));
                    continue;
                }
            };
            match signed.check(keys) {
                Ok(checkpoint) => {
                    let source = Source::Checkpoint { file: file.to_owned(), line: number, time: checkpoint.time };
                    self.lines.insert(signed.digest());
                    self.logs.entry(checkpoint.log).or_insert_with(|| source.clone());
                    let before = self.previous.entry((checkpoint.number, checkpoint.time)).or_default();
                    before.push((checkpoint.previous, source.clone()));
                    self.heads.entry(checkpoint.number).or_default().push((checkpoint.hash, source));
                }
                Err(what) => self.fault(file, number, what),
            }
        }
        if let Some((at, _)) = torn {
            self.fault(file, at, CheckpointFault::Unreadable);
        }
        Ok(())
    }

    fn fault(&mut self, file: &Path, line: usize, what: CheckpointFault) {
        self.faults.push(EvidenceFault::Checkpoint { file: file.to_owned(), line, what });
    }

    /// Heads that stand in signed documents, from a file or from every file in a folder. What is no document, such as a
    /// signature, is passed over. Whether the signatures fit is not looked at here.
    pub fn add_documents(&mut self, path: &Path) -> Result<(), EvidenceError> {
        for file in files(path)? {
            let mut text = String::new();
            let read = File::open(&file).and_then(|it| it.take(LONGEST_DOCUMENT).read_to_string(&mut text));
            match read {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => continue,
                Err(source) => return Err(EvidenceError { file, source }),
            }
            let Ok(Signed { seen: Seen { record, hash } }) = toml::from_str(&text) else { continue };
            if record > 0 {
                self.heads.entry(record).or_default().push((hash, Source::Document(file)));
            }
        }
        Ok(())
    }

    /// Whether somebody saw this end of the log.
    pub fn has(&self, head: Head) -> bool {
        self.heads.get(&head.number).is_some_and(|seen| seen.iter().any(|(hash, _)| *hash == head.hash))
    }

    /// Holds a log against all this.
    ///
    /// # Errors
    /// When the log cannot be read. What is wrong with it is in the findings.
    pub fn hold_against(&self, log: &Path) -> Result<Findings, AuditError> {
        let mut findings = Findings {
            head: Head::EMPTY,
            last: None,
            reach: None,
            faults: self.faults.clone(),
            gaps: self.gaps(),
            heads: self.heads.values().map(Vec::len).sum::<usize>() + self.given.len(),
        };
        let mut missing = self.given.clone();
        let mut differs: HashSet<&Source> = HashSet::new();
        let read = each_record(log, |hash, record| {
            if record.number == 1 {
                findings.faults.extend(
                    self.logs
                        .iter()
                        .filter(|(first, _)| **first != hash)
                        .map(|(_, by)| EvidenceFault::OtherLog(by.clone())),
                );
            }
            let given = missing.remove(&hash).then_some(&Source::Given);
            let mut seen = given.into_iter().collect::<Vec<_>>();
            let sound_to = findings.reach.as_ref().map_or(0, |reach| reach.record);
            for (expected, by) in self.heads.get(&record.number).into_iter().flatten() {
                if *expected == hash {
                    seen.push(by);
                } else if differs.insert(by) {
                    findings.faults.push(EvidenceFault::Exchanged {
                        by: by.clone(),
                        number: record.number,
                        sound_to: sound_to.min(record.number - 1),
                    });
                }
            }
            if let Some(by) = seen.into_iter().max() {
                findings.reach = Some(Reach { record: record.number, time: record.time, by: by.clone() });
            }
            findings.head = Head { number: record.number, hash };
            findings.last = Some(record.time);
        });
        let whole = match read {
            Ok(_) => true,
            Err(AuditError::Fault(fault)) => {
                findings.faults.push(EvidenceFault::Chain(fault));
                false
            }
            Err(error) => return Err(error),
        };
        // Behind a break nothing was looked at: what is not there has its reason already.
        if whole {
            let last = findings.head.number;
            let beyond =
                self.heads.range(last + 1..).flat_map(|(number, seen)| seen.iter().map(move |(_, by)| (number, by)));
            findings.faults.extend(beyond.map(|(number, by)| EvidenceFault::CutOff {
                by: by.clone(),
                number: *number,
                last,
            }));
            let mut nowhere: Vec<Digest> = missing.into_iter().collect();
            nowhere.sort_unstable();
            findings.faults.extend(nowhere.into_iter().map(EvidenceFault::Nowhere));
        }
        Ok(findings)
    }

    /// Holds a log of which only the hashes are known, the first one first, against the heads. Gives the last one that
    /// fits, and what does not. What lies behind the end is passed over: there was more of the log later.
    pub(crate) fn hold_against_hashes(&self, hashes: &[Digest]) -> (Option<(u64, Source)>, Vec<EvidenceFault>) {
        let (mut reach, mut faults) = (None, self.faults.clone());
        let mut missing = self.given.clone();
        for (number, hash) in (1..).zip(hashes) {
            if missing.remove(hash) {
                reach = Some((number, Source::Given));
            }
            for (expected, by) in self.heads.get(&number).into_iter().flatten() {
                if expected == hash {
                    reach = Some((number, by.clone()));
                } else {
                    let sound_to = reach.as_ref().map_or(0, |(number, _)| *number).min(number - 1);
                    faults.push(EvidenceFault::Exchanged { by: by.clone(), number, sound_to });
                }
            }
        }
        faults.extend(missing.into_iter().map(EvidenceFault::Nowhere));
        (reach, faults)
    }

    /// Checkpoints whose predecessor is in none of the files, but for the oldest, before which something always is.
    fn gaps(&self) -> Vec<Source> {
        let mut all = self.previous.values().flatten();
        let oldest = all.next().map(|(previous, _)| *previous);
        all.filter(|(previous, _)| Some(*previous) != oldest && !self.lines.contains(previous))
            .map(|(_, source)| source.clone())
            .collect()
    }
}

/// A file, or those in a folder, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, EvidenceError> {
    let error = |source| EvidenceError { file: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(error)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(error)? {
        let file = entry.map_err(error)?.path();
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort_unstable();
    Ok(files)
}
