//! The steps of user space, one packet or one batch at a time, as criterion times them (`benches/`) and callgrind counts
//! them (`instructions`): making a PDU of a packet, and all that a worker does with a batch.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use uuid::Uuid;
use writ_abi::{ABI_VERSION, FrameFlags, FrameHeader, SLOTS_PER_ADDRESS, SlotRef};
use writ_capture::{ClockOffset, MemorySource, PortSettings, Source as _};
use writ_encoder::handover::{T1IasTerms, Terms};
use writ_encoder::t1_ias::{self, CaseId, ContentIdentifier, CorrelationId, Flow, IapSystemId, SubscriberIdentity};
use writ_encoder::{UtcMicros, ccc, etsi, opencalea, x2x3};
use writ_probe::ipc::{ArmedDelivery, ArmedIntercept};
use writ_probe::pipeline::{Duplicates, Intercept, Intercepts, Outlets, Recipient, Worker};
use writ_spool::{Consumer, Ledger, Producer, Wake, create_stream};

use crate::frame::udp_v4;

/// More octets of packets than an L3 cache holds.
pub const COLD: usize = 64 << 20;
/// Frames of a batch.
pub const BATCH: usize = 64;

const SUBJECT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
/// Where PDUs go, as into a segment of the spool.
const SEGMENT: usize = 1 << 20;
/// 2026-11-21T20:00:00.123456Z: the text of the time at its usual, full length.
const START: i64 = 1_795_291_200_123_456;

/// An intercept's templates, with identifiers of usual length.
pub fn encoder() -> Result<t1_ias::Intercept> {
    Ok(t1_ias::Intercept::new(
        &CaseId::new("CASE-2026-0042")?,
        &IapSystemId::new("pop3-probe1")?,
        &ContentIdentifier::Correlation(CorrelationId::new(42_u64.to_be_bytes())?),
        &SubscriberIdentity::new("line 42")?,
    ))
}

/// The same for ETSI TS 102 232.
pub fn etsi_encoder() -> Result<etsi::Intercept> {
    let country = Some(etsi::CountryCode::new("US")?);
    let identity = etsi::Identity {
        liid: etsi::Liid::new("CASE-2026-0042")?,
        authorization_country: country.clone(),
        operator: etsi::OperatorId::new("OPER1")?,
        network_element: Some(etsi::NetworkElementId::new("pop3-probe1")?),
        delivery_country: country,
        interception_point: None,
        edition: etsi::Edition::default(),
    };
    Ok(etsi::Intercept::new(&identity, 42))
}

/// A task of ETSI TS 103 221-2, with names of usual length.
pub fn x3_task() -> Result<x2x3::Task> {
    Ok(x2x3::Task::new(&x2x3::Identity {
        xid: *Uuid::max().as_bytes(),
        correlation_id: 42,
        domain_id: None,
        network_function_id: Some("pop3-probe1".into()),
        interception_point_id: Some("pop3".into()),
        matched_target: Some(format!("<ipv4Address>{SUBJECT}</ipv4Address>")),
    })?)
}

/// A call content connection with the longest of its headers.
pub fn ccc_connection() -> ccc::Connection {
    ccc::Connection::new(42, ccc::Form::Case(2026))
}

/// The names of an OpenCALEA tap.
pub fn opencalea_tap() -> Result<opencalea::Tap> {
    let name = opencalea::Name::new;
    Ok(opencalea::Tap::new(name("42")?, name("CASE-2026-0042")?, name("pop3-probe1")?, opencalea::Length::default()))
}

/// A packet's flow, for its header report.
pub fn flow() -> Result<Flow> {
    Ok(Flow {
        source: "2001:db8::1".parse()?,
        destination: "2001:db8:1::2".parse()?,
        protocol: 6,
        ports: Some((443, 51_234)),
        flow_label: None,
    })
}

/// The time of packet number `number`.
pub fn time(number: u64) -> UtcMicros {
    UtcMicros::from_unix_nanos((START as u64 + number) * 1000)
}

/// Where the next packet is read and the next PDU written.
pub struct Way {
    source: Vec<u8>,
    target: Vec<u8>,
    read: usize,
    written: usize,
    number: u64,
}

impl Way {
    /// Packets are taken in turn out of so many octets.
    pub fn new(source: usize) -> Self {
        let source = (0..source).map(|place| (place % 251) as u8).collect();
        Self { source, target: vec![1; SEGMENT], read: 0, written: 0, number: 0 }
    }

    /// One packet of `length` octets with `room` for its PDU; `write` says how much of it was used.
    #[inline(always)]
    pub fn step(&mut self, length: usize, room: usize, write: impl FnOnce(&[u8], &mut [u8], u64) -> usize) {
        if self.read + room.max(length) > self.source.len() {
            self.read = 0;
        }
        if self.written + room > SEGMENT {
            self.written = 0;
        }
        let target = &mut self.target[self.written..self.written + room];
        // The whole rest of the source, so that the copy can take as many octets as the PDU has.
        self.written += write(black_box(&self.source[self.read..]), black_box(target), self.number);
        self.read += length.next_multiple_of(64);
        self.number += 1;
    }
}

/// Which of the two streams of one destination gets what is made.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// Header reports, on CmII.
    Headers,
    /// Packets, on CmC.
    Content,
}

/// A worker with everything around it. The stream's reader acknowledges at once and sends nothing.
pub struct Rig {
    source: MemorySource,
    worker: Worker,
    intercepts: Intercepts,
    clock: ClockOffset,
    readers: Vec<Consumer>,
}

impl Rig {
    /// Frames of `length` octets for each of `count` intercepts, taken in turn out of so many octets.
    pub fn new(length: usize, scope: Scope, count: u16, source: usize) -> Result<Self> {
        let frame = handed_over(length, count)?;
        let frames = source / (FrameHeader::SIZE + length).next_multiple_of(64);
        let source = MemorySource::new((0..frames / BATCH * BATCH).map(|_| (frame.0, &frame.1)), BATCH);

        let ledger = Arc::new(Ledger::open(Ledger::create(usize::from(count), 2)?)?);
        let mut producers = Vec::new();
        let mut readers = Vec::new();
        for name in ["cmii", "cmc"] {
            let (memory, wake) = (create_stream(name, 4, 4 << 20)?, Wake::create()?);
            producers.push(Producer::open(&memory, wake.try_clone()?, ledger.clone())?);
            readers.push(Consumer::open(&memory, wake, ledger.clone())?);
        }
        let (outlets, _) = Outlets::settle(producers, &ledger)?;
        let mut intercepts = Intercepts::default();
        for number in 0..count {
            ledger.slot(number).context("a slot of the ledger")?.reset(1, 1);
            intercepts.insert(Arc::new(intercept(number, scope)?));
            intercepts.set_targets(slot(number), [IpAddr::from(SUBJECT).into()]);
        }
        let worker = Worker::new(Arc::new(outlets), ledger, BATCH);
        // Not read from the clock: that goes through a page of the kernel's that valgrind hides.
        let clock = ClockOffset::between(0, START as u64 * 1000);
        Ok(Self { source, worker, intercepts, clock, readers })
    }

    /// The rig, whose worker from now on looks for packets that a mirror shows twice, as a port does that nothing else is
    /// said of. None of these is one.
    #[must_use]
    pub fn recognising_duplicates(self) -> Self {
        let duplicates = Duplicates::of(&PortSettings::named("rig"));
        Self { worker: self.worker.recognising(duplicates), ..self }
    }

    /// One batch from the source to the release of its PDUs. Octets and PDUs.
    pub fn step(&mut self) -> Result<(u64, u64)> {
        let batch = self.source.receive(Duration::ZERO)?;
        self.worker.process(&batch, &self.intercepts, self.clock);
        let (mut octets, mut pdus) = (0, 0);
        for reader in &mut self.readers {
            while let Some(bytes) = reader.unsent(usize::MAX)? {
                let length = black_box(bytes).len();
                reader.sent(length);
            }
            let (released, bytes) = reader.acknowledged(reader.sent_bytes())?;
            pdus += released;
            octets += bytes;
        }
        Ok((octets, pdus))
    }
}

fn slot(number: u16) -> SlotRef {
    SlotRef { slot: number, generation: 1 }
}

/// A frame of the subject's as the kernel hands it over for so many intercepts.
fn handed_over(length: usize, intercepts: u16) -> Result<(FrameHeader, Vec<u8>)> {
    let frame = udp_v4(SUBJECT, SERVER, length);
    let mut source = [SlotRef::NONE; SLOTS_PER_ADDRESS];
    for (place, number) in source.iter_mut().zip(0..intercepts) {
        *place = slot(number);
    }
    let header = FrameHeader {
        abi: ABI_VERSION,
        link_offset: 0,
        flags: FrameFlags::TRANSPORT,
        time_ns: 1,
        number: 0,
        wire_length: u32::try_from(length)?,
        ifindex: 1,
        ip_offset: 14,
        ip_end: u16::try_from(length)?,
        header_end: 42,
        transport_offset: 34,
        protocol: 17,
        source_live: (1 << intercepts) - 1,
        destination_live: 0,
        undirected: 0,
        queue: 0,
        source,
        destination: [SlotRef::NONE; SLOTS_PER_ADDRESS],
        options: Default::default(),
    };
    Ok((header, frame))
}

fn intercept(number: u16, scope: Scope) -> Result<Intercept> {
    let order = ArmedIntercept {
        slot: slot(number).into(),
        warrant: Uuid::nil(),
        revision: 1,
        start_utc_ns: 0,
        stop_utc_ns: u64::MAX,
        headers_only: matches!(scope, Scope::Headers),
        from_subject: true,
        to_subject: true,
        deliveries: vec![ArmedDelivery {
            destination: 0,
            case_id: format!("CASE-2026-{number:04}"),
            content_identifier: "00000042".into(),
            cmii: true,
            cmc: true,
        }],
        subscriber_identity: "line 42".into(),
        targets: vec![IpAddr::from(SUBJECT).into()],
    };
    Ok(Intercept::new(&order, "pop3-probe1", &[Recipient::new(Terms::T1Ias(T1IasTerms::default()))])?)
}
