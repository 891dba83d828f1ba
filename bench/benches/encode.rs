//! What it costs to make a PDU of a packet, beside a memcpy of as many octets as the PDU has.
//!
//! Packets are taken in turn from 64 MiB, more than an L3 cache holds, as they come out of a ring; PDUs go one behind
//! the other into 1 MiB, as into a segment of the spool. The copy has the same source, the same target and the same
//! length. `fast` is what the capture role uses, `reference` the same PDU through the rasn types.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use writ_encoder::UtcMicros;
use writ_encoder::t1_ias::{
    CaseId, ContentIdentifier, CorrelationId, Direction, Flow, IapSystemId, Intercept, SubscriberIdentity, asn1,
};

const SOURCE: usize = 64 << 20;
const TARGET: usize = 1 << 20;

/// 2026-11-21T20:00:00.123456Z: the text of the time at its usual, full length.
const START: i64 = 1_795_291_200_123_456;

fn intercept() -> anyhow::Result<Intercept> {
    Ok(Intercept::new(
        &CaseId::new("CASE-2026-0042")?,
        &IapSystemId::new("pop3-probe1")?,
        &ContentIdentifier::Correlation(CorrelationId::new(42_u64.to_be_bytes())?),
        &SubscriberIdentity::new("line 42")?,
    ))
}

/// Where the next packet is read and the next PDU written.
struct Way {
    source: Vec<u8>,
    target: Vec<u8>,
    read: usize,
    written: usize,
    number: u64,
}

impl Way {
    fn new() -> Self {
        let source = (0..SOURCE).map(|place| (place % 251) as u8).collect();
        Self { source, target: vec![1; TARGET], read: 0, written: 0, number: 0 }
    }

    /// One packet of `length` octets with `room` for its PDU; `write` says how much of it was used.
    #[inline(always)]
    fn step(&mut self, length: usize, room: usize, write: impl FnOnce(&[u8], &mut [u8], u64) -> usize) {
        if self.read + room.max(length) > SOURCE {
            self.read = 0;
        }
        if self.written + room > TARGET {
            self.written = 0;
        }
        let target = &mut self.target[self.written..self.written + room];
        // The whole rest of the source, so that the copy can take as many octets as the PDU has.
        self.written += write(black_box(&self.source[self.read..]), black_box(target), self.number);
        self.read += length.next_multiple_of(64);
        self.number += 1;
    }
}

fn time(number: u64) -> UtcMicros {
    UtcMicros::from_unix_nanos((START as u64 + number) * 1000)
}

fn content(criterion: &mut Criterion, length: usize) -> anyhow::Result<()> {
    let intercept = intercept()?;
    let mut way = Way::new();
    let room = intercept.content_bound(length);
    let octets = intercept.content(&mut vec![0; room], time(0), Direction::ToSubject, 1 << 20, &vec![0; length])?;

    let mut group = criterion.benchmark_group(format!("content {length}"));
    group.throughput(Throughput::Bytes(octets as u64));
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| {
            way.step(length, room, |source, target, _| {
                target[..octets].copy_from_slice(&source[..octets]);
                octets
            });
        });
    });
    group.bench_function("fast", |bencher| {
        bencher.iter(|| {
            way.step(length, room, |source, target, number| {
                intercept.content(target, time(number), Direction::ToSubject, number, &source[..length]).unwrap_or(0)
            });
        });
    });
    group.bench_function("reference", |bencher| {
        bencher.iter(|| {
            way.step(length, room, |source, target, number| {
                let apdu = intercept.content_apdu(time(number), Direction::ToSubject, number, &source[..length]);
                let pdu = asn1::encode(&apdu);
                target[..pdu.len()].copy_from_slice(&pdu);
                pdu.len()
            });
        });
    });
    group.finish();
    Ok(())
}

fn header_report(criterion: &mut Criterion) -> anyhow::Result<()> {
    let intercept = intercept()?;
    let mut way = Way::new();
    let room = intercept.header_report_bound();
    let flow = Flow {
        source: "2001:db8::1".parse()?,
        destination: "2001:db8:1::2".parse()?,
        protocol: 6,
        ports: Some((443, 51_234)),
        flow_label: None,
    };
    let octets = intercept.header_report(&mut vec![0; room], time(0), &flow)?;

    let mut group = criterion.benchmark_group("header report");
    group.throughput(Throughput::Elements(1));
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| {
            way.step(octets, room, |source, target, _| {
                target[..octets].copy_from_slice(&source[..octets]);
                octets
            });
        });
    });
    group.bench_function("fast", |bencher| {
        bencher.iter(|| {
            way.step(64, room, |_, target, number| {
                intercept.header_report(target, time(number), black_box(&flow)).unwrap_or(0)
            });
        });
    });
    group.bench_function("reference", |bencher| {
        bencher.iter(|| {
            way.step(64, room, |_, target, number| {
                let pdu = asn1::encode(&intercept.header_report_message(time(number), black_box(&flow)));
                target[..pdu.len()].copy_from_slice(&pdu);
                pdu.len()
            });
        });
    });
    group.finish();
    Ok(())
}

fn encode(criterion: &mut Criterion) {
    for length in [64, 1400] {
        content(criterion, length).expect("names in this file are valid");
    }
    header_report(criterion).expect("names in this file are valid");
}

criterion_group!(benches, encode);
criterion_main!(benches);
