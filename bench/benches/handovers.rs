//! What it costs to make a content PDU of the other handovers of a packet, beside a memcpy of as many octets as the PDU
//! has: as `encode` does for T1.IAS, from cold packets into a segment. Of ETSI TS 102 232 `reference` is the same PDU
//! through the rasn types, `sealed` the PDU with its payload in the encryption container.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use writ_bench::steps::{COLD, Way, ccc_connection, etsi_encoder, opencalea_tap, time, x3_task};
use writ_encoder::etsi::{CaseKey, Direction, Sealer, asn1};
use writ_encoder::{ccc, opencalea, x2x3};

/// Writes the PDU of a packet, the front of the first octets, and says how long it is. The last is the packet's number.
type Write<'a> = &'a mut dyn FnMut(&[u8], &mut [u8], u64) -> usize;

/// The rows of packets of `length` octets, each with so much room for its PDU. The first row is `fast`.
fn group(criterion: &mut Criterion, name: &str, length: usize, room: usize, rows: &mut [(&str, Write<'_>)]) {
    let Some((_, fast)) = rows.first_mut() else { return };
    let octets = fast(&vec![0; length], &mut vec![0; room], 1 << 20);
    let mut way = Way::new(COLD);
    let mut group = criterion.benchmark_group(format!("{name} {length}"));
    group.throughput(Throughput::Bytes(octets as u64));
    let mut row = |name: &str, write: Write<'_>| {
        group.bench_function(name, |bencher| bencher.iter(|| way.step(length, room, &mut *write)));
    };
    row("memcpy", &mut |source, target, _| {
        target[..octets].copy_from_slice(&source[..octets]);
        octets
    });
    for (name, write) in rows {
        row(name, write);
    }
    group.finish();
}

fn etsi(criterion: &mut Criterion, length: usize) -> anyhow::Result<()> {
    let intercept = etsi_encoder()?;
    let direction = Direction::ToTarget;
    let mut plain = vec![0; intercept.content_bound(length)];
    let room = Sealer::bound(plain.len());
    let mut sealer = Sealer::new(CaseKey::new(&[7; 32])?, time(0));
    group(
        criterion,
        "ETSI content",
        length,
        room,
        &mut [
            ("fast", &mut |source, target, number| {
                intercept.content(target, time(number), direction, number as u32, source[..length].into()).unwrap_or(0)
            }),
            ("sealed", &mut |source, target, number| {
                let packet = source[..length].into();
                let made = intercept.content(&mut plain, time(number), direction, number as u32, packet).unwrap_or(0);
                sealer.seal(target, number as u32, &plain[..made]).unwrap_or(0)
            }),
            ("reference", &mut |source, target, number| {
                let packet = source[..length].into();
                let pdu = asn1::encode(&intercept.content_pdu(time(number), direction, number as u32, packet));
                target[..pdu.len()].copy_from_slice(&pdu);
                pdu.len()
            }),
        ],
    );
    Ok(())
}

fn others(criterion: &mut Criterion, length: usize) -> anyhow::Result<()> {
    let (task, connection, tap) = (x3_task()?, ccc_connection(), opencalea_tap()?);
    let (direction, format) = (x2x3::Direction::ToTarget, x2x3::Format::IPV4);
    let x3: Write<'_> = &mut |source, target, number| {
        task.content(target, time(number), direction, number, format, &source[..length]).unwrap_or(0)
    };
    group(criterion, "X3 content", length, task.overhead() + length, &mut [("fast", x3)]);
    let ccc: Write<'_> =
        &mut |source, target, number| connection.content(target, time(number), &source[..length]).unwrap_or(0);
    group(criterion, "CCC content", length, ccc::Connection::LONGEST_HEADER + length, &mut [("fast", ccc)]);
    let cmc: Write<'_> = &mut |source, target, number| tap.cmc(target, time(number), &source[..length]).unwrap_or(0);
    group(criterion, "OpenCALEA content", length, opencalea::Tap::CMC_HEADER + length, &mut [("fast", cmc)]);
    Ok(())
}

fn encode(criterion: &mut Criterion) {
    for length in [64, 1400] {
        etsi(criterion, length).expect("names in this file are valid");
        others(criterion, length).expect("names in this file are valid");
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
