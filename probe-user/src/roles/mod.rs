//! The three roles and the supervisor that starts them. One binary, four processes: each role gives up what it does not
//! need right after its start, and the end of one neither stops nor corrupts the others.

pub mod capture;
pub mod control;
pub mod deliver;
mod launch;
mod supervisor;

pub use launch::{Inheritance, Launch, Role, StreamDescriptors, enter};
pub use supervisor::{SupervisorError, supervise};
