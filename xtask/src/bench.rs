//! `cargo xtask bench`: builds for release, runs the benches, and shows one table of figures with their references.

use std::path::PathBuf;

use anyhow::Result;

use crate::{output, setup, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fewer and shorter rounds: for a first look, not for figures to quote.
    #[arg(long)]
    quick: bool,
    /// Also a million targets on the whole way, which take minutes to load.
    #[arg(long)]
    million: bool,
    /// These parts alone: encode, kernel, filter, inline, latency, orders, growth, instructions, batch.
    #[arg(long, value_name = "PARTS", value_delimiter = ',')]
    only: Vec<String>,
    /// What sends frames: live (the default), or pktgen where the kernel has that module.
    #[arg(long, value_name = "live|pktgen")]
    generator: Option<String>,
    /// Put the figures into docs/performance.md, with a picture of them beside it.
    #[arg(long)]
    write_docs: bool,
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
    /// Leave criterion out; what it left in an earlier run is shown again.
    #[arg(long)]
    no_criterion: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Result<bool> {
    let is_encode_wanted = match arguments.only.as_slice() {
        [] => arguments.batch.is_empty(),
        only => only.iter().any(|part| part == "encode"),
    };
    setup::ensure_bench()?;
    let programs = ["build", "--release", "--package", "writ-probe", "--package", "writ-bench", "--bins"];
    workspace::run(workspace::cargo()?.args(programs))?;
    let target = workspace::target()?;
    if is_encode_wanted && !arguments.no_criterion {
        let mut criterion = workspace::cargo()?;
        criterion.args(["bench", "--package", "writ-bench", "--benches", "--", "--noplot"]);
        let (warm_up, measurement) = if arguments.quick { ("0.2", "0.5") } else { ("1", "3") };
        criterion.args(["--warm-up-time", warm_up, "--measurement-time", measurement]);
        if arguments.quick {
            criterion.args(["--sample-size", "20"]);
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
    if !arguments.only.is_empty() {
        bench.arg("--only").arg(arguments.only.join(","));
    }
    if let Some(generator) = &arguments.generator {
        bench.arg("--generator").arg(generator);
    }
    if arguments.write_docs {
        bench.arg("--page").arg(workspace::root()?.join("docs/performance.md"));
    }
    for (flag, is_set) in [("--quick", arguments.quick), ("--million", arguments.million)] {
        if is_set {
            bench.arg(flag);
        }
    }
    Ok(bench.status()?.success())
}
