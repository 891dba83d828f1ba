//! `cargo xtask soak`: the property test of the kernel half at length, and the fuzz targets. CI runs a part of it.

use anyhow::Result;

use crate::{fuzz, output, setup, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many frames the program and the reference model must agree about.
    #[arg(long, default_value_t = 2_000_000)]
    frames: u64,
    /// Where the frames begin; the same number makes the same frames. By default a new one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// How long each fuzz target runs then, in seconds; 0: not at all.
    #[arg(long, env = "WRIT_FUZZ_SECONDS", default_value_t = 3600)]
    fuzz_seconds: u64,
}

pub(crate) fn command(arguments: &Arguments) -> Result<bool> {
    setup::ensure()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = arguments.seed.unwrap_or(now.as_secs());
    output::line(format!("{} frames from seed {seed}", arguments.frames));
    let mut test = workspace::cargo()?;
    test.args(["test", "--package", "writ-tests", "--test", "kernel_property"])
        .env("WRIT_FRAMES", arguments.frames.to_string())
        .env("WRIT_SEED", seed.to_string());
    workspace::run_tests_as_root(&mut test);
    Ok(test.status()?.success() && (arguments.fuzz_seconds == 0 || fuzz::run_all(arguments.fuzz_seconds)?))
}
