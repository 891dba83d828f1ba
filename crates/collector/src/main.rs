//! `writ-collect`: the agency's side of a handover, as a program.
//!
//! `listen` files what probes send until it is told to stop; `decode` prints a stream that was kept. What is wrong with
//! the settings ends it with exit code 2 before anything is opened, what goes wrong later with 1.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
