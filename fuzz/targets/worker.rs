//! Any hand-over, sound or not, through a worker, in every format: nothing panics, every packet that comes out is one that
//! was handed over, whole and with a target's address, and the books close.
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
use writ_encoder::etsi::{self, CcContents, IriContents, OperatorId, Payload};
use writ_encoder::files::{Block, decode_block};
use writ_encoder::handover::{CccTerms, EtsiTerms, OpencaleaTerms, T1IasTerms, Terms, X3Terms};
use writ_encoder::t1_ias::{Message, decode_cmcc, decode_cmii};
use writ_encoder::{ccc, jmirror, opencalea, tzsp, x2x3};
use writ_probe::ipc::{ArmedDelivery, ArmedIntercept};
use writ_probe::pipeline::{Intercept, Intercepts, Outlets, Recipient, Worker};
use writ_spool::{Consumer, Ledger, Producer, RecordKind, Wake, create_stream};
use zerocopy::FromBytes as _;

/// Both of these addresses are targets of all orders.
const TARGETS: [&str; 2] = ["192.0.2.10", "2001:db8::a"];
const GENERATION: u16 = 1;
/// Octets of the Ethernet header that some formats put in front of a packet.
const ETHERNET: usize = 14;

thread_local! {
    static RIG: RefCell<Rig> = RefCell::new(Rig::new());
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok((header, frame)) = FrameHeader::read_from_prefix(bytes) else { return Corpus::Reject };
    RIG.with_borrow_mut(|rig| rig.hand_over(header, frame));
    Corpus::Keep
});

/// The order of a slot.
struct Order {
    terms: Terms,
    headers_only: bool,
}

/// What came out of a worker.
struct Delivered {
    slot: u16,
    kind: RecordKind,
    pdu: Vec<u8>,
}

struct Rig {
    targets: [IpAddr; 2],
    /// By slot.
    orders: Vec<Order>,
    worker: Worker,
    intercepts: Intercepts,
    clock: ClockOffset,
    ledger: Arc<Ledger>,
    readers: Vec<Consumer>,
}

impl Rig {
    fn new() -> Self {
        let targets: [IpAddr; 2] = TARGETS.map(|address| address.parse().expect("an address"));
        let formats = formats();
        let recipients: Vec<_> = formats.iter().cloned().map(Recipient::new).collect();
        let with_headers = formats.iter().filter(|terms| terms.format().has_identifying_information());
        let headers = with_headers.map(|terms| Order { terms: terms.clone(), headers_only: true });
        let whole = formats.iter().map(|terms| Order { terms: terms.clone(), headers_only: false });
        let orders: Vec<_> = whole.chain(headers).collect();

        let streams = 2 * formats.len();
        let ledger = Arc::new(Ledger::open(Ledger::create(orders.len(), streams).expect("memory")).expect("a ledger"));
        let stream = |_| {
            let (memory, wake) = (create_stream("fuzz", 4, 1 << 18).expect("memory"), Wake::create().expect("a wake"));
            let producer = Producer::open(&memory, wake.try_clone().expect("a wake"), Arc::clone(&ledger));
            (producer.expect("a stream"), Consumer::open(&memory, wake, Arc::clone(&ledger)).expect("a stream"))
        };
        let (producers, readers) = (0..streams).map(stream).unzip();
        let (outlets, _) = Outlets::settle(producers, &ledger).expect("fresh streams");
        let mut intercepts = Intercepts::default();
        for (number, order) in (0..).zip(&orders) {
            let slot = SlotRef { slot: number, generation: GENERATION };
            ledger.slot(number).expect("a slot of the ledger").reset(GENERATION, 1);
            let destination = formats.iter().position(|terms| *terms == order.terms).expect("one of them");
            let armed = ArmedIntercept {
                slot: slot.into(),
                warrant: Default::default(),
                revision: 1,
                start_utc_ns: 0,
                stop_utc_ns: u64::MAX,
                headers_only: order.headers_only,
                from_subject: true,
                to_subject: true,
                deliveries: vec![ArmedDelivery {
                    destination,
                    case_id: format!("CASE-{number}"),
                    content_identifier: "00000042".into(),
                    cmii: order.terms.format().has_identifying_information(),
                    cmc: true,
                }],
                subscriber_identity: "line 42".into(),
                targets: targets.map(Into::into).to_vec(),
            };
            let intercept = Intercept::new(&armed, "fuzz", &recipients).expect("an order");
            intercept.begin(&outlets, &ledger, 1);
            intercepts.insert(Arc::new(intercept));
            intercepts.set_targets(slot, targets.map(Into::into));
        }
        let worker = Worker::new(Arc::new(outlets), Arc::clone(&ledger), 1);
        let mut rig = Self { targets, orders, worker, intercepts, clock: ClockOffset::sample(), ledger, readers };
        rig.drain();
        rig
    }

    fn hand_over(&mut self, mut header: FrameHeader, frame: &[u8]) {
        header.abi = ABI_VERSION;
        header.time_ns = 1;
        for reference in header.source.iter_mut().chain(&mut header.destination) {
            // One more than there are.
            reference.slot %= self.orders.len() as u16 + 1;
            reference.generation %= 2;
        }
        let before = self.books();
        let mut source = MemorySource::new([(header, frame)], 1);
        let batch = source.receive(Duration::ZERO).expect("a source in memory does not fail");
        let handed_over = batch.len() as u64;
        self.worker.process(&batch, &self.intercepts, self.clock);

        let packet = frame.get(header.ip_offset.into()..header.ip_end.into()).unwrap_or_default();
        let ends = frame.get(header.ip_offset.into()..).and_then(addresses);
        for Delivered { slot, kind, pdu } in self.drain() {
            let Order { terms, headers_only } = &self.orders[usize::from(slot)];
            let ends = ends.filter(|ends| ends.iter().any(|end| self.targets.contains(end)));
            let ends = ends.expect("nothing of a bystander");
            if kind == RecordKind::Content {
                assert!(!headers_only, "content for an order over headers");
                assert_eq!(content(terms, &pdu), packet, "the whole packet, and no more");
            } else {
                check_report(terms, &pdu, packet, ends);
            }
        }
        for (before, after) in before.into_iter().zip(self.books()) {
            let [received, violations, accounted] = [0, 1, 2].map(|figure| after[figure] - before[figure]);
            assert!(received + violations <= handed_over, "a packet is received or destroyed, and once");
            assert_eq!(received, accounted, "what is received is appended or lost");
        }
    }

    /// Of each slot: received, destroyed, and accounted for.
    fn books(&self) -> Vec<[u64; 3]> {
        let of_slot = |slot| {
            let account = self.ledger.slot(slot).expect("a slot of the ledger");
            let snapshot = account.snapshot().expect("an owner");
            [snapshot.received, account.violations(), snapshot.deliveries[0].accounted()]
        };
        (0..self.orders.len() as u16).map(of_slot).collect()
    }

    /// What is in the streams, acknowledged at once.
    fn drain(&mut self) -> Vec<Delivered> {
        let mut all = Vec::new();
        for reader in &mut self.readers {
            let before = all.len();
            for record in reader.unsent_records().expect("a sound stream") {
                let (record, pdu) = record.expect("a sound stream");
                all.push(Delivered { slot: record.slot, kind: record.kind, pdu: pdu.to_vec() });
            }
            reader.sent_records(all.len() - before).expect("a sound stream");
            reader.acknowledged(reader.sent_bytes()).expect("a sound stream");
        }
        all
    }
}

/// Every format on the terms that need least said.
fn formats() -> [Terms; 8] {
    let etsi = EtsiTerms {
        operator: OperatorId::new("FUZZ").expect("a name"),
        network_element: None,
        country: None,
        delivery_country: None,
        interception_point: None,
        access_type: etsi::AccessType::Undefined,
        edition: None,
        packets_per_pdu: 4,
        hi1: true,
    };
    [
        Terms::T1Ias(T1IasTerms::default()),
        Terms::Etsi(etsi),
        Terms::X3(X3Terms::default()),
        Terms::Ccc(CccTerms::default()),
        Terms::Opencalea(OpencaleaTerms::default()),
        Terms::Jmirror,
        Terms::Tzsp,
        Terms::Files,
    ]
}

/// The packet in a PDU.
fn content(terms: &Terms, pdu: &[u8]) -> Vec<u8> {
    const READ: &str = "what a worker writes can be read";
    match terms {
        Terms::T1Ias(_) => decode_cmcc(pdu).expect(READ).0.payload.to_vec(),
        Terms::Etsi(_) => {
            let Payload::Cc(members) = etsi::decode(pdu).expect(READ).0.payload else { panic!("no content") };
            // One frame is handed over at a time.
            let [member] = &members[..] else { panic!("{} packets", members.len()) };
            match &member.contents {
                CcContents::Packet(octets) | CcContents::Truncated { packet: octets, .. } => octets.0.clone(),
                CcContents::Unsupported(_) => panic!("content of another service"),
            }
        }
        Terms::X3(_) => x2x3::decode(pdu).expect(READ).0.payload.to_vec(),
        Terms::Ccc(terms) => ccc::decode(terms.header, pdu).expect(READ).payload.to_vec(),
        Terms::Opencalea(_) => opencalea::decode_cmc(pdu).expect(READ).payload[ETHERNET..].to_vec(),
        Terms::Jmirror => jmirror::decode(pdu).expect(READ).payload.to_vec(),
        Terms::Tzsp => tzsp::decode(pdu).expect(READ).payload[ETHERNET..].to_vec(),
        Terms::Files => match decode_block(pdu) {
            Ok(Some((Block::Packet(packet), _))) => packet.payload.to_vec(),
            other => panic!("no packet: {other:?}"),
        },
    }
}

/// Holds a report of headers against the packet and its ends.
fn check_report(terms: &Terms, pdu: &[u8], packet: &[u8], ends: [IpAddr; 2]) {
    const READ: &str = "what a worker writes can be read";
    let told = match terms {
        Terms::T1Ias(_) => {
            let Message::HeaderReport(report) = decode_cmii(pdu).expect(READ).0.message else { panic!("no report") };
            [report.source.address, report.destination.address]
        }
        Terms::Etsi(_) => {
            let Payload::Iri(reports) = etsi::decode(pdu).expect(READ).0.payload else { panic!("no report") };
            let [IriContents::Header(headers)] = [&reports[0].contents] else { panic!("no report of headers") };
            return check_headers(&headers.0, packet);
        }
        Terms::X3(_) => return check_headers(x2x3::decode(pdu).expect(READ).0.payload, packet),
        Terms::Opencalea(_) => {
            let ends = opencalea::decode_cmii(pdu).expect(READ).ends;
            [ends.source.into(), ends.destination.into()]
        }
        Terms::Files => {
            let line = str::from_utf8(pdu).expect("JSON");
            let told = format!(r#""source":"{}","destination":"{}""#, ends[0], ends[1]);
            assert!(line.contains(&told) && line.ends_with("}\n"), "a report of another packet: {line}");
            return;
        }
        Terms::Ccc(_) | Terms::Jmirror | Terms::Tzsp => panic!("a report in a format of content"),
    };
    assert_eq!(told, ends, "a report of another packet");
}

/// The front of the packet; what could be content in it is zero.
fn check_headers(headers: &[u8], packet: &[u8]) {
    assert!(headers.len() <= packet.len(), "more than the packet");
    assert!(headers.iter().zip(packet).all(|(told, was)| told == was || *told == 0), "headers of another packet");
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
