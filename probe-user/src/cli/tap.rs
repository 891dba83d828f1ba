//! `writ tap survey`: looks at tap ports for a while and says what they show, without taking anything from anybody. The
//! kernel counts, and nothing but counters leaves it; this prints what they mean.

use super::{CommandError, Outcome, ReportArgs, output};
use crate::config::Config;
use crate::roles::Ports;
use clap::{Args, Subcommand};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use writ_abi::SurveyCounter;
use writ_capture::{Finding, PortSettings, Survey, findings};

/// How often it is looked whether the time is over.
const TICK: Duration = Duration::from_millis(20);

#[derive(Debug, Subcommand)]
pub(super) enum TapCommand {
    /// Say what a tap is: both directions? duplicates? tags? signalling? loss before the probe? Needs root.
    Survey(SurveyArgs),
}

#[derive(Debug, Args)]
pub(super) struct SurveyArgs {
    /// Look at this port alone; by default at all that the configuration captures from, as one tap.
    #[arg(long)]
    interface: Option<String>,
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Serialize)]
struct Report {
    interfaces: Vec<String>,
    seconds: f64,
    findings: Vec<Finding>,
    counts: BTreeMap<&'static str, u64>,
}

pub(super) fn run(command: &TapCommand) -> Result<Outcome, CommandError> {
    let TapCommand::Survey(args) = command;
    let (settings, runtime) = chosen(args)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(CommandError::failed)?;
    }
    let report = survey(&settings, &runtime, Duration::from_secs(args.seconds), &stop)?;
    if args.report.json {
        output::json(&report);
        return Ok(Outcome::Done);
    }
    output::line(&format!("{} for {:.0} s", report.interfaces.join(", "), report.seconds));
    output::line("No interception: nothing but counters has left the kernel, and nobody's packet is among them.");
    for finding in &report.findings {
        output::line(&format!("{}: {}", finding.question, finding.verdict));
        if !finding.remedy.is_empty() {
            output::line(&format!("  -> {}", finding.remedy));
        }
    }
    Ok(Outcome::Done)
}

/// The ports to look at, and where it is written down how they were.
fn chosen(args: &SurveyArgs) -> Result<(Vec<PortSettings>, PathBuf), CommandError> {
    let file = &args.report.config.config;
    let Some(interface) = &args.interface else {
        let config = Config::load(file).map_err(CommandError::input)?;
        return Ok((config.capture, config.probe.runtime));
    };
    // A tap can be looked at before there is a configuration.
    let config = if file.exists() { Some(Config::load(file).map_err(CommandError::input)?) } else { None };
    let (captures, runtime) = match config {
        Some(config) => (config.capture, config.probe.runtime),
        None => (Vec::new(), crate::config::default_runtime()),
    };
    let settings = captures.into_iter().find(|capture| capture.interface == *interface);
    let settings = settings.unwrap_or_else(|| PortSettings::named(interface.clone()));
    settings.validate().map_err(|error| CommandError::input(anyhow::anyhow!("--interface: {error}")))?;
    Ok((vec![settings], runtime))
}

fn survey(
    settings: &[PortSettings],
    runtime: &Path,
    time: Duration,
    stop: &AtomicBool,
) -> Result<Report, CommandError> {
    // The program first: it fails where a running probe's is, before anything of that port is touched.
    let mut survey = Survey::attach(settings).map_err(CommandError::input)?;
    let mut ports = Ports::new(runtime).map_err(CommandError::input)?;
    for settings in settings {
        ports.prepare(settings).map_err(CommandError::input)?;
    }
    survey.open_ports().map_err(CommandError::input)?;
    let started = Instant::now();
    while started.elapsed() < time && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(TICK.min(time));
    }
    let (counts, seconds) = (survey.counts(), started.elapsed());
    survey.detach();
    Ok(Report {
        interfaces: settings.iter().map(|settings| settings.interface.clone()).collect(),
        seconds: seconds.as_secs_f64(),
        findings: findings(&counts, survey.ports(), seconds),
        counts: SurveyCounter::ALL.iter().map(|counter| (counter.label(), counts.get(*counter))).collect(),
    })
}
