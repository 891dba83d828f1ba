//! The export of a case: everything that a court or an auditor asks for, in one archive that the probe's key signs. It is
//! made of the audit log and the documents alone, beside what the caller adds (figures, configuration), and holds no
//! content, no key, and nothing of another case.
//!
//! [`CaseExport::write`] makes it from a state directory, while the log may be growing; [`check_export`] says of an archive
//! what holds and how far, from the file and public keys alone.

mod check;
mod pack;
mod text;
mod trail;

pub use check::{Trust, Verdict, check_export};
pub use pack::Member;

use crate::approval::ProbeIdentity;
use crate::archive::{Archive, ArchiveError, Original};
use crate::audit::{Act, AuditError, Head, Outcome, Record, each_line_to};
use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::checkpoint_key::CheckpointKey;
use crate::digest::Digest;
use crate::incident::Incident;
use crate::register::replay::{Concerns, Replay, concerns, papers};
use crate::register::{AUDIT_LOG, DOCUMENTS};
use crate::warrant::Warrant;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use trail::Trail;
use uuid::Uuid;

/// What the archive is, in its `export.json`.
const FORMAT: &str = "writ-case-export-1";
/// The records.
const RECORDS: &str = "audit/records.jsonl";
/// The checkpoints.
const CHECKPOINTS: &str = "audit/checkpoints.jsonl";
/// The probe's public key.
const PROBE_KEY: &str = "audit/probe.pub";
/// The officers' keys, for ssh-keygen.
const SIGNERS: &str = "documents/allowed_signers";
/// What is exported of which probe.
const ABOUT: &str = "export.json";

/// Acts of the machine that name no case: they show under which circumstances a case ran.
const MACHINE: [Act; 7] = [
    Act::ProbeStart,
    Act::ProbeStop,
    Act::RoleRestart,
    Act::ClockDoubt,
    Act::LogDoubt,
    Act::LogRecover,
    Act::TablesForeign,
];

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The audit log cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The probe's checkpoints cannot be read.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The log does not have the record up to which it was to go.
    #[error("the audit log does not have record {0}; see `writ audit verify`")]
    Log(u64),
    /// The digests of what was delivered cannot be read.
    #[error("the digests of what was delivered cannot be read: {0}")]
    Delivered(std::io::Error),
    /// The probe's key does not sign.
    #[error("the probe's key does not sign: {0}")]
    Signature(ssh_key::Error),
    /// The archive cannot be written.
    #[error("the archive cannot be written: {0}")]
    Archive(std::io::Error),
}

/// A case to be exported, and whence.
#[derive(Debug)]
pub struct CaseExport {
    /// The probe's state directory.
    pub folder: PathBuf,
    /// Which probe it is.
    pub identity: ProbeIdentity,
    /// The case.
    pub uuid: Uuid,
    /// Number of the last record that is looked at.
    pub until: u64,
    /// The moment.
    pub at: Timestamp,
    /// The probe's key, which signs.
    pub key: CheckpointKey,
    /// The probe's checkpoints, a file.
    pub checkpoints: PathBuf,
    /// Digests of what was delivered, a file; it need not be there.
    pub delivered: PathBuf,
    /// Files to be put beside the documents and records: figures, configuration and so on.
    pub beside: Vec<Member>,
    /// Names that are another's: a refusal that quotes one is not shown.
    pub foreign: BTreeSet<String>,
}

/// `export.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    format: String,
    case: Uuid,
    operator: String,
    probe: String,
    made_at: Timestamp,
    until: Head,
    records_shown: usize,
}

/// What a first reading of the log finds.
#[derive(Debug, Default)]
struct Survey {
    /// Number of the first record that is shown: the start of the probe before the case was opened.
    first: u64,
    is_opened: bool,
    own: Vec<Digest>,
    others: Vec<(Uuid, Option<Digest>)>,
    /// Incidents by their documents.
    incidents: BTreeMap<Uuid, Digest>,
}

/// How much of a record is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// All of it.
    Whole,
    /// Its link: it is about something else.
    Hidden,
    /// Its link, although it is of the case: it quotes another.
    Quotes,
}

/// A document or a signature in the archive, with the record that it came with.
#[derive(Debug)]
struct Filed {
    record: u64,
    kind: &'static str,
    /// A document; else a signature over the document of the same kind before it.
    is_document: bool,
    path: String,
    digest: Digest,
}

impl CaseExport {
    /// Makes the archive.
    ///
    /// # Errors
    /// What cannot be read or signed. A document that is missing is no error: the archive says so.
    pub fn write(self) -> Result<Vec<u8>, ExportError> {
        let log = self.folder.join(AUDIT_LOG);
        let archive = Archive::at(&self.folder.join(DOCUMENTS));
        let survey = self.survey(&log)?;
        let foreign = self.foreign_names(&survey, &archive);
        let (whole, shared) = self.incidents(&survey, &archive);
        let mut quoting = Vec::new();
        let trail = Trail::cut(&log, self.until, |record| {
            let sight = self.sight(record, &survey, &foreign, &whole);
            if sight == Sight::Quotes {
                quoting.push(record.number);
            }
            sight == Sight::Whole
        })?;
        if trail.head().number != self.until {
            return Err(ExportError::Log(self.until));
        }
        let mut members = self.beside;
        let delivered = delivered(&self.delivered, self.uuid).map_err(ExportError::Delivered)?;
        if !delivered.is_empty() {
            members.push(Member::new("digests/delivered.jsonl", delivered));
        }
        let filed = filed(trail.records());
        let mut originals = Vec::new();
        let mut missing = Vec::new();
        for it in &filed {
            match archive.get(it.digest) {
                Ok(original) => originals.push(Original::new(&it.path, original.bytes)),
                Err(ArchiveError::Missing(_) | ArchiveError::Altered(_) | ArchiveError::Io { .. }) => {
                    missing.push(it.path.as_str());
                }
            }
        }
        let replay = replay(self.identity.clone(), &trail, &originals);
        let circumstances = text::Circumstances {
            uuid: self.uuid,
            identity: &self.identity,
            at: self.at,
            trail: &trail,
            replay: &replay,
            filed: &filed,
            originals: &originals,
            missing: &missing,
            shared_incidents: &shared,
            quoting: &quoting,
            beside: &members,
        };
        let (readme, declaration) = (circumstances.readme(), circumstances.declaration());
        let about = About {
            format: FORMAT.to_owned(),
            case: self.uuid,
            operator: self.identity.operator.clone(),
            probe: self.identity.probe.clone(),
            made_at: self.at,
            until: trail.head(),
            records_shown: trail.records().count(),
        };
        let public = self.key.public();
        let signers = text::allowed_signers(&replay, &public);
        members.extend([
            Member::new("README.txt", readme),
            Member::new("declaration-draft.txt", declaration),
            Member::new(ABOUT, json(&about)),
            Member::new("clock.json", json(&clock(&trail))),
            Member::new(CHECKPOINTS, covering(&self.checkpoints, &trail)?),
            Member::new(PROBE_KEY, format!("{public}\n")),
            Member::new(SIGNERS, signers),
        ]);
        members.extend(originals.into_iter().map(|it| Member::new(it.name.display().to_string(), it.bytes)));
        members.push(Member::new(RECORDS, trail.text));
        pack::pack(&format!("writ-case-{}", self.uuid), members, &self.key, self.at)
    }

    fn survey(&self, log: &std::path::Path) -> Result<Survey, ExportError> {
        let mut survey = Survey::default();
        each_line_to(log, self.until, |_, _, record| {
            if record.act == Act::ProbeStart.as_str() && !survey.is_opened {
                survey.first = record.number;
            }
            let document = papers(&record).and_then(|papers| papers.document);
            match concerns(&record) {
                Concerns::Case(uuid) if uuid == self.uuid => {
                    survey.is_opened = true;
                    survey.own.extend(document);
                }
                Concerns::Case(uuid) => survey.others.push((uuid, document)),
                Concerns::Incident(uuid) => survey.incidents.extend(document.map(|document| (uuid, document))),
                Concerns::All | Concerns::Nothing => {}
            }
        })?;
        Ok(survey)
    }

    /// What names another case or somebody of it, and nothing of this one.
    fn foreign_names(&self, survey: &Survey, archive: &Archive) -> BTreeSet<String> {
        let names = |digest: &Digest| {
            let paper = archive.get(*digest).ok()?;
            Warrant::parse(&paper.bytes, &paper.name).ok().map(|warrant| names_in(&warrant))
        };
        let mut foreign = self.foreign.clone();
        for (uuid, document) in &survey.others {
            foreign.insert(uuid.to_string());
            foreign.extend(document.as_ref().and_then(names).into_iter().flatten());
        }
        let own: BTreeSet<_> = survey.own.iter().filter_map(names).flatten().collect();
        &foreign - &own
    }

    /// The incidents that concern this case and no other, and those that concern others as well.
    fn incidents(&self, survey: &Survey, archive: &Archive) -> (BTreeSet<Uuid>, Vec<Digest>) {
        let (mut whole, mut shared) = (BTreeSet::new(), Vec::new());
        for (uuid, document) in &survey.incidents {
            let paper = archive.get(*document).ok();
            let Some(incident) = paper.and_then(|it| Incident::parse(&it.bytes, &it.name).ok()) else { continue };
            match incident.cases() {
                [case] if *case == self.uuid => drop(whole.insert(*uuid)),
                cases if cases.contains(&self.uuid) => shared.push(*document),
                _ => {}
            }
        }
        (whole, shared)
    }

    fn sight(&self, record: &Record, survey: &Survey, foreign: &BTreeSet<String>, incidents: &BTreeSet<Uuid>) -> Sight {
        let whole_if = |is_shown| if is_shown { Sight::Whole } else { Sight::Hidden };
        let is_own = record.subject.as_ref().and_then(|subject| subject.uuid) == Some(self.uuid);
        match concerns(record) {
            Concerns::Incident(uuid) => whole_if(incidents.contains(&uuid)),
            Concerns::Case(uuid) => whole_if(uuid == self.uuid),
            Concerns::All => Sight::Whole,
            // A refusal quotes what was handed in, or says what else there is.
            Concerns::Nothing if is_own => {
                let quotes = || record.details.values().any(|text| names_any(text, foreign));
                if record.outcome != Outcome::Done && quotes() { Sight::Quotes } else { Sight::Whole }
            }
            Concerns::Nothing => {
                let is_machine = Act::of(&record.act).is_some_and(|act| MACHINE.contains(&act));
                whole_if(is_machine && record.subject.is_none() && record.number >= survey.first)
            }
        }
    }
}

/// The fold over what is shown.
fn replay(identity: ProbeIdentity, trail: &Trail, originals: &[Original]) -> Replay {
    let mut replay = Replay::new(identity);
    for line in &trail.lines {
        match &line.record {
            Some(record) => replay.take(line.hash, record, originals),
            None => replay.pass(line.hash),
        }
    }
    replay
}

/// Where each document and signature lies that these records name.
fn filed<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Filed> {
    let mut filed = Vec::new();
    for record in records {
        filed.extend(countersigned(record));
        let Some(papers) = papers(record) else { continue };
        let number = record.number;
        let stem = format!("documents/{number:06}-{}", papers.kind);
        let mut file = |is_document, path, digest| {
            filed.push(Filed { record: number, kind: papers.kind, is_document, path, digest });
        };
        if let Some(document) = papers.document {
            file(true, format!("{stem}.toml"), document);
        }
        for (place, signature) in (1..).zip(&papers.signatures) {
            file(false, format!("{stem}.{place}.sig"), *signature);
        }
    }
    filed
}

/// What an agency countersigned, as a record names it: its digests, its signature, its key.
fn countersigned(record: &Record) -> Vec<Filed> {
    if (record.act.as_str(), record.outcome) != ("digests-countersign", Outcome::Done) {
        return Vec::new();
    }
    let file = |(key, ending): (&str, &str)| {
        let digest = record.details.get(key)?.parse().ok()?;
        let path = format!("countersigned/{:06}-digests.{ending}", record.number);
        Some(Filed { record: record.number, kind: "countersigned", is_document: true, path, digest })
    };
    [("digests", "jsonl"), ("signatures", "sig"), ("key", "pub")].into_iter().filter_map(file).collect()
}

/// The lines of a case in the file of digests, byte for byte.
fn delivered(file: &std::path::Path, uuid: Uuid) -> std::io::Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct Line {
        warrant: String,
    }
    let file = match File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let (name, mut own) = (uuid.to_string(), Vec::new());
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        // What a crash cut short is no line; the whole one follows.
        if serde_json::from_slice::<Line>(&line).is_ok_and(|it| it.warrant == name) {
            own.extend(line);
            own.push(b'\n');
        }
    }
    Ok(own)
}

/// What names the case of a warrant, or somebody of it.
fn names_in(warrant: &Warrant) -> BTreeSet<String> {
    let order = warrant.order();
    let mut names = BTreeSet::from([
        warrant.uuid().to_string(),
        order.agency.clone(),
        order.presented_by.clone(),
        warrant.compartment().to_string(),
    ]);
    names.extend(order.docket.clone());
    for target in warrant.targets() {
        names.extend([target.criteria.to_string(), target.subscriber.clone()]);
    }
    for delivery in warrant.deliveries() {
        names.extend([delivery.destination.clone(), delivery.case_id.to_string()]);
        names.extend(delivery.content_identifier.as_ref().map(ToString::to_string));
    }
    names
}

/// Whether a text has one of these names, as a word of its own.
fn names_any(text: &str, names: &BTreeSet<String>) -> bool {
    let is_edge = |next: Option<char>| next.is_none_or(|next| !next.is_alphanumeric());
    let is_named = |name: &String| {
        text.match_indices(name.as_str())
            .any(|(at, _)| is_edge(text[..at].chars().next_back()) && is_edge(text[at + name.len()..].chars().next()))
    };
    names.iter().any(is_named)
}

/// What the records shown say of the clock.
fn clock(trail: &Trail) -> serde_json::Value {
    let said = trail.records().filter_map(|record| {
        let is_doubt = record.act == Act::ClockDoubt.as_str();
        let of_clock = |(key, _): &(&String, &String)| is_doubt || key.starts_with("clock_");
        let details: BTreeMap<_, _> = record.details.iter().filter(of_clock).collect();
        let line = || {
            serde_json::json!({
                "record": record.number, "time": record.time, "act": record.act, "measured": details,
            })
        };
        (is_doubt || !details.is_empty()).then(line)
    });
    serde_json::Value::Array(said.collect())
}

/// The checkpoints that cover what is shown: the newest, and for each record shown the first that saw it.
fn covering(file: &std::path::Path, trail: &Trail) -> Result<Vec<u8>, ExportError> {
    let error = |source| CheckpointError { file: file.to_owned(), source };
    let lines = match File::open(file) {
        Ok(opened) => BufReader::new(opened).lines(),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(error(source).into()),
    };
    let mut text = String::new();
    let mut shown = trail.records().map(|record| record.number).peekable();
    let mut newest = None;
    for line in lines {
        let line = line.map_err(error)?;
        let Ok(signed) = SignedCheckpoint::parse(line.as_bytes()) else { continue };
        let head = signed.checkpoint().head();
        if head.number > trail.head().number {
            break;
        }
        let covers = shown.peek().is_some_and(|record| *record <= head.number);
        while shown.next_if(|record| *record <= head.number).is_some() {}
        newest = (!covers).then_some(line.clone());
        if covers {
            text.push_str(&format!("{line}\n"));
        }
    }
    text.extend(newest.map(|line| format!("{line}\n")));
    Ok(text.into_bytes())
}

/// A value for a file, in lines.
fn json(value: &impl Serialize) -> Vec<u8> {
    // Values of this module have texts as keys: nothing of them can fail to be written.
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}
