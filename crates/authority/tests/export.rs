//! The export of a case against whoever has all powers on the probe, its key too: what they make of the log and the
//! documents afterwards does not stand when the archive is checked.

use jiff::Timestamp;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use std::fs;
use tempfile::TempDir;
use uuid::Uuid;
use writ_authority::{
    APPROVE, AUDIT_LOG, Activation, Actor, CaseExport, CheckpointKey, DOCUMENTS, Digest, Evidence, HandedIn, Namespace,
    Original, POLICY, ProbeIdentity, Register, Trust, Verdict, check_export,
};

/// The example that is printed in the documentation.
const WARRANT: &str = include_str!("../../../docs/examples/warrant.toml");

struct Office {
    folder: TempDir,
    keys: [PrivateKey; 2],
}

fn now() -> Timestamp {
    "2026-11-19T18:00:00Z".parse().unwrap()
}

fn identity() -> ProbeIdentity {
    ProbeIdentity { operator: "ExampleNet".to_owned(), probe: "pop3-probe1".to_owned() }
}

/// That of the example.
fn case() -> Uuid {
    Uuid::try_parse("1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11").unwrap()
}

impl Office {
    /// A probe with a roster and one case that two officers approved.
    fn new() -> Self {
        let keys = [1, 2].map(|seed| PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32])));
        let office = Self { folder: tempfile::tempdir().unwrap(), keys };
        let actor = Actor { who: "mia".to_owned(), uid: 1000, pid: 1 };
        let (mut register, _) = Register::open(office.folder.path(), identity(), now()).unwrap();
        let mut roster = "version = 1\noperator = \"ExampleNet\"\n\n[policy]\napprovals = 2\nroles = 2\n".to_owned();
        for ((name, role), key) in [("Ada", "legal"), ("Ben", "operations")].iter().zip(&office.keys) {
            let key = key.public_key().to_openssh().unwrap();
            roster += &format!("\n[[officer]]\nname = {name:?}\nroles = [{role:?}]\nkeys = [{key:?}]\n");
        }
        register.install_roster(office.handed(&roster, POLICY), actor.clone(), now()).unwrap();
        let head = register.head();
        let seen = WARRANT.find("record = ").unwrap();
        let end = WARRANT[seen..].find("\n\n").unwrap() + seen;
        let (before, after) = (&WARRANT[..seen], &WARRANT[end..]);
        let warrant = format!("{before}record = {}\nhash = \"{}\"{after}", head.number, head.hash);
        let proposal = register.submit(office.handed(&warrant, APPROVE), actor.clone(), now()).unwrap();
        register.enact(&proposal, actor, now()).unwrap();
        let by = Activation { software: "writ".to_owned(), configuration: Digest::ZERO, clock_doubt_ms: Some(3) };
        register.armed(case(), &by, Vec::new(), now()).unwrap();
        office
    }

    fn handed(&self, text: &str, namespace: Namespace) -> HandedIn {
        let sign = |(number, key): (usize, &PrivateKey)| {
            let signature = key.sign(namespace.as_str(), HashAlg::Sha512, text.as_bytes()).unwrap();
            Original::new(format!("{number}.sig"), signature.to_pem(LineEnding::LF).unwrap())
        };
        let signatures = self.keys.iter().enumerate().map(sign).collect();
        HandedIn { document: Original::new("document.toml", text), signatures }
    }

    /// The lines of the log.
    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.folder.path().join(AUDIT_LOG)).unwrap().lines().map(str::to_owned).collect()
    }

    /// Writes a log anew, with every hash as it has to be.
    fn rewrite(&self, lines: &[String]) {
        let mut previous = Digest::ZERO;
        let mut text = String::new();
        for line in lines {
            let (body, _) = line.rsplit_once(",\"hash\":").unwrap();
            let (body, _) = body.rsplit_once(",\"previous\":").unwrap();
            let body = format!("{body},\"previous\":\"{previous}\"");
            previous = Digest::of(body.as_bytes());
            text += &format!("{body},\"hash\":\"{previous}\"}}\n");
        }
        fs::write(self.folder.path().join(AUDIT_LOG), text).unwrap();
    }

    /// What is found of an export that is made now, with the key that the probe had all the time.
    fn check(&self, evidence: Evidence) -> Verdict {
        let folder = self.folder.path().to_owned();
        let key = CheckpointKey::open(&folder.join("probe.key"), "pop3-probe1").unwrap();
        let keys = vec![key.public()];
        let export = CaseExport {
            checkpoints: folder.join("checkpoints.jsonl"),
            delivered: folder.join("delivered.jsonl"),
            folder,
            identity: identity(),
            uuid: case(),
            until: self.log().len() as u64,
            at: now(),
            key,
            beside: Vec::new(),
            foreign: ["other".to_owned()].into(),
        };
        check_export(&export.write().unwrap(), &Trust { keys, rosters: Vec::new(), evidence })
    }
}

#[test]
fn an_approval_that_never_was_does_not_stand() {
    let office = Office::new();
    let good = office.check(Evidence::new());
    assert!(good.is_good() && good.holds.iter().any(|it| it.contains("revision 1 by Ada and Ben")), "{good:?}");
    // The record of one signature only: the log is whole, the archive is signed, and the rules say no.
    let lines = office.log();
    let place = lines.iter().position(|line| line.contains("\"warrant-submit\"")).unwrap();
    let start = lines[place].find("\"signatures\":\"").unwrap() + "\"signatures\":\"".len();
    let mut forged = lines.clone();
    forged[place].replace_range(start + 64..start + 129, "");
    office.rewrite(&forged);
    let verdict = office.check(Evidence::new());
    let expected = "enabled although no revision of the warrant was approved";
    assert!(verdict.faults.iter().any(|fault| fault.contains(expected)), "{verdict:?}");
    // A revision that nobody signed in that form.
    office.rewrite(&lines);
    let mut documents = fs::read_dir(office.folder.path().join(DOCUMENTS)).unwrap().map(|it| it.unwrap().path());
    let warrant = documents.find(|it| fs::read_to_string(it).unwrap().starts_with("uuid")).unwrap();
    let text = fs::read_to_string(&warrant).unwrap().replace("192.0.2.7", "192.0.2.8");
    let digest = Digest::of(text.as_bytes());
    fs::write(warrant.with_file_name(digest.to_string()), &text).unwrap();
    let was = warrant.file_name().unwrap().to_str().unwrap();
    office.rewrite(&lines.iter().map(|line| line.replace(was, &digest.to_string())).collect::<Vec<_>>());
    let verdict = office.check(Evidence::new());
    let expected = "signature does not fit the document";
    assert!(verdict.faults.iter().any(|fault| fault.contains(expected)), "{verdict:?}");
}

#[test]
fn a_log_written_anew_does_not_fit_a_head_that_had_left_the_machine() {
    let office = Office::new();
    let lines = office.log();
    let head: Digest = lines.last().unwrap().rsplit('"').nth(1).unwrap().parse().unwrap();
    let seen = || {
        let mut evidence = Evidence::new();
        evidence.add_head(head);
        evidence
    };
    assert!(office.check(seen()).is_good());
    let forged: Vec<_> = lines.iter().map(|line| line.replace("\"who\":\"mia\"", "\"who\":\"eve\"")).collect();
    office.rewrite(&forged);
    // The warrant's own [seen] names the record before it.
    let verdict = office.check(Evidence::new());
    assert!(verdict.faults.iter().any(|fault| fault.contains("does not stand by its documents")), "{verdict:?}");
    let verdict = office.check(seen());
    assert!(verdict.faults.iter().any(|fault| fault.contains("nowhere in the log")), "{verdict:?}");
}

#[test]
fn a_document_that_is_gone_is_missed() {
    let office = Office::new();
    for entry in fs::read_dir(office.folder.path().join(DOCUMENTS)).unwrap() {
        let path = entry.unwrap().path();
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let verdict = office.check(Evidence::new());
        assert!(verdict.faults.iter().any(|fault| fault.contains("and it is missing")), "{path:?}: {verdict:?}");
        fs::write(&path, kept).unwrap();
    }
    assert!(office.check(Evidence::new()).is_good());
}
