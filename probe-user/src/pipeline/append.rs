//! From the frames of a batch to the records of one stream, in the format of each delivery.

use super::headers::LONGEST_HEADERS;
use super::{Delivery, Headers, Intercepts, Packets, utc_ns};
use writ_abi::{FrameFlags, SlotRef};
use writ_capture::{Batch, ClockOffset, Frame, Hit, Part};
use writ_encoder::handover::{Content, Information, Moment, Scratch, WriteContent};
use writ_encoder::t1_ias::Direction;
use writ_encoder::{NoRoom, UtcMicros, etsi, handover};
use writ_spool::{AppendError, Ledger, LossReason, Producer, Record, RecordKind, SlotAccount};

/// Packets in one PDU at most, whatever the agency would take.
const MOST_TOGETHER: usize = 32;
/// Octets of packets in one PDU, from which on none is added.
const ENOUGH_TOGETHER: usize = 64 << 10;

/// One PDU to be made.
#[derive(Clone, Copy)]
pub(super) struct Job {
    /// Place of the frame in its batch.
    pub(super) frame: u32,
    /// Slot of the intercept.
    pub(super) hit: Hit,
    pub(super) delivery: u8,
}

impl Job {
    /// Whether both are of the same delivery of the same intercept.
    fn shares_delivery(&self, other: &Self) -> bool {
        (self.hit.slot, self.delivery) == (other.hit.slot, other.delivery)
    }
}

/// What the jobs of a batch need.
pub(super) struct Appender<'a> {
    pub(super) batch: &'a Batch<'a>,
    pub(super) intercepts: &'a Intercepts,
    pub(super) clock: ClockOffset,
    pub(super) ledger: &'a Ledger,
    pub(super) scratch: &'a mut Scratch,
    pub(super) stream: usize,
}

/// Jobs of one delivery that follow each other, and where they are booked.
#[derive(Clone, Copy)]
struct Run<'a> {
    jobs: &'a [Job],
    account: SlotAccount<'a>,
    slot: SlotRef,
    delivery: u8,
}

impl Run<'_> {
    fn record(&self, kind: RecordKind, sequence: u64) -> Record {
        let SlotRef { slot, generation } = self.slot;
        Record { slot, generation, delivery: self.delivery, kind, sequence }
    }

    fn lost(&self, reason: LossReason, packets: u64) {
        self.account.lost(self.delivery, reason, packets);
    }
}

impl Appender<'_> {
    /// Appends the PDUs of one stream in the order of their frames, and publishes them with one store.
    pub(super) fn append_all(&mut self, producer: &mut Producer, jobs: &[Job]) {
        for run in jobs.chunk_by(Job::shares_delivery) {
            self.append_run(producer, run);
        }
        if let Err(error) = producer.commit() {
            // The stream's memory is damaged; the ledger's settlement at the next start counts what was not published.
            tracing::error!(%error, "a stream cannot be published");
        }
    }

    /// Appends the PDUs of one delivery that follow each other.
    fn append_run(&mut self, producer: &mut Producer, jobs: &[Job]) {
        let (ledger, intercepts) = (self.ledger, self.intercepts);
        let Some(&Job { hit: Hit { slot, .. }, delivery, .. }) = jobs.first() else { return };
        let Some(account) = ledger.slot(slot.slot) else { return };
        let run = Run { jobs, account, slot, delivery };
        let intercept = intercepts.get(slot);
        let Some(delivery) = intercept.and_then(|intercept| intercept.deliveries().get(usize::from(delivery))) else {
            return run.lost(LossReason::Stale, jobs.len() as u64);
        };
        match delivery.packets() {
            Packets::Content { beside: Some(beside), .. } if beside == self.stream => {
                self.reports(producer, run, delivery, RecordKind::Event);
            }
            Packets::Content { .. } => self.contents(producer, run, delivery.content()),
            Packets::Reports { .. } => self.reports(producer, run, delivery, RecordKind::HeaderReport),
            // Never a job.
            Packets::Summaries { .. } => {}
        }
    }

    /// A loop for each format.
    fn contents(&mut self, producer: &mut Producer, run: Run<'_>, content: &Content) {
        match content {
            Content::Apdu(writer) => self.content(producer, run, &**writer),
            Content::Etsi { intercept, packets_per_pdu: 0 | 1 } => self.content(producer, run, &**intercept),
            Content::Etsi { intercept, packets_per_pdu } => {
                let most = usize::from(*packets_per_pdu).min(MOST_TOGETHER);
                self.content_together(producer, run, intercept, most);
            }
            Content::X3(writer) => self.content(producer, run, writer),
            Content::Ccc(writer) => self.content(producer, run, writer),
            Content::Opencalea(writer) => self.content(producer, run, writer),
            Content::Jmirror(writer) => self.content(producer, run, writer),
            Content::Tzsp(writer) => self.content(producer, run, writer),
            Content::Files(writer) => self.content(producer, run, writer),
        }
    }

    /// A packet, a PDU. Their numbers are reserved together: those of content follow each other, whatever the scope was in
    /// between.
    ///
    /// Not inlined: the encoder and the stream need the registers for themselves.
    #[inline(never)]
    fn content<W: WriteContent>(&mut self, producer: &mut Producer, run: Run<'_>, writer: &W) {
        let Some(numbers) = run.account.reserve_sequence(run.delivery, run.jobs.len() as u64) else {
            return run.lost(LossReason::Stale, run.jobs.len() as u64);
        };
        for (sequence, job) in (numbers..).zip(run.jobs) {
            let appended = self.one(producer, job, writer, run.record(RecordKind::Content, sequence));
            if let Err(reason) = appended {
                run.lost(reason, 1);
            }
        }
    }

    #[inline]
    fn one<W: WriteContent>(
        &mut self,
        producer: &mut Producer,
        job: &Job,
        writer: &W,
        record: Record,
    ) -> Result<(), LossReason> {
        let frame = self.batch.frame(job.frame as usize).ok_or(LossReason::EncodeFailed)?;
        let packet = ip_packet(&frame).ok_or(LossReason::EncodeFailed)?;
        let length = packet.length();
        if !writer.has_room_for(length) {
            return Err(LossReason::EncodeFailed);
        }
        let moment = Moment { original_length: missing_end(&frame), ..self.moment(&frame, job, record.sequence) };
        let scratch = &mut *self.scratch;
        let appended = producer.append(writer.bound(length), record, |out| {
            writer.write(out, scratch, &moment, length, |to| packet.copy_to(to))
        });
        appended.map(drop).map_err(|error| loss(&error))
    }

    /// Several packets, a PDU.
    fn content_together(&mut self, producer: &mut Producer, run: Run<'_>, writer: &etsi::Intercept, most: usize) {
        let mut jobs = run.jobs;
        while !jobs.is_empty() {
            let mut members = [etsi::Member {
                time: UtcMicros::from_unix_nanos(0),
                direction: etsi::Direction::Indeterminate,
                packet: (&[][..]).into(),
            }; MOST_TOGETHER];
            let (mut taken, mut unfit, mut octets) = (0, 0, 0);
            for job in jobs {
                // What does not lie in one piece, or is not whole, goes alone: jumbo frames need no company.
                let Some((time, packet)) = self.whole_packet(job) else {
                    unfit = usize::from(taken == 0);
                    break;
                };
                members[taken] = etsi::Member { time, direction: direction(job.hit).into(), packet: packet.into() };
                (taken, octets) = (taken + 1, octets + packet.len());
                if taken == most || octets >= ENOUGH_TOGETHER {
                    break;
                }
            }
            let (now, rest) = jobs.split_at((taken + unfit).min(jobs.len()));
            jobs = rest;
            if unfit > 0 {
                self.content(producer, Run { jobs: now, ..run }, writer);
                continue;
            }
            let members = members.get(..taken).unwrap_or_default();
            let Some(last) = members.last() else { return };
            let Some(number) = run.account.reserve_sequence(run.delivery, 1) else {
                return run.lost(LossReason::Stale, (now.len() + jobs.len()) as u64);
            };
            let record = run.record(RecordKind::Content, number);
            let bound = writer.contents_bound(members);
            let appended = producer
                .append_for(taken as u64, bound, record, |out| writer.contents(out, last.time, number as u32, members));
            if let Err(error) = appended {
                run.lost(loss(&error), taken as u64);
            }
        }
    }

    fn whole_packet(&self, job: &Job) -> Option<(UtcMicros, &[u8])> {
        let frame = self.batch.frame(job.frame as usize)?;
        let range = usize::from(frame.header.ip_offset)..usize::from(frame.header.ip_end);
        let packet = frame.bytes.get(range).filter(|_| missing_end(&frame).is_none())?;
        Some((UtcMicros::from_unix_nanos(utc_ns(frame.time, self.clock)), packet))
    }

    /// A packet, what its headers say.
    #[inline(never)]
    fn reports(&mut self, producer: &mut Producer, run: Run<'_>, delivery: &Delivery, kind: RecordKind) {
        let Some(information) = delivery.information() else { return };
        let numbers = if information.numbers_reports() {
            run.account.reserve_event(run.delivery, run.jobs.len() as u64)
        } else {
            Some(0)
        };
        let Some(numbers) = numbers else { return run.lost(LossReason::Stale, run.jobs.len() as u64) };
        for (sequence, job) in (numbers..).zip(run.jobs) {
            let appended = self.report(producer, job, information, run.record(kind, sequence));
            if let Err(reason) = appended
                && kind == RecordKind::HeaderReport
            {
                run.lost(reason, 1);
            }
        }
    }

    #[inline]
    fn report(
        &mut self,
        producer: &mut Producer,
        job: &Job,
        information: &Information,
        record: Record,
    ) -> Result<(), LossReason> {
        let frame = self.batch.frame(job.frame as usize).ok_or(LossReason::EncodeFailed)?;
        let moment = self.moment(&frame, job, record.sequence);
        let headers = Headers::of(&frame).ok_or(LossReason::EncodeFailed)?;
        let flow = headers.flow().ok_or(LossReason::EncodeFailed)?;
        let packet_length = usize::from(frame.header.ip_end).saturating_sub(usize::from(frame.header.ip_offset));
        let mut told = handover::Headers { flow: &flow, octets: &[], packet_length };
        let scratch = &mut *self.scratch;
        let appended = if information.tells_octets() {
            let mut room = [0; LONGEST_HEADERS];
            told.octets = headers.octets(&mut room);
            producer.append(information.report_bound(told.octets.len()), record, |out| {
                information.report(out, scratch, &moment, &told)
            })
        } else {
            producer.append(information.report_bound(0), record, |out| information.report(out, scratch, &moment, &told))
        };
        appended.map(drop).map_err(|error| loss(&error))
    }

    /// What is said of a frame, whole or not: a report of its headers need not know.
    #[inline(always)]
    fn moment<'f>(&self, frame: &Frame<'f>, job: &Job, sequence: u64) -> Moment<'f> {
        Moment {
            time: UtcMicros::from_unix_nanos(utc_ns(frame.time, self.clock)),
            direction: direction(job.hit),
            sequence,
            original_length: None,
            is_ipv6: frame.header.flags & FrameFlags::IPV6 != 0,
            link: frame.bytes.get(usize::from(frame.header.link_offset)..).unwrap_or_default(),
        }
    }
}

pub(super) fn loss(error: &AppendError<NoRoom>) -> LossReason {
    match error {
        AppendError::Full => LossReason::SpoolFull,
        AppendError::Stale => LossReason::Stale,
        _ => LossReason::EncodeFailed,
    }
}

/// The direction as the handover has it; none if it is not known.
pub(super) fn direction(hit: Hit) -> Option<Direction> {
    match hit.direction {
        writ_capture::Direction::FromSubject => Some(Direction::FromSubject),
        writ_capture::Direction::ToSubject => Some(Direction::ToSubject),
        writ_capture::Direction::Unknown => None,
    }
}

/// The length in a packet's header, where the frame does not have all of it: what took it for the tap cut it off.
#[inline]
fn missing_end(frame: &Frame<'_>) -> Option<u32> {
    const IPV6_HEADER: u32 = 40;
    let begin = usize::from(frame.header.ip_offset);
    let stated = if frame.header.flags & FrameFlags::IPV6 != 0 {
        let [a, b] = frame.read(begin + 4)?;
        // A jumbogram states 0 here (RFC 2675), and the kernel took it for what the frame has.
        Some(u32::from(u16::from_be_bytes([a, b]))).filter(|length| *length > 0)? + IPV6_HEADER
    } else {
        let [a, b] = frame.read(begin + 2)?;
        u16::from_be_bytes([a, b]).into()
    };
    let here = u32::from(frame.header.ip_end).saturating_sub(u32::from(frame.header.ip_offset));
    (stated > here).then_some(stated)
}

/// The IP packet in a frame: from its header to the length that the header states, without Ethernet padding.
fn ip_packet<'a>(frame: &Frame<'a>) -> Option<Part<'a>> {
    frame.part(usize::from(frame.header.ip_offset)..usize::from(frame.header.ip_end))
}
