//! What control, which makes checkpoints of the audit log, hears of deliver, which hands them to witnesses; and what
//! people are told of it.

use serde::{Deserialize, Serialize};

/// What deliver says to control of the witnesses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessWord {
    /// A deliver role has begun: what its predecessor was given and has not confirmed is to be given again.
    Hello,
    /// A witness has everything up to this place.
    Witnessed {
        /// Which.
        witness: usize,
        /// The place.
        place: u64,
    },
    /// A witness takes nothing at present.
    Away {
        /// Which.
        witness: usize,
        /// Why, and what to do.
        what: String,
    },
}

/// A witness in `writ status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// What it is: `folder`, or `syslog` and where.
    pub name: String,
    /// Number of the last record that a checkpoint handed over to it covers.
    pub number: u64,
    /// When that checkpoint was made, if there is one: RFC 3339.
    pub at: Option<String>,
    /// Checkpoints that wait for it.
    pub waiting: u64,
    /// For how long the oldest of them has waited, in seconds.
    pub waiting_seconds: u64,
    /// They have waited longer than `witness.alarm_after_seconds`.
    pub alarm: bool,
    /// Why it takes nothing, while it takes nothing.
    pub problem: Option<String>,
}

/// The clock in `writ status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// Whether something keeps it.
    pub synchronised: bool,
    /// What is still to be slewed, microseconds; positive: the clock is to go forward.
    pub offset_us: i64,
    /// The keeper's own estimate of the error, microseconds.
    pub estimated_error_us: u64,
    /// The error is no larger, microseconds.
    pub maximum_error_us: u64,
    /// By how much stops are earlier for that, microseconds.
    pub doubt_us: u64,
}
