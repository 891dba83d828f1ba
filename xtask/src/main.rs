//! What a person types: `cargo xtask setup`, `demo`, `test`, `vm-test`, `fuzz`, `soak`, `bench`, `layers`. A file per command.
//!
//! It builds on a machine that has nothing but rustup's stable toolchain and a C compiler, because `setup` brings the rest.
#![forbid(unsafe_code)]

mod bench;
mod demo;
mod fuzz;
mod layers;
mod output;
mod setup;
mod soak;
mod test;
mod vm_test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Set up, try, test and check Writ.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing for building and running everything on Debian 12.
    Setup(setup::Arguments),
    /// One authorised intercept in a small network of namespaces, checked end to end.
    Demo(demo::Arguments),
    /// Build everything and run all tests.
    Test(test::Arguments),
    /// The tests of the kernel half, and the demo, on Debian's own kernel in a virtual machine.
    VmTest(vm_test::Arguments),
    /// Inputs that a fuzzer makes up, through the XDP program, through a worker and through a decoder.
    Fuzz(fuzz::Arguments),
    /// Millions of frames, of which the program and the reference model must say the same, and hours of fuzzing.
    Soak(soak::Arguments),
    /// Measure, beside references, and show one table of figures.
    Bench(bench::Arguments),
    /// Check that the rooms use each other only as the architecture allows, and where unsafe code is.
    Layers,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(arguments) => setup::command(&arguments),
        Command::Demo(arguments) => demo::command(&arguments),
        Command::Test(arguments) => test::command(&arguments),
        Command::VmTest(arguments) => vm_test::command(&arguments),
        Command::Fuzz(arguments) => fuzz::command(&arguments),
        Command::Soak(arguments) => soak::command(&arguments),
        Command::Bench(arguments) => bench::command(&arguments),
        Command::Layers => layers::command(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
