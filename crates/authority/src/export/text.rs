//! What of an export is written for people: the page that says what is in it and how to check it, and the draft of a
//! declaration, with the facts from the record filled in and blanks where a person has to speak.

use super::pack::Member;
use super::trail::Trail;
use super::{CHECKPOINTS, Filed, PROBE_KEY, RECORDS, SIGNERS};
use crate::approval::ProbeIdentity;
use crate::archive::Original;
use crate::checkpoint_key::CheckpointPublicKey;
use crate::digest::Digest;
use crate::paper::Paper;
use crate::register::replay::Replay;
use crate::register::{Case, Ending};
use crate::signature::{Namespace, Signature};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use uuid::Uuid;

/// What the texts are made of.
pub(super) struct Circumstances<'a> {
    pub(super) uuid: Uuid,
    pub(super) identity: &'a ProbeIdentity,
    pub(super) at: Timestamp,
    pub(super) trail: &'a Trail,
    pub(super) replay: &'a Replay,
    pub(super) filed: &'a [Filed],
    pub(super) originals: &'a [Original],
    /// Files that belong in the archive and could not be read.
    pub(super) missing: &'a [&'a str],
    /// Records of the case that quote another, and are links for that.
    pub(super) quoting: &'a [u64],
    /// Documents of incidents that concern other cases too.
    pub(super) shared_incidents: &'a [Digest],
    pub(super) beside: &'a [Member],
}

/// A signature that is in the archive.
struct Signed<'a> {
    signature: &'a str,
    document: &'a str,
    namespace: Namespace,
    officer: String,
}

impl<'a> Circumstances<'a> {
    /// `README.txt`.
    pub(super) fn readme(&self) -> String {
        let head = self.trail.head();
        let shown = self.trail.records().count();
        let own =
            self.trail.records().find(|record| record.subject.as_ref().is_some_and(|it| it.uuid == Some(self.uuid)));
        let example = own.map_or(1, |record| record.number);
        let mut text = format!(
            "EXPORT OF THE CASE {uuid}\n\
             made by the probe {probe} of {operator} at {at}\n\
             from its audit log up to record {last}, hash {hash}\n\n\
             WHAT IS IN IT\n\n\
             documents/               every revision of the warrant, revocation and certification, and the rosters by which\n\
             \x20                        they were judged, byte for byte as they were handed in, with their signatures; the\n\
             \x20                        number is that of the record in the audit log\n\
             {SIGNERS}\n\
             \x20                        the officers' keys, from those rosters, in ssh-keygen's form\n\
             {RECORDS}      the audit log: one line for each record, line N is record N\n\
             {CHECKPOINTS}  heads of that log, signed by the probe's key when the log had come that far\n\
             {PROBE_KEY}          the probe's public key\n\
             clock.json               what was measured of the clock, as the records shown have it\n",
            uuid = self.uuid,
            probe = self.identity.probe,
            operator = self.identity.operator,
            at = self.at,
            last = head.number,
            hash = head.hash,
        );
        for (file, what) in [
            ("counts.json", "packets matched, delivered, waiting and lost, with the reasons"),
            ("configuration.toml", "the configuration now in force: what concerns this case, without comments"),
            ("program.json", "program, kernel, and digests of the XDP object and of the whole configuration"),
        ] {
            if self.beside.iter().any(|member| member.path == file) {
                let _ = writeln!(text, "{file:<24} {what}");
            }
        }
        for (folder, what, none) in [
            ("digests/", "rolling digests of what was delivered", "none were kept"),
            ("countersigned/", "digests that the agency countersigned", "none were handed in"),
        ] {
            let is_there = self.has(folder);
            let none = if is_there { String::new() } else { format!(": {none}") };
            let _ = writeln!(text, "{folder:<24} {what}{none}");
        }
        text.push_str(
            "declaration-draft.txt    a draft for whoever declares how these records were made\n\
             MANIFEST, MANIFEST.sig   SHA-256 of all these files, and the probe's signature over that\n\n\
             Not in it: what was intercepted; keys; the scanned order, of which the records have the SHA-256.\n",
        );
        if !self.missing.is_empty() {
            let _ = writeln!(text, "MISSING on the probe, or altered there: {}", self.missing.join(", "));
        }
        for digest in self.shared_incidents {
            let _ = writeln!(
                text,
                "An incident was reported that concerns this case and others; its document names those and is not here: \
                 SHA-256 {digest}"
            );
        }
        let _ = write!(
            text,
            "\nHOW TO CHECK IT\n\n\
             With Writ, all of the following at once, and whether the signatures were enough by the rosters:\n\n\
             \x20   writ case verify THE-ARCHIVE.tar --key PROBE.pub --roster ROSTER.toml\n\n\
             with the probe's key and the roster as you have them from elsewhere, from whoever runs the probe. Without Writ:\n\n\
             1. No file was altered, added or taken out since the probe signed:\n\n\
             \x20   sha256sum -c --quiet MANIFEST\n\
             \x20   ssh-keygen -Y verify -f {SIGNERS} -I probe -n writ-export -s MANIFEST.sig < MANIFEST\n\n\
             2. Officers signed the documents. A name is as the roster has it, with dots:\n\n"
        );
        for Signed { signature, document, namespace, officer } in self.signed() {
            let _ = writeln!(
                text,
                "    ssh-keygen -Y verify -f {SIGNERS} -I {} -n {} -s {signature} < {document}",
                principal(&officer),
                namespace.as_str()
            );
        }
        let _ = write!(
            text,
            "\n3. The log names the documents by their SHA-256 (`sha256sum documents/*`), and each of its lines is bound to the\n\
             one before: the field `hash` is the SHA-256 of the line up to and without `,\"hash\":`, and `previous` is that\n\
             of the line before. For record {example}:\n\n\
             \x20   sed -n '{example}{{s/,\"hash\":\"[0-9a-f]*\"}}$//;p}}' {RECORDS} | tr -d '\\n' | sha256sum\n\n\
             WHAT THAT PROVES, AND WHAT IT DOES NOT\n\n\
             Of {all} records {shown} are shown whole: those of this case, and those that concern every case. Of the others\n\
             only number and hashes are left, because they are about other cases{quoting}. So:\n\n\
             - What is shown was in the log with these words, in this order, at these places: neither a word nor a place can\n\
             \x20 be changed without changing every hash behind it, up to the last one, {hash}.\n\
             - No record of the log was taken out, and none put in: the numbers have no gap. What the others say cannot be\n\
             \x20 told from here, and so neither that none of them is of this case. Somebody who may see all of the log can\n\
             \x20 tell: it must have the same hashes (`writ audit verify LOG --head {hash}`),\n\
             \x20 and then its lines say what they are.\n\
             - All hashes and checkpoints here come from the probe. Whoever has all powers on that machine could have\n\
             \x20 written a log anew before this archive was made. Against that stand heads of the log that had left the\n\
             \x20 machine: in the documents, where [seen] names a record that their authors saw before they signed, and with\n\
             \x20 the operator's witnesses, whose checkpoints must be among these or lie between them.\n",
            all = self.trail.lines.len(),
            quoting = match self.quoting {
                [] => String::new(),
                some => format!(", or quote one ({}, refusals in this case)", listed(some)),
            },
            hash = head.hash,
        );
        text
    }

    /// `declaration-draft.txt`.
    pub(super) fn declaration(&self) -> String {
        let unknown = || "(not recorded)".to_owned();
        let case = self.replay.case(self.uuid);
        let measured = case.and_then(Case::measured);
        let moment = |at: Option<Timestamp>| at.map_or_else(unknown, |at| at.to_string());
        let head = self.trail.head();
        let mut text = format!(
            "DRAFT OF A DECLARATION (Federal Rules of Evidence 902(13) and 902(14))\n\n\
             Facts below are filled in from the record; what stands in brackets is for the person who declares, who should\n\
             strike what they do not know of their own knowledge. This draft says nothing about what the law asks or whether\n\
             this meets it: that is for counsel.\n\n\
             I, [name], declare:\n\n\
             1. I am employed by {operator} as [position]. By [training and experience] I am qualified to say how its\n\
             \x20  interception probe makes and keeps records, and I am familiar with them through [how].\n\n\
             2. The records in the archive that this declaration is attached to concern the warrant {uuid}. They\n\
             \x20  were made by the probe {probe}, a computer that runs the program {software}, as\n\
             \x20  program.json and configuration.toml describe it. The digest of the configuration by which the interception was\n\
             \x20  enabled is {configuration}.\n\n\
             3. The probe recorded that the interception was enabled at {enabled}, began at\n\
             \x20  {began} and ended at {ended}{how}.\n\
             \x20  Its clock was then known within {doubt}.\n\n",
            operator = self.identity.operator,
            probe = self.identity.probe,
            uuid = self.uuid,
            software = measured.as_ref().map_or_else(unknown, |it| it.software.clone()),
            configuration = measured.as_ref().map_or_else(unknown, |it| it.configuration.to_string()),
            enabled = moment(case.and_then(Case::enabled).map(|it| it.at)),
            began = moment(case.and_then(Case::begun)),
            ended = moment(measured.as_ref().and_then(|it| it.ended)),
            how = case.and_then(Case::ending).map_or_else(String::new, ending),
            doubt = measured
                .as_ref()
                .and_then(|it| it.clock_doubt_ms)
                .map_or_else(unknown, |doubt| format!("{doubt} milliseconds")),
        );
        text.push_str("4. The figures that it recorded at the end, in packets:\n\n");
        match case.map(Case::figures).filter(|figures| !figures.is_empty()) {
            Some(figures) => figures.iter().for_each(|(name, figure)| {
                let _ = writeln!(text, "       {name}: {figure}");
            }),
            None => text.push_str("       none yet\n"),
        }
        let digests = match (self.has("digests/"), self.has("countersigned/")) {
            (true, true) => {
                "The probe kept digests of what it delivered (digests/), and the agency countersigned its own\n   \
                             (countersigned/). I have [compared them, with this result]."
            }
            (true, false) => "The probe kept digests of what it delivered (digests/). The agency's were not handed in.",
            (false, _) => "No digests of what was delivered were kept.",
        };
        let _ = write!(
            text,
            "\n5. {digests}\n\n\
             6. The probe writes each act into a log in which every record is bound to the one before by its SHA-256. The\n\
             \x20  records shown in {RECORDS} are an exact copy of those of that log, up to record {last}, as it\n\
             \x20  was at {at}. I have [checked this archive with the steps in README.txt, on what date, with what\n\
             \x20  result], and [compared it with what the operator's witnesses have, with what result].\n\n\
             7. These records were made by the probe at or near the time of what they record, by [a regularly used process of\n\
             \x20  the operator], and are kept [in the course of which activity].\n\n\
             I declare under penalty of perjury that the foregoing is true and correct.\n\n\
             Executed on [date] at [place].\n\n\
             [signature]\n[name, position, address]\n",
            last = head.number,
            at = self.at,
        );
        text
    }

    /// Whether there is anything in this folder.
    fn has(&self, folder: &str) -> bool {
        let paths = self.beside.iter().map(|member| member.path.as_str());
        paths.chain(self.filed.iter().map(|file| file.path.as_str())).any(|path| path.starts_with(folder))
    }

    /// Which officer made which signature over which document.
    fn signed(&self) -> Vec<Signed<'a>> {
        let bytes = |path: &str| self.originals.iter().find(|it| it.name.as_os_str() == path).map(|it| &it.bytes);
        let mut signed = Vec::new();
        let mut documents: Vec<&Filed> = Vec::new();
        for file in self.filed {
            if file.is_document {
                documents.push(file);
                continue;
            }
            let Some(document) = documents.iter().rev().find(|it| it.kind == file.kind) else { continue };
            let read = || {
                let document_path = document.path.as_ref();
                let document = bytes(&document.path)?;
                let signature = Signature::parse(bytes(&file.path)?, file.path.as_ref()).ok()?;
                let namespace = Paper::parse(document, document_path).ok()?.namespace();
                let mut rosters = self.replay.rosters().iter().map(|trusted| trusted.roster());
                let officer = rosters.find_map(|roster| roster.signer(&signature, namespace, document).ok())?;
                Some((namespace, officer.name.clone()))
            };
            if let Some((namespace, officer)) = read() {
                signed.push(Signed { signature: &file.path, document: &document.path, namespace, officer });
            }
        }
        signed
    }
}

/// The officers' keys and the probe's, as `ssh-keygen -Y verify -f` wants them.
pub(super) fn allowed_signers(replay: &Replay, probe: &CheckpointPublicKey) -> String {
    let mut lines = BTreeSet::new();
    let mut line = |who: &str, namespaces: &[Namespace], key: Option<String>| {
        let namespaces: Vec<_> = namespaces.iter().map(|namespace| namespace.as_str()).collect();
        // The comment of a key may hold anything.
        let key: Vec<_> = key.iter().flat_map(|key| key.split(' ').take(2)).collect();
        lines.insert(format!("{who} namespaces=\"{}\" {}\n", namespaces.join(","), key.join(" ")));
    };
    for officer in replay.rosters().iter().flat_map(|trusted| trusted.roster().officers()) {
        for key in officer.keys() {
            line(&principal(&officer.name), &Namespace::ALL, key.to_openssh().ok());
        }
    }
    line("probe", &[crate::signature::EXPORT, crate::signature::CHECKPOINT], Some(probe.to_string()));
    lines.into_iter().collect()
}

/// A name as a principal of OpenSSH: without what has a meaning there or in a shell.
fn principal(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '.' }).collect()
}

fn listed(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Expired { .. } => ", when its time was over".to_owned(),
        Ending::Unconfirmed { .. } => ", because further signatures did not come in time".to_owned(),
        Ending::Revoked { by, .. } => format!(", revoked by {by}"),
        Ending::Denied { by, .. } => format!(", denied, as {by} said"),
        Ending::Unvouched { version, .. } => format!(", by version {version} of the roster"),
    }
}
