//! `writ case digests` and `writ case countersigned`: digests of what was delivered, laid beside those that the agency made of what it keeps, and the keeping
//! of what it countersigned.

use crate::cli::warrant::read_text;
use crate::cli::{CommandError, Outcome, SocketArgs, output, reply};
use crate::ipc::{CountersignedDigests, DeliveredLines, NamedSignature, Reply, Request, ask};
use clap::Args;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use writ_authority::{Countersigned, Original};
use writ_digests::{Kept, Line, Range, Stream, compare, read_lines};

/// Longest file of digests that goes over the control socket, in bytes: what a request may be long, with room for escapes.
const LONGEST_DIGESTS: usize = 12 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct DigestsArgs {
    /// The warrant.
    uuid: Uuid,
    /// The agency's file, as `writ-collect countersign` or `writ-collect digests` writes it.
    #[arg(long, value_name = "FILE")]
    countersigned: Option<PathBuf>,
    /// The agency's signature over that file.
    #[arg(long, value_name = "FILE", requires_all = ["countersigned", "key"])]
    signature: Option<PathBuf>,
    /// The agency's public key, as OpenSSH writes it.
    #[arg(long, value_name = "PUBKEY", requires = "signature")]
    key: Option<PathBuf>,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CountersignedArgs {
    /// The warrant.
    uuid: Uuid,
    /// The agency's file.
    file: PathBuf,
    /// Its signature over that file.
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,
    /// Its public key, as OpenSSH writes it.
    #[arg(long, value_name = "PUBKEY")]
    key: PathBuf,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn show(args: &DigestsArgs) -> Result<Outcome, CommandError> {
    let theirs = args.countersigned.as_deref().map(|file| read_kept(file, args)).transpose()?;
    let deliveries = match ask_all(args.uuid, &args.socket)? {
        Ok(deliveries) => deliveries,
        Err(other) => return reply::show(other, args.socket.json, |reply| output::json(&reply)),
    };
    let Some(theirs) = theirs else {
        if args.socket.json {
            output::json(&deliveries);
        } else {
            deliveries.iter().for_each(print);
        }
        return Ok(Outcome::Done);
    };
    let mut equal = Vec::new();
    for delivery in &deliveries {
        let lines = theirs_of(&theirs, delivery);
        if lines.is_empty() {
            continue;
        }
        let comparison = compare(&delivery.lines, &lines);
        output::line(&format!("{} as {}:", delivery.destination, delivery.case_id));
        comparison.to_string().lines().for_each(|line| output::line(&format!("  {line}")));
        equal.push(comparison.is_equal());
    }
    if equal.is_empty() {
        output::complain("the file has no digest of any delivery of this case: is it of another case?");
    }
    Ok(if !equal.is_empty() && equal.into_iter().all(|equal| equal) { Outcome::Done } else { Outcome::Negative })
}

/// All lines of a case, in as many answers as it takes; else the answer that it is.
fn ask_all(uuid: Uuid, socket: &SocketArgs) -> Result<Result<Vec<DeliveredLines>, Reply>, CommandError> {
    let path = socket.path()?;
    let mut all: Vec<DeliveredLines> = Vec::new();
    let mut skip = Some(0);
    while let Some(from) = skip {
        match ask(&path, &Request::CaseDigests { uuid, skip: from }).map_err(CommandError::failed)? {
            Reply::CaseDigests { deliveries, next } => {
                skip = next;
                if all.is_empty() {
                    all = deliveries;
                } else {
                    all.iter_mut().zip(deliveries).for_each(|(all, more)| all.lines.extend(more.lines));
                }
            }
            other => return Ok(Err(other)),
        }
    }
    Ok(Ok(all))
}

/// The agency's file. With a signature, only if that is good.
fn read_kept(file: &Path, args: &DigestsArgs) -> Result<Vec<Kept>, CommandError> {
    let text = read_text(file)?;
    if let (Some(signature), Some(key)) = (&args.signature, &args.key) {
        let original = |file: &Path, text: String| Original::new(file, text);
        let papers = Countersigned {
            digests: original(file, text.clone()),
            signature: original(signature, read_text(signature)?),
            key: original(key, read_text(key)?),
        };
        let fingerprint = papers.check().map_err(CommandError::input)?;
        output::line(&format!("countersigned with the key {fingerprint}"));
    }
    let (lines, unreadable) = read_lines::<Kept>(&text);
    if let Some(line) = unreadable.first() {
        let name = file.display();
        return Err(CommandError::Input(anyhow::anyhow!(
            "{name}: line {line} is no digest of `writ-collect`; have the agency make the file again"
        )));
    }
    Ok(lines)
}

/// What the agency has of a delivery. Content of another content identifier is of another warrant.
fn theirs_of(theirs: &[Kept], delivery: &DeliveredLines) -> Vec<Line> {
    let identifier: String = delivery.content_identifier.bytes().map(|octet| format!("{octet:02x}")).collect();
    let is_of = |kept: &&Kept| {
        kept.case_id == delivery.case_id
            && kept.iap == delivery.iap
            && (kept.line.stream == Stream::Cmii || kept.content_identifier.as_ref() == Some(&identifier))
    };
    theirs.iter().filter(is_of).map(|kept| kept.line.clone()).collect()
}

fn print(delivery: &DeliveredLines) {
    output::line(&format!("{} as {}", delivery.destination, delivery.case_id));
    let rows: Vec<Vec<String>> = delivery
        .lines
        .iter()
        .map(|line| {
            let numbers = Range { first: line.first, last: line.last };
            let missing = line.missing.iter().map(Range::to_string).collect::<Vec<_>>().join(", ");
            vec![
                line.stream.name().to_owned(),
                line.window.to_string(),
                numbers.to_string(),
                line.count.to_string(),
                line.sha256.clone(),
                missing,
            ]
        })
        .collect();
    output::table(&["stream", "window", "numbers", "count", "sha256", "missing"], &rows);
}

pub(super) fn keep(args: &CountersignedArgs) -> Result<Outcome, CommandError> {
    let digests = read_text(&args.file)?;
    let file = args.file.display().to_string();
    if digests.len() > LONGEST_DIGESTS {
        return Err(CommandError::Input(anyhow::anyhow!(
            "{file}: {} bytes long, and {LONGEST_DIGESTS} are taken; keep it with the papers of the case",
            digests.len()
        )));
    }
    let read = |file: &Path| -> Result<_, CommandError> {
        Ok(NamedSignature { file: file.display().to_string(), text: read_text(file)? })
    };
    let (signature, key) = (read(&args.signature)?, read(&args.key)?);
    let papers = CountersignedDigests { uuid: args.uuid, file, digests, signature, key };
    let request = Request::CaseCountersigned(Box::new(papers));
    let reply = ask(&args.socket.path()?, &request).map_err(CommandError::failed)?;
    reply::show(reply, args.socket.json, |reply| match reply {
        Reply::Countersigned { uuid, fingerprint } => {
            output::line(&format!(
                "the digests are kept with warrant {uuid}, countersigned with the key {fingerprint}"
            ));
        }
        other => output::json(&other),
    })
}
