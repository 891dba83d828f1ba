//! `writ-bench`: runs the load lab and shows what it found. `cargo xtask bench` builds and calls it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this program's output is its purpose")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use writ_bench::distance::Distance;
use writ_bench::report::{Report, Section};
use writ_bench::{
    Effort, Subject, batches, criterion, document, generator, growth, inline, instructions, kernel, latency, orders,
};
use writ_lab::{INTERRUPTED, Namespace};

#[derive(Parser)]
enum Command {
    /// Measures and prints the table.
    Run(Arguments),
    /// Sends frames until SIGTERM: the lab starts this in the sender's namespace.
    #[command(hide = true)]
    Generate(generator::Order),
    /// Takes steps of user space, for callgrind to count.
    #[command(hide = true)]
    Step(instructions::Order),
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Encoding and the hot path, as criterion left them.
    Encode,
    /// The XDP program alone.
    Kernel,
    /// Its filter beside two look-ups.
    Filter,
    /// The whole way inline over veth.
    Inline,
    /// From the wire to the agency's socket.
    Latency,
    /// From a request on the control socket to the kernel.
    Orders,
    /// The whole way with more warrants, targets, agencies, queues.
    Growth,
    /// Instructions a PDU, by callgrind.
    Instructions,
    /// The whole way with other numbers of frames that a worker takes at once; only on demand.
    Batch,
}

/// Batch sizes that are tried unless others are asked for.
const BATCHES: [u32; 5] = [16, 32, 64, 128, 256];

#[derive(clap::Args)]
struct Arguments {
    /// Fewer and shorter rounds.
    #[arg(long)]
    quick: bool,
    /// Also a million targets on the whole way, which take minutes to load.
    #[arg(long)]
    million: bool,
    /// These parts alone.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// What sends frames.
    #[arg(long, value_enum, default_value_t)]
    generator: generator::Kind,
    /// The figures as JSON.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
    /// A page to put the figures into, between its two marks, with a picture of them beside it.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
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
        Command::Step(order) => instructions::take_steps(&order),
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&INTERRUPTED))?;
    }
    arguments.generator.check()?;
    // What an earlier run left that was killed before it could clean up.
    Namespace::sweep()?;
    let writ =
        arguments.writ.canonicalize().with_context(|| format!("{}: build it first", arguments.writ.display()))?;
    let mut effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    if arguments.million {
        effort.most_targets = 1_000_000;
    }
    let mut bench = Bench {
        effort,
        subject: Subject { writ, ring: arguments.ring, batch: None, generator: arguments.generator },
        criterion: arguments.criterion.clone(),
        batch: if arguments.batch.is_empty() { BATCHES.to_vec() } else { arguments.batch.clone() },
        distance: Distance::default(),
        directory: tempfile::Builder::new().prefix("writ-bench-").tempdir()?,
    };
    let mut report = Report { machine: machine(bench.effort, arguments), ..Report::default() };
    let parts: Vec<Part> = match (&arguments.batch[..], &arguments.only[..]) {
        ([], []) => Part::value_variants().iter().copied().filter(|part| *part != Part::Batch).collect(),
        ([], only) => only.to_vec(),
        _ => vec![Part::Batch],
    };
    for part in parts {
        let begun = Instant::now();
        report.sections.extend(bench.part_or_failure(part));
        eprintln!("{}: {:.0} s", name(part), begun.elapsed().as_secs_f64());
        // After each part: what was measured outlives whatever happens to the next.
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(&arguments.json, json).with_context(|| arguments.json.display().to_string())?;
        if INTERRUPTED.load(Ordering::Relaxed) {
            eprintln!("interrupted: what was measured so far follows");
            break;
        }
    }
    println!("{}", report.text());
    match &arguments.page {
        Some(page) => document::write(page, &report),
        None => Ok(()),
    }
}

/// What all parts share.
struct Bench {
    effort: Effort,
    subject: Subject,
    criterion: PathBuf,
    batch: Vec<u32>,
    distance: Distance,
    directory: tempfile::TempDir,
}

impl Bench {
    /// A part's tables. One that fails, or panics, leaves the others as they are.
    fn part_or_failure(&mut self, part: Part) -> Vec<Section> {
        let directory = self.directory.path().join(name(part));
        let measured = catch_unwind(AssertUnwindSafe(|| self.part(part, &directory)));
        let error = match measured.unwrap_or_else(|_| Err(anyhow!("the bench panicked"))) {
            Ok(sections) => return sections,
            Err(error) => error,
        };
        eprintln!("{}: {error:#}", name(part));
        for log in logs(&directory) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            eprintln!("the end of {}:\n{}", log.display(), tail(&text, 15));
        }
        let about = part.to_possible_value().and_then(|value| Some(value.get_help()?.to_string()));
        vec![Section::failed("", about.unwrap_or_default(), format!("{error:#}"))]
    }

    fn part(&mut self, part: Part, directory: &Path) -> Result<Vec<Section>> {
        let (effort, subject) = (self.effort, &self.subject);
        let distance = &mut self.distance;
        let doing = &mut |what: &str| eprintln!("{what}");
        Ok(match part {
            Part::Encode => vec![criterion::section(&self.criterion)?],
            Part::Kernel => kernel::measure(effort, doing)?,
            Part::Filter => vec![kernel::filter::measure(effort, doing)?],
            Part::Inline => inline::measure(subject, directory, effort, distance, doing)?,
            Part::Latency => vec![latency::measure(subject, directory, effort, distance, doing)?],
            Part::Orders => vec![orders::measure(subject, directory, effort, doing)?],
            Part::Growth => growth::measure(subject, directory, effort, distance, doing)?,
            Part::Instructions => vec![instructions::measure(directory, doing)?],
            Part::Batch => batches::measure(subject, &self.batch, directory, effort, distance, doing)?,
        })
    }
}

fn name(part: Part) -> String {
    part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The probes' logs below a folder of a part.
fn logs(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path().join("writ.log"));
    entries.chain([directory.join("writ.log")]).filter(|path| path.exists()).collect()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// What the figures were taken on.
fn machine(effort: Effort, arguments: &Arguments) -> Vec<String> {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let ring = arguments.ring.map_or("the probe's default".to_owned(), |places| format!("{places} places"));
    vec![
        format!(
            "{}, {processors} processors, Linux {}",
            name.map_or("unknown processor", |(_, name)| name),
            kernel.trim()
        ),
        format!(
            "{}in the kernel: least of {} x {} runs; whole way: median of {} (growth: {}) x {} s, generator {}, receive \
             ring: {ring}",
            if arguments.quick { "A quick run, for a first look; " } else { "" },
            effort.rounds,
            effort.runs,
            effort.repeats,
            effort.growth_repeats,
            effort.time.as_secs_f64(),
            arguments.generator.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()),
        ),
    ]
}
