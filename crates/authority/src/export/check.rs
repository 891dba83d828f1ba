//! What holds of an export, and how far: from the archive, and from public keys and heads that whoever asks has from
//! elsewhere. Everything that is wrong is named, and everything that cannot be known from here is said.

use super::pack::{Unpacked, unpack};
use super::trail::Trail;
use super::{ABOUT, About, CHECKPOINTS, FORMAT, Filed, PROBE_KEY, RECORDS, filed, replay};
use crate::approval::ProbeIdentity;
use crate::archive::Original;
use crate::checkpoint::SignedCheckpoint;
use crate::checkpoint_key::CheckpointPublicKey;
use crate::digest::Digest;
use crate::evidence::Evidence;
use crate::paper::Paper;
use crate::register::{Case, replay::Replay};
use std::path::Path;
use std::str::FromStr;

/// What whoever asks has from elsewhere.
#[derive(Debug, Default)]
pub struct Trust {
    /// Public keys of the probe.
    pub keys: Vec<CheckpointPublicKey>,
    /// Rosters, byte for byte.
    pub rosters: Vec<Vec<u8>>,
    /// Heads that were seen outside the machine.
    pub evidence: Evidence,
}

/// What was found, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What holds.
    pub holds: Vec<String>,
    /// What cannot be known from here.
    pub open: Vec<String>,
    /// What is wrong. Empty: nothing.
    pub faults: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Checks an archive.
pub fn check_export(archive: &[u8], trust: &Trust) -> Verdict {
    let mut verdict = Verdict::default();
    match unpack(archive) {
        Ok(unpacked) => Check { unpacked: &unpacked, trust, verdict: &mut verdict }.run(),
        Err(problem) => verdict.faults.push(problem),
    }
    verdict
}

struct Check<'a> {
    unpacked: &'a Unpacked,
    trust: &'a Trust,
    verdict: &'a mut Verdict,
}

impl Check<'_> {
    fn run(&mut self) {
        self.manifest();
        let Some(about) = self.about() else { return };
        let Some(trail) = self.trail(&about) else { return };
        let identity = ProbeIdentity { operator: about.operator.clone(), probe: about.probe.clone() };
        let papers = self.papers(&trail);
        let replay = replay(identity, &trail, &papers);
        self.documents(&about, &replay);
        self.rosters(&replay);
        self.checkpoints(&trail);
        self.outside(&trail, &papers);
    }

    fn fault(&mut self, fault: impl Into<String>) {
        self.verdict.faults.push(fault.into());
    }

    fn hold(&mut self, what: impl Into<String>) {
        self.verdict.holds.push(what.into());
    }

    fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.unpacked.files.get(path)?).ok()
    }

    /// The key in the archive: it proves only that all signatures are of one key.
    fn own_key(&self) -> Option<CheckpointPublicKey> {
        CheckpointPublicKey::from_str(self.text(PROBE_KEY)?).ok()
    }

    fn keys(&self) -> Vec<CheckpointPublicKey> {
        if self.trust.keys.is_empty() { self.own_key().into_iter().collect() } else { self.trust.keys.clone() }
    }

    fn manifest(&mut self) {
        let faults = self.unpacked.faults();
        if faults.is_empty() {
            let files = self.unpacked.files.len();
            self.hold(format!("all {files} files are those of the manifest, and there are no others"));
        }
        self.verdict.faults.extend(faults);
        let keys = self.keys();
        match (self.unpacked.signer(&keys), self.trust.keys.is_empty()) {
            (Some(key), false) => {
                let key = key.fingerprint();
                self.hold(format!("the manifest is signed by the probe's key that you gave, {key}"));
            }
            (Some(key), true) => {
                let key = key.fingerprint();
                self.hold("the manifest is signed by the key that is in the archive");
                self.verdict.open.push(format!(
                    "that this key is the probe's: compare {key} with the roster or with `writ audit key`, or give --key \
                     or --roster"
                ));
            }
            (None, _) => {
                self.fault(
                    "MANIFEST.sig: is no signature of the probe's key over the MANIFEST: one of them was altered",
                );
            }
        }
    }

    fn about(&mut self) -> Option<About> {
        let read = self.unpacked.files.get(ABOUT).and_then(|bytes| serde_json::from_slice::<About>(bytes).ok());
        let about = read.filter(|about| about.format == FORMAT);
        if about.is_none() {
            self.fault(format!("{ABOUT}: missing, or of another version"));
        }
        about
    }

    fn trail(&mut self, about: &About) -> Option<Trail> {
        let Some(text) = self.unpacked.files.get(RECORDS) else {
            self.fault(format!("{RECORDS}: missing"));
            return None;
        };
        let trail = match Trail::read(text) {
            Ok(trail) => trail,
            Err((number, problem)) => {
                self.fault(format!("{RECORDS}: record {number}: {problem}"));
                return None;
            }
        };
        let head = trail.head();
        if head != about.until {
            self.fault(format!("{RECORDS}: ends with record {}, and {ABOUT} says {}", head.number, about.until.number));
        }
        let shown = trail.records().count();
        self.hold(format!(
            "records 1 to {} are one chain; {shown} of them are shown whole, with the words that their hashes were made of",
            head.number
        ));
        if shown < trail.lines.len() {
            self.verdict.open.push(format!(
                "what the other {} records say, and so whether one of them is of this case: hold the probe's whole log \
                 against their hashes, with `writ audit verify LOG --head {}`",
                trail.lines.len() - shown,
                head.hash
            ));
        }
        Some(trail)
    }

    /// The documents that the records name.
    fn papers(&mut self, trail: &Trail) -> Vec<Original> {
        let filed = filed(trail.records());
        let mut papers = Vec::new();
        for Filed { path, digest, record, .. } in &filed {
            match self.unpacked.files.get(path) {
                Some(bytes) if Digest::of(bytes) == *digest => papers.push(Original::new(path, bytes.clone())),
                Some(_) => self.fault(format!("{path}: is not the document that record {record} names")),
                None => self.fault(format!("{path}: record {record} names it, and it is missing")),
            }
        }
        if papers.len() == filed.len() {
            self.hold(format!("all {} documents and signatures are those that the records name", papers.len()));
        }
        papers
    }

    fn documents(&mut self, about: &About, replay: &Replay) {
        for (number, problem) in &replay.faults {
            self.fault(format!("record {number} does not stand by its documents: {problem}"));
        }
        let Some(case) = replay.case(about.case) else {
            return self.fault(format!("{ABOUT}: the records shown know no case {}", about.case));
        };
        let approved: Vec<_> = case
            .revisions()
            .iter()
            .map(|revision| {
                let approval = revision.warrant.approval();
                format!(
                    "revision {} by {} (roster version {})",
                    revision.warrant.warrant().revision(),
                    approval.officers.join(" and "),
                    approval.roster_version
                )
            })
            .collect();
        let phase = case.phase(about.made_at).as_str();
        if approved.is_empty() && case.enabled().is_some() {
            self.fault("the interception was enabled although no revision of the warrant was approved");
        } else if approved.is_empty() {
            self.hold(format!("no revision of the warrant was approved; it is {phase}"));
        } else if replay.faults.is_empty() {
            self.hold(format!(
                "the signatures were enough by the rosters: {}; the case is {phase}",
                approved.join(", ")
            ));
        }
        self.measured(case);
    }

    fn measured(&mut self, case: &Case) {
        let (Some(enabled), Some(begun)) = (case.enabled(), case.begun()) else { return };
        let stopped = match case.stopped() {
            Some(stopped) => format!("last figures at {stopped}"),
            None => "running when this was made".to_owned(),
        };
        self.hold(format!("as recorded: enabled at {}, began at {begun}, {stopped}", enabled.at));
    }

    fn rosters(&mut self, replay: &Replay) {
        let known: Vec<_> = replay.rosters().iter().map(|trusted| trusted.roster()).collect();
        for given in &self.trust.rosters {
            match known.iter().find(|roster| roster.bytes() == given) {
                Some(roster) => {
                    let version = roster.version();
                    self.hold(format!("version {version} of the roster is the one that you gave"));
                }
                None => self.fault("the roster that you gave is none of those by which this case was judged"),
            }
        }
        if self.trust.rosters.is_empty() {
            let digests: Vec<_> =
                known.iter().map(|roster| format!("version {}: {}", roster.version(), roster.digest())).collect();
            self.verdict.open.push(format!(
                "that the rosters are the operator's own ({}): compare, or give --roster",
                digests.join(", ")
            ));
        }
    }

    fn checkpoints(&mut self, trail: &Trail) {
        let keys = self.keys();
        let text = self.text(CHECKPOINTS).unwrap_or_default().to_owned();
        let mut newest = None;
        for (number, line) in (1..).zip(text.lines()) {
            let checked = SignedCheckpoint::parse(line.as_bytes()).and_then(|it| it.check(&keys).cloned());
            match checked {
                Ok(checkpoint) if !trail.has(checkpoint.head()) => {
                    self.fault(format!("{CHECKPOINTS} line {number}: saw another record {}", checkpoint.number));
                }
                Ok(checkpoint) => newest = newest.max(Some(checkpoint.number)),
                Err(what) => self.fault(format!("{CHECKPOINTS} line {number}: {what}")),
            }
        }
        match newest {
            Some(number) => self.hold(format!("the probe's own checkpoints cover records 1 to {number}")),
            None => self.verdict.open.push("no checkpoint covers any record".to_owned()),
        }
    }

    /// How far somebody outside the machine has seen this log.
    fn outside(&mut self, trail: &Trail, papers: &[Original]) {
        let seen = papers.iter().filter_map(|paper| {
            let head = match Paper::parse(&paper.bytes, Path::new(&paper.name)).ok()? {
                Paper::Warrant(warrant) => warrant.heading().seen,
                Paper::Revocation(revocation) => revocation.heading().seen,
                Paper::Certification(certification) => certification.heading().seen,
                Paper::Roster(_) => return None,
            };
            trail.has(head).then_some((head.number, paper.name.display().to_string()))
        });
        let seen = seen.max().filter(|(number, _)| *number > 0);
        let hashes: Vec<_> = trail.lines.iter().map(|line| line.hash).collect();
        let (witnessed, faults) = self.trust.evidence.hold_against_hashes(&hashes);
        self.verdict.faults.extend(faults.iter().map(ToString::to_string));
        let reach = witnessed.as_ref().map_or(0, |(number, _)| *number).max(seen.as_ref().map_or(0, |it| it.0));
        if let Some((number, by)) = witnessed {
            self.hold(format!("records 1 to {number} are as {by} saw them, outside the probe"));
        }
        if let Some((number, by)) = seen {
            self.hold(format!("the log had its records 1 to {number} when {by} was signed"));
        }
        let last = trail.head().number;
        if reach < last {
            self.verdict.open.push(format!(
                "that records {} to {last} are as they first were: they rest on the probe's own word; give a witness's \
                 checkpoints with --checkpoints",
                reach + 1
            ));
        }
    }
}
