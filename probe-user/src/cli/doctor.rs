//! `writ doctor`: looks at the machine and at each configured port; with `--fix` it sets up the ports' cards, and says
//! how to undo it.

use super::{CommandError, Outcome, ReportArgs, output};
use crate::config::Config;
use crate::roles::is_running;
use clap::Args;
use serde::Serialize;
use writ_capture::doctor::{self, Change, Check, Outcome as Made, State, Way};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// Set up the cards of the configured ports: queues, ring, offloads, how frames are spread, interrupts.
    #[arg(long)]
    fix: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Check],
    changes: &'a [Cure],
}

/// A change and what became of it.
#[derive(Serialize)]
struct Cure {
    #[serde(flatten)]
    change: Change,
    /// The way in which it was made.
    made: Option<Way>,
    /// Why it was not.
    refused: Option<String>,
}

impl Cure {
    fn new(change: Change, outcome: Option<Made>) -> Self {
        let (made, refused) = match outcome {
            None => (None, None),
            Some(Made::Made(way)) => (Some(way), None),
            Some(Made::Refused(said)) => (None, Some(said)),
        };
        Self { change, made, refused }
    }

    fn lines(&self) -> Vec<String> {
        let Change { what, from, to, .. } = &self.change;
        match (&self.made, &self.refused) {
            (Some(way), _) => {
                vec![
                    format!("changed  {what}: {from} -> {to}"),
                    format!("         `{}`; undo: `{}`", way.step, way.undo),
                ]
            }
            (None, Some(said)) => vec![format!("refused  {what}: {from} stays: {said}")],
            (None, None) => {
                let undo = self.change.ways.first().map(|way| way.undo.to_string()).unwrap_or_default();
                vec![
                    format!("would change  {what}: {from} -> {to}"),
                    format!("              `{}`; undo: `{undo}`", self.change.command()),
                ]
            }
        }
    }
}

pub(super) fn run(args: &DoctorArgs) -> Result<Outcome, CommandError> {
    let config = Config::load(&args.report.config.config).map_err(CommandError::input)?;
    let mut changes = Vec::new();
    if args.fix {
        if is_running(&config.probe.runtime) {
            let why = "the probe runs, and a card that is set up loses what it holds: stop it first";
            return Err(CommandError::input(anyhow::anyhow!(why)));
        }
        for settings in &config.capture {
            doctor::fix(settings, &mut |change, outcome| changes.push(Cure::new(change.clone(), Some(outcome))));
        }
    }
    let mut checks = doctor::machine();
    checks.push(doctor::clock(&config.clock));
    for settings in &config.capture {
        checks.extend(doctor::port(settings));
        if !args.fix {
            changes.extend(doctor::plan(settings).into_iter().map(|change| Cure::new(change, None)));
        }
    }
    let ok = !checks.iter().any(|check| check.state == State::Fail);
    if args.report.json {
        output::json(&Report { ok, checks: &checks, changes: &changes });
    } else {
        print(&checks, &changes);
    }
    Ok(if ok { Outcome::Done } else { Outcome::Negative })
}

fn print(checks: &[Check], changes: &[Cure]) {
    for check in checks {
        let mark = match check.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        output::line(&format!("{mark}  {}: {}", check.name, check.found));
        if !check.remedy.is_empty() {
            output::line(&format!("      -> {}", check.remedy));
        }
    }
    if !changes.is_empty() {
        output::line("");
    }
    for line in changes.iter().flat_map(Cure::lines) {
        output::line(&line);
    }
}
