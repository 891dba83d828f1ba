//! `writ-bench`: runs the load lab and shows what it found. `cargo xtask bench` builds and calls it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this program's output is its purpose")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use writ_bench::inline::Subject;
use writ_bench::report::Report;
use writ_bench::{Effort, batches, criterion, generator, inline, kernel};
use writ_lab::{INTERRUPTED, Namespace};

#[derive(Parser)]
enum Command {
    /// Measures everything and prints the table.
    Run(Arguments),
    /// Sends frames until SIGTERM: the lab starts this in the sender's namespace.
    #[command(hide = true)]
    Generate(generator::Order),
}

#[derive(clap::Args)]
struct Arguments {
    /// Fewer and shorter rounds.
    #[arg(long)]
    quick: bool,
    /// The figures as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
    /// The probe's binary.
    #[arg(long, value_name = "FILE", default_value = "target/release/writ")]
    writ: PathBuf,
    /// Frames that can wait for the probe's worker, a power of two, in place of the probe's own default.
    #[arg(long, value_name = "FRAMES")]
    ring: Option<u32>,
    /// Measures only the whole way, with these numbers of frames that the probe's worker takes at once (`ring.batch`).
    #[arg(long, value_name = "FRAMES", value_delimiter = ',')]
    batch: Vec<u32>,
    /// Where criterion keeps its figures; they are shown with the others.
    #[arg(long, value_name = "DIR", default_value = "target/criterion")]
    criterion: PathBuf,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Run(arguments) => run(&arguments),
        Command::Generate(order) => generator::generate(&order),
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&INTERRUPTED))?;
    }
    // What an earlier run left that was killed before it could clean up.
    Namespace::sweep()?;
    let writ =
        arguments.writ.canonicalize().with_context(|| format!("{}: build it first", arguments.writ.display()))?;
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    let mut doing = |what: &str| eprintln!("{what}");

    let mut report = Report { machine: machine(effort, arguments.ring), ..Report::default() };
    let directory = tempfile::Builder::new().prefix("writ-bench-").tempdir()?;
    let subject = Subject { writ, ring: arguments.ring, batch: None };
    let inline = if arguments.batch.is_empty() {
        report.sections.extend(criterion::section(&arguments.criterion)?);
        report.sections.push(kernel::measure(effort, &mut doing)?);
        inline::measure(&subject, directory.path(), effort, &mut doing)
    } else {
        batches::measure(&subject, &arguments.batch, directory.path(), effort, &mut doing)
    };
    report.sections.extend(inline.inspect_err(|_| {
        let log = fs::read_to_string(directory.path().join("writ.log")).unwrap_or_default();
        eprintln!("the end of writ.log:\n{}", tail(&log, 15));
    })?);

    println!("{}", report.text());
    fs::write(&arguments.json, serde_json::to_string_pretty(&report)?)
        .with_context(|| arguments.json.display().to_string())
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// What the figures were taken on.
fn machine(effort: Effort, ring: Option<u32>) -> Vec<String> {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let ring = ring.map_or("the probe's default".to_owned(), |places| format!("{places} places"));
    vec![
        format!(
            "{}, {processors} processors, Linux {}",
            name.map_or("unknown processor", |(_, name)| name),
            kernel.trim()
        ),
        format!(
            "in the kernel: least of {} x {} runs; inline: median of {} x {} s, receive ring: {ring}",
            effort.rounds,
            effort.runs,
            effort.repeats,
            effort.time.as_secs()
        ),
    ]
}
