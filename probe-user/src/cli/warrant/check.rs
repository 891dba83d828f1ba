//! `writ warrant check`: says in words what a warrant would take, what it changes, and whose signatures it has. Needs no
//! probe.

use super::super::{CommandError, Outcome, output};
use super::paper::{faults, roster};
use super::{read_signatures, read_text};
use clap::Args;
use std::path::{Path, PathBuf};
use writ_authority::{Officer, Policy, Roster, Signature, Warrant, namespace, reading, signing};

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// The warrant file.
    file: PathBuf,
    /// The roster: whose policy it is held to, and whose officers' signatures count.
    #[arg(long)]
    roster: Option<PathBuf>,
    /// The revision before it.
    #[arg(long)]
    before: Option<PathBuf>,
    /// A signature; give the option once for each. Needs --roster.
    #[arg(long = "signature", short, requires = "roster")]
    signatures: Vec<PathBuf>,
}

pub(in crate::cli) fn run(args: &CheckArgs) -> Result<Outcome, CommandError> {
    let read = |file: &Path| Warrant::parse(read_text(file)?.as_bytes(), file).map_err(CommandError::input);
    let warrant = read(&args.file)?;
    let before = args.before.as_deref().map(read).transpose()?;
    let (roster, usual) = (roster(args.roster.as_deref())?, Policy::default());
    let policy = roster.as_ref().map_or(&usual, Roster::policy);
    reading(&warrant, before.as_ref(), policy).iter().for_each(|line| output::line(line));
    output::line(&format!("sha256 {}", warrant.digest()));

    // Without the revision before it, what a later one changes is not known; that is no fault of it.
    let mut faults = faults(&warrant, before.as_ref(), policy);
    if warrant.revision() > 1 && before.is_none() {
        faults.retain(|fault| fault.field != "revision");
        output::line("what it changes is not known; give --before FILE");
    }
    let mut all_good = faults.is_empty();
    faults.iter().for_each(|fault| output::complain(&format!("{}: {fault}", args.file.display())));
    if let Some(roster) = &roster {
        let mut signers: Vec<&Officer> = Vec::new();
        for signature in read_signatures(&args.signatures)? {
            let judged = Signature::parse(signature.text.as_bytes(), Path::new(&signature.file))
                .and_then(|signature| roster.signer(&signature, namespace(&warrant), warrant.bytes()));
            match judged {
                Ok(officer) => {
                    output::line(&format!("{}: signed by {}", signature.file, officer.name));
                    if !signers.iter().any(|signer| signer.name == officer.name) {
                        signers.push(officer);
                    }
                }
                Err(error) => {
                    all_good = false;
                    output::complain(&error.to_string());
                }
            }
        }
        signing(&warrant, before.as_ref(), roster, &signers).iter().for_each(|line| output::line(line));
    }
    Ok(if all_good { Outcome::Done } else { Outcome::Negative })
}
