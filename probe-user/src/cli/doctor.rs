//! `writ doctor`: looks at the machine and at each configured port.

use super::{CommandError, Outcome, ReportArgs, output};
use crate::config::Config;
use serde::Serialize;
use writ_capture::doctor::{self, Check, State};

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Check],
}

pub(super) fn run(args: &ReportArgs) -> Result<Outcome, CommandError> {
    let config = Config::load(&args.config.config).map_err(CommandError::input)?;
    let mut checks = doctor::machine();
    for settings in &config.capture {
        checks.extend(doctor::port(settings));
    }
    let ok = !checks.iter().any(|check| check.state == State::Fail);
    if args.json {
        output::json(&Report { ok, checks: &checks });
    } else {
        for check in &checks {
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
    }
    Ok(if ok { Outcome::Done } else { Outcome::Negative })
}
