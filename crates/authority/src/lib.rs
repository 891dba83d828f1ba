//! Orders, windows, approvals, signatures and the audit chain: who may start what, and what was done.
//!
//! A warrant file comes in as bytes ([`Warrant::parse`]), is held against the revision before it, the policy and the
//! probe's own name, and becomes an [`ApprovedWarrant`] only by the signatures of the people whom the policy asks for,
//! from a roster that its own officers signed ([`judge`]). Nothing but an `ApprovedWarrant` can be
//! put in force by the [`Register`] and handed on to be armed. What ends and what certifies an interception are documents as well
//! ([`Revocation`], [`Certification`]), each signed under a namespace of its own.
//! Every act and every refusal goes to the [`AuditLog`], and what is in force is read off that log alone. The control
//! role calls all this; nothing here knows of packets, sockets or the kernel.
//!
//! Messages of this crate quote documents, and so may name a target. They are for whoever handed the document in,
//! never for a log of the machine.
#![forbid(unsafe_code)]

mod approval;
mod archive;
mod audit;
mod backup;
mod calendar;
mod certification;
mod change;
mod checkpoint;
mod checkpoint_key;
mod countersigned;
mod digest;
mod document;
mod draft;
mod durable;
mod error;
mod evidence;
mod export;
mod grant;
mod heading;
mod incident;
mod limit;
mod link;
mod mark;
mod missing;
mod order;
mod overlap;
mod paper;
mod policy;
mod quorum;
mod register;
mod retention;
mod revocation;
mod role;
mod roster;
mod seal;
mod signature;
mod target;
mod test_line;
mod traffic;
mod warrant;
mod window;
mod words;

pub use approval::{Approval, ApprovedWarrant, Basis, ProbeIdentity, Refusal, Standing, judge, namespace};
pub use archive::{Archive, ArchiveError, Original};
pub use audit::{
    Act, Actor, AuditError, AuditFault, AuditLog, AuditSummary, Entry, Head, Outcome, Record, Subject, Tampering,
};
pub use audit::{hash_of_record, read_records, verify};
pub use backup::{BackupDraft, BackupError, CHECKPOINTS, DELIVERED, LEDGER, Saved, Unpacked};
pub use certification::{Certification, Measured};
pub use change::Change;
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointFault, CheckpointFormat, Checkpoints, KeptCheckpoint, LONGEST_CHECKPOINT,
    SignedCheckpoint,
};
pub use checkpoint_key::{CheckpointKey, CheckpointKeyError, CheckpointPublicKey, NotACheckpointKey};
pub use countersigned::{Countersigned, CountersignedError};
pub use digest::{Digest, NotADigest};
pub use draft::Draft;
pub use error::{DocumentError, Fault};
pub use evidence::{Evidence, EvidenceError, EvidenceFault, Findings, Reach, Source};
pub use export::{CaseExport, ExportError, Member, Trust, Verdict, check_export};
pub use grant::{Authority, Directions, Grant, GrantError, PenTrap, Scope, Surveillance};
pub use heading::Heading;
pub use incident::{Breach, Incident, Report, Telling};
pub use limit::Limit;
pub use link::{MacAddress, Vlan, VlanId};
pub use mark::{LogDoubt, Mark, MarkError, MarkFile, judge_log};
pub use missing::Missing;
pub use order::{Order, Receipt};
pub use paper::Paper;
pub use policy::{LongerWindow, OnCall, Policy, RevokedKey, Rule, WidePrefix, WideVlan};
pub use quorum::{Quorum, Roles};
pub use register::{
    AUDIT_LOG, Activation, Agreed, Application, ApplicationsDue, Case, Certified, DOCUMENTS, Doubt, Enabled, Ending,
    Finding, Force, HandedIn, Hold, Phase, Proposal, Rank, Register, RegisterError, Reported, Revision, Revoked,
    RosterChange, Stop, Submission, releasable,
};
pub use retention::{Keep, RecordSettings};
pub use revocation::{Cause, Revocation};
pub use role::Role;
pub use roster::{Officer, ProbeKey, Roster, RosterError, TrustedRoster};
pub use seal::SealError;
pub use signature::{
    AMEND, APPROVE, CERTIFY, CHECKPOINT, DIGESTS, EXPORT, Namespace, POLICY, REVOKE, Signature, SignatureError,
    SignatureFault,
};
pub use target::{Criteria, Target, TargetError};
pub use test_line::TestLine;
pub use traffic::{EitherSide, MOST_TRAFFIC_RULES, PortSide, Ports, TrafficRule};
pub use warrant::{CaseId, Compartment, ContentIdentifier, Delivery, Streams, Warrant};
pub use window::{Window, WindowError};
pub use words::{reading, signing, words};
