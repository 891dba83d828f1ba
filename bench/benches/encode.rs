//! What it costs to make a PDU of a packet, beside a memcpy of as many octets as the PDU has.
//!
//! Packets are taken in turn from 64 MiB, more than an L3 cache holds, as they come out of a ring; PDUs go one behind
//! the other into 1 MiB, as into a segment of the spool. The copy has the same source, the same target and the same
//! length. `fast` is what the capture role uses, which prints the time up to the
//! millisecond once a millisecond, and what it says of a flow once; `reference` is the
//! same PDU through the rasn types.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use writ_bench::steps::{COLD, Way, encoder, flow, time};
use writ_encoder::Stamper;
use writ_encoder::t1_ias::{Direction, HeaderSets, asn1};

fn content(criterion: &mut Criterion, length: usize) -> anyhow::Result<()> {
    let intercept = encoder()?;
    let mut way = Way::new(COLD);
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
    let mut stamper = Stamper::default();
    group.bench_function("fast", |bencher| {
        bencher.iter(|| {
            way.step(length, room, |source, target, number| {
                let time = stamper.stamp(time(number));
                intercept.content(target, time, Direction::ToSubject, number, &source[..length]).unwrap_or(0)
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
    let intercept = encoder()?;
    let mut way = Way::new(COLD);
    let room = intercept.header_report_bound();
    let flow = flow()?;
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
    let (mut stamper, mut header_sets) = (Stamper::default(), HeaderSets::default());
    group.bench_function("fast", |bencher| {
        bencher.iter(|| {
            way.step(64, room, |_, target, number| {
                let header_set = header_sets.of(black_box(&flow));
                header_set
                    .and_then(|set| intercept.header_report_from(target, stamper.stamp(time(number)), set))
                    .unwrap_or(0)
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
