//! The command line. Each command is a module with a function `run`; printing is in `output` alone.

mod audit;
mod backup;
mod case;
mod check_config;
mod destination;
mod doctor;
mod explain;
mod incident;
mod output;
mod replay;
mod reply;
mod roster;
mod run;
mod status;
mod tap;
mod warrant;

use crate::config::DEFAULT_PATH;
use crate::explain::explain;
use crate::roles::Role;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// An open lawful-intercept probe for internet providers.
#[derive(Debug, Parser)]
#[command(name = "writ", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the probe until SIGTERM.
    Run(ConfigArgs),
    /// Read the configuration, name every fault in it, start nothing.
    CheckConfig(ReportArgs),
    /// Look at this machine: kernel, capabilities, interfaces; say what is missing and what to do.
    Doctor(doctor::DoctorArgs),
    /// What the running probe does, in numbers.
    Status(status::StatusArgs),
    /// Where the packets of one slot stop on their way to the agency.
    Explain(explain::ExplainArgs),
    /// Put a capture file through the same program and the same pipeline, without a network card.
    Replay(replay::ReplayArgs),
    /// The tap itself: what it shows, before anything is captured.
    #[command(subcommand)]
    Tap(tap::TapCommand),
    /// The agencies' side: try the way there before it is needed.
    #[command(subcommand)]
    Destination(destination::DestinationCommand),
    /// Warrants: submit, list, show, revoke.
    #[command(subcommand)]
    Warrant(warrant::WarrantCommand),
    /// A case as a court or an auditor asks for it.
    #[command(subcommand)]
    Case(case::CaseCommand),
    /// Incidents: what was compromised or intercepted without authority, and who was told.
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// The roster: who may approve.
    #[command(subcommand)]
    Roster(roster::RosterCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Copies of what the probe must not forget.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// A process of `writ run`.
    #[command(hide = true)]
    Role {
        /// Which.
        role: Role,
    },
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(long, short, default_value = DEFAULT_PATH, env = "WRIT_CONFIG")]
    config: PathBuf,
}

/// Where the configuration is, and how to print.
#[derive(Debug, Args)]
struct ReportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON for a script.
    #[arg(long)]
    json: bool,
}

/// Where the running probe listens.
#[derive(Debug, Args)]
struct SocketArgs {
    /// The control socket; by default `control.sock` in the configuration's runtime directory. For those who may not read
    /// the configuration.
    #[arg(long, env = "WRIT_SOCKET")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON for a script.
    #[arg(long)]
    json: bool,
}

impl SocketArgs {
    fn path(&self) -> Result<PathBuf, CommandError> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let config = crate::config::Config::load(&self.config.config).map_err(CommandError::input)?;
        Ok(crate::roles::control::socket_path(&config))
    }
}

/// How a command ended that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Done,
    /// The work was done and its answer is no: a check failed, a request was refused.
    Negative,
    /// The answer is no because a document is at fault, whoever signed it.
    Faulty,
}

/// A command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What the operator gave is at fault.
    #[error("{}", explain(.0))]
    Input(anyhow::Error),
    /// Something else is.
    #[error("{}", explain(.0))]
    Failed(#[from] anyhow::Error),
}

impl CommandError {
    fn input(error: impl Into<anyhow::Error>) -> Self {
        Self::Input(error.into())
    }

    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}

/// Says on standard error what went wrong.
pub fn complain(error: &CommandError) {
    output::complain(&error.to_string());
}

/// Does what the command line asks for.
///
/// # Errors
/// With a message for the operator, and [`CommandError::code`] for the shell.
pub fn run(cli: Cli) -> Result<Outcome, CommandError> {
    // Whatever `writ` writes, no other user may read: warrants, logs, replayed content.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Tap(command) => tap::run(&command),
        Command::Destination(command) => destination::run(&command),
        Command::Warrant(command) => warrant::run(&command),
        Command::Case(command) => case::run(&command),
        Command::Incident(command) => incident::run(&command),
        Command::Roster(command) => roster::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Backup(command) => backup::run(&command),
        Command::Role { role } => {
            crate::roles::enter(role)?;
            Ok(Outcome::Done)
        }
    }
}
