//! The probe: the roles and their wiring, configuration, control socket, command line.
//!
//! Packets enter through `writ-capture`, are encoded by `writ-encoder` into the shared memory of `writ-spool`, and leave
//! through `writ-delivery`. Orders enter through the control socket, are judged by `writ-authority`, turned into kernel
//! entries by `writ-identity`, and sent to the capture role. This crate only joins these; what a library could own is
//! not here.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
mod explain;
pub mod ipc;
pub mod pipeline;
pub mod roles;
mod telemetry;
