//! What this kernel's verifier makes of the XDP program, and what of an object that is not this build's. Needs root.

use aya::EbpfLoader;
use aya::programs::Xdp;
use std::io::Write;
use writ_abi::{
    ABI_VERSION, PROGRAM_DROP, PROGRAM_JUMBO_DROP, PROGRAM_JUMBO_PASS, PROGRAM_JUMBO_TUNNEL_DROP,
    PROGRAM_JUMBO_TUNNEL_PASS, PROGRAM_PASS, PROGRAM_SURVEY_DROP, PROGRAM_SURVEY_PASS, PROGRAM_TUNNEL_DROP,
    PROGRAM_TUNNEL_PASS, maps,
};
use writ_capture::{Kernel, KernelError, KernelSettings, check_abi, object};

/// Half of what the kernel allows: room for the headers to come, and for kernels that verify less cleverly.
const MOST_INSTRUCTIONS: u32 = 500_000;

const PROGRAMS: [&str; 10] = [
    PROGRAM_DROP,
    PROGRAM_PASS,
    PROGRAM_TUNNEL_DROP,
    PROGRAM_TUNNEL_PASS,
    PROGRAM_JUMBO_DROP,
    PROGRAM_JUMBO_PASS,
    PROGRAM_JUMBO_TUNNEL_DROP,
    PROGRAM_JUMBO_TUNNEL_PASS,
    PROGRAM_SURVEY_DROP,
    PROGRAM_SURVEY_PASS,
];

#[test]
fn the_verifier_has_little_to_do() {
    // The kernel removes what a setting switches off: here all is on.
    let mut ebpf =
        EbpfLoader::new().override_global(maps::LOOK_INSIDE, &1u32, true).load(object()).expect("the object loads");
    // Every kernel that Writ is for takes all of them: frames of several buffers came to XDP with Linux 5.18.
    for name in PROGRAMS {
        let program: &mut Xdp = ebpf.program_mut(name).expect("the program is there").try_into().expect("it is XDP");
        program.load().expect("the verifier accepts it (as root)");
        let info = program.info().expect("the kernel tells");
        let verified = info.verified_instruction_count().expect("kernels since 5.16 tell");
        // Past the test harness, which shows the output of failed tests only: CI is to show the count.
        let bytes = info.size_jitted();
        writeln!(std::io::stderr(), "{name}: {verified} instructions verified, {bytes} bytes of machine code").unwrap();
        assert!(verified <= MOST_INSTRUCTIONS, "{name}: {verified} instructions verified");
    }
}

#[test]
fn the_object_has_every_map_of_the_border() {
    let ebpf = EbpfLoader::new().load(object()).expect("the object loads");
    let names = [
        maps::PREFIX_LENGTHS,
        maps::FILTER,
        maps::PREFIXES_V4,
        maps::PREFIXES_V6,
        maps::MACS,
        maps::VLANS,
        maps::CONDITIONS,
        maps::FRAGMENTS,
        maps::SLOTS,
        maps::SLOT_COUNTERS,
        maps::PROBE_COUNTERS,
        maps::PORTS,
        maps::SOCKETS,
        maps::QUEUE_NUMBERS,
        maps::SCRATCH,
        maps::SURVEY_COUNTERS,
        maps::SURVEY_FLOWS,
        maps::SURVEYED_PACKETS,
    ];
    for name in names {
        assert!(ebpf.map(name).is_some(), "no map {name}");
        assert!(name.len() <= 15, "{name} is longer than the kernel keeps");
    }
}

#[test]
fn an_object_of_another_version_is_refused() {
    let mut other = object().to_vec();
    let at = version(&other).data;
    other[at..at + 2].copy_from_slice(&(ABI_VERSION + 1).to_le_bytes());

    let refused = check_abi(&other).expect_err("it is of another version").to_string();
    let (theirs, ours) = (format!("version {}", ABI_VERSION + 1), format!("version {ABI_VERSION}"));
    assert!(refused.contains(&theirs) && refused.contains(&ours) && refused.contains("one build"), "{refused}");
    assert!(matches!(Kernel::load_object(&other, &KernelSettings::default()), Err(KernelError::Abi(_))));
}

#[test]
fn an_object_without_a_version_is_refused() {
    let mut nameless = object().to_vec();
    let at = version(&nameless).name;
    nameless[at] = b'W';

    let refused = check_abi(&nameless).expect_err("it has no version").to_string();
    assert!(refused.contains("writ_abi") && refused.contains("no such section"), "{refused}");
}

/// Where a section lies in an object.
struct Section {
    name: usize,
    data: usize,
}

/// The section of the version, found by hand in the ELF section table: 64-bit, little-endian.
fn version(elf: &[u8]) -> Section {
    let word = |at: usize, size: usize| {
        elf[at..at + size].iter().rev().fold(0usize, |value, byte| value << 8 | usize::from(*byte))
    };
    let (table, size, count, names) = (word(0x28, 8), word(0x3a, 2), word(0x3c, 2), word(0x3e, 2));
    let names = word(table + names * size + 0x18, 8);
    (0..count)
        .map(|index| table + index * size)
        .map(|entry| Section { name: names + word(entry, 4), data: word(entry + 0x18, 8) })
        .find(|section| elf[section.name..].starts_with(b"writ_abi\0"))
        .expect("the section is there")
}
