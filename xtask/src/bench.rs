//! `cargo xtask bench`: builds for release, runs the benches, and shows one table of figures with their references.

use std::path::PathBuf;

use anyhow::Result;

use crate::{output, setup, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fewer and shorter rounds: for a first look, not for figures to quote.
    #[arg(long)]
    quick: bool,
    /// The figures as JSON [default: target/bench.json].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Frames that can wait for the probe's worker, a power of two, in place of the probe's own default.
    #[arg(long, value_name = "FRAMES")]
    ring: Option<u32>,
    /// Measures only the whole way, with these numbers of frames that the probe's worker takes at once, for example
    /// 16,32,64,128,256.
    #[arg(long, value_name = "FRAMES", value_delimiter = ',')]
    batch: Vec<u32>,
    /// Leave out encoding and the hot path (criterion); figures of an earlier run are shown again.
    #[arg(long)]
    no_criterion: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Result<bool> {
    setup::ensure()?;
    let programs = ["build", "--release", "--package", "writ-probe", "--package", "writ-bench", "--bins"];
    workspace::run(workspace::cargo()?.args(programs))?;
    let target = workspace::target()?;
    if !arguments.no_criterion && arguments.batch.is_empty() {
        let mut criterion = workspace::cargo()?;
        criterion.args(["bench", "--package", "writ-bench", "--benches", "--", "--noplot"]);
        if arguments.quick {
            criterion.args(["--warm-up-time", "0.5", "--measurement-time", "1", "--sample-size", "20"]);
        }
        workspace::run(&mut criterion)?;
    }
    if !workspace::is_root() {
        output::line("The bench runs under sudo: it makes network namespaces.");
    }
    let mut bench = workspace::as_root(target.join("release/writ-bench"))?;
    bench.arg("run").arg("--writ").arg(target.join("release/writ"));
    bench.arg("--criterion").arg(target.join("criterion"));
    bench.arg("--json").arg(arguments.json.clone().unwrap_or_else(|| target.join("bench.json")));
    if let Some(ring) = arguments.ring {
        bench.arg("--ring").arg(ring.to_string());
    }
    for batch in &arguments.batch {
        bench.arg("--batch").arg(batch.to_string());
    }
    if arguments.quick {
        bench.arg("--quick");
    }
    Ok(bench.status()?.success())
}
