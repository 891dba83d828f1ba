//! The kernel half without an interface: tables, the program's verdict over single frames, counters, capture files.

mod support;

use ipnet::IpNet;
use object::{Object, ObjectSection};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{Block, PcapNgWriter};
use pcap_file::{DataLink, TsResolution};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;
use support::{BOTH, BYSTANDER, SMALL, TARGET, claims, in_force, intercept, net, prefix_of, udp};
use writ_abi::{
    Claim, Condition, FrameHeader, MacAddress, PolicyFlags, PortSide, PrefixKey4, ProbeCounter, Selector, SlotPolicy,
    SlotRef, TrafficRule, VlanMatch,
};
use writ_capture::{
    AbiMismatch, Action, CounterView, FrameTime, Kernel, KernelError, KernelSettings, OnMiss, PcapSource, Source,
    SourceError, TableError, TargetView, boot_now_ns, object, privileges, verify,
};
use zerocopy::FromBytes;

const SLOT: SlotRef = SlotRef { slot: 3, generation: 9 };

fn action(kernel: &mut Kernel, frame: &[u8]) -> Action {
    kernel.try_frame(OnMiss::Drop, frame).unwrap().action
}

#[test]
fn only_what_the_tables_name_is_handed_over() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    let (wanted, other) = (udp(TARGET, BYSTANDER, 1000, b"wanted"), udp(BYSTANDER, "192.0.2.1", 1000, b"other"));
    assert_eq!(action(&mut kernel, &wanted), Action::Drop);
    intercept(&mut kernel, SLOT, TARGET, BOTH);
    assert_eq!(action(&mut kernel, &other), Action::Drop);
    assert_eq!(kernel.try_frame(OnMiss::Pass, &other).unwrap().action, Action::Pass);
    let verdict = kernel.try_frame(OnMiss::Pass, &wanted).unwrap();
    assert_eq!(verdict.action, Action::Redirect);
    assert_eq!(&verdict.data[FrameHeader::SIZE..], wanted);

    kernel.tables().unbind(prefix_of(TARGET)).unwrap();
    assert_eq!(action(&mut kernel, &wanted), Action::Drop);
    // Not there any more is no error.
    kernel.tables().unbind(prefix_of(TARGET)).unwrap();
}

#[test]
fn a_revocation_a_deadline_and_a_new_owner_end_an_intercept() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    let frame = udp("2001:db8::7", "2001:db8:ffff::9", 1000, b"six");
    intercept(&mut kernel, SLOT, "2001:db8::7", BOTH);
    assert_eq!(action(&mut kernel, &frame), Action::Redirect);

    let policy = kernel.tables().policy(SLOT.slot).unwrap();
    assert_eq!((policy.flags, policy.generation), (BOTH, SLOT.generation));
    // Later is refused, earlier is taken.
    assert_eq!(kernel.tables().shorten(SLOT.slot, policy.stop_ns + 1).unwrap(), policy.stop_ns);
    assert_eq!(kernel.tables().policy(SLOT.slot).unwrap(), policy);
    assert_eq!(action(&mut kernel, &frame), Action::Redirect);
    let now = boot_now_ns();
    assert_eq!(kernel.tables().shorten(SLOT.slot, now).unwrap(), now);
    assert_eq!(action(&mut kernel, &frame), Action::Drop);

    kernel.tables().arm(SLOT.slot, &in_force(SLOT.generation, BOTH)).unwrap();
    assert_eq!(action(&mut kernel, &frame), Action::Redirect);
    kernel.tables().disarm(SLOT.slot).unwrap();
    assert_eq!(action(&mut kernel, &frame), Action::Drop);
    // Out of force stays out of force, whatever deadline comes.
    assert_eq!(kernel.tables().shorten(SLOT.slot, u64::MAX).unwrap(), 0);

    kernel.tables().arm(SLOT.slot, &in_force(SLOT.generation + 1, BOTH)).unwrap();
    assert_eq!(action(&mut kernel, &frame), Action::Drop);
    let start_later = SlotPolicy { start_ns: u64::MAX - 1, stop_ns: u64::MAX, ..in_force(SLOT.generation, BOTH) };
    kernel.tables().arm(SLOT.slot, &start_later).unwrap();
    assert_eq!(action(&mut kernel, &frame), Action::Drop);

    let counted = kernel.counters().unwrap().slot(SLOT.slot);
    assert_eq!((counted.matched, counted.expired, counted.stale, counted.early), (3, 2, 1, 1));
}

#[test]
fn headers_only_leaves_no_content() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    intercept(&mut kernel, SLOT, TARGET, BOTH | PolicyFlags::HEADERS_ONLY);
    let frame = udp(BYSTANDER, TARGET, 1000, b"content");
    let verdict = kernel.try_frame(OnMiss::Drop, &frame).unwrap();
    assert_eq!(&verdict.data[FrameHeader::SIZE..], &frame[..14 + 20 + 8]);
}

#[test]
fn the_tables_can_be_read_back() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    let other = SlotRef { slot: 4, generation: 1 };
    let prefixes = [
        (prefix_of("198.51.100.0/29"), vec![SLOT]),
        (prefix_of(TARGET), vec![SLOT, other]),
        (prefix_of("2001:db8:7::/48"), vec![other]),
        (prefix_of("2001:db8::7"), vec![other]),
    ];
    for (prefix, slots) in &prefixes {
        kernel.tables().bind(*prefix, &claims(slots)).unwrap();
    }
    let mut held = kernel.tables().bound().unwrap();
    held.sort_unstable();
    let mut expected = prefixes.map(|(prefix, slots)| (prefix, claims(&slots))).to_vec();
    expected.sort_unstable();
    assert_eq!(held, expected);
    for text in ["198.51.100.0/29", "2001:db8:7::/48"] {
        kernel.tables().unbind(prefix_of(text)).unwrap();
    }
    kernel.tables().bind(prefix_of(TARGET), &claims(&[other])).unwrap();
    kernel.tables().bind(prefix_of("2001:db8::7"), &claims(&[])).unwrap();
    assert_eq!(kernel.tables().bound().unwrap(), [(prefix_of(TARGET), claims(&[other]))]);
}

/// The slots that the program names for a source address.
fn found(kernel: &mut Kernel, source: &str) -> Vec<u16> {
    let other = if source.contains(':') { "2001:db8:ffff::9" } else { BYSTANDER };
    let verdict = kernel.try_frame(OnMiss::Drop, &udp(source, other, 1, b"whose")).unwrap();
    if verdict.action != Action::Redirect {
        return Vec::new();
    }
    let (header, _) = FrameHeader::read_from_prefix(verdict.data).unwrap();
    header.source.iter().filter(|slot| slot.is_some()).map(|slot| slot.slot).collect()
}

#[test]
fn the_longest_prefix_has_the_last_word_while_it_is_there() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    let slots = [0, 1, 2].map(|slot| SlotRef { slot, generation: 1 });
    for slot in slots {
        kernel.tables().arm(slot.slot, &in_force(1, BOTH)).unwrap();
    }
    // {wide, narrow, single, in all three, in two, in one, in none}
    for [wide, narrow, single, all, two, one, none] in [
        ["10.1.0.0/16", "10.1.2.0/23", "10.1.3.4", "10.1.3.4", "10.1.2.255", "10.1.4.0", "10.2.0.0"],
        [
            "2001:db8::/32",
            "2001:db8:7::/48",
            "2001:db8:7::4",
            "2001:db8:7::4",
            "2001:db8:7:ffff::",
            "2001:db8:8::",
            "2001:db9::",
        ],
        [
            "2001:da0::/29",
            "2001:da0:0:fffe::/63",
            "2001:da0:0:ffff::/65",
            "2001:da0:0:ffff:7fff::",
            "2001:da0:0:ffff:8000::",
            "2001:da0:0:fffd:ffff::",
            "2001:da8::",
        ],
    ] {
        assert!(found(&mut kernel, all).is_empty());
        kernel.tables().bind(prefix_of(wide), &claims(&slots[..1])).unwrap();
        assert_eq!([all, two, one, none].map(|it| found(&mut kernel, it).len()), [1, 1, 1, 0]);
        kernel.tables().bind(prefix_of(single), &claims(&slots)).unwrap();
        assert_eq!([all, two, one, none].map(|it| found(&mut kernel, it).len()), [3, 1, 1, 0]);
        kernel.tables().bind(prefix_of(narrow), &claims(&slots[..2])).unwrap();
        assert_eq!([all, two, one, none].map(|it| found(&mut kernel, it).len()), [3, 2, 1, 0]);
        kernel.tables().unbind(prefix_of(single)).unwrap();
        assert_eq!([all, two, one, none].map(|it| found(&mut kernel, it).len()), [2, 2, 1, 0]);
        kernel.tables().unbind(prefix_of(wide)).unwrap();
        assert_eq!([all, two, one, none].map(|it| found(&mut kernel, it).len()), [2, 2, 0, 0]);
        kernel.tables().unbind(prefix_of(narrow)).unwrap();
        assert_eq!([all, two, one, none].map(|it| found(&mut kernel, it).len()), [0; 4]);
    }
}

#[test]
fn eight_lengths_of_a_family_and_no_ninth() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    kernel.tables().arm(SLOT.slot, &in_force(SLOT.generation, BOTH)).unwrap();
    let prefix = |length| prefix_of(&format!("10.{length}.0.0/{length}"));
    for length in [32, 16, 31, 17, 30, 18, 29, 19] {
        kernel.tables().bind(prefix(length), &claims(&[SLOT])).unwrap();
    }
    let refused = kernel.tables().bind(prefix(20), &claims(&[SLOT])).unwrap_err();
    assert!(refused.to_string().contains("8 different lengths"), "{refused}");
    assert_eq!(kernel.tables().bound().unwrap().len(), 8);
    for length in [32, 16, 31, 17, 30, 18, 29, 19] {
        assert_eq!(found(&mut kernel, &format!("10.{length}.0.0")), [SLOT.slot], "/{length}");
    }
    assert!(found(&mut kernel, "10.20.0.0").is_empty());
    // The other family has lengths of its own, and one that is no longer used makes room.
    kernel.tables().bind(prefix_of("2001:db8::/33"), &claims(&[SLOT])).unwrap();
    kernel.tables().unbind(prefix(18)).unwrap();
    kernel.tables().bind(prefix(20), &claims(&[SLOT])).unwrap();
    assert_eq!(found(&mut kernel, "10.20.0.0"), [SLOT.slot]);
    assert!(found(&mut kernel, "10.18.0.0").is_empty());
}

#[test]
fn prefixes_that_come_and_go_leave_the_others_found() {
    // The smallest filter, so that hundreds of prefixes share its bits.
    let mut kernel = Kernel::load(&KernelSettings { addresses_v4: 2000, addresses_v6: 2000, ..SMALL }).unwrap();
    kernel.tables().arm(SLOT.slot, &in_force(SLOT.generation, BOTH)).unwrap();
    let address = |number: u32, v6: bool| {
        if v6 { format!("2001:db8:{number:x}::7") } else { format!("10.{}.{}.7", number / 256, number % 256) }
    };
    let prefix = |number: u32, v6: bool| {
        let address = address(number, v6);
        let lengths = if v6 { [128, 64, 56] } else { [32, 30, 24] };
        let length = lengths[number as usize % lengths.len()];
        Selector::Prefix(IpNet::new(address.parse().unwrap(), length).unwrap().trunc())
    };
    for v6 in [false, true] {
        for number in 0..1000 {
            kernel.tables().bind(prefix(number, v6), &claims(&[SLOT])).unwrap();
        }
        for number in (0..1000).filter(|number| number % 7 != 0) {
            kernel.tables().unbind(prefix(number, v6)).unwrap();
        }
        for number in 0..1000 {
            let expected: &[u16] = if number % 7 == 0 { &[SLOT.slot] } else { &[] };
            assert_eq!(found(&mut kernel, &address(number, v6)), expected, "{:?}", prefix(number, v6));
        }
        // Set twice is set once.
        kernel.tables().bind(prefix(0, v6), &claims(&[SLOT])).unwrap();
        kernel.tables().unbind(prefix(0, v6)).unwrap();
        assert!(found(&mut kernel, &address(0, v6)).is_empty());
    }
}

/// How many prefixes share a bit of the filter is counted up to 255. Of more, the bit stays.
#[test]
fn more_prefixes_than_a_bit_of_the_filter_can_count_leave_each_other_found() {
    const MANY: usize = 300;
    let mut kernel = Kernel::load(&KernelSettings { addresses_v4: 400, ..SMALL }).unwrap();
    kernel.tables().arm(SLOT.slot, &in_force(SLOT.generation, BOTH)).unwrap();
    let mark = |number: u32| PrefixKey4::new((10 << 24 | number).to_be_bytes(), 32).mark();
    let last = SMALL.filter_bytes / 8 - 1;
    let (word, bit) = (mark(0).word(last), 1 << mark(0).bits().trailing_zeros());
    let sharing = (0..1 << 24).filter(|number| mark(*number).word(last) == word && mark(*number).bits() & bit != 0);
    let addresses: Vec<_> = sharing.take(MANY).map(|number| Ipv4Addr::from(10 << 24 | number).to_string()).collect();
    assert_eq!(addresses.len(), MANY);
    for address in &addresses {
        kernel.tables().bind(prefix_of(address), &claims(&[SLOT])).unwrap();
    }
    let (stays, gone) = addresses.split_last().unwrap();
    for address in gone {
        kernel.tables().unbind(prefix_of(address)).unwrap();
        assert_eq!(found(&mut kernel, stays), [SLOT.slot], "{address} went");
    }
    assert!(gone.iter().all(|address| found(&mut kernel, address).is_empty()));
    kernel.tables().bind(prefix_of(&gone[0]), &claims(&[SLOT])).unwrap();
    assert_eq!(found(&mut kernel, &gone[0]), [SLOT.slot]);
}

/// Should an entry have outlived 65,536 owners of its slot, its reference would be good again for the kernel. It is not
/// for the second look, which goes by the addresses.
#[test]
fn a_reference_that_is_good_again_gets_nothing_past_the_second_look() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    intercept(&mut kernel, SLOT, TARGET, BOTH);
    kernel.tables().bind(prefix_of(BYSTANDER), &claims(&[SLOT])).unwrap();
    let mut targets = TargetView::new();
    targets.set(SLOT, [net(TARGET)]);
    for (source, hits, violations) in [(TARGET, 1, 0), (BYSTANDER, 0, 1)] {
        let frame = udp(source, "192.0.2.1", 1, b"whose");
        let verdict = kernel.try_frame(OnMiss::Drop, &frame).unwrap();
        assert_eq!(verdict.action, Action::Redirect);
        let (header, frame) = FrameHeader::read_from_prefix(verdict.data).unwrap();
        let verified = verify(&header, frame, &targets);
        assert_eq!((verified.hits().len(), verified.violations()), (hits, violations), "{source}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_setting() {
    let mut kernel = Kernel::load(&KernelSettings { addresses_v4: 1, ..SMALL }).unwrap();
    assert!(matches!(kernel.tables().arm(16, &in_force(1, BOTH)), Err(TableError::NoSuchSlot { slot: 16, slots: 16 })));
    kernel.tables().bind(prefix_of("192.0.2.1"), &claims(&[SLOT])).unwrap();
    let full = kernel.tables().bind(prefix_of("192.0.2.2"), &claims(&[SLOT])).unwrap_err();
    assert!(full.to_string().contains("addresses_v4") && !full.to_string().contains("192.0.2.2"), "{full}");
    let many = kernel.tables().bind(prefix_of("192.0.2.1"), &claims(&[SLOT; 9])).unwrap_err();
    assert!(matches!(many, TableError::TooManyClaims(9)));
    // What was there is as it was, and what was refused left nothing behind.
    assert!(found(&mut kernel, "192.0.2.2").is_empty());
    assert_eq!(kernel.tables().bound().unwrap(), [(prefix_of("192.0.2.1"), claims(&[SLOT]))]);
    kernel.tables().arm(SLOT.slot, &in_force(SLOT.generation, BOTH)).unwrap();
    assert_eq!(found(&mut kernel, "192.0.2.1"), [SLOT.slot]);
}

/// A claim of the slot on port `port` of the far end.
fn on_port(slot: SlotRef, port: u16) -> Claim {
    let rule = TrafficRule { protocol: 17, side: PortSide::FAR, first: port, last: port, reserved: 0 };
    Claim { slot, condition: Condition::new(None, None, &[rule]).unwrap() }
}

#[test]
fn every_kind_of_selector_is_bound_read_back_and_unbound() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    let in_vlan = Condition::new(Some(VlanMatch { outer: 7, inner: VlanMatch::ANY }), None, &[]).unwrap();
    let mut bound = vec![
        (prefix_of(TARGET), vec![on_port(SLOT, 53), on_port(SLOT, 54)]),
        (Selector::Mac(MacAddress([2, 0, 0, 0, 0, 1])), vec![Claim { slot: SLOT, condition: in_vlan }]),
        (Selector::Vlan(VlanMatch { outer: 7, inner: VlanMatch::NONE }), claims(&[SLOT])),
    ];
    for (selector, claims) in &bound {
        kernel.tables().bind(*selector, claims).unwrap();
    }
    bound.sort_unstable();
    let held = |kernel: &mut Kernel| {
        let mut held = kernel.tables().bound().unwrap();
        held.sort_unstable();
        held
    };
    assert_eq!(held(&mut kernel), bound);
    for (selector, _) in bound {
        kernel.tables().unbind(selector).unwrap();
    }
    assert_eq!(held(&mut kernel), []);
}

#[test]
fn conditions_that_do_not_fit_are_refused_and_leave_the_others() {
    let mut kernel = Kernel::load(&KernelSettings { conditions: 1, ..SMALL }).unwrap();
    kernel.tables().arm(SLOT.slot, &in_force(SLOT.generation, BOTH)).unwrap();
    let bind = |kernel: &mut Kernel, address: &str, ports: &[u16]| {
        let claims: Vec<_> = ports.iter().map(|port| on_port(SLOT, *port)).collect();
        kernel.tables().bind(prefix_of(address), &claims)
    };
    // Twice as many rows as may be in use, so that one set can take the place of another.
    bind(&mut kernel, "192.0.2.1", &[53]).unwrap();
    bind(&mut kernel, "192.0.2.2", &[53, 54]).unwrap();
    let full = bind(&mut kernel, "192.0.2.1", &[54, 55]).unwrap_err();
    assert!(full.to_string().contains("conditions"), "{full}");
    assert_eq!(found(&mut kernel, "192.0.2.1"), [SLOT.slot]);
    // A condition that nobody has any more makes room, and its row is another's.
    bind(&mut kernel, "192.0.2.2", &[53]).unwrap();
    for round in 0..20 {
        let port = if round % 2 == 0 { 60 + round } else { 53 };
        bind(&mut kernel, "192.0.2.2", &[port]).unwrap();
        assert_eq!(!found(&mut kernel, "192.0.2.2").is_empty(), port == 53, "port {port}");
        assert_eq!(found(&mut kernel, "192.0.2.1"), [SLOT.slot]);
    }
}

#[test]
fn a_side_with_more_claims_than_places_says_so() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    let slots: Vec<_> = (0..9).map(|slot| SlotRef { slot, generation: 1 }).collect();
    for slot in &slots {
        kernel.tables().arm(slot.slot, &in_force(1, BOTH)).unwrap();
    }
    kernel.tables().bind(prefix_of(TARGET), &claims(&slots[..8])).unwrap();
    kernel.tables().bind(Selector::Mac(MacAddress([2, 0, 0, 0, 0, 1])), &claims(&slots[8..])).unwrap();
    assert_eq!(found(&mut kernel, TARGET), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(kernel.counters().unwrap().probe(ProbeCounter::Crowded), 1);
    assert_eq!(found(&mut kernel, "192.0.2.1"), [8]);
}

#[test]
fn an_object_of_another_version_is_refused() {
    let mut patched = object().to_vec();
    let known = writ_capture::abi_version(&patched).unwrap();
    let file = object::File::parse(object()).unwrap();
    let (at, length) = file.section_by_name(writ_abi::ABI_SECTION).unwrap().file_range().unwrap();
    patched[at as usize..(at + length) as usize].copy_from_slice(&77_u16.to_le_bytes());
    let refused = Kernel::load_object(&patched, &SMALL).err().unwrap();
    assert!(matches!(&refused, KernelError::Abi(AbiMismatch::Version { found: 77, expected }) if *expected == known));
    assert!(refused.to_string().contains("77"), "{refused}");
}

#[test]
fn counters_outlive_the_kernel_half_and_are_found_by_name() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    intercept(&mut kernel, SLOT, TARGET, BOTH);
    let view = CounterView::open(&kernel.counter_fds().unwrap()).unwrap();
    assert_eq!(view.slots(), 16);
    let frame = udp(TARGET, BYSTANDER, 1000, b"counted");
    for _ in 0..5 {
        action(&mut kernel, &frame);
    }
    let mine = |(_, other): &(u32, CounterView)| other.slots() == 16 && other.slot(SLOT.slot) == view.slot(SLOT.slot);
    assert!(CounterView::of_running_probes().unwrap().iter().any(mine));
    drop(kernel);
    let counted = view.slot(SLOT.slot);
    assert_eq!((counted.matched, counted.matched_bytes), (5, 5 * frame.len() as u64));
    assert_eq!(view.probe(ProbeCounter::Frames), 5);
    assert_eq!(view.probe(ProbeCounter::Hits), 5);
    assert_eq!(view.slot(15).matched, 0);
    assert_eq!(view.slot(16), Default::default());
}

#[test]
fn the_tables_can_be_changed_without_any_capability() {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    intercept(&mut kernel, SLOT, TARGET, BOTH);
    let fds = kernel.counter_fds().unwrap();
    // Capabilities belong to a thread: the one that gives them up here is not the test's own.
    std::thread::scope(|scope| {
        let unprivileged = scope.spawn(|| {
            assert!(privileges::missing().is_empty(), "run this test as root");
            privileges::drop_all().unwrap();
            assert_eq!(privileges::missing().len(), privileges::NEEDED.len());
            kernel.tables().arm(5, &in_force(1, BOTH)).unwrap();
            kernel.tables().bind(prefix_of("192.0.2.5"), &claims(&[SlotRef { slot: 5, generation: 1 }])).unwrap();
            kernel.tables().unbind(prefix_of(TARGET)).unwrap();
            assert_eq!(kernel.tables().bound().unwrap().len(), 1);
            CounterView::open(&fds).unwrap();
            assert!(matches!(Kernel::load(&SMALL), Err(KernelError::NotPermitted { .. })));
        });
        unprivileged.join().unwrap();
    });
    assert!(privileges::missing().is_empty());
}

#[test]
fn the_capabilities_that_are_named_are_needed_and_enough() {
    // On a thread of its own, since capabilities belong to a thread.
    let load_with = |held: Vec<caps::Capability>| {
        let thread = std::thread::spawn(move || {
            caps::set(None, caps::CapSet::Effective, &held.into_iter().collect()).unwrap();
            let mut kernel = Kernel::load(&SMALL)?;
            kernel.try_frame(OnMiss::Drop, &udp(TARGET, BYSTANDER, 1, b"tried")).map(|verdict| verdict.action)
        });
        thread.join().unwrap()
    };
    let needed = || privileges::NEEDED.into_iter().map(|(capability, _)| capability);
    assert_eq!(load_with(needed().collect()).unwrap(), Action::Drop);
    // Locked memory is for rings only, and may be allowed by a limit instead.
    for without in needed().filter(|capability| *capability != caps::Capability::CAP_IPC_LOCK) {
        let outcome = load_with(needed().filter(|capability| *capability != without).collect());
        let said = outcome.err().unwrap_or_else(|| panic!("{without} is not needed")).to_string();
        assert!(said.contains(&without.to_string()), "{said}");
    }
}

/// Stamps of the replayed packets: nanoseconds are kept.
const SECOND: u64 = 1_000_000_000;
const STAMPS: [u64; 3] = [1_700_000_000 * SECOND + 1, 1_700_000_001 * SECOND + 999_999_999, 1_700_000_002 * SECOND];

fn packets() -> [Vec<u8>; 3] {
    [
        udp(TARGET, BYSTANDER, 1000, b"first"),
        udp(BYSTANDER, "192.0.2.1", 1000, b"not a target's"),
        udp(BYSTANDER, TARGET, 1000, b"third"),
    ]
}

type Replayed = (Vec<(Vec<u8>, FrameTime)>, PcapSource);

fn replayed(path: &Path) -> Result<Replayed, SourceError> {
    let mut kernel = Kernel::load(&SMALL).unwrap();
    intercept(&mut kernel, SLOT, TARGET, BOTH);
    let mut source = PcapSource::open(path, kernel)?;
    let mut frames = Vec::new();
    loop {
        let batch = source.receive(Duration::ZERO)?;
        frames.extend(batch.frames().map(|frame| (frame.bytes.to_vec(), frame.time)));
        if batch.is_last() {
            return Ok((frames, source));
        }
    }
}

fn write_pcap(path: &Path, link: DataLink) {
    let header = PcapHeader { datalink: link, ts_resolution: TsResolution::NanoSecond, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(File::create(path).unwrap(), header).unwrap();
    for (bytes, stamp) in packets().iter().zip(STAMPS) {
        let packet = PcapPacket::new(Duration::from_nanos(stamp), bytes.len() as u32, bytes);
        writer.write_packet(&packet).unwrap();
    }
    writer.write_packet(&PcapPacket::new(Duration::ZERO, 3, b"abc")).unwrap();
}

#[test]
fn a_capture_file_goes_through_the_same_program() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sample.pcap");
    write_pcap(&path, DataLink::ETHERNET);
    let (frames, mut source) = replayed(&path).unwrap();
    let [first, _, third] = packets();
    assert_eq!(frames, [(first, FrameTime::Utc(STAMPS[0])), (third, FrameTime::Utc(STAMPS[2]))]);
    let statistics = source.statistics();
    assert_eq!((statistics.frames, statistics.unusable, statistics.missing, statistics.malformed), (2, 1, 0, 0));
    assert_eq!(source.kernel().counters().unwrap().slot(SLOT.slot).matched, 2);
}

#[test]
fn a_pcapng_file_keeps_its_stamps_in_any_unit() {
    let directory = tempfile::tempdir().unwrap();
    for (resolution, unit_ns) in [(None, 1000), (Some(9), 1), (Some(3), 1_000_000)] {
        let path = directory.path().join("sample.pcapng");
        let mut writer = PcapNgWriter::new(File::create(&path).unwrap()).unwrap();
        let mut interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 65_535);
        interface.options.extend(resolution.map(InterfaceDescriptionOption::IfTsResol));
        writer.write_block(&Block::InterfaceDescription(interface)).unwrap();
        for (bytes, stamp) in packets().iter().zip(STAMPS) {
            let packet = EnhancedPacketBlock {
                interface_id: 0,
                timestamp: Duration::from_nanos(stamp / unit_ns),
                original_len: bytes.len() as u32,
                data: bytes.into(),
                options: Vec::new(),
            };
            writer.write_block(&Block::EnhancedPacket(packet)).unwrap();
        }
        drop(writer);
        let (frames, _) = replayed(&path).unwrap();
        let times: Vec<FrameTime> = frames.into_iter().map(|(_, time)| time).collect();
        let rounded = |stamp: u64| FrameTime::Utc(stamp / unit_ns * unit_ns);
        assert_eq!(times, [rounded(STAMPS[0]), rounded(STAMPS[2])]);
    }
}

#[test]
fn what_cannot_be_replayed_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cooked.pcap");
    write_pcap(&path, DataLink::LINUX_SLL);
    let said = replayed(&path).err().unwrap().to_string();
    assert!(said.contains("cooked.pcap") && said.contains("Ethernet"), "{said}");

    std::fs::write(&path, b"#!/bin/sh, and so on, for more than a header's length").unwrap();
    let said = replayed(&path).err().unwrap().to_string();
    assert!(said.contains("no capture file"), "{said}");
    assert!(replayed(&directory.path().join("missing")).is_err());

    // Damage ends the replay, and what came before it is still handed out.
    write_pcap(&path, DataLink::ETHERNET);
    let whole = std::fs::read(&path).unwrap();
    let cut = whole.len() - 3 - 16 - 5;
    std::fs::write(&path, &whole[..cut]).unwrap();
    let mut kernel = Kernel::load(&SMALL).unwrap();
    intercept(&mut kernel, SLOT, TARGET, BOTH);
    let mut source = PcapSource::open(&path, kernel).unwrap();
    assert_eq!(source.receive(Duration::ZERO).unwrap().len(), 1);
    let said = source.receive(Duration::ZERO).err().unwrap().to_string();
    assert!(said.contains("damaged"), "{said}");
    assert!(source.receive(Duration::ZERO).unwrap().is_last());
}
