//! The XDP program alone: what it costs a bystander's packet and a hit, beside programs that do nothing and that only
//! read the addresses; and what its filter costs beside the look-ups that it saves (`filter`).
//!
//! `BPF_PROG_TEST_RUN`, each round a great number of runs, the programs in turn, the least of all rounds: what disturbs
//! a run can only make it longer. Every program is called by the bench's entry program (`timer`), which gives it another
//! pair of addresses each time, out of `population`. What is reported is the difference to a program that drops, or for
//! a hit to one that makes room for a FrameHeader and drops.

pub mod filter;
mod population;
mod timer;

use anyhow::{Context as _, Result, ensure};
use writ_abi::{Claim, PolicyFlags, Selector, SlotPolicy, SlotRef};
use writ_capture::{Action, Kernel, KernelSettings, OnMiss};

use crate::report::{Row, Section};
use crate::{Effort, frame, programs};
use population::{Family, Kind, Population};
use timer::Timer;

/// This part of the bench.
pub const PART: &str = "kernel";

/// The number of targets at which a figure is held against its reference.
const GATE: usize = 10_000;
/// Long enough for the headers of both families.
const LENGTH: usize = 64;
const SLOT: SlotRef = SlotRef { slot: 0, generation: 1 };

/// Measures, and gives nanoseconds a packet.
pub fn measure(effort: Effort, doing: &mut dyn FnMut(&str)) -> Result<Vec<Section>> {
    Family::ALL.into_iter().map(|family| one_family(family, effort, doing)).collect()
}

fn one_family(family: Family, effort: Effort, doing: &mut dyn FnMut(&str)) -> Result<Section> {
    let mut section = Section::new(
        PART,
        format!(
            "In the kernel, {}, ns a packet more than a program that drops (a hit: that makes room for the FrameHeader)",
            family.name()
        ),
        effort.tables.iter().map(|targets| format!("{targets} targets")),
    );
    // By case: the figure and its reference for every number of targets.
    let mut found: Vec<Vec<Option<Timed>>> = vec![Vec::new(); CASES.len()];
    for targets in effort.tables.iter().copied() {
        for kind in Kind::ALL {
            doing(&format!("in the kernel: {}, {targets} targets, {}", family.name(), kind.name()));
            let cases: Vec<usize> = (0..CASES.len()).filter(|place| CASES[*place].0 == kind).collect();
            // One target has one length.
            if kind == Kind::SixLengths && targets < kind.lengths(family).len() {
                cases.iter().for_each(|place| found[*place].push(None));
                continue;
            }
            let population = Population::new(family, kind, targets)?;
            let mut table = Table::load(&population)?;
            for place in cases {
                found[place].push(Some(table.time(&population, CASES[place].1, effort)?));
            }
        }
    }
    let gate = effort.tables.iter().position(|targets| *targets == GATE);
    let at_gate = |timed: &[Option<Timed>]| gate.and_then(|gate| timed.get(gate).copied()?);
    for ((kind, case), timed) in CASES.into_iter().zip(&found) {
        let figures = timed.iter().map(|timed| timed.map(|timed| timed.whole - timed.reference));
        let row = Row::new(format!("{}{}", case.name(), kind.words()), figures);
        let gate = at_gate(timed);
        let reference = if case.is_hit() { "makes room" } else { "drops" };
        let words = gate.map(|gate| format!("a program that {reference}, {:.0} ns, at {GATE}", gate.reference));
        section.rows.push(row.beside(words.unwrap_or_default(), gate.map(|gate| gate.whole / gate.reference), None));
    }
    if let Some(drop) = found.first().and_then(|timed| at_gate(timed)) {
        section.notes.push(format!(
            "A program that drops takes {:.0} ns here, the entry that calls it and writes the addresses included.",
            drop.reference
        ));
    }
    Ok(section)
}

/// What is timed, on what addresses.
const CASES: [(Kind, Case); 8] = [
    (Kind::Random, Case::Parse),
    (Kind::Random, Case::Bystander),
    (Kind::Random, Case::Content),
    (Kind::Random, Case::Headers),
    (Kind::Neighbours, Case::Bystander),
    (Kind::SixLengths, Case::Bystander),
    (Kind::SixLengths, Case::Content),
    (Kind::SixLengths, Case::Headers),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Parse,
    Bystander,
    Content,
    Headers,
}

impl Case {
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

/// Nanoseconds of one run, the entry's own included.
#[derive(Clone, Copy, Debug)]
struct Timed {
    whole: f64,
    reference: f64,
}

/// A loaded program with a population in its tables.
struct Table {
    kernel: Kernel,
    timer: Timer,
    hit_frame: Vec<u8>,
}

impl Table {
    fn load(population: &Population) -> Result<Self> {
        let settings = population.settings();
        let mut kernel = Kernel::load(&settings)?;
        fill(&mut kernel, population)?;
        let (source, destination) = population.a_hit();
        let hit_frame = frame::udp(source, destination, LENGTH).context("addresses of one family")?;
        Ok(Self { kernel, timer: Timer::new(&hit_frame)?, hit_frame })
    }

    fn time(&mut self, population: &Population, case: Case, effort: Effort) -> Result<Timed> {
        arm(&mut self.kernel, case == Case::Headers)?;
        // Also makes the program's port ready for frames that come from nowhere.
        let verdict = self.kernel.try_frame(OnMiss::Drop, &self.hit_frame)?;
        ensure!(verdict.action == Action::Redirect, "a hit is {:?}", verdict.action);

        self.timer.set_pairs(&population.pairs(case.is_hit()))?;
        let reference_program = if case.is_hit() { programs::SHIFT } else { programs::DROP };
        let mut timed = Timed { whole: f64::INFINITY, reference: f64::INFINITY };
        for _ in 0..effort.rounds {
            timed.reference = timed.reference.min(self.timer.time_own(reference_program, effort.runs)?);
            let round = match case {
                Case::Parse => self.timer.time_own(programs::PARSE, effort.runs)?,
                _ => self.timer.time(self.kernel.program(OnMiss::Drop)?, effort.runs)?,
            };
            timed.whole = timed.whole.min(round);
        }
        Ok(timed)
    }
}

/// Enters the targets.
fn fill(kernel: &mut Kernel, population: &Population) -> Result<()> {
    for target in population.targets() {
        kernel.tables().bind(Selector::Prefix(*target), &[Claim { slot: SLOT, condition: None }])?;
    }
    Ok(())
}

/// Puts the slot in force for as long as the bench can run.
fn arm(kernel: &mut Kernel, headers_only: bool) -> Result<()> {
    let headers_only = if headers_only { PolicyFlags::HEADERS_ONLY } else { 0 };
    let flags = PolicyFlags::SOURCE | PolicyFlags::DESTINATION | headers_only;
    let policy = SlotPolicy { start_ns: 1, stop_ns: u64::MAX / 2, flags, generation: SLOT.generation, reserved: 0 };
    Ok(kernel.tables().arm(SLOT.slot, &policy)?)
}

/// Room for so many prefixes of each family; never less than by default.
fn settings(targets: usize) -> KernelSettings {
    let default = KernelSettings::default();
    let room = u32::try_from(targets.next_power_of_two()).unwrap_or(u32::MAX);
    KernelSettings {
        addresses_v4: room.max(default.addresses_v4),
        addresses_v6: room.max(default.addresses_v6),
        ..default
    }
}
