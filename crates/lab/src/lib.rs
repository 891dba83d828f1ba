//! The lab: a small provider network in network namespaces, real programs in it, and the ground truth of what passed.
//!
//! Demo, tests and bench are built from the same blocks. Namespaces and veth links stand for routers, subscribers, the
//! probe and the agency; traffic comes from real programs (nginx, curl, ping) or from frames that a test composes; what
//! really passed is recorded by tcpdump at the subscriber's own interface and compared with what the agency has.
//! Nothing here knows how Writ works inside: the lab drives its two binaries from outside, as an operator would.
//!
//! Everything is taken down when its guard is dropped. Namespaces are named `writ-<pid>-<n>-<label>`; what a killed run
//! left behind is removed by [`Namespace::sweep`]. All of it needs root.
#![forbid(unsafe_code)]

mod agency;
mod binaries;
mod certificates;
mod clock;
pub mod documents;
mod error;
mod frames;
mod link;
mod namespace;
mod network;
mod officers;
mod packets;
mod probe;
mod process;
mod recorder;
pub mod scenario;
mod tcp;
mod wait;
mod web;

pub use agency::Agency;
pub use binaries::Binaries;
pub use certificates::{Certificates, Identity};
pub use clock::WallClock;
pub use error::LabError;
pub use frames::FrameSender;
pub use link::{LinkOptions, mirror, quiet, veth};
pub use namespace::Namespace;
pub use network::{Family, Network, Subscriber};
pub use officers::Officer;
pub use packets::{Comparison, Ends, IpPacket, compare, compare_packets, contains, read_packets};
pub use probe::{Answer, Counts, Probe, head, install_roster, writ};
pub use process::{Process, program, run};
pub use recorder::Recorder;
pub use tcp::rebuild_http_bodies;
pub use wait::{INTERRUPTED, interrupt, until};
pub use web::WebServer;

/// The tools that a test needs are here, or the test is to be skipped (false) unless `WRIT_REQUIRE_TOOLS=1` is set.
///
/// Names what is missing on standard error. With `WRIT_REQUIRE_TOOLS=1`, as in CI, missing tools are an error instead.
pub fn ready(programs: &[&str]) -> Result<bool, LabError> {
    let mut missing: Vec<String> =
        programs.iter().filter(|name| program(name).is_err()).map(ToString::to_string).collect();
    if !rustix::process::geteuid().is_root() {
        missing.push("root".into());
    }
    if missing.is_empty() {
        return Ok(true);
    }
    if std::env::var_os("WRIT_REQUIRE_TOOLS").is_some_and(|value| value == "1") {
        return Err(LabError::Missing {
            what: missing.join(", "),
            remedy: "run `cargo xtask setup`, then test as root",
        });
    }
    eprintln!("skipped: missing {}; run `cargo xtask setup`, then test as root", missing.join(", "));
    Ok(false)
}
