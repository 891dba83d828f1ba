//! Live capture on a veth pair in network namespaces: rings, ports, and what is left when it ends.

mod support;
#[path = "support/wire.rs"]
mod wire;

use ipnet::IpNet;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{BOTH, BYSTANDER, SMALL, TARGET, claims, intercept, net, udp};
use wire::{PATIENCE, SLOT, Wire, drain, tap};
use writ_abi::{PolicyFlags, ProbeCounter, Selector, SlotRef};
use writ_capture::{
    AttachMode, BindMode, FrameTime, Isolation, Kernel, KernelError, OnMiss, Polling, Port, PortError, PortSettings,
    RingSettings, Source, TableError, TargetView, Tunnel, boot_now_ns, port, privileges, verify,
};
use writ_lab::{Namespace, until};

#[test]
fn every_frame_of_the_target_arrives_from_both_queues_and_no_other() {
    let wire = Wire::new(2);
    let settings = tap();
    let (_port, mut kernel, mut sources) = wire.capture(&settings);
    assert_eq!(sources.len(), 2);
    let mut sender = wire.sender();
    let before = boot_now_ns();
    let (mut sent, mut got, mut queues) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    // Many more frames than the memory holds, so that each frame of it is used over and over.
    for round in 0..40_u16 {
        for port in 0..50_u16 {
            let frame = udp(TARGET, BYSTANDER, 1000 + port, format!("{round} {port}").as_bytes());
            sender.send(&frame).unwrap();
            sent.insert(frame);
            sender.send(&udp(BYSTANDER, "192.0.2.1", 1000 + port, b"not a target's")).unwrap();
        }
        for (queue, bytes, time) in drain(&mut sources, 50) {
            assert!(matches!(time, FrameTime::Boot(at) if (before..=boot_now_ns()).contains(&at)));
            assert!(got.insert(bytes), "a frame came twice");
            queues.insert(queue);
        }
        for source in &sources {
            assert_eq!(source.frame_census().iter().sum::<usize>(), 512);
        }
    }
    assert!(got == sent, "{} of {} frames, and only those", got.len(), sent.len());
    assert_eq!(queues, BTreeSet::from([0, 1]));
    for source in &sources {
        let counts = source.statistics();
        let lost = [counts.missing, counts.malformed, counts.ring_full, counts.dropped, counts.invalid_descriptors];
        assert_eq!(lost, [0; 5]);
    }
    let counters = kernel.counters().unwrap();
    assert_eq!(counters.slot(SLOT.slot).matched, 2000);
    assert_eq!((counters.probe(ProbeCounter::Misses), counters.probe(ProbeCounter::Hits)), (2000, 2000));
    kernel.tables().disarm(SLOT.slot).unwrap();
    sender.send(&udp(TARGET, BYSTANDER, 1000, b"after the revocation")).unwrap();
    until("the frame to be seen", PATIENCE, || Ok((counters.slot(SLOT.slot).expired == 1).then_some(()))).unwrap();
    for source in &mut sources {
        let batch = source.receive(Duration::ZERO).unwrap();
        assert!(batch.is_empty() && batch.is_drained());
    }
}

#[test]
fn a_mirror_s_frames_are_taken_out_of_their_tunnel() {
    let wire = Wire::new(1);
    let (_port, kernel, mut sources) = wire.capture(&PortSettings { tunnel: Tunnel::Vxlan, ..tap() });
    let mut sender = wire.sender();
    let vxlan = |inner: &[u8]| {
        let mut frame = udp(BYSTANDER, BYSTANDER, 1, &[&[8, 0, 0, 0, 0, 0, 42, 0], inner].concat());
        // The destination port, behind Ethernet, IPv4 and the source port.
        frame[36..38].copy_from_slice(&4789_u16.to_be_bytes());
        frame
    };
    let mirrored = udp(TARGET, BYSTANDER, 1, b"mirrored");
    sender.send(&vxlan(&udp(BYSTANDER, BYSTANDER, 1, b"a bystander's"))).unwrap();
    sender.send(&mirrored).unwrap();
    sender.send(&vxlan(&mirrored)).unwrap();
    let frames = drain(&mut sources, 1);
    let [(_, bytes, _)] = &frames[..] else { panic!("{} frames", frames.len()) };
    assert!(bytes.ends_with(&mirrored));
    let counters = kernel.counters().unwrap();
    let counts = [ProbeCounter::Hits, ProbeCounter::Misses, ProbeCounter::NotTunnel].map(|of| counters.probe(of));
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn a_full_ring_is_counted_and_passes() {
    let wire = Wire::new(1);
    let (_port, kernel, mut sources) = wire.capture(&tap());
    let mut sender = wire.sender();
    for number in 0..1000_u16 {
        sender.send(&udp(TARGET, BYSTANDER, number + 1, b"more than the ring holds")).unwrap();
    }
    let counters = kernel.counters().unwrap();
    until("all frames to be seen", PATIENCE, || Ok((counters.slot(SLOT.slot).matched == 1000).then_some(()))).unwrap();
    let mut received = 0;
    loop {
        let batch = sources[0].receive(Duration::ZERO).unwrap();
        received += batch.len() as u64;
        if batch.is_drained() {
            break;
        }
    }
    assert!((200..1000).contains(&received), "{received}");
    // The gap shows with the next frame, and it is the whole loss.
    sender.send(&udp(TARGET, BYSTANDER, 1, b"one more")).unwrap();
    assert_eq!(drain(&mut sources, 1).len(), 1);
    let counts = sources[0].statistics();
    assert_eq!((counts.frames, counts.missing), (received + 1, 1000 - received));
    assert!(counts.ring_full + counts.dropped > 0, "{counts:?}");
    assert_eq!(sources[0].frame_census().iter().sum::<usize>(), 512);
}

#[test]
fn generic_mode_captures_too() {
    let wire = Wire::new(1);
    let settings = PortSettings { mode: AttachMode::Generic, ..tap() };
    let (_port, _kernel, mut sources) = wire.capture(&settings);
    assert!(wire.link().contains("xdpgeneric"));
    let frame = udp(BYSTANDER, TARGET, 1, b"generic");
    wire.sender().send(&frame).unwrap();
    assert_eq!(drain(&mut sources, 1)[0].1, frame);
}

#[test]
fn capture_goes_on_without_any_capability() {
    let wire = Wire::new(1);
    let (_port, mut kernel, mut sources) = wire.capture(&tap());
    let mut sender = wire.sender();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            privileges::drop_all().unwrap();
            for number in 1..=100 {
                sender.send(&udp(TARGET, BYSTANDER, number, b"still here")).unwrap();
            }
            assert_eq!(drain(&mut sources, 100).len(), 100);
            assert_eq!(sources[0].statistics().missing, 0);
            kernel.detach();
        });
        worker.join().unwrap();
    });
    assert!(!wire.link().contains("xdp"));
}

/// All frames that come in on an interface: an AF_PACKET socket that sees everything.
struct Listener(OwnedFd);

impl Listener {
    fn new(namespace: &Namespace) -> Self {
        // 3: ETH_P_ALL, in network order.
        let every = rustix::net::Protocol::from_raw(std::num::NonZeroU32::new(u32::from(3_u16.to_be())).unwrap());
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            namespace.enter(|| socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(every))).unwrap();
        Self(socket.unwrap())
    }

    fn frames(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok((length, _)) = recv(self.0.as_fd(), &mut buffer, RecvFlags::empty()) {
            frames.push(buffer[..length].to_vec());
        }
        frames
    }
}

#[test]
fn the_tap_is_promiscuous_says_nothing_and_is_put_back() {
    let wire = Wire::new(1);
    let settings = tap();
    let listener = Listener::new(&wire.far);
    let before = wire.link();
    assert!(before.contains("promiscuity 0"));
    let state = wire.probe.enter(|| port::quiet(&settings).unwrap()).unwrap();
    assert!(!state.up && state.arp && state.multicast && state.ipv6 == Some(true));
    let (open, kernel, mut sources) = wire
        .probe
        .enter(|| {
            let port = Port::open(&settings).unwrap();
            let mut kernel = Kernel::load(&SMALL).unwrap();
            let sources = kernel.capture(&port, &settings).unwrap();
            intercept(&mut kernel, SLOT, TARGET, BOTH);
            (port, kernel, sources)
        })
        .unwrap();
    assert!(wire.link().contains("promiscuity 1") && wire.link().contains("NOARP"));
    assert_eq!(open.driver(), Some("veth"));
    // Frames that a host would answer: an ARP request, an echo request to all nodes. And time for what a host says by
    // itself in its first seconds on a network: duplicate address detection, router solicitations, group reports.
    let mut sender = wire.sender();
    let mut arp = vec![0xff; 6];
    arp.extend([
        2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2,
    ]);
    sender.send(&arp).unwrap();
    sender.send(&udp("2001:db8::1", "ff02::1", 1, b"all nodes")).unwrap();
    drop(listener.frames());
    std::thread::sleep(Duration::from_secs(3));
    sender.send(&udp(TARGET, BYSTANDER, 1, b"alive")).unwrap();
    assert_eq!(drain(&mut sources, 1).len(), 1);
    drop((sources, kernel, open));
    wire.probe.enter(|| port::restore(&state).unwrap()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    // The listener sees what the far end sent itself too; of the tap there is nothing.
    let foreign: Vec<_> = listener.frames().into_iter().filter(|frame| !frame.ends_with(b"alive")).collect();
    assert_eq!(foreign, Vec::<Vec<u8>>::new());
    let after = wire.link();
    assert!(after.contains("promiscuity 0") && !after.contains("NOARP") && !after.contains("xdp"), "{after}");
    assert_eq!(wire.probe.enter(|| port::quiet(&settings).unwrap()).unwrap(), state);
}

#[test]
fn a_port_that_was_up_is_up_again() {
    let wire = Wire::new(1);
    wire.probe.ip(&["link", "set", "tap", "up"]).unwrap();
    let state = wire.probe.enter(|| port::quiet(&tap()).unwrap()).unwrap();
    assert!(state.up);
    wire.probe.enter(|| port::restore(&state).unwrap()).unwrap();
    assert!(wire.link().contains(",UP"));
    let ipv6 = wire.probe.enter(|| std::fs::read_to_string("/proc/sys/net/ipv6/conf/tap/disable_ipv6").unwrap());
    assert_eq!(ipv6.unwrap().trim(), "0");
    // Another interface under the old name is not touched.
    let other = port::PortState { ifindex: state.ifindex + 1000, up: false, ..state.clone() };
    wire.probe.enter(|| port::restore(&other).unwrap()).unwrap();
    assert!(wire.link().contains(",UP"));
    let gone = port::PortState { interface: "gone".into(), ..state };
    wire.probe.enter(|| port::restore(&gone).unwrap()).unwrap();
}

#[test]
fn a_shared_port_keeps_its_address_families() {
    let wire = Wire::new(1);
    let settings = PortSettings { on_miss: OnMiss::Pass, ..tap() };
    let (_port, _kernel, _sources) = wire.capture(&settings);
    assert!(!wire.link().contains("NOARP"));
    wire.probe.address("tap", "192.0.2.1/24".parse().unwrap()).unwrap();
    wire.far.ip(&["link", "set", "far", "arp", "on"]).unwrap();
    wire.far.address("far", "192.0.2.2/24".parse().unwrap()).unwrap();
    wire.far.exec("ping", &["-c", "1", "-W", "5", "192.0.2.1"]).unwrap();
}

#[test]
fn a_port_that_cannot_be_used_is_named_with_the_remedy() {
    let wire = Wire::new(1);
    let open = |settings: PortSettings| wire.probe.enter(|| Port::open(&settings).unwrap_err()).unwrap();
    let quick = || PortSettings { carrier_wait_s: 0, ..tap() };

    let missing = PortSettings { interface: "nosuch".into(), ..quick() };
    assert!(matches!(open(missing.clone()), PortError::Missing { .. }));
    assert!(matches!(wire.probe.enter(|| port::quiet(&missing).unwrap_err()).unwrap(), PortError::Missing { .. }));

    let down = PortSettings { bring_up: false, ..quick() };
    let said = wire.probe.enter(|| port::quiet(&down).unwrap_err()).unwrap().to_string();
    assert!(said.contains("tap") && said.contains("bring_up"), "{said}");
    assert!(matches!(open(down), PortError::Down { .. }));

    wire.probe.enter(|| port::quiet(&tap()).unwrap()).unwrap();
    let queues = PortSettings { queues: Some(4), ..quick() };
    assert!(matches!(open(queues), PortError::TooFewQueues { found: 1, wanted: 4, .. }));

    wire.probe.ip(&["link", "set", "tap", "mtu", "3600"]).unwrap();
    assert!(matches!(open(quick()), PortError::Mtu { mtu: 3600, limit: 1642, .. }));
    wire.probe.ip(&["link", "set", "tap", "mtu", "1500"]).unwrap();

    wire.far.ip(&["link", "set", "far", "down"]).unwrap();
    assert!(matches!(open(quick()), PortError::NoCarrier { seconds: 0, .. }));
    assert!(wire.link().contains("promiscuity 0"), "promiscuous mode outlived the refusal");
}

#[test]
fn an_attachment_that_is_refused_says_why_and_leaves_nothing() {
    let wire = Wire::new(1);
    let settings = tap();
    let (_port, _kernel, _sources) = wire.capture(&settings);
    let second = wire.probe.enter(|| {
        let port = Port::open(&settings).unwrap();
        Kernel::load(&SMALL).unwrap().capture(&port, &settings).err().unwrap()
    });
    let said = second.unwrap().to_string();
    assert!(said.contains("tap") && said.contains("another XDP program"), "{said}");

    let loopback = PortSettings { carrier_wait_s: 1, ..PortSettings::named("lo") };
    let refused = wire.probe.enter(|| {
        std::process::Command::new("ip").args(["link", "set", "lo", "mtu", "1500"]).status().unwrap();
        let port = Port::open(&loopback).unwrap();
        Kernel::load(&SMALL).unwrap().capture(&port, &loopback).err().unwrap()
    });
    let said = refused.unwrap().to_string();
    assert!(said.contains("lo") && said.contains("generic"), "{said}");
    assert!(!wire.probe.ip(&["link", "show", "lo"]).unwrap().contains("xdp"));
}

/// Not a test of its own: captures until it is killed, for the test below.
#[test]
#[ignore = "run by a_killed_probe_leaves_nothing_attached"]
fn hold_until_killed() {
    let settings = tap();
    port::quiet(&settings).unwrap();
    let port = Port::open(&settings).unwrap();
    let mut kernel = Kernel::load(&SMALL).unwrap();
    let _sources = kernel.capture(&port, &settings).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_probe_leaves_nothing_attached() {
    let wire = Wire::new(1);
    let program = std::env::current_exe().unwrap();
    // No `ip netns exec`, which would be killed in place of what it runs.
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", wire.probe.path().display())).arg(program);
    command.args(["--exact", "hold_until_killed", "--ignored"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    until("the program to be attached", PATIENCE, || Ok(wire.link().contains("xdp").then_some(()))).unwrap();
    until("promiscuous mode", PATIENCE, || Ok(wire.link().contains("promiscuity 1").then_some(()))).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // Its successor need not wait for anything.
    drop(wire.capture(&tap()));
    let clean = || -> bool { !wire.link().contains("xdp") && wire.link().contains("promiscuity 0") };
    until("the program to be gone", PATIENCE, || Ok(clean().then_some(()))).unwrap();
}

#[test]
fn no_bystander_stands_the_second_look_while_the_tables_churn() {
    let wire = Wire::new(1);
    let (_port, mut kernel, mut sources) = wire.capture(&tap());
    let mut sender = wire.sender();
    let mut targets = TargetView::new();
    let second = IpNet::from(IpAddr::from([192, 0, 2, 200]));
    targets.set(SLOT, [net(TARGET), second]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut hits, mut violations) = (0, 0);
    std::thread::scope(|scope| {
        // A second target and addresses of a slot that is not in force come and go in turn, so that the map reuses the
        // elements of the one for the others.
        scope.spawn(|| {
            let mut last = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                last = (last + 1) % 40;
                let address = Selector::Prefix(IpNet::from(IpAddr::from([192, 0, 2, last])));
                kernel.tables().bind(address, &claims(&[SlotRef { slot: 9, generation: 1 }])).unwrap();
                kernel.tables().unbind(address).unwrap();
                kernel.tables().bind(Selector::Prefix(second), &claims(&[SLOT])).unwrap();
                kernel.tables().unbind(Selector::Prefix(second)).unwrap();
            }
        });
        for round in 0..100_u16 {
            for last in 0..20_u16 {
                sender.send(&udp(&format!("192.0.2.{last}"), BYSTANDER, round + 1, b"bystander")).unwrap();
                sender.send(&udp(TARGET, BYSTANDER, last + 1, b"target")).unwrap();
            }
            let started = Instant::now();
            let mut received = 0;
            while received < 20 && started.elapsed() < PATIENCE {
                let batch = sources[0].receive(Duration::from_millis(5)).unwrap();
                for frame in batch.frames() {
                    let verified = verify(frame.header, frame.bytes, &targets);
                    violations += verified.violations();
                    if !verified.hits().is_empty() {
                        assert!(frame.bytes.ends_with(b"target"));
                        received += 1;
                        hits += 1;
                    }
                }
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(hits, 2000);
    eprintln!("{violations} frames were destroyed by the second look");
}

#[test]
fn the_doctor_names_what_is_wrong_with_a_port() {
    use writ_capture::doctor::{self, State};
    let wire = Wire::new(1);
    let worst = |settings: &PortSettings, what: &str| {
        let checks = wire.probe.enter(|| doctor::port(settings)).unwrap();
        checks.iter().filter(|check| check.name.contains(what)).map(|check| check.state).max()
    };
    assert_eq!(worst(&PortSettings::named("nosuch"), "interface"), Some(State::Fail));
    assert_eq!(worst(&tap(), "link"), Some(State::Ok));
    assert_eq!(worst(&PortSettings { bring_up: false, ..tap() }, "link"), Some(State::Fail));
    assert_eq!(worst(&tap(), "driver"), Some(State::Ok));
    assert_eq!(worst(&PortSettings { queues: Some(8), ..tap() }, "queues"), Some(State::Fail));
    wire.probe.ip(&["link", "set", "tap", "mtu", "9000"]).unwrap();
    assert_eq!(worst(&tap(), "MTU"), Some(State::Fail));
    wire.probe.address("tap", "2001:db8::1/64".parse().unwrap()).unwrap();
    wire.probe.ip(&["link", "set", "tap", "up"]).unwrap();
    assert_eq!(worst(&tap(), "address"), Some(State::Warn));
    let remedies = wire.probe.enter(|| doctor::port(&tap())).unwrap();
    assert!(remedies.iter().all(|check| (check.state == State::Ok) == check.remedy.is_empty()));
    // The machine of a test run as root has what capturing needs.
    assert!(doctor::machine().iter().all(|check| check.state != State::Fail));
}

#[test]
fn the_doctor_sets_a_port_up_and_goes_on_where_it_is_refused() {
    use writ_capture::doctor::{self, Outcome};
    let wire = Wire::new(2);
    let settings = PortSettings { queues: Some(1), ..tap() };
    let fix = || {
        let mut told = Vec::new();
        let mut tell = |change: &doctor::Change, outcome: Outcome| told.push((change.command(), outcome));
        wire.probe.enter(|| doctor::fix(&settings, &mut tell)).unwrap();
        told
    };
    let queues = || wire.probe.exec("ethtool", &["-l", "tap"]).unwrap().matches("RX:\t\t1").count();
    wire.probe.exec("ethtool", &["-K", "tap", "rxvlan", "on"]).unwrap();
    let planned = wire.probe.enter(|| doctor::plan(&settings)).unwrap();
    let planned: Vec<String> = planned.iter().map(doctor::Change::command).collect();
    assert_eq!(planned, ["ethtool -L tap rx 1", "ethtool -K tap rxvlan off"]);
    // A plan changes nothing, and what is attached keeps the driver from taking queues away.
    let attached = wire.capture(&tap());
    let [(_, refused), (_, made)] = &fix()[..] else { panic!("two changes") };
    assert!(matches!(refused, Outcome::Refused(said) if said.lines().count() == 1), "{refused:?}");
    assert!(matches!(made, Outcome::Made(way) if way.undo.to_string() == "ethtool -K tap rxvlan on"), "{made:?}");
    assert_eq!(queues(), 0);
    drop(attached);
    // The kernel lets go of the sockets' queues a moment after their end.
    let made =
        || Ok(matches!(&fix()[..], [(command, Outcome::Made(_))] if command == "ethtool -L tap rx 1").then_some(()));
    until("the queues to be set", PATIENCE, made).unwrap();
    assert_eq!(queues(), 1);
    assert_eq!(fix(), [], "what is right is not touched");
}

#[test]
fn a_worker_that_polls_for_itself_gets_every_frame() {
    let wire = Wire::new(2);
    let ring = RingSettings { busy_poll_us: 200, busy_poll_budget: 16, ..tap().ring };
    let settings = PortSettings { ring, ..tap() };
    // Here `/sys` shows the interfaces of another namespace, so that none can be set through it.
    let error = wire.probe.enter(|| port::quiet(&settings).unwrap_err()).unwrap();
    let said = error.to_string();
    assert!(matches!(error, PortError::BusyPoll { .. }) && said.contains("`ring.busy_poll_us`"), "{said}");
    assert!(wire.link().contains("state DOWN"), "half-way is no state to be left in: {}", wire.link());

    let (_port, _kernel, mut sources) = wire
        .probe
        .enter(|| {
            port::quiet(&tap()).unwrap();
            let port = Port::open(&settings).unwrap();
            let mut kernel = Kernel::load(&SMALL).unwrap();
            let sources = kernel.capture(&port, &settings).unwrap();
            intercept(&mut kernel, SLOT, TARGET, BOTH);
            (port, kernel, sources)
        })
        .unwrap();
    let mut sender = wire.sender();
    let sent: Vec<Vec<u8>> =
        (0..2000_u16).map(|number| udp(TARGET, BYSTANDER, 1000 + number, &number.to_be_bytes())).collect();
    let got = std::thread::scope(|scope| {
        scope.spawn(|| {
            for frame in &sent {
                sender.send(frame).unwrap();
                // So that the rings run empty again and again, and the sockets poll.
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        drain(&mut sources, sent.len())
    });
    let got: BTreeSet<Vec<u8>> = got.into_iter().map(|(_, bytes, _)| bytes).collect();
    assert!(got == sent.iter().cloned().collect(), "{} of {} frames, and only those", got.len(), sent.len());
    for source in &sources {
        assert_eq!(source.statistics().missing, 0);
        assert_ne!(source.statistics().polling, Polling::Off);
        // Later kernels leave it to the driver to link queues to their NAPI, and veth may not.
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let numbers: Vec<u32> = release.split('.').map_while(|part| part.parse().ok()).collect();
        if numbers < vec![6, 13] {
            assert_eq!(source.statistics().polling, Polling::On, "{release}");
        }
    }
}

#[test]
fn headers_only_and_zero_copy_exclude_each_other() {
    let wire = Wire::new(1);
    let settings = PortSettings { bind: BindMode::ZeroCopy, isolation: Isolation::Descriptor, ..tap() };
    let headers_only = support::in_force(1, BOTH | PolicyFlags::HEADERS_ONLY);
    wire.probe.enter(|| port::quiet(&settings).unwrap()).unwrap();
    let refusal = |arm_first: bool| {
        wire.probe.enter(|| {
            let port = Port::open(&settings).unwrap();
            let mut kernel = Kernel::load(&SMALL).unwrap();
            if arm_first {
                kernel.tables().arm(1, &headers_only).unwrap();
                return kernel.capture(&port, &settings).err().unwrap();
            }
            // A veth has no zero-copy: the bind fails, with what to do about it.
            let error = kernel.capture(&port, &settings).err().unwrap();
            assert!(matches!(kernel.tables().arm(1, &headers_only), Err(TableError::Exposed)));
            error
        })
    };
    assert!(matches!(refusal(true).unwrap(), KernelError::Table(TableError::Exposed)));
    let said = refusal(false).unwrap().to_string();
    assert!(said.contains("tap") && said.contains("bind = \"copy\""), "{said}");
    assert!(!wire.link().contains("xdp"));
}
