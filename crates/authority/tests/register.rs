//! The register: what is in force is what the log and its documents say, before a crash and after it, and nothing else.
//! A program of its own: the officers' keys are made here, because a child process (ssh-keygen) of another test would hold
//! the log's lock for a moment.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use uuid::Uuid;
use writ_authority::{
    AMEND, APPROVE, AUDIT_LOG, Activation, Actor, CERTIFY, DOCUMENTS, Digest, Ending, Finding, HandedIn, Namespace,
    Original, POLICY, Phase, ProbeIdentity, REVOKE, Register, RegisterError,
};

/// The example that is printed in the documentation.
const WARRANT: &str = include_str!("../../../docs/examples/warrant.toml");

const START: &str = "2026-11-20T14:00:00Z";
const STOP: &str = "2026-12-20T14:00:00Z";

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn identity() -> ProbeIdentity {
    ProbeIdentity { operator: "ExampleNet".to_owned(), probe: "pop3-probe1".to_owned() }
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn before() -> Timestamp {
    at("2026-11-19T18:00:00Z")
}

fn actor() -> Actor {
    Actor { who: "ada".to_owned(), uid: 1000, pid: 1 }
}

/// A probe with a roster in force: Ada (legal), Ben (operations), Cleo (on call). Two of two roles must sign.
struct Probe {
    office: TempDir,
    keys: [PrivateKey; 3],
    register: Option<Register>,
    findings: Vec<Finding>,
}

fn roster_of(version: u32, officers: &[(&str, &str, &PrivateKey)]) -> String {
    let mut text = format!(
        "version = {version}
operator = \"ExampleNet\"

[policy]
approvals = 2
"
    );
    text.push_str(
        "roles = 2\nrevoked_key = \"stop\"\n\n[policy.emergency]\nroles = [\"on-call\"]\nsecond_within_hours = 4\n",
    );
    for (name, role, key) in officers {
        text.push_str(&format!(
            "\n[[officer]]\nname = {name:?}\nroles = [{role:?}]\nkeys = [{:?}]\n",
            key.public_key().to_openssh().unwrap()
        ));
    }
    text
}

impl Probe {
    fn new() -> Self {
        let office = tempfile::tempdir().unwrap();
        let keys = [1, 2, 3].map(|seed| PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32])));
        let mut probe = Self { office, keys, register: None, findings: Vec::new() };
        probe.open(before());
        let text = probe.roster(1, &[0, 1, 2]);
        let handed = probe.handed(&text, POLICY, &[0, 1]);
        probe.register().install_roster(handed, actor(), before()).unwrap();
        probe
    }

    fn roster(&self, version: u32, officers: &[usize]) -> String {
        let all = [("Ada", "legal"), ("Ben", "operations"), ("Cleo", "on-call")];
        let officers: Vec<_> = officers.iter().map(|i| (all[*i].0, all[*i].1, &self.keys[*i])).collect();
        roster_of(version, &officers)
    }

    fn folder(&self) -> PathBuf {
        self.office.path().join("state")
    }

    fn log(&self) -> PathBuf {
        self.folder().join(AUDIT_LOG)
    }

    /// As after a crash, or another start.
    fn open(&mut self, now: Timestamp) -> &mut Register {
        self.register = None;
        let (register, findings) = Register::open(&self.folder(), identity(), now).unwrap();
        self.findings = findings;
        self.register.insert(register)
    }

    fn register(&mut self) -> &mut Register {
        self.register.as_mut().unwrap()
    }

    fn handed(&self, text: &str, namespace: Namespace, signers: &[usize]) -> HandedIn {
        let signatures = signers.iter().map(|i| {
            let signature = self.keys[*i].sign(namespace.as_str(), HashAlg::Sha512, text.as_bytes()).unwrap();
            Original::new(format!("{i}.sig"), signature.to_pem(LineEnding::LF).unwrap())
        });
        HandedIn { document: Original::new("document.toml", text), signatures: signatures.collect() }
    }

    /// The example as warrant `n`, drafted now.
    fn warrant(&mut self, n: u8) -> String {
        let head = self.register().head();
        let seen = WARRANT.find("record = ").unwrap();
        let end = WARRANT[seen..].find("\n\n").unwrap() + seen;
        let text = format!("{}record = {}\nhash = \"{}\"{}", &WARRANT[..seen], head.number, head.hash, &WARRANT[end..]);
        let text = text.replace("1f0c6a52", &format!("{n:02x}0c6a52"));
        let text = text.replace("2026-11-21T09:00:00-05:00", "2026-12-30T00:00:00Z");
        let text = text.replace("2026-11-20T09:00:00-05:00", START).replace("2026-12-20T09:00:00-05:00", STOP);
        assert!(text.contains(START), "the example has other moments");
        text
    }

    /// The next revision of a warrant, with another stop.
    fn revision(&mut self, text: &str, revision: u32, was: &str, stop: &str, docket: &str) -> String {
        let head = self.register().head();
        let uuid = &text[..text.find('\n').unwrap()];
        let of = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        let text = text.replace(&of("record = "), &format!("record = {}", head.number));
        let text = text.replace(&of("hash = "), &format!("hash = \"{}\"", head.hash));
        let text: String =
            text.lines().filter(|line| !line.starts_with("previous = ")).map(|line| format!("{line}\n")).collect();
        let previous = format!("revision = {revision}\nprevious = \"{}\"", Digest::of(&self.last(uuid)));
        let text = text.replace(&format!("{}\n", of("revision = ")), &format!("{previous}\n"));
        text.replace(was, stop).replace("26-mc-0117", docket)
    }

    /// The bytes of the last approved revision of the warrant with this first line.
    fn last(&mut self, first_line: &str) -> Vec<u8> {
        let uuid: Uuid = first_line.trim_start_matches("uuid = ").trim_matches('"').parse().unwrap();
        self.register().case(uuid).unwrap().warrant().unwrap().bytes().to_vec()
    }

    fn submit(&mut self, text: &str, signers: &[usize], now: Timestamp) -> Result<Uuid, RegisterError> {
        let namespace = if text.contains("revision = 1\n") { APPROVE } else { AMEND };
        let handed = self.handed(text, namespace, signers);
        let register = self.register();
        let proposal = register.submit(handed, actor(), now)?;
        register.enact(&proposal, actor(), now)?;
        Ok(proposal.case().uuid())
    }

    fn approve(&mut self, uuid: Uuid, text: &str, signers: &[usize], now: Timestamp) -> Result<(), RegisterError> {
        let namespace = if text.contains("revision = 1\n") { APPROVE } else { AMEND };
        let signatures = self.handed(text, namespace, signers).signatures;
        let register = self.register();
        let proposal = register.approve(uuid, signatures, actor(), now)?;
        register.enact(&proposal, actor(), now)
    }

    fn revoke(&mut self, uuid: Uuid, kind: &str, signers: &[usize], now: Timestamp) -> Result<(), RegisterError> {
        let text = self.revocation(uuid, kind);
        let handed = self.handed(&text, REVOKE, signers);
        self.register().revoke(handed, actor(), now)?.recorded
    }

    fn revocation(&mut self, uuid: Uuid, kind: &str) -> String {
        let head = self.register().head();
        let (revision, digest) = self
            .register()
            .case(uuid)
            .and_then(|case| case.warrant().map(|warrant| (warrant.revision(), warrant.digest())))
            .unwrap_or((1, Digest::ZERO));
        format!(
            "uuid = \"{uuid}\"\nrevision = {revision}\nwarrant = \"{digest}\"\noperator = \"ExampleNet\"\n\
             probe = \"pop3-probe1\"\nsign_by = \"2027-01-30T00:00:00Z\"\nreason = \"order withdrawn\"\n\
             kind = \"{kind}\"\n\n[seen]\nrecord = {}\nhash = \"{}\"\n",
            head.number, head.hash
        )
    }

    fn in_force(&mut self, now: Timestamp) -> Vec<Uuid> {
        self.register().in_force(now).into_iter().map(|force| force.uuid).collect()
    }

    fn phase(&mut self, uuid: Uuid, now: Timestamp) -> Phase {
        let register = self.register();
        register.case(uuid).unwrap().phase(register.clock(now))
    }

    /// Everything that anybody could see of the state.
    fn summary(&mut self) -> BTreeMap<Uuid, String> {
        let register = self.register();
        let of = |case: &writ_authority::Case| {
            let revisions: Vec<_> = case
                .revisions()
                .iter()
                .map(|it| (it.warrant.warrant().digest(), it.provisional, it.approved))
                .collect();
            let waiting = case.waiting().map(|it| (it.warrant.digest(), it.signatures.len(), it.at));
            format!("{revisions:?} {waiting:?} {:?} {:?} {:?}", case.ending(), case.begun(), case.certified())
        };
        register.cases().map(|case| (case.uuid(), of(case))).collect()
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, RegisterError>) -> String {
    match result {
        Err(RegisterError::Refused(reasons)) => reasons.join("\n"),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_warrant_waits_for_its_signatures_and_is_in_force_with_the_last_one() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0], before()).unwrap();
    assert_eq!(probe.phase(uuid, before()), Phase::Submitted);
    assert!(probe.in_force(at(START)).is_empty());
    probe.open(before());
    assert_eq!(probe.findings, []);
    let missing = probe.register().case(uuid).unwrap().waiting().unwrap().missing.clone();
    assert!(missing.contains("only Ada signed"), "{missing}");
    probe.approve(uuid, &text, &[1], before()).unwrap();
    assert_eq!(probe.phase(uuid, before()), Phase::Approved);
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [uuid]);
    let words = refused(probe.submit(&text, &[0, 1], before()));
    assert!(words.contains("known with revision 1; the next is 2"), "{words}");
    assert!(probe.in_force(at(STOP)).is_empty());
    assert_eq!(probe.register().expire(at(STOP)).unwrap(), [uuid]);
    // The clock goes back, the warrant does not; nor does its name.
    probe.open(before());
    assert!(probe.in_force(at(START)).is_empty());
    assert_eq!(probe.phase(uuid, before()), Phase::Expired);
    let words = refused(probe.submit(&text, &[0, 1], before()));
    assert!(words.contains("has ended, and is never used again"), "{words}");
}

#[test]
fn one_officer_ends_a_warrant_and_the_others_stay_in_force() {
    let mut probe = Probe::new();
    let [first, second] = [1, 2].map(|n| {
        let text = probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n));
        probe.submit(&text, &[0, 1], before()).unwrap()
    });
    let words = refused(probe.revoke(first, "revoked", &[], before()));
    assert!(words.contains("any one officer"), "{words}");
    let words = refused(probe.revoke(first, "denied", &[2], before()));
    assert!(words.contains("only the application that follows an emergency"), "{words}");
    probe.revoke(first, "revoked", &[2], before()).unwrap();
    assert_eq!(probe.in_force(at(START)), [second]);
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [second]);
    let ending = probe.register().case(first).unwrap().ending().cloned();
    assert!(matches!(&ending, Some(Ending::Revoked { by, reason, .. }) if by == "Cleo" && reason == "order withdrawn"));
    assert!(refused(probe.revoke(first, "revoked", &[2], before())).contains("has ended"));
}

#[test]
fn a_revocation_that_the_disk_does_not_take_holds_until_it_does() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    let revocation = probe.revocation(uuid, "revoked");
    let documents = probe.folder().join(DOCUMENTS);
    let aside = probe.folder().join("aside");
    fs::rename(&documents, &aside).unwrap();
    let handed = probe.handed(&revocation, REVOKE, &[0]);
    let revoked = probe.register().revoke(handed.clone(), actor(), before()).unwrap();
    assert!(matches!(revoked.recorded, Err(RegisterError::Archive(_))), "{revoked:?}");
    assert!(probe.in_force(at(START)).is_empty(), "it has ended all the same");
    assert_eq!(probe.phase(uuid, before()), Phase::Revoked);
    fs::rename(&aside, &documents).unwrap();
    probe.register().revoke(handed, actor(), before()).unwrap().recorded.unwrap();
    probe.open(before());
    assert!(probe.in_force(at(START)).is_empty());
}

#[test]
fn a_revision_takes_the_place_of_the_one_before_and_an_extension_leaves_no_gap() {
    let mut probe = Probe::new();
    let first = probe.warrant(1);
    let uuid = probe.submit(&first, &[0, 1], before()).unwrap();
    // Less: one signature of legal, at once.
    let earlier = "2026-12-15T14:00:00Z";
    let second = probe.revision(&first, 2, STOP, earlier, "26-mc-0117");
    let words = refused(probe.submit(&second.replace("revision = 2", "revision = 3"), &[0], before()));
    assert!(words.contains("the next is 2"), "{words}");
    probe.submit(&second, &[0], before()).unwrap();
    assert!(probe.in_force(at("2026-12-15T13:59:59Z")) == [uuid] && probe.in_force(at(earlier)).is_empty());
    // More: one signature waits, and the one before stays in force.
    let later = "2026-12-19T14:00:00Z";
    let third = probe.revision(&second, 3, earlier, later, "26-mc-0118");
    let third = third.replace("entered = \"2026-11-18\"", "entered = \"2026-11-19\"");
    probe.submit(&third, &[0], before()).unwrap();
    assert!(probe.in_force(at(earlier)).is_empty());
    probe.approve(uuid, &third, &[1], before()).unwrap();
    assert_eq!(probe.in_force(at(earlier)), [uuid]);
    // An extension that begins only later is one time with the one before it.
    let fourth = probe.revision(&third, 4, later, "2027-01-10T00:00:00Z", "26-mc-0119");
    let fourth =
        fourth.replace(START, "2026-12-19T00:00:00Z").replace("entered = \"2026-11-19\"", "entered = \"2026-12-18\"");
    let fourth = fourth.replace("served = \"2026-11-19\"", "served = \"2026-12-18\"");
    let now = at("2026-12-18T12:00:00Z");
    probe.submit(&fourth, &[0, 1], now).unwrap();
    for reopened in [false, true] {
        if reopened {
            probe.open(now);
        }
        let [force] = &probe.register().in_force(now)[..] else { panic!("one is in force") };
        assert_eq!(force.warrant().revision(), 3);
        assert_eq!((force.window.start(), force.window.stop()), (at(START), at("2027-01-10T00:00:00Z")));
        let next = probe.register().next_succession(now).unwrap();
        assert_eq!(next, at("2026-12-18T23:59:59Z"), "what both allow is worked out before");
        let next = probe.register().next_succession(next).unwrap();
        assert_eq!(next, at("2026-12-19T00:00:00Z"));
        let [force] = &probe.register().in_force(next)[..] else { panic!("one is in force") };
        assert_eq!(force.warrant().revision(), 4);
    }
}

/// An emergency that begins now.
fn emergency(probe: &mut Probe) -> String {
    let text = probe.warrant(9).replace("title-iii", "emergency-2518");
    let text = text.replace(STOP, "2026-11-22T14:00:00Z");
    let is_of_court = |line: &&str| ["court", "judge", "docket", "entered"].iter().any(|key| line.starts_with(key));
    text.lines().filter(|line| !is_of_court(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_emergency_begins_on_call_and_stops_unless_the_others_sign() {
    for signs in [false, true] {
        let mut probe = Probe::new();
        let text = emergency(&mut probe);
        let now = at(START);
        let uuid = probe.submit(&text, &[2], now).unwrap();
        probe.open(now);
        assert_eq!(probe.in_force(now), [uuid]);
        let until = now + hours(4);
        assert_eq!(probe.register().in_force(now)[0].window.stop(), until);
        if signs {
            probe.approve(uuid, &text, &[0], now + hours(3)).unwrap();
            assert_eq!(probe.in_force(until), [uuid]);
            assert_eq!(probe.register().in_force(until)[0].window.stop(), at("2026-11-22T14:00:00Z"));
            probe.revoke(uuid, "denied", &[0], until).unwrap();
            assert_eq!(probe.phase(uuid, until), Phase::Denied);
        } else {
            assert!(probe.in_force(until).is_empty());
            assert!(refused(probe.approve(uuid, &text, &[0], until)).contains("has ended"), "too late");
            assert_eq!(probe.register().expire(until).unwrap(), [uuid]);
            assert!(matches!(probe.register().case(uuid).unwrap().ending(), Some(Ending::Unconfirmed { .. })));
        }
    }
}

#[test]
fn a_roster_that_takes_a_key_away_ends_what_hung_on_it() {
    let mut probe = Probe::new();
    let [by_ben, by_cleo] = [(1, [0, 1]), (2, [0, 2])].map(|(n, signers)| {
        let text = probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n));
        probe.submit(&text, &signers, before()).unwrap()
    });
    let text = probe.roster(2, &[0, 2]);
    let handed = probe.handed(&text, POLICY, &[0, 1]);
    let change = probe.register().install_roster(handed, actor(), before()).unwrap();
    assert_eq!((change.version, &change.ended[..]), (2, &[by_ben][..]));
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [by_cleo]);
    assert!(matches!(probe.register().case(by_ben).unwrap().ending(), Some(Ending::Unvouched { version: 2, .. })));
}

#[test]
fn what_was_measured_is_certified_by_its_overseer_and_the_case_closed_with_its_key() {
    let mut probe = Probe::new();
    let order = b"scanned order".to_vec();
    let text = probe.warrant(1);
    let line = text.lines().find(|line| line.starts_with("sha256 = ")).unwrap().to_owned();
    let text = text.replace(&line, &format!("sha256 = \"{}\"", Digest::of(&order)));
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    let words = refused(probe.register().attach(uuid, &Original::new("o.pdf", "another"), actor(), before()));
    assert!(words.contains("attach the scan that the warrant names"), "{words}");
    probe.register().attach(uuid, &Original::new("o.pdf", order.clone()), actor(), before()).unwrap();
    assert!(refused(probe.register().draft_certification(uuid, "Ada", before())).contains("nothing to certify yet"));
    let by = Activation { software: "writ 1".into(), configuration: Digest::of(b"config"), clock_doubt_ms: Some(3) };
    let now = at(START);
    probe.register().armed(uuid, &by, vec![("slot", "1.1".to_owned())], before()).unwrap();
    probe.register().begun(uuid, now, Vec::new(), now).unwrap();
    assert!(probe.register().overdue(now + hours(7 * 24 - 1)).is_empty());
    assert_eq!(probe.register().overdue(now + hours(7 * 24)), [uuid]);
    assert_eq!(probe.register().note_overdue(now + hours(7 * 24)).unwrap(), [uuid]);
    assert!(probe.register().note_overdue(now + hours(7 * 24)).unwrap().is_empty(), "said once");
    probe.open(now);
    assert_eq!(probe.phase(uuid, now), Phase::Active);
    let draft = probe.register().draft_certification(uuid, "Ada", now).unwrap();
    for (document, signer, said) in [
        (draft.clone(), 1, "the overseer, Ada"),
        (draft.replace(START, "2026-11-20T15:00:00Z"), 0, "is not what was measured"),
    ] {
        let handed = probe.handed(&document, CERTIFY, &[signer]);
        let words = refused(probe.register().certify(handed, actor(), now));
        assert!(words.contains(said), "{words}");
    }
    let handed = probe.handed(&draft, CERTIFY, &[0]);
    probe.register().certify(handed, actor(), now).unwrap();
    assert!(probe.register().overdue(now + hours(7 * 24)).is_empty());
    assert!(refused(probe.register().close(uuid, Vec::new(), actor(), now)).contains("revoke it first"));
    probe.revoke(uuid, "revoked", &[0], now).unwrap();
    let figures = [("matched".to_owned(), "7".to_owned())].into();
    probe.register().stopped(uuid, now + hours(1), figures, now).unwrap();
    assert_eq!(probe.phase(uuid, now), Phase::Certified);
    assert_eq!(probe.register().order(uuid, Digest::of(&order)).unwrap(), order);
    probe.register().close(uuid, Vec::new(), actor(), now).unwrap();
    probe.open(now);
    assert_eq!(probe.phase(uuid, now), Phase::Closed);
    assert_eq!(probe.register().case(uuid).unwrap().figures()["matched"], "7");
    assert!(matches!(probe.register().order(uuid, Digest::of(&order)), Err(RegisterError::Seal(_))));
}

#[test]
fn a_damaged_document_holds_its_case_and_no_other() {
    let mut probe = Probe::new();
    let texts = [1, 2].map(|n| probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n)));
    let [first, second] = [0, 1].map(|i| probe.submit(&texts[i], &[0, 1], before()).unwrap());
    let file = probe.folder().join(DOCUMENTS).join(Digest::of(texts[0].as_bytes()).to_string());
    let good = fs::read(&file).unwrap();
    // A wider warrant behind the signatures, or none at all.
    for bad in [Some(texts[0].replace("192.0.2.11", "192.0.2.0/28")), None] {
        match &bad {
            Some(bad) => fs::write(&file, bad).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        probe.open(before());
        let [finding] = &probe.findings[..] else { panic!("{:?}", probe.findings) };
        assert!(finding.case == Some(first) && finding.problem.contains("restore the file"), "{finding:?}");
        assert_eq!(probe.phase(first, before()), Phase::Damaged);
        assert_eq!(probe.in_force(at(START)), [second]);
        assert!(refused(probe.submit(&texts[0], &[0, 1], before())).contains("restore that file"));
    }
    fs::write(&file, good).unwrap();
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [first, second]);
}

#[test]
fn a_log_that_somebody_saw_further_is_held_until_the_officers_know() {
    let mut probe = Probe::new();
    let old = probe.warrant(1);
    let uuid = probe.submit(&old, &[0, 1], before()).unwrap();
    let log = fs::read(probe.log()).unwrap();
    let lost = probe.warrant(2).replace("192.0.2.7", "192.0.2.12");
    let lost_uuid = probe.submit(&lost, &[0, 1], before()).unwrap();
    probe.revoke(lost_uuid, "revoked", &[0], before()).unwrap();
    probe.revoke(uuid, "revoked", &[0], before()).unwrap();
    // Somebody puts the log back to where the first warrant was in force, and forgets the documents.
    probe.register = None;
    fs::write(probe.log(), &log).unwrap();
    probe.open(before());
    assert!(probe.findings.iter().any(|it| it.problem.contains("put back from an older copy")), "{:?}", probe.findings);
    for _ in 0..2 {
        assert!(probe.register().held().is_some());
        assert!(probe.in_force(at(START)).is_empty(), "a warrant that had ended does not come back");
        assert_eq!(probe.phase(uuid, before()), Phase::Held);
        let words = refused(probe.submit(&lost, &[0, 1], before()));
        assert!(words.contains("draft"), "{words}");
        probe.open(before());
        assert_eq!(probe.findings, [], "it is said once");
    }
    let new = probe.warrant(3).replace("192.0.2.7", "192.0.2.13");
    assert!(refused(probe.submit(&new, &[0, 1], before())).contains("the probe is held since record"));
    // The quorum says that it knows, and approves what is to go on anew.
    let roster = probe.roster(2, &[0, 1, 2]);
    let handed = probe.handed(&roster, POLICY, &[0, 1]);
    probe.register().install_roster(handed, actor(), before()).unwrap();
    assert!(probe.in_force(at(START)).is_empty());
    let narrower = probe.revision(&old, 2, STOP, "2026-12-10T14:00:00Z", "26-mc-0117");
    probe.submit(&narrower, &[0, 1], before()).unwrap();
    assert_eq!(probe.in_force(at(START)), [uuid]);
    let new = probe.warrant(3).replace("192.0.2.7", "192.0.2.13");
    probe.submit(&new, &[0, 1], before()).unwrap();
}

#[test]
fn a_paper_from_the_future_of_the_log_holds_everything_if_an_officer_signed_it() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    let hash = probe.register().head().hash.to_string();
    let future = probe.warrant(2).replace("192.0.2.7", "192.0.2.12").replace(&hash, &Digest::of(b"?").to_string());
    assert!(refused(probe.submit(&future, &[], before())).contains("has no record"));
    assert_eq!(probe.in_force(at(START)), [uuid], "anybody can write a number");
    assert!(refused(probe.submit(&future, &[0], before())).contains("has no record"));
    assert!(probe.in_force(at(START)).is_empty());
    probe.open(before());
    assert!(probe.in_force(at(START)).is_empty() && probe.register().held().is_some());
}

/// What somebody does to the register.
#[derive(Clone, Debug)]
enum Step {
    Submit {
        which: u8,
        signers: BTreeSet<usize>,
    },
    Emergency {
        signers: BTreeSet<usize>,
    },
    Narrow {
        which: u8,
        signers: BTreeSet<usize>,
    },
    Approve {
        which: u8,
        signers: BTreeSet<usize>,
    },
    Revoke {
        which: u8,
        signers: BTreeSet<usize>,
    },
    Expire,
    /// The power fails while the last act is recorded: of so many of the log's last bytes nothing is left.
    Crash {
        lost: usize,
    },
    /// The clock goes on, or is set back.
    Wait {
        hours: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || 1u8..4;
    let signers = || prop::collection::btree_set(0usize..3, 0..3);
    let step = prop_oneof![
        4 => (which(), signers()).prop_map(|(which, signers)| Step::Submit { which, signers }),
        1 => signers().prop_map(|signers| Step::Emergency { signers }),
        2 => (which(), signers()).prop_map(|(which, signers)| Step::Narrow { which, signers }),
        3 => (which(), signers()).prop_map(|(which, signers)| Step::Approve { which, signers }),
        1 => (which(), signers()).prop_map(|(which, signers)| Step::Revoke { which, signers }),
        1 => Just(Step::Expire),
        3 => (1usize..2000).prop_map(|lost| Step::Crash { lost }),
        2 => (-100i64..400).prop_map(|hours| Step::Wait { hours }),
    ];
    prop::collection::vec(step, 1..14)
}

/// A plain model of one paper: who signed it, and until when it may hold by the word of somebody on call.
#[derive(Clone, Debug, Default)]
struct Known {
    signers: BTreeSet<usize>,
    on_call_until: Option<Timestamp>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done and wherever it crashes: nothing is in force without its quorum, past its stop, or after its end.
    #[test]
    fn no_sequence_of_acts_and_crashes_puts_anything_in_force_that_may_not_be(steps in steps()) {
        let mut probe = Probe::new();
        let mut now = before();
        let mut latest: BTreeMap<u8, (Uuid, String)> = BTreeMap::new();
        let mut papers: BTreeMap<Digest, Known> = BTreeMap::new();
        let mut ended: BTreeSet<Uuid> = BTreeSet::new();
        let mut summaries: Vec<(u64, BTreeMap<Uuid, String>)> = Vec::new();
        for step in steps {
            let length = fs::metadata(probe.log()).unwrap().len();
            summaries.push((length, probe.summary()));
            let mut note = |text: &str, signers: &BTreeSet<usize>, done: bool, until: Option<Timestamp>| {
                let known = papers.entry(Digest::of(text.as_bytes())).or_default();
                if done {
                    known.signers.extend(signers);
                    known.on_call_until = known.on_call_until.or(until);
                }
            };
            match step {
                Step::Submit { which, signers } => {
                    let text = match latest.get(&which) {
                        Some((_, text)) => text.clone(),
                        None => probe.warrant(which).replace("192.0.2.7", &format!("192.0.2.{}", 10 + which)),
                    };
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.submit(&text, &who, now);
                    note(&text, &signers, done.is_ok(), None);
                    if let Ok(uuid) = done {
                        latest.insert(which, (uuid, text));
                    }
                }
                Step::Emergency { signers } => {
                    let text = latest.get(&9).map_or_else(|| emergency(&mut probe), |(_, text)| text.clone());
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.submit(&text, &who, now);
                    let clock = probe.register().clock(now);
                    let until = clock.checked_add(hours(4)).unwrap();
                    note(&text, &signers, done.is_ok(), signers.contains(&2).then_some(until));
                    if let Ok(uuid) = done {
                        latest.insert(9, (uuid, text));
                    }
                }
                Step::Narrow { which, signers } => {
                    let Some((uuid, text)) = latest.get(&which).cloned() else { continue };
                    if probe.register().case(uuid).is_none_or(|case| case.latest().is_none()) {
                        continue;
                    }
                    let base = String::from_utf8(probe.last(text.lines().next().unwrap())).unwrap();
                    let revision = probe.register().case(uuid).unwrap().warrant().unwrap().revision() + 1;
                    let was = probe.register().case(uuid).unwrap().warrant().unwrap().window().stop();
                    let stop = was.checked_sub(hours(24)).unwrap();
                    let text = probe.revision(&base, revision, &was.to_string(), &stop.to_string(), "26-mc-0117");
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.submit(&text, &who, now);
                    note(&text, &signers, done.is_ok(), None);
                    if done.is_ok() {
                        latest.insert(which, (uuid, text));
                    }
                }
                Step::Approve { which, signers } => {
                    let Some((uuid, text)) = latest.get(&which).cloned() else { continue };
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.approve(uuid, &text, &who, now).is_ok();
                    note(&text, &signers, done, None);
                }
                Step::Revoke { which, signers } => {
                    let Some((uuid, _)) = latest.get(&which).cloned() else { continue };
                    let who: Vec<_> = signers.iter().copied().collect();
                    let done = probe.revoke(uuid, "revoked", &who, now).is_ok();
                    prop_assert!(!done || !signers.is_empty());
                    if done {
                        ended.insert(uuid);
                    }
                }
                Step::Expire => {
                    let expired = probe.register().expire(now).unwrap();
                    ended.extend(expired);
                }
                Step::Crash { lost } => {
                    probe.register = None;
                    let log = fs::read(probe.log()).unwrap();
                    let last = log[..log.len().saturating_sub(1)].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                    // What the last act wrote may not have been confirmed yet; all before it was.
                    let confirmed = summaries.iter().rev().nth(1).map_or(log.len() as u64, |(length, _)| *length);
                    let last = last.max(usize::try_from(confirmed).unwrap());
                    let left = log.len().saturating_sub(lost).max(last).min(log.len());
                    fs::write(probe.log(), &log[..left]).unwrap();
                    probe.open(now);
                    prop_assert_eq!(&probe.findings, &[]);
                    let summary = probe.summary();
                    let is_prefix = summaries.iter().any(|(_, known)| *known == summary);
                    let is_whole = left == log.len();
                    prop_assert!(is_prefix || is_whole, "no state that ever was: {:?}", summary);
                    ended.retain(|uuid| probe.register().case(*uuid).is_some_and(|case| case.ending().is_some()));
                    latest.retain(|_, (uuid, _)| probe.register().case(*uuid).is_some());
                }
                Step::Wait { hours: some } => now = now.checked_add(hours(some)).unwrap(),
            }
            let clock = probe.register().clock(now);
            for force in probe.register().in_force(now) {
                let warrant = force.warrant();
                let known = papers.get(&warrant.digest()).cloned().unwrap_or_default();
                // All three have another role each.
                let quorum = known.signers.len() >= 2;
                let narrowing = warrant.revision() > 1 && known.signers.contains(&0);
                let on_call = known.on_call_until.is_some_and(|until| force.window.stop() <= until);
                prop_assert!(quorum || narrowing || on_call, "revision {} by {:?}", warrant.revision(), known.signers);
                prop_assert!(clock < force.window.stop() && force.window.stop() <= warrant.window().stop());
                prop_assert!(!ended.contains(&force.uuid), "an ended warrant came back");
            }
        }
    }

    /// A log cut off or altered anywhere is not opened, or holds, or is a shorter history that no document contradicts.
    #[test]
    fn no_tampering_with_log_or_documents_puts_more_in_force(place in 0.0f64..1.0, what in 0u8..3) {
        let mut probe = Probe::new();
        let texts = [1, 2].map(|n| probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n)));
        let [first, second] = [0, 1].map(|i| probe.submit(&texts[i], &[0, 1], before()).unwrap());
        probe.revoke(first, "revoked", &[1], before()).unwrap();
        // Drafted when the revocation was in the log: it witnesses that.
        let last = probe.warrant(3).replace("192.0.2.7", "192.0.2.13");
        probe.submit(&last, &[], before()).unwrap();
        probe.register = None;
        let files: Vec<_> = fs::read_dir(probe.folder().join(DOCUMENTS)).unwrap().map(|it| it.unwrap().path()).collect();
        let file = match what {
            0 | 1 => probe.log(),
            _ => files[((files.len() - 1) as f64 * place) as usize].clone(),
        };
        let mut bytes = fs::read(&file).unwrap();
        let at_byte = ((bytes.len() - 1) as f64 * place) as usize;
        match what {
            0 => bytes.truncate(at_byte),
            _ => bytes[at_byte] ^= 4,
        }
        fs::write(&file, &bytes).unwrap();
        if let Ok((mut register, findings)) = Register::open(&probe.folder(), identity(), before()) {
            let in_force: Vec<_> = register.in_force(at(START)).into_iter().map(|force| force.uuid).collect();
            prop_assert!(!in_force.contains(&first), "an ended warrant came back");
            prop_assert!(what == 0 || !findings.is_empty() || in_force == [second], "{in_force:?} {findings:?}");
            prop_assert!(register.expire(before()).unwrap().is_empty());
        } else {
            prop_assert!(what < 2, "a damaged document stops nothing else");
        }
    }
}
