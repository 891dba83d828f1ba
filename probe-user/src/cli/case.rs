//! `writ case ...`: what is handed out of a case, what whoever gets it can check, and what was delivered in digests.

mod digests;
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
    /// What was delivered of a case, in digests; and whether an agency's file says the same.
    Digests(digests::DigestsArgs),
    /// Keep the digests of a case that its agency countersigned.
    Countersigned(digests::CountersignedArgs),
}

pub(super) fn run(command: &CaseCommand) -> Result<Outcome, CommandError> {
    match command {
        CaseCommand::Export(args) => export::run(args),
        CaseCommand::Verify(args) => verify::run(args),
        CaseCommand::Digests(args) => digests::show(args),
        CaseCommand::Countersigned(args) => digests::keep(args),
    }
}
