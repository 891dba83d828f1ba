//! What a worker does with a batch: frames out of a source, checked against the targets, encoded into the shared memory
//! of a stream, published, and given back by the stream's reader; beside a memcpy of as many octets.
//!
//! Frames are taken in turn from 64 MiB, more than an L3 cache holds. `writ` is all of it; a call of it is one batch.
//! The reader here acknowledges at once and sends nothing, so no system call is in these figures.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;

use anyhow::{Result, ensure};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use writ_bench::steps::{BATCH, COLD, Rig, Scope};

fn case(criterion: &mut Criterion, name: &str, length: usize, scope: Scope, count: u16) -> Result<()> {
    let mut rig = Rig::new(length, scope, count, COLD)?;
    // The first batch also tells of the sessions.
    rig.step()?;
    let (octets, pdus) = rig.step()?;
    ensure!(pdus == BATCH as u64 * u64::from(count), "{pdus} PDUs of {BATCH} frames under {count} intercepts");
    let pdu = usize::try_from(octets / pdus)?;

    let mut group = criterion.benchmark_group(format!("hot path, {name}, {length} octets, {count} intercepts"));
    group.throughput(Throughput::Elements(pdus));
    group.bench_function("memcpy", |bencher| {
        let source: Vec<u8> = (0..COLD).map(|place| (place % 251) as u8).collect();
        let mut target = vec![1; 16 << 20];
        let (mut read, mut written) = (0, 0);
        bencher.iter(|| {
            for number in 0..pdus {
                if read + pdu > COLD {
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
