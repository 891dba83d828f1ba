//! What the roles say to each other, and how. Roles share no state: they talk over channels made here, and over the
//! shared memory of `writ-spool`. The control socket, by which people talk to the control role, is described here too.

mod channel;
mod held;
mod incident;
mod message;
mod outbox;
mod overview;
mod request;
mod target;
mod trace;
mod witness;

pub use channel::{Channel, ChannelError, DESCRIPTOR_LIMIT};
pub use held::{Held, HeldKind};
pub use incident::{IncidentLine, IncidentReport};
pub use message::{
    ArmedDelivery, ArmedIntercept, CaptureReport, EndReason, ForeignEntries, FoundSlot, FromCapture, FromDeliver,
    FromRole, Instruction, Inventory, KernelQueueFigures, QueueReport, SealedCases, SlotFigures, SlotName, ToCapture,
    ToControl, ToDeliver,
};
pub use outbox::Outbox;
pub use overview::{InterceptHealth, Overview, QueueHealth, SessionHealth, WitnessHealth};
pub use request::{
    CaseArchive, CountersignedDigests, DeliveredLines, DeliveryCounts, InterceptCounts, InterceptStatus, LINE_LIMIT,
    NamedSignature, Reply, Request, RequestError, RevisionLine, SessionStatus, StatusReport, TrialReport,
    WarrantDetail, WarrantLine, ask,
};
#[cfg(test)]
pub(crate) use target::tests::longest as longest_target;
pub use target::{ArmedTarget, BoundSelector, SlotClaim};
pub use trace::{Inspection, KernelPolicy, SlotTrace, Stage, StageState};
pub use witness::{ClockStatus, WitnessStatus, WitnessWord};
