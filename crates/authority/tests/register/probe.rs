//! A probe without a machine: a state directory with a roster in force, its officers' keys, and the papers that they write.

use jiff::{SignedDuration, Timestamp};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;
use uuid::Uuid;
use writ_authority::{
    AMEND, APPROVE, AUDIT_LOG, Actor, Digest, Finding, HandedIn, Namespace, Original, POLICY, Phase, ProbeIdentity,
    REVOKE, Register, RegisterError,
};

/// The example that is printed in the documentation.
pub(crate) const WARRANT: &str = include_str!("../../../../docs/examples/warrant.toml");

pub(crate) const START: &str = "2026-11-20T14:00:00Z";
pub(crate) const STOP: &str = "2026-12-20T14:00:00Z";

pub(crate) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

pub(crate) fn identity() -> ProbeIdentity {
    ProbeIdentity { operator: "ExampleNet".to_owned(), probe: "pop3-probe1".to_owned() }
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn before() -> Timestamp {
    at("2026-11-19T18:00:00Z")
}

pub(crate) fn actor() -> Actor {
    Actor { who: "ada".to_owned(), uid: 1000, pid: 1 }
}

/// A probe with a roster in force: Ada (legal), Ben (operations), Cleo (on call). Two of two roles must sign.
pub(crate) struct Probe {
    pub(crate) office: TempDir,
    pub(crate) keys: [PrivateKey; 3],
    pub(crate) register: Option<Register>,
    pub(crate) findings: Vec<Finding>,
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
    pub(crate) fn new() -> Self {
        let office = tempfile::tempdir().unwrap();
        let keys = [1, 2, 3].map(|seed| PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32])));
        let mut probe = Self { office, keys, register: None, findings: Vec::new() };
        probe.open(before());
        let text = probe.roster(1, &[0, 1, 2]);
        let handed = probe.handed(&text, POLICY, &[0, 1]);
        probe.register().install_roster(handed, actor(), before()).unwrap();
        probe
    }

    pub(crate) fn roster(&self, version: u32, officers: &[usize]) -> String {
        let all = [("Ada", "legal"), ("Ben", "operations"), ("Cleo", "on-call")];
        let officers: Vec<_> = officers.iter().map(|i| (all[*i].0, all[*i].1, &self.keys[*i])).collect();
        roster_of(version, &officers)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.office.path().join("state")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder().join(AUDIT_LOG)
    }

    /// As after a crash, or another start.
    pub(crate) fn open(&mut self, now: Timestamp) -> &mut Register {
        self.register = None;
        let (register, findings) = Register::open(&self.folder(), identity(), now).unwrap();
        self.findings = findings;
        self.register.insert(register)
    }

    pub(crate) fn register(&mut self) -> &mut Register {
        self.register.as_mut().unwrap()
    }

    pub(crate) fn handed(&self, text: &str, namespace: Namespace, signers: &[usize]) -> HandedIn {
        let signatures = signers.iter().map(|i| {
            let signature = self.keys[*i].sign(namespace.as_str(), HashAlg::Sha512, text.as_bytes()).unwrap();
            Original::new(format!("{i}.sig"), signature.to_pem(LineEnding::LF).unwrap())
        });
        HandedIn { document: Original::new("document.toml", text), signatures: signatures.collect() }
    }

    /// The example as warrant `n`, drafted now.
    pub(crate) fn warrant(&mut self, n: u8) -> String {
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
    pub(crate) fn revision(&mut self, text: &str, revision: u32, was: &str, stop: &str, docket: &str) -> String {
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
    pub(crate) fn last(&mut self, first_line: &str) -> Vec<u8> {
        let uuid: Uuid = first_line.trim_start_matches("uuid = ").trim_matches('"').parse().unwrap();
        self.register().case(uuid).unwrap().warrant().unwrap().bytes().to_vec()
    }

    pub(crate) fn submit(&mut self, text: &str, signers: &[usize], now: Timestamp) -> Result<Uuid, RegisterError> {
        let namespace = if text.contains("revision = 1\n") { APPROVE } else { AMEND };
        let handed = self.handed(text, namespace, signers);
        let register = self.register();
        let proposal = register.submit(handed, actor(), now)?;
        register.enact(&proposal, actor(), now)?;
        Ok(proposal.case().uuid())
    }

    pub(crate) fn approve(
        &mut self,
        uuid: Uuid,
        text: &str,
        signers: &[usize],
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let namespace = if text.contains("revision = 1\n") { APPROVE } else { AMEND };
        let signatures = self.handed(text, namespace, signers).signatures;
        let register = self.register();
        let proposal = register.approve(uuid, signatures, actor(), now)?;
        register.enact(&proposal, actor(), now)
    }

    pub(crate) fn revoke(
        &mut self,
        uuid: Uuid,
        kind: &str,
        signers: &[usize],
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let text = self.revocation(uuid, kind);
        let handed = self.handed(&text, REVOKE, signers);
        self.register().revoke(handed, actor(), now)?.recorded
    }

    pub(crate) fn revocation(&mut self, uuid: Uuid, kind: &str) -> String {
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

    pub(crate) fn in_force(&mut self, now: Timestamp) -> Vec<Uuid> {
        self.register().in_force(now).into_iter().map(|force| force.uuid).collect()
    }

    pub(crate) fn phase(&mut self, uuid: Uuid, now: Timestamp) -> Phase {
        let register = self.register();
        register.case(uuid).unwrap().phase(register.clock(now))
    }

    /// Everything that anybody could see of the state.
    pub(crate) fn summary(&mut self) -> BTreeMap<Uuid, String> {
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

pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, RegisterError>) -> String {
    match result {
        Err(RegisterError::Refused(reasons)) => reasons.join("\n"),
        other => panic!("not refused: {other:?}"),
    }
}

/// An emergency that begins now.
pub(crate) fn emergency(probe: &mut Probe) -> String {
    let text = probe.warrant(9).replace("title-iii", "emergency-2518");
    let text = text.replace(STOP, "2026-11-22T14:00:00Z");
    let is_of_court = |line: &&str| ["court", "judge", "docket", "entered"].iter().any(|key| line.starts_with(key));
    text.lines().filter(|line| !is_of_court(line)).map(|line| format!("{line}\n")).collect()
}
