//! `writ audit verify`: the log against itself, and against what was seen of it outside the machine. From files and
//! public keys alone, on any machine.

use super::FileArgs;
use crate::cli::{CommandError, Outcome, output};
use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use writ_authority::{AuditError, CheckpointPublicKey, Digest, Evidence, EvidenceError, Findings};

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    evidence: EvidenceArgs,
}

/// What was seen of the log outside the machine, and the probe's keys.
#[derive(Debug, Args)]
pub(in crate::cli) struct EvidenceArgs {
    /// A head that was kept outside, as `writ audit head` printed it.
    #[arg(long)]
    head: Vec<String>,
    /// Checkpoints: a file that a witness wrote, or a folder of them. Asks for --key or --roster.
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    checkpoints: Vec<PathBuf>,
    /// Signed documents, whose heads count too: a file, or a folder of them.
    #[arg(long, value_name = "FILE-OR-FOLDER")]
    documents: Vec<PathBuf>,
    /// The probe's public key as `writ audit key` printed it, or a file with it.
    #[arg(long, value_name = "KEY-OR-FILE")]
    key: Vec<String>,
    /// The roster, whose [[probe]] sections have the keys.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) roster: Vec<PathBuf>,
}

/// The part of a roster that is of use here. Whether it is signed, whoever brings it has to know.
#[derive(Deserialize)]
struct RosterKeys {
    #[serde(default)]
    probe: Vec<RosterProbe>,
}

#[derive(Deserialize)]
struct RosterProbe {
    key: Option<String>,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    records: u64,
    head: String,
    /// The last record that was seen outside, as it is in the log.
    proven_to: Option<u64>,
    /// Its time.
    proven_time: Option<String>,
    /// Heads that the log was held against.
    heads: usize,
    faults: Vec<String>,
    /// What is missing among the checkpoints.
    gaps: Vec<String>,
}

pub(super) fn run(args: &VerifyArgs) -> Result<Outcome, CommandError> {
    let evidence = args.evidence.evidence()?;
    let findings = match evidence.hold_against(&args.file.path()?) {
        Ok(findings) => findings,
        Err(error @ AuditError::Io { .. }) => return Err(CommandError::input(error)),
        Err(error) => return Err(CommandError::failed(error)),
    };
    let faults: Vec<String> = findings.faults.iter().map(ToString::to_string).collect();
    if args.file.json {
        output::json(&Report {
            ok: findings.is_good(),
            records: findings.head.number,
            head: findings.head.hash.to_string(),
            proven_to: findings.reach.as_ref().map(|reach| reach.record),
            proven_time: findings.reach.as_ref().map(|reach| reach.time.to_string()),
            heads: findings.heads,
            faults: faults.clone(),
            gaps: findings.gaps.iter().map(ToString::to_string).collect(),
        });
    } else {
        words(&findings).iter().for_each(|line| output::line(line));
    }
    for fault in &faults {
        output::complain(fault);
    }
    Ok(if findings.is_good() { Outcome::Done } else { Outcome::Negative })
}

impl EvidenceArgs {
    /// The heads that were seen.
    pub(in crate::cli) fn evidence(&self) -> Result<Evidence, CommandError> {
        let mut evidence = Evidence::new();
        for text in &self.head {
            let head: Digest = text.parse().map_err(|error| {
                CommandError::Input(anyhow::anyhow!("--head: {error}; give the hash that `writ audit head` printed"))
            })?;
            evidence.add_head(head);
        }
        let keys = self.keys().map_err(CommandError::Input)?;
        if !self.checkpoints.is_empty() && keys.is_empty() {
            return Err(CommandError::Input(anyhow::anyhow!(
                "--checkpoints: nobody can say whose they are without the probe's public key; add --key or --roster"
            )));
        }
        let input = |error: EvidenceError| CommandError::input(error);
        for path in &self.checkpoints {
            evidence.add_checkpoints(path, &keys).map_err(input)?;
        }
        for path in &self.documents {
            evidence.add_documents(path).map_err(input)?;
        }
        Ok(evidence)
    }

    /// The probe's keys.
    pub(in crate::cli) fn keys(&self) -> anyhow::Result<Vec<CheckpointPublicKey>> {
        let mut keys = Vec::new();
        for text in &self.key {
            keys.push(match text.parse() {
                Ok(key) => key,
                Err(error) if text.starts_with("ssh-") => return Err(error).context("--key"),
                Err(_) => read(Path::new(text))?.parse().with_context(|| format!("--key {text}"))?,
            });
        }
        for file in &self.roster {
            let roster: RosterKeys = toml::from_str(&read(file)?).with_context(|| file.display().to_string())?;
            let found: Vec<String> = roster.probe.into_iter().filter_map(|probe| probe.key).collect();
            if found.is_empty() && self.key.is_empty() {
                anyhow::bail!("{}: the roster has no [[probe]] with a key; give the key with --key", file.display());
            }
            for key in found {
                keys.push(key.parse().with_context(|| format!("{}: probe.key", file.display()))?);
            }
        }
        Ok(keys)
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))
}

/// What was found, for a person.
fn words(findings: &Findings) -> Vec<String> {
    let Findings { head, last, reach, gaps, .. } = findings;
    let is = if findings.is_good() { "good" } else { "NOT as it was seen" };
    let mut lines = vec![format!("{is}: {} records, head {}", head.number, head.hash)];
    let proven = reach.as_ref().map_or(0, |reach| reach.record);
    match reach {
        Some(reach) => lines.push(format!(
            "proven: records 1 to {}, up to {}, are as {} saw them ({} heads from outside)",
            reach.record, reach.time, reach.by, findings.heads
        )),
        None if findings.heads == 0 => {
            lines.push(
                "nothing was given that was kept outside: records cut off at the end would not be noticed".into(),
            );
        }
        None => lines.push("nothing that was seen outside is in the log".into()),
    }
    if let Some(last) = last.filter(|_| head.number > proven) {
        lines.push(format!(
            "not proven: records {} to {}, up to {last}: nobody outside has seen them",
            proven + 1,
            head.number
        ));
    }
    if let Some(first) = gaps.first() {
        lines.push(format!(
            "{} checkpoints are missing among those given, the first before {first}; what they saw, later ones saw too",
            gaps.len()
        ));
    }
    lines
}
