//! The fields of a warrant as a person gives them: each by a flag, or by an answer at the terminal. One table says of
//! each what it means; flags, questions and messages are made of it.

use super::super::CommandError;
use anyhow::anyhow;
use clap::{Arg, ArgMatches, Command};
use std::collections::BTreeMap;
use std::path::Path;
use writ_authority::{Authority, Draft, Fault, Warrant};

/// A field of the document.
pub(super) struct Field {
    /// Where it stands: `order.court`.
    pub(super) path: &'static str,
    /// Its flag.
    pub(super) flag: &'static str,
    /// What it means, in one line.
    pub(super) says: &'static str,
    /// What it looks like.
    pub(super) example: &'static str,
    kind: Kind,
    /// Who must answer it.
    pub(super) asked: Asked,
}

/// How a value is written.
enum Kind {
    Text,
    Flag,
    Count,
}

/// Of which warrants a field is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Of all.
    Always,
    /// Where a court has made an order.
    OfCourt,
    /// Of all but tests.
    OfOrders,
    /// Of nobody, but everybody is offered it.
    Offered,
    /// Of nobody.
    Never,
}

impl Asked {
    /// Whether a warrant under this authority must have it.
    pub(super) fn of(self, authority: Option<Authority>) -> bool {
        match self {
            Self::Always => true,
            Self::OfCourt => authority.is_none_or(Authority::has_court_order),
            Self::OfOrders => authority.is_none_or(|authority| !authority.is_test()),
            Self::Offered | Self::Never => false,
        }
    }
}

const fn text(
    path: &'static str,
    flag: &'static str,
    asked: Asked,
    says: &'static str,
    example: &'static str,
) -> Field {
    Field { path, flag, says, example, kind: Kind::Text, asked }
}

const fn flag(path: &'static str, flag: &'static str, says: &'static str) -> Field {
    Field { path, flag, says, example: "true", kind: Kind::Flag, asked: Asked::OfOrders }
}

/// All fields but targets and deliveries, in the order of the document.
pub(super) const FIELDS: &[Field] = &[
    text("operator", "operator", Asked::Always, "The operator, as in the probe's configuration", "ExampleNet"),
    text("probe", "probe", Asked::Always, "The probe that carries it out, as in its configuration", "pop3-probe1"),
    text("sign_by", "sign-by", Asked::Always, "Until when it may be signed and handed in", "2026-11-21T09:00:00-05:00"),
    text(
        "compartment",
        "compartment",
        Asked::Offered,
        "Among whom the case is known; without it: general",
        "gang-crime",
    ),
    text(
        "authority",
        "authority",
        Asked::Always,
        "The law it rests on: title-iii, pen-trap, pen, trap, fisa-surveillance, \
        fisa-pen-trap, state, emergency-2518, emergency-3125, consent, trespasser, test",
        "title-iii",
    ),
    text("scope", "scope", Asked::Always, "What is taken of a packet: content, or headers alone", "content"),
    text("directions", "directions", Asked::Always, "from the subject, to the subject, or both", "both"),
    text("order.court", "court", Asked::OfCourt, "The court that entered the order", "E.D. Example"),
    text("order.judge", "judge", Asked::OfCourt, "The judge", "Hon. A. Judge"),
    text("order.docket", "docket", Asked::OfCourt, "The docket number", "26-mc-0117"),
    text("order.entered", "entered", Asked::OfCourt, "The day on which it was entered", "2026-11-18"),
    text(
        "order.applied",
        "applied",
        Asked::Never,
        "Of an emergency: the day on which the order was applied for",
        "2026-11-19",
    ),
    text("order.served", "served", Asked::Always, "The day on which it was served on the operator", "2026-11-19"),
    text("order.served_by", "served-by", Asked::OfOrders, "Who brought it", "Special Agent B. Agent"),
    text("order.served_how", "served-how", Asked::OfOrders, "In what way", "in person, on paper"),
    flag("order.sealed", "sealed", "Whether the order is under seal: true or false"),
    flag("order.non_disclosure", "non-disclosure", "Whether it forbids to tell the subscriber: true or false"),
    text(
        "order.presented_by",
        "presented-by",
        Asked::Always,
        "The agency's officer who presented it",
        "Special Agent B. Agent",
    ),
    text(
        "order.presented_contact",
        "presented-contact",
        Asked::OfOrders,
        "How to reach that officer",
        "+1 202 555 0117",
    ),
    text(
        "order.verified_by",
        "verified-by",
        Asked::OfOrders,
        "Who at the operator made sure that it is genuine",
        "Ada Marsh",
    ),
    text(
        "order.verified_how",
        "verified-how",
        Asked::OfOrders,
        "How: whom they called back, on which number, when",
        "called the field office back on its published number, 2026-11-19 15:10",
    ),
    text("order.signed_by", "signed-by", Asked::Always, "Who signed the authorisation", "Hon. A. Judge"),
    text("order.agency", "agency", Asked::Always, "The agency", "FBI"),
    text("order.reference", "reference", Asked::Offered, "Where the scanned order is kept", "Legal, safe 2, folder 14"),
    text(
        "order.sha256",
        "sha256",
        Asked::Never,
        "SHA-256 of the scanned order; --scan computes it",
        "64 hexadecimal digits",
    ),
    text(
        "window.zone",
        "zone",
        Asked::Offered,
        "Time zone for moments without an offset, and for counting days",
        "America/New_York",
    ),
    text(
        "window.start",
        "start",
        Asked::Always,
        "First moment at which packets may be taken",
        "2026-11-20T09:00:00-05:00",
    ),
    text(
        "window.stop",
        "stop",
        Asked::Always,
        "First moment at which none may be taken any more",
        "2026-12-20T09:00:00-05:00",
    ),
    Field {
        path: "window.days",
        flag: "days",
        says: "Calendar days from the start, instead of a stop",
        example: "30",
        kind: Kind::Count,
        asked: Asked::Never,
    },
];

impl Field {
    fn write(&self, value: &str, draft: &mut Draft) {
        // What is no such value is written as it is, and refused by name when the document is read.
        match (&self.kind, value.parse::<u32>()) {
            (Kind::Flag, _) if ["true", "yes"].contains(&value) => draft.flag(self.path, true),
            (Kind::Flag, _) if ["false", "no"].contains(&value) => draft.flag(self.path, false),
            (Kind::Count, Ok(count)) => draft.count(self.path, count.into()),
            _ => draft.text(self.path, value),
        };
    }
}

/// What was given, by path.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(pub(super) BTreeMap<&'static str, String>);

impl Answers {
    /// What was given for a field.
    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Writes all of them.
    pub(super) fn write(&self, draft: &mut Draft) {
        for field in FIELDS {
            if let Some(value) = self.get(field.path) {
                field.write(value, draft);
            }
        }
    }
}

impl clap::FromArgMatches for Answers {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut answers = Self::default();
        answers.update_from_arg_matches(matches)?;
        Ok(answers)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for field in FIELDS {
            if let Some(value) = matches.get_one::<String>(field.path) {
                self.0.insert(field.path, value.clone());
            }
        }
        Ok(())
    }
}

impl clap::Args for Answers {
    fn augment_args(command: Command) -> Command {
        let arg = |field: &Field| {
            let help = format!("{} [{}]", field.says, field.example);
            Arg::new(field.path).long(field.flag).value_name("VALUE").help(help).help_heading("Fields")
        };
        command.args(FIELDS.iter().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A target or a delivery as one line: `address=192.0.2.7; traffic=tcp far 25; traffic=udp own 5060`.
pub(super) fn parts(line: &str) -> Result<Vec<(&str, &str)>, CommandError> {
    let part = |part: &'_ str| {
        part.split_once('=').map(|_| ()).ok_or_else(|| {
            CommandError::Input(anyhow!("{part:?}: not field=value; write fields apart by semicolons, as --help shows"))
        })
    };
    let mut parts = Vec::new();
    for piece in line.split(';').map(str::trim).filter(|piece| !piece.is_empty()) {
        part(piece)?;
        parts.extend(piece.split_once('=').map(|(key, value)| (key.trim(), value.trim())));
    }
    Ok(parts)
}

/// Adds a `[[target]]`, with what is said of all targets where the line does not say it.
pub(super) fn add_target(draft: &mut Draft, line: &str, of_all: &[(&str, Option<&str>)]) -> Result<(), CommandError> {
    let parts = parts(line)?;
    draft.add("target", |target| {
        let traffic: Vec<_> = parts.iter().filter(|(key, _)| *key == "traffic").map(|(_, value)| *value).collect();
        for (key, value) in parts.iter().filter(|(key, _)| *key != "traffic") {
            target.text(key, value);
        }
        if !traffic.is_empty() {
            target.texts("traffic", &traffic);
        }
        for (key, value) in of_all {
            if let (Some(value), false) = (value, parts.iter().any(|(given, _)| given == key)) {
                target.text(key, value);
            }
        }
    });
    Ok(())
}

/// Adds a `[[delivery]]`.
pub(super) fn add_delivery(draft: &mut Draft, line: &str) -> Result<(), CommandError> {
    let parts = parts(line)?;
    draft.add("delivery", |delivery| {
        for (key, value) in parts {
            if key == "streams" {
                delivery.texts(key, &value.split(',').map(str::trim).collect::<Vec<_>>());
            } else {
                delivery.text(key, value);
            }
        }
    });
    Ok(())
}

/// Reads what was drafted as the probe will read it; every fault with the flag that mends it.
pub(super) fn sound(text: &str, file: &Path) -> Result<Warrant, CommandError> {
    Warrant::parse(text.as_bytes(), file).map_err(|error| {
        let lines: Vec<_> = error.faults().iter().map(|fault| with_flag(file, fault)).collect();
        CommandError::Input(anyhow!(lines.join("\n")))
    })
}

fn with_flag(file: &Path, fault: &Fault) -> String {
    let said = format!("{}: {fault}", file.display());
    match FIELDS.iter().find(|field| field.path == fault.field) {
        Some(field) => format!("{said} (--{}: {})", field.flag, field.says),
        None if fault.field.starts_with("target") => {
            format!(
                "{said} (in --target \"address=192.0.2.7; ...\", or of all: --confirmed-by, --confirmed-on, --subscriber)"
            )
        }
        None if fault.field.starts_with("delivery") => {
            format!("{said} (--deliver \"destination=fbi-lab; case_id=FBI-2026-0117; streams=cmii,cmc\")")
        }
        None => said,
    }
}
