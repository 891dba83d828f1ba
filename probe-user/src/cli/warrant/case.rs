//! What is done to a case over the control socket after its warrant was handed in: more signatures, its end, its
//! certification, its closing.

use super::{answer, read_signatures, read_text};
use crate::cli::{CommandError, Outcome, SocketArgs, output};
use crate::ipc::{Reply, Request};
use base64ct::{Base64, Encoding};
use clap::Args;
use std::path::PathBuf;
use uuid::Uuid;
use writ_authority::{Certification, Revocation};

/// Longest scanned order that goes over the control socket, in bytes: three quarters of what a request may be long.
const LONGEST_ORDER: usize = 11 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ApproveArgs {
    /// The warrant.
    uuid: Uuid,
    /// A signature over the revision that waits; give the option once for each.
    #[arg(long = "signature", short, required = true)]
    signatures: Vec<PathBuf>,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// The revocation, as `writ warrant revocation` writes it.
    revocation: PathBuf,
    /// The signature of an officer, made with `ssh-keygen -Y sign -n writ-revoke -f KEY FILE`.
    #[arg(long = "signature", short, required = true)]
    signatures: Vec<PathBuf>,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CertifyArgs {
    /// The warrant, to have its certification drafted; or the certification that was signed.
    #[arg(value_name = "UUID|FILE")]
    what: String,
    /// With a warrant: the officer who oversaw the interception, as the roster writes the name.
    #[arg(long, conflicts_with = "signatures")]
    overseer: Option<String>,
    /// With a certification: the overseer's signature, made with `ssh-keygen -Y sign -n writ-certify -f KEY FILE`.
    #[arg(long = "signature", short)]
    signatures: Vec<PathBuf>,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AttachArgs {
    /// The warrant.
    uuid: Uuid,
    /// The scanned order, whose SHA-256 the warrant names.
    order: PathBuf,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CloseArgs {
    /// The warrant.
    uuid: Uuid,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn approve(args: &ApproveArgs) -> Result<Outcome, CommandError> {
    let signatures = read_signatures(&args.signatures)?;
    answer(&args.socket, &Request::WarrantApprove { uuid: args.uuid, signatures })
}

pub(super) fn revoke(args: &RevokeArgs) -> Result<Outcome, CommandError> {
    let document = read_text(&args.revocation)?;
    let faulty = Revocation::parse(document.as_bytes(), &args.revocation).is_err();
    let signatures = read_signatures(&args.signatures)?;
    let file = args.revocation.display().to_string();
    judged(faulty, answer(&args.socket, &Request::WarrantRevoke { file, document, signatures })?)
}

pub(super) fn certify(args: &CertifyArgs) -> Result<Outcome, CommandError> {
    let input = |what: &str| Err(CommandError::Input(anyhow::anyhow!("{what}")));
    if let Ok(uuid) = Uuid::try_parse(&args.what) {
        let Some(overseer) = args.overseer.clone() else {
            return input("--overseer: missing; name the officer who oversaw the interception and will sign");
        };
        return answer(&args.socket, &Request::WarrantDraftCertification { uuid, overseer });
    }
    if args.overseer.is_some() {
        return input("--overseer: stands in the certification already; give it with a warrant's UUID only");
    }
    let path = PathBuf::from(&args.what);
    let document = read_text(&path)?;
    let faulty = Certification::parse(document.as_bytes(), &path).is_err();
    let signatures = read_signatures(&args.signatures)?;
    judged(faulty, answer(&args.socket, &Request::WarrantCertify { file: args.what.clone(), document, signatures })?)
}

pub(super) fn attach(args: &AttachArgs) -> Result<Outcome, CommandError> {
    let name = args.order.display();
    let bytes = std::fs::read(&args.order)
        .map_err(|error| CommandError::Input(anyhow::anyhow!("{name}: cannot be read: {error}")))?;
    if bytes.len() > LONGEST_ORDER {
        return Err(CommandError::Input(anyhow::anyhow!(
            "{name}: {} bytes long, and {LONGEST_ORDER} are taken; scan it again with less resolution, and name that scan \
             in the warrant",
            bytes.len()
        )));
    }
    let content = Base64::encode_string(&bytes);
    answer(&args.socket, &Request::WarrantAttach { uuid: args.uuid, file: name.to_string(), content })
}

pub(super) fn close(args: &CloseArgs) -> Result<Outcome, CommandError> {
    answer(&args.socket, &Request::WarrantClose { uuid: args.uuid })
}

/// Tells a document that is at fault from one that is refused.
pub(super) fn judged(faulty: bool, outcome: Outcome) -> Result<Outcome, CommandError> {
    match outcome {
        Outcome::Negative if faulty => Ok(Outcome::Faulty),
        outcome => Ok(outcome),
    }
}

/// Says what became of a case.
pub(super) fn say(reply: &Reply) -> bool {
    match reply {
        Reply::Submitted { uuid, approved_by, words, provisional_until } => {
            output::line(&format!("warrant {uuid} is approved by {} and armed", approved_by.join(" and ")));
            if let Some(until) = provisional_until {
                output::line(&format!("it stops at {until} unless the others have signed by then"));
            }
            output::line(words);
        }
        Reply::Waiting { uuid, missing, words } => {
            output::line(&format!("warrant {uuid} is kept, and not in force: {missing}"));
            output::line(words);
        }
        Reply::Revoked { uuid, notices } => {
            output::line(&format!("warrant {uuid} is revoked: nothing more is taken"));
            say_notices(notices);
        }
        Reply::CertificationDraft { document } => output::line(document.trim_end()),
        Reply::Certified { uuid } => output::line(&format!("the interception of warrant {uuid} is certified")),
        Reply::Attached { uuid } => output::line(&format!("the order is kept with warrant {uuid}, sealed")),
        Reply::Closed { uuid, notices } => {
            output::line(&format!("the case of warrant {uuid} is closed, and its key destroyed"));
            say_notices(notices);
        }
        _ => return false,
    }
    true
}

fn say_notices(notices: &[String]) {
    for file in notices {
        output::line(&format!("a notice to be sent is in {file}"));
    }
}
