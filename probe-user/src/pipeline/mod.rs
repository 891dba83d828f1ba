//! From a batch of frames to records in shared memory: what a capture worker does, whatever its source.
//!
//! A batch comes from a [`Source`](writ_capture::Source). Each frame is looked at a second time, against the
//! targets of the intercepts that the kernel named; each hit that stands becomes one PDU for each of the intercept's
//! deliveries, encoded straight into the stream of its endpoint. Streams are locked once for each batch. The snapshot
//! of [`Intercepts`] is made by the capture role's keeper and only read here.

mod duplicates;
mod headers;
mod intercept;
mod outlets;

pub use duplicates::Duplicates;
pub use headers::Headers;
pub use intercept::{Delivery, Intercept, InterceptError, Intercepts, Packets};
pub use outlets::Outlets;

use std::convert::Infallible;
use std::sync::Arc;
use writ_abi::{FrameHeader, SlotRef};
use writ_capture::ClockOffset;
use writ_capture::{Batch, Frame, FrameTime, Part};
use writ_capture::{Hit, verify};
use writ_encoder::t1_ias::{Direction, HeaderSets};
use writ_encoder::{NoRoom, Stamper, UtcMicros};
use writ_spool::{AppendError, Ledger, LossReason, Producer, Record};

/// One PDU to be made.
#[derive(Clone, Copy)]
struct Job {
    /// Place of the frame in its batch.
    frame: u32,
    /// Slot of the intercept.
    hit: Hit,
    delivery: u8,
}

/// Whether a packet was here before, and what becomes of it then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    None,
    Counted,
    Dropped,
}

impl Job {
    /// Whether both are of the same delivery of the same intercept.
    fn shares_delivery(&self, other: &Self) -> bool {
        (self.hit.slot, self.delivery) == (other.hit.slot, other.delivery)
    }
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
    stamper: Stamper,
    header_sets: HeaderSets,
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
            stamper: Stamper::default(),
            header_sets: HeaderSets::default(),
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
        for place in 0..batch.len() {
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
            let mut appender = Appender {
                batch,
                intercepts,
                clock,
                ledger: &self.ledger,
                stamper: &mut self.stamper,
                header_sets: &mut self.header_sets,
            };
            self.outlets.with(stream, |producer| appender.append_all(producer, jobs));
            jobs.clear();
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
            if let Some(jobs) = self.jobs.get_mut(delivery.packets().stream()) {
                jobs.push(Job { frame: place, hit, delivery: index });
            }
        }
    }
}

fn utc_ns(time: FrameTime, clock: ClockOffset) -> u64 {
    match time {
        FrameTime::Boot(ns) => clock.utc_ns(ns),
        FrameTime::Utc(ns) => ns,
    }
}

/// What the jobs of a batch need.
struct Appender<'a> {
    batch: &'a Batch<'a>,
    intercepts: &'a Intercepts,
    clock: ClockOffset,
    ledger: &'a Ledger,
    stamper: &'a mut Stamper,
    header_sets: &'a mut HeaderSets,
}

impl Appender<'_> {
    /// Appends the PDUs of one stream in the order of their frames, and publishes them with one store.
    fn append_all(&mut self, producer: &mut Producer, jobs: &[Job]) {
        for run in jobs.chunk_by(Job::shares_delivery) {
            self.append_run(producer, run);
        }
        if let Err(error) = producer.commit() {
            // The stream's memory is damaged; the ledger's settlement at the next start counts what was not published.
            tracing::error!(%error, "a stream cannot be published");
        }
    }

    /// Appends the PDUs of one delivery that follow each other. Numbers of content are reserved together.
    ///
    /// Not inlined: the encoder and the stream need the registers for themselves.
    #[inline(never)]
    fn append_run(&mut self, producer: &mut Producer, run: &[Job]) {
        let Some(first) = run.first() else { return };
        let slot = first.hit.slot;
        let Some(account) = self.ledger.slot(slot.slot) else { return };
        let intercept = self.intercepts.get(slot);
        let delivery = intercept.and_then(|intercept| intercept.deliveries().get(usize::from(first.delivery)));
        // Reports bear no number: those of content follow each other, whatever the scope was in between.
        let numbers = delivery.and_then(|delivery| match delivery.packets() {
            Packets::Content { .. } => account.reserve_sequence(first.delivery, run.len() as u64),
            Packets::Reports { .. } => Some(0),
        });
        let (Some(delivery), Some(numbers)) = (delivery, numbers) else {
            account.lost(first.delivery, LossReason::Stale, run.len() as u64);
            return;
        };
        let kind = delivery.packets().kind();
        let record =
            Record { slot: slot.slot, generation: slot.generation, delivery: first.delivery, kind, sequence: 0 };
        for (sequence, job) in (numbers..).zip(run) {
            let appended = self.append(producer, job, delivery, Record { sequence, ..record });
            if let Err(reason) = appended {
                account.lost(first.delivery, reason, 1);
            }
        }
    }

    #[inline]
    fn append(
        &mut self,
        producer: &mut Producer,
        job: &Job,
        delivery: &Delivery,
        record: Record,
    ) -> Result<(), LossReason> {
        let frame = self.batch.frame(job.frame as usize).ok_or(LossReason::EncodeFailed)?;
        let time = self.stamper.stamp(UtcMicros::from_unix_nanos(utc_ns(frame.time, self.clock)));
        let encoder = delivery.encoder();
        let appended = match delivery.packets() {
            Packets::Content { .. } => {
                let packet = ip_packet(&frame).ok_or(LossReason::EncodeFailed)?;
                let length = packet.length();
                producer.append(encoder.content_bound(length), record, |out| {
                    let copy = |to: &mut [u8]| packet.copy_to(to);
                    encoder.content_from(out, time, direction(job.hit), record.sequence, length, copy)
                })
            }
            Packets::Reports { .. } => {
                let headers = Headers::of(&frame).ok_or(LossReason::EncodeFailed)?;
                let flow = headers.flow().ok_or(LossReason::EncodeFailed)?;
                producer.append(encoder.header_report_bound(), record, |out| {
                    encoder.header_report_from(out, time, self.header_sets.of(&flow)?)
                })
            }
        };
        match appended {
            Ok(_) => Ok(()),
            Err(error) => Err(loss(&error)),
        }
    }
}

fn loss(error: &AppendError<NoRoom>) -> LossReason {
    match error {
        AppendError::Full => LossReason::SpoolFull,
        AppendError::Stale => LossReason::Stale,
        _ => LossReason::EncodeFailed,
    }
}

/// The direction as the handover has it; none if it is not known.
fn direction(hit: Hit) -> Option<Direction> {
    match hit.direction {
        writ_capture::Direction::FromSubject => Some(Direction::FromSubject),
        writ_capture::Direction::ToSubject => Some(Direction::ToSubject),
        writ_capture::Direction::Unknown => None,
    }
}

/// The IP packet in a frame: from its header to the length that the header states, without Ethernet padding.
fn ip_packet<'a>(frame: &Frame<'a>) -> Option<Part<'a>> {
    frame.part(usize::from(frame.header.ip_offset)..usize::from(frame.header.ip_end))
}

/// An event's bytes, already encoded, as the writer that `Producer::append` takes.
fn whole(pdu: &[u8]) -> impl FnOnce(&mut [u8]) -> Result<usize, Infallible> + '_ {
    |out| {
        let room = pdu.len().min(out.len());
        out[..room].copy_from_slice(&pdu[..room]);
        Ok(room)
    }
}
