//! The certification: the record of one interception that 47 CFR 1.20004 asks for, over what was measured, signed by the
//! employee who oversaw it. The probe drafts it; nothing in it is asked of anybody's memory.

use crate::approval::{ProbeIdentity, Refusal};
use crate::calendar;
use crate::digest::Digest;
use crate::document::{self, Section};
use crate::draft::Draft;
use crate::error::{DocumentError, Fault};
use crate::grant::Authority;
use crate::heading::Heading;
use crate::missing::Missing;
use crate::roster::Roster;
use crate::signature::{CERTIFY, Signature};
use crate::warrant::Warrant;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Most that a clock's doubt can be written as: an hour, in milliseconds.
const MOST_DOUBT_MS: i64 = 3_600_000;

/// What the probe measured of an interception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// When it was put into the kernel.
    pub enabled: Timestamp,
    /// First moment at which a packet could be taken.
    pub began: Timestamp,
    /// First moment at which none could be any more; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// How far the clock may have been off, in milliseconds; `None` where nobody knows.
    pub clock_doubt_ms: Option<u32>,
    /// Name and version of the program.
    pub software: String,
    /// Digest of the configuration in force.
    pub configuration: Digest,
}

/// A certification that is sound in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certification {
    file: PathBuf,
    bytes: Arc<[u8]>,
    heading: Heading,
    uuid: Uuid,
    revision: u32,
    warrant: Digest,
    overseer: String,
    record: Record,
    measured: Measured,
}

/// What 47 CFR 1.20004(b)(1) asks for besides the time and the overseer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    lines: Vec<String>,
    presented_by: String,
    signed_by: String,
    authority: Authority,
}

impl Record {
    fn of(warrant: &Warrant) -> Self {
        Self {
            lines: warrant.targets().iter().map(|target| target.criteria.to_string()).collect(),
            presented_by: warrant.order().presented_by.clone(),
            signed_by: warrant.order().signed_by.clone(),
            authority: warrant.grant().authority(),
        }
    }

    fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let lines = section.texts("lines", "[\"192.0.2.7\"]", faults);
        let presented_by = section.text("presented_by", "Special Agent B. Agent", faults);
        let signed_by = section.text("signed_by", "Hon. A. Judge", faults);
        let authority = section.parsed("type", "title-iii", faults, document::authority);
        section.finish(faults);
        Some(Self { lines: lines?, presented_by: presented_by?, signed_by: signed_by?, authority: authority? })
    }
}

impl Measured {
    fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let example = "2026-11-20T14:00:00Z";
        let enabled = section.parsed("enabled", example, faults, calendar::moment);
        let began = section.parsed("began", example, faults, calendar::moment);
        let ended = section.has("ended").then(|| section.parsed("ended", example, faults, calendar::moment));
        let clock_doubt_ms =
            section.has("clock_doubt_ms").then(|| section.number("clock_doubt_ms", 0..=MOST_DOUBT_MS, "12", faults));
        let software = section.text("software", "writ 0.1.0", faults);
        let configuration = section.parsed("configuration", "64 hexadecimal digits", faults, |text| {
            document::digest(text, "take the document as `writ warrant certify` printed it")
        });
        section.finish(faults);
        Some(Self {
            enabled: enabled?,
            began: began?,
            ended: ended.flatten(),
            clock_doubt_ms: clock_doubt_ms.flatten().and_then(|doubt| u32::try_from(doubt).ok()),
            software: software?,
            configuration: configuration?,
        })
    }
}

impl Certification {
    /// Writes the certification of a warrant, to be signed by `overseer`.
    pub fn draft(warrant: &Warrant, measured: &Measured, overseer: &str, heading: &Heading) -> String {
        let record = Record::of(warrant);
        let mut draft = Draft::new();
        draft
            .text("uuid", &warrant.uuid().to_string())
            .count("revision", warrant.revision().into())
            .text("warrant", &warrant.digest().to_string())
            .text("overseer", overseer)
            .heading(heading)
            .texts("record.lines", &record.lines)
            .text("record.presented_by", &record.presented_by)
            .text("record.signed_by", &record.signed_by)
            .text("record.type", record.authority.as_str())
            .text("measured.enabled", &measured.enabled.to_string())
            .text("measured.began", &measured.began.to_string());
        if let Some(ended) = measured.ended {
            draft.text("measured.ended", &ended.to_string());
        }
        if let Some(doubt) = measured.clock_doubt_ms {
            draft.count("measured.clock_doubt_ms", doubt.into());
        }
        draft
            .text("measured.software", &measured.software)
            .text("measured.configuration", &measured.configuration.to_string());
        draft.to_string()
    }

    /// Reads a certification and validates it whole. The error names every fault found.
    ///
    /// `file` only names the document in messages.
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, DocumentError> {
        let mut root = document::read(bytes, file)?;
        let mut faults = Vec::new();
        let uuid = root.parsed("uuid", "1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11", &mut faults, document::uuid);
        let revision = root.count("revision", 1, &mut faults);
        let remedy = "take the document as `writ warrant certify` printed it";
        let warrant = root.parsed("warrant", "64 hexadecimal digits", &mut faults, |it| document::digest(it, remedy));
        let overseer = root.text("overseer", "Ada Marsh", &mut faults);
        let heading = Heading::read(&mut root, &mut faults);
        let record = root.section("record", &mut faults).and_then(|section| Record::read(section, &mut faults));
        let measured = root.section("measured", &mut faults).and_then(|section| Measured::read(section, &mut faults));
        root.finish(&mut faults);
        match (heading, uuid, revision, warrant, overseer, record, measured) {
            (
                Some(heading),
                Some(uuid),
                Some(revision),
                Some(warrant),
                Some(overseer),
                Some(record),
                Some(measured),
            ) if faults.is_empty() => {
                let (file, bytes) = (file.to_owned(), bytes.into());
                Ok(Self { file, bytes, heading, uuid, revision, warrant, overseer, record, measured })
            }
            _ => Err(DocumentError::new(file, faults)),
        }
    }

    /// Holds it against the warrant, what was measured, the probe's name and the signatures, at the moment at which it
    /// was handed in. It counts if the officer whom it names as the overseer signed it.
    ///
    /// # Errors
    /// The requirement that is not met.
    pub fn check(
        &self,
        warrant: &Warrant,
        measured: &Measured,
        signatures: &[Signature],
        roster: &Roster,
        identity: &ProbeIdentity,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut faults = self.heading.faults(identity, now);
        let remedy = "take the document as `writ warrant certify` prints it now, and sign that";
        if (self.uuid, self.revision, self.warrant) != (warrant.uuid(), warrant.revision(), warrant.digest()) {
            faults.push(Fault::new("warrant", "is not the revision in force", remedy));
        }
        if self.record != Record::of(warrant) {
            faults.push(Fault::new("record", "does not say what the warrant says", remedy));
        }
        // It may run on after the draft was printed, and so may have ended since.
        let as_drafted = Measured { ended: self.measured.ended.and(measured.ended), ..measured.clone() };
        if self.measured != as_drafted {
            faults.push(Fault::new("measured", "is not what was measured", remedy));
        }
        if roster.officer(&self.overseer).is_none() {
            let problem = format!("the roster has no officer {:?}", self.overseer);
            faults.push(Fault::new("overseer", problem, "name an officer as the roster writes them"));
        }
        if !faults.is_empty() {
            return Err(DocumentError::new(&self.file, faults).into());
        }
        let signers = roster.signers(signatures, CERTIFY, &self.bytes)?;
        if signers.iter().any(|officer| officer.name == self.overseer) {
            return Ok(());
        }
        Err(Refusal::Missing(Missing {
            file: self.file.clone(),
            namespace: CERTIFY,
            signed_by: signers.iter().map(|officer| officer.name.clone()).collect(),
            wanted: format!("the overseer, {}", self.overseer),
            lacks: vec![self.overseer.clone()],
        }))
    }

    /// The file it came in as, for messages.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The document's exact bytes: what is signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of [`Certification::bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// Which probe it is for, until when it may be signed, and the audit head at the time of the draft.
    pub fn heading(&self) -> &Heading {
        &self.heading
    }

    /// The warrant.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Its revision.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Digest of that revision.
    pub fn warrant(&self) -> Digest {
        self.warrant
    }

    /// The officer who oversaw the interception, and signs.
    pub fn overseer(&self) -> &str {
        &self.overseer
    }

    /// What identifies the lines, as the warrant names them.
    pub fn lines(&self) -> &[String] {
        &self.record.lines
    }

    /// The officer of the agency who presented the authorisation.
    pub fn presented_by(&self) -> &str {
        &self.record.presented_by
    }

    /// Who signed the authorisation.
    pub fn signed_by(&self) -> &str {
        &self.record.signed_by
    }

    /// The type of interception.
    pub fn authority(&self) -> Authority {
        self.record.authority
    }

    /// What was measured.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }
}
