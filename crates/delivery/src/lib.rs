//! Sessions with agencies: TLS, TCP, back-off, what counts as delivered.
//!
//! From a stream's shared memory (`writ-spool`) to one endpoint of one destination, a thread each; or into files of this
//! machine, where a destination is a folder. A [`Session`] sends
//! PDUs straight from the segment that capture wrote, releases them once the agency's TCP has acknowledged them, and
//! after anything that goes wrong starts again at the first PDU that is not released. It never discards: when an agency
//! is away for too long, the stream's memory fills and capture counts the loss. A [`Trial`] sends made-up packets the same
//! way, before the day on which it is needed. What is released goes into digests that the agency's side can make as well.
//!
//! Beside them, a thread for each [`Witness`] of the audit log: checkpoints to a folder or to a syslog server.
#![forbid(unsafe_code)]

mod acknowledgement;
mod connect;
mod credentials;
mod delivered;
mod destination;
mod digests;
mod failure;
mod files;
mod link;
mod manner;
mod peer;
mod refusal;
mod route;
mod session;
mod trial;
mod witness;

pub use credentials::Transport;
pub use delivered::DeliveredFile;
pub use destination::{
    ConfigError, Destination, EncryptionSettings, Endpoint, IntegritySettings, KeepAliveSettings, Plain, Tls,
};
pub use digests::{DigestSheet, close_windows};
pub use failure::FailureKind;
pub use files::{Predecessor, Rotation};
pub use manner::{Checks, EtsiManner, KeepAlive, Manner};
pub use peer::{Peer, TlsPeer};
pub use route::Route;
pub use session::{Ended, Notice, Session, SessionHandle, SessionSetup, Timing};
pub use trial::{MOST_PACKETS, StreamTrial, TRIAL_LIMIT, Trial, TrialError, TrialFailure};
pub use witness::{SyslogSettings, Witness, WitnessHandle, WitnessLine, WitnessNews, WitnessSettings};
pub use writ_digests::Stream as StreamKind;
