//! One case: a directory with everything that arrived for it.
//!
//! | file | what |
//! |---|---|
//! | `content.pcapng` | the packets ([`pcapng`](crate::pcapng)) |
//! | `cmii.jsonl`, `cmii.csv` | the identifying information ([`events`](crate::events)) |
//! | `gaps.jsonl` | where numbers of content are missing, came late or began anew; there when there was any |
//! | `digest.json` | per run of the collector: rolling SHA-256 and counts; per numbering: where it stands |
//!
//! The files are the collector's memory: a case that is opened again knows from them what it has, so a restart neither
//! sees gaps where there are none nor files anything twice.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs::{self, DirBuilder},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Value, json};
use writ_encoder::t1_ias::file_name;

use crate::{
    CONNECTIONS, STREAMS, TESTS,
    digest::{Digest, Rolling},
    events::{EventLog, Lines},
    intake::Reader,
    is_test, now,
    pcapng::{Packet, PacketFile, PacketFileError, Source},
    replay::{History, Replay},
    sequence::{Arrival, Numbering},
    tell_test, write_atomically,
};

/// Numberings in one case: a bound on what a sender can make the collector remember.
const MAX_NUMBERINGS: usize = 64;

/// Why something could not be filed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaseError {
    /// The system refused, for example because the disk is full.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// An earlier fault closed the files; they are opened anew for the next connection.
    #[error("the files of the case were closed after a fault")]
    Closed,
    /// More content identifiers than a case has.
    #[error("more than {MAX_NUMBERINGS} content identifiers in one case")]
    TooManyNumberings,
}

/// The directory of a case below the folder: its id as a [file name](file_name), among the tests if it is one. What stands
/// beside the cases in the same folder is no name for one.
pub(crate) fn directory_name(case_id: Option<&str>) -> String {
    match case_id {
        Some(id @ (STREAMS | TESTS | CONNECTIONS)) => format!("%{:02X}{}", id.as_bytes()[0], &id[1..]),
        Some(id) if is_test(id) => format!("{TESTS}/{}", file_name(case_id)),
        _ => file_name(case_id),
    }
}

/// Counts of one case in this run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// CmII messages that arrived.
    pub cmii_arrived: u64,
    /// Of those, repeats after a reconnect, which are not filed again.
    pub cmii_repeats: u64,
    /// Of those, header reports that were filed.
    pub header_reports: u64,
    /// Content PDUs that arrived.
    pub cmc_arrived: u64,
    /// Packets that were filed.
    pub packets: u64,
    /// Octets of those.
    pub packet_bytes: u64,
    /// Packets that were filed already and came again.
    pub duplicates: u64,
    /// Packets that came after their successors.
    pub late: u64,
    /// Packets without a sequence number.
    pub unnumbered: u64,
    /// Numberings that began anew.
    pub restarts: u64,
    /// Numbers that are missing now, over all runs.
    pub missing: u64,
}

#[derive(Serialize)]
struct Run {
    began: String,
    updated: String,
    cmii: Digest,
    cmc: Digest,
    counts: Counts,
}

/// A case whose files are open.
pub(crate) struct Case {
    name: String,
    is_test: bool,
    folder: PathBuf,
    packets: PacketFile,
    events: EventLog,
    gaps: Option<Lines>,
    numberings: BTreeMap<Source, Numbered>,
    histories: HashMap<String, Messages>,
    /// Digests within one process only: keyed, so that no sender can make two things look alike.
    hasher: RandomState,
    began: String,
    earlier_runs: Vec<Value>,
    cmii: Rolling,
    cmc: Rolling,
    counts: Counts,
    digest_is_old: bool,
    closed: bool,
}

#[derive(Default)]
struct Numbered {
    numbering: Numbering,
    /// Late packets in a row that `gaps.jsonl` does not tell of yet.
    filled: Option<(u64, u64)>,
}

/// A line of `gaps.jsonl`.
#[derive(Serialize)]
struct Told<'a> {
    at: String,
    #[serde(flatten)]
    event: Event,
    iap: &'a str,
    content_identifier: &'a str,
}

/// What numbers say of content.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Begins { first: u64 },
    Gap { first: u64, last: u64 },
    Filled { first: u64, last: u64 },
    Restarted { first: u64, expected: u64 },
}

#[derive(Default)]
struct Messages {
    history: History,
    reader: Option<Arc<Reader>>,
}

impl Case {
    /// Opens the case's directory under `root`, or makes it.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn open(root: &Path, case_id: Option<&str>) -> Result<Self, CaseError> {
        let name = directory_name(case_id);
        let folder = root.join(&name);
        let at = |path: &Path| {
            let path = path.to_owned();
            |error| CaseError::Io { path, error }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(at(&folder))?;
        let is_test = case_id.is_some_and(is_test);
        if is_test {
            tell_test(&name);
        }

        let hasher = RandomState::new();
        let mut numberings = BTreeMap::<Source, Numbered>::new();
        let content = folder.join("content.pcapng");
        let mut known = |source: &Source, packet: &Packet<'_>| {
            let Some(sequence) = packet.sequence else { return };
            if !numberings.contains_key(source) {
                numberings.insert(source.clone(), Numbered::default());
            }
            if let Some(numbered) = numberings.get_mut(source) {
                numbered.numbering.take(sequence, digest(&hasher, packet));
            }
        };
        let packets = match PacketFile::open(&content, &mut known) {
            Err(PacketFileError::Damaged(offset)) => {
                let aside = set_aside(&content).map_err(at(&content))?;
                tracing::error!(
                    case = name,
                    "content.pcapng is damaged at byte {offset}: kept as {}, a new file is begun",
                    aside.display()
                );
                PacketFile::open(&content, &mut known)
            }
            opened => opened,
        }
        .map_err(|error| match error {
            PacketFileError::Io(error) => at(&content)(error),
            PacketFileError::Damaged(_) => at(&content)(io::ErrorKind::InvalidData.into()),
        })?;

        let mut histories = HashMap::<String, Messages>::new();
        let events = EventLog::open(&folder, |line, message| {
            let iap = message.pointer("/iap_system_id").and_then(Value::as_str).unwrap_or_default();
            histories.entry(iap.to_owned()).or_default().history.remember(hasher.hash_one(line));
        })
        .map_err(at(&folder))?;

        let earlier_runs = fs::read(folder.join("digest.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .and_then(|mut digest| digest.get_mut("runs").map(Value::take))
            .and_then(|runs| if let Value::Array(runs) = runs { Some(runs) } else { None })
            .unwrap_or_default();
        Ok(Self {
            name,
            is_test,
            folder,
            packets,
            events,
            gaps: None,
            numberings,
            histories,
            hasher,
            began: now(),
            earlier_runs,
            cmii: Rolling::default(),
            cmc: Rolling::default(),
            counts: Counts::default(),
            digest_is_old: true,
            closed: false,
        })
    }

    /// The directory's name, which stands for the case in logs and counts.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is only a test.
    pub(crate) fn is_test(&self) -> bool {
        self.is_test
    }

    /// Makes `reader` the one that reads what `iap` tells of this case. Returns the one that was so until now: what it
    /// has not yet read comes before what `reader` has.
    pub(crate) fn hand_over(&mut self, iap: &str, reader: &Arc<Reader>) -> Option<Arc<Reader>> {
        let messages = match self.histories.get_mut(iap) {
            Some(messages) => messages,
            None => self.histories.entry(iap.to_owned()).or_default(),
        };
        messages.reader.replace(Arc::clone(reader)).filter(|former| !Arc::ptr_eq(former, reader))
    }

    /// Files a message of identifying information, unless it is a repeat. `octets` are what arrived, `line` and
    /// `message` what they say.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn file_message(
        &mut self,
        octets: &[u8],
        iap: &str,
        line: &[u8],
        message: &Value,
        is_header_report: bool,
        replay: &mut Replay,
    ) -> Result<(), CaseError> {
        self.must_be_open()?;
        self.digest_is_old = true;
        self.cmii.update(octets);
        self.counts.cmii_arrived += 1;
        let line_digest = self.hasher.hash_one(line);
        let messages = match self.histories.get_mut(iap) {
            Some(messages) => messages,
            None => self.histories.entry(iap.to_owned()).or_default(),
        };
        if messages.history.repeats(replay, line_digest) {
            self.counts.cmii_repeats += 1;
            return Ok(());
        }
        self.counts.header_reports += u64::from(is_header_report);
        let filed = self.events.file(line, message);
        self.or_close(filed, "cmii.jsonl")
    }

    /// Files a packet, unless it is filed already. `octets` are what arrived.
    ///
    /// # Errors
    /// What the system says to the write, or a bound that the sender broke. After a failed write the case is closed.
    pub(crate) fn file_packet(&mut self, octets: &[u8], source: &Source, packet: &Packet<'_>) -> Result<(), CaseError> {
        self.must_be_open()?;
        self.digest_is_old = true;
        self.cmc.update(octets);
        self.counts.cmc_arrived += 1;
        match packet.sequence {
            None => self.counts.unnumbered += 1,
            Some(sequence) => {
                if !self.is_new(source, sequence, packet)? {
                    return Ok(());
                }
            }
        }
        self.counts.packets += 1;
        self.counts.packet_bytes += packet.bytes.len() as u64;
        let written = self.packets.write(source, packet);
        self.or_close(written, "content.pcapng")
    }

    /// Whether a packet is not filed already. What its number says of others is counted and told.
    fn is_new(&mut self, source: &Source, sequence: u64, packet: &Packet<'_>) -> Result<bool, CaseError> {
        let full = self.numberings.len() == MAX_NUMBERINGS;
        let numbered = match self.numberings.get_mut(source) {
            Some(numbered) => numbered,
            None if full => return Err(CaseError::TooManyNumberings),
            None => self.numberings.entry(source.clone()).or_default(),
        };
        let event = match numbered.numbering.take(sequence, digest(&self.hasher, packet)) {
            Arrival::InOrder => return Ok(true),
            Arrival::Duplicate => {
                self.counts.duplicates += 1;
                return Ok(false);
            }
            Arrival::Late => {
                self.counts.late += 1;
                match &mut numbered.filled {
                    Some((_, last)) if last.checked_add(1) == Some(sequence) => {
                        *last = sequence;
                        return Ok(true);
                    }
                    filled => match filled.replace((sequence, sequence)) {
                        Some((first, last)) => Event::Filled { first, last },
                        None => return Ok(true),
                    },
                }
            }
            Arrival::First => Event::Begins { first: sequence },
            Arrival::AfterGap { first, last } => Event::Gap { first, last },
            Arrival::Restarted { expected } => {
                self.counts.restarts += 1;
                Event::Restarted { first: sequence, expected }
            }
        };
        self.tell(event, source)?;
        Ok(true)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn flush(&mut self) -> Result<(), CaseError> {
        self.must_be_open()?;
        self.tell_filled()?;
        let packets = self.packets.flush();
        self.or_close(packets, "content.pcapng")?;
        let events = self.events.flush();
        self.or_close(events, "cmii.jsonl")?;
        let gaps = self.gaps.as_mut().map_or(Ok(()), Lines::flush);
        self.or_close(gaps, "gaps.jsonl")
    }

    /// Writes `digest.json` if anything came since it was written last.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn write_digest(&mut self) -> Result<(), CaseError> {
        if !self.digest_is_old || self.closed {
            return Ok(());
        }
        let run = Run {
            began: self.began.clone(),
            updated: now(),
            cmii: self.cmii.value(),
            cmc: self.cmc.value(),
            counts: self.counts(),
        };
        let numberings: Vec<_> = self
            .numberings
            .iter()
            .map(|(source, Numbered { numbering, .. })| {
                json!({
                    "iap": source.iap,
                    "content_identifier": source.content_identifier,
                    "begun_at": numbering.begun_at(),
                    "next": numbering.next(),
                    "missing": numbering.missing(),
                })
            })
            .collect();
        let mut runs: Vec<Cow<'_, Value>> = self.earlier_runs.iter().map(Cow::Borrowed).collect();
        runs.push(Cow::Owned(json!(run)));
        let document = json!({ "case": self.name, "numberings": numberings, "runs": runs });
        let written = write_atomically(&self.folder.join("digest.json"), format!("{document:#}\n").as_bytes());
        self.or_close(written, "digest.json")?;
        self.digest_is_old = false;
        Ok(())
    }

    /// Ends the case: everything written, and on the disk.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn close(&mut self) -> Result<(), CaseError> {
        if self.closed {
            return Ok(());
        }
        self.flush()?;
        self.digest_is_old = true;
        self.write_digest()?;
        let packets = self.packets.sync();
        self.or_close(packets, "content.pcapng")?;
        let events = self.events.sync();
        self.or_close(events, "cmii.jsonl")?;
        let gaps = self.gaps.as_mut().map_or(Ok(()), Lines::sync);
        self.or_close(gaps, "gaps.jsonl")?;
        self.closed = true;
        Ok(())
    }

    /// Whether its files are closed, in order or after a fault.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Counts of this run.
    pub(crate) fn counts(&self) -> Counts {
        let missing = self.numberings.values().map(|numbered| numbered.numbering.missing());
        Counts { missing: missing.fold(0, u64::saturating_add), ..self.counts.clone() }
    }

    /// Logs what numbers say, and adds it to `gaps.jsonl`.
    fn tell(&mut self, event: Event, source: &Source) -> Result<(), CaseError> {
        let Source { iap, content_identifier } = source;
        let case = &self.name;
        match event {
            Event::Begins { first } => tracing::info!(case, iap, content_identifier, "content begins with {first}"),
            Event::Gap { first, last } => {
                tracing::warn!(case, iap, content_identifier, "gap: {first} to {last} missing");
            }
            Event::Filled { first, last } => {
                tracing::info!(case, iap, content_identifier, "{first} to {last} came late");
            }
            Event::Restarted { first, expected } => {
                tracing::warn!(case, iap, content_identifier, "numbered anew from {first}, {expected} was expected");
            }
        }
        let line = json!(Told { at: now(), event, iap, content_identifier }).to_string();
        let appended = match &mut self.gaps {
            Some(lines) => lines.append(line.as_bytes()),
            gaps => Lines::open(&self.folder.join("gaps.jsonl"), |_| {})
                .and_then(|lines| gaps.insert(lines).append(line.as_bytes())),
        };
        self.or_close(appended, "gaps.jsonl")
    }

    fn tell_filled(&mut self) -> Result<(), CaseError> {
        let filled: Vec<_> = self
            .numberings
            .iter_mut()
            .filter_map(|(source, numbered)| Some((source.clone(), numbered.filled.take()?)))
            .collect();
        filled.into_iter().try_for_each(|(source, (first, last))| self.tell(Event::Filled { first, last }, &source))
    }

    fn must_be_open(&self) -> Result<(), CaseError> {
        if self.closed { Err(CaseError::Closed) } else { Ok(()) }
    }

    /// After a failed write nothing more is written: the file may end anywhere, and opening the case anew mends it.
    fn or_close(&mut self, result: io::Result<()>, file: &str) -> Result<(), CaseError> {
        result.map_err(|error| {
            self.closed = true;
            CaseError::Io { path: self.folder.join(file), error }
        })
    }
}

fn digest(hasher: &RandomState, packet: &Packet<'_>) -> u64 {
    hasher.hash_one((packet.time_us, packet.direction, packet.bytes))
}

/// Gives a damaged file a name of its own.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1u32;
    loop {
        let aside = path.with_extension(format!("damaged-{number}.pcapng"));
        if !aside.try_exists()? {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_case_id_escapes_its_directory_or_meets_another() {
        let hostile = [
            "../x",
            "..",
            ".",
            "/etc/passwd",
            "a/b",
            "a\0b",
            "%2E",
            "",
            "%",
            "%unidentified",
            "%empty",
            "a\nb",
            "ä",
            "CON",
            "a b",
            "-rf",
            ".hidden",
            "a.b",
            "%2E%2E",
            STREAMS,
            TESTS,
            CONNECTIONS,
            "%73treams",
            "tests/TEST-1",
        ];
        let mut names: Vec<_> = hostile.iter().map(|id| directory_name(Some(id))).collect();
        names.push(directory_name(None));
        for name in &names {
            assert!(!name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0', '\\', '\n']), "{name:?}");
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(!names.contains(&STREAMS.to_owned()) && !names.contains(&CONNECTIONS.to_owned()));
        assert_eq!(directory_name(Some(TESTS)), "%74ests");
        assert_eq!(directory_name(Some("DEMO-2026.1")), "DEMO-2026.1");
        assert_eq!(directory_name(Some("TEST-/../1")), "tests/TEST-%2F..%2F1");
    }
}
