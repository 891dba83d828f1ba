//! What all drafts have in common: the audit head that their author saw, until when they may be signed, the document
//! they follow, the policy they are held to, and the file they are written to.

use super::super::{CommandError, ConfigArgs, SocketArgs, output};
use super::read_text;
use crate::config::Config;
use crate::ipc::{Reply, Request, ask};
use crate::roles::control::Files;
use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use writ_authority::{Change, Digest, Fault, Head, Heading, Policy, Roster, Warrant, reading, verify};

/// How long a draft may be signed, where nothing else is said.
const USUAL_SIGNING: SignedDuration = SignedDuration::from_hours(72);

/// What a draft notes of the audit log.
#[derive(Debug, Args)]
pub(super) struct HeadArgs {
    /// The end of the probe's audit log, as `writ audit head` prints it there: "17 b194...". By default it is read from
    /// the log of this machine's probe.
    #[arg(long)]
    head: Option<String>,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
}

impl HeadArgs {
    /// The head.
    pub(super) fn head(&self) -> Result<Head, CommandError> {
        let Some(text) = &self.head else {
            let here = || -> anyhow::Result<Head> {
                Ok(verify(&Files::of(&Config::load(&self.config.config)?).audit, None)?.head)
            };
            return here()
                .context("the audit log of a probe cannot be read here; give --head as `writ audit head` prints it")
                .map_err(CommandError::Input);
        };
        let read = text.split_once(' ').and_then(|(number, hash)| {
            Some(Head { number: number.parse().ok()?, hash: hash.trim().parse::<Digest>().ok()? })
        });
        read.ok_or_else(|| {
            CommandError::Input(anyhow!("--head: not a number and a hash; copy the line of `writ audit head`"))
        })
    }

    /// The probe's configuration, if there is one here.
    pub(super) fn configuration(&self) -> Option<Config> {
        Config::load(&self.config.config).ok()
    }
}

/// Until when a draft of now may be signed.
pub(super) fn usual_sign_by() -> String {
    let until = Timestamp::now().saturating_add(USUAL_SIGNING).unwrap_or(Timestamp::MAX);
    until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What a draft that follows `warrant` begins with.
pub(super) fn heading_after(
    warrant: &Warrant,
    sign_by: Option<&str>,
    head: &HeadArgs,
) -> Result<Heading, CommandError> {
    let sign_by = sign_by.map_or_else(usual_sign_by, str::to_owned);
    let sign_by = sign_by.parse().map_err(|_| {
        CommandError::Input(anyhow!("--sign-by: not a moment with its offset, such as 2026-11-21T09:00:00-05:00"))
    })?;
    let (operator, probe) = (warrant.operator().to_owned(), warrant.probe().to_owned());
    Ok(Heading { operator, probe, sign_by, seen: head.head()? })
}

/// The warrant in a file, or the one with this UUID as the running probe has it.
pub(super) fn warrant(file_or_uuid: &str, config: &ConfigArgs) -> Result<Warrant, CommandError> {
    let file = Path::new(file_or_uuid);
    let document = match Uuid::try_parse(file_or_uuid) {
        Ok(uuid) if !file.exists() => {
            let config = ConfigArgs { config: config.config.clone() };
            let socket = SocketArgs { socket: None, config, json: false };
            match ask(&socket.path()?, &Request::WarrantShow { uuid }).map_err(CommandError::failed)? {
                Reply::Warrant(detail) => detail.document,
                Reply::Refused { reasons } => return Err(CommandError::Input(anyhow!(reasons.join("\n")))),
                _ => return Err(CommandError::Failed(anyhow!("the probe gave no answer that fits"))),
            }
        }
        _ => read_text(file)?,
    };
    Warrant::parse(document.as_bytes(), file).map_err(CommandError::input)
}

/// The roster of this file.
pub(super) fn roster(file: Option<&Path>) -> Result<Option<Roster>, CommandError> {
    let read = |file| Roster::parse(read_text(file)?.as_bytes(), file).map_err(CommandError::input);
    file.map(read).transpose()
}

/// Everything for which the probe would refuse a warrant with this policy, whoever signed it.
pub(super) fn faults(warrant: &Warrant, before: Option<&Warrant>, policy: &Policy) -> Vec<Fault> {
    let mut faults = policy.faults(warrant, before);
    faults.extend(Change::to(warrant, before).err().into_iter().flatten());
    faults
}

/// Says what was drafted and writes it, unless the probe would refuse it.
pub(super) fn finish(
    warrant: &Warrant,
    before: Option<&Warrant>,
    roster: Option<&Roster>,
    file: &Path,
) -> Result<(), CommandError> {
    let usual = Policy::default();
    let policy = roster.map_or(&usual, Roster::policy);
    let faults = faults(warrant, before, policy);
    if !faults.is_empty() {
        let mut lines: Vec<_> = faults.iter().map(|fault| format!("{}: {fault}", file.display())).collect();
        if roster.is_none() {
            lines
                .push("nothing is written: held to the usual policy; give --roster FILE if yours allows it".to_owned());
        }
        return Err(CommandError::Input(anyhow!(lines.join("\n"))));
    }
    reading(warrant, before, policy).iter().for_each(|line| output::line(line));
    write(file, warrant.bytes(), writ_authority::namespace(warrant).as_str())
}

/// Writes a document that is not there yet, and says how it is signed.
pub(super) fn write(file: &Path, bytes: &[u8], namespace: &str) -> Result<(), CommandError> {
    let mut out = OpenOptions::new().write(true).create_new(true).open(file).map_err(|error| {
        CommandError::Input(anyhow!("{}: cannot be made: {error}; name another file with --output", file.display()))
    })?;
    out.write_all(bytes).with_context(|| file.display().to_string())?;
    output::line(&format!("\nwritten: {}, sha256 {}", file.display(), Digest::of(bytes)));
    output::line(&format!(
        "to sign it: writ-officer sign {0} --key KEY, or ssh-keygen -Y sign -n {namespace} -f KEY {0}",
        file.display()
    ));
    Ok(())
}

/// `warrant.toml` and `r2` make `warrant-r2.toml`.
pub(super) fn beside(of: &str, what: &str) -> PathBuf {
    let path = Path::new(of);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{what}.toml"))
}
