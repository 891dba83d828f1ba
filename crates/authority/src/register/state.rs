//! The state of all cases and rosters: a fold over the facts of the audit log. What a fact changes is for the
//! [rules](super::rules) to say; here the change is made, and what does not stand is kept from being believed.

use super::case::{Case, Ending, Force};
use super::fact::Fact;
use super::hold::Hold;
use super::incidents::Reported;
use super::named::Named;
use crate::approval::ProbeIdentity;
use crate::archive::{Archive, Original};
use crate::audit::Head;
use crate::digest::Digest;
use crate::roster::TrustedRoster;
use crate::signature::Signature;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Why a fact may not happen: every reason, each with what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    pub(super) reasons: Vec<String>,
    /// An officer of this probe has seen an end of its log that the log does not have.
    pub(super) lost: Option<Head>,
}

impl Objection {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], lost: None }
    }
}

impl<E: std::error::Error> From<E> for Objection {
    fn from(error: E) -> Self {
        Self { reasons: error.to_string().lines().map(str::to_owned).collect(), lost: None }
    }
}

/// Where documents come from: what was just handed in, else the archive, if there is one.
pub(super) struct Originals<'a> {
    pub(super) archive: Option<&'a Archive>,
    pub(super) handed_in: &'a [Original],
}

impl Originals<'_> {
    pub(super) fn get(&self, digest: Digest) -> Result<Original, Objection> {
        match self.handed_in.iter().find(|paper| paper.digest() == digest) {
            Some(paper) => Ok(paper.clone()),
            None => match self.archive {
                Some(archive) => Ok(archive.get(digest)?),
                None => Err(Objection::new(format!("the document with the SHA-256 {digest} is missing"))),
            },
        }
    }

    pub(super) fn signatures(&self, digests: &[Digest]) -> Result<Vec<Signature>, Objection> {
        digests
            .iter()
            .map(|digest| {
                let paper = self.get(*digest)?;
                Ok(Signature::parse(&paper.bytes, &paper.name)?)
            })
            .collect()
    }
}

/// Number and time of the record that a fact is, or is about to be, written in. The time never runs back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) record: u64,
    pub(super) at: Timestamp,
}

/// What a fact changes.
#[derive(Debug)]
pub(super) enum Change {
    /// A case is this from now on.
    Case(Box<Case>),
    /// A roster is in force from now on; these cases end by it.
    Roster { trusted: Box<TrustedRoster>, unvouched: Vec<Uuid> },
    /// An incident is this from now on.
    Incident(Box<Reported>),
    /// Everything is held.
    Held { hold: Hold, lost: Vec<Head> },
    /// What is held by this record is not any more.
    Released { record: u64 },
    /// The documents of a case were removed.
    Discarded { uuid: Uuid, papers: Vec<Digest>, notices: Vec<String> },
}

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) identity: ProbeIdentity,
    /// Hashes of all records.
    pub(super) hashes: Vec<Digest>,
    pub(super) clock: Timestamp,
    pub(super) rosters: Vec<TrustedRoster>,
    /// Why the roster in force is not known, if it is not.
    pub(super) rosterless: Option<String>,
    pub(super) cases: BTreeMap<Uuid, Case>,
    pub(super) incidents: BTreeMap<Uuid, Reported>,
    /// By the numbers of their records. None goes but by a release.
    pub(super) holds: BTreeMap<u64, Hold>,
    /// What the records name of the archive and of the notices.
    pub(super) named: Named,
    /// What the log says was removed of the archive.
    pub(super) discarded_papers: BTreeSet<Digest>,
    /// And of the notices.
    pub(super) discarded_notices: BTreeSet<String>,
    /// Ends of a log that somebody saw and this one does not have, as far as that is recorded.
    pub(super) lost: Vec<Head>,
}

impl State {
    pub(super) fn new(identity: ProbeIdentity) -> Self {
        Self {
            identity,
            hashes: Vec::new(),
            clock: Timestamp::MIN,
            rosters: Vec::new(),
            rosterless: None,
            cases: BTreeMap::new(),
            incidents: BTreeMap::new(),
            holds: BTreeMap::new(),
            named: Named::default(),
            discarded_papers: BTreeSet::new(),
            discarded_notices: BTreeSet::new(),
            lost: Vec::new(),
        }
    }

    /// The time that counts: never earlier than that of a record, so that a clock set back brings nothing back.
    pub(super) fn clock(&self, now: Timestamp) -> Timestamp {
        self.clock.max(now)
    }

    /// The moment of the next record.
    pub(super) fn moment(&self, now: Timestamp) -> Moment {
        Moment { record: self.hashes.len() as u64 + 1, at: self.clock(now) }
    }

    pub(super) fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values()
    }

    pub(super) fn case(&self, uuid: Uuid) -> Option<&Case> {
        self.cases.get(&uuid)
    }

    pub(super) fn rosters(&self) -> &[TrustedRoster] {
        &self.rosters
    }

    /// The holds that the quorum has not looked at, the last one first.
    pub(super) fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values().rev().filter(|hold| !hold.is_known)
    }

    /// No paper counts that was drafted before this record: the log was found to have forgotten, and what such a paper
    /// wants may have been, and have ended.
    pub(super) fn floor(&self) -> u64 {
        self.holds.last_key_value().map_or(0, |(record, _)| *record)
    }

    pub(super) fn identity(&self) -> &ProbeIdentity {
        &self.identity
    }

    pub(super) fn in_force(&self, now: Timestamp) -> impl Iterator<Item = Force> {
        let at = self.clock(now);
        self.cases.values().filter_map(move |case| case.force(at))
    }

    /// Whether it is recorded that this end of the log is lost.
    pub(super) fn knows_lost(&self, head: Head) -> bool {
        self.lost.contains(&head)
    }

    /// Whether the log has, or had as its end, this record.
    pub(super) fn has(&self, head: Head) -> bool {
        head == Head::EMPTY || self.hash(head.number) == Some(head.hash)
    }

    /// The hash of the record of this number.
    pub(super) fn hash(&self, number: u64) -> Option<Digest> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.hashes.get(place).copied()
    }

    /// A record was written, or read.
    pub(super) fn recorded(&mut self, hash: Digest, at: Timestamp) -> Moment {
        self.hashes.push(hash);
        self.clock = self.clock.max(at);
        Moment { record: self.hashes.len() as u64, at: self.clock }
    }

    /// Makes a change that [`State::next`] gave for the record of this moment.
    pub(super) fn take(&mut self, change: Change, moment: Moment) {
        match change {
            Change::Case(case) => {
                self.cases.insert(case.uuid, *case);
            }
            Change::Roster { trusted, unvouched } => {
                let version = trusted.roster().version();
                for uuid in unvouched {
                    if let Some(case) = self.cases.get_mut(&uuid) {
                        case.ending = Some(Ending::Unvouched { at: moment.at, version });
                    }
                }
                self.rosters.push(*trusted);
                // The quorum has looked at it.
                self.holds.values_mut().for_each(|hold| hold.is_known = true);
            }
            Change::Incident(reported) => {
                self.incidents.insert(reported.incident.uuid(), *reported);
            }
            Change::Held { hold, lost } => {
                self.lost.extend(lost);
                self.holds.insert(hold.record, hold);
                for case in self.cases.values_mut().filter(|case| case.ending.is_none()) {
                    case.held.insert(moment.record);
                }
            }
            Change::Released { record } => {
                self.holds.remove(&record);
                for case in self.cases.values_mut() {
                    case.held.remove(&record);
                }
            }
            Change::Discarded { uuid, papers, notices } => {
                self.named.forget(uuid);
                self.discarded_papers.extend(papers);
                self.discarded_notices.extend(notices);
                if let Some(case) = self.cases.get_mut(&uuid) {
                    case.discard(moment.at);
                }
            }
        }
    }

    /// A fact of the log does not stand: a document is missing or altered, or it was no quorum. What it was to bring
    /// about is not believed; but that something ended is.
    pub(super) fn spoil(&mut self, fact: &Fact, moment: Moment, problem: String) {
        let Some(uuid) = fact.uuid() else {
            if matches!(fact, Fact::Incident { .. } | Fact::Told { .. }) {
                // Nothing is taken or left by it. What is damaged is said at every start.
                return;
            }
            self.rosterless.get_or_insert(problem);
            return;
        };
        let case = self.cases.entry(uuid).or_insert_with(|| Case::new(uuid, moment.record, moment.at));
        match fact {
            Fact::Revoked { .. } => {
                let by = "an officer whose revocation is damaged".to_owned();
                case.ending.get_or_insert(Ending::Revoked { at: moment.at, by, reason: problem.clone() });
            }
            Fact::Closed { .. } => {
                case.ending.get_or_insert(Ending::Expired { at: moment.at });
                case.closed.get_or_insert(moment.at);
            }
            _ => {}
        }
        case.damage.get_or_insert(problem);
    }

    /// A record that can be no fact of this version.
    pub(super) fn spoil_record(&mut self, uuid: Option<Uuid>, moment: Moment, problem: String) {
        match uuid {
            Some(uuid) => {
                let case = self.cases.entry(uuid).or_insert_with(|| Case::new(uuid, moment.record, moment.at));
                case.damage.get_or_insert(problem);
            }
            None => {
                self.rosterless.get_or_insert(problem);
            }
        }
    }
}
