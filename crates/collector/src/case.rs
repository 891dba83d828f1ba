//! One case: a directory with everything that arrived for it.
//!
//! | file | what |
//! |---|---|
//! | `content.pcapng` | the packets ([`pcapng`](crate::pcapng)) |
//! | `cmii.jsonl`, `cmii.csv` | the identifying information ([`events`](crate::events)) |
//! | `gaps.jsonl` | where numbers are missing, came late or began anew; there when there was any |
//! | `sealed.jsonl` | what no key here opens, as it came; likewise |
//! | `checks.jsonl` | what integrity checks were worth; likewise |
//! | `digest.json` | per run of the collector: rolling SHA-256 and counts; per numbering: where it stands |
//!
//! The files are the collector's memory: a case that is opened again knows from them what it has, so a restart neither
//! sees gaps where there are none nor files anything twice.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::{self, DirBuilder},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Value, json};
use writ_encoder::{etsi::Verdict, t1_ias::file_name};

use crate::{
    CONNECTIONS, STREAMS, Stream, TESTS,
    digest::{Digest, Rolling, hexadecimal},
    events::EventLog,
    formats::{Check, Format},
    intake::Reader,
    is_test,
    lines::{Lazy, Lines},
    now,
    numberings::{Event, Known, Numberings},
    pcapng::{Around, Packet, PacketFile, PacketFileError, Source},
    replay::{History, Replay},
    tell_test, write_atomically,
};

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
    /// Numbers of content that are missing now, over all runs.
    pub missing: u64,
    /// Numbers of messages that are missing now, over all runs, where messages are numbered.
    pub cmii_missing: u64,
    /// PDUs that no key here opens, filed as they came.
    pub sealed: u64,
    /// What integrity checks were worth.
    pub checks: CheckCounts,
}

/// Integrity checks that arrived, by what they were worth.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CheckCounts {
    /// All that they were over was as it was sent.
    pub good: u64,
    /// Something was changed.
    pub bad: u64,
    /// Something that they were over did not arrive.
    pub missing: u64,
    /// Not checked: no key, or an algorithm that is not computed here.
    pub not_checked: u64,
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
    gaps: Lazy,
    sealed: Lazy,
    checks: Lazy,
    content_numbers: Numberings,
    message_numbers: Numberings,
    histories: HashMap<Source, Messages>,
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

/// A line of `gaps.jsonl`.
#[derive(Serialize)]
struct Told<'a> {
    at: String,
    #[serde(flatten)]
    event: Event,
    stream: Stream,
    iap: &'a str,
    content_identifier: &'a str,
}

/// A line of `sealed.jsonl`: what no key here opens, as it came.
#[derive(Serialize)]
struct Sealed<'a> {
    at: String,
    stream: Stream,
    why: &'a str,
    iap: &'a str,
    content_identifier: &'a str,
    sequence: u32,
    pdu: String,
}

/// A line of `checks.jsonl`.
#[derive(Serialize)]
struct Checked<'a> {
    at: String,
    arrived: Stream,
    over_stream: Option<Stream>,
    iap: &'a str,
    content_identifier: &'a str,
    #[serde(flatten)]
    check: Check<'a>,
}

/// Where a message stands among those of its source.
pub(crate) enum Place<'a> {
    /// It bears a number.
    Numbered(u32),
    /// It bears none: where the connection stands beside what is filed.
    Unnumbered(&'a mut Replay),
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
        let mut content_numbers = Numberings::default();
        let content = folder.join("content.pcapng");
        // The packets of one PDU lie one behind the other, and share its number.
        let mut pdu: Option<(Source, u64, u64)> = None;
        let mut known = |source: &Source, packet: &Packet<'_>| {
            pdu = match (packet.sequence, pdu.take()) {
                (Some(_), Some((of, number, before))) if packet.member > 0 => {
                    Some((of, number, hasher.hash_one((before, digest(&hasher, packet)))))
                }
                (sequence, before) => {
                    if let Some((of, number, digest)) = before {
                        content_numbers.take(&of, number, digest);
                    }
                    sequence.map(|number| (source.clone(), number, digest(&hasher, packet)))
                }
            };
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

        if let Some((of, number, digest)) = pdu {
            content_numbers.take(&of, number, digest);
        }

        let mut histories = HashMap::<Source, Messages>::new();
        let mut message_numbers = Numberings::default();
        let events = EventLog::open(&folder, |line, message| {
            let text = |name| message.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let format = Format::named(&text("handover")).unwrap_or_default();
            let source = Source::of(format, text("iap_system_id"), text("series"));
            match message.get("sequence").and_then(Value::as_u64) {
                Some(sequence) => drop(message_numbers.take(&source, sequence, hasher.hash_one(line))),
                None => histories.entry(source).or_default().history.remember(hasher.hash_one(line)),
            }
        })
        .map_err(at(&folder))?;
        let sealed_file = folder.join("sealed.jsonl");
        if sealed_file.try_exists().map_err(at(&sealed_file))? {
            let read = Lines::open(&sealed_file, |line| {
                let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
                let text = |name| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let source = Source::of(Format::Etsi, text("iap"), text("content_identifier"));
                let is_message = text("stream") == Stream::Cmii.name();
                let numbers = if is_message { &mut message_numbers } else { &mut content_numbers };
                if let Some(sequence) = line.get("sequence").and_then(Value::as_u64) {
                    numbers.take(&source, sequence, hasher.hash_one(text("pdu")));
                }
            });
            drop(read.map_err(at(&sealed_file))?);
        }

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
            gaps: Lazy::new("gaps.jsonl"),
            sealed: Lazy::new("sealed.jsonl"),
            checks: Lazy::new("checks.jsonl"),
            content_numbers,
            message_numbers,
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

    /// Makes `reader` the one that reads what `source` tells of this case. Returns the one that was so until now: what it
    /// has not yet read comes before what `reader` has.
    pub(crate) fn hand_over(&mut self, source: &Source, reader: &Arc<Reader>) -> Option<Arc<Reader>> {
        self.messages(source).reader.replace(Arc::clone(reader)).filter(|former| !Arc::ptr_eq(former, reader))
    }

    fn messages(&mut self, source: &Source) -> &mut Messages {
        self.histories.entry(source.clone()).or_default()
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
        let line_digest = self.hasher.hash_one(line);
        let is_repeat = match place {
            Place::Numbered(sequence) => !self.is_new(Stream::Cmii, source, sequence.into(), line_digest)?.0,
            Place::Unnumbered(replay) => self.messages(source).history.repeats(replay, line_digest),
        };
        if is_repeat {
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
                let mut digests = packets.iter().map(|packet| digest(&self.hasher, packet));
                let first = digests.next().unwrap_or_default();
                let digest = digests.fold(first, |before, digest| self.hasher.hash_one((before, digest)));
                match self.is_new(Stream::Cmc, source, sequence, digest)? {
                    (false, _) => {
                        self.counts.duplicates += count;
                        return Ok(());
                    }
                    (true, is_late) => self.counts.late += if is_late { count } else { 0 },
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
        let digest = self.hasher.hash_one(&pdu);
        if !self.is_new(stream, source, sequence.into(), digest)?.0 {
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
        let Source { iap, content_identifier, .. } = source;
        let line = json!(Sealed { at: now(), stream, why, iap, content_identifier, sequence, pdu });
        let appended = self.sealed.append(&self.folder, &line);
        self.or_close(appended, "sealed.jsonl")
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
        let (case, Source { iap, content_identifier, .. }) = (&self.name, source);
        match check.verdict {
            Verdict::Good => self.counts.checks.good += 1,
            Verdict::NotChecked => self.counts.checks.not_checked += 1,
            Verdict::Missing(numbers) => {
                self.counts.checks.missing += 1;
                tracing::warn!(case, iap, content_identifier, "a check is over {} that did not arrive", numbers.len());
            }
            Verdict::Bad => {
                self.counts.checks.bad += 1;
                tracing::error!(
                    case,
                    iap,
                    content_identifier,
                    "ALARM: {:?} {} does not fit what arrived: what it is over was changed on the way or by the sender",
                    check.check,
                    check.number,
                );
            }
        }
        let line = json!(Checked { at: now(), arrived, over_stream: over, iap, content_identifier, check });
        let appended = self.checks.append(&self.folder, &line);
        self.or_close(appended, "checks.jsonl")
    }

    /// The numbers that `source` has on `stream` begin anew, of all its sessions.
    pub(crate) fn begin_anew(&mut self, stream: Stream, source: &Source) {
        self.numbers(stream).begin_anew(source);
    }

    fn numbers(&mut self, stream: Stream) -> &mut Numberings {
        match stream {
            Stream::Cmii => &mut self.message_numbers,
            Stream::Cmc => &mut self.content_numbers,
        }
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

    /// Whether a PDU is not filed already, and whether it is late. What its number says of others is counted and told.
    fn is_new(
        &mut self,
        stream: Stream,
        source: &Source,
        sequence: u64,
        digest: u64,
    ) -> Result<(bool, bool), CaseError> {
        match self.numbers(stream).take(source, sequence, digest) {
            Known::Duplicate => Ok((false, false)),
            Known::New { is_late, event } => {
                if let Some(event) = event {
                    self.counts.restarts += u64::from(matches!(event, Event::Restarted { .. }));
                    self.tell(stream, event, source)?;
                }
                Ok((true, is_late))
            }
        }
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
        let gaps = self.gaps.flush();
        self.or_close(gaps, "gaps.jsonl")?;
        let sealed = self.sealed.flush();
        self.or_close(sealed, "sealed.jsonl")?;
        let checks = self.checks.flush();
        self.or_close(checks, "checks.jsonl")
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
        let content = self.content_numbers.stand(Stream::Cmc);
        let numberings: Vec<_> = content.chain(self.message_numbers.stand(Stream::Cmii)).collect();
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
        let gaps = self.gaps.sync();
        self.or_close(gaps, "gaps.jsonl")?;
        let sealed = self.sealed.sync();
        self.or_close(sealed, "sealed.jsonl")?;
        let checks = self.checks.sync();
        self.or_close(checks, "checks.jsonl")?;
        self.closed = true;
        Ok(())
    }

    /// Whether its files are closed, in order or after a fault.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Counts of this run.
    pub(crate) fn counts(&self) -> Counts {
        let (missing, cmii_missing) = (self.content_numbers.missing(), self.message_numbers.missing());
        Counts { missing, cmii_missing, ..self.counts.clone() }
    }

    /// Logs what numbers say, and adds it to `gaps.jsonl`.
    fn tell(&mut self, stream: Stream, event: Event, source: &Source) -> Result<(), CaseError> {
        let Source { iap, content_identifier, .. } = source;
        let (case, what) = (&self.name, if stream == Stream::Cmc { "content" } else { "information" });
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
        let line = json!(Told { at: now(), event, stream, iap, content_identifier });
        let appended = self.gaps.append(&self.folder, &line);
        self.or_close(appended, "gaps.jsonl")
    }

    fn tell_filled(&mut self) -> Result<(), CaseError> {
        for stream in Stream::ALL {
            for (source, event) in self.numbers(stream).filled() {
                self.tell(stream, event, &source)?;
            }
        }
        Ok(())
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

/// Stands for a packet and its PDU. The time is in what is around the packet, if it bears one: else it is that of its arrival,
/// which is another the next time.
fn digest(hasher: &RandomState, packet: &Packet<'_>) -> u64 {
    let Around { before, behind } = packet.around;
    let time_us = if before.is_empty() { packet.time_us } else { 0 };
    hasher.hash_one((time_us, before, behind, packet.direction, packet.bytes))
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
