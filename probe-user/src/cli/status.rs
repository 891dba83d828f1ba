//! `writ status`: from the control role, or with `--kernel` past all roles from the kernel's own counters.

use super::{CommandError, Outcome, SocketArgs, output, reply};
use crate::config::Config;
use crate::ipc::{
    ClockStatus, HeldKind, InterceptHealth, InterceptStatus, Overview, QueueHealth, Reply, Request, SessionHealth,
    StatusReport, WitnessStatus, ask,
};
use crate::roles::capture::program_file;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use writ_abi::ProbeCounter;
use writ_capture::CounterView;
use writ_spool::LossReason;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    socket: SocketArgs,
    /// Read the kernel's counters themselves, past every process of the probe. Needs root.
    #[arg(long)]
    kernel: bool,
}

pub(super) fn run(args: &StatusArgs) -> Result<Outcome, CommandError> {
    if args.kernel {
        return kernel(&args.socket);
    }
    let reply = ask(&args.socket.path()?, &Request::Status).map_err(CommandError::failed)?;
    match reply {
        Reply::Status(report) if args.socket.json => output::json(&report),
        Reply::Status(report) => print(&report),
        other => {
            return reply::show(other, args.socket.json, |other| match other {
                Reply::Overview(overview) => print_overview(&overview),
                other => output::json(&other),
            });
        }
    }
    Ok(Outcome::Done)
}

fn print_overview(overview: &Overview) {
    output::line(&format!("probe {}, version {}", overview.probe, overview.version));
    print_capture(overview.capture_age_ms);
    print_counters(overview.program.iter().map(|(name, count)| (name.as_str(), *count)));
    print_violations(overview.isolation_violations);
    let queue =
        |it: &QueueHealth| vec![it.interface.clone(), it.queue.to_string(), it.mode.clone(), it.ring_lost.to_string()];
    output::table(&["interface", "queue", "mode", "lost"], &overview.queues.iter().map(queue).collect::<Vec<_>>());
    let intercept = |it: &InterceptHealth| vec![it.slot.to_string(), it.phase.clone(), it.lost.to_string()];
    output::table(&["slot", "phase", "lost"], &overview.intercepts.iter().map(intercept).collect::<Vec<_>>());
    let session =
        |it: &SessionHealth| vec![it.destination.clone(), it.stream.clone(), it.backlog.to_string(), it.state.clone()];
    let sessions: Vec<_> = overview.sessions.iter().map(session).collect();
    output::table(&["destination", "stream", "backlog", "session"], &sessions);
    print_untold(overview.untold);
    for kind in &overview.held {
        let what = match kind {
            HeldKind::Clock => "the clock is in doubt",
            HeldKind::Log => "the audit log is in doubt",
        };
        output::line(&format!("ALARM: nothing new is armed: {what}"));
    }
    for witness in overview.witnesses.iter().filter(|witness| witness.alarm) {
        output::line(&format!("ALARM: witness {} takes no checkpoint", witness.name));
    }
    print_restarts(&overview.restarts, overview.damaged);
}

fn print_capture(age_ms: Option<u64>) {
    match age_ms {
        None => output::line("capture: no word yet"),
        Some(age) if age > 5000 => output::line(&format!("capture: silent for {} s", age / 1000)),
        Some(_) => output::line("capture: running"),
    }
}

fn print_violations(violations: u64) {
    if violations > 0 {
        output::line(&format!("  ALARM: {violations} isolation violations"));
    }
}

fn print_restarts(restarts: &BTreeMap<String, u32>, damaged: usize) {
    for (role, restarts) in restarts {
        output::line(&format!("role {role} was started again {restarts} times"));
    }
    if damaged > 0 {
        output::line(&format!("{damaged} warrant files are damaged: see the audit log"));
    }
}

/// A program's counters as the kernel holds them.
#[derive(Serialize)]
struct KernelReport {
    /// The kernel's number of the program.
    program_id: u32,
    /// By name.
    program: BTreeMap<&'static str, u64>,
    /// Slots that have counted anything.
    slots: Vec<KernelSlot>,
}

#[derive(Serialize)]
struct KernelSlot {
    slot: usize,
    matched: u64,
    early: u64,
    expired: u64,
    other_direction: u64,
    other_traffic: u64,
    unknown_traffic: u64,
    no_socket: u64,
    cut_failed: u64,
}

fn kernel(args: &SocketArgs) -> Result<Outcome, CommandError> {
    let config = Config::load(&args.config.config).map_err(CommandError::input)?;
    let file = program_file(&config);
    let ours: u32 = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
        let file = file.display();
        CommandError::Failed(anyhow::anyhow!("{file}: the probe of this configuration has not run since the boot"))
    })?;
    let views = CounterView::of_running_probes().map_err(CommandError::failed)?;
    let report = views
        .iter()
        .find(|(id, _)| *id == ours)
        .map(|(id, view)| KernelReport {
            program_id: *id,
            program: ProbeCounter::ALL.iter().map(|counter| (counter.label(), view.probe(*counter))).collect(),
            slots: (0..view.slots())
                .filter_map(|slot| {
                    let counters = view.slot(u16::try_from(slot).ok()?);
                    (counters != writ_abi::SlotCounters::default()).then_some(KernelSlot {
                        slot,
                        matched: counters.matched,
                        early: counters.early,
                        expired: counters.expired,
                        other_direction: counters.other_direction,
                        other_traffic: counters.other_traffic,
                        unknown_traffic: counters.unknown_traffic,
                        no_socket: counters.no_socket,
                        cut_failed: counters.cut_failed,
                    })
                })
                .collect(),
        })
        .ok_or_else(|| {
            CommandError::Failed(anyhow::anyhow!("the probe's program is not in the kernel: it does not run"))
        })?;
    if args.json {
        output::json(&report);
        return Ok(Outcome::Done);
    }
    print_counters(report.program.iter().map(|(name, count)| (*name, *count)));
    let rows: Vec<_> = report
        .slots
        .iter()
        .map(|it| [it.slot as u64, it.matched, it.early, it.expired].map(|figure| figure.to_string()).to_vec())
        .collect();
    output::table(&["slot", "matched", "early", "expired"], &rows);
    Ok(Outcome::Done)
}

fn print_counters<'a>(counters: impl Iterator<Item = (&'a str, u64)>) {
    let shown: Vec<_> =
        counters.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect();
    output::line(&format!("  {}", if shown.is_empty() { "nothing seen yet".to_owned() } else { shown.join(", ") }));
}

fn print(report: &StatusReport) {
    output::line(&format!("probe {}, version {}", report.probe, report.version));
    print_capture(report.capture_age_ms);
    print_counters(report.program.iter().map(|(name, count)| (name.as_str(), *count)));
    print_violations(report.capture.isolation_violations);
    if report.capture.foreign_entries > 0 {
        let count = report.capture.foreign_entries;
        output::line(&format!("  ALARM: {count} entries in the kernel's tables were written by somebody else"));
    }
    for held in &report.held {
        output::line(&format!("ALARM: nothing new is armed: {held}"));
    }
    output::line(&clock(&report.clock));
    let queues: Vec<_> = report
        .capture
        .queues
        .iter()
        .map(|queue| {
            let kernel = &queue.kernel;
            vec![
                queue.interface.clone(),
                queue.queue.to_string(),
                queue.mode.clone(),
                queue.received.to_string(),
                queue.ring_lost.to_string(),
                queue.duplicates.to_string(),
                kernel.rx_ring_full.to_string(),
                kernel.rx_fill_ring_empty_descs.to_string(),
                kernel.rx_dropped.to_string(),
            ]
        })
        .collect();
    output::table(
        &["interface", "queue", "mode", "received", "lost", "duplicates", "ring full", "fill empty", "dropped"],
        &queues,
    );
    let mut rows = Vec::new();
    for intercept in &report.intercepts {
        let counts = &intercept.counts;
        for delivery in &counts.deliveries {
            // A duplicate that was dropped is in the books as lost; nothing is missing for it.
            let missing = |(reason, lost): (&String, &u64)| (reason != LossReason::Duplicate.label()).then_some(*lost);
            let lost: u64 = counts.lost.iter().chain(&delivery.lost).filter_map(missing).sum();
            rows.push(vec![
                intercept.slot.slot.to_string(),
                intercept.phase.clone(),
                intercept.scope.clone(),
                delivery.destination.clone(),
                counts.matched.to_string(),
                counts.in_flight.to_string(),
                delivery.waiting.to_string(),
                delivery.delivered.to_string(),
                lost.to_string(),
                counts.duplicates.to_string(),
            ]);
        }
    }
    output::table(
        &[
            "slot",
            "phase",
            "scope",
            "destination",
            "matched",
            "in flight",
            "waiting",
            "delivered",
            "lost",
            "duplicates",
        ],
        &rows,
    );
    let not_taken: Vec<_> = report.intercepts.iter().filter_map(not_taken).collect();
    if !not_taken.is_empty() {
        let heads = ["slot", "early", "expired", "other direction", "other traffic", "unknown traffic"];
        output::line("of the targets, and not taken:");
        output::table(&heads, &not_taken);
    }
    let sessions: Vec<_> = report
        .sessions
        .iter()
        .map(|session| {
            vec![
                session.destination.clone(),
                session.stream.clone(),
                session.waiting.to_string(),
                session.delivered.to_string(),
                session.resent.to_string(),
                session.state.clone(),
            ]
        })
        .collect();
    output::table(&["destination", "stream", "waiting", "delivered", "resent", "session"], &sessions);
    let covered = format!("audit log: {} records, checkpoint up to {}", report.audit_number, report.checkpoint_number);
    output::line(&covered);
    output::line(&format!("documents of a closed case: kept {}", report.records_kept));
    if !report.witnesses.is_empty() {
        let rows: Vec<_> = report.witnesses.iter().map(witness).collect();
        output::table(&["witness", "has up to", "made at", "waiting", "for", "state"], &rows);
    }
    if report.uncertified > 0 {
        output::line(&format!("ALARM: {} certifications are overdue: see `writ warrant list`", report.uncertified));
    }
    print_untold(report.untold);
    let applications =
        [(report.applications_overdue, "ALARM: ", "overdue"), (report.applications_due_soon, "", "due soon")];
    for (count, alarm, when) in applications.into_iter().filter(|(count, _, _)| *count > 0) {
        output::line(&format!(
            "{alarm}{count} applications for the order that follows an emergency are {when} (18 USC 2518(7)): see `writ \
             warrant show`"
        ));
    }
    print_restarts(&report.restarts, report.damaged);
}

fn print_untold(untold: usize) {
    if untold > 0 {
        output::line(&format!("ALARM: {untold} incidents of which an agency is to be told: see `writ incident list`"));
    }
}

fn clock(clock: &ClockStatus) -> String {
    let ms = |us: u64| us.div_ceil(1000);
    if clock.synchronised {
        let (within, narrowed) = (ms(clock.maximum_error_us), ms(clock.doubt_us));
        format!("clock: kept, within {within} ms; orders end {narrowed} ms early")
    } else {
        format!("clock: nothing keeps it; orders end {} ms early", ms(clock.doubt_us))
    }
}

fn witness(witness: &WitnessStatus) -> Vec<String> {
    let state = match (&witness.problem, witness.alarm) {
        (Some(problem), true) => format!("ALARM: {problem}"),
        (Some(problem), false) => problem.clone(),
        (None, true) => "ALARM: takes nothing".to_owned(),
        (None, false) => "ok".to_owned(),
    };
    vec![
        witness.name.clone(),
        witness.number.to_string(),
        witness.at.clone().unwrap_or_else(|| "-".to_owned()),
        witness.waiting.to_string(),
        format!("{} s", witness.waiting_seconds),
        state,
    ]
}

/// A target's packets that were not what the order wants; none if there were none.
fn not_taken(intercept: &InterceptStatus) -> Option<Vec<String>> {
    let it = &intercept.counts;
    let counts = [it.early, it.expired, it.other_direction, it.other_traffic, it.unknown_traffic];
    let slot = u64::from(intercept.slot.slot);
    let figures = std::iter::once(slot).chain(counts).map(|figure| figure.to_string());
    counts.iter().any(|count| *count > 0).then(|| figures.collect())
}
