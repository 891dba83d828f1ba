//! `writ backup ...`: a copy of what the probe must not forget, its way back, and what it takes until the probe believes it.
//! The files are read and written here, by whoever may; the records are the control role's, or made under the log's own lock
//! where no probe runs.

use super::audit::{KeyArgs, add_checkpoints};
use super::{CommandError, ConfigArgs, Outcome, SocketArgs, output, reply};
use crate::config::Config;
use crate::ipc::{Reply, Request, RequestError, ask};
use crate::roles::control::{Files, caller, note_backup, open_register, release};
use crate::roles::lock;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::path::PathBuf;
use writ_authority::{BackupDraft, BackupError, Digest, Evidence, Head, ProbeIdentity, Register, Unpacked, releasable};
use writ_spool::LedgerFiles;

#[derive(Debug, Subcommand)]
pub(super) enum BackupCommand {
    /// Write a backup of the state directory. The probe may run meanwhile.
    Create(CreateArgs),
    /// Put a backup into an empty state directory. Everything in it is held until it is released or approved anew.
    Restore(RestoreArgs),
    /// Show that a restored or doubted log ends where it was last seen, so that what is held for that is in force again.
    Release(ReleaseArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The file to be written. It has every order: whoever can read it knows whom they name.
    file: PathBuf,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("evidence").required(true))]
pub(super) struct ReleaseArgs {
    /// The last head of the log that anybody saw, as `writ backup create` or `writ audit head` printed it: "NUMBER HASH".
    #[arg(long, group = "evidence", value_parser = head)]
    head: Option<Head>,
    /// All checkpoints that a witness has: a file that it wrote, or a folder of them. Asks for --key or --roster.
    #[arg(long, group = "evidence", value_name = "FILE-OR-FOLDER")]
    checkpoints: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

/// Reads a head as it is printed.
fn head(text: &str) -> Result<Head, String> {
    let read = || {
        let (number, hash) = text.trim().split_once(' ')?;
        Some(Head { number: number.parse().ok()?, hash: hash.trim().parse::<Digest>().ok()? })
    };
    read().ok_or_else(|| "write number and hash as `writ audit head` prints them, in quotes".to_owned())
}

pub(super) fn run(command: &BackupCommand) -> Result<Outcome, CommandError> {
    match command {
        BackupCommand::Create(args) => create(args),
        BackupCommand::Restore(args) => restore(args),
        BackupCommand::Release(args) => let_go(args),
    }
}

fn load(config: &ConfigArgs) -> Result<Config, CommandError> {
    Config::load(&config.config).map_err(CommandError::input)
}

fn identity(config: &Config) -> ProbeIdentity {
    ProbeIdentity { operator: config.probe.operator.clone(), probe: config.probe.id.clone() }
}

/// What the operator can mend is said as such.
fn failed(error: BackupError) -> CommandError {
    match error {
        BackupError::Exists(_)
        | BackupError::NotEmpty(_)
        | BackupError::Unsound { .. }
        | BackupError::Foreign { .. } => CommandError::input(error),
        error => CommandError::failed(error),
    }
}

/// Asks the running probe, or does the same here under the audit log's own lock.
fn ask_or(
    socket: &SocketArgs,
    config: &Config,
    request: &Request,
    alone: impl FnOnce(&mut Register) -> Reply,
) -> Result<Reply, CommandError> {
    match ask(&socket.path()?, request) {
        Err(RequestError::Connect { .. }) if socket.socket.is_none() => {
            Ok(alone(&mut open_register(config).map_err(CommandError::failed)?))
        }
        answer => answer.map_err(CommandError::failed),
    }
}

fn create(args: &CreateArgs) -> Result<Outcome, CommandError> {
    let config = load(&args.socket.config)?;
    let draft = BackupDraft::begin(&config.probe.state, &identity(&config), &args.file).map_err(failed)?;
    let manifest = draft.manifest();
    let request = Request::BackupCreate { manifest };
    let answer = ask_or(&args.socket, &config, &request, |register| note_backup(register, manifest, caller()))?;
    let Reply::AuditHead { number, hash } = answer else { return reply::show(answer, args.socket.json, |_| {}) };
    let hash = hash.parse().map_err(CommandError::failed)?;
    let saved = draft.finish(Head { number, hash }).map_err(failed)?;
    let file = args.file.display();
    if args.socket.json {
        output::json(&serde_json::json!({
            "file": file.to_string(), "number": number, "hash": hash.to_string(), "manifest": manifest.to_string(),
            "documents": saved.documents, "missing": saved.missing,
        }));
        return Ok(Outcome::Done);
    }
    output::line(&format!("{file}: {} documents, manifest {manifest}", saved.documents));
    if saved.missing > 0 {
        output::complain(&format!("{} documents that the log names were missing or altered already", saved.missing));
    }
    output::line(&format!("head: {number} {hash}"));
    Ok(Outcome::Done)
}

fn restore(args: &RestoreArgs) -> Result<Outcome, CommandError> {
    let config = load(&args.config)?;
    // As long as this is held, no probe of this configuration starts.
    let _lock = lock(&config.probe.runtime).map_err(CommandError::failed)?;
    let unpacked = Unpacked::open(&args.file, &config.probe.state, &identity(&config)).map_err(failed)?;
    if let Some(ledger) = unpacked.ledger() {
        LedgerFiles::mark_old(&ledger).map_err(CommandError::input)?;
    }
    let number = unpacked.head().number;
    unpacked.put_in_place(caller(), Timestamp::now()).map_err(failed)?;
    output::line(&format!("{} is restored up to record {number}; everything is held", config.probe.state.display()));
    output::line(
        "if that record is the last that anybody saw of the log, show that with `writ backup release`: by the head",
    );
    output::line("that `writ backup create` printed, or by the checkpoints of a witness");
    output::line("else have each warrant that is to go on approved anew, by a revision with the quorum's signatures");
    Ok(Outcome::Done)
}

fn let_go(args: &ReleaseArgs) -> Result<Outcome, CommandError> {
    let config = load(&args.socket.config)?;
    let (head, shown_by) = match args.head {
        Some(head) => (head, "a head that was noted"),
        None => (seen_last(args, &config)?, "checkpoints of a witness"),
    };
    let request = Request::BackupRelease { head, shown_by: shown_by.to_owned() };
    let answer = ask_or(&args.socket, &config, &request, |register| release(register, head, shown_by, caller()))?;
    reply::show(answer, args.socket.json, |answer| match answer {
        Reply::Released { in_force } => {
            output::line(&format!("released: the log ends where it was last seen; {in_force} warrants are in force"));
        }
        other => output::json(&other),
    })
}

/// The end at which the log was found, if what a witness has goes to there and no further.
fn seen_last(args: &ReleaseArgs, config: &Config) -> Result<Head, CommandError> {
    let log = Files::of(config).audit;
    let refused = |what: String| CommandError::Failed(anyhow::anyhow!("{what}"));
    let found = releasable(&log)
        .map_err(CommandError::failed)?
        .ok_or_else(|| refused("nothing is held that a head of the log would release; see `writ status`".to_owned()))?;
    let mut evidence = Evidence::new();
    add_checkpoints(&mut evidence, &args.checkpoints, &args.keys)?;
    let findings = evidence.hold_against(&log).map_err(CommandError::failed)?;
    if !findings.is_good() {
        let faults: Vec<_> = findings.faults.iter().map(ToString::to_string).collect();
        return Err(refused(format!(
            "the log has not all that the witness saw, so what it lacks may have ended something: {}; have the officers \
             approve anew what is to go on",
            faults.join("; ")
        )));
    }
    if !evidence.has(found) {
        return Err(refused(format!(
            "the witness has no checkpoint of record {}, where the log ended when it was found: it may have missed what came \
             after what it has; bring all that it has, or have the officers approve anew what is to go on",
            found.number
        )));
    }
    Ok(found)
}
