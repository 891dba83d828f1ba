//! Flows of headers-only intercepts, counted for recipients that want them summed up in place of a report of every packet.
//!
//! Each worker counts what comes through its queue: a flow is one direction of a five-tuple, and a card keeps those together.
//! What is counted and not told yet is in the books as received. It is told at the latest when the flow falls silent, the
//! intercept ends or the worker does; of a worker that is killed it is counted lost, as all that it had in hand.

use super::append::{direction, loss};
use super::{Headers, Intercepts, Outlets};
use writ_abi::{FrameFlags, SlotRef};
use writ_capture::{Frame, Hit};
use writ_encoder::UtcMicros;
use writ_encoder::etsi::SummaryTrigger;
use writ_encoder::handover::{Count, Moment, Scratch};
use writ_encoder::t1_ias::{Direction, Flow};
use writ_flows::{Cause, Flows, Settings, Sign, Summary};
use writ_spool::{LossReason, Record, RecordKind};

const TCP: u8 = 6;

/// A flow of one delivery of one intercept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    slot: SlotRef,
    delivery: u8,
    direction: Option<Direction>,
    flow: Flow,
}

/// The flows of one worker for one destination.
pub(super) struct Summaries {
    flows: Flows<Key>,
    /// What is to be told.
    due: Vec<Summary<Key>>,
    now_ns: u64,
}

impl Summaries {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { flows: Flows::new(settings), due: Vec::new(), now_ns: 0 }
    }

    /// Counts a packet; none if its flow cannot be read.
    pub(super) fn count(&mut self, frame: &Frame<'_>, hit: Hit, delivery: u8, utc_ns: u64) -> Option<()> {
        let headers = Headers::of(frame)?;
        let flow = headers.flow()?;
        let key = Key { slot: hit.slot, delivery, direction: direction(hit), flow };
        let octets = frame.header.ip_end.saturating_sub(frame.header.ip_offset);
        let due = &mut self.due;
        self.flows.packet(key, octets.into(), utc_ns, sign(frame, &flow), |summary| due.push(summary));
        self.now_ns = self.now_ns.max(utc_ns);
        Some(())
    }

    /// Goes on to a time. Of intercepts that are ending or gone nothing stays.
    pub(super) fn advance(&mut self, intercepts: &Intercepts, utc_ns: u64) {
        let due = &mut self.due;
        self.now_ns = self.now_ns.max(utc_ns);
        self.flows.advance(utc_ns, |summary| due.push(summary));
        if !intercepts.ending().is_empty() && !self.flows.is_empty() {
            self.flows.close(|key| intercepts.ending().contains(&key.slot), |summary| due.push(summary));
        }
    }

    /// Everything is to be told.
    pub(super) fn close(&mut self) {
        let due = &mut self.due;
        self.flows.close(|_| true, |summary| due.push(summary));
    }

    /// Writes what is to be told into the streams.
    pub(super) fn tell(&mut self, intercepts: &Intercepts, outlets: &Outlets, scratch: &mut Scratch) {
        for summary in self.due.drain(..) {
            let Key { slot, delivery, direction, flow } = summary.key;
            let owned = outlets.ledger().slot(slot.slot).filter(|account| account.is_owned_by(slot.generation));
            let Some(account) = owned else { continue };
            let intercept = intercepts.get(slot);
            let place = intercept.and_then(|intercept| intercept.deliveries().get(usize::from(delivery)));
            let way = place.and_then(|delivery| Some((delivery.information()?, delivery.information_stream()?)));
            let Some((information, stream)) = way else {
                account.lost(delivery, LossReason::Stale, summary.packets);
                continue;
            };
            let count = Count {
                packets: summary.packets,
                octets: summary.octets,
                first: UtcMicros::from_unix_nanos(summary.first_ns),
                last: UtcMicros::from_unix_nanos(summary.last_ns),
                trigger: trigger(summary.cause),
            };
            outlets.with(stream, |producer| {
                let numbered = information.numbers_reports();
                let sequence = numbered.then(|| account.reserve_event(delivery, 1)).flatten().unwrap_or(0);
                let moment = Moment {
                    time: UtcMicros::from_unix_nanos(self.now_ns),
                    direction,
                    sequence,
                    original_length: None,
                    is_ipv6: flow.source.is_ipv6(),
                    link: &[],
                };
                let SlotRef { slot, generation } = slot;
                let record = Record { slot, generation, delivery, kind: RecordKind::HeaderReport, sequence };
                let appended = producer.append_for(count.packets, information.summary_bound(), record, |out| {
                    information.summary(out, scratch, &moment, &flow, &count)
                });
                if let Err(error) = appended {
                    account.lost(delivery, loss(&error), count.packets);
                }
                if let Err(error) = producer.commit() {
                    tracing::error!(%error, "a stream cannot be published");
                }
            });
        }
    }
}

/// What a packet says of its flow.
fn sign(frame: &Frame<'_>, flow: &Flow) -> Sign {
    const FIN_OR_RST: u8 = 0b101;
    const SYN: u8 = 0b10;
    if flow.protocol != TCP || frame.header.flags & FrameFlags::TRANSPORT == 0 {
        return Sign::None;
    }
    match frame.read::<1>(usize::from(frame.header.transport_offset) + 13) {
        Some([flags]) if flags & FIN_OR_RST != 0 => Sign::End,
        Some([flags]) if flags & SYN != 0 => Sign::Begin,
        _ => Sign::None,
    }
}

/// Why a summary is made, as ETSI says it. What has to make room is told as if it had fallen silent.
fn trigger(cause: Cause) -> SummaryTrigger {
    match cause {
        Cause::Start => SummaryTrigger::FlowStart,
        Cause::End => SummaryTrigger::FlowEnd,
        Cause::Idle | Cause::Displaced => SummaryTrigger::FlowTimeout,
        Cause::Period => SummaryTrigger::FlowTimerExpiration,
        Cause::PacketCount => SummaryTrigger::FlowPacketCount,
        Cause::Closed => SummaryTrigger::ReportEnd,
    }
}
