//! The rules: what a fact would change, or why it may not happen. They judge what is handed in before its record is
//! written, and judge the record again when the log is read at the next start: what does not stand is not believed.

use super::case::{Agreed, Case, Certified, Enabled, Ending, Revision, Submission};
use super::fact::Fact;
use super::hold::Hold;
use super::state::{Change, Moment, Objection, Originals, State};
use crate::approval::{Basis, Standing, judge, namespace};
use crate::audit::Head;
use crate::certification::Certification;
use crate::change::Change as Difference;
use crate::countersigned::Countersigned;
use crate::digest::Digest;
use crate::heading::Heading;
use crate::policy::RevokedKey;
use crate::revocation::{Cause, Revocation};
use crate::roster::{Roster, TrustedRoster};
use crate::signature::{CERTIFY, Namespace, Signature};
use crate::warrant::Warrant;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use uuid::Uuid;

impl State {
    /// What a fact would change.
    pub(super) fn next(
        &self,
        fact: &Fact,
        moment: Moment,
        papers: &Originals<'_>,
    ) -> Result<Option<Change>, Objection> {
        let changed = |case: Case| Ok(Some(Change::Case(Box::new(case))));
        match fact {
            Fact::Roster { document, signatures } => self.roster_change(*document, signatures, papers).map(Some),
            Fact::Submitted { uuid, warrant, revision, signatures } => {
                changed(self.submitted(*uuid, *warrant, *revision, signatures, moment, papers)?)
            }
            Fact::Signed { uuid, warrant, signatures } => {
                changed(self.signed(*uuid, *warrant, signatures, moment, papers)?)
            }
            Fact::Revoked { uuid, revocation, signatures } => {
                changed(self.revoked(*uuid, *revocation, signatures, moment, papers)?)
            }
            Fact::Certified { uuid, certification, signatures } => {
                changed(self.certified(*uuid, *certification, signatures, moment, papers)?)
            }
            Fact::Expired { uuid } => {
                let mut case = self.open_case(*uuid)?.clone();
                case.ending = Some(case.expiry(moment.at));
                changed(case)
            }
            Fact::Armed { uuid, software, configuration, clock_doubt_ms } => {
                let mut case = self.known(*uuid)?.clone();
                let (software, configuration, clock_doubt_ms) = (software.clone(), *configuration, *clock_doubt_ms);
                case.enabled.get_or_insert(Enabled { at: moment.at, software, configuration, clock_doubt_ms });
                changed(case)
            }
            Fact::Begun { uuid, at } => {
                let mut case = self.known(*uuid)?.clone();
                case.begun.get_or_insert(*at);
                case.stopped = None;
                changed(case)
            }
            Fact::Stopped { uuid, at, figures } => {
                let mut case = self.known(*uuid)?.clone();
                case.stopped = Some(*at);
                case.figures.clone_from(figures);
                changed(case)
            }
            Fact::Overdue { uuid } => {
                let mut case = self.known(*uuid)?.clone();
                case.overdue = true;
                changed(case)
            }
            Fact::Attached { uuid, order, sealed } => {
                let mut case = self.known(*uuid)?.clone();
                if case.closed.is_some() {
                    return Err(Objection::new(format!("uuid: {uuid} is closed, and its key destroyed")));
                }
                let named = case.warrant().and_then(|warrant| warrant.order().sha256);
                if named != Some(*order) {
                    return Err(Objection::new(format!(
                        "the file's SHA-256 is {order}, and the warrant names {}; attach the scan that the warrant names",
                        named.map_or_else(|| "none (order.sha256)".to_owned(), |named| named.to_string())
                    )));
                }
                case.orders.insert(*order, *sealed);
                changed(case)
            }
            Fact::Countersigned { uuid, digests, signature, key } => {
                let mut case = self.known(*uuid)?.clone();
                let [digests, signature, key] = [digests, signature, key].map(|digest| papers.get(*digest));
                let countersigned = Countersigned { digests: digests?, signature: signature?, key: key? };
                let fingerprint = countersigned.check()?;
                let Countersigned { digests, signature, key } = countersigned;
                let [digests, signature, key] = [digests, signature, key].map(|paper| paper.digest());
                case.agreed.push(Agreed { at: moment.at, digests, signature, key, fingerprint });
                changed(case)
            }
            Fact::Closed { uuid } => {
                let mut case = self.known(*uuid)?.clone();
                check_closable(&case)?;
                case.closed = Some(moment.at);
                changed(case)
            }
            Fact::Incident { incident, document } => {
                Ok(Some(Change::Incident(Box::new(self.reported(*incident, *document, moment, papers)?))))
            }
            Fact::Told { incident, told } => Ok(Some(Change::Incident(Box::new(self.told(*incident, told, moment)?)))),
            Fact::Noticed { .. } => Ok(None),
            Fact::Discarded { uuid, papers, notices } => {
                let case = self.known(*uuid)?;
                // Of one whose documents are gone already, all that the log says of its end cannot be judged any more.
                if case.closed.is_none() && case.damage.is_none() {
                    return Err(Objection::new(format!("uuid: {uuid} is not closed: its documents are needed")));
                }
                let (papers, notices) = (papers.clone(), notices.clone());
                Ok(Some(Change::Discarded { uuid: *uuid, papers, notices }))
            }
            Fact::Held { doubt, why, found, lost } => {
                let hold =
                    Hold { record: moment.record, doubt: *doubt, why: why.clone(), found: *found, is_known: false };
                Ok(Some(Change::Held { hold, lost: lost.clone() }))
            }
            Fact::Released { found } => {
                let yields = || self.holds.values().rev().filter(|hold| hold.doubt.yields_to_a_head());
                if let Some(hold) = yields().find(|hold| hold.found == *found) {
                    return Ok(Some(Change::Released { record: hold.record }));
                }
                let Some(hold) = yields().next() else {
                    return Err(Objection::new(
                        "nothing is held that a head of the log would release; see `writ status`",
                    ));
                };
                // Without the hash that would do: it is to come from where the log was seen, not from here.
                Err(Objection::new(format!(
                    "head: record {} with hash {} is not where this log ended when it was found, which is a record {}; if \
                     records were made after that, what they ended must not come back: have the officers approve anew what \
                     is to go on",
                    found.number, found.hash, hold.found.number
                )))
            }
        }
    }

    pub(super) fn known(&self, uuid: Uuid) -> Result<&Case, Objection> {
        self.cases
            .get(&uuid)
            .ok_or_else(|| Objection::new(format!("uuid: there is no warrant {uuid}; `writ warrant list` shows all")))
    }

    fn open_case(&self, uuid: Uuid) -> Result<&Case, Objection> {
        let case = self.known(uuid)?;
        match case.ending {
            Some(_) => Err(ended(uuid)),
            None => Ok(case),
        }
    }

    /// The roster that approvals are checked against.
    pub(super) fn roster(&self) -> Result<&TrustedRoster, Objection> {
        if let Some(problem) = &self.rosterless {
            return Err(Objection::new(format!(
                "the probe is held: the roster in force is not known: {problem}; until then nobody can approve anything"
            )));
        }
        self.rosters.last().ok_or_else(|| {
            Objection::new("no roster is installed, so nobody can approve; install one with `writ roster install`")
        })
    }

    /// The officers whose word stops something. They are asked of the last roster that is known, whatever became of it.
    fn officers(&self) -> Result<&Roster, Objection> {
        match self.rosters.last() {
            Some(trusted) => Ok(trusted.roster()),
            None => self.roster().map(TrustedRoster::roster),
        }
    }

    fn roster_change(
        &self,
        document: Digest,
        signatures: &[Digest],
        papers: &Originals<'_>,
    ) -> Result<Change, Objection> {
        let paper = papers.get(document)?;
        let roster = Roster::parse(&paper.bytes, &paper.name)?;
        let signatures = papers.signatures(signatures)?;
        if roster.operator() != self.identity.operator {
            return Err(Objection::new(format!(
                "{}: operator: the roster is {:?}'s, and this probe is {:?}'s; hand it in where it belongs",
                paper.name.display(),
                roster.operator(),
                self.identity.operator
            )));
        }
        let trusted = if self.rosters.is_empty() && self.rosterless.is_none() {
            TrustedRoster::first(roster, signatures)?
        } else {
            self.roster()?.successor(roster, signatures)?
        };
        let unvouched = match trusted.roster().policy().revoked_key {
            RevokedKey::Keep => Vec::new(),
            RevokedKey::Stop => self.unvouched_by(trusted.roster()),
        };
        Ok(Change::Roster { trusted: Box::new(trusted), unvouched })
    }

    /// The cases whose approvals would be no quorum, if only the keys counted that this roster still has.
    fn unvouched_by(&self, roster: &Roster) -> Vec<Uuid> {
        let still_stands = |revision: &Revision| {
            let approval = revision.warrant.approval();
            let Some(then) = self.version(approval.roster_version) else { return false };
            let (warrant, signatures) = (revision.warrant.warrant(), revision.warrant.signatures());
            let left: Vec<_> = signatures.iter().filter(|it| roster.has_key_of(it)).cloned().collect();
            left.len() == signatures.len()
                || match then.roster().signers(&left, namespace(warrant), warrant.bytes()) {
                    Err(_) => false,
                    Ok(signers) => match approval.basis {
                        Basis::Quorum => then.roster().policy().lacks(warrant.grant().authority(), &signers).is_empty(),
                        Basis::Narrowing | Basis::OnCall => !signers.is_empty(),
                    },
                }
        };
        let open = self.cases.values().filter(|case| case.ending.is_none());
        let stands = |case: &&Case| {
            // What one signature narrowed stands on the quorum before it.
            let narrowed = |it: &&Revision| it.warrant.approval().basis == Basis::Narrowing;
            let last = case.revisions.iter().rev();
            let base = last.clone().find(|it| !narrowed(it));
            last.take_while(narrowed).chain(base).all(still_stands)
        };
        open.filter(|case| !stands(case)).map(|case| case.uuid).collect()
    }

    fn version(&self, version: u32) -> Option<&TrustedRoster> {
        self.rosters.iter().find(|trusted| trusted.roster().version() == version)
    }

    fn submitted(
        &self,
        uuid: Uuid,
        digest: Digest,
        revision: u32,
        signatures: &[Digest],
        moment: Moment,
        papers: &Originals<'_>,
    ) -> Result<Case, Objection> {
        let paper = papers.get(digest)?;
        let warrant = Warrant::parse(&paper.bytes, &paper.name)?;
        let name = paper.name.display();
        if (warrant.uuid(), warrant.revision()) != (uuid, revision) {
            return Err(Objection::new(format!("{name}: is not the warrant that its record names")));
        }
        let signatures = papers.signatures(signatures)?;
        let case = match self.cases.get(&uuid) {
            None if revision != 1 => {
                return Err(Objection::new(format!(
                    "{name}: revision: is {revision}, and this probe knows no warrant {uuid}; hand in revision 1 first"
                )));
            }
            None => Case::new(uuid, moment.record, moment.at),
            Some(case) => {
                check_next(case, &warrant, moment.at).map_err(|reason| Objection::new(format!("{name}: {reason}")))?;
                case.clone()
            }
        };
        if warrant.window().is_over(moment.at) {
            return Err(Objection::new(format!(
                "{name}: window.stop: was at {}, and it is {}; hand in a warrant whose window is not over",
                warrant.window().stop(),
                moment.at
            )));
        }
        self.judged(case, warrant, signatures, moment)
    }

    fn signed(
        &self,
        uuid: Uuid,
        digest: Digest,
        signatures: &[Digest],
        moment: Moment,
        papers: &Originals<'_>,
    ) -> Result<Case, Objection> {
        let case = self.open_case(uuid)?;
        if case.is_over(moment.at) {
            return Err(ended(uuid));
        }
        let waiting = match &case.waiting {
            Some(waiting) if waiting.warrant.digest() == digest => waiting,
            _ if case.damage.is_some() => return Err(damaged(uuid)),
            _ => return Err(Objection::new(format!("uuid: no revision of {uuid} waits for signatures"))),
        };
        let signatures = papers.signatures(signatures)?;
        let (warrant, roster) = (&waiting.warrant, self.roster()?.roster());
        // A signature whose key has left the roster meanwhile counts no more, and is no fault of the new ones.
        let mut all: Vec<_> = waiting.signatures.iter().filter(|it| roster.has_key_of(it)).cloned().collect();
        all.extend(
            signatures.into_iter().filter(|new| !waiting.signatures.iter().any(|it| it.armored() == new.armored())),
        );
        self.judged(case.clone(), Warrant::clone(warrant), all, moment)
    }

    /// The case once a warrant that fits it has these signatures.
    fn judged(
        &self,
        mut case: Case,
        warrant: Warrant,
        signatures: Vec<Signature>,
        moment: Moment,
    ) -> Result<Case, Objection> {
        let roster = self.roster()?;
        let (digest, purpose) = (warrant.digest(), namespace(&warrant));
        let handed_in = match &case.waiting {
            Some(waiting) if waiting.warrant.digest() == digest => waiting.at,
            _ => moment.at,
        };
        self.check_seen(warrant.heading(), &signatures, purpose, warrant.bytes())?;
        let before = case.revisions.iter().rfind(|it| it.warrant.warrant().revision() < warrant.revision()).cloned();
        let before_it = before.as_ref().map(|before| before.warrant.warrant());
        let narrows =
            before_it.is_some_and(|it| matches!(Difference::between(it, &warrant), Ok(Difference::Narrowing(_))));
        let standing = judge(warrant.clone(), before_it, signatures.clone(), roster, &self.identity, moment.at)?;
        self.check_hold(&case, &warrant, &standing)?;
        if !case.documents.contains(&digest) {
            case.documents.push(digest);
        }
        let is_provisional = case.latest().is_some_and(|latest| latest.provisional.is_some());
        if is_provisional && before.is_some() && matches!(standing, Standing::Waiting(_)) {
            return Err(Objection::new(format!(
                "{}: signatures: the revision before is in force by one signature for some hours; hand this one in with \
                 all it needs",
                warrant.file().display()
            )));
        }
        let waiting = |missing| Submission { warrant: Arc::new(warrant), signatures, at: handed_in, missing };
        let (approved, provisional) = match standing {
            Standing::Waiting(missing) => {
                case.waiting = Some(waiting(missing.to_string()));
                return Ok(case);
            }
            Standing::Emergency(approved, hours) => {
                let until = handed_in.saturating_add(SignedDuration::from_hours(hours.into()));
                (approved, Some(until.unwrap_or(Timestamp::MAX)))
            }
            // One signature that takes less gives an emergency no more time.
            Standing::Approved(approved) if approved.approval().basis == Basis::Narrowing => {
                (approved, before.and_then(|before| before.provisional))
            }
            Standing::Approved(approved) => (approved, None),
        };
        if approved.approval().basis == Basis::Quorum {
            case.held.clear();
        }
        case.waiting = provisional.map(|until| waiting(format!("the quorum's signatures, by {until}")));
        case.revisions.retain(|it| it.warrant.warrant().digest() != digest);
        case.revisions.push(Revision { warrant: Arc::new(approved), approved: moment.at, provisional, narrows });
        Ok(case)
    }

    /// No old paper counts after a hold; and while the probe is held, only a case that it knows can be put in force again,
    /// by its quorum.
    fn check_hold(&self, case: &Case, warrant: &Warrant, standing: &Standing) -> Result<(), Objection> {
        if warrant.heading().seen.number < self.floor() {
            return Err(Objection::new(format!(
                "{}: seen.record: this was drafted before record {}, when the audit log was found to have forgotten \
                 something, or to come out of a backup; draft it again, with what `writ audit head` prints",
                warrant.file().display(),
                self.floor()
            )));
        }
        let Some(hold) = self.holds().next() else { return Ok(()) };
        let quorum = matches!(standing, Standing::Approved(it) if it.approval().basis == Basis::Quorum);
        if case.is_held() && quorum {
            return Ok(());
        }
        Err(Objection::new(format!("the probe is {hold}")))
    }

    fn check_seen(
        &self,
        heading: &Heading,
        signatures: &[Signature],
        purpose: Namespace,
        bytes: &[u8],
    ) -> Result<(), Objection> {
        if self.has(heading.seen) {
            return Ok(());
        }
        let Head { number, hash } = heading.seen;
        let reason = format!(
            "seen: the audit log of this probe has no record {number} with hash {hash}; draft the document again, with \
             what `writ audit head` prints"
        );
        let roster = self.roster()?.roster();
        // Only an officer's word that there was more holds the probe.
        let vouched = signatures.iter().any(|it| roster.signer(it, purpose, bytes).is_ok());
        let is_news = vouched && !self.lost.contains(&heading.seen);
        Err(Objection { reasons: vec![reason], lost: is_news.then_some(heading.seen) })
    }

    fn revoked(
        &self,
        uuid: Uuid,
        digest: Digest,
        signatures: &[Digest],
        moment: Moment,
        papers: &Originals<'_>,
    ) -> Result<Case, Objection> {
        let paper = papers.get(digest)?;
        let revocation = Revocation::parse(&paper.bytes, &paper.name)?;
        let name = paper.name.display();
        if revocation.uuid() != uuid {
            return Err(Objection::new(format!("{name}: is not the revocation that its record names")));
        }
        let mut case = self.open_case(uuid)?.clone();
        let signatures = papers.signatures(signatures)?;
        let roster = self.officers()?;
        let by = match case.revision(revocation.warrant()) {
            Some(warrant) => revocation.check(warrant, &signatures, roster, &self.identity, moment.at)?,
            // Nothing is taken under it anyway; that it ends for good cannot wait for the document that is missing.
            None if case.damage.is_some() => revocation.check_alone(&signatures, roster, &self.identity, moment.at)?,
            None => {
                return Err(Objection::new(format!(
                    "{name}: warrant: no revision of {uuid} has this SHA-256; copy it from `writ warrant show {uuid}`"
                )));
            }
        };
        let (at, by, reason) = (moment.at, by.join(" and "), revocation.reason().to_owned());
        case.ending = Some(match revocation.cause() {
            Cause::Revoked => Ending::Revoked { at, by, reason },
            Cause::Denied => Ending::Denied { at, by, reason },
        });
        // One that nobody approved yet stays what the case is about: else nobody could be shown it any more.
        if case.latest().is_some() {
            case.waiting = None;
        }
        Ok(case)
    }

    fn certified(
        &self,
        uuid: Uuid,
        digest: Digest,
        signatures: &[Digest],
        moment: Moment,
        papers: &Originals<'_>,
    ) -> Result<Case, Objection> {
        let paper = papers.get(digest)?;
        let certification = Certification::parse(&paper.bytes, &paper.name)?;
        let name = paper.name.display();
        let mut case = self.known(uuid)?.clone();
        if certification.uuid() != uuid {
            return Err(Objection::new(format!("{name}: is not the certification that its record names")));
        }
        if case.damage.is_some() {
            return Err(damaged(uuid));
        }
        if case.closed.is_some() {
            return Err(Objection::new(format!("{name}: uuid: {uuid} is closed")));
        }
        let (Some(latest), Some(measured)) = (case.latest(), case.measured()) else {
            return Err(Objection::new(format!("{name}: uuid: {uuid} has not begun: there is nothing to certify yet")));
        };
        let signatures = papers.signatures(signatures)?;
        let warrant = latest.warrant.warrant();
        let roster = self.roster()?.roster();
        certification.check(warrant, &measured, &signatures, roster, &self.identity, moment.at)?;
        self.check_seen(certification.heading(), &[], CERTIFY, &paper.bytes)?;
        let by = certification.overseer().to_owned();
        case.certified = Some(Certified { certification: digest, by, at: moment.at });
        Ok(case)
    }
}

fn ended(uuid: Uuid) -> Objection {
    Objection::new(format!("uuid: {uuid} has ended, and is never used again; write a new uuid"))
}

fn damaged(uuid: Uuid) -> Objection {
    Objection::new(format!("uuid: a document of {uuid} is damaged; restore that file from a backup"))
}

/// Whether a warrant is what comes next in a case that is there.
fn check_next(case: &Case, warrant: &Warrant, at: Timestamp) -> Result<(), String> {
    let uuid = case.uuid;
    if case.damage.is_some() {
        return Err(format!("uuid: a document of {uuid} is damaged; restore that file from a backup"));
    }
    if case.ending.is_some() || case.is_over(at) {
        return Err(format!("uuid: {uuid} has ended, and is never used again; write a new uuid"));
    }
    let Some(latest) = case.latest().map(|latest| latest.warrant.warrant()) else {
        return Err(format!(
            "uuid: {uuid} is known, and its first revision waits for signatures; hand in more with `writ warrant approve \
             {uuid}`, or write a new uuid for another order"
        ));
    };
    let wanted = latest.revision().saturating_add(1);
    if warrant.revision() != wanted {
        return Err(format!(
            "revision: is {}, and {uuid} is known with revision {}; the next is {wanted}, or write a new uuid for another \
             order",
            warrant.revision(),
            latest.revision()
        ));
    }
    if warrant.previous() != Some(latest.digest()) {
        return Err(format!(
            "previous: revision {} of {uuid} has the SHA-256 {}; write the next one over that",
            latest.revision(),
            latest.digest()
        ));
    }
    Ok(())
}

fn check_closable(case: &Case) -> Result<(), Objection> {
    let uuid = case.uuid;
    if case.ending.is_none() {
        return Err(Objection::new(format!("uuid: {uuid} has not ended; revoke it first")));
    }
    if case.closed.is_some() {
        return Err(Objection::new(format!("uuid: {uuid} is closed already")));
    }
    if case.begun.is_some() && case.certified.is_none() {
        return Err(Objection::new(format!(
            "uuid: {uuid} is not certified; have the overseer sign what `writ warrant certify {uuid}` prints"
        )));
    }
    if case.begun.is_some() && case.stopped.is_none() {
        return Err(Objection::new(format!("uuid: the final figures of {uuid} are not recorded yet; try again soon")));
    }
    Ok(())
}
