//! Packets as a table: what it is, the packet in, the verdict, what the FrameHeader says, the packet out. Needs root.

mod fragments;
mod internet;
mod link_layers;
mod mirrors;
mod nested;
mod parties;
mod row;
mod targets;
mod transports;

use row::{Row, SECRET};
use std::path::PathBuf;
use std::{env, fs};
use writ_abi::{FrameFlags, ProbeCounter};
use writ_capture::{OnMiss, Tunnel, boot_now_ns};
use writ_tests::agreement::Agreement;
use writ_tests::cast::{self, BYSTANDER, PEN};
use writ_tests::finding::Input;
use writ_tests::kernel::{Buffers, Counts, Outcome, Trial};
use writ_tests::reference::World;
use writ_tests::stack::{
    IPV4, ethernet, ipv4, ipv6,
    protocol::{IPV6_IN_IP, UDP},
    udp,
};
use zerocopy::IntoBytes as _;

fn rows() -> Vec<Row> {
    [
        parties::directions(),
        parties::prefixes(),
        parties::windows(),
        link_layers::tags(),
        link_layers::labels(),
        link_layers::sessions(),
        internet::ipv4_headers(),
        internet::ipv6_headers(),
        transports::transports(),
        nested::nested(),
        mirrors::mirrors(),
        targets::macs(),
        targets::vlans(),
        targets::addresses(),
        targets::traffic(),
        targets::mirrored(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const TUNNELS: [Tunnel; 5] = [Tunnel::None, Tunnel::Gre, Tunnel::Erspan, Tunnel::Vxlan, Tunnel::Tzsp];

/// The first with nothing but Ethernet, within an IPv4 header, and behind the addresses of one.
const BUFFERS: [Buffers; 5] =
    [Buffers::One, Buffers::Pages, Buffers::ShortFirst(14), Buffers::ShortFirst(30), Buffers::ShortFirst(36)];

#[test]
fn every_packet_meets_its_fate() {
    let rows = rows();
    assert!(rows.len() >= 200, "{} rows", rows.len());
    for tunnel in TUNNELS {
        let mut trial = Trial::load(&World { tunnel, ..cast::world() });
        let mut number = 0;
        for (buffers, on_miss) in
            BUFFERS.into_iter().flat_map(|buffers| [(buffers, OnMiss::Drop), (buffers, OnMiss::Pass)])
        {
            if !trial.set_buffers(buffers) {
                eprintln!("skipped: this kernel tries no frames in buffers of the kind {buffers:?}");
                continue;
            }
            let mut expected = trial.counts();
            for row in rows.iter().filter(|row| row.tunnel == tunnel) {
                let Row { what, frame, wanted, .. } = row;
                let from = boot_now_ns();
                let outcome = trial.run(on_miss, frame);
                let to = boot_now_ns();
                match (&wanted.taken, outcome) {
                    (None, Outcome::Dropped) if !row.passes(on_miss) => {}
                    (None, Outcome::Passed) if row.passes(on_miss) => {}
                    (Some(taken), Outcome::HandedOver(header, out)) => {
                        assert!((from..=to).contains(&header.time_ns), "{what}: time");
                        assert_eq!(*header, taken.header(frame.len(), header.time_ns, number), "{what}: header");
                        assert_eq!(out, taken.bytes(frame), "{what}: bytes");
                        if taken.flags & FrameFlags::CUT != 0 {
                            assert!(
                                !out.windows(SECRET.len()).any(|window| window == SECRET),
                                "{what}: content leaked"
                            );
                        }
                        number += 1;
                    }
                    (_, outcome) => panic!("{what}: {outcome:?}"),
                }
                expected.add_frame(&wanted.counted, frame.len());
                for (slot, entry) in &wanted.accounts {
                    expected.add_entry(*slot, *entry, frame.len());
                }
                assert_eq!(trial.counts(), expected, "{what}: counters");
            }
        }
    }
}

/// A frame can end anywhere. Where it does, model and program agree on what is left of it.
#[test]
fn every_packet_can_end_at_every_byte() {
    let rows = rows();
    for tunnel in TUNNELS {
        let mut agreement = Agreement::new(World { tunnel, ..cast::world() });
        for Row { what, frame, .. } in rows.iter().filter(|row| row.tunnel == tunnel) {
            // The kernel tries no frame that is shorter than an Ethernet header.
            for length in 14..=frame.len().min(600) {
                if let Err(difference) = agreement.try_frame(OnMiss::Pass, &frame[..length]) {
                    panic!("{what}, {length} bytes of it: {difference}");
                }
            }
            if let Err(difference) = agreement.counts() {
                panic!("{what}: {difference}");
            }
        }
    }
}

#[test]
fn without_the_setting_nothing_is_looked_into() {
    let mut trial = Trial::load(&World { look_inside: false, ..cast::world() });
    let inner = ipv6(PEN.v6(), BYSTANDER.v6(), UDP, &udp(SECRET));
    let frame = ethernet(IPV4, &ipv4(BYSTANDER.v4(), BYSTANDER.v4(), IPV6_IN_IP, &inner));
    assert_eq!(trial.run(OnMiss::Pass, &frame), Outcome::Passed);
    let mut expected = Counts::zero();
    expected.add_frame(&[ProbeCounter::Misses], frame.len());
    assert_eq!(trial.counts(), expected);
}

/// Writes the table down as a first corpus for the fuzz targets (`cargo xtask fuzz`), into the folder that `WRIT_SEEDS`
/// names: the frames for `program`, what the program hands over of them for `worker`.
#[test]
fn the_table_is_a_corpus() {
    let Some(folder) = env::var_os("WRIT_SEEDS").map(PathBuf::from) else { return };
    let rows = rows();
    for tunnel in TUNNELS {
        let mut trial = Trial::load(&World { tunnel, ..cast::world() });
        for (number, Row { frame, .. }) in rows.iter().enumerate().filter(|(_, row)| row.tunnel == tunnel) {
            let write = |target: &str, bytes: &[u8]| {
                fs::write(folder.join(target).join(number.to_string()), bytes).expect("a file");
            };
            write("program", &Input { on_miss: OnMiss::Pass, tunnel, look_inside: true, frame }.bytes());
            if let Outcome::HandedOver(header, bytes) = trial.run(OnMiss::Pass, frame) {
                write("worker", &[header.as_bytes(), &bytes].concat());
            }
        }
    }
}
