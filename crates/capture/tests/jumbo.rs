//! Jumbo frames: over single frames of several buffers, and live between ports of MTU 9000. Where the kernel has no frames
//! of several buffers for AF_XDP (before Linux 6.6), that it is refused by name.

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;
use support::{BOTH, BYSTANDER, SMALL, TARGET, in_force, intercept, udp};
use wire::{SLOT, Wire, drain, tap};
use writ_abi::{FrameHeader, PolicyFlags, ProbeCounter};
use writ_capture::doctor::{self, State};
use writ_capture::{
    Action, AttachMode, FrameTime, Kernel, OnMiss, Port, PortError, PortSettings, RingSettings, Source, Tunnel, jumbo,
};

/// Around one buffer, a page, two of them, and the most that a port of MTU 9000 takes.
const LENGTHS: [usize; 10] = [60, 1514, 1664, 1665, 4096, 4097, 8192, 8193, 9000, 9014];
/// Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;

/// A frame of this length, of which no byte stands where it would stand in another.
fn frame(source: &str, destination: &str, length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length - HEADERS).map(|at| (at * 7 + at / 251 + length) as u8).collect();
    udp(source, destination, 1000, &payload)
}

fn settings() -> PortSettings {
    PortSettings { jumbo: true, ..tap() }
}

/// A wire of MTU 9000, or none with a message where the kernel cannot.
fn wire(queues: u16) -> Option<Wire> {
    if !jumbo::kernel_can().unwrap() {
        eprintln!("skipped: this kernel hands AF_XDP no frames of several buffers");
        return None;
    }
    let wire = Wire::new(queues);
    wire.probe.ip(&["link", "set", "tap", "mtu", "9000"]).unwrap();
    wire.far.ip(&["link", "set", "far", "mtu", "9000"]).unwrap();
    Some(wire)
}

/// The program over frames of several buffers, the first as full as it can be, and nearly empty where the kernel lets
/// that be tried: some drivers give XDP such frames.
#[test]
fn the_program_decides_over_all_buffers() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    let mut short_tried = 0;
    for length in LENGTHS {
        let (wanted, other) = (frame(TARGET, BYSTANDER, length), frame(BYSTANDER, "192.0.2.1", length));
        for first in [None, Some(14), Some(20), Some(33), Some(41)] {
            let run = |kernel: &mut Kernel, frame: &[u8]| {
                let verdict = kernel.try_jumbo(OnMiss::Drop, Tunnel::None, frame, first)?;
                Ok::<_, writ_capture::KernelError>((verdict.action, verdict.data.to_vec()))
            };
            intercept(&mut kernel, SLOT, TARGET, BOTH);
            let (action, data) = match run(&mut kernel, &wanted) {
                Err(_) if first.is_some() => continue,
                outcome => outcome.unwrap(),
            };
            short_tried += usize::from(first.is_some());
            assert_eq!((action, &data[FrameHeader::SIZE..]), (Action::Redirect, &wanted[..]), "{length}, {first:?}");
            assert_eq!(run(&mut kernel, &other).unwrap().0, Action::Drop, "{length}, {first:?}");

            intercept(&mut kernel, SLOT, TARGET, BOTH | PolicyFlags::HEADERS_ONLY);
            let (action, data) = run(&mut kernel, &wanted).unwrap();
            assert_eq!(action, Action::Redirect);
            assert_eq!(
                &data[FrameHeader::SIZE..],
                &wanted[..HEADERS],
                "{length}, {first:?}: nothing behind the headers"
            );
        }
    }
    eprintln!("{short_tried} frames were tried with a short first buffer");
    let counters = kernel.counters().unwrap();
    assert_eq!([ProbeCounter::CutFailed, ProbeCounter::NoHeadroom].map(|of| counters.probe(of)), [0, 0]);
}

#[test]
fn jumbo_frames_arrive_byte_for_byte_and_no_bystander_s() {
    let Some(wire) = wire(2) else { return };
    for mode in [AttachMode::Driver, AttachMode::Generic] {
        let settings = PortSettings { mode, ..settings() };
        let (_port, kernel, mut sources) = wire.capture(&settings);
        let mut sender = wire.sender();
        for length in LENGTHS {
            let sent = frame(TARGET, BYSTANDER, length);
            sender.send(&frame(BYSTANDER, "192.0.2.1", length)).unwrap();
            sender.send(&sent).unwrap();
            sender.send(&frame("192.0.2.1", BYSTANDER, length)).unwrap();
            let got = drain(&mut sources, 1);
            assert!(got.len() == 1 && got[0].1 == sent, "{mode:?}: {length} bytes");
        }
        assert_eq!(wire.link().contains("xdpgeneric"), mode == AttachMode::Generic);
        let counters = kernel.counters().unwrap();
        let hits = LENGTHS.len() as u64;
        let counts = [ProbeCounter::Hits, ProbeCounter::Misses].map(|of| counters.probe(of));
        assert_eq!(counts, [hits, 2 * hits], "{mode:?}");
        let bytes: usize = LENGTHS.iter().sum();
        assert_eq!(sources.iter().map(|source| source.statistics().bytes).sum::<u64>(), bytes as u64);
        for source in &sources {
            let counts = source.statistics();
            assert_eq!((counts.missing, counts.malformed, counts.dropped), (0, 0, 0));
        }
    }
}

/// Batches that hold three jumbo packets and not the whole of a fourth, over many times the memory of the ring.
#[test]
fn packets_of_several_frames_outlast_batches_and_the_whole_ring() {
    let Some(wire) = wire(1) else { return };
    let ring = RingSettings { batch: 20, ..settings().ring };
    let (_port, _kernel, mut sources) = wire.capture(&PortSettings { ring, ..settings() });
    let mut sender = wire.sender();
    let mut number = 0_usize;
    for _ in 0..50 {
        let sent: Vec<_> = (0..20).map(|at| frame(TARGET, BYSTANDER, LENGTHS[(number + at) % LENGTHS.len()])).collect();
        number += 7;
        for frame in &sent {
            sender.send(frame).unwrap();
        }
        let got: Vec<_> = drain(&mut sources, sent.len()).into_iter().map(|(_, bytes, _)| bytes).collect();
        assert!(got == sent, "{} of {} frames", got.len(), sent.len());
        assert_eq!(sources[0].frame_census().iter().sum::<usize>(), 512);
    }
    let batch = sources[0].receive(Duration::ZERO).unwrap();
    assert!(batch.is_empty() && batch.is_drained());
    // With the kernel are as many as can wait, and a batch.
    assert_eq!(sources[0].frame_census(), [512 - 276, 276, 0]);
    let counts = sources[0].statistics();
    assert_eq!((counts.frames, counts.missing, counts.malformed), (1000, 0, 0));
}

#[test]
fn the_cut_leaves_nothing_of_a_jumbo_frame_s_content() {
    let Some(wire) = wire(1) else { return };
    let (_port, mut kernel, mut sources) = wire.capture(&settings());
    kernel.tables().arm(SLOT.slot, &in_force(SLOT.generation, BOTH | PolicyFlags::HEADERS_ONLY)).unwrap();
    let mut sender = wire.sender();
    for length in LENGTHS {
        let sent = frame(BYSTANDER, TARGET, length);
        sender.send(&sent).unwrap();
        let got = drain(&mut sources, 1);
        assert!(matches!(&got[..], [(0, bytes, FrameTime::Boot(_))] if bytes == &sent[..HEADERS]), "{length} bytes");
    }
    let hits = LENGTHS.len() as u64;
    let counters = kernel.counters().unwrap();
    assert_eq!([ProbeCounter::Cut, ProbeCounter::CutFailed].map(|of| counters.probe(of)), [hits, 0]);
    assert_eq!(counters.slot(SLOT.slot).matched_bytes, LENGTHS.iter().sum::<usize>() as u64);
}

/// Headers can be longer than a piece: what they say is read all the same.
#[test]
fn headers_that_outlast_the_first_piece_are_read_to_their_end() {
    let Some(wire) = wire(1) else { return };
    let (_port, mut kernel, mut sources) = wire.capture(&settings());
    let subject = "2001:db8::7";
    kernel.tables().bind(support::prefix_of(subject), &support::claims(&[SLOT])).unwrap();
    let mut sent = udp(subject, "2001:db8:ffff::9", 1000, &[7; 4000]);
    // A hop-by-hop header of 2,048 bytes between IPv6 and UDP.
    let options = [&[17, 255][..], &[0; 2046]].concat();
    sent[18..20].copy_from_slice(&(4008_u16 + 2048).to_be_bytes());
    sent[20] = 0;
    sent.splice(54..54, options);
    wire.sender().send(&sent).unwrap();
    let batch = sources[0].receive(wire::PATIENCE).unwrap();
    let frame = batch.frames().next().unwrap();
    assert_eq!((frame.header.transport_offset, frame.header.header_end), (54 + 2048, 54 + 2048 + 8));
    assert!(frame.bytes.len() < usize::from(frame.header.transport_offset), "they do outlast it");
    assert_eq!(frame.read(usize::from(frame.header.transport_offset)), Some([3, 232, 0, 53]));
    assert_eq!(wire::whole(&frame), sent);
}

#[test]
fn a_full_ring_loses_whole_packets_and_counts_them() {
    let Some(wire) = wire(1) else { return };
    let (_port, kernel, mut sources) = wire.capture(&settings());
    let mut sender = wire.sender();
    let sent = frame(TARGET, BYSTANDER, 9014);
    for _ in 0..100 {
        sender.send(&sent).unwrap();
    }
    let counters = kernel.counters().unwrap();
    let all = || Ok((counters.slot(SLOT.slot).matched == 100).then_some(()));
    writ_lab::until("all frames to be seen", wire::PATIENCE, all).unwrap();
    let mut received = 0;
    loop {
        let batch = sources[0].receive(Duration::ZERO).unwrap();
        assert!(batch.frames().all(|frame| wire::whole(&frame) == sent));
        received += batch.len() as u64;
        if batch.is_drained() {
            break;
        }
    }
    // Six frames of memory each.
    assert_eq!(received, 256 / 6);
    sender.send(&sent).unwrap();
    assert_eq!(drain(&mut sources, 1)[0].1, sent);
    let counts = sources[0].statistics();
    assert_eq!((counts.missing, counts.malformed), (100 - received, 0));
    assert_eq!(sources[0].frame_census().iter().sum::<usize>(), 512);
}

/// Of a port whose MTU is too large, and of a kernel that cannot.
#[test]
fn what_cannot_be_is_refused_with_the_remedy() {
    let wire = Wire::new(1);
    wire.probe.enter(|| writ_capture::port::quiet(&tap()).unwrap()).unwrap();
    let can = jumbo::kernel_can().unwrap();
    let open = |settings: &PortSettings| wire.probe.enter(|| Port::open(settings).map(drop)).unwrap();
    let doctor = |settings: &PortSettings| wire.probe.enter(|| doctor::port(settings)).unwrap();
    let state = |settings: &PortSettings, what: &str| {
        let checks = doctor(settings);
        checks.into_iter().find(|check| check.name.ends_with(what)).map(|check| (check.state, check.remedy))
    };
    wire.probe.ip(&["link", "set", "tap", "mtu", "9000"]).unwrap();
    let said = open(&tap()).unwrap_err().to_string();
    assert!(said.contains("9000") && said.contains("mtu 1642") && said.contains("jumbo = true"), "{said}");
    assert_eq!(said.contains("Linux 6.6"), !can, "{said}");
    let (failed, remedy) = state(&tap(), "MTU").unwrap();
    assert!(failed == State::Fail && remedy.contains("jumbo = true"), "{remedy}");
    if !can {
        let said = open(&settings()).unwrap_err();
        assert!(matches!(said, PortError::Jumbo { limit: 1642, .. }), "{said}");
        let (failed, remedy) = state(&settings(), "jumbo frames").unwrap();
        assert!(failed == State::Fail && remedy.contains("6.6"), "{remedy}");
        return;
    }
    open(&settings()).unwrap();
    assert_eq!(state(&settings(), "MTU").unwrap().0, State::Ok);
    assert_eq!(state(&settings(), "jumbo frames").unwrap().0, State::Ok);

    wire.probe.ip(&["link", "set", "tap", "mtu", "9217"]).unwrap();
    let said = open(&settings()).unwrap_err();
    assert!(matches!(said, PortError::Mtu { mtu: 9217, limit: 9216, .. }), "{said}");
    // A driver that has XDP, and not for frames of several buffers.
    wire.probe.ip(&["tuntap", "add", "dev", "tap1", "mode", "tap"]).unwrap();
    let one = PortSettings { interface: "tap1".into(), ..settings() };
    let (state, remedy) = state(&one, "jumbo frames").unwrap();
    assert!(state == State::Warn && remedy.contains("generic"), "{remedy}");
}
