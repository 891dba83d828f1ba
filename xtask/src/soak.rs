//! `cargo xtask soak`: the property test of the kernel half at length, `kill -9` many times, and the fuzz targets. CI runs
//! a part of it.

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
    /// How often whoever writes the register is killed, and of that the whole probe, a fifth.
    #[arg(long, default_value_t = 1000)]
    kills: u64,
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
    Ok(test.status()?.success()
        && kill(arguments.kills, seed)?
        && (arguments.fuzz_seconds == 0 || fuzz::run_all(arguments.fuzz_seconds)?))
}

/// Kills processes while warrants change; gives whether nothing was lost by that.
fn kill(kills: u64, seed: u64) -> Result<bool> {
    // The system tests use the programs.
    workspace::run(workspace::cargo()?.args(["build", "--package", "writ-probe", "--package", "writ-collector"]))?;
    for (package, test, filter, kills) in
        [("writ-authority", "killed", "whenever", kills), ("writ-tests", "system", "kills::", kills.div_ceil(5))]
    {
        let mut killing = workspace::cargo()?;
        killing.args(["test", "--package", package, "--test", test, "--", "--nocapture", filter]);
        killing.env("WRIT_KILLS", kills.to_string()).env("WRIT_SEED", seed.to_string());
        workspace::run_tests_as_root(&mut killing);
        if !killing.status()?.success() {
            return Ok(false);
        }
    }
    Ok(true)
}
