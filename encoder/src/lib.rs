//! Bytes of the handover standards, both directions: no I/O, no clock.
//!
//! The capture role's workers hand in packets and get PDUs written into a buffer of theirs; the deliver role and the
//! control role ask for the rarer session messages; the collector hands in what arrived and gets plain values back.
//! A module per standard. Where a standard is hot it is written twice: as the types of its ASN.1 module, which are the
//! reference, and as a writer that emits the same bytes straight into the caller's buffer. Tests hold the two equal.
#![forbid(unsafe_code)]

mod backlog;
mod ber;
pub mod ccc;
pub mod etsi;
pub mod files;
pub mod handover;
mod hexadecimal;
pub mod jmirror;
mod layout;
pub mod opencalea;
pub mod stream;
pub mod t1_ias;
mod time;
pub mod tzsp;
pub mod x2x3;

pub use ber::NoRoom;
pub use layout::Malformed;
pub use time::{Stamp, Stamper, TimeOutOfRange, UtcMicros};
