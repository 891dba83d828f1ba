//! The roster: the operator's officers with their keys, the policy, the probes and the test lines. It is signed by the
//! officers themselves. The first version needs the quorum of its own policy; every later one that of the version before.
//! All versions are kept by the register, so that an approval can be checked again by the roster that it was given under.

use crate::digest::Digest;
use crate::document::{self, Section, Wrong};
use crate::error::{DocumentError, Fault};
use crate::missing::Missing;
use crate::policy::Policy;
use crate::role::Role;
use crate::signature::{Namespace, POLICY, Signature, SignatureError, SignatureFault};
use crate::test_line::TestLine;
use ssh_key::{Algorithm, HashAlg, PublicKey};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shortest RSA modulus, in bytes.
const SHORTEST_RSA: usize = 256;

/// Somebody who may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Officer {
    /// Their name.
    pub name: String,
    /// What they are at the operator, at least one.
    pub roles: Vec<Role>,
    keys: Vec<PublicKey>,
}

impl Officer {
    /// Their keys.
    pub(crate) fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Fingerprints of their keys, as `ssh-keygen -l` prints them.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(|key| key.fingerprint(HashAlg::Sha256).to_string())
    }
}

/// A roster that is sound in itself, but that nobody has vouched for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    file: PathBuf,
    bytes: Arc<[u8]>,
    version: u32,
    operator: String,
    policy: Policy,
    officers: Vec<Officer>,
    probes: Vec<ProbeKey>,
    test_lines: Vec<TestLine>,
}

/// A probe, and the key that its checkpoints are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeKey {
    /// The probe's id.
    pub id: String,
    /// The public half.
    pub key: PublicKey,
}

impl Roster {
    /// Reads a roster and validates it whole. The error names every fault found.
    ///
    /// `file` only names the document in messages.
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, DocumentError> {
        let mut root = document::read(bytes, file)?;
        let mut faults = Vec::new();
        let version = root.count("version", 1, &mut faults);
        let operator = root.text("operator", "ExampleNet", &mut faults);
        let policy = if root.has("policy") {
            root.section("policy", &mut faults).and_then(|section| Policy::read(section, &mut faults))
        } else {
            Some(Policy::default())
        };
        let sections = root.sections("officer", &mut faults);
        let officers = read_officers(sections, &mut faults);
        let probes = read_probes(root.sections_if_any("probe", &mut faults), &mut faults);
        let test_lines = root.sections_if_any("test_line", &mut faults);
        let test_lines = test_lines.into_iter().filter_map(|it| TestLine::read(it, &mut faults)).collect();
        root.finish(&mut faults);
        if let Some(policy) = &policy
            && faults.is_empty()
        {
            faults = policy.out_of_reach(&officers);
        }
        match (version, operator, policy) {
            (Some(version), Some(operator), Some(policy)) if faults.is_empty() => {
                let (file, bytes) = (file.to_owned(), bytes.into());
                Ok(Self { file, bytes, version, operator, policy, officers, probes, test_lines })
            }
            _ => Err(DocumentError::new(file, faults)),
        }
    }

    /// The document's exact bytes: what is signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of [`Roster::bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// Counts the versions, from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whose officers these are.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The officers.
    pub fn officers(&self) -> &[Officer] {
        &self.officers
    }

    /// The probes that it names.
    pub fn probes(&self) -> &[ProbeKey] {
        &self.probes
    }

    /// The lines on which test warrants may run.
    pub fn test_lines(&self) -> &[TestLine] {
        &self.test_lines
    }

    /// The officer of this name.
    pub fn officer(&self, name: &str) -> Option<&Officer> {
        self.officers.iter().find(|officer| officer.name == name)
    }

    /// Which officer made this signature over `bytes`.
    pub fn signer(
        &self,
        signature: &Signature,
        namespace: Namespace,
        bytes: &[u8],
    ) -> Result<&Officer, SignatureError> {
        let key_of = |officer: &'_ Officer| officer.keys.iter().position(|key| key.key_data() == signature.key());
        let Some((officer, key)) = self.officers.iter().find_map(|o| key_of(o).map(|key| (o, &o.keys[key]))) else {
            let fingerprint = signature.key().fingerprint(HashAlg::Sha256).to_string();
            return Err(signature.refused(SignatureFault::UnknownKey(fingerprint)));
        };
        signature.check(key, &officer.name, namespace, bytes)?;
        Ok(officer)
    }

    /// Whether it has the key that a signature says it was made with.
    pub(crate) fn has_key_of(&self, signature: &Signature) -> bool {
        let is_it = |key: &PublicKey| key.key_data() == signature.key();
        self.officers.iter().any(|officer| officer.keys.iter().any(is_it))
    }

    /// The different officers who made these signatures over `bytes`. Two keys of one person count once; a signature
    /// that is not good spoils the whole, because somebody should look at it.
    pub(crate) fn signers(
        &self,
        signatures: &[Signature],
        namespace: Namespace,
        bytes: &[u8],
    ) -> Result<Vec<&Officer>, SignatureError> {
        let mut signers: Vec<&Officer> = Vec::new();
        for signature in signatures {
            let officer = self.signer(signature, namespace, bytes)?;
            if !signers.iter().any(|signer| signer.name == officer.name) {
                signers.push(officer);
            }
        }
        Ok(signers)
    }
}

fn read_officers(sections: Vec<Section>, faults: &mut Vec<Fault>) -> Vec<Officer> {
    let mut names = BTreeSet::new();
    let mut keys_seen = BTreeSet::new();
    let mut officers = Vec::new();
    for mut section in sections {
        let name = section.text("name", "Ada Marsh", faults);
        let roles = Role::read_all(&mut section, false, faults);
        let lines = section.texts("keys", "[\"ssh-ed25519 AAAA... name@machine\"]", faults);
        if name.as_ref().is_some_and(|name| !names.insert(name.to_lowercase())) {
            let remedy = "list a person once, with all their keys";
            faults.push(Fault::new(section.path("name"), "another officer has this name", remedy));
        }
        let mut keys = Vec::new();
        for (i, line) in lines.unwrap_or_default().iter().enumerate() {
            let field = format!("{}[{}]", section.path("keys"), i + 1);
            match read_key(line) {
                Ok(key) if keys_seen.insert(key.key_data().clone()) => keys.push(key),
                Ok(_) => {
                    let remedy = "remove it: a key belongs to one person";
                    faults.push(Fault::new(field, "this key is in the roster already", remedy));
                }
                Err((problem, remedy)) => faults.push(Fault::new(field, problem, remedy)),
            }
        }
        section.finish(faults);
        if let (Some(name), Some(roles)) = (name, roles) {
            officers.push(Officer { name, roles, keys });
        }
    }
    officers
}

fn read_probes(sections: Vec<Section>, faults: &mut Vec<Fault>) -> Vec<ProbeKey> {
    let mut probes: Vec<ProbeKey> = Vec::new();
    for mut section in sections {
        let id = section.text("id", "pop3-probe1", faults);
        let remedy = "copy the line that `writ audit key` prints on the probe";
        let key = section.parsed("key", "ssh-ed25519 AAAA... pop3-probe1", faults, |line| {
            let key = PublicKey::from_openssh(line).map_err(|_| Wrong::new("not an OpenSSH public key", remedy))?;
            match key.algorithm() {
                Algorithm::Ed25519 => Ok(key),
                _ => Err(Wrong::new("not an Ed25519 key", remedy)),
            }
        });
        if id.as_ref().is_some_and(|id| probes.iter().any(|probe| probe.id == *id)) {
            faults.push(Fault::new(section.path("id"), "named already", "name each probe once"));
        }
        section.finish(faults);
        if let (Some(id), Some(key)) = (id, key) {
            probes.push(ProbeKey { id, key });
        }
    }
    probes
}

fn read_key(line: &str) -> Result<PublicKey, (&'static str, &'static str)> {
    let remedy = "make a key with `ssh-keygen -t ed25519` and copy the line of its .pub file";
    let key = PublicKey::from_openssh(line).map_err(|_| ("not an OpenSSH public key", remedy))?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Ok(key),
        Algorithm::Ecdsa { curve: ssh_key::EcdsaCurve::NistP256 | ssh_key::EcdsaCurve::NistP384 } => Ok(key),
        Algorithm::Rsa { .. } => {
            let long = key.key_data().rsa().and_then(|rsa| rsa.n.as_positive_bytes()).map_or(0, <[u8]>::len);
            if long < SHORTEST_RSA { Err(("an RSA key shorter than 2048 bits", remedy)) } else { Ok(key) }
        }
        _ => Err(("a kind of key that cannot be checked here", remedy)),
    }
}

/// A roster that the officers signed: what approvals are checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedRoster {
    roster: Roster,
    signatures: Vec<Signature>,
    signed_by: Vec<String>,
}

/// Why a roster is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The document is at fault.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A signature is at fault.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Too few of the right people signed.
    #[error("{0}")]
    Missing(Missing),
    /// Not the next version.
    #[error("{}: version: is {found}, and {wanted} is the next one; correct the number and sign again", file.display())]
    Version {
        /// The roster's file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The version to come.
        wanted: u32,
    },
    /// Another operator's.
    #[error("{}: operator: is {found:?}, and this probe is {wanted:?}'s; hand in the right roster", file.display())]
    Operator {
        /// The roster's file.
        file: PathBuf,
        /// Its operator.
        found: String,
        /// The operator before.
        wanted: String,
    },
}

impl TrustedRoster {
    /// The first roster of an operator, signed by enough of its own officers.
    pub fn first(roster: Roster, signatures: Vec<Signature>) -> Result<Self, RosterError> {
        check_version(&roster, 1)?;
        let signed_by = check_quorum(&roster, &roster, &signatures)?;
        Ok(Self { roster, signatures, signed_by })
    }

    /// The version after this one, signed by enough officers of this one.
    pub fn successor(&self, roster: Roster, signatures: Vec<Signature>) -> Result<Self, RosterError> {
        if roster.operator != self.roster.operator {
            let wanted = self.roster.operator.clone();
            return Err(RosterError::Operator { file: roster.file, found: roster.operator, wanted });
        }
        check_version(&roster, self.roster.version.saturating_add(1))?;
        let signed_by = check_quorum(&self.roster, &roster, &signatures)?;
        Ok(Self { roster, signatures, signed_by })
    }

    /// The roster.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Names of those who signed it.
    pub fn signed_by(&self) -> &[String] {
        &self.signed_by
    }
}

fn check_version(roster: &Roster, wanted: u32) -> Result<(), RosterError> {
    if roster.version == wanted {
        return Ok(());
    }
    Err(RosterError::Version { file: roster.file.clone(), found: roster.version, wanted })
}

fn check_quorum(judges: &Roster, roster: &Roster, signatures: &[Signature]) -> Result<Vec<String>, RosterError> {
    let signers = judges.signers(signatures, POLICY, &roster.bytes)?;
    let quorum = &judges.policy.quorum;
    let lacks = quorum.lacks(&signers);
    let signed_by: Vec<_> = signers.iter().map(|officer| officer.name.clone()).collect();
    if lacks.is_empty() {
        return Ok(signed_by);
    }
    let wanted = format!("{quorum} of version {}", judges.version);
    Err(RosterError::Missing(Missing { file: roster.file.clone(), namespace: POLICY, signed_by, wanted, lacks }))
}
