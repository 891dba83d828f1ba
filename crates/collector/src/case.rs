//! One case: a directory with everything that arrived for it.
//!
//! | file | what |
//! |---|---|
//! | `content.pcapng` | the packets ([`pcapng`](crate::pcapng)) |
//! | `cmii.jsonl`, `cmii.csv` | the identifying information ([`events`](crate::events)) |
//! | `gaps.jsonl`, `sealed.jsonl`, `checks.jsonl` | what there is to say of the delivery ([`notes`](crate::notes)) |
//! | `cmii.txt`, `cmc.pcap` | of OpenCALEA: what its own collector would write ([`originals`](crate::originals)) |
//! | `digest.json` | per run of the collector: rolling SHA-256 and counts; per numbering: where it stands |
//!
//! The files are the collector's memory ([`memory`](crate::memory)): a case that is opened again knows from them what it
//! has, so a restart neither sees gaps where there are none nor files anything twice.

use std::{
    borrow::Cow,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Value, json};
use writ_encoder::{etsi::Verdict, t1_ias::file_name};

use crate::{
    CONNECTIONS, STREAMS, Stream, TESTS,
    digest::{Digest, Rolling, hexadecimal},
    events::EventLog,
    formats::Check,
    is_test,
    memory::{Memory, Place},
    notes::{Notes, Unwritten},
    now,
    numberings::{Event, Known},
    originals::{Original, Originals},
    pcapng::{Packet, PacketFile, PacketFileError, Source},
    status::Counts,
    tell_test, write_atomically,
};

/// Named in an error where it may be either.
const ORIGINALS: &str = "cmii.txt or cmc.pcap";

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
    notes: Notes,
    originals: Originals,
    memory: Memory,
    began: String,
    earlier_runs: Vec<Value>,
    cmii: Rolling,
    cmc: Rolling,
    counts: Counts,
    digest_is_old: bool,
    closed: bool,
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

        let mut memory = Memory::default();
        let content = folder.join("content.pcapng");
        let mut known = |source: &Source, packet: &Packet<'_>| memory.has_packet(source, packet);
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

        let events = EventLog::open(&folder, |line, message| memory.has_message(line, message)).map_err(at(&folder))?;
        let notes = Notes::open(&name, &folder, |line| memory.has_sealed(line)).map_err(at(&folder))?;
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
            notes,
            originals: Originals::default(),
            memory,
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

    /// Adds to the files that OpenCALEA's own collector would write.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn file_original(&mut self, original: &Original) -> Result<(), CaseError> {
        self.must_be_open()?;
        let appended = self.originals.append(&self.folder, original);
        self.or_close(appended, original.file())
    }

    /// What it knows of what it has.
    pub(crate) fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Files a message of identifying information, unless it is filed already; says whether it was not. `octets` are what
    /// arrived, `line` and `message` what they say.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn file_message(
        &mut self,
        octets: &[u8],
        source: &Source,
        place: Place<'_>,
        line: &[u8],
        message: &Value,
        is_header_report: bool,
    ) -> Result<bool, CaseError> {
        self.must_be_open()?;
        self.arrived(Stream::Cmii, octets);
        let known = self.memory.message(source, place, line);
        if !self.is_new(Stream::Cmii, source, known)? {
            self.counts.cmii_repeats += 1;
            return Ok(false);
        }
        self.counts.header_reports += u64::from(is_header_report);
        let filed = self.events.file(line, message);
        self.or_close(filed, "cmii.jsonl")?;
        Ok(true)
    }

    /// Files the packets of a PDU, unless they are filed already. `octets` are what arrived.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn file_packets(
        &mut self,
        octets: &[u8],
        source: &Source,
        sequence: Option<u64>,
        packets: &[Packet<'_>],
    ) -> Result<(), CaseError> {
        self.must_be_open()?;
        self.arrived(Stream::Cmc, octets);
        let count = packets.len() as u64;
        match sequence {
            None => self.counts.unnumbered += count,
            Some(sequence) => {
                let known = self.memory.packets(source, sequence, packets);
                if !self.is_new(Stream::Cmc, source, known)? {
                    self.counts.duplicates += count;
                    return Ok(());
                }
                if let Known::New { is_late: true, .. } = known {
                    self.counts.late += count;
                }
            }
        }
        for packet in packets {
            self.counts.packets += 1;
            self.counts.packet_bytes += packet.bytes.len() as u64;
            let written = self.packets.write(source, packet);
            self.or_close(written, "content.pcapng")?;
        }
        Ok(())
    }

    /// Files what no key opens, unless it is filed already. `octets` are what arrived on `stream`.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn file_sealed(
        &mut self,
        octets: &[u8],
        stream: Stream,
        source: &Source,
        sequence: u32,
        why: &'static str,
    ) -> Result<(), CaseError> {
        self.must_be_open()?;
        self.arrived(stream, octets);
        let pdu = hexadecimal(octets);
        let known = self.memory.sealed(stream, source, sequence, &pdu);
        if !self.is_new(stream, source, known)? {
            match stream {
                Stream::Cmii => self.counts.cmii_repeats += 1,
                Stream::Cmc => self.counts.duplicates += 1,
            }
            return Ok(());
        }
        if self.counts.sealed == 0 {
            tracing::warn!(case = self.name, "{why}: filed as it came, in sealed.jsonl");
        }
        self.counts.sealed += 1;
        let noted = self.notes.sealed(&self.folder, stream, source, sequence, why, &pdu);
        self.noted(noted)
    }

    /// Files what an integrity check is worth, which arrived on `arrived` and is over `over`.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn file_check(
        &mut self,
        arrived: Stream,
        source: &Source,
        over: Option<Stream>,
        check: Check<'_>,
    ) -> Result<(), CaseError> {
        self.must_be_open()?;
        self.digest_is_old = true;
        let checks = &mut self.counts.checks;
        *match check.verdict {
            Verdict::Good => &mut checks.good,
            Verdict::Bad => &mut checks.bad,
            Verdict::Missing(_) => &mut checks.missing,
            Verdict::NotChecked => &mut checks.not_checked,
        } += 1;
        let noted = self.notes.check(&self.folder, arrived, source, over, check);
        self.noted(noted)
    }

    fn arrived(&mut self, stream: Stream, octets: &[u8]) {
        self.digest_is_old = true;
        let (rolling, count) = match stream {
            Stream::Cmii => (&mut self.cmii, &mut self.counts.cmii_arrived),
            Stream::Cmc => (&mut self.cmc, &mut self.counts.cmc_arrived),
        };
        rolling.update(octets);
        *count += 1;
    }

    /// Whether a PDU is not filed already. What its number says of others is counted and told.
    fn is_new(&mut self, stream: Stream, source: &Source, known: Known) -> Result<bool, CaseError> {
        let Known::New { event, .. } = known else { return Ok(false) };
        if let Some(event) = event {
            self.counts.restarts += u64::from(matches!(event, Event::Restarted { .. }));
            let noted = self.notes.gap(&self.folder, stream, source, event);
            self.noted(noted)?;
        }
        Ok(true)
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the system says to the write. The case is closed then.
    pub(crate) fn flush(&mut self) -> Result<(), CaseError> {
        self.must_be_open()?;
        for (stream, source, event) in self.memory.filled() {
            let noted = self.notes.gap(&self.folder, stream, &source, event);
            self.noted(noted)?;
        }
        let packets = self.packets.flush();
        self.or_close(packets, "content.pcapng")?;
        let events = self.events.flush();
        self.or_close(events, "cmii.jsonl")?;
        let originals = self.originals.flush();
        self.or_close(originals, ORIGINALS)?;
        let noted = self.notes.flush();
        self.noted(noted)
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
        let mut runs: Vec<Cow<'_, Value>> = self.earlier_runs.iter().map(Cow::Borrowed).collect();
        runs.push(Cow::Owned(json!(run)));
        let document = json!({ "case": self.name, "numberings": self.memory.stand(), "runs": runs });
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
        let originals = self.originals.sync();
        self.or_close(originals, ORIGINALS)?;
        let noted = self.notes.sync();
        self.noted(noted)?;
        self.closed = true;
        Ok(())
    }

    /// Whether its files are closed, in order or after a fault.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Counts of this run.
    pub(crate) fn counts(&self) -> Counts {
        let [cmii_missing, missing] = Stream::ALL.map(|stream| self.memory.missing(stream));
        Counts { missing, cmii_missing, ..self.counts.clone() }
    }

    fn must_be_open(&self) -> Result<(), CaseError> {
        if self.closed { Err(CaseError::Closed) } else { Ok(()) }
    }

    fn noted(&mut self, noted: Result<(), Unwritten>) -> Result<(), CaseError> {
        noted.or_else(|(file, error)| self.or_close(Err(error), file))
    }

    /// After a failed write nothing more is written: the file may end anywhere, and opening the case anew mends it.
    fn or_close(&mut self, result: io::Result<()>, file: &str) -> Result<(), CaseError> {
        result.map_err(|error| {
            self.closed = true;
            CaseError::Io { path: self.folder.join(file), error }
        })
    }
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
