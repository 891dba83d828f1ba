//! The ledger of one intercept, put together from the kernel's counters and the shared-memory account, over the lives of
//! the capture role. `matched = in flight + delivered + waiting + lost`, for each delivery.

use crate::config::Config;
use crate::ipc::{ArmedIntercept, DeliveryCounts, InterceptCounts, SlotFigures};
use crate::roles::FLUSH_NS;
use std::collections::BTreeMap;
use writ_abi::SlotCounters;
use writ_capture::CounterView;
use writ_spool::{FORMER_FIGURES, Ledger, LossReason, RecordKind};

/// The kernel's side of an intercept's account.
#[derive(Clone, Debug, Default)]
pub(super) struct KernelCount {
    /// What former lives of the capture role counted.
    closed: SlotCounters,
    /// Where the slot's counters stood when this intercept got the slot.
    baseline: SlotCounters,
    /// Taken by the program, never seen by a worker, and no longer on the way.
    ring_lost: u64,
    /// A count that is to be held against what the workers have seen, once they have read past its moment.
    mark: Option<(u64, u64)>,
}

impl KernelCount {
    /// A new owner of a slot begins here.
    pub(super) fn begin(slot: u16, view: Option<&CounterView>) -> Self {
        Self { baseline: view.map(|view| view.slot(slot)).unwrap_or_default(), ..Self::default() }
    }

    /// An intercept that a capture role has had since before this control role's start. `former` is what the control
    /// role before this one kept ([`KernelCount::former`]); `seen` was read before the counters are.
    pub(super) fn resume(
        slot: u16,
        baseline: SlotFigures,
        former: [u64; FORMER_FIGURES],
        view: Option<&CounterView>,
        seen: u64,
    ) -> Self {
        let [ring_lost, closed @ ..] = former;
        let (closed, baseline) = (SlotFigures(closed).into(), baseline.into());
        let mut count = Self { closed, baseline, ring_lost, mark: None };
        // A capture role that died while there was no control role is known by what its workers saw.
        let known = before_receipt(&count.now(slot, view));
        count.closed.matched += (seen + ring_lost).saturating_sub(known);
        count
    }

    /// What former lives of the capture role counted, to outlive this control role.
    pub(super) fn former(&self) -> [u64; FORMER_FIGURES] {
        let mut figures = [self.ring_lost; FORMER_FIGURES];
        figures[1..].copy_from_slice(&SlotFigures::from(self.closed).0);
        figures
    }

    /// What the capture role that lives has counted, in the form of [`KernelCount::former`].
    pub(super) fn current(&self, slot: u16, view: Option<&CounterView>) -> [u64; FORMER_FIGURES] {
        let current = view.map(|view| view.slot(slot)).unwrap_or(self.baseline);
        let mut figures = [0; FORMER_FIGURES];
        figures[1..].copy_from_slice(&SlotFigures::from(combine(&SlotCounters::default(), &current, &self.baseline)).0);
        figures
    }

    /// The counters so far.
    pub(super) fn now(&self, slot: u16, view: Option<&CounterView>) -> SlotCounters {
        let current = view.map(|view| view.slot(slot)).unwrap_or(self.baseline);
        combine(&self.closed, &current, &self.baseline)
    }

    /// The capture role died: its last counters are kept, and what its workers never saw is lost.
    pub(super) fn close_life(&mut self, slot: u16, view: Option<&CounterView>, seen: u64) {
        self.closed = self.now(slot, view);
        self.baseline = SlotCounters::default();
        self.mark = None;
        self.ring_lost = before_receipt(&self.closed).saturating_sub(seen);
    }

    /// Finds losses in the ring: what was matched before a moment, and was not seen although every worker has read
    /// past that moment.
    pub(super) fn settle(&mut self, slot: u16, view: Option<&CounterView>, seen: u64, now_ns: u64, read_until_ns: u64) {
        if let Some((at_ns, reachable)) = self.mark
            && read_until_ns >= at_ns.saturating_add(FLUSH_NS)
        {
            self.ring_lost = self.ring_lost.max(reachable.saturating_sub(seen));
            self.mark = None;
        }
        if self.mark.is_none() {
            self.mark = Some((now_ns, before_receipt(&self.now(slot, view))));
        }
    }

    /// The intercept is drained: nothing is on the way any more.
    pub(super) fn finish(&mut self, slot: u16, view: Option<&CounterView>, seen: u64) {
        self.ring_lost = before_receipt(&self.now(slot, view)).saturating_sub(seen);
    }
}

/// Packets that the program sent on their way to a worker.
fn before_receipt(counters: &SlotCounters) -> u64 {
    counters.matched.saturating_sub(counters.no_socket).saturating_sub(counters.cut_failed)
}

fn combine(closed: &SlotCounters, current: &SlotCounters, baseline: &SlotCounters) -> SlotCounters {
    let add = |closed: u64, current: u64, baseline: u64| closed + current.saturating_sub(baseline);
    SlotCounters {
        matched: add(closed.matched, current.matched, baseline.matched),
        matched_bytes: add(closed.matched_bytes, current.matched_bytes, baseline.matched_bytes),
        early: add(closed.early, current.early, baseline.early),
        expired: add(closed.expired, current.expired, baseline.expired),
        stale: add(closed.stale, current.stale, baseline.stale),
        no_socket: add(closed.no_socket, current.no_socket, baseline.no_socket),
        cut_failed: add(closed.cut_failed, current.cut_failed, baseline.cut_failed),
        other_direction: add(closed.other_direction, current.other_direction, baseline.other_direction),
        other_traffic: add(closed.other_traffic, current.other_traffic, baseline.other_traffic),
        unknown_traffic: add(closed.unknown_traffic, current.unknown_traffic, baseline.unknown_traffic),
        reserved: [0; 6],
    }
}

/// The whole account of an intercept.
pub(super) fn counts(
    config: &Config,
    order: &ArmedIntercept,
    kernel: &KernelCount,
    view: Option<&CounterView>,
    ledger: &Ledger,
) -> InterceptCounts {
    let slot = order.slot.slot;
    let account = ledger.slot(slot).filter(|account| account.is_owned_by(order.slot.generation));
    // The workers' side first: what moves meanwhile shows as in flight, not as a negative.
    let snapshot = account.and_then(|account| account.snapshot());
    let violations = account.map_or(0, |account| account.violations());
    let counters = kernel.now(slot, view);
    let received = snapshot.as_ref().map_or(0, |snapshot| snapshot.received);
    let duplicates = snapshot.as_ref().map_or(0, |snapshot| snapshot.duplicates);
    let deliveries = order
        .deliveries
        .iter()
        .enumerate()
        .map(|(index, delivery)| {
            let figures =
                snapshot.as_ref().and_then(|snapshot| snapshot.deliveries.get(index)).copied().unwrap_or_default();
            let packets =
                |count: &dyn Fn(RecordKind) -> u64| count(RecordKind::Content) + count(RecordKind::HeaderReport);
            DeliveryCounts {
                destination: config.destination.get(delivery.destination).map(|it| it.name.clone()).unwrap_or_default(),
                delivered: packets(&|kind| figures.delivered(kind)),
                waiting: packets(&|kind| figures.waiting(kind)),
                events_delivered: figures.delivered(RecordKind::Event),
                waiting_cmii: figures.waiting(RecordKind::HeaderReport) + figures.waiting(RecordKind::Event),
                waiting_cmc: figures.waiting(RecordKind::Content),
                cmc_next_sequence: figures.next_sequence,
                lost: LossReason::ALL
                    .iter()
                    .map(|reason| (reason.label().to_owned(), figures.lost(*reason)))
                    .filter(|(_, lost)| *lost > 0)
                    .collect(),
            }
        })
        .collect();
    let mut lost = BTreeMap::new();
    for (reason, packets) in [
        (LossReason::RingFull, kernel.ring_lost),
        (LossReason::NoSocket, counters.no_socket),
        (LossReason::CutFailed, counters.cut_failed),
        (LossReason::IsolationViolation, violations),
    ] {
        if packets > 0 {
            lost.insert(reason.label().to_owned(), packets);
        }
    }
    InterceptCounts {
        matched: counters.matched,
        matched_bytes: counters.matched_bytes,
        early: counters.early,
        expired: counters.expired,
        other_direction: counters.other_direction,
        other_traffic: counters.other_traffic,
        unknown_traffic: counters.unknown_traffic,
        received,
        duplicates,
        in_flight: before_receipt(&counters).saturating_sub(received + violations + kernel.ring_lost),
        deliveries,
        lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(matched: u64) -> SlotCounters {
        SlotCounters { matched, ..SlotCounters::default() }
    }

    #[test]
    fn a_former_owners_figures_are_not_this_ones() {
        let sum = combine(&counters(0), &counters(15), &counters(10));
        assert_eq!(sum.matched, 5);
    }

    #[test]
    fn what_a_dead_capture_role_never_read_is_lost() {
        let mut kernel = KernelCount { closed: counters(100), ..KernelCount::default() };
        kernel.close_life(0, None, 90);
        assert_eq!(kernel.ring_lost, 10);
    }

    #[test]
    fn a_control_role_that_comes_back_knows_what_was_lost_before() {
        let mut kernel = KernelCount { closed: counters(100), ..KernelCount::default() };
        kernel.close_life(0, None, 90);
        let resumed = KernelCount::resume(0, SlotFigures::default(), kernel.former(), None, 90);
        assert_eq!((resumed.closed.matched, resumed.ring_lost), (100, 10));
        // Twenty more were received from a capture role that nobody's figures tell of.
        let resumed = KernelCount::resume(0, SlotFigures::default(), kernel.former(), None, 110);
        assert_eq!((resumed.closed.matched, resumed.ring_lost), (120, 10));
    }

    #[test]
    fn a_loss_in_the_ring_shows_only_when_the_workers_have_read_past_it() {
        let mut kernel = KernelCount { closed: counters(100), ..KernelCount::default() };
        kernel.settle(0, None, 40, 1_000, 0);
        kernel.settle(0, None, 90, 2_000, 1_500);
        assert_eq!(kernel.ring_lost, 0);
        kernel.settle(0, None, 97, 3_000, 1_000 + FLUSH_NS);
        assert_eq!(kernel.ring_lost, 3);
    }
}
