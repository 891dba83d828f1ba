//! From a batch of frames to records in shared memory: what a capture worker does, whatever its source.
//!
//! A batch comes from a [`Source`](writ_capture::Source). Each frame is looked at a second time, against the
//! targets of the intercepts that the kernel named; each hit that stands becomes one PDU for each of the intercept's
//! deliveries, encoded straight into the stream of its endpoint (`append`), or is counted for its flow (`summaries`).
//! Streams are locked once for each batch. The snapshot of [`Intercepts`] is made by the capture role's keeper and only
//! read here.

mod append;
mod duplicates;
mod headers;
mod intercept;
mod outlets;
mod recipient;
mod summaries;

pub use duplicates::Duplicates;
pub use headers::Headers;
pub use intercept::{Delivery, Intercept, InterceptError, Intercepts, Packets};
pub use outlets::Outlets;
pub use recipient::Recipient;

use append::{Appender, Job};
use std::convert::Infallible;
use std::sync::Arc;
use summaries::Summaries;
use writ_abi::{FrameHeader, SlotRef};
use writ_capture::ClockOffset;
use writ_capture::{Batch, Frame, FrameTime};
use writ_capture::{Hit, verify};
use writ_encoder::handover::Scratch;
use writ_spool::{Ledger, LossReason};

/// So many frames before one is worked on, its memory is asked for.
const FETCHED_AHEAD: usize = 4;

/// Whether a packet was here before, and what becomes of it then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    None,
    Counted,
    Dropped,
}

/// Packets of one slot that were received one after the other and are not entered in the ledger yet: two additions to
/// shared memory for a run of them, and not for each.
#[derive(Default)]
struct Received {
    slot: u16,
    packets: u64,
    bytes: u64,
}

impl Received {
    #[inline]
    fn count(&mut self, ledger: &Ledger, slot: u16, bytes: u64) {
        if slot != self.slot {
            self.enter(ledger);
            self.slot = slot;
        }
        self.packets += 1;
        self.bytes += bytes;
    }

    fn enter(&mut self, ledger: &Ledger) {
        if self.packets > 0
            && let Some(account) = ledger.slot(self.slot)
        {
            account.receive(self.packets, self.bytes);
        }
        (self.packets, self.bytes) = (0, 0);
    }
}

/// Turns batches into records. One for each worker thread; what it needs it allocates here, once.
pub struct Worker {
    outlets: Arc<Outlets>,
    ledger: Arc<Ledger>,
    /// By stream.
    jobs: Vec<Vec<Job>>,
    received: Received,
    scratch: Scratch,
    /// By destination.
    summaries: Vec<Option<Summaries>>,
    violations: u64,
    outside: u64,
    duplicates: Option<Duplicates>,
}

impl Worker {
    /// A worker for batches of up to `batch` frames, which takes packets as they come.
    pub fn new(outlets: Arc<Outlets>, ledger: Arc<Ledger>, batch: usize) -> Self {
        let jobs = (0..outlets.len()).map(|_| Vec::with_capacity(batch * 4)).collect();
        Self {
            outlets,
            ledger,
            jobs,
            received: Received::default(),
            scratch: Scratch::default(),
            summaries: Vec::new(),
            violations: 0,
            outside: 0,
            duplicates: None,
        }
    }

    /// The worker, which from now on recognises packets that its source shows twice.
    #[must_use]
    pub fn recognising(self, duplicates: Option<Duplicates>) -> Self {
        Self { duplicates, ..self }
    }

    /// The worker, which from now on counts flows for the recipients that want them summed up.
    #[must_use]
    pub fn summing_up(self, recipients: &[Recipient]) -> Self {
        let summaries = recipients.iter().map(|recipient| recipient.summaries().map(Summaries::new)).collect();
        Self { summaries, ..self }
    }

    /// Hits that the frame itself did not bear out: destroyed.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Hits of a capture file outside their order's window: not taken.
    pub fn outside_window(&self) -> u64 {
        self.outside
    }

    /// Packets that were seen before: dropped, if the port is set up so.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.as_ref().map_or(0, Duplicates::count)
    }

    /// Encodes everything that the intercepts want of a batch. `clock` turns the kernel's stamps into UTC.
    pub fn process(&mut self, batch: &Batch<'_>, intercepts: &Intercepts, clock: ClockOffset) {
        (0..FETCHED_AHEAD).for_each(|place| batch.prefetch(place));
        for place in 0..batch.len() {
            batch.prefetch(place + FETCHED_AHEAD);
            let Some(frame) = batch.frame(place) else { continue };
            let verified = verify(frame.header, frame.bytes, intercepts.targets());
            if verified.violations() > 0 {
                self.violations += u64::from(verified.violations());
                self.book_destroyed(frame.header, verified.hits());
            }
            if verified.hits().is_empty() {
                continue;
            }
            let likeness = self.likeness(&frame);
            for &hit in verified.hits() {
                self.sort(place as u32, &frame, hit, likeness, intercepts, clock);
            }
        }
        // The books are never ahead of what was received.
        self.received.enter(&self.ledger);
        for (stream, jobs) in self.jobs.iter_mut().enumerate() {
            if jobs.is_empty() {
                continue;
            }
            let mut appender =
                Appender { batch, intercepts, clock, ledger: &self.ledger, scratch: &mut self.scratch, stream };
            self.outlets.with(stream, |producer| appender.append_all(producer, jobs));
            jobs.clear();
        }
    }

    /// Tells of the flows whose time has come by `utc_ns`, and of all flows of intercepts that are ending. To be called after
    /// each batch, and now and then where none comes.
    pub fn sum_up(&mut self, intercepts: &Intercepts, utc_ns: u64) {
        for summaries in self.summaries.iter_mut().flatten() {
            summaries.advance(intercepts, utc_ns);
            summaries.tell(intercepts, &self.outlets, &mut self.scratch);
        }
    }

    /// Tells of all flows: nothing more comes.
    pub fn sum_up_all(&mut self, intercepts: &Intercepts) {
        for summaries in self.summaries.iter_mut().flatten() {
            summaries.close();
            summaries.tell(intercepts, &self.outlets, &mut self.scratch);
        }
    }

    /// Whether a packet was here before.
    fn likeness(&mut self, frame: &Frame<'_>) -> Likeness {
        let Some(duplicates) = &mut self.duplicates else { return Likeness::None };
        let (FrameTime::Boot(ns) | FrameTime::Utc(ns)) = frame.time;
        match duplicates.recognise(frame.header, frame.bytes, ns) {
            false => Likeness::None,
            true if duplicates.are_dropped() => Likeness::Dropped,
            true => Likeness::Counted,
        }
    }

    /// Books a frame that the second look destroyed, for each intercept that the kernel named and that did not get it.
    fn book_destroyed(&self, header: &FrameHeader, left: &[Hit]) {
        let source = (0..).zip(&header.source).filter(|(bit, _)| header.source_live & 1 << bit != 0);
        let destination = (0..).zip(&header.destination).filter(|(bit, _)| header.destination_live & 1 << bit != 0);
        let named = source.chain(destination).map(|(_, slot)| *slot);
        // The kernel counts a packet once for a slot, however often it names it.
        for (place, slot) in named.clone().enumerate() {
            if !named.clone().take(place).any(|before| before == slot) && !left.iter().any(|hit| hit.slot == slot) {
                self.book_violation(slot);
            }
        }
    }

    fn book_violation(&self, slot: SlotRef) {
        if let Some(account) = self.ledger.slot(slot.slot).filter(|it| it.is_owned_by(slot.generation)) {
            account.violated();
        }
    }

    /// Books a packet that was here before.
    fn book_likeness(&mut self, slot: SlotRef, likeness: Likeness, intercept: &Intercept) {
        // What is lost was received.
        self.received.enter(&self.ledger);
        let Some(account) = self.ledger.slot(slot.slot) else { return };
        account.duplicate();
        if likeness == Likeness::Dropped {
            for (index, _) in (0u8..).zip(intercept.deliveries()) {
                account.lost(index, LossReason::Duplicate, 1);
            }
        }
    }

    /// Books a hit and notes what has to be made of it.
    fn sort(
        &mut self,
        place: u32,
        frame: &Frame<'_>,
        hit: Hit,
        likeness: Likeness,
        intercepts: &Intercepts,
        clock: ClockOffset,
    ) {
        let Some(intercept) = intercepts.get(hit.slot) else {
            self.violations += 1;
            self.book_violation(hit.slot);
            return;
        };
        if let FrameTime::Utc(ns) = frame.time
            && !intercept.window_holds(ns)
        {
            self.outside += 1;
            return;
        }
        if !intercept.has_begun() {
            intercept.begin(&self.outlets, &self.ledger, utc_ns(frame.time, clock));
        }
        self.received.count(&self.ledger, hit.slot.slot, frame.header.wire_length.into());
        if likeness != Likeness::None {
            self.book_likeness(hit.slot, likeness, intercept);
            if likeness == Likeness::Dropped {
                return;
            }
        }
        for (index, delivery) in (0u8..).zip(intercept.deliveries()) {
            let job = Job { frame: place, hit, delivery: index };
            let (stream, beside) = match delivery.packets() {
                Packets::Content { stream, beside } => (stream, beside),
                Packets::Reports { stream } => (stream, None),
                Packets::Summaries { destination, .. } => {
                    let summaries = self.summaries.get_mut(destination).and_then(Option::as_mut);
                    let counted = summaries.and_then(|it| it.count(frame, hit, index, utc_ns(frame.time, clock)));
                    if counted.is_none() {
                        self.book_lost(hit.slot, index, LossReason::EncodeFailed);
                    }
                    continue;
                }
            };
            for stream in std::iter::once(stream).chain(beside) {
                if let Some(jobs) = self.jobs.get_mut(stream) {
                    jobs.push(job);
                }
            }
        }
    }

    fn book_lost(&mut self, slot: SlotRef, delivery: u8, reason: LossReason) {
        self.received.enter(&self.ledger);
        if let Some(account) = self.ledger.slot(slot.slot) {
            account.lost(delivery, reason, 1);
        }
    }
}

fn utc_ns(time: FrameTime, clock: ClockOffset) -> u64 {
    match time {
        FrameTime::Boot(ns) => clock.utc_ns(ns),
        FrameTime::Utc(ns) => ns,
    }
}

/// An event's bytes, already encoded, as the writer that `Producer::append` takes.
fn whole(pdu: &[u8]) -> impl FnOnce(&mut [u8]) -> Result<usize, Infallible> + '_ {
    |out| {
        let room = pdu.len().min(out.len());
        out[..room].copy_from_slice(&pdu[..room]);
        Ok(room)
    }
}
