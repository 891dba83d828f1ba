//! The control role: takes warrants over the control socket, has them judged by `writ-authority`, keeps them, and keeps
//! the kernel in step with them by way of the capture role. Writes the audit log. One thread decides; others only read
//! sockets and pass on what they read.

mod access;
mod authority;
mod cases;
mod clock;
mod counts;
mod delivered;
mod exports;
mod incidents;
mod intercepts;
mod keeping;
mod order;
mod outgoing;
mod overview;
mod sealed;
mod socket;
mod status;
mod trace;
mod trials;
mod witness;

pub use access::{AccessFault, AccessSettings};
pub use authority::{Files, approve_replay, install_roster, open_register};
pub use delivered::lines_of;
pub use keeping::{note_backup, release};
pub use order::order;
pub use socket::{caller, socket_path};
pub use trials::test_alone;
pub use witness::key_file;

use crate::config::Config;
use crate::ipc::{
    Channel, ChannelError, DeliveryCounts, EndReason, ForeignEntries, FromCapture, FromDeliver, FromRole,
    InterceptCounts, Reply, Request, SlotName, ToControl, ToDeliver,
};
use crate::roles::Inheritance;
use access::{Access, Denials, Role};
use anyhow::Context;
use authority::{Authority, entry, own_actor};
use clock::ClockWatch;
use crossbeam::channel::{RecvTimeoutError, Sender, unbounded};
use exports::Exports;
use intercepts::{Intercepts, Progress, Tenancy};
use jiff::Timestamp;
use sealed::Sealed;
use socket::Asked;
use status::Observed;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use trace::Inquiry;
use trials::Trials;
use uuid::Uuid;
use witness::Witnesses;
use writ_authority::{Act, ApplicationsDue, Case, Outcome};
use writ_capture::{CounterFds, CounterView, privileges};
use writ_spool::Ledger;

/// How often the role looks at the clock.
const TICK: Duration = Duration::from_millis(20);
/// How long an answer waits for the capture role's word.
const CONFIRMATION: Duration = Duration::from_secs(3);
/// How long to wait before trying again to write down that warrants are over.
const DISK_PAUSE: Duration = Duration::from_secs(10);
/// How often overdue certifications are looked for.
const CERTIFICATIONS: Duration = Duration::from_secs(60);

/// What the deciding thread hears.
enum Event {
    Asked(Asked),
    Capture(Box<FromCapture>, Vec<OwnedFd>),
    Deliver(FromDeliver),
    Supervisor(ToControl),
    Deaf(ChannelError),
}

impl From<Asked> for Event {
    fn from(asked: Asked) -> Self {
        Self::Asked(asked)
    }
}

/// An answer that waits for the kernel.
struct Pending {
    warrant: Uuid,
    until: Progress,
    asked: Sender<Reply>,
    reply: Reply,
    deadline: Instant,
}

impl Pending {
    fn new(warrant: Uuid, until: Progress, asked: Sender<Reply>, reply: Reply) -> Self {
        Self { warrant, until, asked, reply, deadline: Instant::now() + CONFIRMATION }
    }

    /// Answers with what is done and what is not.
    fn unconfirmed(self, why: &str) {
        let warrant = self.warrant;
        let error = if self.until == Progress::Disarmed {
            format!(
                "warrant {warrant} is revoked for good, but {why}; stop the probe if it must end this moment: see \
                 `writ status`"
            )
        } else {
            format!(
                "warrant {warrant} is accepted and kept, but {why}; it is armed as soon as that role can: see `writ \
                 status`, or revoke it"
            )
        };
        answer(&self.asked, Reply::Failed { error });
    }
}

struct Control {
    config: Config,
    authority: Authority,
    intercepts: Intercepts,
    ledger: Arc<Ledger>,
    observed: Observed,
    clock: ClockWatch,
    witnesses: Witnesses,
    pending: Vec<Pending>,
    trials: Trials,
    /// Which cases have keys.
    sealed: Sealed,
    /// Those who wait for the trace of a slot.
    inquiries: Vec<Inquiry>,
    denials: Denials,
    /// Archives of cases that are being put together.
    exports: Exports,
    /// When ends of warrants are looked for next: put off while the disk does not take them.
    next_expiry: Instant,
    /// When a revision takes another's place by its start alone.
    succession: Option<Timestamp>,
    /// When overdue certifications are looked for next.
    next_certifications: Instant,
    /// Applications that were due when last looked.
    applications_due: ApplicationsDue,
    /// When it is looked for what is kept no longer.
    next_retention: Instant,
}

/// The role's life.
///
/// `configuration` is the configuration's text.
pub(super) fn run(
    config: Config,
    configuration: &str,
    life: u32,
    inheritance: Inheritance,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let Inheritance { supervisor, channels, ledger, .. } = inheritance;
    let [capture, deliver] =
        <[_; 2]>::try_from(channels).map_err(|_| anyhow::anyhow!("the channels to capture and deliver are missing"))?;
    privileges::drop_all()?;
    let ledger = Arc::new(Ledger::open(&ledger).context("the ledger's memory cannot be used")?);
    let mut authority = Authority::open(&config, configuration)?;
    let audit = Files::of(&config).audit;
    let witnesses = Witnesses::open(&config, &audit, deliver.try_clone()?)?;
    let clock = ClockWatch::open(&config, authority.register_mut(), witnesses.newest(), Timestamp::now())?;

    // A deliver role tells it at its own start alone.
    if life > 0
        && let Err(error) = deliver.send(&ToDeliver::TellSealed, &[])
    {
        tracing::error!(%error, "the deliver role is not asked which cases have keys");
    }
    let (sender, events) = unbounded();
    let access = Access::of(&config).map_err(|faults| anyhow::anyhow!(words(&faults)))?;
    socket::listen(&config, access, sender.clone())
        .with_context(|| format!("{}: the control socket cannot be made", socket_path(&config).display()))?;
    hear(capture.try_clone()?, sender.clone(), |message, beside| Event::Capture(Box::new(message), beside))?;
    hear(deliver.try_clone()?, sender.clone(), |message, _| Event::Deliver(message))?;
    hear(supervisor.try_clone()?, sender, |message, _| Event::Supervisor(message))?;

    let mut control = Control {
        intercepts: Intercepts::new(capture, &ledger, authority.register(), &config, life == 0),
        config,
        authority,
        ledger,
        observed: Observed::default(),
        clock,
        witnesses,
        pending: Vec::new(),
        trials: Trials::new(deliver),
        sealed: Sealed::default(),
        inquiries: Vec::new(),
        denials: Denials::default(),
        exports: Exports::default(),
        next_expiry: Instant::now(),
        succession: None,
        next_certifications: Instant::now(),
        applications_due: ApplicationsDue::default(),
        next_retention: Instant::now(),
    };
    // A control role that comes back is no start of the probe: the supervisor tells of it.
    if life == 0 {
        control.note_start()?;
    }
    control.tell_of_late_ends();
    supervisor.send(&FromRole::Ready, &[])?;
    while !stop.load(Ordering::Relaxed) {
        match events.recv_timeout(TICK) {
            Ok(event) => control.hear(event)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("nobody is left to listen to"),
        }
        control.tick();
    }
    // Capture has ended by now; its last words are still to be read.
    while let Ok(event) = events.recv_timeout(TICK * 5) {
        control.hear(event)?;
    }
    control.finish_intercepts();
    control.note_stop();
    Ok(())
}

/// Passes on what comes from a channel, in a thread of its own.
fn hear<T: serde::de::DeserializeOwned>(
    channel: Channel,
    events: Sender<Event>,
    wrap: impl Fn(T, Vec<OwnedFd>) -> Event + Send + 'static,
) -> std::io::Result<()> {
    std::thread::Builder::new().name("hear".into()).spawn(move || {
        loop {
            let event = match channel.receive(Duration::from_secs(3600)) {
                Ok(Some((message, beside))) => wrap(message, beside),
                Ok(None) => continue,
                Err(error) => Event::Deaf(error),
            };
            let deaf = matches!(&event, Event::Deaf(error) if !matches!(error, ChannelError::Unreadable(_)));
            if events.send(event).is_err() || deaf {
                return;
            }
        }
    })?;
    Ok(())
}

impl Control {
    fn hear(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Asked(asked) => self.answer(asked),
            Event::Capture(message, beside) => self.hear_capture(*message, beside),
            Event::Deliver(message) => self.hear_deliver(message),
            Event::Supervisor(message) => self.hear_supervisor(message),
            Event::Deaf(ChannelError::Unreadable(error)) => {
                tracing::error!(%error, "a message is in no form that this version knows");
            }
            Event::Deaf(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn hear_deliver(&mut self, message: FromDeliver) {
        match message {
            FromDeliver::Tried { case_id, outcome } => self.tried(&case_id, outcome.map(|streams| *streams)),
            FromDeliver::Witness(word) => self.witnesses.hear(word),
            FromDeliver::Sealed { destination, cases } => self.sealed.hear(destination, cases),
        }
    }

    fn hear_supervisor(&mut self, message: ToControl) {
        match message {
            ToControl::RoleStarted { role, pid, life } => {
                if life > 0 {
                    *self.observed.restarts.entry(role.name().to_owned()).or_default() += 1;
                    let details = [("role", role.name().to_owned()), ("pid", pid.to_string())];
                    self.authority.record_or_log(entry(Act::RoleRestart, Outcome::Done, own_actor(), None, details));
                }
            }
            ToControl::RoleEnded { role, status } => {
                let details = [("role", role.name().to_owned()), ("status", status)];
                self.authority.record_or_log(entry(Act::RoleRestart, Outcome::Failed, own_actor(), None, details));
            }
        }
    }

    fn hear_capture(&mut self, message: FromCapture, beside: Vec<OwnedFd>) {
        match message {
            FromCapture::Hello(part) => {
                let view = <[OwnedFd; 2]>::try_from(beside).ok().and_then(|[slots, probe]| {
                    CounterView::open(&CounterFds { slots, probe })
                        .inspect_err(|error| tracing::error!(%error, "the counters cannot be read"))
                        .ok()
                });
                self.observed.meet(part.life);
                self.intercepts.meet(part, view, &self.ledger, self.authority.register(), &self.config);
                self.reconcile();
                self.confirm_stops();
            }
            FromCapture::Armed { slot, revision } => {
                if let Some(step) = self.intercepts.armed(slot, revision, &self.ledger) {
                    if step.is_new {
                        let own = [("slot", name(slot)), ("revision", revision.to_string())];
                        let details = self.clock.details().into_iter().chain(own).collect();
                        self.authority.armed(step.warrant, self.clock.doubt_ms(), details);
                        self.witnesses.hurry();
                    }
                    let armed =
                        |pending: &mut Pending| pending.warrant == step.warrant && pending.until == Progress::Armed;
                    for pending in self.pending.extract_if(.., armed) {
                        answer(&pending.asked, pending.reply);
                    }
                }
            }
            FromCapture::Begun { slot, at_utc_ns } => {
                if let Some(step) = self.intercepts.advance(slot, Progress::Begun, &self.ledger).filter(|it| it.is_new)
                {
                    let details = self.clock.details().into_iter().chain([("slot", name(slot))]).collect();
                    self.authority.begun(step.warrant, time(at_utc_ns), details);
                    self.witnesses.hurry();
                }
            }
            FromCapture::Disarmed { slot } => {
                self.intercepts.advance(slot, Progress::Disarmed, &self.ledger);
                self.confirm_stops();
            }
            FromCapture::Ended { slot, reason, at_utc_ns } => {
                self.intercepts.note_ending(slot, reason, time(at_utc_ns));
                let ended = self.intercepts.advance(slot, Progress::Ended, &self.ledger);
                let stop = self.intercepts.stop_of(slot);
                if let Some((step, stop)) = ended.filter(|_| reason == EndReason::Expired).zip(stop) {
                    // By boot time, which nobody can set back.
                    self.authority.expired(step.warrant, time(stop));
                    // By now it may have longer, and takes a slot anew.
                    self.reconcile();
                }
                self.confirm_stops();
            }
            FromCapture::Refused { slots, what } => {
                tracing::error!(slots = ?slots, error = %what, "capture could not do as it was told");
                let concerned = |it: &Tenancy| slots.contains(&it.order.slot);
                let warrants: Vec<_> =
                    self.intercepts.iter().filter(|it| concerned(it)).map(|it| it.order.warrant).collect();
                for pending in self.pending.extract_if(.., |pending| warrants.contains(&pending.warrant)) {
                    pending.unconfirmed(&format!("the capture role cannot carry that out: {what}"));
                }
            }
            FromCapture::ClockStepped { by_ns } => {
                let details = [("stepped_by_ns", by_ns.to_string())];
                self.authority.record_or_log(entry(Act::ClockDoubt, Outcome::Done, own_actor(), None, details));
            }
            FromCapture::Foreign(found) => {
                for ForeignEntries { table, done, count } in found {
                    let details = [("table", table), ("done", done), ("entries", count.to_string())];
                    self.authority.record_or_log(entry(Act::TablesForeign, Outcome::Done, own_actor(), None, details));
                }
                self.witnesses.hurry();
            }
            FromCapture::Report(report) => {
                self.intercepts.settle(&report, &self.ledger);
                self.observed.report(report);
            }
            FromCapture::Inspected(inspection) => self.inspected(&inspection),
        }
    }

    fn tick(&mut self) {
        if Instant::now() >= self.next_expiry {
            match self.authority.register_mut().expire(self.clock.no_earlier(Timestamp::now())) {
                Ok(expired) if expired.is_empty() => {}
                Ok(_) => self.reconcile(),
                Err(error) => {
                    tracing::error!(%error, "the end of a warrant is not on disk; the kernel has ended it");
                    self.next_expiry = Instant::now() + DISK_PAUSE;
                    self.reconcile();
                }
            }
        }
        if self.succession.is_some_and(|at| Timestamp::now() >= at) {
            self.reconcile();
        }
        if Instant::now() >= self.next_certifications {
            self.next_certifications = Instant::now() + CERTIFICATIONS;
            self.watch_certifications();
        }
        self.finish_intercepts();
        if Instant::now() >= self.next_retention {
            self.discard_old_records();
        }
        let now = Instant::now();
        for pending in self.pending.extract_if(.., |pending| pending.deadline <= now) {
            pending.unconfirmed("the capture role has not confirmed it");
        }
        self.give_up_trial(now);
        self.give_up_inquiries();
        self.record_counted_denials();
        self.finish_exports();
        self.intercepts.flush();
        let (head, now) = (self.authority.register().head(), Timestamp::now());
        if self.clock.tick(head, now) {
            self.reconcile();
        }
        self.witnesses.tick(head, now);
    }

    /// Records the final figures of what has ended, and gives its slots back.
    fn finish_intercepts(&mut self) {
        for last in self.intercepts.finished(&self.ledger, &self.config) {
            let reason = format!("{:?}", last.reason).to_lowercase();
            let figures = final_figures(last.slot, reason, &last.counts);
            self.authority.stopped(last.warrant, last.at, figures);
            self.observed.ended.insert(last.warrant, last.counts);
            self.witnesses.hurry();
        }
    }

    fn reconcile(&mut self) {
        let (register, now) = (self.authority.register(), self.clock.no_earlier(Timestamp::now()));
        let reason = |uuid| match register.case(uuid).and_then(Case::ending) {
            Some(ending) if ending.is_expiry() => EndReason::Expired,
            // One that is held or damaged has no ending, and takes nothing all the same.
            _ => EndReason::Revoked,
        };
        let in_force = register.in_force(now);
        self.intercepts.reconcile(&in_force, reason, self.clock.is_held(), &self.config);
        self.succession = register.next_succession(now);
    }

    /// Answers those who wait for an intercept to stop that has stopped.
    fn confirm_stops(&mut self) {
        let intercepts = &self.intercepts;
        let stopped =
            |pending: &mut Pending| pending.until == Progress::Disarmed && intercepts.is_stopped(pending.warrant);
        for pending in self.pending.extract_if(.., stopped) {
            answer(&pending.asked, pending.reply);
        }
    }

    fn answer(&mut self, asked: Asked) {
        let Asked { request, asker, answer: to } = asked;
        let register = self.authority.register();
        let whose = |uuid| match register.incident(uuid) {
            Some(incident) => incidents::whose(&asker, register, incident),
            None => cases::whose(&asker, register.case(uuid)),
        };
        let request = match access::judge(&asker, request, whose) {
            Ok(Ok(request)) => request,
            Ok(Err(error)) => return answer(&to, Reply::Failed { error }),
            Err(denial) => {
                self.record_denial(&asker, &denial);
                return answer(&to, Reply::Refused { reasons: vec![denial.reason] });
            }
        };
        let actor = asker.actor.clone();
        let reply = match request {
            Request::Status if asker.has(Role::Admin) => Reply::Status(Box::new(self.status())),
            Request::Status => Reply::Overview(Box::new(self.status().into())),
            Request::SlotTrace { slot } => return self.inquire(slot, to),
            Request::WarrantSubmit { file, document, signatures } => {
                return self.submit((&file, &document), &signatures, actor, to);
            }
            Request::WarrantApprove { uuid, signatures } => return self.approve(uuid, &signatures, actor, to),
            Request::WarrantRevoke { file, document, signatures } => {
                return self.revoke((&file, &document), &signatures, actor, to);
            }
            Request::WarrantDraftCertification { uuid, overseer } => self.draft_certification(uuid, &overseer, actor),
            Request::WarrantCertify { file, document, signatures } => {
                self.certify((&file, &document), &signatures, actor)
            }
            Request::WarrantAttach { uuid, file, content } => self.attach(uuid, &file, &content, actor),
            Request::WarrantClose { uuid } => self.close(uuid, actor),
            Request::CaseExport { uuid, until } => return self.export(uuid, until, actor, to),
            Request::IncidentReport(report) => self.report_incident(*report, actor),
            Request::IncidentList => self.list_incidents(&asker),
            Request::IncidentShow { uuid } => self.show_incident(uuid, actor),
            Request::IncidentTold { uuid, telling } => self.note_told(uuid, *telling, actor),
            Request::CaseDigests { uuid, skip } => return self.case_digests(uuid, skip, actor, to),
            Request::CaseCountersigned(papers) => self.countersigned(&papers, actor),
            Request::WarrantList => self.list(&asker),
            Request::WarrantShow { uuid } => self.show(uuid, actor),
            Request::AuditHead => {
                let head = self.authority.register().head();
                Reply::AuditHead { number: head.number, hash: head.hash.to_string() }
            }
            Request::BackupCreate { manifest } => self.note_backup(manifest, actor),
            Request::BackupRelease { head, shown_by } => self.release(head, &shown_by, actor),
            Request::RosterInstall { file, document, signatures } => {
                let register = self.authority.register_mut();
                let reply = install_roster(register, (&file, &document), &signatures, actor);
                // It may have ended some.
                self.reconcile();
                reply
            }
            Request::RosterShow => self.authority.show_roster(),
            Request::DestinationTest { destination, packets } => {
                match self.begin_trial(&destination, packets, actor, &to) {
                    Ok(()) => return,
                    Err(reply) => reply,
                }
            }
        };
        answer(&to, reply);
    }

    fn note_start(&mut self) -> anyhow::Result<()> {
        let restart = self.ledger.restart();
        let details = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("configuration", self.authority.activation().configuration.to_string()),
            ("probe", self.config.probe.id.clone()),
            ("interfaces", self.config.capture.iter().map(|it| it.interface.as_str()).collect::<Vec<_>>().join(",")),
            (
                "isolation",
                format!("{:?}", self.config.capture.iter().map(|it| it.isolation).collect::<Vec<_>>()).to_lowercase(),
            ),
            ("key", self.witnesses.fingerprint()),
            ("ledger", restart.origin.label().to_owned()),
            ("numbers_jumped_by", restart.jumped.to_string()),
            ("undelivered_at_last_end", restart.undelivered.to_string()),
        ];
        let details = details.into_iter().chain(self.clock.details());
        self.authority.record(entry(Act::ProbeStart, Outcome::Done, own_actor(), None, details))?;
        Ok(())
    }

    fn note_stop(&mut self) {
        self.record_last_denials();
        let figures: Vec<_> = self
            .intercepts
            .iter()
            .filter(|it| !it.is_recorded())
            .map(|it| (it.order.warrant, it.order.slot, self.intercepts.counts(it, &self.ledger, &self.config)))
            .collect();
        for (warrant, slot, counts) in figures {
            let details = final_figures(slot, "probe-stop".to_owned(), &counts);
            tracing::info!(slot = slot.slot, figures = ?details, "final counts");
            self.authority.stopped(warrant, Timestamp::now(), details);
        }
        self.authority.record_or_log(entry(
            Act::ProbeStop,
            Outcome::Done,
            own_actor(),
            None,
            [] as [(&str, String); 0],
        ));
        let (head, now) = (self.authority.register().head(), Timestamp::now());
        self.clock.tick(head, now);
        self.witnesses.finish(head, now);
    }
}

/// All faults of the accounts in one text.
fn words(faults: &[AccessFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn answer(to: &Sender<Reply>, reply: Reply) {
    // Somebody who has stopped waiting does not get it.
    drop(to.send(reply));
}

/// An intercept's account, as the audit log keeps it: sums, and each delivery in words.
fn final_figures(slot: SlotName, reason: String, counts: &InterceptCounts) -> BTreeMap<String, String> {
    let reasons = |lost: &BTreeMap<String, u64>| {
        lost.iter().map(|(reason, packets)| format!(", lost {reason} {packets}")).collect::<String>()
    };
    let deliveries = (1..).zip(&counts.deliveries).map(|(number, it)| {
        let DeliveryCounts { destination, delivered, waiting, events_delivered, cmc_next_sequence, lost, .. } = it;
        let account = format!(
            "{destination}: delivered {delivered}, events {events_delivered}, waiting {waiting}, next CmC number \
             {cmc_next_sequence}{}",
            reasons(lost)
        );
        (format!("delivery_{number}"), account)
    });
    let before = counts.lost.iter().map(|(reason, packets)| (format!("lost_{reason}"), packets.to_string()));
    let sum = |of: fn(&DeliveryCounts) -> u64| counts.deliveries.iter().map(of).sum::<u64>();
    let figures = [
        ("matched", counts.matched),
        ("lost", counts.lost.values().sum()),
        ("delivered", sum(|it| it.delivered)),
        ("waiting", sum(|it| it.waiting)),
        ("lost_in_delivery", sum(|it| it.lost.values().sum())),
    ];
    let figures = figures.into_iter().map(|(name, figure)| (name, figure.to_string()));
    let figures = figures.chain([("slot", name(slot)), ("reason", reason)]);
    figures.map(|(name, figure)| (name.to_owned(), figure)).chain(before).chain(deliveries).collect()
}

fn name(slot: SlotName) -> String {
    format!("{}.{}", slot.slot, slot.generation)
}

/// A moment in nanoseconds of UTC since 1970.
fn time(utc_ns: u64) -> Timestamp {
    // In range: 64 bits of nanoseconds reach to the year 2554, a Timestamp to 9999.
    Timestamp::from_nanosecond(utc_ns.into()).unwrap_or(Timestamp::MAX)
}
