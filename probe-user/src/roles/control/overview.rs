//! What a viewer sees: made of the status, by naming what goes in.

use crate::ipc::{
    Held, InterceptHealth, InterceptStatus, Overview, QueueHealth, QueueReport, SessionHealth, SessionStatus,
    StatusReport, WitnessHealth, WitnessStatus,
};
use writ_abi::ProbeCounter;
use writ_spool::LossReason;

/// Counters of frames that are decided, or given up, before anybody's address is looked up. With `misses` among them the
/// hits could be worked out.
const SHOWN: [ProbeCounter; 10] = [
    ProbeCounter::Frames,
    ProbeCounter::Bytes,
    ProbeCounter::NotIp,
    ProbeCounter::TooShort,
    ProbeCounter::VlanDepth,
    ProbeCounter::MplsDepth,
    ProbeCounter::BadVersion,
    ProbeCounter::NotTunnel,
    ProbeCounter::TunnelFragment,
    ProbeCounter::TunnelDepth,
];

/// Fewer waiting records than this are those of the last moments, which wait for their acknowledgement.
const BACKLOG: u64 = 10_000;

impl From<StatusReport> for Overview {
    fn from(status: StatusReport) -> Self {
        let shown = |counter: &ProbeCounter| status.program.get_key_value(counter.label());
        let program = SHOWN.iter().filter_map(shown).map(|(name, count)| (name.clone(), *count)).collect();
        Self {
            probe: status.probe,
            version: status.version,
            at_utc_ns: status.at_utc_ns,
            program,
            capture_age_ms: status.capture_age_ms,
            isolation_violations: status.capture.isolation_violations,
            queues: status.capture.queues.into_iter().map(QueueHealth::from).collect(),
            intercepts: status.intercepts.iter().map(InterceptHealth::from).collect(),
            sessions: status.sessions.into_iter().map(SessionHealth::from).collect(),
            restarts: status.restarts,
            damaged: status.damaged,
            untold: status.untold,
            held: status.held.iter().map(Held::kind).collect(),
            witnesses: status.witnesses.into_iter().map(WitnessHealth::from).collect(),
        }
    }
}

impl From<WitnessStatus> for WitnessHealth {
    fn from(WitnessStatus { name, alarm, .. }: WitnessStatus) -> Self {
        Self { name, alarm }
    }
}

impl From<QueueReport> for QueueHealth {
    fn from(QueueReport { interface, queue, mode, ring_lost, malformed, .. }: QueueReport) -> Self {
        Self { interface, queue, mode, ring_lost, malformed }
    }
}

impl From<&InterceptStatus> for InterceptHealth {
    fn from(intercept: &InterceptStatus) -> Self {
        let counts = &intercept.counts;
        let lost = counts.lost.iter().chain(counts.deliveries.iter().flat_map(|delivery| &delivery.lost));
        // A mirror that shows packets twice would make this one count a target's packets.
        let lost = lost.filter(|(reason, _)| *reason != LossReason::Duplicate.label()).map(|(_, lost)| lost).sum();
        Self { slot: intercept.slot.slot, phase: intercept.phase.clone(), lost }
    }
}

impl From<SessionStatus> for SessionHealth {
    fn from(SessionStatus { destination, stream, state, connected, waiting, .. }: SessionStatus) -> Self {
        Self { destination, stream, state, connected, backlog: if waiting < BACKLOG { 0 } else { waiting } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{
        CaptureReport, ClockStatus, DeliveryCounts, HeldKind, InterceptCounts, InterceptStatus, SlotName,
    };
    use std::collections::BTreeMap;

    /// A probe that does its work, where so many packets of a target have passed.
    fn status(packets: u64) -> StatusReport {
        let hits = ["hits", "misses", "cut", "later_fragments", "unknown_transport"].map(|name| (name, packets));
        let delivery = DeliveryCounts {
            destination: "agency".to_owned(),
            delivered: packets - packets % 100,
            waiting: packets % 100,
            events_delivered: packets,
            waiting_cmii: packets % 100,
            waiting_cmc: packets % 100,
            cmc_next_sequence: packets,
            lost: BTreeMap::from([("duplicate".to_owned(), packets)]),
        };
        let counts = InterceptCounts {
            matched: packets,
            matched_bytes: packets * 60,
            early: packets,
            received: packets,
            duplicates: packets,
            deliveries: vec![delivery],
            ..InterceptCounts::default()
        };
        let queue = QueueReport { received: packets, duplicates: packets, ..QueueReport::default() };
        StatusReport {
            probe: "p".to_owned(),
            version: "v".to_owned(),
            at_utc_ns: 1,
            program: hits.into_iter().chain([("frames", 1_000_000)]).map(|(name, it)| (name.to_owned(), it)).collect(),
            capture: CaptureReport { queues: vec![queue], read_until_ns: packets, ..CaptureReport::default() },
            capture_age_ms: Some(10),
            intercepts: vec![InterceptStatus {
                slot: SlotName { slot: 3, generation: 9 },
                phase: "active".to_owned(),
                scope: "content".to_owned(),
                counts,
            }],
            sessions: vec![SessionStatus {
                destination: "agency".to_owned(),
                stream: "cmc".to_owned(),
                state: "connected".to_owned(),
                connected: true,
                waiting: packets % 100,
                delivered: packets,
                resent: 0,
                sessions: 1,
            }],
            restarts: BTreeMap::new(),
            damaged: 0,
            audit_number: packets,
            checkpoint_number: packets,
            witnesses: vec![WitnessStatus {
                name: "folder".to_owned(),
                number: packets,
                at: Some(packets.to_string()),
                waiting: packets,
                waiting_seconds: packets,
                alarm: false,
                problem: None,
            }],
            clock: ClockStatus::default(),
            held: Vec::new(),
            records_kept: String::new(),
            uncertified: 0,
            untold: 0,
            applications_due_soon: 0,
            applications_overdue: 0,
        }
    }

    #[test]
    fn a_targets_packets_move_nothing_that_a_viewer_sees() {
        let quiet = serde_json::to_string(&Overview::from(status(0))).unwrap();
        assert!(quiet.contains("\"frames\":1000000"), "{quiet}");
        for packets in [1, 99, 12_345, u64::from(u32::MAX)] {
            assert_eq!(serde_json::to_string(&Overview::from(status(packets))).unwrap(), quiet, "{packets}");
        }
    }

    #[test]
    fn a_loss_a_backlog_and_alarms_are_seen() {
        let mut status = status(100);
        status.witnesses[0].alarm = true;
        status.held = vec![Held::Log { record: 17, why: "cut off".to_owned(), remedy: "put it back".to_owned() }];
        status.intercepts[0].counts.deliveries[0].lost.insert("spool_full".to_owned(), 7);
        status.sessions[0].waiting = BACKLOG;
        let seen = Overview::from(status);
        assert_eq!((seen.intercepts[0].lost, seen.sessions[0].backlog), (7, BACKLOG));
        assert_eq!((seen.witnesses[0].alarm, &seen.held[..]), (true, &[HeldKind::Log][..]));
    }
}
