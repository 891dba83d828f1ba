//! `writ warrant amend` and `writ warrant extend`: the next revision of a warrant, with what was given changed in it.

use super::super::{CommandError, Outcome};
use super::fields::{Answers, add_target, sound};
use super::paper::{HeadArgs, beside, finish, heading_after, roster, warrant};
use anyhow::anyhow;
use clap::Args;
use std::path::PathBuf;
use writ_authority::{Draft, Limit, Policy, Roster, Warrant};

#[derive(Debug, Args)]
pub(in crate::cli) struct AmendArgs {
    /// The revision in force: its file, or the UUID of a warrant of the running probe.
    warrant: String,
    /// The file to write; by default beside the warrant, with the number of the revision.
    #[arg(long, short)]
    output: Option<PathBuf>,
    #[command(flatten)]
    answers: Answers,
    /// One more target, such as "address=192.0.2.7; subscriber=...; confirmed_by=...; confirmed_on=..."; once for each.
    #[arg(long = "target")]
    targets: Vec<String>,
    /// The number of a target that is no longer taken, counted from 1; once for each.
    #[arg(long = "remove-target")]
    removed: Vec<usize>,
    /// The roster whose policy it is held to; by default the usual one.
    #[arg(long)]
    roster: Option<PathBuf>,
    #[command(flatten)]
    head: HeadArgs,
}

/// Writes the next revision, with what was given changed.
pub(in crate::cli) fn amend(args: &AmendArgs) -> Result<Outcome, CommandError> {
    let before = warrant(&args.warrant, &args.head.config)?;
    let draft = revision(args, &before)?;
    write(args, &before, &draft)
}

/// The same, with a new order and a later stop: the one given, or else the latest that the authority allows.
pub(in crate::cli) fn extend(args: &AmendArgs) -> Result<Outcome, CommandError> {
    let before = warrant(&args.warrant, &args.head.config)?;
    let new_order = ["order.docket", "order.entered", "order.served"];
    if new_order.iter().all(|path| args.answers.get(path).is_none()) {
        return Err(CommandError::Input(anyhow!(
            "an extension needs an order of its own; give --entered and --served, and --docket if it has another"
        )));
    }
    let mut draft = revision(args, &before)?;
    if args.answers.get("window.stop").is_none() && args.answers.get("window.days").is_none() {
        let tentative = sound(&draft.to_string(), &file(args, &before))?;
        let (roster, usual) = (roster(args.roster.as_deref())?, Policy::default());
        let limit = Limit::of(&tentative, Some(&before), roster.as_ref().map_or(&usual, Roster::policy));
        let stop = limit.stop.to_zoned(before.calendar().clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        draft.remove("window.days").text("window.stop", &stop);
    }
    write(args, &before, &draft)
}

fn file(args: &AmendArgs, before: &Warrant) -> PathBuf {
    let beside = || beside(&args.warrant, &format!("r{}", before.revision().saturating_add(1)));
    args.output.clone().unwrap_or_else(beside)
}

fn revision(args: &AmendArgs, before: &Warrant) -> Result<Draft, CommandError> {
    let mut draft = Draft::of(before.bytes(), before.file()).map_err(CommandError::input)?;
    draft
        .count("revision", u64::from(before.revision()) + 1)
        .text("previous", &before.digest().to_string())
        .heading(&heading_after(before, args.answers.get("sign_by"), &args.head)?);
    for (given, instead) in [("window.stop", "window.days"), ("window.days", "window.stop")] {
        if args.answers.get(given).is_some() {
            draft.remove(instead);
        }
    }
    args.answers.write(&mut draft);
    // From the last on, so that the numbers stay those of the revision before.
    let mut removed = args.removed.clone();
    removed.sort_unstable();
    removed.dedup();
    for number in removed.into_iter().rev() {
        if !draft.remove_section("target", number) {
            let targets = before.targets().len();
            return Err(CommandError::Input(anyhow!("--remove-target {number}: the warrant has {targets} targets")));
        }
    }
    for target in &args.targets {
        add_target(&mut draft, target, &[])?;
    }
    // Content that nobody may take is delivered to nobody.
    if args.answers.get("scope") == Some("headers") {
        for (i, delivery) in before.deliveries().iter().enumerate() {
            if delivery.streams.cmii() {
                draft.texts_in("delivery", i + 1, "streams", &["cmii"]);
            }
        }
    }
    Ok(draft)
}

fn write(args: &AmendArgs, before: &Warrant, draft: &Draft) -> Result<Outcome, CommandError> {
    let file = file(args, before);
    let after = sound(&draft.to_string(), &file)?;
    finish(&after, Some(before), roster(args.roster.as_deref())?.as_ref(), &file)?;
    Ok(Outcome::Done)
}
