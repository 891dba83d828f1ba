//! Criterion benches (`benches/`) and the load lab: what `cargo xtask bench` measures, and how.
//!
//! Every figure stands beside a reference that was measured in the same run by the same method, because absolute times
//! depend on the machine and on what else it does. A module for each part: `kernel` measures the XDP program alone,
//! `inline` the whole way from a tap port to an agency, `latency` how long it takes, `orders` how soon what takes less is in the kernel, `growth` what more of everything
//! costs, `instructions` what callgrind counts, `batches` other batch sizes; `criterion` reads what the benches left. `bed` is what whole ways are
//! measured on. `report` shows all of it as one table, `document` and `plot` as a page with a picture.
#![forbid(unsafe_code)]

pub mod batches;
mod bed;
pub mod criterion;
pub mod distance;
pub mod document;
pub mod frame;
pub mod generator;
pub mod growth;
pub mod inline;
pub mod instructions;
pub mod kernel;
pub mod latency;
pub mod orders;
mod packet_socket;
pub mod plot;
mod programs;
pub mod report;
mod sink;
pub mod steps;

pub use bed::Subject;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How hard to try.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of the XDP program alone, of which the least counts.
    pub rounds: u32,
    /// Runs of it in a round.
    pub runs: u32,
    /// Paired differences of programs, of which the median counts.
    pub pairs: u32,
    /// Runs of each program in a pair.
    pub pair_runs: u32,
    /// Rounds of the whole way, of which the median counts.
    pub repeats: u32,
    /// Rounds of the whole way with more of everything.
    pub growth_repeats: u32,
    /// Numbers of targets in the tables of the XDP program alone. 10,000 is among them.
    pub tables: &'static [usize],
    /// The most targets of the whole way: a million take minutes to load.
    pub most_targets: u32,
    /// How long the sender sends in each.
    pub time: Duration,
}

impl Effort {
    /// What figures are quoted by.
    pub const FULL: Self = Self {
        rounds: 7,
        runs: 500_000,
        pairs: 31,
        pair_runs: 100_000,
        repeats: 5,
        growth_repeats: 3,
        tables: &[1, 1_000, 10_000, 100_000, 1_000_000],
        most_targets: 100_000,
        time: Duration::from_secs(1),
    };
    /// For a first look.
    pub const QUICK: Self = Self {
        rounds: 5,
        runs: 100_000,
        pairs: 11,
        pair_runs: 50_000,
        repeats: 1,
        growth_repeats: 1,
        tables: &[1, 10_000, 1_000_000],
        most_targets: 100_000,
        time: Duration::from_millis(500),
    };
}

/// The processors that this process was given, in order.
fn processors() -> &'static [usize] {
    static PROCESSORS: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    PROCESSORS.get_or_init(|| {
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()
    })
}

/// Keeps this thread, and what it starts from now on, off the first processors, which send. One sender leaves user space
/// the next processor alone. Where there are no others, everybody shares all.
pub fn keep_user_space_off(senders: usize) -> Result<()> {
    let processors = processors();
    ensure!(processors.len() > 1, "2 processors are needed: one that sends, one for user space");
    let others = match senders {
        1 => &processors[1..2],
        _ if senders < processors.len() => &processors[senders..],
        _ => processors,
    };
    pin(others)
}

/// Keeps this thread, and what it starts from now on, on these processors.
fn pin(processors: &[usize]) -> Result<()> {
    let mut wanted = CpuSet::new();
    processors.iter().for_each(|cpu| wanted.set(*cpu));
    sched_setaffinity(None, &wanted).context("a processor cannot be chosen")
}
