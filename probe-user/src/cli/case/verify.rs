//! `writ case verify`: what holds of an exported case, and how far, from the file and public keys alone.

use crate::cli::audit::EvidenceArgs;
use crate::cli::{CommandError, Outcome, output};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use writ_authority::{Trust, check_export};

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// The archive.
    file: PathBuf,
    #[command(flatten)]
    evidence: EvidenceArgs,
    /// Print JSON for a script.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &VerifyArgs) -> Result<Outcome, CommandError> {
    let rosters: Result<_, _> = args.evidence.keys.roster.iter().map(|file| read(file)).collect();
    let keys = args.evidence.keys.read().map_err(CommandError::Input)?;
    let trust = Trust { keys, rosters: rosters?, evidence: args.evidence.evidence()? };
    let verdict = check_export(&read(&args.file)?, &trust);
    if args.json {
        output::json(&json!({
            "ok": verdict.is_good(), "holds": verdict.holds, "open": verdict.open, "faults": verdict.faults,
        }));
    } else {
        let is = if verdict.is_good() { "good" } else { "NOT as the probe made it" };
        output::line(&format!("{is}: {}", args.file.display()));
        verdict.holds.iter().for_each(|it| output::line(&format!("holds: {it}")));
        verdict.open.iter().for_each(|it| output::line(&format!("not known from here: {it}")));
    }
    verdict.faults.iter().for_each(|fault| output::complain(fault));
    Ok(if verdict.is_good() { Outcome::Done } else { Outcome::Negative })
}

fn read(file: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(file)
        .map_err(|error| CommandError::Input(anyhow::anyhow!("{}: cannot be read: {error}", file.display())))
}
