//! The three roles and the supervisor that starts them. One binary, four processes: each role gives up what it does not
//! need right after its start, and the end of one neither stops nor corrupts the others.

pub mod capture;
pub mod control;
pub mod deliver;
mod kept_ledger;
mod launch;
mod supervisor;

/// How long a frame may take from the program's judgement to the ring, at most: an interrupt's work can be preempted.
const FLUSH_NS: u64 = 100_000_000;

pub use launch::{Inheritance, Launch, Role, StreamDescriptors, enter};
pub use supervisor::{Ports, SupervisorError, is_running, lock, supervise};
