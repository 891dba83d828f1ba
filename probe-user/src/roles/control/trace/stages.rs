//! The stages of a packet's way from the tap to the agency, each judged by its own figures. Pure: evidence goes in, words
//! come out.

use super::super::intercepts::Progress;
use crate::ipc::{
    DeliveryCounts, Inspection, InterceptCounts, InterceptStatus, KernelPolicy, SessionStatus, Stage, StageState,
    StatusReport,
};
use std::ops::Range;
use std::time::Duration;
use writ_spool::LossReason;

/// A capture role that has reported nothing for so long does not do its work.
const SILENT_MS: u64 = 5000;

/// What is known of an intercept.
pub(super) struct Evidence<'a> {
    pub(super) status: &'a StatusReport,
    pub(super) intercept: &'a InterceptStatus,
    pub(super) progress: Progress,
    /// The order's window.
    pub(super) window_utc_ns: Range<u64>,
    /// For each delivery, whether it takes CmII and whether it takes CmC.
    pub(super) streams: Vec<(bool, bool)>,
    /// Now, by the wall clock.
    pub(super) utc_ns: u64,
    /// Now, by the clock of the kernel's policies.
    pub(super) boot_ns: u64,
    /// Capture's answer. None: there was none.
    pub(super) inspection: Option<&'a Inspection>,
}

/// All stages, in the order of the way.
pub(super) fn of(evidence: &Evidence<'_>) -> Vec<Stage> {
    let mut stages = vec![
        window(evidence),
        capture(evidence),
        policy(evidence),
        entries(evidence),
        tap(evidence.status),
        matching(&evidence.intercept.counts),
        ring(&evidence.intercept.counts),
    ];
    for (delivery, streams) in evidence.intercept.counts.deliveries.iter().zip(&evidence.streams) {
        stages.push(encoder(&evidence.intercept.counts, delivery));
        for (wanted, stream, waiting) in
            [(streams.0, "cmii", delivery.waiting_cmii), (streams.1, "cmc", delivery.waiting_cmc)]
        {
            let session = evidence
                .status
                .sessions
                .iter()
                .find(|session| session.destination == delivery.destination && session.stream == stream);
            stages.extend(session.filter(|_| wanted).map(|it| self::session(it, waiting)));
        }
        stages.push(ledger(&evidence.intercept.counts, delivery));
    }
    stages
}

/// The first stage that lets nothing pass, else the first that loses, else the first that waits; and that in words.
pub(super) fn verdict(stages: &[Stage]) -> (Option<String>, String) {
    let worst = [StageState::Stopped, StageState::Losing, StageState::Unknown, StageState::Waiting]
        .into_iter()
        .find_map(|state| stages.iter().find(|stage| stage.state == state));
    let Some(stage) = worst else { return (None, "packets pass every stage".to_owned()) };
    let what = match stage.state {
        StageState::Stopped => "packets stop at",
        StageState::Losing => "packets are lost at",
        StageState::Unknown => "nothing is known of",
        StageState::Waiting | StageState::Good => "nothing is wrong, and nothing has come to",
    };
    let remedy = stage.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    (Some(stage.name.clone()), format!("{what} {}: {}{remedy}", stage.name, stage.says))
}

fn stage(name: impl Into<String>, state: StageState, says: impl Into<String>) -> Stage {
    Stage { name: name.into(), state, says: says.into(), remedy: None, figures: std::collections::BTreeMap::new() }
}

impl Stage {
    fn see(mut self, remedy: &str) -> Self {
        self.remedy = Some(remedy.to_owned());
        self
    }

    fn with<const COUNT: usize>(mut self, figures: [(&str, u64); COUNT]) -> Self {
        self.figures = figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect();
        self
    }
}

fn window(evidence: &Evidence<'_>) -> Stage {
    let Evidence { utc_ns, window_utc_ns: Range { start, end }, intercept, .. } = evidence;
    let phase = &intercept.phase;
    if utc_ns >= end {
        let says = format!("{phase}; its window ended {} ago", span(utc_ns - end));
        stage("order", StageState::Stopped, says).see("an order that is over takes nothing: that is as it should be")
    } else if utc_ns < start {
        stage("order", StageState::Waiting, format!("{phase}; its window begins in {}", span(start - utc_ns)))
    } else {
        stage("order", StageState::Good, format!("{phase}; its window ends in {}", span(end - utc_ns)))
    }
}

fn capture(evidence: &Evidence<'_>) -> Stage {
    let see = "look at the log for the capture role, and at `restarts` in `writ status`";
    match (evidence.status.capture_age_ms, evidence.progress) {
        (None, _) => stage("capture", StageState::Stopped, "the role has not reported yet").see(see),
        (Some(age), _) if age > SILENT_MS => {
            stage("capture", StageState::Stopped, format!("the role has been silent for {} s", age / 1000)).see(see)
        }
        (_, Progress::Told) => {
            stage("capture", StageState::Stopped, "it was told, and has not confirmed that all is in the kernel")
                .see(see)
        }
        (_, Progress::Armed) => stage("capture", StageState::Good, "armed, with all its targets"),
        (_, Progress::Begun) => stage("capture", StageState::Good, "armed, and begun"),
        (_, Progress::Disarmed) => stage("capture", StageState::Stopped, "disarmed; what was taken is on its way"),
        (_, Progress::Ended) => stage("capture", StageState::Stopped, "ended; what was taken waits to be acknowledged"),
    }
}

fn policy(evidence: &Evidence<'_>) -> Stage {
    let name = "kernel policy";
    let Some(inspection) = evidence.inspection else {
        let says = "the capture role did not say what the kernel holds";
        return stage(name, StageState::Unknown, says).see("ask again; then look at the log for the capture role");
    };
    let Some(KernelPolicy { generation, start_ns, stop_ns }) = inspection.policy else {
        return stage(name, StageState::Unknown, "the slot's policy cannot be read from the kernel");
    };
    let now = evidence.boot_ns;
    let found = if generation != evidence.intercept.slot.generation {
        stage(name, StageState::Stopped, format!("the kernel's policy is for generation {generation}, another owner"))
            .see("look at the log for the capture role: the slot was not armed")
    } else if stop_ns <= now {
        let says = match stop_ns {
            0 => "out of force".to_owned(),
            _ => format!("the stop was {} ago, by the clock that nobody can set", span(now - stop_ns)),
        };
        stage(name, StageState::Stopped, says).see(
            "if the order's window is still open, the wall clock was wrong when \
                                                    it was armed: look at clock-doubt in the audit log",
        )
    } else if start_ns > now {
        stage(name, StageState::Waiting, format!("in the kernel; begins in {}", span(start_ns - now)))
    } else {
        stage(
            name,
            StageState::Good,
            format!("in force since {}, for {} more", span(now - start_ns), span(stop_ns - now)),
        )
    };
    found.with([("generation", generation.into())])
}

fn entries(evidence: &Evidence<'_>) -> Stage {
    let name = "kernel entries";
    let Some(Inspection { entries, targets, .. }) = evidence.inspection else {
        return stage(name, StageState::Unknown, "the capture role did not say what the kernel holds");
    };
    let found = match entries {
        0 => stage(name, StageState::Stopped, "nothing in the kernel's tables leads to the slot")
            .see("look at the log for the capture role: a table may be full"),
        _ => stage(name, StageState::Good, format!("{entries} lead to the slot")),
    };
    found.with([("entries", *entries), ("targets", *targets)])
}

fn tap(status: &StatusReport) -> Stage {
    let figure = |name: &str| status.program.get(name).copied().unwrap_or(0);
    let frames = figure("frames");
    let found = match frames {
        0 => stage("tap", StageState::Stopped, "not one frame has come to any port")
            .see("look at the mirror port and the cable; `writ doctor` looks at the ports"),
        _ => stage("tap", StageState::Good, format!("{frames} frames on all ports")),
    };
    found.with([("frames", frames), ("hits", figure("hits"))])
}

fn matching(counts: &InterceptCounts) -> Stage {
    let InterceptCounts { matched, early, expired, other_direction, other_traffic, unknown_traffic, .. } = *counts;
    let left = early + expired + other_direction + other_traffic + unknown_traffic;
    let found = match (matched, left) {
        (0, 0) => stage("match", StageState::Waiting, "no packet of a target has been seen").see(
            "have the targets' addresses, MAC addresses or VLANs checked by whoever deals with the case, and \
                  whether their traffic passes this tap: `writ tap survey`",
        ),
        (0, _) => {
            stage("match", StageState::Waiting, format!("{left} packets of targets were seen, and none is wanted"))
                .see("the figures say why: before the start, after the stop, the other direction, other traffic")
        }
        _ => stage("match", StageState::Good, format!("{matched} packets were taken")),
    };
    found.with([
        ("matched", matched),
        ("early", early),
        ("expired", expired),
        ("other_direction", other_direction),
        ("other_traffic", other_traffic),
        ("unknown_traffic", unknown_traffic),
    ])
}

fn ring(counts: &InterceptCounts) -> Stage {
    let lost = |reason: LossReason| counts.lost.get(reason.label()).copied().unwrap_or(0);
    let (full, no_socket) = (lost(LossReason::RingFull), lost(LossReason::NoSocket));
    let (cut, violations) = (lost(LossReason::CutFailed), lost(LossReason::IsolationViolation));
    let all = full + no_socket + cut + violations;
    let see = if no_socket > 0 {
        "packets come on a queue that has no socket: `writ doctor` compares the card's queues with the configuration"
    } else if violations > 0 {
        "an isolation violation: the packets were destroyed; report it"
    } else if cut > 0 {
        "the cut to headers failed in the kernel: report it"
    } else {
        "the workers are too slow for the ring: look at `ring full` and `fill empty` in `writ status`, and give them CPUs \
         or larger rings"
    };
    let found = match (counts.matched, counts.received, all) {
        (0, _, _) => stage("ring and worker", StageState::Waiting, "nothing was sent on its way yet"),
        (_, 0, 0) => {
            stage("ring and worker", StageState::Waiting, format!("{} packets are on the way", counts.in_flight))
        }
        (_, 0, _) => {
            stage("ring and worker", StageState::Stopped, format!("{all} packets were lost and none came")).see(see)
        }
        (_, received, 0) => stage("ring and worker", StageState::Good, format!("{received} packets came")),
        (_, received, _) => {
            stage("ring and worker", StageState::Losing, format!("{received} packets came, {all} were lost")).see(see)
        }
    };
    found.with([
        ("received", counts.received),
        ("in_flight", counts.in_flight),
        ("duplicates", counts.duplicates),
        ("ring_full", full),
        ("no_socket", no_socket),
        ("cut_failed", cut),
        ("isolation_violation", violations),
    ])
}

fn encoder(counts: &InterceptCounts, delivery: &DeliveryCounts) -> Stage {
    let name = format!("encoder, {}", delivery.destination);
    let lost = |reason: LossReason| delivery.lost.get(reason.label()).copied().unwrap_or(0);
    let made = delivery.delivered + delivery.waiting;
    let (full, failed) = (lost(LossReason::SpoolFull), lost(LossReason::EncodeFailed));
    let elsewhere = lost(LossReason::CaptureRestarted) + lost(LossReason::Stale);
    let all = full + failed + elsewhere;
    let see = if full > 0 {
        "the memory for this agency is full: look at its session below, or raise `segments` in [spool]"
    } else if failed > 0 {
        "the log of the capture role says what could not be encoded"
    } else {
        "a role ended while it had them: look at `restarts` in `writ status`"
    };
    let found = match (counts.received, made, all) {
        (0, _, _) => stage(name, StageState::Waiting, "nothing has come to be encoded"),
        (_, 0, 1..) => {
            stage(name, StageState::Stopped, format!("{all} packets were lost and none was queued")).see(see)
        }
        (_, _, 1..) => stage(name, StageState::Losing, format!("{made} packets were queued, {all} were lost")).see(see),
        _ => stage(name, StageState::Good, format!("{made} packets were queued")),
    };
    let duplicates = lost(LossReason::Duplicate);
    found.with([
        ("queued", made),
        ("spool_full", full),
        ("encode_failed", failed),
        ("role_ended", elsewhere),
        ("duplicate", duplicates),
    ])
}

fn session(session: &SessionStatus, waiting: u64) -> Stage {
    let SessionStatus { destination, stream, state, connected, .. } = session;
    let name = format!("session, {destination} {stream}");
    let found = if !connected {
        stage(name, StageState::Stopped, format!("{state}; {waiting} records of this slot wait"))
            .see("look at address, network and certificates of this destination; the agency may be down")
    } else if waiting > 0 && session.delivered == 0 {
        stage(name, StageState::Stopped, format!("connected, and the agency has acknowledged nothing; {waiting} wait"))
            .see("the agency's side takes the connection and does not read: have them look")
    } else {
        stage(name, StageState::Good, format!("connected; {waiting} records of this slot wait to be acknowledged"))
    };
    found.with([
        ("waiting_records", waiting),
        ("delivered_records_of_all_slots", session.delivered),
        ("resent_records_of_all_slots", session.resent),
    ])
}

fn ledger(counts: &InterceptCounts, delivery: &DeliveryCounts) -> Stage {
    let name = format!("ledger, {}", delivery.destination);
    let lost = counts.lost.values().chain(delivery.lost.values()).sum::<u64>();
    let found = counts.in_flight + delivery.delivered + delivery.waiting + lost;
    let says = match counts.matched.abs_diff(found) {
        0 => format!(
            "adds up: {} matched = {} delivered + {} waiting + {} in flight + {lost} lost",
            counts.matched, delivery.delivered, delivery.waiting, counts.in_flight
        ),
        off => format!("{off} packets are between two readings; it adds up once nothing moves"),
    };
    stage(name, StageState::Good, says).with([
        ("matched", counts.matched),
        ("delivered", delivery.delivered),
        ("waiting", delivery.waiting),
        ("in_flight", counts.in_flight),
        ("lost", lost),
    ])
}

/// A time as people say it, in its two largest units.
fn span(ns: u64) -> String {
    let seconds = Duration::from_nanos(ns).as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}
