//! `cargo xtask test`: build everything, hold the arrows, fuzz for a moment, run all tests.

use std::ffi::OsString;

use anyhow::Result;

use crate::{fuzz, layers, output, setup, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `cargo test`, such as a filter, or `--package writ-lab`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

pub(crate) fn command(arguments: &Arguments) -> Result<bool> {
    setup::ensure()?;
    if !layers::command()? {
        return Ok(false);
    }
    // Tests from outside use the two programs, which `cargo test` alone would not build for them.
    workspace::run(workspace::cargo()?.args(["build", "--workspace", "--bins"]))?;
    // A part of the tests is not all of them: then nothing is fuzzed. First, so that the tests' own summaries come last.
    let fuzzed = !arguments.rest.is_empty() || fuzz::smoke()?;
    let mut test = workspace::cargo()?;
    test.args(["test", "--workspace", "--no-fail-fast"]).args(&arguments.rest).env("WRIT_REQUIRE_TOOLS", "1");
    if !workspace::is_root() {
        output::line("Tests run under sudo: they make network namespaces.");
    }
    workspace::run_tests_as_root(&mut test);
    Ok(test.status()?.success() && fuzzed)
}
