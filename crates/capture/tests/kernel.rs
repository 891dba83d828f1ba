//! The kernel half without an interface: tables, the program's verdict over single frames, counters, capture files.

mod support;

use object::{Object, ObjectSection};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{Block, PcapNgWriter};
use pcap_file::{DataLink, TsResolution};
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use support::{BOTH, BYSTANDER, SMALL, TARGET, in_force, intercept, udp};
use writ_abi::{FrameHeader, PolicyFlags, ProbeCounter, SlotPolicy, SlotRef};
use writ_capture::{
    AbiMismatch, Action, CounterView, FrameTime, Kernel, KernelError, KernelSettings, OnMiss, PcapSource, Source,
    SourceError, TableError, boot_now_ns, object, privileges,
};

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

    kernel.tables().remove_address(TARGET.parse().unwrap()).unwrap();
    assert_eq!(action(&mut kernel, &wanted), Action::Drop);
    // Not there any more is no error.
    kernel.tables().remove_address(TARGET.parse().unwrap()).unwrap();
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
    let addresses = [(TARGET.parse().unwrap(), vec![SLOT, other]), ("2001:db8::7".parse().unwrap(), vec![other])];
    for (address, slots) in &addresses {
        kernel.tables().set_address(*address, slots).unwrap();
    }
    let mut held = kernel.tables().addresses().unwrap();
    held.sort_unstable_by_key(|(address, _)| *address);
    assert_eq!(held, addresses);
    kernel.tables().set_address(TARGET.parse().unwrap(), &[other]).unwrap();
    kernel.tables().set_address("2001:db8::7".parse().unwrap(), &[]).unwrap();
    assert_eq!(kernel.tables().addresses().unwrap(), [(TARGET.parse().unwrap(), vec![other])]);
}

#[test]
fn what_does_not_fit_is_refused_with_the_setting() {
    let mut kernel = Kernel::load(&KernelSettings { addresses_v4: 1, ..SMALL }).unwrap();
    assert!(matches!(kernel.tables().arm(16, &in_force(1, BOTH)), Err(TableError::NoSuchSlot { slot: 16, slots: 16 })));
    kernel.tables().set_address("192.0.2.1".parse().unwrap(), &[SLOT]).unwrap();
    let full = kernel.tables().set_address("192.0.2.2".parse().unwrap(), &[SLOT]).unwrap_err();
    assert!(full.to_string().contains("addresses_v4") && !full.to_string().contains("192.0.2.2"), "{full}");
    let many = kernel.tables().set_address("192.0.2.1".parse().unwrap(), &[SLOT; 9]).unwrap_err();
    assert!(matches!(many, TableError::TooManySlots(9)));
}

#[test]
fn an_object_of_another_version_is_refused() {
    let mut patched = object().to_vec();
    let known = writ_capture::abi_version(&patched).unwrap();
    let file = object::File::parse(object()).unwrap();
    let (at, length) = file.section_by_name(writ_abi::ABI_SECTION).unwrap().file_range().unwrap();
    patched[at as usize..(at + length) as usize].copy_from_slice(&77_u32.to_le_bytes());
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
            kernel.tables().set_address("192.0.2.5".parse().unwrap(), &[SlotRef { slot: 5, generation: 1 }]).unwrap();
            kernel.tables().remove_address(TARGET.parse().unwrap()).unwrap();
            assert_eq!(kernel.tables().addresses().unwrap().len(), 1);
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
