//! What the control role does with a case when it is asked: takes it in, ends it, has it certified, closes it. The
//! register decides; here its decisions reach the kernel and the people whom they concern.

use super::access::{Asker, Whose};
use super::authority::{handed_in, papers, reply};
use super::intercepts::Progress;
use super::{Control, Pending, answer};
use crate::ipc::{NamedSignature, Reply};
use base64ct::{Base64, Encoding};
use crossbeam::channel::Sender;
use jiff::Timestamp;
use std::collections::BTreeSet;
use uuid::Uuid;
use writ_authority::{Actor, Application, Basis, Case, Ending, Original, Proposal, RegisterError, Warrant, words};

/// Whose a case is, seen from an asker.
pub(super) fn whose(asker: &Asker, case: Option<&Case>) -> Whose {
    match case {
        Some(case) if case.warrant().is_some_and(|warrant| asker.may_see(warrant)) => Whose::Theirs,
        Some(case) if case.warrant().is_none() && case.damage().is_some() => Whose::Unknown,
        _ => Whose::NotTheirs,
    }
}

impl Control {
    /// A revision of a warrant is handed in.
    pub(super) fn submit(
        &mut self,
        (file, document): (&str, &str),
        signatures: &[NamedSignature],
        actor: Actor,
        to: Sender<Reply>,
    ) {
        let handed = handed_in(file, document, signatures);
        let proposal = self.authority.register_mut().submit(handed, actor.clone(), Timestamp::now());
        self.take_up(proposal, actor, to);
    }

    /// More signatures are handed in.
    pub(super) fn approve(&mut self, uuid: Uuid, signatures: &[NamedSignature], actor: Actor, to: Sender<Reply>) {
        let proposal = self.authority.register_mut().approve(uuid, papers(signatures), actor.clone(), Timestamp::now());
        self.take_up(proposal, actor, to);
    }

    /// Records what stands, and answers once the kernel has it.
    fn take_up(&mut self, proposal: Result<Proposal, RegisterError>, actor: Actor, to: Sender<Reply>) {
        let now = self.clock.no_earlier(Timestamp::now());
        let before = self.authority.register().in_force(now);
        let enacted = proposal.and_then(|proposal| {
            let force = proposal.force(now);
            let mut reasons = Vec::new();
            let narrows = force.as_ref().is_some_and(|force| force.approved().approval().basis == Basis::Narrowing);
            if let Some(warrant) = proposal.warrant().filter(|_| !narrows) {
                reasons.extend(self.sealed.lacking(warrant, &self.config));
            }
            if let Some(force) = &force {
                reasons.extend(self.intercepts.has_room(force, &before, &self.config).err());
                if !narrows {
                    reasons.extend(self.clock.held().into_iter().map(|why| format!("nothing new is armed: {why}")));
                }
            }
            self.authority.check_fit(&proposal, reasons, actor.clone(), &self.config)?;
            self.authority.register_mut().enact(&proposal, actor, now)?;
            Ok(proposal)
        });
        let proposal = match enacted {
            Ok(proposal) => proposal,
            Err(error) => {
                // The register may have been told of a log that lost something: then nothing is in force any more.
                self.reconcile();
                return answer(&to, reply("the warrant is not taken", error));
            }
        };
        let case = proposal.case();
        let uuid = case.uuid();
        let words = proposal.warrant().map(words).unwrap_or_default();
        let waiting = case.waiting().filter(|waiting| {
            case.latest().is_none_or(|latest| latest.warrant.warrant().digest() != waiting.warrant.digest())
        });
        if let Some(waiting) = waiting {
            return answer(&to, Reply::Waiting { uuid, missing: waiting.missing.clone(), words });
        }
        let latest = case.latest();
        let reply = Reply::Submitted {
            uuid,
            approved_by: latest.map(|latest| latest.warrant.approval().officers.clone()).unwrap_or_default(),
            words,
            provisional_until: latest.and_then(|latest| latest.provisional).map(|until| until.to_string()),
        };
        let force = proposal.force(now);
        self.reconcile();
        // What the kernel has already needs no word of its own; what it is not to have yet gets none.
        if force.is_none_or(|force| before.contains(&force)) {
            return answer(&to, reply);
        }
        self.pending.push(Pending::new(uuid, Progress::Armed, to, reply));
    }

    /// A revocation is handed in. The kernel takes nothing more when it is answered.
    pub(super) fn revoke(
        &mut self,
        (file, document): (&str, &str),
        signatures: &[NamedSignature],
        actor: Actor,
        to: Sender<Reply>,
    ) {
        let handed = handed_in(file, document, signatures);
        let stop = match self.authority.register_mut().stop(handed, actor, Timestamp::now()) {
            Ok(stop) => stop,
            Err(error) => return answer(&to, reply("the warrant is not revoked", error)),
        };
        // First the kernel, then the disk and all the rest.
        self.reconcile();
        let revoked = match self.authority.register_mut().record_stop(stop, Timestamp::now()) {
            Ok(revoked) => revoked,
            Err(error) => return answer(&to, reply("the warrant is revoked, and more follows from that", error)),
        };
        let uuid = revoked.uuid;
        // What the register learned by the revocation may hold others.
        self.reconcile();
        self.witnesses.hurry();
        let answer = match revoked.recorded {
            Ok(()) => Reply::Revoked { uuid, notices: self.tell_cosigners(uuid) },
            Err(error) => Reply::Failed {
                error: format!(
                    "warrant {uuid} is revoked: nothing more is taken; but that is not on disk, and a restart may put \
                     it in force again: {error}; then revoke it again"
                ),
            },
        };
        self.pending.push(Pending::new(uuid, Progress::Disarmed, to, answer));
        self.confirm_stops();
    }

    /// Tells those who approved a warrant, in any revision, that it was ended by another; gives the files.
    pub(super) fn tell_cosigners(&mut self, uuid: Uuid) -> Vec<String> {
        let Some(case) = self.authority.register().case(uuid) else { return Vec::new() };
        let Some(Ending::Revoked { at, by, reason } | Ending::Denied { at, by, reason }) = case.ending() else {
            return Vec::new();
        };
        let text = format!(
            "The warrant {uuid}, which you approved, was ended for good\nat {at}\nby {by}\nbecause: {reason}\n"
        );
        let approvers = case.revisions().iter().flat_map(|revision| &revision.warrant.approval().officers);
        let cosigners: BTreeSet<_> =
            approvers.filter(|name| !by.split(" and ").any(|it| it == *name)).cloned().collect();
        cosigners.iter().filter_map(|name| self.notify(uuid, name, "revocation", &text)).collect()
    }

    /// Who oversees an interception is on record once it is certified; until then one of those who approved it answers.
    fn tell_of_overdue(&mut self, uuid: Uuid) {
        let case = self.authority.register().case(uuid);
        let Some((case, latest)) = case.and_then(|case| case.latest().map(|latest| (case, latest))) else { return };
        let to = latest.warrant.approval().officers.join(" and ");
        let begun = case.begun().map(|at| at.to_string()).unwrap_or_default();
        let text = format!(
            "The interception under the warrant {uuid}, which you approved, began\nat {begun}\nand is not certified (47 CFR \
             1.20004). Whoever of you oversees it signs what\n`writ warrant certify {uuid} --overseer NAME` prints.\n"
        );
        self.notify(uuid, &to, "certification-overdue", &text);
    }

    fn notify(&mut self, uuid: Uuid, to: &str, about: &str, text: &str) -> Option<String> {
        let text = format!("To: {to}\nFrom: {}, probe {}\n\n{text}", self.config.probe.operator, self.config.probe.id);
        match self.authority.register_mut().notify(uuid, to, about, &text, Timestamp::now()) {
            Ok(file) => Some(file.display().to_string()),
            Err(error) => {
                tracing::error!(%error, "a notice is not written, or not recorded");
                None
            }
        }
    }

    pub(super) fn draft_certification(&mut self, uuid: Uuid, overseer: &str, actor: Actor) -> Reply {
        if let Err(reply) = self.authority.viewed(Some(uuid), actor) {
            return reply;
        }
        match self.authority.register().draft_certification(uuid, overseer, Timestamp::now()) {
            Ok(document) => Reply::CertificationDraft { document },
            Err(error) => reply("there is no certification to sign", error),
        }
    }

    pub(super) fn certify(
        &mut self,
        (file, document): (&str, &str),
        signatures: &[NamedSignature],
        actor: Actor,
    ) -> Reply {
        let handed = handed_in(file, document, signatures);
        match self.authority.register_mut().certify(handed, actor, Timestamp::now()) {
            Ok(uuid) => Reply::Certified { uuid },
            Err(error) => reply("the certification is not taken", error),
        }
    }

    pub(super) fn attach(&mut self, uuid: Uuid, file: &str, content: &str, actor: Actor) -> Reply {
        let Ok(bytes) = Base64::decode_vec(content) else {
            return Reply::Failed { error: "the file did not arrive whole; hand it in again".to_owned() };
        };
        match self.authority.register_mut().attach(uuid, &Original::new(file, bytes), actor, Timestamp::now()) {
            Ok(()) => Reply::Attached { uuid },
            Err(error) => reply("the order is not kept", error),
        }
    }

    /// Closes a case, and writes the notices that its end calls for.
    pub(super) fn close(&mut self, uuid: Uuid, actor: Actor) -> Reply {
        let register = self.authority.register_mut();
        if let Err(error) = register.close(uuid, Vec::new(), actor, Timestamp::now()) {
            return reply("the case is not closed", error);
        }
        let Some(case) = register.case(uuid) else { return Reply::Closed { uuid, notices: Vec::new() } };
        let Some(warrant) = case.warrant() else { return Reply::Closed { uuid, notices: Vec::new() } };
        let account = account(case, warrant);
        let order = warrant.order();
        let agency = format!("{} ({})", order.presented_by, order.agency);
        let overseer = case.certified().map(|certified| certified.by.clone());
        let to_agency = format!("The interception under your order has been deactivated.\n\n{account}");
        let to_overseer = format!(
            "The case of the interception that you certified is closed, and its key destroyed. What is left to do: tell \
             the agency, with the notice beside this one; keep the record as the operator's policy says.\n\n{account}"
        );
        let mut notices: Vec<_> = self.notify(uuid, &agency, "deactivation", &to_agency).into_iter().collect();
        if let Some(overseer) = overseer {
            notices.extend(self.notify(uuid, &overseer, "closing", &to_overseer));
        }
        Reply::Closed { uuid, notices }
    }

    /// Raises the alarm over certifications that are overdue, once for each.
    pub(super) fn watch_certifications(&mut self) {
        match self.authority.register_mut().note_overdue(Timestamp::now()) {
            Ok(overdue) if overdue.is_empty() => {}
            Ok(overdue) => {
                tracing::error!(
                    interceptions = overdue.len(),
                    "ALARM: certifications are overdue (47 CFR 1.20004); see `writ warrant list`"
                );
                overdue.into_iter().for_each(|uuid| self.tell_of_overdue(uuid));
            }
            Err(error) => tracing::error!(%error, "the audit log takes no record"),
        }
        let due = self.authority.register().applications_due(Timestamp::now());
        let before = std::mem::replace(&mut self.applications_due, due);
        if due.soon > before.soon || due.overdue > before.overdue {
            tracing::error!(
                soon = due.soon,
                overdue = due.overdue,
                "ALARM: applications for the order that follows an emergency are due (18 USC 2518(7)); see `writ warrant \
                 show`"
            );
        }
    }
}

/// What was done in a case, in words and figures.
fn account(case: &Case, warrant: &Warrant) -> String {
    let order = warrant.order();
    let moment = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let mut lines = vec![
        format!("Warrant: {}, revision {}", case.uuid(), warrant.revision()),
        format!("Order: {}, {}", warrant.grant().authority(), order.docket.as_deref().unwrap_or("without a docket")),
    ];
    lines.extend(warrant.deliveries().iter().map(|it| format!("Case: {}, to {}", it.case_id, it.destination)));
    lines.push(format!("Began: {}", moment(case.begun())));
    lines.push(format!("Ended: {}", case.ending().map(ending).unwrap_or_default()));
    lines.push(format!("Last figures: {}", moment(case.stopped())));
    if let (Some(begun), Some(stopped)) = (case.begun(), case.stopped()) {
        lines.push(format!("Hours: {:.1}", stopped.duration_since(begun).as_secs_f64() / 3600.0));
    }
    lines.extend(case.figures().iter().map(|(name, figure)| format!("{name}: {figure}")));
    lines.push(String::new());
    lines.join("\n")
}

/// How the application stands that has to follow an emergency, in words.
pub(super) fn application(Application { due, made }: Application, at: Timestamp) -> String {
    match made {
        Some(day) => format!("made on {day}; due by {due}"),
        None if at >= due => format!("ALARM: overdue since {due} (18 USC 2518(7))"),
        None => format!("due by {due} (18 USC 2518(7))"),
    }
}

/// How a case ended, in words.
pub(super) fn ending(ending: &Ending) -> String {
    let at = ending.at();
    match ending {
        Ending::Expired { .. } => format!("its time was over, noted {at}"),
        Ending::Unconfirmed { .. } => format!("the other signatures did not come in time, noted {at}"),
        Ending::Revoked { by, reason, .. } => format!("revoked by {by} at {at}: {reason}"),
        Ending::Denied { by, reason, .. } => format!("denied, as {by} said at {at}: {reason}"),
        Ending::Unvouched { version, .. } => {
            format!("by version {version} of the roster at {at}: its approvals hung on keys that were taken out")
        }
    }
}
