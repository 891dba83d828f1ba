//! The register: all that the probe must not forget of orders. It is two things below the state directory: the audit log,
//! and the folder of documents that its records name by their digests. The state of all cases is a fold over the log; the
//! same rules judge what is handed in before its record is written, and the record when the log is read at the next
//! start. So there is no moment at which state and log could differ: a crash leaves a record or none, an altered
//! document no longer fits its name, and an older state is an older log, which any end of it that was seen outside shows.
//!
//! Whatever cannot be recorded is not done. Only stopping is never held up by that.

mod acts;
mod application;
mod case;
mod discard;
mod fact;
mod hold;
mod incidents;
mod left;
mod named;
pub(crate) mod replay;
mod rules;
mod state;

pub use acts::{Activation, Revoked, Stop};
pub use application::{Application, ApplicationsDue};
pub use case::{Agreed, Case, Certified, Enabled, Ending, Force, Phase, Rank, Revision, Submission};
pub use hold::{Doubt, Hold, releasable};
pub use incidents::Reported;
pub(crate) use named::named_papers;

use crate::approval::{ApprovedWarrant, ProbeIdentity, Standing, judge};
use crate::archive::{Archive, ArchiveError, Original};
use crate::audit::{Act, Actor, AuditError, AuditLog, Entry, Head, Outcome, Subject};
use crate::digest::Digest;
use crate::roster::TrustedRoster;
use crate::seal::{CaseKeys, SealError};
use crate::signature::Signature;
use crate::warrant::Warrant;
use fact::Fact;
use jiff::Timestamp;
use state::{Change, Objection, Originals, State};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The audit log, below the state directory.
pub const AUDIT_LOG: &str = "audit.jsonl";
/// The folder of documents, below the state directory.
pub const DOCUMENTS: &str = "documents";
/// The keys of the cases, below the state directory.
const KEYS: &str = "keys";
/// Notices to people, below the state directory.
pub(crate) const NOTICES: &str = "notices";

/// A document with its signatures, as somebody hands it in.
#[derive(Clone, Debug)]
pub struct HandedIn {
    /// The document.
    pub document: Original,
    /// Its signatures.
    pub signatures: Vec<Original>,
}

/// Something that was found wrong when the register was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The case that it concerns; none if it concerns all.
    pub case: Option<Uuid>,
    /// What is wrong and what to do. It may quote a document.
    pub problem: String,
}

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It may not be: every reason, each with what would help. The refusal is in the log.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// It cannot be recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A document cannot be kept, or is not there.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Something cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A notice cannot be written.
    #[error("{}: {source}; check the folder's owner, mode and free space", file.display())]
    Notice {
        /// Where to.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Something that would stand if it were recorded; [`Register::enact`] does that. Until then nothing has happened.
#[derive(Debug)]
pub struct Proposal {
    fact: Fact,
    papers: Vec<Original>,
    case: Case,
}

impl Proposal {
    /// The case as it would be.
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// The revision that was handed in.
    pub fn warrant(&self) -> Option<&Warrant> {
        match self.fact {
            Fact::Submitted { warrant, .. } | Fact::Signed { warrant, .. } => self.case.revision(warrant),
            _ => None,
        }
    }

    /// What the kernel would be told.
    pub fn force(&self, now: Timestamp) -> Option<Force> {
        self.case.force(now)
    }
}

/// What the installation of a roster did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterChange {
    /// Its version.
    pub version: u32,
    /// Who signed it.
    pub signed_by: Vec<String>,
    /// Cases that ended because their approvals hung on keys that are no longer in it.
    pub ended: Vec<Uuid>,
}

/// See the module.
#[derive(Debug)]
pub struct Register {
    folder: PathBuf,
    audit: AuditLog,
    archive: Archive,
    keys: CaseKeys,
    state: State,
    /// The end of the log as it was found.
    found: Head,
    /// Cases whose revocations a crash had torn from the log, and that ended when it was opened.
    ended_at_opening: Vec<Uuid>,
    /// Cases that ended although the disk did not take that.
    unrecorded: BTreeMap<Uuid, Case>,
}

impl Register {
    /// Reads the log, and every document that it names, in the state directory `folder`. A case whose documents are
    /// missing or altered is damaged: nothing is taken under it, and the others are not touched by it. A log that
    /// somebody has seen further than it goes holds everything. A revocation that a crash tore from the log's end is
    /// carried out now. What is wrong is among the findings.
    pub fn open(folder: &Path, identity: ProbeIdentity, now: Timestamp) -> Result<(Self, Vec<Finding>), RegisterError> {
        let archive = Archive::open(&folder.join(DOCUMENTS))?;
        let keys = CaseKeys::open(&folder.join(KEYS))?;
        let mut state = State::new(identity);
        let papers = Originals { archive: Some(&archive), handed_in: &[] };
        let mut findings = Vec::new();
        let audit = AuditLog::open_reading(&folder.join(AUDIT_LOG), now, |hash, record| {
            let moment = state.recorded(hash, record.time);
            let found = |case, problem: &str| Finding { case, problem: format!("record {}: {problem}", record.number) };
            match Fact::read(record) {
                Ok(None) => {}
                Ok(Some(fact)) => {
                    state.named.note(&fact);
                    match state.next(&fact, moment, &papers) {
                        Ok(change) => {
                            if let Some(change) = change {
                                state.take(change, moment);
                            }
                        }
                        Err(objection) => {
                            let problem = objection.reasons.join("; ");
                            let is_known = |uuid| state.case(uuid).is_some_and(|case| case.damage().is_some());
                            if !fact.uuid().is_some_and(is_known) {
                                findings.push(found(fact.uuid(), &problem));
                            }
                            state.spoil(&fact, moment, problem);
                        }
                    }
                }
                Err(problem) => {
                    let uuid = record.subject.as_ref().and_then(|subject| subject.uuid);
                    findings.push(found(uuid, &problem));
                    state.spoil_record(uuid, moment, problem);
                }
            }
        })?;
        // What was removed on purpose is not missing.
        let is_kept = |uuid| state.case(uuid).is_none_or(|case| case.discarded().is_none());
        findings.retain(|finding| finding.case.is_none_or(is_kept));
        let (found, unrecorded, ended_at_opening) = (audit.head(), BTreeMap::new(), Vec::new());
        let mut register =
            Self { folder: folder.to_owned(), audit, archive, keys, state, found, ended_at_opening, unrecorded };
        register.destroy_left_keys()?;
        register.remove_left_papers()?;
        findings.extend(register.hold_if_papers_saw_more(now)?);
        findings.extend(register.carry_out_left_revocations(now)?);
        Ok((register, findings))
    }

    /// All cases.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.state.cases().map(|case| self.unrecorded.get(&case.uuid()).unwrap_or(case))
    }

    /// A case.
    pub fn case(&self, uuid: Uuid) -> Option<&Case> {
        self.unrecorded.get(&uuid).or_else(|| self.state.case(uuid))
    }

    /// What the kernel may be told at `now`, in the order in which the cases were opened.
    pub fn in_force(&self, now: Timestamp) -> Vec<Force> {
        let recorded = self.state.in_force(now).filter(|force| !self.unrecorded.contains_key(&force.uuid));
        let mut in_force: Vec<_> = recorded.collect();
        in_force.sort_by_key(|force| self.state.case(force.uuid).map(Case::opened));
        in_force
    }

    /// When the next revision of a case takes the place of the one in force by its start alone, or is about to.
    pub fn next_succession(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.clock(now);
        let latest = self.state.cases().filter(|case| case.ending().is_none()).filter_map(Case::latest);
        let starts = latest.map(|latest| latest.warrant.warrant()).filter(|warrant| warrant.revision() > 1);
        let moments = starts.map(|warrant| warrant.window().start()).flat_map(|start| {
            let lead = start.saturating_sub(case::LEAD).unwrap_or(start);
            [lead, start]
        });
        moments.filter(|moment| *moment > at).min()
    }

    /// The roster in force; none if there is none, or if it is damaged.
    pub fn roster(&self) -> Option<&TrustedRoster> {
        self.state.roster().ok()
    }

    /// All versions of the roster.
    pub fn rosters(&self) -> &[TrustedRoster] {
        self.state.rosters()
    }

    /// The end of the log.
    pub fn head(&self) -> Head {
        self.audit.head()
    }

    /// Whether the log has a record of this number and hash.
    pub fn has(&self, head: Head) -> bool {
        self.state.has(head)
    }

    /// The time that counts at `now`: never earlier than that of a record.
    pub fn clock(&self, now: Timestamp) -> Timestamp {
        self.state.clock(now)
    }

    /// A document of the archive.
    pub fn document(&self, digest: Digest) -> Result<Original, ArchiveError> {
        self.archive.get(digest)
    }

    /// Keeps a text that records name by its digest and that nobody hands in, such as the configuration in force.
    pub fn keep(&self, bytes: &[u8]) -> Result<Digest, ArchiveError> {
        self.archive.put(bytes)
    }

    /// Records an act that changes no case, or that was refused.
    pub fn record(&mut self, entry: &Entry, now: Timestamp) -> Result<(), AuditError> {
        let head = self.audit.append(now, entry)?;
        self.state.recorded(head.hash, now);
        Ok(())
    }

    /// Puts a roster in force.
    pub fn install_roster(
        &mut self,
        handed: HandedIn,
        actor: Actor,
        now: Timestamp,
    ) -> Result<RosterChange, RegisterError> {
        let (papers, signatures) = papers(handed);
        let document = papers[0].digest();
        let fact = Fact::Roster { document, signatures };
        let change = self.judge(&fact, &papers, actor.clone(), now)?;
        let done = match change {
            Some(Change::Roster { trusted, unvouched }) => RosterChange {
                version: trusted.roster().version(),
                signed_by: trusted.signed_by().to_vec(),
                ended: unvouched,
            },
            _ => RosterChange { version: 0, signed_by: Vec::new(), ended: Vec::new() },
        };
        // How many, not which: this record stands in the exports of all cases. Which, the roster and their approvals say.
        let ended = done.ended.len().to_string();
        let notes = [("version", done.version.to_string()), ("signed_by", done.signed_by.join(", ")), ("ended", ended)];
        self.write(&fact, &papers, actor, notes, now)?;
        Ok(done)
    }

    /// Judges a revision of a warrant that is handed in, or handed in once more with other signatures. The refusal, if
    /// it is one, is recorded.
    pub fn submit(&mut self, handed: HandedIn, actor: Actor, now: Timestamp) -> Result<Proposal, RegisterError> {
        let (papers, signatures) = papers(handed);
        let warrant = match Warrant::parse(&papers[0].bytes, &papers[0].name) {
            Ok(warrant) => warrant,
            Err(error) => {
                let subject = Subject { uuid: None, sha256: Some(papers[0].digest()) };
                return Err(self.refuse(Act::WarrantSubmit, Some(subject), lines(&error), actor, now));
            }
        };
        let (uuid, digest, revision) = (warrant.uuid(), warrant.digest(), warrant.revision());
        let waiting = self.state.case(uuid).and_then(Case::waiting);
        let fact = match waiting.filter(|waiting| waiting.warrant.digest() == digest) {
            Some(_) => Fact::Signed { uuid, warrant: digest, signatures },
            None => Fact::Submitted { uuid, warrant: digest, revision, signatures },
        };
        self.propose(fact, papers, actor, now)
    }

    /// Judges a warrant as [`Register::submit`] does, but for its dates and for what its author saw of the log: nothing
    /// follows from it, so it may be one of the past.
    ///
    /// # Errors
    /// Every reason why it could not be put in force. It is not recorded.
    pub fn rehearse(&self, handed: &HandedIn) -> Result<ApprovedWarrant, Vec<String>> {
        let Original { name, bytes } = &handed.document;
        let warrant = Warrant::parse(bytes, name).map_err(|error| lines(&error))?;
        let signatures: Result<Vec<_>, _> =
            handed.signatures.iter().map(|paper| Signature::parse(&paper.bytes, &paper.name)).collect();
        let signatures = signatures.map_err(|error| lines(&error))?;
        let roster = self.state.roster().map_err(|objection| objection.reasons)?;
        let before = self.state.case(warrant.uuid()).zip(warrant.previous());
        let before = before.and_then(|(case, previous)| case.revision(previous));
        let at = warrant.heading().sign_by;
        match judge(warrant, before, signatures, roster, self.state.identity(), at).map_err(|error| lines(&error))? {
            Standing::Approved(approved) | Standing::Emergency(approved, _) => Ok(approved),
            Standing::Waiting(missing) => Err(vec![missing.to_string()]),
        }
    }

    /// Judges more signatures for the revision of a warrant that waits for them.
    pub fn approve(
        &mut self,
        uuid: Uuid,
        signatures: Vec<Original>,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Proposal, RegisterError> {
        let waiting = self.state.case(uuid).and_then(Case::waiting).map(|waiting| waiting.warrant.digest());
        let digests = signatures.iter().map(Original::digest).collect();
        let fact = Fact::Signed { uuid, warrant: waiting.unwrap_or(Digest::ZERO), signatures: digests };
        self.propose(fact, signatures, actor, now)
    }

    fn propose(
        &mut self,
        fact: Fact,
        papers: Vec<Original>,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Proposal, RegisterError> {
        match self.judge(&fact, &papers, actor, now)? {
            Some(Change::Case(case)) => Ok(Proposal { fact, papers, case: *case }),
            _ => Err(RegisterError::Refused(vec!["this changes no case".to_owned()])),
        }
    }

    /// Records a proposal: what it says is so when this returns.
    pub fn enact(&mut self, proposal: &Proposal, actor: Actor, now: Timestamp) -> Result<(), RegisterError> {
        let Proposal { fact, papers, case } = proposal;
        let mut notes = Vec::new();
        if let Some(warrant) = case.warrant() {
            notes.push(("authority", warrant.grant().authority().to_string()));
        }
        if let Some(waiting) = case.waiting() {
            notes.push(("waits_for", waiting.missing.clone()));
        }
        if let Some(latest) = case.latest() {
            let approval = latest.warrant.approval();
            notes.push(("approved_by", approval.officers.join(", ")));
            notes.push(("basis", format!("{:?}", approval.basis).to_lowercase()));
            notes.push(("roster", approval.roster_version.to_string()));
            notes.extend(latest.provisional.map(|until| ("provisional_until", until.to_string())));
        }
        self.write(fact, papers, actor, notes, now)
    }

    /// Drops a proposal for a reason that the register knows nothing of; recorded as a refusal.
    pub fn decline(
        &mut self,
        proposal: &Proposal,
        reasons: Vec<String>,
        actor: Actor,
        now: Timestamp,
    ) -> RegisterError {
        let sha256 = proposal.case.warrant().map(Warrant::digest);
        let subject = Subject { uuid: Some(proposal.case.uuid()), sha256 };
        self.refuse(proposal.fact.act(), Some(subject), reasons, actor, now)
    }

    /// Judges a fact that nobody could be refused for. The refusal of any other is recorded.
    fn judge(
        &mut self,
        fact: &Fact,
        papers: &[Original],
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<Change>, RegisterError> {
        let moment = self.state.moment(now);
        let papers = Originals { archive: Some(&self.archive), handed_in: papers };
        let Objection { reasons, lost } = match self.state.next(fact, moment, &papers) {
            Ok(change) => return Ok(change),
            Err(objection) => objection,
        };
        if let Some(head) = lost {
            self.hold_for_paper(head, actor.clone(), now)?;
        }
        let sha256 = fact.document().or_else(|| self.digest_of(fact.uuid()));
        let subject = Subject { uuid: fact.uuid(), sha256 };
        Err(self.refuse(fact.act(), Some(subject), reasons, actor, now))
    }

    /// The documents first, then the record, then the state.
    fn write<'a>(
        &mut self,
        fact: &Fact,
        papers: &[Original],
        actor: Actor,
        notes: impl IntoIterator<Item = (&'a str, String)>,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        // Judged once more by the very record that it gets: what was recorded meanwhile may have changed something.
        let moment = self.state.moment(now);
        let handed_in = Originals { archive: Some(&self.archive), handed_in: papers };
        let change = self.state.next(fact, moment, &handed_in).map_err(|it| RegisterError::Refused(it.reasons))?;
        let notes = notes.into_iter().filter(|(_, note)| !note.is_empty()).map(|(key, note)| (key.to_owned(), note));
        let entry = fact.entry(actor.clone(), self.digest_of(fact.uuid()), notes.collect());
        // The document last: one that a crash leaves without a record has its signatures beside it.
        let kept = papers.iter().rev().try_for_each(|paper| self.archive.put(&paper.bytes).map(drop));
        if let Err(error) = kept {
            let details = [("error".to_owned(), error.to_string())].into();
            let failure = Entry { act: entry.act, outcome: Outcome::Failed, actor, subject: entry.subject, details };
            // The archive and the log are on one disk: what says most is the first error.
            drop(self.record(&failure, now));
            return Err(error.into());
        }
        let head = self.audit.append(now, &entry)?;
        let moment = self.state.recorded(head.hash, now);
        self.state.named.note(fact);
        if let Some(change) = change {
            self.state.take(change, moment);
        }
        if let Some(uuid) = fact.uuid() {
            self.unrecorded.remove(&uuid);
        }
        Ok(())
    }

    fn digest_of(&self, uuid: Option<Uuid>) -> Option<Digest> {
        self.case(uuid?).and_then(Case::warrant).map(Warrant::digest)
    }

    /// Records a refusal, and gives it.
    fn refuse(
        &mut self,
        act: Act,
        subject: Option<Subject>,
        reasons: Vec<String>,
        actor: Actor,
        now: Timestamp,
    ) -> RegisterError {
        let details = [("reasons".to_owned(), reasons.join("; "))].into();
        let entry = Entry { act, outcome: Outcome::Refused, actor, subject, details };
        match self.record(&entry, now) {
            Ok(()) => RegisterError::Refused(reasons),
            // Who is refused hears why all the same.
            Err(error) => {
                let unrecorded = format!("and this refusal cannot be recorded: {error}");
                RegisterError::Refused(reasons.into_iter().chain([unrecorded]).collect())
            }
        }
    }
}

/// What is handed in, and the digests of the signatures among it. The document comes first.
fn papers(handed: HandedIn) -> (Vec<Original>, Vec<Digest>) {
    let signatures = handed.signatures.iter().map(Original::digest).collect();
    (std::iter::once(handed.document).chain(handed.signatures).collect(), signatures)
}

/// A message of several lines as several reasons.
fn lines(error: &impl std::fmt::Display) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}
