//! What a worker does with a batch: frames out of a source, checked against the targets, encoded into the shared memory
//! of a stream, published, and given back by the stream's reader; beside a memcpy of as many octets.
//!
//! Frames are taken in turn from 64 MiB, more than an L3 cache holds. `writ` is all of it; a call of it is one batch.
//! The reader here acknowledges at once and sends nothing, so no system call is in these figures.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use uuid::Uuid;
use writ_abi::{ABI_VERSION, FrameFlags, FrameHeader, SLOTS_PER_ADDRESS, SlotRef};
use writ_bench::frame::udp_v4;
use writ_capture::{ClockOffset, MemorySource, Source as _};
use writ_probe::ipc::{ArmedDelivery, ArmedIntercept};
use writ_probe::pipeline::{Intercept, Intercepts, Outlets, Worker};
use writ_spool::{Consumer, Ledger, Producer, Wake, create_stream};

const SOURCE: usize = 64 << 20;
const BATCH: usize = 64;
const SUBJECT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);

/// Which of the two streams of one destination gets what is made.
#[derive(Clone, Copy)]
enum Scope {
    Headers,
    Content,
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
    Ok(Intercept::new(&order, "pop3-probe1")?)
}

/// A worker with everything around it.
struct Rig {
    source: MemorySource,
    worker: Worker,
    intercepts: Intercepts,
    clock: ClockOffset,
    readers: Vec<Consumer>,
}

impl Rig {
    fn new(length: usize, scope: Scope, count: u16) -> Result<Self> {
        let frame = handed_over(length, count)?;
        let frames = SOURCE / (FrameHeader::SIZE + length).next_multiple_of(64);
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
        Ok(Self { source, worker, intercepts, clock: ClockOffset::sample(), readers })
    }

    /// One batch from the source to the release of its PDUs. Octets and PDUs.
    fn step(&mut self) -> Result<(u64, u64)> {
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

fn case(criterion: &mut Criterion, name: &str, length: usize, scope: Scope, count: u16) -> Result<()> {
    let mut rig = Rig::new(length, scope, count)?;
    // The first batch also tells of the sessions.
    rig.step()?;
    let (octets, pdus) = rig.step()?;
    ensure!(pdus == BATCH as u64 * u64::from(count), "{pdus} PDUs of {BATCH} frames under {count} intercepts");
    let pdu = usize::try_from(octets / pdus)?;

    let mut group = criterion.benchmark_group(format!("hot path, {name}, {length} octets, {count} intercepts"));
    group.throughput(Throughput::Elements(pdus));
    group.bench_function("memcpy", |bencher| {
        let source: Vec<u8> = (0..SOURCE).map(|place| (place % 251) as u8).collect();
        let mut target = vec![1; 16 << 20];
        let (mut read, mut written) = (0, 0);
        bencher.iter(|| {
            for number in 0..pdus {
                if read + pdu > SOURCE {
                    read = 0;
                }
                if written + pdu > target.len() {
                    written = 0;
                }
                target[written..written + pdu].copy_from_slice(black_box(&source[read..read + pdu]));
                black_box(&mut target[written..written + pdu]);
                written += pdu;
                // A packet under two intercepts is read twice.
                if (number + 1) % u64::from(count) == 0 {
                    read += pdu.next_multiple_of(64);
                }
            }
        });
    });
    group.bench_function("writ", |bencher| bencher.iter(|| rig.step().ok()));
    group.finish();
    Ok(())
}

fn hot_path(criterion: &mut Criterion) {
    for (name, scope) in [("content", Scope::Content), ("header report", Scope::Headers)] {
        for length in [60, 1514] {
            for count in [1, 2] {
                if let Err(error) = case(criterion, name, length, scope, count) {
                    panic!("{name}, {length}, {count}: {error:#}");
                }
            }
        }
    }
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
