//! `writ warrant new`: from flags, and from answers at the terminal where a flag is missing, to a complete document.

use super::super::{CommandError, Outcome, output};
use super::fields::{Answers, Asked, FIELDS, Field, add_delivery, add_target, sound};
use super::paper::{HeadArgs, finish, roster, usual_sign_by};
use anyhow::{Context as _, anyhow};
use clap::Args;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use uuid::Uuid;
use writ_authority::{Authority, Digest, Draft, Head, Warrant};

#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// The file to write; it must not be there yet.
    file: PathBuf,
    /// The warrant's UUID; by default a new one.
    #[arg(long)]
    uuid: Option<Uuid>,
    #[command(flatten)]
    answers: Answers,
    /// The scanned order, whose SHA-256 is noted.
    #[arg(long)]
    scan: Option<PathBuf>,
    /// A target, such as "address=192.0.2.7; vlan=100; traffic=tcp far 25"; once for each.
    #[arg(long = "target")]
    targets: Vec<String>,
    /// The subscriber of targets that do not say it themselves.
    #[arg(long)]
    subscriber: Option<String>,
    /// Who confirmed targets that do not say it themselves.
    #[arg(long)]
    confirmed_by: Option<String>,
    /// On which day.
    #[arg(long)]
    confirmed_on: Option<String>,
    /// A recipient: "destination=fbi-lab; case_id=FBI-2026-0117; streams=cmii,cmc"; once for each.
    #[arg(long = "deliver")]
    deliveries: Vec<String>,
    /// The roster whose policy it is held to; by default the usual one.
    #[arg(long)]
    roster: Option<PathBuf>,
    #[command(flatten)]
    head: HeadArgs,
}

/// What the document will be made of.
struct Parts {
    uuid: Uuid,
    head: Head,
    answers: Answers,
    targets: Vec<String>,
    deliveries: Vec<String>,
    of_all_targets: [(&'static str, Option<String>); 3],
}

impl Parts {
    fn document(&self) -> Result<String, CommandError> {
        let mut draft = Draft::new();
        draft.text("uuid", &self.uuid.to_string()).count("revision", 1);
        draft.count("seen.record", self.head.number).text("seen.hash", &self.head.hash.to_string());
        self.answers.write(&mut draft);
        let of_all: Vec<_> = self.of_all_targets.iter().map(|(key, value)| (*key, value.as_deref())).collect();
        for target in &self.targets {
            add_target(&mut draft, target, &of_all)?;
        }
        for delivery in &self.deliveries {
            add_delivery(&mut draft, delivery)?;
        }
        Ok(draft.to_string())
    }

    fn authority(&self) -> Option<Authority> {
        let word = self.answers.get("authority")?;
        Authority::ALL.iter().copied().find(|authority| authority.as_str() == word)
    }

    /// What is wrong with what was given for this field; nothing if only other fields are.
    fn fault(&self, path: &str) -> Result<Option<String>, CommandError> {
        let Err(error) = Warrant::parse(self.document()?.as_bytes(), Path::new("answer")) else { return Ok(None) };
        let fault = error.faults().iter().find(|fault| {
            fault.problem != "missing" && (fault.field == path || fault.field.starts_with(&format!("{path}[")))
        });
        Ok(fault.map(ToString::to_string))
    }

    /// Asks for everything that must be there and was not given.
    fn interview(&mut self) -> Result<(), CommandError> {
        for field in FIELDS {
            let has_days = field.path == "window.stop" && self.answers.get("window.days").is_some();
            if self.answers.get(field.path).is_some() || has_days {
                continue;
            }
            let must = field.asked.of(self.authority());
            if must || field.asked == Asked::Offered {
                self.ask(field, must)?;
            }
        }
        while self.targets.is_empty() {
            let says = "Whom: address=, mac= or vlan=, with traffic=, subscriber=, confirmed_by=, confirmed_on=";
            let example = "address=192.0.2.7; subscriber=account 20117; confirmed_by=F. Osei; confirmed_on=2026-11-19";
            let line = question("target", says, example)?;
            self.targets.extend(Some(line).filter(|line| !line.is_empty()));
            if let Some(fault) = self.fault("target")? {
                output::line(&fault);
                self.targets.clear();
            }
        }
        while self.deliveries.is_empty() {
            let says = "To whom: a destination of the probe, the agency's case id, the streams";
            let line = question("delivery", says, "destination=fbi-lab; case_id=FBI-2026-0117; streams=cmii,cmc")?;
            self.deliveries.extend(Some(line).filter(|line| !line.is_empty()));
            if let Some(fault) = self.fault("delivery")? {
                output::line(&fault);
                self.deliveries.clear();
            }
        }
        Ok(())
    }

    fn ask(&mut self, field: &Field, must: bool) -> Result<(), CommandError> {
        loop {
            let says = if must { field.says.to_owned() } else { format!("{} (may stay empty)", field.says) };
            let answer = question(field.path, &says, field.example)?;
            if answer.is_empty() {
                if must {
                    continue;
                }
                return Ok(());
            }
            self.answers.0.insert(field.path, answer);
            match self.fault(field.path)? {
                None => return Ok(()),
                Some(fault) => output::line(&fault),
            }
        }
    }
}

/// Asks one thing at the terminal.
fn question(path: &str, says: &str, example: &str) -> Result<String, CommandError> {
    output::line(&format!("\n{says}.\nSuch as: {example}"));
    output::prompt(&format!("{path}: "));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).context("the answer cannot be read")?;
    if read == 0 {
        return Err(CommandError::Input(anyhow!("no more answers; nothing is written")));
    }
    Ok(answer.trim().to_owned())
}

pub(in crate::cli) fn run(args: &NewArgs) -> Result<Outcome, CommandError> {
    if args.file.exists() {
        return Err(CommandError::Input(anyhow!("{}: is there already; name another file", args.file.display())));
    }
    let mut answers = args.answers.clone();
    if let Some(config) = args.head.configuration() {
        answers.0.entry("operator").or_insert(config.probe.operator);
        answers.0.entry("probe").or_insert(config.probe.id);
    }
    answers.0.entry("sign_by").or_insert_with(usual_sign_by);
    if let Some(scan) = &args.scan {
        let bytes = std::fs::read(scan)
            .map_err(|error| CommandError::Input(anyhow!("{}: cannot be read: {error}", scan.display())))?;
        answers.0.insert("order.sha256", Digest::of(&bytes).to_string());
    }
    let roster = roster(args.roster.as_deref())?;
    let mut parts = Parts {
        uuid: args.uuid.unwrap_or_else(Uuid::new_v4),
        head: args.head.head()?,
        answers,
        targets: args.targets.clone(),
        deliveries: args.deliveries.clone(),
        of_all_targets: [
            ("confirmed_by", args.confirmed_by.clone()),
            ("confirmed_on", args.confirmed_on.clone()),
            ("subscriber", args.subscriber.clone()),
        ],
    };
    if std::io::stdin().is_terminal() {
        parts.interview()?;
    }
    let warrant = sound(&parts.document()?, &args.file)?;
    finish(&warrant, None, roster.as_ref(), &args.file)?;
    Ok(Outcome::Done)
}
