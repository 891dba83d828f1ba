//! The stages of a packet's way from the tap to the agency, each judged by its own figures. Pure: evidence goes in, words
//! come out.

use super::super::intercepts::Progress;
use crate::ipc::{
    DeliveryCounts, Inspection, InterceptCounts, InterceptStatus, KernelPolicy, SessionStatus, Stage, StageState,
    StatusReport,
};
use std::collections::BTreeMap;
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
    Stage { name: name.into(), state, says: says.into(), remedy: None, figures: BTreeMap::new() }
}

impl Stage {
    fn see(mut self, remedy: &str) -> Self {
        self.remedy = Some(remedy.to_owned());
        self
    }

    fn with<const COUNT: usize>(mut self, figures: [(&str, u64); COUNT]) -> Self {
        self.figures.extend(figures.map(|(name, figure)| (name.to_owned(), figure)));
        self
    }

    fn with_losses(mut self, lost: &BTreeMap<String, u64>) -> Self {
        self.figures.extend(lost.iter().map(|(reason, packets)| (format!("lost, {reason}"), *packets)));
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
    let name = "ring and worker";
    let has_lost = |reason: LossReason| counts.lost.contains_key(reason.label());
    let all: u64 = counts.lost.values().sum();
    let see = if has_lost(LossReason::NoSocket) {
        "packets come on a queue that has no socket: `writ doctor` compares the card's queues with the configuration"
    } else if has_lost(LossReason::IsolationViolation) {
        "an isolation violation: the packets were destroyed; report it"
    } else if has_lost(LossReason::CutFailed) {
        "the cut to headers failed in the kernel: report it"
    } else {
        "the workers are too slow for the ring: look at `ring full` and `fill empty` in `writ status`, and give them CPUs \
         or larger rings"
    };
    let found = match (counts.matched, counts.received, all) {
        (0, ..) => stage(name, StageState::Waiting, "nothing was sent on its way yet"),
        (_, 0, 0) => stage(name, StageState::Waiting, format!("{} packets are on the way", counts.in_flight)),
        (_, 0, _) => stage(name, StageState::Stopped, format!("{all} packets were lost and none came")).see(see),
        (_, received, 0) => stage(name, StageState::Good, format!("{received} packets came")),
        (_, received, _) => {
            stage(name, StageState::Losing, format!("{received} packets came, {all} were lost")).see(see)
        }
    };
    let figures = [("received", counts.received), ("in_flight", counts.in_flight), ("duplicates", counts.duplicates)];
    found.with(figures).with_losses(&counts.lost)
}

fn encoder(counts: &InterceptCounts, delivery: &DeliveryCounts) -> Stage {
    let name = format!("encoder, {}", delivery.destination);
    let has_lost = |reason: LossReason| delivery.lost.contains_key(reason.label());
    let made = delivery.delivered + delivery.waiting;
    // What the agency has already is missing to nobody.
    let missing = delivery.lost.iter().filter(|(reason, _)| *reason != LossReason::Duplicate.label());
    let all: u64 = missing.map(|(_, packets)| packets).sum();
    let see = if has_lost(LossReason::SpoolFull) {
        "the memory for this agency is full: look at its session below, or raise `segments` in [spool]"
    } else if has_lost(LossReason::EncodeFailed) {
        "the log for the capture role says what could not be encoded"
    } else {
        "a role ended while it had them: look at `restarts` in `writ status`"
    };
    let found = match (counts.received, made, all) {
        (0, ..) => stage(name, StageState::Waiting, "nothing has come to be encoded"),
        (_, 0, 1..) => {
            stage(name, StageState::Stopped, format!("{all} packets were lost and none was queued")).see(see)
        }
        (_, _, 1..) => stage(name, StageState::Losing, format!("{made} packets were queued, {all} were lost")).see(see),
        _ => stage(name, StageState::Good, format!("{made} packets were queued")),
    };
    found.with([("queued", made)]).with_losses(&delivery.lost)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{CaptureReport, ClockStatus, SlotName};

    const SECOND: u64 = 1_000_000_000;

    /// An intercept of which all is well: ten packets were taken, eight delivered, and two wait.
    struct Scene {
        status: StatusReport,
        inspection: Option<Inspection>,
        progress: Progress,
        utc_ns: u64,
    }

    impl Scene {
        fn good() -> Self {
            let delivery = DeliveryCounts {
                destination: "agency".to_owned(),
                delivered: 8,
                waiting: 2,
                waiting_cmc: 2,
                ..DeliveryCounts::default()
            };
            let counts =
                InterceptCounts { matched: 10, received: 10, deliveries: vec![delivery], ..InterceptCounts::default() };
            let slot = SlotName { slot: 3, generation: 2 };
            let session = |stream: &str| SessionStatus {
                destination: "agency".to_owned(),
                stream: stream.to_owned(),
                state: "connected".to_owned(),
                connected: true,
                waiting: 2,
                delivered: 8,
                resent: 0,
                sessions: 1,
            };
            let status = StatusReport {
                probe: "p".to_owned(),
                version: "v".to_owned(),
                at_utc_ns: 0,
                program: BTreeMap::from([("frames".to_owned(), 1000), ("hits".to_owned(), 10)]),
                capture: CaptureReport::default(),
                capture_age_ms: Some(100),
                intercepts: vec![InterceptStatus {
                    slot,
                    phase: "active".to_owned(),
                    scope: "content".to_owned(),
                    counts,
                }],
                sessions: vec![session("cmii"), session("cmc")],
                restarts: BTreeMap::new(),
                damaged: 0,
                audit_number: 0,
                checkpoint_number: 0,
                witnesses: Vec::new(),
                clock: ClockStatus::default(),
                held: Vec::new(),
                records_kept: String::new(),
                uncertified: 0,
                untold: 0,
                applications_due_soon: 0,
                applications_overdue: 0,
            };
            let policy = KernelPolicy { generation: 2, start_ns: SECOND, stop_ns: 9000 * SECOND };
            let inspection = Inspection { slot: 3, policy: Some(policy), entries: 2, targets: 2 };
            Self { status, inspection: Some(inspection), progress: Progress::Begun, utc_ns: 500 * SECOND }
        }

        fn counts(&mut self) -> &mut InterceptCounts {
            &mut self.status.intercepts[0].counts
        }

        fn delivery(&mut self) -> &mut DeliveryCounts {
            &mut self.counts().deliveries[0]
        }

        fn policy(&mut self) -> &mut KernelPolicy {
            self.inspection.as_mut().unwrap().policy.as_mut().unwrap()
        }

        fn verdict(&self) -> (Option<String>, String) {
            verdict(&of(&Evidence {
                status: &self.status,
                intercept: &self.status.intercepts[0],
                progress: self.progress,
                window_utc_ns: 100 * SECOND..9000 * SECOND,
                streams: vec![(true, true)],
                utc_ns: self.utc_ns,
                boot_ns: 300 * SECOND,
                inspection: self.inspection.as_ref(),
            }))
        }
    }

    #[test]
    fn where_all_is_well_packets_pass() {
        assert_eq!(Scene::good().verdict(), (None, "packets pass every stage".to_owned()));
    }

    #[test]
    fn the_stage_is_named_at_which_packets_stop() {
        let nothing_matched = |scene: &mut Scene| {
            let delivery = DeliveryCounts { destination: "agency".to_owned(), ..DeliveryCounts::default() };
            *scene.counts() = InterceptCounts { deliveries: vec![delivery], ..InterceptCounts::default() };
        };
        type Harm<'a> = &'a dyn Fn(&mut Scene);
        let cases: [(&str, &str, Harm<'_>); 17] = [
            ("order", "its window ended 16 min 40 s ago", &|it| it.utc_ns = 10_000 * SECOND),
            ("order", "its window begins in 1 min 40 s", &|it| it.utc_ns = 0),
            ("capture", "silent for 60 s", &|it| it.status.capture_age_ms = Some(60_000)),
            ("capture", "has not confirmed", &|it| it.progress = Progress::Told),
            ("kernel policy", "did not say", &|it| it.inspection = None),
            ("kernel policy", "another owner", &|it| it.policy().generation = 1),
            ("kernel policy", "out of force", &|it| it.policy().stop_ns = 0),
            ("kernel policy", "begins in 5 min 0 s", &|it| it.policy().start_ns = 600 * SECOND),
            ("kernel entries", "nothing in the kernel", &|it| it.inspection.as_mut().unwrap().entries = 0),
            ("tap", "mirror port", &|it| it.status.program.clear()),
            ("match", "no packet of a target", &nothing_matched),
            ("match", "7 packets of targets were seen", &|it| {
                nothing_matched(it);
                it.counts().other_direction = 7;
            }),
            ("ring and worker", "too slow for the ring", &|it| {
                it.counts().lost.insert("ring_full".to_owned(), 3);
            }),
            ("ring and worker", "queue that has no socket", &|it| {
                it.counts().received = 0;
                it.counts().lost.insert("no_socket".to_owned(), 10);
            }),
            ("encoder, agency", "memory for this agency is full", &|it| {
                it.delivery().lost.insert("spool_full".to_owned(), 3);
            }),
            ("session, agency cmc", "backing_off; 2 records", &|it| {
                let session = &mut it.status.sessions[1];
                (session.connected, session.state) = (false, "backing_off".to_owned());
            }),
            ("session, agency cmc", "acknowledged nothing", &|it| it.status.sessions[1].delivered = 0),
        ];
        for (stage, words, harm) in cases {
            let mut scene = Scene::good();
            harm(&mut scene);
            let (stops_at, verdict) = scene.verdict();
            assert_eq!(stops_at.as_deref(), Some(stage), "{verdict}");
            assert!(verdict.contains(words), "{words:?} in {verdict:?}");
        }
    }

    #[test]
    fn a_stream_that_a_delivery_does_not_take_is_no_stage_of_its_way() {
        let mut scene = Scene::good();
        scene.status.sessions[1].connected = false;
        let evidence = Evidence {
            status: &scene.status,
            intercept: &scene.status.intercepts[0],
            progress: scene.progress,
            window_utc_ns: 0..u64::MAX,
            streams: vec![(true, false)],
            utc_ns: scene.utc_ns,
            boot_ns: 300 * SECOND,
            inspection: scene.inspection.as_ref(),
        };
        assert_eq!(verdict(&of(&evidence)).0, None);
    }

    #[test]
    fn a_span_is_said_in_its_two_largest_units() {
        for (seconds, said) in [(0, "0 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(seconds * SECOND), said);
        }
    }
}
