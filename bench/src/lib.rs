//! Criterion benches (`benches/`) and the load lab: what `cargo xtask bench` measures, and how.
//!
//! Every figure stands beside a reference that was measured in the same run by the same method, because absolute times
//! depend on the machine and on what else it does. `kernel` measures the XDP program alone, `inline` the whole way from
//! a tap port to an agency, `criterion` reads what the benches left; `report` shows all of it as one table.
#![forbid(unsafe_code)]

pub mod criterion;
pub mod frame;
pub mod generator;
pub mod inline;
pub mod kernel;
mod programs;
pub mod report;
mod sink;

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How hard to try.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of the XDP program alone, of which the least counts.
    pub rounds: u32,
    /// Runs of it in a round.
    pub runs: u32,
    /// Rounds of the whole way, of which the median counts.
    pub repeats: u32,
    /// How long the sender sends in each.
    pub time: Duration,
}

impl Effort {
    /// What figures are quoted by.
    pub const FULL: Self = Self { rounds: 7, runs: 1_000_000, repeats: 5, time: Duration::from_secs(3) };
    /// For a first look.
    pub const QUICK: Self = Self { rounds: 7, runs: 200_000, repeats: 3, time: Duration::from_secs(1) };
}

/// Keeps this thread, and what it starts, on the n-th of the machine's processors that it may use, wherever the process
/// that started this one was kept.
pub fn pin(n: usize) -> Result<()> {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    // The kernel cuts this to the processors that there are and that the cpuset allows.
    sched_setaffinity(None, &all).context("a processor cannot be chosen")?;
    let (allowed, mut wanted) = (sched_getaffinity(None)?, CpuSet::new());
    let cpu = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).nth(n);
    wanted.set(cpu.with_context(|| format!("{} processors are needed: one that sends, one for user space", n + 1))?);
    sched_setaffinity(None, &wanted).context("a processor cannot be chosen")
}
