//! Officers with real keys, who sign with the real `ssh-keygen`, and documents for them to sign.

use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use writ_authority::{
    APPROVE, ApprovedWarrant, Namespace, POLICY, ProbeIdentity, Refusal, Roster, Signature, Standing, TrustedRoster,
    Warrant, judge,
};

pub(crate) struct Key {
    private: PathBuf,
    pub(crate) public: String,
}

pub(crate) struct Office {
    folder: TempDir,
}

impl Office {
    pub(crate) fn open() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn key(&self, name: &str) -> Key {
        self.key_of(name, &["-t", "ed25519"])
    }

    pub(crate) fn key_of(&self, name: &str, kind: &[&str]) -> Key {
        let private = self.path(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-N", "", "-C", name]).args(kind).arg("-f").arg(&private).status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(private.with_extension("pub")).unwrap().trim().to_owned();
        Key { private, public }
    }
}

impl Key {
    pub(crate) fn sign(&self, namespace: Namespace, bytes: &[u8]) -> Signature {
        self.sign_as(namespace.as_str(), bytes)
    }

    pub(crate) fn sign_as(&self, namespace: &str, bytes: &[u8]) -> Signature {
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(&self.private)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let file = self.private.with_extension("sig");
        Signature::parse(&output.stdout, Path::new(file.file_name().unwrap())).unwrap()
    }
}

/// A roster of these officers, each with these keys; they are `legal` and `operations` in turn.
pub(crate) fn roster_text(version: u32, approvals: u32, officers: &[(&str, &[&Key])]) -> String {
    let mut text = format!("version = {version}\noperator = \"ExampleNet\"\n\n[policy]\napprovals = {approvals}\n");
    for ((name, keys), role) in officers.iter().zip(["legal", "operations"].iter().cycle()) {
        let keys: Vec<_> = keys.iter().map(|key| format!("{:?}", key.public)).collect();
        write!(text, "\n[[officer]]\nname = {name:?}\nroles = [{role:?}]\nkeys = [{}]\n", keys.join(", ")).unwrap();
    }
    text
}

pub(crate) fn roster(text: &str) -> Roster {
    Roster::parse(text.as_bytes(), Path::new("roster.toml")).unwrap()
}

/// The first roster, signed by all these keys.
pub(crate) fn trusted(text: &str, signers: &[&Key]) -> TrustedRoster {
    let signatures = signers.iter().map(|key| key.sign(POLICY, text.as_bytes())).collect();
    TrustedRoster::first(roster(text), signatures).unwrap()
}

pub(crate) fn approvals(text: &str, signers: &[&Key]) -> Vec<Signature> {
    signers.iter().map(|key| key.sign(APPROVE, text.as_bytes())).collect()
}

/// A moment before the examples' start, at which they may be signed.
pub(crate) fn signing_day() -> Timestamp {
    "2026-11-19T18:00:00Z".parse().unwrap()
}

/// Judges a first revision that is handed in with all its signatures.
pub(crate) fn approve(
    warrant: Warrant,
    signatures: Vec<Signature>,
    roster: &TrustedRoster,
    probe: &ProbeIdentity,
) -> Result<ApprovedWarrant, Refusal> {
    match judge(warrant, None, signatures, roster, probe, signing_day())? {
        Standing::Approved(approved) => Ok(approved),
        Standing::Emergency(..) => panic!("no emergency"),
        Standing::Waiting(missing) => Err(Refusal::Missing(missing)),
    }
}

pub(crate) fn probe() -> ProbeIdentity {
    ProbeIdentity { operator: "ExampleNet".to_owned(), probe: "pop3-probe1".to_owned() }
}

/// The example that is printed in the documentation.
pub(crate) const WARRANT: &str = include_str!("../../../../docs/examples/warrant.toml");
/// The roster beside it.
pub(crate) const ROSTER_EXAMPLE: &str = include_str!("../../../../docs/examples/roster.toml");
