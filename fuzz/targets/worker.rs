//! Any hand-over, sound or not, through a worker: nothing panics, every packet that comes out is one that was handed over,
//! whole and with a target's address, and the books close.
//!
//! An input is a FrameHeader and the frame behind it. Its version, its time and the range of its slots are put right, so
//! that the fuzzer need not guess them.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::{Corpus, fuzz_target};
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use writ_abi::{ABI_VERSION, FrameHeader, SlotRef};
use writ_capture::{ClockOffset, MemorySource, Source as _};
use writ_encoder::handover::{T1IasTerms, Terms};
use writ_encoder::t1_ias::{Message, decode_cmcc, decode_cmii};
use writ_probe::ipc::{ArmedDelivery, ArmedIntercept};
use writ_probe::pipeline::{Intercept, Intercepts, Outlets, Recipient, Worker};
use writ_spool::{Consumer, Ledger, Producer, Wake, create_stream};
use zerocopy::FromBytes as _;

/// Slot 0 may have content, slot 1 headers only; both of these addresses are targets of both.
const TARGETS: [&str; 2] = ["192.0.2.10", "2001:db8::a"];
const SLOTS: [SlotRef; 2] = [SlotRef { slot: 0, generation: 1 }, SlotRef { slot: 1, generation: 1 }];

thread_local! {
    static RIG: RefCell<Rig> = RefCell::new(Rig::new());
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok((header, frame)) = FrameHeader::read_from_prefix(bytes) else { return Corpus::Reject };
    RIG.with_borrow_mut(|rig| rig.hand_over(header, frame));
    Corpus::Keep
});

struct Rig {
    targets: [IpAddr; 2],
    worker: Worker,
    intercepts: Intercepts,
    clock: ClockOffset,
    ledger: Arc<Ledger>,
    readers: [Consumer; 2],
}

impl Rig {
    fn new() -> Self {
        let targets = TARGETS.map(|address| address.parse().expect("an address"));
        let ledger = Arc::new(Ledger::open(Ledger::create(SLOTS.len(), 2).expect("memory")).expect("a ledger"));
        let stream = |name| {
            let (memory, wake) = (create_stream(name, 4, 1 << 20).expect("memory"), Wake::create().expect("a wake"));
            let producer = Producer::open(&memory, wake.try_clone().expect("a wake"), Arc::clone(&ledger));
            (producer.expect("a stream"), Consumer::open(&memory, wake, Arc::clone(&ledger)).expect("a stream"))
        };
        let ((cmii, cmii_reader), (cmc, cmc_reader)) = (stream("cmii"), stream("cmc"));
        let (outlets, _) = Outlets::settle(vec![cmii, cmc], &ledger).expect("fresh streams");
        let mut intercepts = Intercepts::default();
        for slot in SLOTS {
            let account = ledger.slot(slot.slot).expect("a slot of the ledger");
            account.reset(slot.generation, 1);
            let order = ArmedIntercept {
                slot: slot.into(),
                warrant: Default::default(),
                revision: 1,
                start_utc_ns: 0,
                stop_utc_ns: u64::MAX,
                headers_only: slot == SLOTS[1],
                from_subject: true,
                to_subject: true,
                deliveries: vec![ArmedDelivery {
                    destination: 0,
                    case_id: format!("CASE-{}", slot.slot),
                    content_identifier: "00000042".into(),
                    cmii: true,
                    cmc: true,
                }],
                subscriber_identity: "line 42".into(),
                targets: targets.map(Into::into).to_vec(),
            };
            let intercept = Intercept::new(&order, "fuzz", &[Recipient::new(Terms::T1Ias(T1IasTerms::default()))]).expect("an order");
            intercept.begin(&outlets, &ledger, 1);
            intercepts.insert(Arc::new(intercept));
            intercepts.set_targets(slot, targets.map(Into::into));
        }
        let worker = Worker::new(Arc::new(outlets), Arc::clone(&ledger), 1);
        let readers = [cmii_reader, cmc_reader];
        let mut rig = Self { targets, worker, intercepts, clock: ClockOffset::sample(), ledger, readers };
        rig.drain();
        rig
    }

    fn hand_over(&mut self, mut header: FrameHeader, frame: &[u8]) {
        header.abi = ABI_VERSION;
        header.time_ns = 1;
        for reference in header.source.iter_mut().chain(&mut header.destination) {
            reference.slot %= 3;
            reference.generation %= 2;
        }
        let before = self.books();
        let mut source = MemorySource::new([(header, frame)], 1);
        let batch = source.receive(Duration::ZERO).expect("a source in memory does not fail");
        let handed_over = batch.len() as u64;
        self.worker.process(&batch, &self.intercepts, self.clock);
        let [cmii, cmc] = self.drain();

        let ends = frame.get(header.ip_offset.into()..).and_then(addresses);
        let mut rest = &cmc[..];
        while !rest.is_empty() {
            let (content, length) = decode_cmcc(rest).expect("what a worker writes can be read");
            rest = &rest[length..];
            let packet = frame.get(header.ip_offset.into()..header.ip_end.into());
            assert_eq!(Some(&content.payload[..]), packet, "the whole packet, and no more");
            assert!(self.concerns(ends), "content of a bystander");
            assert_eq!(content.case_id.as_deref(), Some("CASE-0"), "content for an order over headers");
        }
        let mut rest = &cmii[..];
        while !rest.is_empty() {
            let (message, length) = decode_cmii(rest).expect("what a worker writes can be read");
            rest = &rest[length..];
            let Message::HeaderReport(report) = message.message else { panic!("not a report: {message:?}") };
            let told = [report.source.address, report.destination.address];
            assert_eq!(Some(told), ends, "a report of another packet");
            assert!(self.concerns(ends), "a report of a bystander");
        }
        for (before, after) in before.into_iter().zip(self.books()) {
            let [received, violations, accounted] = [0, 1, 2].map(|figure| after[figure] - before[figure]);
            assert!(received + violations <= handed_over, "a packet is received or destroyed, and once");
            assert_eq!(received, accounted, "what is received is appended or lost");
        }
    }

    fn concerns(&self, ends: Option<[IpAddr; 2]>) -> bool {
        ends.is_some_and(|ends| ends.iter().any(|end| self.targets.contains(end)))
    }

    /// Of each slot: received, destroyed, and accounted for.
    fn books(&self) -> [[u64; 3]; 2] {
        SLOTS.map(|slot| {
            let account = self.ledger.slot(slot.slot).expect("a slot of the ledger");
            let snapshot = account.snapshot().expect("an owner");
            [snapshot.received, account.violations(), snapshot.deliveries[0].accounted()]
        })
    }

    /// What is in the streams, acknowledged at once: CmII and CmC.
    fn drain(&mut self) -> [Vec<u8>; 2] {
        self.readers.each_mut().map(|reader| {
            let mut all = Vec::new();
            while let Some(bytes) = reader.unsent(usize::MAX).expect("a sound stream") {
                all.extend_from_slice(bytes);
                let length = bytes.len();
                reader.sent(length);
            }
            reader.acknowledged(reader.sent_bytes()).expect("a sound stream");
            all
        })
    }
}

/// Source and destination, by the version that the packet states.
fn addresses(packet: &[u8]) -> Option<[IpAddr; 2]> {
    if packet.first()? >> 4 == 4 {
        let [source, destination] = [12, 16].map(|at| packet.get(at..)?.first_chunk::<4>().copied());
        Some([source?.into(), destination?.into()])
    } else {
        let [source, destination] = [8, 24].map(|at| packet.get(at..)?.first_chunk::<16>().copied());
        Some([source?.into(), destination?.into()])
    }
}
