//! The demo: one authorised intercept from a tap port to an agency, with everything that must not happen beside it.
//!
//! The same steps run in `cargo xtask demo`, which shows them, and in the tests, which assert them. Each step makes real
//! traffic with real programs and holds what the agencies have against the ground truth taken at the subscriber's own
//! interface. What was found is told to a [`Watcher`] as it is found.

mod memory;
mod stage;
mod steps;

use std::path::PathBuf;

use crate::{Binaries, LabError};

/// What the scenario runs with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The programs under test.
    pub binaries: Binaries,
    /// Where all evidence goes: captures, configurations, logs, what the agencies received. Must exist and be private.
    pub evidence: PathBuf,
}

/// One thing that has to hold.
#[derive(Debug, Clone)]
pub struct Check {
    /// Which step of the scenario it belongs to.
    pub step: u8,
    /// What has to hold.
    pub what: &'static str,
    /// Whether it does.
    pub passed: bool,
    /// What was found, in numbers or words.
    pub found: String,
}

/// The books of one order at the end, in packets.
#[derive(Debug, Clone)]
pub struct Tally {
    /// The order, by its case.
    pub order: &'static str,
    /// Passed the subscriber's interface while the order was in force.
    pub on_the_tap: usize,
    /// Taken by the kernel.
    pub matched: u64,
    /// Acknowledged by the agency's side.
    pub delivered: u64,
    /// On the tap, but not with the agency.
    pub missing: usize,
}

/// What was found in all.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// A line for each order.
    pub tallies: Vec<Tally>,
    /// Frames that the program on the tap saw, of everybody.
    pub frames_on_the_tap: u64,
    /// Processes in which a bystander's bytes were found.
    pub bystanders_in_user_space: usize,
}

impl Report {
    /// Whether every check holds.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }
}

/// Somebody who looks on.
pub trait Watcher {
    /// Something begins that takes a moment.
    fn doing(&mut self, what: &str);
    /// A check was made.
    fn checked(&mut self, check: &Check);
}

/// How many moments of [`Watcher::doing`] there are, for progress displays.
pub const MOMENTS: u64 = 14;

/// Runs the scenario. An error means that the lab itself failed; what Writ fails at is a check that does not hold.
pub fn run(settings: &Settings, watcher: &mut dyn Watcher) -> Result<Report, LabError> {
    steps::all(settings, watcher)
}
