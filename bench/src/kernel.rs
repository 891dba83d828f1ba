//! The XDP program alone: what it costs a bystander's packet and a hit, beside programs that do nothing and that only
//! read the addresses.
//!
//! `BPF_PROG_TEST_RUN`, each round a great number of runs, the programs in turn, the least of all rounds: what disturbs
//! a run can only make it longer. Every program is called by the bench's entry program, which gives it another pair of
//! random addresses each time; what is reported is the difference to a program that drops, or for a hit to one that
//! makes room for a FrameHeader and drops.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions};
use writ_abi::{Claim, PolicyFlags, Selector, SlotPolicy, SlotRef};
use writ_capture::{Action, Kernel, KernelSettings, OnMiss};

use crate::programs::{self, Globals};
use crate::report::{Row, Section};
use crate::{Effort, frame};

/// Targets in the tables.
const TARGETS: [usize; 3] = [1, 1_000, 10_000];
/// Address pairs that the entry program takes in turn; as in `bench/ebpf`.
const PAIRS: usize = 4096;
/// Long enough for the headers of both families.
const LENGTH: usize = 64;
const SLOT: SlotRef = SlotRef { slot: 0, generation: 1 };

/// Measures, and gives nanoseconds a packet.
pub fn measure(effort: Effort, doing: &mut dyn FnMut(&str)) -> Result<Section> {
    let mut section = Section::new(
        "In the kernel, ns a packet more than a program that drops (a hit: that makes room for the FrameHeader)",
        &TARGETS.map(|targets| format!("{targets} targets")),
    );
    for family in [Family::V4, Family::V6] {
        let mut rows: Vec<Row> =
            Case::ALL.iter().map(|case| Row::new(format!("{}, {}", case.name(), family.name()))).collect();
        for targets in TARGETS {
            doing(&format!("in the kernel: {}, {targets} targets", family.name()));
            for (row, net) in rows.iter_mut().zip(one_table(family, targets, effort)?) {
                row.push(net);
            }
        }
        section.rows.extend(rows);
    }
    Ok(section)
}

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Address number `number`, anywhere in the family's space but for its first part, which tells a target from a
    /// bystander.
    fn address(self, random: &RandomState, target: bool, number: usize) -> IpAddr {
        let bits = u128::from(random.hash_one((target, number))) << 64 | u128::from(random.hash_one((number, target)));
        let first = if target { 0x20 } else { 0x60 };
        match self {
            Self::V4 => Ipv4Addr::from_bits(bits as u32 >> 3 | first << 24).into(),
            Self::V6 => Ipv6Addr::from_bits(bits >> 3 | u128::from(first) << 120).into(),
        }
    }

    fn pair(self, source: IpAddr, destination: IpAddr) -> [u8; 32] {
        let mut pair = [0; 32];
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                pair[..4].copy_from_slice(&source.octets());
                pair[4..8].copy_from_slice(&destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                pair[..16].copy_from_slice(&source.octets());
                pair[16..].copy_from_slice(&destination.octets());
            }
            _ => {}
        }
        pair
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Parse,
    Bystander,
    Content,
    Headers,
}

impl Case {
    const ALL: [Self; 4] = [Self::Parse, Self::Bystander, Self::Content, Self::Headers];

    fn name(self) -> &'static str {
        match self {
            Self::Parse => "reference: parse only",
            Self::Bystander => "Writ, bystander",
            Self::Content => "Writ, hit, content",
            Self::Headers => "Writ, hit, headers only (cut)",
        }
    }

    fn is_hit(self) -> bool {
        matches!(self, Self::Content | Self::Headers)
    }
}

/// All cases with one table of addresses, in nanoseconds above their reference.
fn one_table(family: Family, targets: usize, effort: Effort) -> Result<Vec<f64>> {
    let random = RandomState::new();
    let subjects: Vec<_> = (0..targets).map(|number| family.address(&random, true, number)).collect();
    let bystander = |number| family.address(&random, false, number);
    let pairs = |hit: bool| -> Vec<[u8; 32]> {
        let pair = |number: usize| {
            let destination = if hit { subjects[number % targets] } else { bystander(number + PAIRS) };
            family.pair(bystander(number), destination)
        };
        (0..PAIRS).map(pair).collect()
    };
    let hit_frame = frame::udp(bystander(0), subjects[0], LENGTH).context("addresses of one family")?;
    let mut kernel = Kernel::load(&KernelSettings::default())?;
    for address in &subjects {
        kernel.tables().bind(Selector::Prefix((*address).into()), &[Claim { slot: SLOT, condition: None }])?;
    }
    let mut timer = Timer::new(&hit_frame)?;
    let mut least = Vec::new();
    for case in Case::ALL {
        let headers_only = if case == Case::Headers { PolicyFlags::HEADERS_ONLY } else { 0 };
        let flags = PolicyFlags::SOURCE | PolicyFlags::DESTINATION | headers_only;
        let policy = SlotPolicy { start_ns: 1, stop_ns: u64::MAX / 2, flags, generation: SLOT.generation, reserved: 0 };
        kernel.tables().arm(SLOT.slot, &policy)?;
        // Also makes the program's port ready for frames that come from nowhere.
        let verdict = kernel.try_frame(OnMiss::Drop, &hit_frame)?;
        ensure!(verdict.action == Action::Redirect, "a hit is {:?}", verdict.action);

        timer.set_pairs(&pairs(case.is_hit()))?;
        let (mut reference, mut tested) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..effort.rounds {
            reference =
                reference.min(timer.time_own(if case.is_hit() { programs::SHIFT } else { programs::DROP }, effort)?);
            let round = match case {
                Case::Parse => timer.time_own(programs::PARSE, effort)?,
                _ => timer.time(kernel.program(OnMiss::Drop)?, effort)?,
            };
            tested = tested.min(round);
        }
        least.push(tested - reference);
    }
    Ok(least)
}

/// The entry program and what it needs.
struct Timer {
    ebpf: Ebpf,
    tested: ProgramArray<MapData>,
    pairs: Array<MapData, [u8; 32]>,
    frame: Vec<u8>,
}

impl Timer {
    fn new(frame: &[u8]) -> Result<Self> {
        let globals = Globals { length: u32::try_from(frame.len())?, hits: 0, target: [0; 4] };
        let mut ebpf = programs::load(globals, &[programs::ENTRY, programs::DROP, programs::PARSE, programs::SHIFT])?;
        let mut map = |name: &str| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        let tested = ProgramArray::try_from(map("BENCH_TESTED")?)?;
        let pairs = Array::try_from(map("BENCH_PAIRS")?)?;
        Ok(Self { ebpf, tested, pairs, frame: frame.to_vec() })
    }

    fn set_pairs(&mut self, pairs: &[[u8; 32]]) -> Result<()> {
        for (place, pair) in (0..).zip(pairs) {
            self.pairs.set(place, pair, 0)?;
        }
        Ok(())
    }

    /// Nanoseconds of one run of a program of the bench.
    fn time_own(&mut self, name: &str, effort: Effort) -> Result<f64> {
        let program = programs::program(&self.ebpf, name)?.fd()?.try_clone()?;
        self.time(&program, effort)
    }

    /// Nanoseconds of one run of a program, the entry's own included. The kernel's own clock: it stands still while
    /// somebody else has the processor. It counts in whole nanoseconds.
    fn time(&mut self, program: &ProgramFd, effort: Effort) -> Result<f64> {
        self.tested.set(0, program, 0)?;
        let options = TestRunOptions { data_in: Some(&self.frame), repeat: effort.runs, ..TestRunOptions::default() };
        let entry = programs::program(&self.ebpf, programs::ENTRY)?;
        let result = entry.test_run(options)?;
        ensure!(result.return_value != 0, "the entry did not reach the program under test");
        Ok(result.duration.as_secs_f64() * 1e9)
    }
}
