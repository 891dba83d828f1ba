//! Sessions with agencies: TLS, TCP, back-off, what counts as delivered.
//!
//! From a stream's shared memory (`writ-spool`) to one endpoint of one destination, a thread each. A [`Session`] sends
//! PDUs straight from the segment that capture wrote, releases them once the agency's TCP has acknowledged them, and
//! after anything that goes wrong starts again at the first PDU that is not released. It never discards: when an agency
//! is away for too long, the stream's memory fills and capture counts the loss.
//!
//! Beside them, a thread for each [`Witness`] of the audit log: checkpoints to a folder or to a syslog server.
#![forbid(unsafe_code)]

mod acknowledgement;
mod connect;
mod credentials;
mod destination;
mod failure;
mod link;
mod session;
mod witness;

pub use credentials::Transport;
pub use destination::{ConfigError, Destination, Endpoint, Format, Plain, Tls};
pub use failure::FailureKind;
pub use session::{Ended, Session, SessionHandle, SessionSetup, Timing};
pub use witness::{SyslogSettings, Witness, WitnessHandle, WitnessLine, WitnessNews, WitnessSettings};
