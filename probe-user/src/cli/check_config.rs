//! `writ check-config`: every fault of the configuration at once, and what the probe would do with it.

use super::{CommandError, Outcome, ReportArgs, output};
use crate::config::{Config, ConfigError, ConfigFault};
use serde::Serialize;
use writ_encoder::etsi::CaseKeys;

#[derive(Serialize)]
struct Report {
    file: String,
    ok: bool,
    faults: Vec<ConfigFault>,
}

pub(super) fn run(args: &ReportArgs) -> Result<Outcome, CommandError> {
    let file = &args.config.config;
    let checked = Config::load(file).and_then(|config| {
        let routes = config.check_credentials(file)?;
        config.check_kernel(file)?;
        config.check_accounts(file)?;
        Ok((config, routes))
    });
    let (config, routes) = match checked {
        Ok(checked) => checked,
        Err(ConfigError::Faults { faults, .. }) if args.json => {
            output::json(&Report { file: file.display().to_string(), ok: false, faults });
            return Err(CommandError::input(anyhow::anyhow!("{}: not usable", file.display())));
        }
        Err(error) => return Err(CommandError::input(error)),
    };
    if args.json {
        output::json(&Report { file: file.display().to_string(), ok: true, faults: Vec::new() });
        return Ok(Outcome::Done);
    }
    output::line(&format!("{}: good", file.display()));
    output::line(&format!("probe {} of {}", config.probe.id, config.probe.operator));
    for capture in &config.capture {
        output::line(
            &format!(
                "tap port {}: {:?} mode, {:?}{}, a miss is {:?}",
                capture.interface,
                capture.mode,
                capture.bind,
                if capture.jumbo { ", jumbo" } else { "" },
                capture.on_miss
            )
            .to_lowercase(),
        );
    }
    for (destination, [cmii, cmc]) in config.destination.iter().zip(routes) {
        let way = match (&destination.folder, &destination.tls, &destination.plain) {
            (Some(_), ..) => "files of this machine",
            (None, Some(_), None) => "TLS 1.3",
            (None, Some(_), Some(_)) => "TLS 1.3, UDP unprotected",
            (None, None, _) => "unprotected",
        };
        let (name, format) = (&destination.name, destination.format);
        // Which cases: a LIID says that there is one.
        let sealed = match cmii.case_keys().map(CaseKeys::liids) {
            None => String::new(),
            Some(None) => ", a key for every case".to_owned(),
            Some(Some(liids)) => format!(", keys of {} cases", liids.len()),
        };
        output::line(&format!("destination {name}: {format}, CmII to {cmii}, CmC to {cmc}, {way}{sealed}"));
    }
    output::line(&format!("documents of a closed case: kept {}", config.records.keep_years));
    let bytes = u64::from(config.spool.segments) * u64::from(config.spool.segment_bytes);
    output::line(&format!(
        "spool: {} MiB of memory at most for each of {} endpoints",
        bytes >> 20,
        config.destination.len() * 2
    ));
    Ok(Outcome::Done)
}
