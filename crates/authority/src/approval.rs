//! Approval: the step from a warrant that is sound to one that may take effect. It is the only way to an
//! [`ApprovedWarrant`], and an `ApprovedWarrant` is the only thing that can be stored and armed.

use crate::error::{DocumentError, Fault};
use crate::roster::TrustedRoster;
use crate::signature::{APPROVE, Signature, SignatureError};
use crate::warrant::Warrant;
use std::path::PathBuf;

/// Which probe this is; a warrant addressed to another one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeIdentity {
    /// The operator's name, as in the configuration.
    pub operator: String,
    /// The probe's id, as in the configuration.
    pub probe: String,
}

/// Who approved a warrant, and under which roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Names of the different officers who signed, as many as the policy asks for or more.
    pub officers: Vec<String>,
    /// Version of the roster that they were checked against.
    pub roster_version: u32,
}

/// A warrant with the signatures that the policy asks for. There is no other way to make one than [`approve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedWarrant {
    warrant: Warrant,
    approval: Approval,
    signatures: Vec<Signature>,
}

impl ApprovedWarrant {
    /// The warrant.
    pub fn warrant(&self) -> &Warrant {
        &self.warrant
    }

    /// Who approved it.
    pub fn approval(&self) -> &Approval {
        &self.approval
    }

    /// The signatures, as handed in.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

/// Why a warrant is not approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is addressed to somebody else, or goes past the policy.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A signature is not good.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Too few different people signed.
    #[error(
        "{}: signatures: {}, and the policy asks for {wanted} different people; have another officer run \
         `ssh-keygen -Y sign -n writ-approve -f KEY FILE`", file.display(), signed(signed_by)
    )]
    TooFew {
        /// The warrant's file.
        file: PathBuf,
        /// How many the policy asks for.
        wanted: u32,
        /// Who signed.
        signed_by: Vec<String>,
    },
}

fn signed(signed_by: &[String]) -> String {
    if signed_by.is_empty() { "nobody signed".to_owned() } else { format!("only {} signed", signed_by.join(", ")) }
}

/// Holds a warrant against the probe's name, the policy and the signatures.
///
/// Whether its window is still open and its UUID still free is for [`WarrantStore`](crate::WarrantStore) to say;
/// whether its destinations exist, for whoever holds the configuration.
pub fn approve(
    warrant: Warrant,
    signatures: Vec<Signature>,
    roster: &TrustedRoster,
    probe: &ProbeIdentity,
) -> Result<ApprovedWarrant, Refusal> {
    let roster = roster.roster();
    let mut faults = Vec::new();
    for (field, found, ours) in
        [("operator", warrant.operator(), &probe.operator), ("probe", warrant.probe(), &probe.probe)]
    {
        if found != ours {
            let problem = format!("the warrant is for {found:?}, and this is {ours:?}");
            faults.push(Fault::new(field, problem, "hand it in where it belongs"));
        }
    }
    if roster.operator() != probe.operator {
        let problem = format!("the roster is {:?}'s, and this probe is {:?}'s", roster.operator(), probe.operator);
        faults.push(Fault::new("operator", problem, "correct probe.operator in the configuration"));
    }
    faults.extend(roster.policy().faults(&warrant));
    if !faults.is_empty() {
        return Err(DocumentError::new(warrant.file(), faults).into());
    }
    let signers = roster.signers(&signatures, APPROVE, warrant.bytes())?;
    let officers: Vec<_> = signers.iter().map(|officer| officer.name.clone()).collect();
    if !roster.is_quorum(officers.len()) {
        let (file, wanted) = (warrant.file().to_owned(), roster.policy().approvals);
        return Err(Refusal::TooFew { file, wanted, signed_by: officers });
    }
    let approval = Approval { officers, roster_version: roster.version() };
    Ok(ApprovedWarrant { warrant, approval, signatures })
}
