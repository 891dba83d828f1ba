//! Orders, windows, approvals, signatures and the audit chain: who may start what, and what was done.
//!
//! A warrant file comes in as bytes ([`Warrant::parse`]), is held against the policy and the probe's own name, and
//! becomes an [`ApprovedWarrant`] only by the signatures of different people from a roster that its own officers
//! signed ([`approve`]). Nothing but an `ApprovedWarrant` can be kept in the [`WarrantStore`] or handed on to be armed.
//! Every act and every refusal goes to the [`AuditLog`]. The control role calls all this; nothing here knows of
//! packets, sockets or the kernel.
//!
//! Messages of this crate quote documents, and so may name a target. They are for whoever handed the document in,
//! never for a log of the machine.
#![forbid(unsafe_code)]

mod approval;
mod audit;
mod checkpoint;
mod checkpoint_key;
mod digest;
mod document;
mod durable;
mod error;
mod evidence;
mod grant;
mod link;
mod mark;
mod order;
mod overlap;
mod policy;
mod roster;
mod signature;
mod store;
mod target;
mod traffic;
mod warrant;
mod window;

pub use approval::{Approval, ApprovedWarrant, ProbeIdentity, Refusal, approve};
pub use audit::{
    Act, Actor, AuditError, AuditFault, AuditLog, AuditSummary, Entry, Head, Outcome, Record, Subject, Tampering,
};
pub use audit::{hash_of_record, read_records, verify};
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointFault, CheckpointFormat, Checkpoints, KeptCheckpoint, LONGEST_CHECKPOINT,
    SignedCheckpoint,
};
pub use checkpoint_key::{CheckpointKey, CheckpointKeyError, CheckpointPublicKey, NotACheckpointKey};
pub use digest::{Digest, NotADigest};
pub use error::{DocumentError, Fault};
pub use evidence::{Evidence, EvidenceError, EvidenceFault, Findings, Reach, Source};
pub use grant::{Authority, Directions, Grant, GrantError, PenTrap, Scope, Surveillance};
pub use link::{MacAddress, Vlan, VlanId};
pub use mark::{LogDoubt, Mark, MarkError, MarkFile, judge_log};
pub use order::Order;
pub use policy::{LongerWindow, Policy, WidePrefix, WideVlan};
pub use roster::{Officer, Roster, RosterError, RosterStore, TrustedRoster};
pub use signature::{APPROVE, CHECKPOINT, Namespace, ROSTER, Signature, SignatureError, SignatureFault};
pub use store::{Damaged, Ending, Phase, StoreError, StoredWarrant, WarrantStore};
pub use target::{Criteria, Target, TargetError};
pub use traffic::{EitherSide, MOST_TRAFFIC_RULES, PortSide, Ports, TrafficRule};
pub use warrant::{CaseId, Delivery, Streams, Warrant};
pub use window::{Window, WindowError};
