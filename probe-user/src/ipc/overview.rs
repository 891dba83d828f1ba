//! `writ status` as a viewer gets it. A type of its own, so that nothing that `StatusReport` gains can get into it unseen:
//! no figure here moves because a target's packet passed, as long as none is lost. Whoever could watch such a figure and
//! send packets to a line would learn whether the line is a target's.

use super::held::HeldKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether the probe does its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Probe id.
    pub probe: String,
    /// Version of the program.
    pub version: String,
    /// Nanoseconds of UTC at which it was made.
    pub at_utc_ns: u64,
    /// What the program counted of all frames and of those that it does not look into, by name.
    pub program: BTreeMap<String, u64>,
    /// How old the capture role's last report is, in milliseconds. Large: it does not answer.
    pub capture_age_ms: Option<u64>,
    /// Frames that the kernel handed over by mistake: destroyed. Must be 0.
    pub isolation_violations: u64,
    /// A line for each queue of each interface.
    pub queues: Vec<QueueHealth>,
    /// A line for each intercept.
    pub intercepts: Vec<InterceptHealth>,
    /// A line for each endpoint.
    pub sessions: Vec<SessionHealth>,
    /// How often roles were started again.
    pub restarts: BTreeMap<String, u32>,
    /// Warrant files that could not be read back.
    pub damaged: usize,
    /// Incidents of which an agency is still to be told.
    pub untold: usize,
    /// What of the machine stands in the way of all that is new.
    pub held: Vec<HeldKind>,
    /// A line for each witness.
    pub witnesses: Vec<WitnessHealth>,
}

/// One witness. How many checkpoints wait for it is not a viewer's: each comes of something that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessHealth {
    /// What it is: `folder`, or `syslog` and where.
    pub name: String,
    /// It has taken nothing for too long.
    pub alarm: bool,
}

/// What one AF_XDP socket lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueHealth {
    /// The interface.
    pub interface: String,
    /// Its receive queue.
    pub queue: u32,
    /// How program and socket are attached.
    pub mode: String,
    /// Frames lost between program and reader.
    pub ring_lost: u64,
    /// Frames that were no frames.
    pub malformed: u64,
}

/// One intercept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterceptHealth {
    /// Its slot. To which agency it goes is not a viewer's.
    pub slot: u16,
    /// Where it stands.
    pub phase: String,
    /// Packets lost on the way, to all agencies together; without those that were there twice.
    pub lost: u64,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionHealth {
    /// Name of the destination.
    pub destination: String,
    /// `cmii` or `cmc`.
    pub stream: String,
    /// In words.
    pub state: String,
    /// Whether records can go out now.
    pub connected: bool,
    /// Records that wait, where they are more than wait at any moment anyway; else 0.
    pub backlog: u64,
}
