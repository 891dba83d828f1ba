//! `writ case ...`: what is handed out of a case, and what whoever gets it can check.

mod export;
mod verify;

use super::{CommandError, Outcome};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum CaseCommand {
    /// Put everything on a case into one signed archive: documents, records, figures; no content.
    Export(export::ExportArgs),
    /// Say of such an archive what holds, and how far. Needs no probe.
    Verify(verify::VerifyArgs),
}

pub(super) fn run(command: &CaseCommand) -> Result<Outcome, CommandError> {
    match command {
        CaseCommand::Export(args) => export::run(args),
        CaseCommand::Verify(args) => verify::run(args),
    }
}
