//! `writ-officer`: the tool of whoever signs, on their own machine. It reads a document, says in words what it is, and
//! signs exactly the bytes that it read, as `ssh-keygen -Y sign` would. It needs no probe and no network, and no
//! private key ever comes near a probe.
#![forbid(unsafe_code)]

mod sign;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use writ_authority::{AMEND, APPROVE, CERTIFY, Namespace, POLICY, Paper, REVOKE};

/// Shows and signs the documents of Writ: warrants, revocations, certifications, rosters.
#[derive(Debug, Parser)]
#[command(name = "writ-officer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say in words what a document is; name every fault in it.
    Show {
        /// The document.
        file: PathBuf,
    },
    /// Show a document, ask, and sign it: the signature goes to FILE.NAME.sig beside it.
    Sign(SignArgs),
}

#[derive(Debug, clap::Args)]
struct SignArgs {
    /// The document.
    file: PathBuf,
    /// Your private key, as ssh-keygen made it: Ed25519 or ECDSA. For a hardware key use ssh-keygen itself.
    #[arg(long)]
    key: PathBuf,
    /// What the signature is for; by default what documents of this kind are signed for.
    #[arg(long = "as")]
    purpose: Option<Purpose>,
    /// The NAME in the signature's file name; by default that of the key file.
    #[arg(long)]
    name: Option<String>,
    /// Do not ask before signing.
    #[arg(long)]
    yes: bool,
}

/// What a signature is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Purpose {
    /// A warrant's first revision.
    Approve,
    /// A later revision.
    Amend,
    /// The end of a warrant.
    Revoke,
    /// A roster with its policy.
    Policy,
    /// The record of an interception.
    Certify,
}

impl Purpose {
    fn namespace(self) -> Namespace {
        match self {
            Self::Approve => APPROVE,
            Self::Amend => AMEND,
            Self::Revoke => REVOKE,
            Self::Policy => POLICY,
            Self::Certify => CERTIFY,
        }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "writ-officer: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Show { file } => {
            show(&read(file)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Sign(args) => {
            let paper = read(&args.file)?;
            let usual = paper.namespace();
            let namespace = args.purpose.map_or(usual, Purpose::namespace);
            show(&paper)?;
            say(&format!("signature: {}", namespace.as_str()))?;
            if namespace != usual {
                anyhow::bail!(
                    "{}: a document of this kind is signed with {}; leave --as out",
                    args.file.display(),
                    usual.as_str()
                );
            }
            if !args.yes && !sign::confirmed()? {
                say("not signed")?;
                return Ok(ExitCode::FAILURE);
            }
            let file = sign::sign(&paper, &args.file, &args.key, args.name.as_deref())?;
            say(&format!("signed: {}", file.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn read(file: &Path) -> Result<Paper> {
    let bytes = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    Ok(Paper::parse(&bytes, file)?)
}

fn show(paper: &Paper) -> Result<()> {
    for line in paper.reading() {
        say(&line)?;
    }
    say(&format!("sha256 {}", paper.digest()))
}

/// Prints a line.
fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("standard output is closed")
}
