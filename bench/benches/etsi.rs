//! What it costs to make a content PDU of ETSI TS 102 232 of a packet, beside a memcpy of as many octets as the PDU has:
//! as `encode` does for T1.IAS, from cold packets into a segment. `reference` is the same PDU through the rasn types,
//! `sealed` the PDU with its payload in the encryption container.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use writ_bench::steps::{COLD, Way, etsi_encoder, time};
use writ_encoder::etsi::{CaseKey, Direction, Sealer, asn1};

/// Writes the PDU of a packet, the front of the first octets, and says how long it is. The last is the packet's number.
type Write<'a> = &'a mut dyn FnMut(&[u8], &mut [u8], u64) -> usize;

fn content(criterion: &mut Criterion, length: usize) -> anyhow::Result<()> {
    let intercept = etsi_encoder()?;
    let mut way = Way::new(COLD);
    let direction = Direction::ToTarget;
    let mut plain = vec![0; intercept.content_bound(length)];
    let octets = intercept.content(&mut plain, time(0), direction, 1 << 20, vec![0; length][..].into())?;
    let room = Sealer::bound(octets);
    let mut sealer = Sealer::new(CaseKey::new(&[7; 32])?, time(0));

    let mut group = criterion.benchmark_group(format!("ETSI content {length}"));
    group.throughput(Throughput::Bytes(octets as u64));
    let mut row = |name: &str, write: Write<'_>| {
        group.bench_function(name, |bencher| bencher.iter(|| way.step(length, room, &mut *write)));
    };
    row("memcpy", &mut |source, target, _| {
        target[..octets].copy_from_slice(&source[..octets]);
        octets
    });
    row("fast", &mut |source, target, number| {
        intercept.content(target, time(number), direction, number as u32, source[..length].into()).unwrap_or(0)
    });
    row("sealed", &mut |source, target, number| {
        let packet = source[..length].into();
        let made = intercept.content(&mut plain, time(number), direction, number as u32, packet).unwrap_or(0);
        sealer.seal(target, number as u32, &plain[..made]).unwrap_or(0)
    });
    row("reference", &mut |source, target, number| {
        let packet = source[..length].into();
        let pdu = asn1::encode(&intercept.content_pdu(time(number), direction, number as u32, packet));
        target[..pdu.len()].copy_from_slice(&pdu);
        pdu.len()
    });
    group.finish();
    Ok(())
}

fn encode(criterion: &mut Criterion) {
    for length in [64, 1400] {
        content(criterion, length).expect("names in this file are valid");
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
