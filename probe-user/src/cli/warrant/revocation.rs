//! `writ warrant revocation`: the document by which one officer ends a warrant for good.

use super::super::{CommandError, Outcome, output};
use super::paper::{HeadArgs, beside, heading_after, warrant, write};
use clap::Args;
use std::path::PathBuf;
use writ_authority::{Draft, Paper, REVOKE, Revocation};

#[derive(Debug, Args)]
pub(in crate::cli) struct RevocationArgs {
    /// The revision in force: its file, or the UUID of a warrant of the running probe.
    warrant: String,
    /// Why.
    #[arg(long)]
    reason: String,
    /// revoked; or denied, where the order that an emergency was to get was denied.
    #[arg(long, default_value = "revoked")]
    kind: String,
    /// Until when it may be signed and handed in; by default three days.
    #[arg(long)]
    sign_by: Option<String>,
    /// The file to write; by default beside the warrant.
    #[arg(long, short)]
    output: Option<PathBuf>,
    #[command(flatten)]
    head: HeadArgs,
}

pub(in crate::cli) fn run(args: &RevocationArgs) -> Result<Outcome, CommandError> {
    let warrant = warrant(&args.warrant, &args.head.config)?;
    let mut draft = Draft::new();
    draft
        .text("uuid", &warrant.uuid().to_string())
        .count("revision", warrant.revision().into())
        .text("warrant", &warrant.digest().to_string())
        .heading(&heading_after(&warrant, args.sign_by.as_deref(), &args.head)?)
        .text("kind", &args.kind)
        .text("reason", &args.reason);
    let file = args.output.clone().unwrap_or_else(|| beside(&args.warrant, "revocation"));
    let revocation = Revocation::parse(draft.to_string().as_bytes(), &file).map_err(CommandError::input)?;
    let paper = Paper::Revocation(revocation);
    paper.reading().iter().for_each(|line| output::line(line));
    write(&file, paper.bytes(), REVOKE.as_str())?;
    Ok(Outcome::Done)
}
