//! Why nothing new is put in force, as people are told: what is wrong, and what ends it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Something that stands in the way of all that is new. It names nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Held {
    /// The clock is behind what it was once. It ends when it has caught up.
    ClockBehind {
        /// By so many seconds.
        seconds: i64,
    },
    /// The clock may be off by too much, or nothing keeps it. It ends when its keeper has it.
    ClockUnsure {
        /// What is wrong and what to do.
        why: String,
    },
    /// The audit log has forgotten something, or may have: nothing that was in force before is, either.
    Log {
        /// Number of the record that says so.
        record: u64,
        /// What is wrong.
        why: String,
        /// What ends it: somebody's word, or a head of the log from outside.
        remedy: String,
    },
}

impl Held {
    /// The same for somebody who sees whether the machine works, and no number that a case could move.
    pub fn kind(&self) -> HeldKind {
        match self {
            Self::ClockBehind { .. } | Self::ClockUnsure { .. } => HeldKind::Clock,
            Self::Log { .. } => HeldKind::Log,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockBehind { seconds } => write!(
                f,
                "the clock is {seconds} s behind what it was once; set it right, or wait until it has caught up (see `The \
                 clock` in the operator's manual)"
            ),
            Self::ClockUnsure { why } => f.write_str(why),
            Self::Log { record, why, remedy } => write!(f, "held since record {record}: {why}; {remedy}"),
        }
    }
}

/// What of the machine stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldKind {
    /// The clock.
    Clock,
    /// The audit log.
    Log,
}
