//! `writ roster ...`: the document that says who may approve, signed by those people themselves.

use super::warrant::{read_signatures, read_text};
use super::{CommandError, Outcome, SocketArgs, output, reply};
use crate::config::Config;
use crate::ipc::{Reply, Request, RequestError, ask};
use crate::roles::control::{caller, install_roster, open_register};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use writ_authority::{POLICY, Roster, Signature};

#[derive(Debug, Subcommand)]
pub(super) enum RosterCommand {
    /// Read a roster, name every fault in it, say who is in it and whose signatures are good.
    Check(CheckArgs),
    /// Put a roster in force.
    Install(InstallArgs),
    /// The roster in force.
    Show(SocketArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The roster file.
    file: PathBuf,
    /// A signature made with `ssh-keygen -Y sign -n writ-policy -f KEY FILE`; give the option once for each.
    #[arg(long = "signature", short)]
    signatures: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    roster: CheckArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(command: &RosterCommand) -> Result<Outcome, CommandError> {
    match command {
        RosterCommand::Check(args) => check(args),
        RosterCommand::Install(args) => {
            let document = read_text(&args.roster.file)?;
            let faulty = Roster::parse(document.as_bytes(), &args.roster.file).is_err();
            match install(args, document)? {
                Outcome::Negative if faulty => Ok(Outcome::Faulty),
                outcome => Ok(outcome),
            }
        }
        RosterCommand::Show(socket) => {
            reply::show(ask(&socket.path()?, &Request::RosterShow).map_err(CommandError::failed)?, socket.json, say)
        }
    }
}

fn check(args: &CheckArgs) -> Result<Outcome, CommandError> {
    let document = read_text(&args.file)?;
    let roster = Roster::parse(document.as_bytes(), &args.file).map_err(CommandError::input)?;
    output::line(&format!(
        "roster version {} of {}: its policy asks for {}",
        roster.version(),
        roster.operator(),
        roster.policy().quorum
    ));
    let rows: Vec<_> = roster
        .officers()
        .iter()
        .map(|officer| {
            let roles: Vec<_> = officer.roles.iter().map(|role| role.as_str()).collect();
            vec![officer.name.clone(), roles.join(", "), officer.fingerprints().collect::<Vec<_>>().join(" ")]
        })
        .collect();
    output::table(&["name", "roles", "keys"], &rows);
    let mut all_good = true;
    for signature in read_signatures(&args.signatures)? {
        let file = Path::new(&signature.file);
        let signer = Signature::parse(signature.text.as_bytes(), file)
            .and_then(|signature| roster.signer(&signature, POLICY, document.as_bytes()).map(|it| it.name.clone()));
        match signer {
            Ok(name) => output::line(&format!("{}: signed by {name}", signature.file)),
            Err(error) => {
                all_good = false;
                output::complain(&error.to_string());
            }
        }
    }
    Ok(if all_good { Outcome::Done } else { Outcome::Negative })
}

fn install(args: &InstallArgs, document: String) -> Result<Outcome, CommandError> {
    let file = args.roster.file.display().to_string();
    let signatures = read_signatures(&args.roster.signatures)?;
    let request =
        Request::RosterInstall { file: file.clone(), document: document.clone(), signatures: signatures.clone() };
    match ask(&args.socket.path()?, &request) {
        Ok(reply) => reply::show(reply, args.socket.json, say),
        // No probe runs: the same is done here, under the audit log's own lock.
        Err(RequestError::Connect { .. }) if args.socket.socket.is_none() => {
            let config = Config::load(&args.socket.config.config).map_err(CommandError::input)?;
            let mut register = open_register(&config).map_err(CommandError::failed)?;
            let reply = install_roster(&mut register, (&file, &document), &signatures, caller());
            reply::show(reply, args.socket.json, say)
        }
        Err(error) => Err(CommandError::failed(error)),
    }
}

fn say(reply: Reply) {
    match reply {
        Reply::RosterInstalled { version, signed_by, ended } => {
            output::line(&format!("roster version {version} is in force, signed by {}", signed_by.join(" and ")));
            for uuid in ended {
                output::line(&format!("warrant {uuid} has ended: its approvals hung on keys that were taken out"));
            }
        }
        Reply::Roster { version, document, signed_by } => {
            output::line(&format!("version {version}, signed by {}\n", signed_by.join(" and ")));
            output::line(&document);
        }
        other => output::json(&other),
    }
}
