//! `writ`: the probe's one binary. Reads the command line, calls the library, turns errors into exit codes.
//!
//! Exit codes: 0 done; 1 failed or refused; 2 the operator's input (command line, configuration, document) is at fault
//! and nothing was started.
#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;
use writ_probe::cli::{Cli, Outcome};

fn main() -> ExitCode {
    match writ_probe::cli::run(Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Negative) => ExitCode::from(1),
        Ok(Outcome::Faulty) => ExitCode::from(2),
        Err(error) => {
            writ_probe::cli::complain(&error);
            ExitCode::from(error.code())
        }
    }
}
