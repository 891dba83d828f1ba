//! The messages between the roles. Who may know what is decided here: nothing that control sends to capture names a
//! person or a document, and nothing that capture or deliver sends back names a target, but for the inventory by which a
//! control role that has lost its memory finds the kernel's tables again.

use super::target::{ArmedTarget, BoundSelector};
use super::trace::Inspection;
use super::witness::WitnessWord;
use crate::roles::Role;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use writ_abi::{PolicyFlags, Selector, SlotCounters, SlotRef};
use writ_delivery::StreamTrial;

/// A slot and its generation on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlotName {
    /// Index into the slot table.
    pub slot: u16,
    /// Which of its owners.
    pub generation: u16,
}

impl From<SlotRef> for SlotName {
    fn from(reference: SlotRef) -> Self {
        Self { slot: reference.slot, generation: reference.generation }
    }
}

impl From<SlotName> for SlotRef {
    fn from(name: SlotName) -> Self {
        Self { slot: name.slot, generation: name.generation }
    }
}

/// What capture needs to carry out one warrant: numbers, times, and the identifiers that the handover asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmedIntercept {
    /// The slot it owns.
    pub slot: SlotName,
    /// The warrant, so that control finds its intercepts again after a restart of its own.
    pub warrant: Uuid,
    /// Which revision of it.
    pub revision: u32,
    /// First moment, nanoseconds of UTC since 1970.
    pub start_utc_ns: u64,
    /// First moment that is too late, likewise.
    pub stop_utc_ns: u64,
    /// No content may be taken.
    pub headers_only: bool,
    /// What the subject sends is wanted.
    pub from_subject: bool,
    /// What comes to the subject is wanted.
    pub to_subject: bool,
    /// Where it goes, each with identifiers of its own; at most `writ_spool::MAX_DELIVERIES`.
    pub deliveries: Vec<ArmedDelivery>,
    /// subscriberIdentity of the handover: the carrier's label for the line.
    pub subscriber_identity: String,
    /// Its targets: what the worker holds each hit against, and what is announced as sessions. In a message the last ones
    /// of them; those before came with [`Instruction::Targets`].
    pub targets: Vec<ArmedTarget>,
}

impl ArmedIntercept {
    /// What the kernel may take for it: [`PolicyFlags`].
    pub fn policy_flags(&self) -> u32 {
        [
            (self.from_subject, PolicyFlags::SOURCE),
            (self.to_subject, PolicyFlags::DESTINATION),
            (self.headers_only, PolicyFlags::HEADERS_ONLY),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .fold(0, |flags, (_, flag)| flags | flag)
    }
}

/// Why an intercept ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The order's window is over.
    Expired,
    /// An officer ended it.
    Revoked,
    /// Another warrant took its place.
    Superseded,
}

impl EndReason {
    /// reasonForTermination of the handover.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Expired => "surveillance ended: period of the order is over",
            Self::Revoked => "surveillance ended: order revoked",
            Self::Superseded => "surveillance ended: order superseded",
        }
    }
}

/// One destination of an intercept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmedDelivery {
    /// Place of the destination in the configuration.
    pub destination: usize,
    /// caseId of the handover.
    pub case_id: String,
    /// contentIdentifier of the handover.
    pub content_identifier: String,
    /// Whether this destination gets the identifying information (CmII).
    pub cmii: bool,
    /// Whether this destination gets the content (CmC), if the intercept has any.
    pub cmc: bool,
}

/// One step of bringing the kernel's tables to where they should be. The order of the steps matters: it comes from
/// `writ_identity::difference`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instruction {
    /// Targets of an intercept that is to be armed: a message has a limit. More of these may follow, then `Arm`.
    Targets {
        /// The slot it will own.
        slot: SlotName,
        /// The next of its targets.
        targets: Vec<ArmedTarget>,
    },
    /// Write the slot's policy. It takes nothing before its targets are known and its start has come. For a slot in force:
    /// its order has changed. Until `Confirm` it takes only what both orders allow.
    Arm(Box<ArmedIntercept>),
    /// What is found by this selector is claimed by exactly these, at most eight.
    Bind(BoundSelector),
    /// The selector has no entry of its own any more.
    Unbind {
        /// What packets were found by.
        #[serde(with = "super::target::selector")]
        selector: Selector,
    },
    /// Comes behind the last target of a slot: the order is in force whole. Say `Armed` if all of it is in the kernel.
    Confirm {
        /// The slot.
        slot: SlotName,
    },
    /// The slot takes nothing from this moment on. One that takes nothing already stays so.
    Disarm {
        /// The slot.
        slot: SlotName,
        /// Why.
        reason: EndReason,
    },
}

/// From control to capture.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToCapture {
    /// Control has come (back): say what is in force, and hand over the counters.
    Hello,
    /// Do these steps, in this order.
    Apply {
        /// For which capture process they were worked out. Another one leaves them: what it holds is not what they
        /// start from, and it is told all as soon as it has said `Hello`.
        life: u32,
        /// The steps.
        steps: Vec<Instruction>,
    },
    /// Say what the kernel holds of a slot, in numbers.
    Inspect {
        /// The slot, whoever has it.
        slot: u16,
    },
}

/// A slot in use, as a capture role reports it to a control role that may know nothing yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSlot {
    /// The slot.
    pub slot: SlotName,
    /// For which warrant.
    pub warrant: Uuid,
    /// In which revision.
    pub revision: u32,
    /// Where the slot's counters stood when this intercept got it.
    pub baseline: SlotFigures,
}

/// [`SlotCounters`] without what is reserved, in the order of its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotFigures(pub [u64; SlotFigures::COUNT]);

impl SlotFigures {
    /// How many there are.
    pub const COUNT: usize = 10;
}

impl From<SlotCounters> for SlotFigures {
    fn from(counters: SlotCounters) -> Self {
        Self([
            counters.matched,
            counters.matched_bytes,
            counters.early,
            counters.expired,
            counters.stale,
            counters.no_socket,
            counters.cut_failed,
            counters.other_direction,
            counters.other_traffic,
            counters.unknown_traffic,
        ])
    }
}

impl From<SlotFigures> for SlotCounters {
    fn from(SlotFigures(figures): SlotFigures) -> Self {
        let [matched, matched_bytes, early, expired, stale, no_socket, cut_failed, figures @ ..] = figures;
        let [other_direction, other_traffic, unknown_traffic] = figures;
        Self {
            matched,
            matched_bytes,
            early,
            expired,
            stale,
            no_socket,
            cut_failed,
            other_direction,
            other_traffic,
            unknown_traffic,
            reserved: [0; 6],
        }
    }
}

/// What the kernel's tables hold, in as many parts as it takes: a message has a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// How many capture processes there were before this one; another value: the counters begin anew.
    pub life: u32,
    /// Whether this part is the first.
    pub first: bool,
    /// Whether this part is the last.
    pub last: bool,
    /// Slots in use.
    pub slots: Vec<FoundSlot>,
    /// What the kernel's tables hold, with who claims it.
    pub bound: Vec<BoundSelector>,
}

/// From capture to control.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromCapture {
    /// What is in force. Beside its first part come the two counter maps (slots, probe).
    Hello(Inventory),
    /// The policy and all targets are in the kernel, and what the workers make of packets is what this revision allows.
    Armed {
        /// The slot.
        slot: SlotName,
        /// The revision of its warrant.
        revision: u32,
    },
    /// The slot takes nothing any more.
    Disarmed {
        /// The slot.
        slot: SlotName,
    },
    /// A step could not be done; the steps before it were, and those behind it are.
    Refused {
        /// The intercepts it concerns.
        slots: Vec<SlotName>,
        /// Why, without an address in it.
        what: String,
    },
    /// Interception has begun, and the agency is being told.
    Begun {
        /// The slot.
        slot: SlotName,
        /// When, nanoseconds of UTC.
        at_utc_ns: u64,
    },
    /// Interception has ended, everything taken is queued, and the slot may be used again.
    Ended {
        /// The slot.
        slot: SlotName,
        /// When the kernel took the last packet at the latest, nanoseconds of UTC.
        at_utc_ns: u64,
        /// Why.
        reason: EndReason,
    },
    /// The wall clock was set.
    ClockStepped {
        /// By how much, nanoseconds; positive: forward.
        by_ns: i64,
    },
    /// Entries in the kernel's tables were not what this role had written, and were put right.
    Foreign(Vec<ForeignEntries>),
    /// How the sockets do; sent every second.
    Report(CaptureReport),
    /// To `Inspect`.
    Inspected(Inspection),
}

/// Entries of one table that somebody else had written, by what had been done to them. Never which ones: they are keys
/// by which targets are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignEntries {
    /// The table.
    pub table: String,
    /// `added`, `changed` or `removed`.
    pub done: String,
    /// How many.
    pub count: u64,
}

/// Figures of the capture role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureReport {
    /// A line for each queue of each interface.
    pub queues: Vec<QueueReport>,
    /// Every frame stamped before this moment (`CLOCK_BOOTTIME`, nanoseconds) has been worked through. `u64::MAX`: the
    /// program is detached, and the rings are read empty.
    pub read_until_ns: u64,
    /// Hits whose frame did not bear out what the kernel claimed: destroyed. Must be 0.
    pub isolation_violations: u64,
    /// Entries of the kernel's tables that somebody else had written. Must be 0.
    #[serde(default)]
    pub foreign_entries: u64,
}

/// Figures of one AF_XDP socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueReport {
    /// The interface.
    pub interface: String,
    /// Its receive queue.
    pub queue: u32,
    /// How the program is attached and the socket bound, and whether it polls: `driver, copy, busy poll`.
    pub mode: String,
    /// Frames read from the ring.
    pub received: u64,
    /// Frames lost between program and reader: gaps in the running number.
    pub ring_lost: u64,
    /// Frames that were no frames (bad header, bad length): destroyed.
    pub malformed: u64,
    /// Packets of intercepts that came before on this queue: counted, or dropped as `duplicates` of the port says.
    pub duplicates: u64,
    /// The kernel's own figures for the socket.
    pub kernel: KernelQueueFigures,
}

/// XDP_STATISTICS of a socket, by the kernel's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named by the kernel's struct xdp_statistics")]
pub struct KernelQueueFigures {
    pub rx_dropped: u64,
    pub rx_invalid_descs: u64,
    pub rx_ring_full: u64,
    pub rx_fill_ring_empty_descs: u64,
}

/// From control to deliver.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToDeliver {
    /// Try a destination with made-up packets.
    Try {
        /// Its place in the configuration.
        destination: usize,
        /// Begins with `TEST-`; tells one trial from another.
        case_id: String,
        /// How many packets.
        packets: u32,
    },
    /// A checkpoint of the audit log for a witness. It names the probe and its operator, and nobody else.
    Checkpoint {
        /// Which of the configuration's witnesses: the folder first, then the syslog servers.
        witness: usize,
        /// Its place among all checkpoints, to be given back.
        place: u64,
        /// When it was made, as RFC 5424 has it.
        time: String,
        /// The line.
        line: String,
    },
    /// A control role that came back asks which cases have keys.
    TellSealed,
}

/// From deliver to control.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromDeliver {
    /// What became of a trial.
    Tried {
        /// Which.
        case_id: String,
        /// Of each stream; or why there was none.
        outcome: Result<Box<[StreamTrial; 2]>, String>,
    },
    /// How the witnesses of the audit log do.
    Witness(WitnessWord),
    /// Which cases can be sealed at a destination where nothing goes in the clear. Names alone: the keys stay in deliver.
    Sealed {
        /// Its place in the configuration.
        destination: usize,
        /// Which cases.
        cases: SealedCases,
    },
}

/// Cases that have a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealedCases {
    /// Every one.
    All,
    /// These, by their LIIDs, and those of further messages.
    These(Vec<String>),
    /// These as well.
    Also(Vec<String>),
}

/// From the supervisor to control.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToControl {
    /// A role's process has begun.
    RoleStarted {
        /// Which.
        role: Role,
        /// Its process.
        pid: u32,
        /// How many there were before it.
        life: u32,
    },
    /// A role's process has ended without being asked to.
    RoleEnded {
        /// Which.
        role: Role,
        /// Exit status, or its own last words.
        status: String,
    },
}

/// From a role to the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromRole {
    /// The role does its work.
    Ready,
    /// The role cannot go on.
    Failed {
        /// Why, and what to do.
        error: String,
    },
}
