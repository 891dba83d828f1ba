//! The register's fold over records that are not its own log: those of one case in an export, with what is left of the
//! others between them. The same rules judge them.

use super::case::Case;
use super::fact::Fact;
use super::state::{Originals, State};
use crate::approval::ProbeIdentity;
use crate::archive::Original;
use crate::audit::Record;
use crate::digest::Digest;
use crate::roster::TrustedRoster;
use jiff::Timestamp;
use uuid::Uuid;

/// What was handed in with a record: documents and signatures by their digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Papers {
    /// What kind of document it is.
    pub(crate) kind: &'static str,
    /// The document; none if only more signatures came for one that was there.
    pub(crate) document: Option<Digest>,
    /// Its signatures.
    pub(crate) signatures: Vec<Digest>,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Concerns {
    /// One case.
    Case(Uuid),
    /// An incident.
    Incident(Uuid),
    /// No case, or all of them alike: it names none.
    All,
    /// Nothing that the state of a case is made of.
    Nothing,
}

/// Whom the fact of a record concerns.
pub(crate) fn concerns(record: &Record) -> Concerns {
    match Fact::read(record) {
        Ok(Some(Fact::Incident { incident, .. } | Fact::Told { incident, .. })) => Concerns::Incident(incident),
        Ok(Some(fact)) => fact.uuid().map_or(Concerns::All, Concerns::Case),
        Ok(None) | Err(_) => Concerns::Nothing,
    }
}

/// What was handed in with a record, if anything.
pub(crate) fn papers(record: &Record) -> Option<Papers> {
    let (kind, document, signatures) = match Fact::read(record).ok()?? {
        Fact::Roster { document, signatures } => ("roster", Some(document), signatures),
        Fact::Submitted { warrant, signatures, .. } => ("warrant", Some(warrant), signatures),
        Fact::Signed { signatures, .. } => ("warrant", None, signatures),
        Fact::Revoked { revocation, signatures, .. } => ("revocation", Some(revocation), signatures),
        Fact::Certified { certification, signatures, .. } => ("certification", Some(certification), signatures),
        Fact::Incident { document, .. } => ("incident", Some(document), Vec::new()),
        _ => return None,
    };
    Some(Papers { kind, document, signatures })
}

/// What became of the records.
#[derive(Debug)]
pub(crate) struct Replay {
    state: State,
    /// What does not stand, with the number of its record.
    pub(crate) faults: Vec<(u64, String)>,
}

impl Replay {
    /// Nothing yet.
    pub(crate) fn new(identity: ProbeIdentity) -> Self {
        Self { state: State::new(identity), faults: Vec::new() }
    }

    /// A record of which only the hash is known.
    pub(crate) fn pass(&mut self, hash: Digest) {
        self.state.recorded(hash, Timestamp::MIN);
    }

    /// A record, judged with these documents.
    pub(crate) fn take(&mut self, hash: Digest, record: &Record, papers: &[Original]) {
        let moment = self.state.recorded(hash, record.time);
        let fact = match Fact::read(record) {
            Ok(Some(fact)) => fact,
            Ok(None) => return,
            Err(problem) => return self.faults.push((record.number, problem)),
        };
        match self.state.next(&fact, moment, &Originals { archive: None, handed_in: papers }) {
            Ok(Some(change)) => self.state.take(change, moment),
            Ok(None) => {}
            Err(objection) => {
                let problem = objection.reasons.join("; ");
                self.faults.push((record.number, problem.clone()));
                self.state.spoil(&fact, moment, problem);
            }
        }
    }

    /// A case.
    pub(crate) fn case(&self, uuid: Uuid) -> Option<&Case> {
        self.state.case(uuid)
    }

    /// All versions of the roster.
    pub(crate) fn rosters(&self) -> &[TrustedRoster] {
        self.state.rosters()
    }
}
