//! What travels over the control socket: one JSON object a line, a request and its reply. The kernel says who is at the
//! other end; the control role holds that against `[access]`, and the audit log keeps it.

use super::held::Held;
use super::incident::{IncidentLine, IncidentReport};
use super::message::{CaptureReport, SlotName};
use super::overview::Overview;
use super::trace::SlotTrace;
use super::witness::{ClockStatus, WitnessStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;
use writ_authority::{Digest, Head, Telling};
use writ_delivery::StreamTrial;
use writ_digests::Line;

/// Largest request or reply, in bytes.
pub const LINE_LIMIT: u64 = 16 << 20;

/// What can be asked of the control role.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Counters and states, without identities.
    Status,
    /// Where the packets of a slot stop, without an identity.
    SlotTrace {
        /// Which.
        slot: u16,
    },
    /// Hand in a warrant with its signatures.
    WarrantSubmit {
        /// The file's name, for messages.
        file: String,
        /// The exact bytes that were signed.
        document: String,
        /// OpenSSH signatures.
        signatures: Vec<NamedSignature>,
    },
    /// Everything on a case in one signed archive.
    CaseExport {
        /// Which.
        uuid: Uuid,
        /// Number of the last record of the audit log that it goes to; without it, all there is.
        until: Option<u64>,
    },
    /// Report an incident.
    IncidentReport(Box<IncidentReport>),
    /// All incidents.
    IncidentList,
    /// One incident.
    IncidentShow {
        /// Which.
        uuid: Uuid,
    },
    /// Note that an agency was told of an incident.
    IncidentTold {
        /// Which.
        uuid: Uuid,
        /// Whom, and how.
        telling: Box<Telling>,
    },
    /// All warrants.
    WarrantList,
    /// One warrant, whole.
    WarrantShow {
        /// Which.
        uuid: Uuid,
    },
    /// More signatures for the revision of a warrant that waits for them.
    WarrantApprove {
        /// Which.
        uuid: Uuid,
        /// OpenSSH signatures.
        signatures: Vec<NamedSignature>,
    },
    /// End a warrant for good, by a revocation that an officer signed.
    WarrantRevoke {
        /// The file's name, for messages.
        file: String,
        /// The exact bytes that were signed.
        document: String,
        /// OpenSSH signatures.
        signatures: Vec<NamedSignature>,
    },
    /// Draft the certification of an interception over what was measured.
    WarrantDraftCertification {
        /// Which.
        uuid: Uuid,
        /// The officer who oversaw it and is to sign.
        overseer: String,
    },
    /// Hand in a certification that the overseer signed.
    WarrantCertify {
        /// The file's name, for messages.
        file: String,
        /// The exact bytes that were signed.
        document: String,
        /// OpenSSH signatures.
        signatures: Vec<NamedSignature>,
    },
    /// Keep the scanned order that a warrant names.
    WarrantAttach {
        /// Which.
        uuid: Uuid,
        /// The file's name, for messages.
        file: String,
        /// Its bytes, in base64.
        content: String,
    },
    /// Close a case that has ended and is certified.
    WarrantClose {
        /// Which.
        uuid: Uuid,
    },
    /// What was delivered of a case, in digests.
    CaseDigests {
        /// Which.
        uuid: Uuid,
        /// So many lines were in the answers before.
        skip: usize,
    },
    /// Keep the digests of a case that its agency countersigned.
    CaseCountersigned(Box<CountersignedDigests>),
    /// The audit log's head.
    AuditHead,
    /// Record that a backup is made up to that record.
    BackupCreate {
        /// Digest of the backup's manifest, hexadecimal.
        manifest: Digest,
    },
    /// Put in force again what is held for the log's sake: this is the last head that anybody saw.
    BackupRelease {
        /// The head.
        head: Head,
        /// How that was shown, in words.
        shown_by: String,
    },
    /// Put a roster in force.
    RosterInstall {
        /// The file's name, for messages.
        file: String,
        /// The exact bytes that were signed.
        document: String,
        /// OpenSSH signatures.
        signatures: Vec<NamedSignature>,
    },
    /// The roster in force.
    RosterShow,
    /// Try a destination with made-up packets.
    DestinationTest {
        /// Its name.
        destination: String,
        /// How many packets.
        packets: u32,
    },
}

/// Digests of a case that its agency countersigned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountersignedDigests {
    /// Which.
    pub uuid: Uuid,
    /// The file's name, for messages.
    pub file: String,
    /// The exact bytes that were signed.
    pub digests: String,
    /// The agency's OpenSSH signature.
    pub signature: NamedSignature,
    /// The agency's OpenSSH public key.
    pub key: NamedSignature,
}

/// A signature, or a key, and the file it came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedSignature {
    /// The file's name, for messages.
    pub file: String,
    /// `-----BEGIN SSH SIGNATURE-----` and so on; of a key, its line.
    pub text: String,
}

/// What the control role answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// To `Status`, from an admin.
    Status(Box<StatusReport>),
    /// To `Status`, from a viewer.
    Overview(Box<Overview>),
    /// To `SlotTrace`.
    SlotTrace(Box<SlotTrace>),
    /// To `WarrantSubmit` and `WarrantApprove`: accepted, and in the kernel with all its addresses.
    Submitted {
        /// Which.
        uuid: Uuid,
        /// Names of those who signed.
        approved_by: Vec<String>,
        /// In words: what is taken from when to when.
        words: String,
        /// An emergency that one signature began: when it stops unless the others sign, RFC 3339.
        provisional_until: Option<String>,
    },
    /// To `WarrantSubmit` and `WarrantApprove`: kept, and not in force.
    Waiting {
        /// Which.
        uuid: Uuid,
        /// What is missing, in words.
        missing: String,
        /// In words: what would be taken from when to when.
        words: String,
    },
    /// To `WarrantDraftCertification`: the document to be signed.
    CertificationDraft {
        /// TOML.
        document: String,
    },
    /// To `WarrantCertify`.
    Certified {
        /// Which.
        uuid: Uuid,
    },
    /// To `WarrantAttach`: kept, sealed.
    Attached {
        /// Which.
        uuid: Uuid,
    },
    /// To `WarrantClose`.
    Closed {
        /// Which.
        uuid: Uuid,
        /// Notices that were written, to be sent to those whom they are for: files.
        notices: Vec<String>,
    },
    /// To `CaseExport`: its bytes come behind the line.
    CaseArchive(CaseArchive),
    /// To `IncidentReport`, `IncidentShow` and `IncidentTold`.
    Incident(Box<IncidentLine>),
    /// To `IncidentList`.
    Incidents(Vec<IncidentLine>),
    /// To `CaseDigests`.
    CaseDigests {
        /// In the order of the warrant.
        deliveries: Vec<DeliveredLines>,
        /// There are more: what to skip to get them.
        next: Option<usize>,
    },
    /// To `CaseCountersigned`: kept, and recorded.
    Countersigned {
        /// Which.
        uuid: Uuid,
        /// Of the agency's key.
        fingerprint: String,
    },
    /// To `WarrantList`.
    Warrants(Vec<WarrantLine>),
    /// To `WarrantShow`.
    Warrant(Box<WarrantDetail>),
    /// To `WarrantRevoke`: the kernel takes nothing more.
    Revoked {
        /// Which.
        uuid: Uuid,
        /// Notices to those who had approved it: files.
        notices: Vec<String>,
    },
    /// To `BackupRelease`.
    Released {
        /// How many cases are in force again.
        in_force: usize,
    },
    /// To `AuditHead`, and to `BackupCreate`: the record of the backup.
    AuditHead {
        /// Number of the last record.
        number: u64,
        /// Its hash, hexadecimal.
        hash: String,
    },
    /// To `RosterInstall`.
    RosterInstalled {
        /// Its version.
        version: u32,
        /// Names of those who signed.
        signed_by: Vec<String>,
        /// Warrants that ended because their approvals hung on keys that it no longer has.
        ended: Vec<Uuid>,
    },
    /// To `RosterShow`: the document in force, if there is one.
    Roster {
        /// Its version.
        version: u32,
        /// The document.
        document: String,
        /// Names of those who signed.
        signed_by: Vec<String>,
    },
    /// To `DestinationTest`: it was tried, and this is what became of it.
    DestinationTested(Box<TrialReport>),
    /// The request was understood and is refused; it is in the audit log.
    Refused {
        /// Every reason, each with what would help.
        reasons: Vec<String>,
    },
    /// The request cannot be carried out: the machine is at fault, not the asker.
    Failed {
        /// Why.
        error: String,
    },
}

/// `writ case export`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseArchive {
    /// Which case.
    pub uuid: Uuid,
    /// The last record of the audit log that it goes to.
    pub until: u64,
    /// SHA-256 of the archive, hexadecimal.
    pub sha256: String,
    /// Bytes of the archive. They follow the line that this stands in.
    pub length: u64,
    /// The archive.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// What was delivered to one destination of a case, in digests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliveredLines {
    /// Name of the destination.
    pub destination: String,
    /// The agency's name for the case.
    pub case_id: String,
    /// What ties its content together.
    pub content_identifier: String,
    /// The probe, as the PDUs name it.
    pub iap: String,
    /// The windows, in the order in which they were over.
    pub lines: Vec<Line>,
}

/// `writ destination test`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialReport {
    /// Name of the destination.
    pub destination: String,
    /// The case id of all its records.
    pub case_id: String,
    /// How many packets were made up.
    pub packets: u32,
    /// CmII and CmC.
    pub streams: [StreamTrial; 2],
}

impl TrialReport {
    /// Whether everything arrived.
    pub fn is_good(&self) -> bool {
        self.streams.iter().all(|stream| stream.failure.is_none())
    }
}

/// A line of `writ warrant list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WarrantLine {
    /// Which.
    pub uuid: Uuid,
    /// Its revision.
    pub revision: u32,
    /// Where it stands: submitted, approved, armed, active, held, damaged, expired, revoked, denied, certified, closed.
    pub phase: String,
    /// What it rests on.
    pub authority: String,
    /// What it takes.
    pub scope: String,
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub stop: String,
    /// Names of the destinations.
    pub destinations: Vec<String>,
    /// The slot, while it has one.
    pub slot: Option<SlotName>,
}

/// `writ warrant show`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WarrantDetail {
    /// The line of the list.
    #[serde(flatten)]
    pub line: WarrantLine,
    /// The document as it was submitted.
    pub document: String,
    /// SHA-256 of the document, hexadecimal.
    pub sha256: String,
    /// Names of those who signed.
    pub approved_by: Vec<String>,
    /// All revisions that were approved, the first one first.
    #[serde(default)]
    pub revisions: Vec<RevisionLine>,
    /// What a revision that was handed in still lacks.
    pub waits_for: Option<String>,
    /// How it ended, in words.
    pub ending: Option<String>,
    /// Who certified what was measured, and when.
    pub certified: Option<String>,
    /// Of an emergency: by when the order must be applied for, or when it was.
    #[serde(default)]
    pub application: Option<String>,
    /// Its counters, while it has a slot, or as they stood at its end.
    pub counts: Option<InterceptCounts>,
}

/// A revision of a warrant that was approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionLine {
    /// Its number.
    pub revision: u32,
    /// SHA-256 of its document, hexadecimal.
    pub sha256: String,
    /// When it had the signatures that it needs.
    pub approved: String,
    /// `stands`, `superseded` by a later one, or `begins later`.
    pub rank: String,
}

/// The ledger of one intercept, in packets: for each delivery, `matched = in_flight + delivered + waiting + lost`, where
/// `lost` is the intercept's own plus the delivery's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterceptCounts {
    /// Packets that the kernel took.
    pub matched: u64,
    /// Their bytes on the wire.
    pub matched_bytes: u64,
    /// Packets of the target before the start: not taken.
    pub early: u64,
    /// Packets of the target after the stop: not taken.
    pub expired: u64,
    /// Packets of the target in a direction that is not wanted: not taken.
    pub other_direction: u64,
    /// Packets of the target's address, MAC address or VLAN that are not what it asks besides: VLAN, MAC address, kind of
    /// traffic. Not taken.
    pub other_traffic: u64,
    /// Packets of the target of which cannot be known whether they are the kind of traffic that is wanted: later fragments
    /// whose first was not taken or not seen, headers that are not whole. Not taken.
    pub unknown_traffic: u64,
    /// Packets that reached the worker.
    pub received: u64,
    /// Packets on their way from the kernel to a worker.
    pub in_flight: u64,
    /// Of `received`: seen before. Those that were dropped for it are among each delivery's `lost` too.
    #[serde(default)]
    pub duplicates: u64,
    /// Per delivery of the warrant.
    pub deliveries: Vec<DeliveryCounts>,
    /// Packets lost before a record could be made of them, by reason.
    pub lost: BTreeMap<String, u64>,
}

/// One delivery of an intercept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryCounts {
    /// Name of the destination.
    pub destination: String,
    /// Packets acknowledged by the agency's side.
    pub delivered: u64,
    /// Packets in the queue.
    pub waiting: u64,
    /// Session events delivered.
    pub events_delivered: u64,
    /// Records in the CmII stream: header reports and session events.
    pub waiting_cmii: u64,
    /// Records in the CmC stream: packets with their content.
    pub waiting_cmc: u64,
    /// The number that the next record of the CmC stream gets. The CmII stream has none.
    #[serde(default)]
    pub cmc_next_sequence: u64,
    /// Packets lost on the way to this destination, by reason.
    pub lost: BTreeMap<String, u64>,
}

/// `writ status`: numbers and states, never an identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// Probe id.
    pub probe: String,
    /// Version of the program.
    pub version: String,
    /// Nanoseconds of UTC at which the report was made.
    pub at_utc_ns: u64,
    /// What the XDP program counted, by name.
    pub program: BTreeMap<String, u64>,
    /// How the sockets do, and how old that report is.
    pub capture: CaptureReport,
    /// Age of `capture`, in milliseconds. Large: the capture role does not answer.
    pub capture_age_ms: Option<u64>,
    /// One line an intercept.
    pub intercepts: Vec<InterceptStatus>,
    /// One line an endpoint.
    pub sessions: Vec<SessionStatus>,
    /// How often roles were started again.
    pub restarts: BTreeMap<String, u32>,
    /// Warrants with documents that could not be read back.
    pub damaged: usize,
    /// Interceptions whose certification is overdue (47 CFR 1.20004).
    pub uncertified: usize,
    /// Incidents of which an agency is still to be told (47 CFR 1.20003).
    #[serde(default)]
    pub untold: usize,
    /// Applications that have to follow an emergency (18 USC 2518(7)), are not made, and are due soon.
    #[serde(default)]
    pub applications_due_soon: usize,
    /// Of these, those that were due.
    #[serde(default)]
    pub applications_overdue: usize,
    /// Number of the audit log's last record.
    pub audit_number: u64,
    /// Number of the last record that the newest checkpoint covers; 0: there is none.
    #[serde(default)]
    pub checkpoint_number: u64,
    /// Who keeps the checkpoints outside this machine.
    #[serde(default)]
    pub witnesses: Vec<WitnessStatus>,
    /// How good the clock is.
    #[serde(default)]
    pub clock: ClockStatus,
    /// Why nothing new is armed: a clock or an audit log in doubt.
    #[serde(default)]
    pub held: Vec<Held>,
    /// For how long what belongs to a closed case is kept.
    #[serde(default)]
    pub records_kept: String,
}

/// An intercept in `writ status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InterceptStatus {
    /// Its slot.
    pub slot: SlotName,
    /// Where it stands.
    pub phase: String,
    /// `content` or `headers`.
    pub scope: String,
    /// The ledger.
    pub counts: InterceptCounts,
}

/// An endpoint in `writ status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Name of the destination.
    pub destination: String,
    /// `cmii` or `cmc`.
    pub stream: String,
    /// In words.
    pub state: String,
    /// Whether records can go out now.
    pub connected: bool,
    /// Records in the queue.
    pub waiting: u64,
    /// Records acknowledged.
    pub delivered: u64,
    /// Records sent more than once, after a break.
    pub resent: u64,
    /// Sessions that were opened.
    pub sessions: u64,
}

/// A request could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens.
    #[error("{socket}: {source}; is the probe running (`writ run`), and may you talk to it?")]
    Connect {
        /// The control socket.
        socket: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The conversation broke off.
    #[error("the probe did not answer: {0}")]
    Conversation(#[from] std::io::Error),
    /// The answer is in no form that this version knows.
    #[error("the probe's answer is unreadable: {0}; are the command and the probe of one version?")]
    Unreadable(#[from] serde_json::Error),
}

/// Asks the control role and waits for its answer.
///
/// # Errors
/// When nobody listens, answers, or speaks this version.
pub fn ask(socket: &Path, request: &Request) -> Result<Reply, RequestError> {
    let stream = UnixStream::connect(socket)
        .map_err(|source| RequestError::Connect { socket: socket.display().to_string(), source })?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;
    let (mut reader, mut answer) = (BufReader::new(&stream), String::new());
    reader.by_ref().take(LINE_LIMIT).read_line(&mut answer)?;
    let cut_short = || RequestError::Conversation(std::io::ErrorKind::UnexpectedEof.into());
    if answer.is_empty() {
        return Err(cut_short());
    }
    let mut reply = serde_json::from_str(&answer)?;
    if let Reply::CaseArchive(archive) = &mut reply {
        reader.take(archive.length).read_to_end(&mut archive.bytes)?;
        if archive.bytes.len() as u64 != archive.length {
            return Err(cut_short());
        }
    }
    Ok(reply)
}
