//! `writ audit ...`: offline, from the file alone.

use super::{CommandError, ConfigArgs, Outcome, output};
use crate::config::Config;
use crate::roles::control::Files;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use writ_authority::{AuditError, Digest, read_records, verify};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Find any record that was changed, removed, added or put elsewhere.
    Verify(VerifyArgs),
    /// Print the records.
    Show(FileArgs),
    /// Print number and hash of the last record, to be kept outside this machine.
    Head(FileArgs),
}

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The log; by default that of the configuration's state directory.
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON for a script.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    file: FileArgs,
    /// A head that was kept outside: proves that nothing up to it is missing.
    #[arg(long)]
    head: Option<String>,
}

impl FileArgs {
    fn path(&self) -> Result<PathBuf, CommandError> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => Ok(Files::of(&Config::load(&self.config.config).map_err(CommandError::input)?).audit),
        }
    }
}

pub(super) fn run(command: &AuditCommand) -> Result<Outcome, CommandError> {
    match command {
        AuditCommand::Verify(args) => {
            let head = match &args.head {
                None => None,
                Some(text) => Some(text.parse::<Digest>().map_err(|error| {
                    CommandError::Input(anyhow::anyhow!(
                        "--head: {error}; give the hash that `writ audit head` printed"
                    ))
                })?),
            };
            match verify(&args.file.path()?, head) {
                Ok(summary) => {
                    if args.file.json {
                        output::json(&serde_json::json!({
                            "ok": true,
                            "records": summary.head.number,
                            "head": summary.head.hash.to_string(),
                            "proven_to": summary.proven_to,
                        }));
                    } else {
                        output::line(&format!("good: {} records, head {}", summary.head.number, summary.head.hash));
                        output::line(&match summary.proven_to {
                            Some(number) => format!("nothing is missing up to record {number}, whose head was given"),
                            None => "no head was given: records cut off at the end would not be noticed".to_owned(),
                        });
                    }
                    Ok(Outcome::Done)
                }
                Err(AuditError::Fault(fault)) => {
                    if args.file.json {
                        output::json(&serde_json::json!({
                            "ok": false, "record": fault.number, "fault": fault.to_string(),
                        }));
                    }
                    output::complain(&fault.to_string());
                    Ok(Outcome::Negative)
                }
                Err(error) => Err(CommandError::failed(error)),
            }
        }
        AuditCommand::Show(args) => {
            let records = read_records(&args.path()?).map_err(CommandError::failed)?;
            if args.json {
                output::json(&records);
                return Ok(Outcome::Done);
            }
            let rows: Vec<_> = records
                .iter()
                .map(|record| {
                    let details: Vec<_> = record.details.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    let uuid = record.subject.as_ref().and_then(|subject| subject.uuid);
                    vec![
                        record.number.to_string(),
                        record.time.to_string(),
                        record.act.clone(),
                        format!("{:?}", record.outcome).to_lowercase(),
                        format!("{} ({})", record.actor.who, record.actor.pid),
                        uuid.map(|uuid| uuid.to_string()).unwrap_or_default(),
                        details.join(", "),
                    ]
                })
                .collect();
            output::table(&["no.", "time", "act", "outcome", "who (pid)", "warrant", "details"], &rows);
            Ok(Outcome::Done)
        }
        AuditCommand::Head(args) => {
            let summary = verify(&args.path()?, None).map_err(CommandError::failed)?;
            if args.json {
                output::json(&serde_json::json!({
                    "number": summary.head.number, "hash": summary.head.hash.to_string(),
                }));
            } else {
                output::line(&format!("{} {}", summary.head.number, summary.head.hash));
            }
            Ok(Outcome::Done)
        }
    }
}
