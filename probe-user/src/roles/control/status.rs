//! What the control role answers to questions: status without identities, warrants with them.

use super::access::{Asker, Whose};
use super::{Control, cases};
use crate::ipc::{
    CaptureReport, Held, InterceptCounts, InterceptStatus, Reply, RevisionLine, SessionStatus, StatusReport,
    WarrantDetail, WarrantLine,
};
use hashbrown::HashMap;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Instant;
use uuid::Uuid;
use writ_abi::ProbeCounter;
use writ_authority::{Actor, Case, Revision, Warrant};
use writ_capture::utc_now_ns;
use writ_delivery::FailureKind;
use writ_spool::SessionState;

/// What the role has seen, beside what it decides.
#[derive(Default)]
pub(super) struct Observed {
    /// The last report of the capture role, and when it came.
    capture: Option<(CaptureReport, Instant)>,
    /// Which capture process that is.
    life: Option<u32>,
    /// Isolation violations that capture processes before that one counted: an alarm does not go out with its process.
    former_violations: u64,
    /// Foreign entries of the kernel's tables, likewise.
    former_foreign: u64,
    /// How often roles were started again.
    pub(super) restarts: BTreeMap<String, u32>,
    /// Final figures of intercepts that ended in this run.
    pub(super) ended: HashMap<Uuid, InterceptCounts>,
}

impl Observed {
    /// A capture role has said which process it is. What the one before it reported is its last word.
    pub(super) fn meet(&mut self, life: u32) {
        if self.life.replace(life).is_some_and(|before| before != life) {
            (self.former_violations, self.former_foreign) = (self.violations(), self.foreign());
            self.capture = None;
        }
    }

    /// A report of the capture role.
    pub(super) fn report(&mut self, report: CaptureReport) {
        let before = (self.violations(), self.foreign());
        self.capture = Some((report, Instant::now()));
        let (violations, foreign) = (self.violations(), self.foreign());
        if foreign > before.1 {
            tracing::error!(foreign, "ALARM: somebody else has written into the kernel's tables; that was put right");
        }
        if violations > before.0 {
            tracing::error!(
                violations,
                "ALARM: frames that the kernel handed over were no target's; they were destroyed"
            );
        }
    }

    fn foreign(&self) -> u64 {
        self.former_foreign + self.capture.as_ref().map_or(0, |(report, _)| report.foreign_entries)
    }

    fn violations(&self) -> u64 {
        self.former_violations + self.capture.as_ref().map_or(0, |(report, _)| report.isolation_violations)
    }
}

impl Control {
    pub(super) fn status(&self) -> StatusReport {
        let view = self.intercepts.view();
        let program = ProbeCounter::ALL
            .iter()
            .map(|counter| (counter.label().to_owned(), view.map_or(0, |view| view.probe(*counter))))
            .collect();
        let now = Timestamp::now();
        let mut intercepts: Vec<_> = self
            .intercepts
            .iter()
            .map(|tenancy| InterceptStatus {
                slot: tenancy.order.slot,
                phase: self
                    .authority
                    .register()
                    .case(tenancy.order.warrant)
                    .map_or("ended", |case| case.phase(now).as_str())
                    .to_owned(),
                scope: if tenancy.order.headers_only { "headers" } else { "content" }.to_owned(),
                counts: self.intercepts.counts(tenancy, &self.ledger, &self.config),
            })
            .collect();
        intercepts.sort_by_key(|intercept| intercept.slot.slot);
        let sessions = self.sessions(&intercepts);
        let applications = self.authority.register().applications_due(now);
        StatusReport {
            probe: self.config.probe.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_utc_ns: utc_now_ns(),
            program,
            capture: CaptureReport {
                isolation_violations: self.observed.violations(),
                foreign_entries: self.observed.foreign(),
                ..self.observed.capture.as_ref().map(|(report, _)| report.clone()).unwrap_or_default()
            },
            capture_age_ms: self
                .observed
                .capture
                .as_ref()
                .map(|(_, at)| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
            intercepts,
            sessions,
            restarts: self.observed.restarts.clone(),
            damaged: self.authority.damaged(),
            held: self.held(),
            untold: self.untold(),
            records_kept: self.config.records.keep_years.to_string(),
            uncertified: self.authority.register().overdue(now).len(),
            applications_due_soon: applications.soon,
            applications_overdue: applications.overdue,
            audit_number: self.authority.register().head().number,
            checkpoint_number: self.witnesses.newest().map_or(0, |newest| newest.number),
            witnesses: self.witnesses.status(now),
            clock: self.clock.status(),
        }
    }

    /// Why nothing new is put in force: the clock, or what the log has forgotten.
    fn held(&self) -> Vec<Held> {
        let log = self.authority.register().holds();
        let log = log.map(|it| Held::Log { record: it.record, why: it.why.clone(), remedy: it.remedy() });
        self.clock.held().into_iter().chain(log).collect()
    }

    /// How the sessions do. What waits is known from the ledger: the streams' memory holds content, and this role has
    /// none.
    fn sessions(&self, intercepts: &[InterceptStatus]) -> Vec<SessionStatus> {
        let endpoints =
            self.config.destination.iter().flat_map(|destination| [(destination, "cmii"), (destination, "cmc")]);
        endpoints
            .enumerate()
            .map(|(index, (destination, stream))| {
                let account = self.ledger.stream(index).map(|account| account.snapshot()).unwrap_or_default();
                let waiting = intercepts
                    .iter()
                    .flat_map(|intercept| &intercept.counts.deliveries)
                    .filter(|delivery| delivery.destination == destination.name)
                    .map(|delivery| if stream == "cmii" { delivery.waiting_cmii } else { delivery.waiting_cmc })
                    .sum();
                let state = match FailureKind::from_code(account.failure) {
                    Some(failure) if account.state != SessionState::Connected => {
                        format!("{}: {}", account.state.label(), failure.message())
                    }
                    _ => account.state.label().to_owned(),
                };
                SessionStatus {
                    destination: destination.name.clone(),
                    stream: stream.to_owned(),
                    state,
                    connected: account.state == SessionState::Connected,
                    waiting,
                    delivered: account.delivered_records,
                    resent: account.resent_records,
                    sessions: account.sessions,
                }
            })
            .collect()
    }

    pub(super) fn list(&mut self, asker: &Asker) -> Reply {
        if let Err(reply) = self.authority.viewed(None, asker.actor.clone()) {
            return reply;
        }
        let is_theirs = |case: &&Case| match cases::whose(asker, Some(case)) {
            Whose::Theirs => true,
            Whose::NotTheirs => false,
            Whose::Unknown => asker.sees_all(),
        };
        let theirs = self.authority.register().cases().filter(is_theirs);
        Reply::Warrants(theirs.map(|case| self.line(case)).collect())
    }

    pub(super) fn show(&mut self, uuid: Uuid, actor: Actor) -> Reply {
        if let Err(reply) = self.authority.viewed(Some(uuid), actor) {
            return reply;
        }
        let Some(case) = self.authority.register().case(uuid) else {
            return Reply::Refused {
                reasons: vec![format!("uuid: there is no warrant {uuid}; see `writ warrant list`")],
            };
        };
        let counts = match self.intercepts.of_warrant(uuid) {
            Some(tenancy) => Some(self.intercepts.counts(tenancy, &self.ledger, &self.config)),
            None => self.observed.ended.get(&uuid).cloned(),
        };
        let approval = case.latest().map(|latest| latest.warrant.approval());
        let now = self.authority.register().clock(Timestamp::now());
        Reply::Warrant(Box::new(WarrantDetail {
            line: self.line(case),
            document: case.warrant().map_or_else(
                || case.damage().unwrap_or_default().to_owned(),
                |warrant| String::from_utf8_lossy(warrant.bytes()).into_owned(),
            ),
            sha256: case.warrant().map(|warrant| warrant.digest().to_string()).unwrap_or_default(),
            approved_by: approval.map(|approval| approval.officers.clone()).unwrap_or_default(),
            revisions: case.revisions().iter().map(|revision| revision_line(case, revision, now)).collect(),
            waits_for: case.waiting().filter(|_| case.ending().is_none()).map(|waiting| waiting.missing.clone()),
            ending: case.ending().map(cases::ending),
            certified: case.certified().map(|certified| format!("by {} at {}", certified.by, certified.at)),
            application: case.application().map(|it| cases::application(it, now)),
            counts,
        }))
    }

    fn line(&self, case: &Case) -> WarrantLine {
        let of = |of: &dyn Fn(&Warrant) -> String| case.warrant().map(of).unwrap_or_default();
        let deliveries = case.warrant().map(Warrant::deliveries).unwrap_or_default();
        WarrantLine {
            uuid: case.uuid(),
            revision: case.warrant().map_or(0, Warrant::revision),
            phase: case.phase(self.authority.register().clock(Timestamp::now())).as_str().to_owned(),
            authority: of(&|warrant| warrant.grant().authority().to_string()),
            scope: of(&|warrant| format!("{}, {}", warrant.grant().scope(), warrant.grant().directions())),
            start: of(&|warrant| warrant.window().start().to_string()),
            stop: of(&|warrant| warrant.window().stop().to_string()),
            destinations: deliveries.iter().map(|delivery| delivery.destination.clone()).collect(),
            slot: self.intercepts.of_warrant(case.uuid()).map(|tenancy| tenancy.order.slot),
        }
    }
}

fn revision_line(case: &Case, revision: &Revision, now: Timestamp) -> RevisionLine {
    let warrant = revision.warrant.warrant();
    RevisionLine {
        revision: warrant.revision(),
        sha256: warrant.digest().to_string(),
        approved: revision.approved.to_string(),
        rank: case.rank(revision, now).as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_outlives_the_capture_role_that_gave_it() {
        let report = |isolation_violations| CaptureReport { isolation_violations, ..CaptureReport::default() };
        let mut observed = Observed::default();
        observed.meet(1);
        observed.report(report(3));
        // The same one again, as to a greeting.
        observed.meet(1);
        assert_eq!(observed.violations(), 3);
        for (life, counted, shown) in [(2, 0, 3), (3, 2, 5), (4, 0, 5)] {
            observed.meet(life);
            observed.report(report(counted));
            assert_eq!(observed.violations(), shown, "life {life}");
        }
    }
}
