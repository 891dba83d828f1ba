//! `writ explain SLOT`: what capture says of a slot's place in the kernel, and what control makes of it and of all other
//! figures: the stages that a packet passes on its way to the agency, and the one at which it stops. Numbers and states
//! only, by slot: whoever reads it learns no target, no document and no case.

use super::SlotName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A slot as the capture role finds it in the kernel at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The slot's number.
    pub slot: u16,
    /// Its policy. None: it cannot be read.
    pub policy: Option<KernelPolicy>,
    /// Addresses, prefixes, MAC addresses and VLANs that lead to the policy's owner.
    pub entries: u64,
    /// Targets that the workers hold its packets against.
    pub targets: u64,
}

/// A slot's policy, read back from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelPolicy {
    /// Which of the slot's owners it is for.
    pub generation: u16,
    /// First moment, `CLOCK_BOOTTIME`, nanoseconds.
    pub start_ns: u64,
    /// First moment that is too late, likewise. 0: out of force.
    pub stop_ns: u64,
}

/// The answer to `writ explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotTrace {
    /// The slot.
    pub slot: SlotName,
    /// The stages, in the order of a packet's way.
    pub stages: Vec<Stage>,
    /// Name of the stage at which packets stop, get lost or are waited for. None: they pass.
    pub stops_at: Option<String>,
    /// In words: where packets stop and what to look at.
    pub verdict: String,
}

/// One stage of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How it does.
    pub state: StageState,
    /// In words.
    pub says: String,
    /// What to look at, if it does not do well.
    pub remedy: Option<String>,
    /// The figures behind it, in packets where nothing else is said.
    pub figures: BTreeMap<String, u64>,
}

/// How a stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageState {
    /// Packets pass it.
    Good,
    /// Nothing is wrong, and nothing has come yet.
    Waiting,
    /// Packets pass, and some are lost.
    Losing,
    /// No packet passes.
    Stopped,
    /// It cannot be told.
    Unknown,
}

impl StageState {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waiting => "waiting",
            Self::Losing => "LOSING",
            Self::Stopped => "STOPPED",
            Self::Unknown => "unknown",
        }
    }
}
