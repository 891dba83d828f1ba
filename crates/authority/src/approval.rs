//! Approval: the step from a warrant that is sound to one that may take effect. [`judge`] is the only way to an
//! [`ApprovedWarrant`], and an `ApprovedWarrant` is the only thing that can be stored and armed.
//!
//! A first revision needs the policy's quorum. A later one that only takes less needs one officer of the role `legal`,
//! because less must never wait; any other needs the quorum again, and an order of its own. An emergency may begin by
//! the signature of one officer on call, for some hours.

use crate::change::Change;
use crate::error::{DocumentError, Fault};
use crate::missing::Missing;
use crate::policy::Policy;
use crate::role::Role;
use crate::roster::{Officer, TrustedRoster};
use crate::signature::{AMEND, APPROVE, Namespace, Signature, SignatureError};
use crate::test_line;
use crate::warrant::Warrant;
use jiff::Timestamp;

/// Which probe this is; a document addressed to another one is refused.
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
    /// Names of the different officers who signed.
    pub officers: Vec<String>,
    /// Version of the roster that they were checked against.
    pub roster_version: u32,
    /// What their signatures are enough for.
    pub basis: Basis,
}

/// Why the signatures of a warrant are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// They are the policy's quorum.
    Quorum,
    /// The revision only takes less, and an officer of the role `legal` signed.
    Narrowing,
    /// It is an emergency, and an officer on call signed. This holds for some hours.
    OnCall,
}

/// A warrant with the signatures that the policy asks for. There is no other way to make one than [`judge`].
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

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is addressed to somebody else, comes too late, does not follow what was before, or goes past the policy.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A signature is not good.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The wrong people signed, or nobody, where waiting for more is of no use.
    #[error("{0}")]
    Missing(Missing),
}

/// Where a sound warrant stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may take effect.
    Approved(ApprovedWarrant),
    /// It may take effect for so many hours, within which the quorum must have signed.
    Emergency(ApprovedWarrant, u32),
    /// More people must sign first.
    Waiting(Missing),
}

/// Holds a warrant against the revision before it, the probe's name, the policy and the signatures, at the moment `now`
/// at which the last signature was handed in.
///
/// Whether the audit log has what the warrant's author saw, whether its window is still open and its UUID still free, is
/// for the store to say; whether its destinations exist, for whoever holds the configuration.
///
/// # Errors
/// The requirement that is not met and that more signatures cannot meet. A signature that is not good spoils the whole.
pub fn judge(
    warrant: Warrant,
    before: Option<&Warrant>,
    signatures: Vec<Signature>,
    roster: &TrustedRoster,
    identity: &ProbeIdentity,
    now: Timestamp,
) -> Result<Standing, Refusal> {
    let roster = roster.roster();
    let refused = |faults| DocumentError::new(warrant.file(), faults);
    let mut faults = warrant.heading().faults(identity, now);
    if roster.operator() != identity.operator {
        let problem = format!("the roster is {:?}'s, and this probe is {:?}'s", roster.operator(), identity.operator);
        faults.push(Fault::new("operator", problem, "correct probe.operator in the configuration"));
    }
    if !roster.probes().is_empty() && !roster.probes().iter().any(|probe| probe.id == identity.probe) {
        let problem = format!("the roster does not name the probe {:?}", identity.probe);
        faults.push(Fault::new("probe", problem, "have the probe named in the roster under [[probe]]"));
    }
    faults.extend(roster.policy().faults(&warrant, before));
    if warrant.grant().authority().is_test() {
        faults.extend(test_line::faults(&warrant, roster.test_lines()));
    }
    let change = match Change::to(&warrant, before) {
        Ok(change) => change,
        Err(more) => {
            faults.extend(more);
            None
        }
    };
    if !faults.is_empty() {
        return Err(refused(faults).into());
    }
    let namespace = namespace(&warrant);
    let signers = roster.signers(&signatures, namespace, warrant.bytes())?;
    let officers = signers.iter().map(|officer| officer.name.clone()).collect();
    let standing = stand(&warrant, change.as_ref(), roster.policy(), &signers);
    let (basis, hours) = match standing {
        Ok(basis) => basis,
        Err((wanted, lacks)) => {
            let file = warrant.file().to_owned();
            return Ok(Standing::Waiting(Missing { file, namespace, signed_by: officers, wanted, lacks }));
        }
    };
    let approval = Approval { officers, roster_version: roster.version(), basis };
    let approved = ApprovedWarrant { warrant, approval, signatures };
    Ok(match hours {
        None => Standing::Approved(approved),
        Some(hours) => Standing::Emergency(approved, hours),
    })
}

/// What the signatures of this warrant must be for.
pub fn namespace(warrant: &Warrant) -> Namespace {
    if warrant.revision() == 1 { APPROVE } else { AMEND }
}

/// Who must sign a warrant, in words.
pub(crate) fn wanted(warrant: &Warrant, change: Option<&Change>, policy: &Policy) -> String {
    let authority = warrant.grant().authority();
    let mut quorums = policy.quorums(authority).map(ToString::to_string);
    let mut wanted = quorums.next().unwrap_or_default();
    for quorum in quorums {
        wanted.push_str(&format!(", and for {authority} {quorum}"));
    }
    match change {
        Some(Change::Narrowing(_)) => format!("one officer with the role {}, because it only takes less", Role::LEGAL),
        _ => wanted,
    }
}

/// What these signers are enough for, and for how many hours if not for good; else who must sign and who is missing.
pub(crate) fn stand(
    warrant: &Warrant,
    change: Option<&Change>,
    policy: &Policy,
    signers: &[&Officer],
) -> Result<(Basis, Option<u32>), (String, Vec<String>)> {
    let lacks = policy.lacks(warrant.grant().authority(), signers);
    if lacks.is_empty() {
        return Ok((Basis::Quorum, None));
    }
    let wanted = wanted(warrant, change, policy);
    if let Some(Change::Narrowing(_)) = change {
        let legal = |officer: &&Officer| officer.roles.iter().any(|role| role.as_str() == Role::LEGAL);
        return match signers.iter().any(legal) {
            true => Ok((Basis::Narrowing, None)),
            false => Err((wanted, vec![format!("somebody with the role {}", Role::LEGAL)])),
        };
    }
    let on_call = policy.emergency.as_ref().filter(|_| change.is_none() && warrant.grant().authority().is_emergency());
    match on_call.filter(|on_call| signers.iter().any(|officer| on_call.admits(officer))) {
        Some(on_call) => Ok((Basis::OnCall, Some(on_call.second_within_hours))),
        None => Err((wanted, lacks)),
    }
}
