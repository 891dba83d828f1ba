//! The filter's part in use grows while frames come: no target is missed while its bits move, and what is removed later is
//! gone. Needs root.
//!
//! One CPU runs the program over frames of targets as fast as the kernel can, while the other adds others. The targets'
//! intercept is yet to begin: so each frame is counted in its account and left as it is. A frame whose target was not found
//! would be missing from that account.

use aya::programs::Xdp;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use writ_abi::{Claim, PolicyFlags, Selector, SlotPolicy, SlotRef};
use writ_capture::{Kernel, KernelSettings, OnMiss};
use writ_tests::kernel::{beside, burst};
use writ_tests::stack::{IPV4, ethernet, ipv4, protocol::UDP, udp};

/// Targets that are there all the time, and those that come: from one page of filter to eight.
const STEADY: u32 = 64;
const COMING: u32 = 16_000;
/// Runs of the program over one frame in one system call.
const BURST: u32 = 1000;
const SLOT: SlotRef = SlotRef { slot: 0, generation: 1 };
const OTHER: SlotRef = SlotRef { slot: 1, generation: 1 };

fn target(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x2000_0000 + number * 2 + 1)
}

fn net(number: u32) -> Selector {
    Selector::Prefix(IpAddr::from(target(number)).into())
}

fn claim(slot: SlotRef) -> Claim {
    Claim { slot, condition: None }
}

fn frame(to: Ipv4Addr) -> Vec<u8> {
    ethernet(IPV4, &ipv4(Ipv4Addr::new(203, 0, 113, 9), to, UDP, &udp(b"whose")))
}

/// Frames of the targets in turn until told to stop. Returns how many.
fn run(program: &Xdp, stop: &AtomicBool) -> u64 {
    let frames: Vec<_> = (0..STEADY).map(|number| frame(target(number))).collect();
    let mut runs = 0;
    while !stop.load(Ordering::Relaxed) {
        for frame in &frames {
            burst(program, frame, BURST);
            runs += u64::from(BURST);
        }
    }
    runs
}

#[test]
fn no_target_is_missed_while_the_filter_grows_and_none_is_left_when_they_are_gone() {
    let settings = KernelSettings { slots: 2, addresses_v4: COMING + STEADY, ..KernelSettings::default() };
    let mut kernel = Kernel::load(&settings).expect("the XDP program loads (as root)");
    let flags = PolicyFlags::SOURCE | PolicyFlags::DESTINATION;
    let not_yet = SlotPolicy { start_ns: u64::MAX / 2, stop_ns: u64::MAX, flags, generation: 1, reserved: 0 };
    for slot in [SLOT, OTHER] {
        kernel.tables().arm(slot.slot, &not_yet).expect("a slot");
    }
    for number in 0..STEADY {
        kernel.tables().bind(net(number), &[claim(SLOT)]).expect("there is room");
    }
    let program = beside(&kernel);
    let stop = AtomicBool::new(false);
    let runs = thread::scope(|scope| {
        let runner = scope.spawn(|| run(&program, &stop));
        for number in STEADY..STEADY + COMING {
            kernel.tables().bind(net(number), &[claim(OTHER)]).expect("there is room");
        }
        stop.store(true, Ordering::Relaxed);
        runner.join().expect("the runner does not panic")
    });
    let counters = kernel.counters().expect("the counters can be mapped");
    assert_eq!(counters.slot(SLOT.slot).early, runs, "a target was not found");

    for number in STEADY..STEADY + COMING {
        kernel.try_frame(OnMiss::Pass, &frame(target(number))).expect("the kernel runs the program");
    }
    assert_eq!(counters.slot(OTHER.slot).early, u64::from(COMING), "each that came is found");
    for number in STEADY..STEADY + COMING {
        kernel.tables().unbind(net(number)).expect("it is there");
        kernel.try_frame(OnMiss::Pass, &frame(target(number))).expect("the kernel runs the program");
    }
    assert_eq!(counters.slot(OTHER.slot).early, u64::from(COMING), "none that went is found");
}
