//! What happens to a case after it was approved: it is put into the kernel, begins, ends, is certified and closed.

use super::case::{Case, Ending, Phase};
use super::fact::Fact;
use super::state::Change;
use super::{HandedIn, NOTICES, Register, RegisterError, lines, papers};
use crate::archive::Original;
use crate::audit::{Act, Actor, Head, Subject};
use crate::certification::Certification;
use crate::countersigned::Countersigned;
use crate::digest::Digest;
use crate::durable;
use crate::heading::Heading;
use crate::revocation::Revocation;
use crate::seal::SealError;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::path::PathBuf;
use uuid::Uuid;

/// How long the overseer has to sign a certification before it must be drafted anew.
const SIGN_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// By what a warrant was put into the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Name and version of the program.
    pub software: String,
    /// Digest of the configuration in force.
    pub configuration: Digest,
    /// How far the clock may be off, in milliseconds, where that is known.
    pub clock_doubt_ms: Option<u32>,
}

/// A warrant that an officer has ended, and that is not on disk yet.
#[derive(Debug)]
pub struct Stop {
    uuid: Uuid,
    fact: Fact,
    papers: Vec<Original>,
    seen: Head,
    actor: Actor,
    notes: Vec<(&'static str, String)>,
}

/// A warrant that an officer ended.
#[derive(Debug)]
pub struct Revoked {
    /// Which.
    pub uuid: Uuid,
    /// Whether the end is on disk. If not, nothing is taken either, but a restart may put the warrant in force again: it
    /// must be revoked once more.
    pub recorded: Result<(), RegisterError>,
}

impl Register {
    /// Ends a warrant for good, and records that.
    pub fn revoke(&mut self, handed: HandedIn, actor: Actor, now: Timestamp) -> Result<Revoked, RegisterError> {
        let stop = self.stop(handed, actor, now)?;
        self.record_stop(stop, now)
    }

    /// Ends a warrant for good. It has ended when this returns: stopping waits for no disk. [`Register::record_stop`]
    /// writes it down.
    pub fn stop(&mut self, handed: HandedIn, actor: Actor, now: Timestamp) -> Result<Stop, RegisterError> {
        let (papers, signatures) = papers(handed);
        let revocation = match Revocation::parse(&papers[0].bytes, &papers[0].name) {
            Ok(revocation) => revocation,
            Err(error) => {
                let subject = Subject { uuid: None, sha256: Some(papers[0].digest()) };
                return Err(self.refuse(Act::WarrantRevoke, Some(subject), lines(&error), actor, now));
            }
        };
        let uuid = revocation.uuid();
        let fact = Fact::Revoked { uuid, revocation: revocation.digest(), signatures };
        let Some(Change::Case(case)) = self.judge(&fact, &papers, actor.clone(), now)? else {
            return Err(RegisterError::Refused(vec!["this changes no case".to_owned()]));
        };
        let mut notes = Vec::new();
        if let Some(Ending::Revoked { by, reason, .. } | Ending::Denied { by, reason, .. }) = case.ending() {
            notes.extend([("signed_by", by.clone()), ("reason", reason.clone())]);
        }
        notes.push(("kind", revocation.cause().as_str().to_owned()));
        self.unrecorded.insert(uuid, *case);
        Ok(Stop { uuid, fact, papers, seen: revocation.heading().seen, actor, notes })
    }

    /// Writes down that a warrant was ended.
    pub fn record_stop(&mut self, stop: Stop, now: Timestamp) -> Result<Revoked, RegisterError> {
        let Stop { uuid, fact, papers, seen, actor, notes } = stop;
        let recorded = self.write(&fact, &papers, actor.clone(), notes, now);
        if recorded.is_ok() && !self.state.has(seen) && !self.state.knows_lost(seen) {
            self.hold_for_paper(seen, actor, now)?;
        }
        Ok(Revoked { uuid, recorded })
    }

    /// Ends every case whose time is over at `now`, and gives those that ended.
    ///
    /// # Errors
    /// That it cannot be recorded. Nothing is in force past its time all the same.
    pub fn expire(&mut self, now: Timestamp) -> Result<Vec<Uuid>, RegisterError> {
        let at = self.clock(now);
        let over = |case: &&Case| case.ending().is_none() && case.is_over(at);
        let uuids: Vec<_> = self.state.cases().filter(over).map(Case::uuid).collect();
        for uuid in &uuids {
            self.write_own(Fact::Expired { uuid: *uuid }, Vec::new(), now)?;
        }
        Ok(uuids)
    }

    /// The kernel ended a warrant's interception at `stop`, by a clock that nobody can set back. The case has ended,
    /// unless by now it has longer.
    pub fn expired(&mut self, uuid: Uuid, stop: Timestamp, now: Timestamp) -> Result<(), RegisterError> {
        let over = |case: &Case| case.ending().is_none() && case.latest().is_some_and(|latest| latest.stop() <= stop);
        if !self.state.case(uuid).is_some_and(over) {
            return Ok(());
        }
        self.write_own(Fact::Expired { uuid }, Vec::new(), now)
    }

    /// A warrant is in the kernel. `notes` are for whoever reads the log.
    pub fn armed(
        &mut self,
        uuid: Uuid,
        by: &Activation,
        notes: Vec<(&str, String)>,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let Activation { software, configuration, clock_doubt_ms } = by.clone();
        self.write_own(Fact::Armed { uuid, software, configuration, clock_doubt_ms }, notes, now)
    }

    /// The interception has begun, at a moment of capture's clock.
    pub fn begun(
        &mut self,
        uuid: Uuid,
        at: Timestamp,
        notes: Vec<(&str, String)>,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        self.write_own(Fact::Begun { uuid, at }, notes, now)
    }

    /// The interception has ended, at a moment of capture's clock, with these figures.
    pub fn stopped(
        &mut self,
        uuid: Uuid,
        at: Timestamp,
        figures: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        self.write_own(Fact::Stopped { uuid, at, figures }, Vec::new(), now)
    }

    /// The certification of a case over what was measured, to be signed by `overseer`.
    pub fn draft_certification(&self, uuid: Uuid, overseer: &str, now: Timestamp) -> Result<String, RegisterError> {
        let refused = |reason: String| RegisterError::Refused(vec![reason]);
        let case = self
            .case(uuid)
            .ok_or_else(|| refused(format!("uuid: there is no warrant {uuid}; `writ warrant list` shows all")))?;
        let (Some(latest), Some(measured)) = (case.latest(), case.measured()) else {
            return Err(refused(format!("uuid: {uuid} has not begun: there is nothing to certify yet")));
        };
        let identity = self.state.identity();
        let heading = Heading {
            operator: identity.operator.clone(),
            probe: identity.probe.clone(),
            sign_by: self.clock(now).saturating_add(SIGN_WITHIN).unwrap_or(Timestamp::MAX),
            seen: self.head(),
        };
        Ok(Certification::draft(latest.warrant.warrant(), &measured, overseer, &heading))
    }

    /// Takes a certification that the overseer signed.
    pub fn certify(&mut self, handed: HandedIn, actor: Actor, now: Timestamp) -> Result<Uuid, RegisterError> {
        let (papers, signatures) = papers(handed);
        let certification = match Certification::parse(&papers[0].bytes, &papers[0].name) {
            Ok(certification) => certification,
            Err(error) => {
                let subject = Subject { uuid: None, sha256: Some(papers[0].digest()) };
                return Err(self.refuse(Act::WarrantCertify, Some(subject), lines(&error), actor, now));
            }
        };
        let uuid = certification.uuid();
        let fact = Fact::Certified { uuid, certification: certification.digest(), signatures };
        self.judge(&fact, &papers, actor.clone(), now)?;
        let notes = [("signed_by", certification.overseer().to_owned())];
        self.write(&fact, &papers, actor, notes, now)?;
        Ok(uuid)
    }

    /// The cases whose certification is overdue: begun so many days ago as the policy gives, and not certified.
    pub fn overdue(&self, now: Timestamp) -> Vec<Uuid> {
        let Some(roster) = self.roster() else { return Vec::new() };
        let days = i64::from(roster.roster().policy().certify_within_days);
        let at = self.clock(now);
        let is_overdue = |case: &&Case| {
            let due = |begun: Timestamp| begun.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(begun);
            case.certified().is_none() && case.closed().is_none() && case.begun().is_some_and(|begun| at >= due(begun))
        };
        self.cases().filter(is_overdue).map(Case::uuid).collect()
    }

    /// Records once of each case that its certification is overdue; gives those of which that was not said before.
    pub fn note_overdue(&mut self, now: Timestamp) -> Result<Vec<Uuid>, RegisterError> {
        let unsaid = |uuid: &Uuid| self.state.case(*uuid).is_some_and(|case| !case.overdue);
        let uuids: Vec<_> = self.overdue(now).into_iter().filter(unsaid).collect();
        for uuid in &uuids {
            self.write_own(Fact::Overdue { uuid: *uuid }, Vec::new(), now)?;
        }
        Ok(uuids)
    }

    /// Keeps the scanned order that a warrant names by its digest, sealed with the key of the case.
    pub fn attach(&mut self, uuid: Uuid, order: &Original, actor: Actor, now: Timestamp) -> Result<(), RegisterError> {
        let digest = order.digest();
        // Judged before anything is sealed: a case that is unknown or closed gets no key.
        let fact = Fact::Attached { uuid, order: digest, sealed: Digest::ZERO };
        self.judge(&fact, &[], actor.clone(), now)?;
        let sealed = Original::new(&order.name, self.keys.seal(uuid, &order.bytes)?);
        let fact = Fact::Attached { uuid, order: digest, sealed: sealed.digest() };
        self.write(&fact, &[sealed], actor, [], now)
    }

    /// The scanned order of a case, until the case is closed.
    pub fn order(&self, uuid: Uuid, order: Digest) -> Result<Vec<u8>, RegisterError> {
        let sealed = self.case(uuid).and_then(|case| case.orders().get(&order)).copied();
        let sealed = sealed.ok_or_else(|| RegisterError::Refused(vec![format!("{uuid} has no order {order}")]))?;
        Ok(self.keys.unseal(uuid, &self.archive.get(sealed)?.bytes)?)
    }

    /// Keeps digests of what was delivered that the agency countersigned; gives the fingerprint of its key.
    pub fn countersigned(
        &mut self,
        uuid: Uuid,
        papers: Countersigned,
        actor: Actor,
        now: Timestamp,
    ) -> Result<String, RegisterError> {
        let Countersigned { digests, signature, key } = papers;
        let [of_digests, of_signature, of_key] = [&digests, &signature, &key].map(|paper| paper.digest());
        let fact = Fact::Countersigned { uuid, digests: of_digests, signature: of_signature, key: of_key };
        let papers = [digests, signature, key];
        let fingerprint = match self.judge(&fact, &papers, actor.clone(), now)? {
            Some(Change::Case(case)) => case.agreed.last().map(|agreed| agreed.fingerprint.clone()).unwrap_or_default(),
            _ => String::new(),
        };
        self.write(&fact, &papers, actor, [("fingerprint", fingerprint.clone())], now)?;
        Ok(fingerprint)
    }

    /// Closes a case that has ended and is certified, and destroys its key. `notes` are for whoever reads the log.
    pub fn close(
        &mut self,
        uuid: Uuid,
        notes: Vec<(&str, String)>,
        actor: Actor,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let fact = Fact::Closed { uuid };
        // Closed already, and the key is still there: what a crash left undone is done.
        let is_closed = self.case(uuid).is_some_and(|case| case.phase(now) == Phase::Closed);
        if !is_closed {
            self.judge(&fact, &[], actor.clone(), now)?;
            self.write(&fact, &[], actor, notes, now)?;
        }
        Ok(self.keys.destroy(uuid)?)
    }

    /// Destroys keys of closed cases that a crash has left.
    pub(super) fn destroy_left_keys(&self) -> Result<(), SealError> {
        let mut closed = self.state.cases().filter(|case| case.closed().is_some());
        closed.try_for_each(|case| self.keys.destroy(case.uuid()))
    }

    /// Writes a notice to somebody into a file of its own, and records that; gives the file. Its name says nothing of
    /// the case: the number of the last record before it.
    pub fn notify(
        &mut self,
        uuid: Uuid,
        to: &str,
        about: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<PathBuf, RegisterError> {
        let folder = self.folder.join(NOTICES);
        let name = format!("{:06}-{about}.txt", self.head().number);
        let file = folder.join(&name);
        durable::make_private_folder(&folder)
            .and_then(|()| durable::write(&file, text.as_bytes()))
            .map_err(|source| RegisterError::Notice { file: file.clone(), source })?;
        let notes = vec![("to", to.to_owned()), ("about", about.to_owned())];
        self.write_own(Fact::Noticed { uuid, file: name }, notes, now)?;
        Ok(file)
    }

    /// Writes a fact that the probe itself is the source of.
    pub(super) fn write_own(
        &mut self,
        fact: Fact,
        notes: Vec<(&str, String)>,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let actor = self.audit.own_actor();
        self.write(&fact, &[], actor, notes, now)
    }
}
