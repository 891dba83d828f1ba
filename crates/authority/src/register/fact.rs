//! The facts that the state of all cases and rosters is made of, and the one place that writes them into records of the
//! audit log and reads them back. A record of any other act, and every refusal, is no fact: it changes nothing.

use super::hold::Doubt;
use crate::audit::{Act, Actor, Entry, Head, Outcome, Record, Subject};
use crate::digest::Digest;
use crate::incident::Telling;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use uuid::Uuid;

/// Something that happened. Documents are named by their digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// A version of the roster was installed.
    Roster { document: Digest, signatures: Vec<Digest> },
    /// A revision of a warrant was handed in.
    Submitted { uuid: Uuid, warrant: Digest, revision: u32, signatures: Vec<Digest> },
    /// More signatures for the revision that waits for them.
    Signed { uuid: Uuid, warrant: Digest, signatures: Vec<Digest> },
    /// A revocation was handed in.
    Revoked { uuid: Uuid, revocation: Digest, signatures: Vec<Digest> },
    /// The time is over.
    Expired { uuid: Uuid },
    /// It is in the kernel, put there by this program under this configuration.
    Armed { uuid: Uuid, software: String, configuration: Digest, clock_doubt_ms: Option<u32> },
    /// The interception has begun: `at` by capture's clock.
    Begun { uuid: Uuid, at: Timestamp },
    /// The interception has ended, or the probe has: `at` by capture's clock, with these figures.
    Stopped { uuid: Uuid, at: Timestamp, figures: BTreeMap<String, String> },
    /// A certification was handed in.
    Certified { uuid: Uuid, certification: Digest, signatures: Vec<Digest> },
    /// That a certification is overdue was said.
    Overdue { uuid: Uuid },
    /// The scanned order is in the archive, sealed.
    Attached { uuid: Uuid, order: Digest, sealed: Digest },
    /// The agency's digests of what was delivered, with its signature and the key that it was checked by.
    Countersigned { uuid: Uuid, digests: Digest, signature: Digest, key: Digest },
    /// The case is closed.
    Closed { uuid: Uuid },
    /// A notice about a case was written to a file of this name in the folder of notices.
    Noticed { uuid: Uuid, file: String },
    /// These documents and notices of a closed case were removed.
    Discarded { uuid: Uuid, papers: Vec<Digest>, notices: Vec<String> },
    /// The log has forgotten something, or may have. `found`: its end as it was found. `lost`: ends that somebody saw and
    /// it does not have.
    Held { doubt: Doubt, why: String, found: Head, lost: Vec<Head> },
    /// The end at which the log was found is the last that anybody saw.
    Released { found: Head },
    /// An incident was reported.
    Incident { incident: Uuid, document: Digest },
    /// An agency was told of an incident.
    Told { incident: Uuid, told: Telling },
}

const SIGNATURES: &str = "signatures";
const REVISION: &str = "revision";
const REVOCATION: &str = "revocation";
const CERTIFICATION: &str = "certification";
const ORDER: &str = "order";
const SEALED: &str = "sealed";
const DIGESTS: &str = "digests";
const KEY: &str = "key";
const SOFTWARE: &str = "software";
const CONFIGURATION: &str = "configuration";
const CLOCK_DOUBT: &str = "clock_doubt_ms";
const AT: &str = "at";
const WHY: &str = "why";
const LOST: &str = "lost";
const INCIDENT: &str = "incident";
const AGENCY: &str = "agency";
const BY: &str = "by";
const HOW: &str = "how";
const DOUBT: &str = "doubt";
const FOUND: &str = "found";
const FILE: &str = "file";
const PAPERS: &str = "papers";
const NOTICES: &str = "notices";

impl Fact {
    /// The case that it belongs to; none if it concerns all.
    pub(super) fn uuid(&self) -> Option<Uuid> {
        match self {
            Self::Roster { .. }
            | Self::Held { .. }
            | Self::Released { .. }
            | Self::Incident { .. }
            | Self::Told { .. } => None,
            Self::Submitted { uuid, .. }
            | Self::Signed { uuid, .. }
            | Self::Revoked { uuid, .. }
            | Self::Expired { uuid }
            | Self::Armed { uuid, .. }
            | Self::Begun { uuid, .. }
            | Self::Stopped { uuid, .. }
            | Self::Certified { uuid, .. }
            | Self::Overdue { uuid }
            | Self::Attached { uuid, .. }
            | Self::Countersigned { uuid, .. }
            | Self::Noticed { uuid, .. }
            | Self::Discarded { uuid, .. }
            | Self::Closed { uuid } => Some(*uuid),
        }
    }

    /// The document that was handed in with it and is its subject, if any.
    pub(super) fn document(&self) -> Option<Digest> {
        match self {
            Self::Roster { document, .. } | Self::Incident { document, .. } => Some(*document),
            Self::Submitted { warrant, .. } => Some(*warrant),
            _ => None,
        }
    }

    /// All papers that its record names: what must be in the archive for it to be believed.
    pub(super) fn papers(&self) -> Vec<Digest> {
        let with = |paper: &Digest, signatures: &[Digest]| [&[*paper], signatures].concat();
        match self {
            Self::Roster { document, signatures } => with(document, signatures),
            Self::Submitted { warrant, signatures, .. } | Self::Signed { warrant, signatures, .. } => {
                with(warrant, signatures)
            }
            Self::Revoked { revocation, signatures, .. } => with(revocation, signatures),
            Self::Certified { certification, signatures, .. } => with(certification, signatures),
            Self::Attached { sealed, .. } => vec![*sealed],
            Self::Armed { configuration, .. } => vec![*configuration],
            Self::Countersigned { digests, signature, key, .. } => vec![*digests, *signature, *key],
            Self::Incident { document, .. } => vec![*document],
            Self::Expired { .. }
            | Self::Begun { .. }
            | Self::Stopped { .. }
            | Self::Overdue { .. }
            | Self::Closed { .. }
            | Self::Noticed { .. }
            | Self::Discarded { .. }
            | Self::Held { .. }
            | Self::Released { .. }
            | Self::Told { .. } => Vec::new(),
        }
    }

    /// What its record is called.
    pub(super) fn act(&self) -> Act {
        match self {
            Self::Roster { .. } => Act::RosterInstall,
            Self::Submitted { .. } => Act::WarrantSubmit,
            Self::Signed { .. } => Act::WarrantApprove,
            Self::Revoked { .. } => Act::WarrantRevoke,
            Self::Expired { .. } => Act::WarrantExpire,
            Self::Armed { .. } => Act::WarrantArm,
            Self::Begun { .. } => Act::InterceptStart,
            Self::Stopped { .. } => Act::InterceptStop,
            Self::Certified { .. } => Act::WarrantCertify,
            Self::Overdue { .. } => Act::CertificationOverdue,
            Self::Attached { .. } => Act::OrderAttach,
            Self::Countersigned { .. } => Act::DigestsCountersign,
            Self::Closed { .. } => Act::WarrantClose,
            Self::Noticed { .. } => Act::Notice,
            Self::Discarded { .. } => Act::RecordsDiscard,
            Self::Held { doubt: Doubt::Restore, .. } => Act::StoreRestore,
            Self::Held { .. } => Act::StoreHold,
            Self::Incident { .. } => Act::Incident,
            Self::Told { .. } => Act::IncidentTold,
            Self::Released { .. } => Act::StoreRelease,
        }
    }

    /// The record to be written. `warrant` is the digest of the case's warrant, where that is known; `notes` are for
    /// whoever reads the log, and are not read back.
    pub(super) fn entry(&self, actor: Actor, warrant: Option<Digest>, notes: Vec<(String, String)>) -> Entry {
        let mut details: BTreeMap<String, String> = notes.into_iter().collect();
        let mut note = |key: &str, value: String| details.insert(key.to_owned(), value);
        let mut sha256 = warrant;
        match self {
            Self::Roster { document, signatures } => {
                sha256 = Some(*document);
                note(SIGNATURES, list(signatures));
            }
            Self::Submitted { warrant, revision, signatures, .. } => {
                sha256 = Some(*warrant);
                note(REVISION, revision.to_string());
                note(SIGNATURES, list(signatures));
            }
            Self::Signed { warrant, signatures, .. } => {
                sha256 = Some(*warrant);
                note(SIGNATURES, list(signatures));
            }
            Self::Revoked { revocation, signatures, .. } => {
                note(REVOCATION, revocation.to_string());
                note(SIGNATURES, list(signatures));
            }
            Self::Certified { certification, signatures, .. } => {
                note(CERTIFICATION, certification.to_string());
                note(SIGNATURES, list(signatures));
            }
            Self::Attached { order, sealed, .. } => {
                note(ORDER, order.to_string());
                note(SEALED, sealed.to_string());
            }
            Self::Countersigned { digests, signature, key, .. } => {
                note(DIGESTS, digests.to_string());
                note(SIGNATURES, signature.to_string());
                note(KEY, key.to_string());
            }
            Self::Armed { software, configuration, clock_doubt_ms, .. } => {
                note(SOFTWARE, software.clone());
                note(CONFIGURATION, configuration.to_string());
                if let Some(doubt) = clock_doubt_ms {
                    note(CLOCK_DOUBT, doubt.to_string());
                }
            }
            Self::Begun { at, .. } => {
                note(AT, at.to_string());
            }
            Self::Stopped { at, figures, .. } => {
                note(AT, at.to_string());
                details.extend(figures.clone());
            }
            Self::Noticed { file, .. } => {
                note(FILE, file.clone());
            }
            Self::Discarded { papers, notices, .. } => {
                note(PAPERS, list(papers));
                note(NOTICES, notices.join(" "));
            }
            Self::Held { doubt, why, found, lost } => {
                note(DOUBT, doubt.as_str().to_owned());
                note(WHY, why.clone());
                note(FOUND, written(found));
                note(LOST, lost.iter().map(written).collect::<Vec<_>>().join(" "));
            }
            Self::Released { found } => {
                note(FOUND, written(found));
            }
            Self::Incident { incident, document } => {
                sha256 = Some(*document);
                note(INCIDENT, incident.to_string());
            }
            Self::Told { incident, told } => {
                note(INCIDENT, incident.to_string());
                note(AGENCY, told.agency.clone());
                note(BY, told.by.clone());
                note(HOW, told.how.clone());
                note(AT, told.at.to_string());
            }
            Self::Expired { .. } | Self::Overdue { .. } | Self::Closed { .. } => {}
        }
        let uuid = self.uuid();
        let subject = (uuid.is_some() || sha256.is_some()).then_some(Subject { uuid, sha256 });
        Entry { act: self.act(), outcome: Outcome::Done, actor, subject, details }
    }

    /// The fact that a record tells of; none if it tells of none. The error names what a record of this act lacks.
    pub(super) fn read(record: &Record) -> Result<Option<Self>, String> {
        let Some(act) = Act::of(&record.act).filter(|_| record.outcome == Outcome::Done) else { return Ok(None) };
        let subject = record.subject.as_ref();
        let uuid = || subject.and_then(|subject| subject.uuid).ok_or_else(|| lacks("uuid"));
        let sha256 = || subject.and_then(|subject| subject.sha256).ok_or_else(|| lacks("sha256"));
        let digest = |key| detail::<Digest>(record, key);
        let signatures = || digests(record, SIGNATURES);
        Ok(Some(match act {
            Act::RosterInstall => Self::Roster { document: sha256()?, signatures: signatures()? },
            Act::WarrantSubmit => Self::Submitted {
                uuid: uuid()?,
                warrant: sha256()?,
                revision: detail(record, REVISION)?,
                signatures: signatures()?,
            },
            Act::WarrantApprove => Self::Signed { uuid: uuid()?, warrant: sha256()?, signatures: signatures()? },
            Act::WarrantRevoke => {
                Self::Revoked { uuid: uuid()?, revocation: digest(REVOCATION)?, signatures: signatures()? }
            }
            Act::WarrantExpire => Self::Expired { uuid: uuid()? },
            Act::WarrantArm => Self::Armed {
                uuid: uuid()?,
                software: detail(record, SOFTWARE)?,
                configuration: digest(CONFIGURATION)?,
                clock_doubt_ms: record
                    .details
                    .contains_key(CLOCK_DOUBT)
                    .then(|| detail(record, CLOCK_DOUBT))
                    .transpose()?,
            },
            Act::InterceptStart => Self::Begun { uuid: uuid()?, at: detail(record, AT)? },
            Act::InterceptStop => {
                let figures = record.details.iter().filter(|(key, _)| *key != AT);
                let figures = figures.map(|(key, figure)| (key.clone(), figure.clone())).collect();
                Self::Stopped { uuid: uuid()?, at: detail(record, AT)?, figures }
            }
            Act::WarrantCertify => {
                Self::Certified { uuid: uuid()?, certification: digest(CERTIFICATION)?, signatures: signatures()? }
            }
            Act::CertificationOverdue => Self::Overdue { uuid: uuid()? },
            Act::OrderAttach => Self::Attached { uuid: uuid()?, order: digest(ORDER)?, sealed: digest(SEALED)? },
            Act::DigestsCountersign => Self::Countersigned {
                uuid: uuid()?,
                digests: digest(DIGESTS)?,
                signature: digest(SIGNATURES)?,
                key: digest(KEY)?,
            },
            Act::WarrantClose => Self::Closed { uuid: uuid()? },
            Act::Notice => Self::Noticed { uuid: uuid()?, file: plain_name(&detail::<String>(record, FILE)?)? },
            Act::RecordsDiscard => {
                let notices = detail::<String>(record, NOTICES)?;
                let notices = notices.split_whitespace().map(plain_name).collect::<Result<_, _>>()?;
                Self::Discarded { uuid: uuid()?, papers: digests(record, PAPERS)?, notices }
            }
            Act::StoreHold | Act::StoreRestore => Self::Held {
                doubt: detail(record, DOUBT)?,
                why: detail(record, WHY)?,
                found: head(&detail::<String>(record, FOUND)?).ok_or_else(|| lacks(FOUND))?,
                lost: heads(record)?,
            },
            Act::StoreRelease => {
                Self::Released { found: head(&detail::<String>(record, FOUND)?).ok_or_else(|| lacks(FOUND))? }
            }
            Act::Incident => Self::Incident { incident: detail(record, INCIDENT)?, document: sha256()? },
            Act::IncidentTold => Self::Told {
                incident: detail(record, INCIDENT)?,
                told: Telling {
                    agency: detail(record, AGENCY)?,
                    by: detail(record, BY)?,
                    how: detail(record, HOW)?,
                    at: detail(record, AT)?,
                },
            },
            _ => return Ok(None),
        }))
    }
}

fn lacks(what: &str) -> String {
    format!("the record lacks {what}, or it is unreadable: it was written by another version of this program")
}

fn detail<T: FromStr>(record: &Record, key: &str) -> Result<T, String> {
    record.details.get(key).and_then(|value| value.parse().ok()).ok_or_else(|| lacks(key))
}

fn list(digests: &[Digest]) -> String {
    digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(" ")
}

fn digests(record: &Record, key: &str) -> Result<Vec<Digest>, String> {
    let text = record.details.get(key).ok_or_else(|| lacks(key))?;
    text.split_whitespace().map(|digest| digest.parse().map_err(|_| lacks(key))).collect()
}

fn written(head: &Head) -> String {
    format!("{}:{}", head.number, head.hash)
}

fn head(text: &str) -> Option<Head> {
    let (number, hash) = text.split_once(':')?;
    Some(Head { number: number.parse().ok()?, hash: hash.parse().ok()? })
}

fn heads(record: &Record) -> Result<Vec<Head>, String> {
    let text = record.details.get(LOST).ok_or_else(|| lacks(LOST))?;
    text.split_whitespace().map(|text| head(text).ok_or_else(|| lacks(LOST))).collect()
}

/// A name of a file in a folder that is known: it leads nowhere else.
fn plain_name(text: &str) -> Result<String, String> {
    let name = Path::new(text).file_name().and_then(|name| name.to_str());
    name.filter(|name| *name == text).map(str::to_owned).ok_or_else(|| lacks(FILE))
}
