//! A stream against a plain queue: what goes in comes out, in order, once, across crashes of either end, and the
//! ledger agrees with it at every rest.

use proptest::prelude::*;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use writ_spool::{
    AppendError, Consumer, Ledger, LossReason, MapError, Producer, Record, RecordKind, StreamError, StreamView, Wake,
    create_stream,
};

const SLOT: u16 = 3;
const GENERATION: u16 = 9;

struct Rig {
    memory: OwnedFd,
    wake: Wake,
    ledger: Arc<Ledger>,
}

impl Rig {
    fn new(segments: usize, segment_bytes: usize) -> Self {
        let ledger = Arc::new(Ledger::open(Ledger::create(8, 2).unwrap()).unwrap());
        ledger.slot(SLOT).unwrap().reset(GENERATION, 1);
        Self { memory: create_stream("test", segments, segment_bytes).unwrap(), wake: Wake::create().unwrap(), ledger }
    }

    fn producer(&self) -> Producer {
        Producer::open(&self.memory, self.wake.try_clone().unwrap(), self.ledger.clone()).unwrap()
    }

    fn consumer(&self) -> Consumer {
        Consumer::open(&self.memory, self.wake.try_clone().unwrap(), self.ledger.clone()).unwrap()
    }

    fn content(&self) -> (u64, u64) {
        let delivery = self.ledger.slot(SLOT).unwrap().snapshot().unwrap().deliveries[0];
        (delivery.delivered(RecordKind::Content), delivery.waiting(RecordKind::Content))
    }
}

fn record(sequence: u64) -> Record {
    Record { slot: SLOT, generation: GENERATION, delivery: 0, kind: RecordKind::Content, sequence }
}

/// A PDU whose bytes depend on its number, so that a mix-up shows.
fn pdu(number: u64, length: usize) -> Vec<u8> {
    (0..length).map(|i| (number as u8).wrapping_mul(31).wrapping_add(i as u8)).collect()
}

fn append(producer: &mut Producer, number: u64, bytes: &[u8], slack: usize) -> Result<usize, AppendError<()>> {
    producer.append(bytes.len() + slack, record(number), |room| {
        room[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// Appends PDUs of these lengths, asking for some bytes more than needed, and commits.
    Batch(Vec<(usize, usize)>),
    /// Appends, and dies before the commit.
    ProducerDies(Vec<(usize, usize)>),
    /// Sends up to so many bytes.
    Send(usize),
    /// The agency acknowledges this share (of 255) of what was sent on this connection.
    Acknowledge(u8),
    /// The connection breaks.
    Rewind,
    /// The consumer dies.
    ConsumerDies,
}

fn step() -> impl Strategy<Value = Step> {
    let batch = || prop::collection::vec((1usize..1800, 0usize..200), 0..8);
    prop_oneof![
        4 => batch().prop_map(Step::Batch),
        1 => batch().prop_map(Step::ProducerDies),
        4 => (1usize..9000).prop_map(Step::Send),
        3 => any::<u8>().prop_map(Step::Acknowledge),
        1 => Just(Step::Rewind),
        1 => Just(Step::ConsumerDies),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_queue(segments in 2usize..5, steps in prop::collection::vec(step(), 1..60)) {
        let rig = Rig::new(segments, 4096);
        let (mut producer, mut consumer) = (rig.producer(), rig.consumer());
        // What is committed and not released, and the bytes sent of it on this connection.
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        let (mut sent, mut released_on_connection) = (0u64, 0u64);
        let (mut number, mut received, mut delivered, mut full) = (0u64, 0u64, 0u64, 0u64);
        let account = rig.ledger.slot(SLOT).unwrap();
        for step in steps {
            match step {
                Step::Batch(lengths) | Step::ProducerDies(lengths) if lengths.is_empty() => producer.commit().unwrap(),
                Step::Batch(ref lengths) | Step::ProducerDies(ref lengths) => {
                    let mut batch = Vec::new();
                    for (length, slack) in lengths {
                        let bytes = pdu(number, *length);
                        account.receive(1, *length as u64);
                        received += 1;
                        match append(&mut producer, number, &bytes, *slack) {
                            Ok(written) => {
                                prop_assert_eq!(written, *length);
                                batch.push(bytes);
                            }
                            Err(AppendError::Full) => {
                                account.lost(0, LossReason::SpoolFull, 1);
                                full += 1;
                            }
                            Err(other) => prop_assert!(false, "{other:?}"),
                        }
                        number += 1;
                    }
                    if matches!(step, Step::Batch(_)) {
                        producer.commit().unwrap();
                        model.extend(batch);
                    } else {
                        drop(producer);
                        producer = rig.producer();
                        prop_assert_eq!(rig.ledger.settle(&[&producer]).unwrap(), batch.len() as u64);
                    }
                }
                Step::Send(most) => {
                    let expected: Vec<u8> = model.iter().flatten().copied().skip((sent - released_on_connection) as usize).collect();
                    match consumer.unsent(most).unwrap() {
                        None => prop_assert!(expected.is_empty()),
                        Some(bytes) => {
                            prop_assert!(!bytes.is_empty() && bytes.len() <= most);
                            prop_assert_eq!(bytes, &expected[..bytes.len()]);
                            let taken = bytes.len();
                            consumer.sent(taken);
                            sent += taken as u64;
                        }
                    }
                }
                Step::Acknowledge(share) => {
                    let upto = sent * u64::from(share) / 255;
                    let upto = upto.max(released_on_connection);
                    let (mut records, before) = (0, released_on_connection);
                    while model.front().is_some_and(|pdu| released_on_connection + pdu.len() as u64 <= upto) {
                        released_on_connection += model.pop_front().map_or(0, |pdu| pdu.len() as u64);
                        records += 1;
                    }
                    delivered += records;
                    prop_assert_eq!(consumer.acknowledged(upto).unwrap(), (records, released_on_connection - before));
                }
                Step::Rewind => {
                    consumer.rewind().unwrap();
                    (sent, released_on_connection) = (0, 0);
                }
                Step::ConsumerDies => {
                    consumer = rig.consumer();
                    (sent, released_on_connection) = (0, 0);
                }
            }
            prop_assert_eq!(rig.content(), (delivered, model.len() as u64));
            let waiting = StreamView::open(&rig.memory).unwrap().waiting().unwrap();
            prop_assert_eq!(waiting.records, model.len() as u64);
            prop_assert_eq!(waiting.bytes, model.iter().map(|pdu| pdu.len() as u64).sum::<u64>());
            prop_assert_eq!(consumer.is_empty().unwrap(), model.is_empty());
            let slot = account.snapshot().unwrap();
            let books = slot.deliveries[0];
            prop_assert_eq!(slot.received, received);
            prop_assert_eq!(books.accounted(), received, "received = delivered + waiting + lost");
            prop_assert_eq!(books.lost(LossReason::SpoolFull), full);
        }
    }

    /// Whatever stands in the memory, both ends answer; they neither panic nor hang.
    #[test]
    fn damaged_memory_is_an_error(damage in prop::collection::vec((0usize..(4096 * 4 / 8), any::<u64>(), 0u32..64), 1..24)) {
        let rig = Rig::new(3, 4096);
        let (mut producer, mut consumer) = (rig.producer(), rig.consumer());
        for number in 0..12 {
            let _full = append(&mut producer, number, &pdu(number, 700), 0);
        }
        producer.commit().unwrap();
        for (word, value, shift) in damage {
            rustix::io::pwrite(&rig.memory, &(value >> shift).to_ne_bytes(), word as u64 * 8).unwrap();
        }
        for _ in 0..40 {
            let Ok(Some(bytes)) = consumer.unsent(1000) else { break };
            let taken = bytes.len();
            consumer.sent(taken);
            if consumer.acknowledged(consumer.sent_bytes()).is_err() {
                break;
            }
        }
        let _ = consumer.rewind();
        for _ in 0..10 {
            let _ = consumer.take_run(5000);
        }
        let _ = consumer.unsent_records().map(|records| records.take(100).count());
        let _ = consumer.sent_records(3);
        let _ = consumer.acknowledged(consumer.sent_bytes());
        let _ = consumer.rewind();
        let _ = StreamView::open(&rig.memory).map(|view| view.waiting());
        if let Ok(mut producer) = Producer::open(&rig.memory, rig.wake.try_clone().unwrap(), rig.ledger.clone()) {
            let _ = rig.ledger.settle(&[&producer]);
            let _ = append(&mut producer, 0, &pdu(0, 700), 0);
            let _ = producer.commit();
        }
        let _ = Consumer::open(&rig.memory, rig.wake.try_clone().unwrap(), rig.ledger.clone());
    }
}

#[test]
fn two_threads_lose_and_repeat_nothing() {
    const PDUS: u64 = 60_000;
    let rig = Rig::new(4, 16 * 4096);
    let mut producer = rig.producer();
    let mut consumer = rig.consumer();
    let lengths = |number: u64| 40 + (number * 7919 % 1400) as usize;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..PDUS {
                let bytes = pdu(number, lengths(number));
                loop {
                    match append(&mut producer, number, &bytes, 60) {
                        Ok(_) => break,
                        Err(AppendError::Full) => {
                            producer.commit().unwrap();
                            std::thread::yield_now();
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
                if number % 17 == 0 {
                    producer.commit().unwrap();
                }
            }
            producer.commit().unwrap();
        });
        let total: u64 = (0..PDUS).map(|number| lengths(number) as u64).sum();
        let mut got = Vec::new();
        let (mut number, mut read) = (0, 0);
        while read < total {
            let Some(bytes) = consumer.unsent(64 * 1024).unwrap() else {
                consumer.wait(Duration::from_secs(10)).unwrap();
                continue;
            };
            got.extend_from_slice(bytes);
            let taken = bytes.len();
            consumer.sent(taken);
            read += taken as u64;
            consumer.acknowledged(consumer.sent_bytes()).unwrap();
            let mut front = 0;
            while number < PDUS && got.len() - front >= lengths(number) {
                assert_eq!(got[front..front + lengths(number)], pdu(number, lengths(number)), "PDU {number}");
                front += lengths(number);
                number += 1;
            }
            got.drain(..front);
        }
    });
    assert_eq!(rig.content(), (PDUS, 0));
}

/// The slot and the bytes of the next run.
fn run(consumer: &mut Consumer, limit: usize) -> Option<(u16, Vec<u8>)> {
    consumer.take_run(limit).unwrap().map(|(first, bytes)| (first.slot, bytes.to_vec()))
}

#[test]
fn runs_are_whole_pdus_of_one_delivery_and_come_again_until_they_are_released() {
    let rig = Rig::new(3, 4096);
    rig.ledger.slot(0).unwrap().reset(1, 1);
    let (mut producer, mut consumer) = (rig.producer(), rig.consumer());
    let foreign = Record { slot: 0, generation: 1, ..record(0) };
    let mut all = Vec::new();
    for number in 0..12 {
        let bytes = pdu(number, 700);
        let record = if number % 4 == 3 { foreign } else { record(number) };
        let write = |room: &mut [u8]| {
            room.copy_from_slice(&bytes);
            Ok::<_, ()>(bytes.len())
        };
        producer.append(bytes.len(), record, write).unwrap();
        all.push(bytes);
    }
    producer.commit().unwrap();
    // Five fit into a segment; two into a run of 1500 bytes; one is given even if it is longer.
    for (limit, lengths) in
        [(1500, [2, 1, 1, 1, 2, 1, 2, 1, 1].as_slice()), (10_000, &[3, 1, 1, 2, 1, 2, 1, 1]), (1, &[1; 12])]
    {
        let mut at = 0;
        for &length in lengths {
            let slot = if at % 4 == 3 { foreign.slot } else { record(0).slot };
            let expected = all[at..at + length].concat();
            assert_eq!(run(&mut consumer, limit), Some((slot, expected)), "{limit}: run at {at}");
            at += length;
        }
        assert_eq!((at, run(&mut consumer, limit)), (12, None));
        assert_eq!(consumer.rewind().unwrap(), 12);
    }
    let mark = consumer.released_mark();
    consumer.take_run(1500).unwrap();
    assert_eq!(consumer.acknowledged(consumer.sent_bytes()).unwrap(), (2, 1400));
    assert_ne!(consumer.released_mark(), mark);
    assert_eq!(rig.consumer().released_mark(), consumer.released_mark());
    assert_eq!(consumer.rewind().unwrap(), 0);
    assert_eq!(run(&mut consumer, 1500), Some((record(0).slot, all[2].clone())));
}

#[test]
fn records_are_given_whole_until_they_are_sent_and_again_after_a_rewind() {
    let rig = Rig::new(3, 4096);
    let (mut producer, mut consumer) = (rig.producer(), rig.consumer());
    let unsent = |consumer: &Consumer| -> Vec<u64> {
        let records = consumer.unsent_records().unwrap().map(|record| {
            let (record, bytes) = record.unwrap();
            assert_eq!(bytes, pdu(record.sequence, 700));
            record.sequence
        });
        records.collect()
    };
    assert_eq!(unsent(&consumer), []);
    // Five fit into a segment.
    for number in 0..12 {
        append(&mut producer, number, &pdu(number, 700), 0).unwrap();
    }
    producer.commit().unwrap();
    assert_eq!(unsent(&consumer), (0..12).collect::<Vec<_>>());
    assert_eq!((consumer.sent_records(0).unwrap(), consumer.sent_records(7).unwrap()), (0, 4900));
    assert_eq!(unsent(&consumer), (7..12).collect::<Vec<_>>());
    assert_eq!(consumer.acknowledged(3500).unwrap(), (5, 3500));
    assert_eq!(unsent(&consumer), (7..12).collect::<Vec<_>>());
    assert!(!consumer.may_sleep().unwrap());
    assert_eq!(consumer.sent_records(100).unwrap(), 3500);
    assert!(unsent(&consumer).is_empty() && consumer.may_sleep().unwrap());
    assert_eq!(consumer.rewind().unwrap(), 7);
    assert_eq!(unsent(&consumer), (5..12).collect::<Vec<_>>());
    consumer.sent_records(7).unwrap();
    assert_eq!(consumer.acknowledged(consumer.sent_bytes()).unwrap(), (7, 4900));
    assert!(consumer.is_empty().unwrap() && unsent(&consumer).is_empty());
}

#[test]
fn a_consumer_killed_between_ledger_and_release_counts_nothing_twice() {
    let rig = Rig::new(2, 4096);
    let (mut producer, mut consumer) = (rig.producer(), rig.consumer());
    for number in 0..5 {
        append(&mut producer, number, &pdu(number, 100), 0).unwrap();
    }
    producer.commit().unwrap();
    let send_all = |consumer: &mut Consumer| {
        let taken = consumer.unsent(10_000).unwrap().unwrap().len();
        consumer.sent(taken);
        consumer.acknowledged(300).unwrap();
    };
    // The released position, as it was before, is what a kill in between leaves behind.
    send_all(&mut consumer);
    rustix::io::pwrite(&rig.memory, &0u64.to_ne_bytes(), 192).unwrap();
    rustix::io::pwrite(&rig.memory, &0u64.to_ne_bytes(), 200).unwrap();
    let mut successor = rig.consumer();
    send_all(&mut successor);
    assert_eq!(rig.content(), (3, 2));
}

#[test]
fn a_full_stream_says_so_and_recovers() {
    let rig = Rig::new(2, 4096);
    let (mut producer, mut consumer) = (rig.producer(), rig.consumer());
    let mut appended = 0;
    while append(&mut producer, appended, &pdu(appended, 1000), 0).is_ok() {
        appended += 1;
    }
    assert!(matches!(append(&mut producer, 0, &pdu(0, 1000), 0), Err(AppendError::Full)));
    assert!(matches!(append(&mut producer, 0, &pdu(0, 4096), 0), Err(AppendError::TooLarge { bound: 4096 })));
    producer.commit().unwrap();
    while let Some(bytes) = consumer.unsent(usize::MAX).unwrap() {
        let taken = bytes.len();
        consumer.sent(taken);
        consumer.acknowledged(consumer.sent_bytes()).unwrap();
    }
    assert_eq!(rig.content(), (appended, 0));
    assert!(append(&mut producer, appended, &pdu(appended, 1000), 0).is_ok());
}

#[test]
fn a_record_of_an_owner_that_is_gone_is_refused_and_not_accounted_to_the_next() {
    let rig = Rig::new(2, 4096);
    let (mut producer, mut consumer) = (rig.producer(), rig.consumer());
    append(&mut producer, 0, &pdu(0, 10), 0).unwrap();
    producer.commit().unwrap();
    rig.ledger.slot(SLOT).unwrap().reset(GENERATION + 1, 1);
    assert!(matches!(append(&mut producer, 1, &pdu(1, 10), 0), Err(AppendError::Stale)));
    let taken = consumer.unsent(100).unwrap().unwrap().len();
    consumer.sent(taken);
    assert_eq!(consumer.acknowledged(10).unwrap(), (1, 10));
    assert_eq!(rig.content(), (0, 0));
    let nowhere = Record { delivery: 1, generation: GENERATION + 1, ..record(2) };
    assert!(matches!(producer.append(10, nowhere, |_| Ok::<_, ()>(1)), Err(AppendError::Stale)));
}

#[test]
fn an_encoder_that_fails_or_lies_leaves_nothing_behind() {
    let rig = Rig::new(2, 4096);
    let (mut producer, mut consumer) = (rig.producer(), rig.consumer());
    assert!(matches!(producer.append(10, record(0), |_| Err("no")), Err(AppendError::Encode("no"))));
    for claimed in [0, 11] {
        let lied = producer.append(10, record(0), |_| Ok::<_, ()>(claimed));
        assert!(matches!(lied, Err(AppendError::Length { bound: 10, .. })));
    }
    producer.commit().unwrap();
    assert!(consumer.unsent(100).unwrap().is_none());
    assert_eq!(rig.content(), (0, 0));
}

#[test]
fn memory_of_another_kind_is_refused() {
    let rig = Rig::new(2, 4096);
    assert!(matches!(
        StreamView::open(Ledger::create(4, 1).unwrap()),
        Err(StreamError::Map(MapError::WrongLayout { expected: "stream" }))
    ));
    assert!(matches!(Ledger::open(&rig.memory), Err(MapError::WrongLayout { expected: "ledger" })));
    assert!(create_stream("bad", 1, 4096).unwrap_err().to_string().contains("whole pages"));
}

#[test]
fn figures_and_marks_are_seen_through_another_mapping() {
    let memory = Ledger::create(4, 1).unwrap();
    let (one, other) = (Ledger::open(&memory).unwrap(), Ledger::open(&memory).unwrap());
    assert!(other.slot(0).unwrap().snapshot().is_none(), "nobody owns it yet");
    assert!(one.slot(4).is_none() && one.stream(1).is_none());
    let slot = one.slot(1).unwrap();
    slot.reset(7, 2);
    slot.receive(5, 500);
    slot.lost(1, LossReason::EncodeFailed, 2);
    assert_eq!((slot.reserve_sequence(1, 3), slot.reserve_sequence(1, 1)), (Some(0), Some(3)));
    assert_eq!(slot.reserve_sequence(2, 1), None);
    assert!(!slot.mark(0) && slot.mark(0) && !slot.is_marked(1));
    let seen = other.slot(1).unwrap().snapshot().unwrap();
    assert_eq!((seen.generation, seen.received, seen.received_bytes), (7, 5, 500));
    assert_eq!((seen.deliveries[1].lost(LossReason::EncodeFailed), seen.deliveries[1].next_sequence), (2, 4));
    assert_eq!(seen.deliveries[0].lost_total(), 0);
    other.stream(0).unwrap().delivered(3, 30);
    assert_eq!(one.stream(0).unwrap().snapshot().delivered_records, 3);
}

#[test]
fn an_account_remembers_its_owner_and_its_earliest_stop() {
    let memory = Ledger::create(1, 0).unwrap();
    let ledger = Ledger::open(&memory).unwrap();
    let slot = ledger.slot(0).unwrap();
    assert_eq!(slot.owner(), None);
    slot.reset(1, 1);
    slot.set_owner(u128::MAX - 5);
    let stops = |ordered| [900, 700, 800].map(|stop_ns| slot.stop_no_later(ordered, stop_ns));
    assert_eq!(stops(10), [900, 700, 700]);
    let again = Ledger::open(&memory).unwrap();
    let slot = again.slot(0).unwrap();
    assert_eq!((slot.owner(), slot.stop_no_later(10, u64::MAX)), (Some(u128::MAX - 5), 700));
    // An order with a later stop has one of its own, one with an earlier stop never a later one.
    assert_eq!(stops(11), [900, 700, 700]);
    assert_eq!(stops(9), [700, 700, 700]);
    slot.give_back();
    assert_eq!((slot.owner(), slot.generation()), (None, Some(1)));
    slot.reset(2, 1);
    assert_eq!(slot.stop_no_later(1, 950), 950);
}
