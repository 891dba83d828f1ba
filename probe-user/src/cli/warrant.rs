//! `writ warrant ...`: documents drafted and checked on any machine, and what goes over the control socket to the running
//! probe.

mod amend;
mod check;
mod fields;
mod new;
mod paper;
mod revocation;

mod case;

use super::{CommandError, Outcome, SocketArgs, output, reply};
use crate::ipc::{NamedSignature, Reply, Request, RevisionLine, WarrantLine, ask};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use uuid::Uuid;
use writ_authority::Warrant;

#[derive(Debug, Subcommand)]
pub(super) enum WarrantCommand {
    /// Write a warrant: by flags, and by questions at a terminal for what is missing. Needs no probe.
    New(Box<new::NewArgs>),
    /// Write the next revision of a warrant. Needs no probe.
    Amend(Box<amend::AmendArgs>),
    /// Write the revision by which a new order lets a warrant go on. Needs no probe.
    Extend(Box<amend::AmendArgs>),
    /// Write the document by which one officer ends a warrant for good. Needs no probe.
    Revocation(revocation::RevocationArgs),
    /// Say in words what a warrant would take, what it changes and who has signed. Needs no probe.
    Check(check::CheckArgs),
    /// Hand in a warrant with the signatures of different officers.
    Submit(SubmitArgs),
    /// All warrants of this probe.
    List(SocketArgs),
    /// One warrant: its document, its approvals, its counters.
    Show(ShowArgs),
    /// Hand in more signatures for a warrant that waits for them.
    Approve(case::ApproveArgs),
    /// End a warrant now and for good, by a revocation that an officer signed.
    Revoke(case::RevokeArgs),
    /// Draft the certification of an interception, or hand in the one that its overseer signed.
    Certify(case::CertifyArgs),
    /// Keep the scanned order with its warrant, sealed.
    Attach(case::AttachArgs),
    /// Close a case that has ended and is certified: notices are written, its key is destroyed.
    Close(case::CloseArgs),
}

#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    /// The warrant file.
    warrant: PathBuf,
    /// A signature made with `ssh-keygen -Y sign -n writ-approve -f KEY WARRANT`; give the option once for each.
    #[arg(long = "signature", short)]
    signatures: Vec<PathBuf>,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The warrant.
    uuid: Uuid,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(command: &WarrantCommand) -> Result<Outcome, CommandError> {
    match command {
        WarrantCommand::New(args) => new::run(args),
        WarrantCommand::Amend(args) => amend::amend(args),
        WarrantCommand::Extend(args) => amend::extend(args),
        WarrantCommand::Revocation(args) => revocation::run(args),
        WarrantCommand::Check(args) => check::run(args),
        WarrantCommand::Submit(args) => {
            let document = read_text(&args.warrant)?;
            // The probe judges, and records what it refuses; this only tells a faulty document from a refused one.
            let faulty = Warrant::parse(document.as_bytes(), &args.warrant).is_err();
            let request = Request::WarrantSubmit {
                file: args.warrant.display().to_string(),
                document,
                signatures: read_signatures(&args.signatures)?,
            };
            case::judged(faulty, answer(&args.socket, &request)?)
        }
        WarrantCommand::List(socket) => answer(socket, &Request::WarrantList),
        WarrantCommand::Show(args) => answer(&args.socket, &Request::WarrantShow { uuid: args.uuid }),
        WarrantCommand::Approve(args) => case::approve(args),
        WarrantCommand::Revoke(args) => case::revoke(args),
        WarrantCommand::Certify(args) => case::certify(args),
        WarrantCommand::Attach(args) => case::attach(args),
        WarrantCommand::Close(args) => case::close(args),
    }
}

/// Reads a document that must be text.
pub(super) fn read_text(file: &Path) -> Result<String, CommandError> {
    let bytes = std::fs::read(file)
        .map_err(|error| CommandError::Input(anyhow::anyhow!("{}: cannot be read: {error}", file.display())))?;
    String::from_utf8(bytes).map_err(|error| {
        CommandError::Input(anyhow::anyhow!(
            "{}: not UTF-8 at byte {}; write the document again as UTF-8 text",
            file.display(),
            error.utf8_error().valid_up_to()
        ))
    })
}

/// Reads signature files.
pub(super) fn read_signatures(files: &[PathBuf]) -> Result<Vec<NamedSignature>, CommandError> {
    files.iter().map(|file| Ok(NamedSignature { file: file.display().to_string(), text: read_text(file)? })).collect()
}

fn answer(socket: &SocketArgs, request: &Request) -> Result<Outcome, CommandError> {
    let reply = ask(&socket.path()?, request).map_err(CommandError::failed)?;
    reply::show(reply, socket.json, say)
}

fn say(reply: Reply) {
    if case::say(&reply) {
        return;
    }
    match reply {
        Reply::Warrants(lines) => print_list(&lines),
        Reply::Warrant(detail) => {
            print_list(std::slice::from_ref(&detail.line));
            output::line(&format!("\nsha256 {}\napproved by {}", detail.sha256, detail.approved_by.join(", ")));
            for RevisionLine { revision, sha256, approved, rank } in &detail.revisions {
                output::line(&format!("revision {revision}, {sha256}, approved {approved}: {rank}"));
            }
            let more = [
                ("waits for", &detail.waits_for),
                ("ended", &detail.ending),
                ("certified", &detail.certified),
                ("application for the order", &detail.application),
            ];
            for (what, words) in more {
                if let Some(words) = words {
                    output::line(&format!("{what}: {words}"));
                }
            }
            output::line("");
            output::line(&detail.document);
            if let Some(counts) = &detail.counts {
                output::json(counts);
            }
        }
        other => output::json(&other),
    }
}

fn print_list(lines: &[WarrantLine]) {
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            vec![
                line.uuid.to_string(),
                line.revision.to_string(),
                line.phase.clone(),
                line.authority.clone(),
                line.scope.clone(),
                line.start.clone(),
                line.stop.clone(),
                line.destinations.join(","),
            ]
        })
        .collect();
    output::table(&["uuid", "rev", "phase", "authority", "scope", "start", "stop", "destinations"], &rows);
}
