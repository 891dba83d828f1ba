//! One frame, many runs, timed by the kernel.

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions};

use super::population::{PAIRS, Pair};
use crate::programs::{self, Globals};

/// The entry program and what it needs.
pub(super) struct Timer {
    ebpf: Ebpf,
    tested: ProgramArray<MapData>,
    pairs: Array<MapData, Pair>,
    frame: Vec<u8>,
}

impl Timer {
    /// For runs over this frame, whose addresses are written anew each time.
    pub(super) fn new(frame: &[u8]) -> Result<Self> {
        let globals = Globals { length: u32::try_from(frame.len())?, ..Globals::default() };
        let mut ebpf = programs::load(globals, &[programs::ENTRY, programs::DROP, programs::PARSE, programs::SHIFT])?;
        let mut map = |name: &str| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        let tested = ProgramArray::try_from(map("BENCH_TESTED")?)?;
        let pairs = Array::try_from(map("BENCH_PAIRS")?)?;
        Ok(Self { ebpf, tested, pairs, frame: frame.to_vec() })
    }

    /// The address pairs that the runs take in turn.
    pub(super) fn set_pairs(&mut self, pairs: &[Pair]) -> Result<()> {
        for (place, pair) in (0..).zip(pairs) {
            self.pairs.set(place, pair, 0)?;
        }
        Ok(())
    }

    /// Nanoseconds of one run of a program of the bench.
    pub(super) fn time_own(&mut self, name: &str, runs: u32) -> Result<f64> {
        let program = programs::program(&self.ebpf, name)?.fd()?.try_clone()?;
        self.time(&program, runs)
    }

    /// Nanoseconds of one run of a program, the entry's own included. The kernel's own clock: it stands still while
    /// somebody else has the processor. It counts in whole nanoseconds.
    pub(super) fn time(&mut self, program: &ProgramFd, runs: u32) -> Result<f64> {
        self.tested.set(0, program, 0)?;
        self.run(runs)
    }

    /// The same with the caches that the program leaves itself, once it has run over all pairs. Nothing comes between: whoever
    /// else had the processor then would leave his.
    pub(super) fn time_warm(&mut self, program: &ProgramFd, runs: u32) -> Result<f64> {
        self.tested.set(0, program, 0)?;
        self.run(PAIRS)?;
        self.run(runs)
    }

    fn run(&mut self, runs: u32) -> Result<f64> {
        let options = TestRunOptions { data_in: Some(&self.frame), repeat: runs, ..TestRunOptions::default() };
        let entry = programs::program(&self.ebpf, programs::ENTRY)?;
        let result = entry.test_run(options)?;
        ensure!(result.return_value != 0, "the entry did not reach the program under test");
        Ok(result.duration.as_secs_f64() * 1e9)
    }
}
