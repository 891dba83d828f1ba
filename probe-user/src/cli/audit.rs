//! `writ audit ...`: offline, from files alone.

mod verify;

pub(super) use verify::{KeyArgs, add_checkpoints};

use super::{CommandError, ConfigArgs, Outcome, ReportArgs, output};
use crate::config::Config;
use crate::roles::control::{Files, key_file};
use clap::{Args, Subcommand};
use std::path::PathBuf;
pub(super) use verify::EvidenceArgs;
use verify::VerifyArgs;
use writ_authority::{CheckpointKey, read_records};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Find any record that was changed, removed, added or put elsewhere, as far as somebody outside has seen the log.
    Verify(VerifyArgs),
    /// Print the records.
    Show(FileArgs),
    /// Print number and hash of the last record, to be kept outside this machine.
    Head(FileArgs),
    /// Print the public half of the key that signs checkpoints, for the roster; make the key if there is none yet.
    Key(ReportArgs),
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
        AuditCommand::Verify(args) => verify::run(args),
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
            let summary = writ_authority::verify(&args.path()?, None).map_err(CommandError::failed)?;
            if args.json {
                output::json(&serde_json::json!({
                    "number": summary.head.number, "hash": summary.head.hash.to_string(),
                }));
            } else {
                output::line(&format!("{} {}", summary.head.number, summary.head.hash));
            }
            Ok(Outcome::Done)
        }
        AuditCommand::Key(args) => {
            let config = Config::load(&args.config.config).map_err(CommandError::input)?;
            let public =
                CheckpointKey::open(&key_file(&config), &config.probe.id).map_err(CommandError::failed)?.public();
            if args.json {
                output::json(&serde_json::json!({
                    "key": public.to_string(), "fingerprint": public.fingerprint(),
                }));
            } else {
                output::line(&public.to_string());
            }
            Ok(Outcome::Done)
        }
    }
}
