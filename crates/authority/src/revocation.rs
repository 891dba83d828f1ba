//! The revocation: the document by which one officer ends a warrant before its time, for good. One signature is enough,
//! because stopping must never wait for a second person.

use crate::approval::{ProbeIdentity, Refusal};
use crate::digest::Digest;
use crate::document;
use crate::error::{DocumentError, Fault};
use crate::heading::Heading;
use crate::missing::Missing;
use crate::roster::Roster;
use crate::signature::{REVOKE, Signature};
use crate::warrant::Warrant;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Why a warrant ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The operator or the agency ends it.
    Revoked,
    /// The order that an emergency was to get was denied (18 USC 2518(7)).
    Denied,
}

impl Cause {
    const ALL: &'static [Self] = &[Self::Revoked, Self::Denied];

    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Denied => "denied",
        }
    }
}

/// A revocation that is sound in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    file: PathBuf,
    bytes: Arc<[u8]>,
    heading: Heading,
    uuid: Uuid,
    revision: u32,
    warrant: Digest,
    reason: String,
    cause: Cause,
}

impl Revocation {
    /// Reads a revocation and validates it whole. The error names every fault found.
    ///
    /// `file` only names the document in messages.
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, DocumentError> {
        let mut root = document::read(bytes, file)?;
        let mut faults = Vec::new();
        let uuid = root.parsed("uuid", "1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11", &mut faults, document::uuid);
        let revision = root.count("revision", 1, &mut faults);
        let remedy = "run sha256sum on the revision of the warrant that is to end";
        let warrant = root.parsed("warrant", "64 hexadecimal digits", &mut faults, |it| document::digest(it, remedy));
        let heading = Heading::read(&mut root, &mut faults);
        let reason = root.text("reason", "the agency has what it sought", &mut faults);
        let cause = root.parsed("kind", "revoked", &mut faults, |it| document::word(it, Cause::ALL, Cause::as_str));
        root.finish(&mut faults);
        match (heading, uuid, revision, warrant, reason, cause) {
            (Some(heading), Some(uuid), Some(revision), Some(warrant), Some(reason), Some(cause))
                if faults.is_empty() =>
            {
                let (file, bytes) = (file.to_owned(), bytes.into());
                Ok(Self { file, bytes, heading, uuid, revision, warrant, reason, cause })
            }
            _ => Err(DocumentError::new(file, faults)),
        }
    }

    /// Holds it against the warrant that it names, the probe's name and the signatures, at the moment at which it was
    /// handed in; gives the names of the officers who signed.
    ///
    /// # Errors
    /// The requirement that is not met.
    pub fn check(
        &self,
        warrant: &Warrant,
        signatures: &[Signature],
        roster: &Roster,
        identity: &ProbeIdentity,
        now: Timestamp,
    ) -> Result<Vec<String>, Refusal> {
        let mut faults = Vec::new();
        if self.uuid != warrant.uuid() {
            faults.push(Fault::new(
                "uuid",
                "is not that of the warrant",
                format!("write uuid = \"{}\"", warrant.uuid()),
            ));
        }
        if (self.revision, self.warrant) != (warrant.revision(), warrant.digest()) {
            let problem = format!("is not the revision in force, which is {}", warrant.revision());
            let remedy = format!("write revision = {}, warrant = \"{}\"", warrant.revision(), warrant.digest());
            faults.push(Fault::new("revision", problem, remedy));
        }
        if self.cause == Cause::Denied && !warrant.grant().authority().is_emergency() {
            let problem = "only the application that follows an emergency can be denied";
            faults.push(Fault::new("kind", problem, "write kind = \"revoked\""));
        }
        self.check_with(faults, signatures, roster, identity, now)
    }

    /// As [`Revocation::check`], of a warrant whose document is damaged: it cannot be held against that.
    ///
    /// # Errors
    /// The requirement that is not met.
    pub(crate) fn check_alone(
        &self,
        signatures: &[Signature],
        roster: &Roster,
        identity: &ProbeIdentity,
        now: Timestamp,
    ) -> Result<Vec<String>, Refusal> {
        self.check_with(Vec::new(), signatures, roster, identity, now)
    }

    fn check_with(
        &self,
        faults: Vec<Fault>,
        signatures: &[Signature],
        roster: &Roster,
        identity: &ProbeIdentity,
        now: Timestamp,
    ) -> Result<Vec<String>, Refusal> {
        let faults: Vec<_> = self.heading.faults(identity, now).into_iter().chain(faults).collect();
        if !faults.is_empty() {
            return Err(DocumentError::new(&self.file, faults).into());
        }
        let signers = roster.signers(signatures, REVOKE, &self.bytes)?;
        if signers.is_empty() {
            return Err(Refusal::Missing(Missing {
                file: self.file.clone(),
                namespace: REVOKE,
                signed_by: Vec::new(),
                wanted: "any one officer".to_owned(),
                lacks: vec!["1 person".to_owned()],
            }));
        }
        Ok(signers.iter().map(|officer| officer.name.clone()).collect())
    }

    /// The file it came in as, for messages.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The document's exact bytes: what is signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of [`Revocation::bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// Which probe it is for, until when it may be signed, and the audit head that its author saw.
    pub fn heading(&self) -> &Heading {
        &self.heading
    }

    /// The warrant that ends.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The revision of it that its author had before them.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Digest of that revision.
    pub fn warrant(&self) -> Digest {
        self.warrant
    }

    /// Why, in words.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Why, in one word.
    pub fn cause(&self) -> Cause {
        self.cause
    }
}
