//! The agency's side of the handover: receives what probes send, decodes it and files it by case.
//!
//! ```text
//! probe ──TLS, TCP──► connection ──bytes──► intake ──PDUs──► formats ──items──► desk ──► case ──► content.pcapng,
//! probe ──UDP───────► datagrams ───datagrams───────────────►                                      cmii.jsonl, ...
//! ```
//!
//! A [`Collector`] listens on two endpoints, one for identifying information (CmII) and one for content (CmC). A thread
//! serves each connection: it cuts the stream into PDUs, has their format take each apart, and files what it says in the
//! case that it names. What is missing from the numbers, what came twice and what could not be read is counted and said.
//! [`decode`](decode::decode) prints a stream that was kept, without filing anything; [`digests`] makes of what is filed the
//! digests that the probe makes of what it delivered, and [`countersign`] signs them.
#![forbid(unsafe_code)]

mod appended;
mod capture_file;
mod case;
mod cases;
pub mod config;
mod connection;
pub mod countersign;
mod cut;
mod datagrams;
pub mod decode;
mod digest;
pub mod digests;
mod events;
mod formats;
mod intake;
pub mod keys;
mod lines;
mod listener;
mod memory;
mod notes;
mod numberings;
mod originals;
mod pcapng;
mod replay;
mod sequence;
pub mod status;
mod tls;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

pub use formats::Format;
pub use listener::{Collector, StartError};
pub use writ_digests::Stream;
use writ_encoder::t1_ias::TEST_CASE_PREFIX;

/// Folder beside the cases for the bytes of each connection, if they are kept.
const STREAMS: &str = "streams";
/// Folder beside the cases for those that are only tests.
const TESTS: &str = "tests";
/// File beside the cases: a JSON object for each connection that ended.
const CONNECTIONS: &str = "connections.jsonl";
/// Octets that a file buffers at most before it writes them out.
const FLUSH_AT: usize = 256 * 1024;

/// Whether a case is only a test: made-up packets, or the carrier's own test line.
fn is_test(case_id: &str) -> bool {
    case_id.starts_with(TEST_CASE_PREFIX)
}

/// Says that a case is only a test.
fn tell_test(case: &str) {
    tracing::warn!(case, "TEST: what comes under this case id is a test and no interception of a case");
}

/// The time now, in the form of all files and logs here: RFC 3339, UTC, to the microsecond.
fn now() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Puts `bytes` at `path` so that a reader sees the old or the new content, whole.
///
/// # Errors
/// What the system says to it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    fs::rename(&draft, path)
}
