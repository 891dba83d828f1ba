//! `cargo xtask demo`: the scenario of the lab, shown step by step, and the table of what was taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use writ_lab::scenario::{self, Check, Report, Settings, Watcher};
use writ_lab::{Binaries, INTERRUPTED, LabError, Namespace};

use crate::output::{self, Progress};
use crate::{setup, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Keep the evidence (captures, configurations, logs, what the agencies received) in this new directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Everything is built and installed: used when the command starts itself anew as root.
    #[arg(long, hide = true)]
    ready: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Result<bool> {
    if !arguments.ready {
        setup::ensure()?;
        let programs = ["build", "--package", "writ-probe", "--package", "writ-collector", "--bins"];
        workspace::run(workspace::cargo()?.args(programs))?;
    }
    if !workspace::is_root() {
        output::line("The demo runs under sudo: it makes network namespaces.");
        let mut again = workspace::as_root(std::env::current_exe()?)?;
        again.args(["demo", "--ready"]);
        if let Some(keep) = &arguments.keep {
            again.arg("--keep").arg(keep);
        }
        return Ok(again.status()?.success());
    }
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&INTERRUPTED))?;
    }
    // What an earlier run left that was killed before it could clean up.
    Namespace::sweep()?;

    let temporary = tempfile::Builder::new().prefix("writ-demo-").tempdir()?;
    let evidence = match &arguments.keep {
        Some(keep) => create(keep)?,
        None => temporary.path().to_owned(),
    };
    let started = Instant::now();
    let mut screen = Screen { progress: Progress::new(scenario::MOMENTS)?, step: 0 };
    let settings = Settings { binaries: Binaries::find()?, evidence: evidence.clone() };
    let result = scenario::run(&settings, &mut screen);
    drop(screen);
    let report = match result {
        Ok(report) => report,
        Err(LabError::Interrupted) => bail!("interrupted; everything is taken down"),
        Err(error) if arguments.keep.is_some() => {
            return Err(error).context(format!("evidence: {}", evidence.display()));
        }
        Err(error) => return Err(error).context("the lab failed; run with --keep DIR to see the logs"),
    };
    table(&report);
    let failed = report.checks.iter().filter(|check| !check.passed).count();
    output::line(format!(
        "\n{} of {} checks hold, {:.0} s",
        report.checks.len() - failed,
        report.checks.len(),
        started.elapsed().as_secs_f64()
    ));
    if arguments.keep.is_some() {
        let content = evidence.join("agency-a/LAB-CONTENT-1/content.pcapng");
        output::line(format!("evidence: {}\nto look at it: wireshark {}", evidence.display(), content.display()));
    }
    Ok(report.passed())
}

/// A new directory for the evidence, readable by its owner only: it holds keys and content.
fn create(keep: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().mode(0o700).create(keep);
    made.with_context(|| format!("cannot make {}: --keep takes a directory that is not there yet", keep.display()))?;
    let whole = keep.canonicalize()?;
    if whole.to_str().is_none() {
        bail!("{} is not UTF-8; choose another directory", whole.display());
    }
    Ok(whole)
}

/// Shows the scenario as it goes.
struct Screen {
    progress: Progress,
    step: u8,
}

const STEPS: [&str; 8] = [
    "One signature is not enough",
    "Two signatures, and the start",
    "The intercept is complete",
    "A bystander leaves no trace",
    "A pen-trap order has no content",
    "The stop holds without the daemon",
    "The audit log shows tampering",
    "The end",
];

impl Watcher for Screen {
    fn doing(&mut self, what: &str) {
        self.progress.now(what);
        self.progress.step();
    }

    fn checked(&mut self, check: &Check) {
        if check.step != self.step {
            self.step = check.step;
            let title = STEPS.get(usize::from(check.step).wrapping_sub(1)).unwrap_or(&"");
            self.progress.line(format!("\n({}) {title}", check.step));
        }
        let verdict = if check.passed { "PASS" } else { "FAIL" };
        let found = if check.found.is_empty() { String::new() } else { format!("  [{}]", check.found) };
        self.progress.line(format!("  {verdict}  {}{found}", check.what));
    }
}

fn table(report: &Report) {
    let row = |cells: [&str; 5]| {
        output::line(format!("  {:<16}{:>12}{:>12}{:>12}{:>12}", cells[0], cells[1], cells[2], cells[3], cells[4]));
    };
    output::line("");
    row(["packets", "on the tap", "matched", "delivered", "missing"]);
    for tally in &report.tallies {
        let numbers =
            [tally.on_the_tap as u64, tally.matched, tally.delivered, tally.missing as u64].map(|n| n.to_string());
        row([tally.order, &numbers[0], &numbers[1], &numbers[2], &numbers[3]]);
    }
    output::line(format!(
        "  frames on the tap, of everybody: {}; bystanders in user space: {}",
        report.frames_on_the_tap, report.bystanders_in_user_space
    ));
}
