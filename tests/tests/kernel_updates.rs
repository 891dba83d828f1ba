//! The tables change while frames come: nobody else's target is missed for a moment, and each change is seen by the very
//! next frame. Needs root.
//!
//! One CPU runs the program over frames of targets that nothing is to happen to, as fast as the kernel can, while the
//! other writes. Their intercept is yet to begin: so each frame is counted in its account and left as it is, and can be
//! run again and again without leaving the kernel. A frame whose target was not found would be missing from that account.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use writ_abi::{Claim, FrameHeader, PolicyFlags, ProbeCounter, Selector, SlotPolicy, SlotRef};
use writ_capture::{Action, Kernel, KernelSettings, OnMiss};
use writ_tests::kernel::{beside, burst};
use writ_tests::stack::{IPV4, IPV6, ethernet, ipv4, ipv6, protocol::UDP, udp};
use zerocopy::FromBytes as _;

/// How often everything changes at least, and how many frames come meanwhile.
const ROUNDS: u32 = 1500;
const FRAMES: u64 = 1_000_000;
/// Runs of the program over one frame in one system call.
const BURST: u32 = 10_000;

/// The intercept that nothing is to happen to.
const STEADY: SlotRef = SlotRef { slot: 0, generation: 1 };
/// Three that come and go.
const WIDE: SlotRef = SlotRef { slot: 1, generation: 1 };
const NARROW: SlotRef = SlotRef { slot: 2, generation: 1 };
const SINGLE: SlotRef = SlotRef { slot: 3, generation: 1 };

/// To begin in centuries.
const NOT_YET: SlotPolicy = SlotPolicy {
    start_ns: u64::MAX / 2,
    stop_ns: u64::MAX,
    flags: PolicyFlags::SOURCE | PolicyFlags::DESTINATION,
    generation: 1,
    reserved: 0,
};
/// In force, over what the target sends: frames to it stay as they are.
const SENT: SlotPolicy = SlotPolicy { start_ns: 0, flags: PolicyFlags::SOURCE, ..NOT_YET };

fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| text.parse::<IpAddr>().expect("an address").into())
}

/// A datagram between an address and somebody who is nobody's target.
fn frame(address: &str, outward: bool) -> Vec<u8> {
    let datagram = udp(b"whose");
    match address.parse().expect("an address") {
        IpAddr::V4(party) => {
            let peer = Ipv4Addr::new(203, 0, 113, 9);
            let (from, to) = if outward { (party, peer) } else { (peer, party) };
            ethernet(IPV4, &ipv4(from, to, UDP, &datagram))
        }
        IpAddr::V6(party) => {
            let peer = Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, 9);
            let (from, to) = if outward { (party, peer) } else { (peer, party) };
            ethernet(IPV6, &ipv6(from, to, UDP, &datagram))
        }
    }
}

/// Claims on no condition.
fn claims(slots: &[SlotRef]) -> Vec<Claim> {
    slots.iter().map(|slot| Claim { slot: *slot, condition: None }).collect()
}

/// The intercepts that get the next frame from this address.
fn getting(kernel: &mut Kernel, address: &str) -> Vec<SlotRef> {
    let verdict = kernel.try_frame(OnMiss::Drop, &frame(address, true)).expect("the kernel runs the program");
    if verdict.action != Action::Redirect {
        return Vec::new();
    }
    let (header, _) = FrameHeader::read_from_prefix(verdict.data).expect("a FrameHeader in front");
    (0..).zip(header.source).filter(|(bit, _)| header.source_live & 1 << bit != 0).map(|(_, slot)| slot).collect()
}

/// What changes in one round, in one family: prefixes around the steady targets, within each other, of lengths that come
/// and go, and single addresses by the dozen, which reuse each other's elements of the table.
struct Family {
    /// A steady target that is a single address.
    steady: &'static str,
    /// Prefixes that hold it, the wider first, and others of lengths that nobody else has.
    around: [&'static str; 2],
    lengths: [&'static str; 3],
    /// In the wide prefix only, and in both.
    probes: [&'static str; 2],
    single: fn(u32) -> String,
}

const FAMILIES: [Family; 2] = [
    Family {
        steady: "10.1.2.3",
        around: ["10.1.0.0/16", "10.1.2.0/24"],
        lengths: ["10.5.0.0/17", "10.6.1.0/27", "100.64.0.0/10"],
        probes: ["10.1.77.7", "10.1.2.77"],
        single: |number| format!("10.1.{}.{}", 8 + number / 200, number % 200),
    },
    Family {
        steady: "2001:db8:1:2::3",
        around: ["2001:db8:1::/48", "2001:db8:1:2::/64"],
        lengths: ["2001:db8:8000::/33", "2001:db8:6:1::/100", "3000::/9"],
        probes: ["2001:db8:1:7::7", "2001:db8:1:2::77"],
        single: |number| format!("2001:db8:1:8::{number:x}"),
    },
];

impl Family {
    /// Everything changes, and is as it was.
    fn churn(&self, kernel: &mut Kernel, round: u32) {
        let Self { steady, around: [wide, narrow], lengths, probes: [in_wide, in_both], single } = self;
        let set = |kernel: &mut Kernel, prefix: &str, slots: &[SlotRef]| {
            kernel.tables().bind(Selector::Prefix(net(prefix)), &claims(slots)).expect("there is room");
        };
        let remove = |kernel: &mut Kernel, prefix: &str| {
            kernel.tables().unbind(Selector::Prefix(net(prefix))).expect("the kernel takes it out");
        };
        // What lies within learns of what comes around it.
        set(kernel, wide, &[WIDE]);
        assert_eq!(getting(kernel, in_wide), [WIDE]);
        set(kernel, steady, &[STEADY, WIDE]);
        assert_eq!(getting(kernel, steady), [WIDE], "the steady one is yet to begin");
        set(kernel, narrow, &[WIDE, NARROW]);
        assert_eq!(getting(kernel, in_both), [WIDE, NARROW]);
        set(kernel, steady, &[STEADY, WIDE, NARROW]);
        for (length, slot) in lengths.iter().zip([SINGLE, WIDE, NARROW]) {
            set(kernel, length, &[slot]);
            assert_eq!(getting(kernel, &net(length).network().to_string()), [slot]);
        }
        for number in 0..24 {
            let single = single(round * 7 % 1000 + number);
            set(kernel, &single, &[WIDE, SINGLE]);
            assert_eq!(getting(kernel, &single), [WIDE, SINGLE]);
        }
        kernel.tables().disarm(WIDE.slot).expect("a slot");
        assert_eq!(getting(kernel, in_wide), []);
        assert_eq!(getting(kernel, in_both), [NARROW]);
        kernel.tables().arm(WIDE.slot, &SENT).expect("a slot");
        assert_eq!(getting(kernel, in_wide), [WIDE]);
        for number in 0..24 {
            let single = single(round * 7 % 1000 + number);
            remove(kernel, &single);
            assert_eq!(getting(kernel, &single), [WIDE]);
        }
        for length in lengths {
            remove(kernel, length);
            assert_eq!(getting(kernel, &net(length).network().to_string()), []);
        }
        set(kernel, steady, &[STEADY, WIDE]);
        remove(kernel, narrow);
        assert_eq!(getting(kernel, in_both), [WIDE]);
        set(kernel, steady, &[STEADY]);
        remove(kernel, wide);
        assert_eq!(getting(kernel, in_wide), []);
    }
}

/// Ends the runner when it is dropped.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "how many frames it was is worth reading")]
fn no_update_hides_another_target_and_each_is_seen_by_the_next_frame() {
    // The smallest filter, so that what comes and goes shares its bits with what stays.
    let settings = KernelSettings {
        slots: 4,
        addresses_v4: 64,
        addresses_v6: 64,
        filter_bytes: 4096,
        sockets: 4,
        ..KernelSettings::default()
    };
    let mut kernel = Kernel::load(&settings).expect("the XDP program loads (as root)");
    kernel.tables().arm(STEADY.slot, &NOT_YET).expect("a slot");
    for slot in [WIDE, NARROW, SINGLE] {
        kernel.tables().arm(slot.slot, &SENT).expect("a slot");
    }
    // Of each family an address that everything happens around, and a prefix that nothing comes near.
    for steady in [FAMILIES[0].steady, "172.16.0.0/12", FAMILIES[1].steady, "fd00::/8"] {
        kernel.tables().bind(Selector::Prefix(net(steady)), &claims(&[STEADY])).expect("there is room");
    }
    let frames = [FAMILIES[0].steady, "172.20.1.1", FAMILIES[1].steady, "fd77::1"].map(|address| frame(address, false));
    let program = beside(&kernel);
    let (stop, runs) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut by_hand = 0;
    let rounds = thread::scope(|scope| {
        let runner = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for frame in &frames {
                    assert_eq!(burst(&program, frame, BURST), (1, frame.clone()), "dropped as it was");
                    runs.fetch_add(BURST.into(), Ordering::Relaxed);
                }
            }
        });
        // Also where an assertion fails: the runner would not end.
        let ended = Ended(&stop);
        let mut rounds = 0;
        while rounds < ROUNDS || runs.load(Ordering::Relaxed) < FRAMES && !runner.is_finished() {
            rounds += 1;
            for family in &FAMILIES {
                family.churn(&mut kernel, rounds);
                by_hand += 1;
            }
        }
        drop(ended);
        runner.join().expect("the runner does not panic");
        rounds
    });
    let runs = runs.into_inner();
    let counters = kernel.counters().expect("the counters can be mapped");
    println!(
        "{runs} frames beside {rounds} rounds of changes; entries read while they were rewritten: {}",
        counters.probe(ProbeCounter::Torn)
    );
    assert_eq!(counters.slot(STEADY.slot).early, runs + by_hand, "a steady target was not found");
    let mut held: Vec<_> = kernel.tables().bound().expect("the tables can be read");
    held.sort_by_key(|(selector, _)| *selector);
    let mut steady =
        [FAMILIES[0].steady, "172.16.0.0/12", FAMILIES[1].steady, "fd00::/8"].map(net).map(Selector::Prefix);
    steady.sort();
    assert_eq!(held, steady.map(|selector| (selector, claims(&[STEADY]))), "everything else is gone again");
}

/// Terms of the intercept under test: over what the target sends, so that frames to it are counted and stay as they are.
const SHORT: SlotPolicy = SlotPolicy { stop_ns: u64::MAX / 4, ..SENT };
const LONG: SlotPolicy = SlotPolicy { flags: PolicyFlags::SOURCE | PolicyFlags::HEADERS_ONLY, ..SENT };

#[test]
#[expect(clippy::print_stdout, reason = "how many frames it was is worth reading")]
fn an_intercept_gets_other_terms_with_no_moment_out_of_force() {
    let settings = KernelSettings { slots: 1, sockets: 4, filter_bytes: 4096, ..KernelSettings::default() };
    let mut kernel = Kernel::load(&settings).expect("the XDP program loads (as root)");
    kernel.tables().arm(STEADY.slot, &SHORT).expect("a slot");
    kernel.tables().bind(Selector::Prefix(net("10.1.2.3")), &claims(&[STEADY])).expect("there is room");
    let (program, frame) = (beside(&kernel), frame("10.1.2.3", false));
    let (stop, runs) = (AtomicBool::new(false), AtomicU64::new(0));
    let rounds = thread::scope(|scope| {
        let runner = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(burst(&program, &frame, BURST), (1, frame.clone()), "dropped as it was");
                runs.fetch_add(BURST.into(), Ordering::Relaxed);
            }
        });
        let ended = Ended(&stop);
        let mut rounds = 0u32;
        while runs.load(Ordering::Relaxed) < FRAMES && !runner.is_finished() {
            rounds += 1;
            for policy in [SHORT.meet(&LONG), LONG, LONG.meet(&SHORT), SHORT] {
                kernel.tables().adjust(STEADY.slot, &policy).expect("a slot");
                assert_eq!(kernel.tables().policy(STEADY.slot).expect("a slot"), policy);
            }
        }
        drop(ended);
        runner.join().expect("the runner does not panic");
        rounds
    });
    let (runs, counters) = (runs.into_inner(), kernel.counters().expect("the counters can be mapped"));
    println!("{runs} frames beside {rounds} rounds of other terms");
    let slot = counters.slot(STEADY.slot);
    assert_eq!((slot.expired, slot.early, slot.matched), (0, 0, 0), "out of force, or taken by mistake");
    assert_eq!(slot.other_direction, runs, "every frame asked an intercept that is in force");
}
