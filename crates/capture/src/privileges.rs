//! Privileges, given up. Once its queues are bound, the capture role needs none: the kernel's tables are changed
//! through descriptors and memory that are open already (descriptors of maps need no capability since Linux 5.19).

use caps::{CapSet, Capability};
use std::io;
use thiserror::Error;

/// What capturing needs until the queues are bound, and what for.
pub const NEEDED: [(Capability, &str); 5] = [
    (Capability::CAP_BPF, "making BPF maps and loading the XDP program"),
    // Without it the verifier forbids pointer arithmetic that it cannot harden against speculation.
    (Capability::CAP_PERFMON, "the verifier's full rules for the XDP program"),
    (Capability::CAP_NET_ADMIN, "attaching it, binding queues, setting up the interface"),
    (Capability::CAP_NET_RAW, "AF_XDP sockets and promiscuous mode"),
    (Capability::CAP_IPC_LOCK, "frame memory beyond the limit on locked memory"),
];

/// Why privileges could not be given up. The role must not go on.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// A set of capabilities could not be emptied.
    #[error("the {set} capabilities cannot be given up")]
    Capabilities {
        /// Which set.
        set: &'static str,
        /// Why.
        #[source]
        source: caps::errors::CapsError,
    },
    /// The promise to gain nothing by executing programs could not be made.
    #[error("no_new_privs cannot be set")]
    NoNewPrivileges(#[source] io::Error),
    /// The process could not be closed to others.
    #[error("the process cannot be closed to debuggers and core dumps")]
    Dumpable(#[source] io::Error),
    /// The kernel said yes and kept something.
    #[error("capabilities are still held after they were given up")]
    StillHeld,
}

/// Gives up every capability of this thread, for good, and of all threads and programs it starts from now on. Call it
/// before any worker is spawned: threads that run already keep theirs.
///
/// Also closes the process to debuggers of the same user, such as another role, and to core dumps: its memory holds
/// targets, content or keys.
pub fn drop_all() -> Result<(), PrivilegeError> {
    rustix::thread::set_no_new_privs(true).map_err(|error| PrivilegeError::NoNewPrivileges(error.into()))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| PrivilegeError::Dumpable(error.into()))?;
    let clear = |set, name| caps::clear(None, set).map_err(|source| PrivilegeError::Capabilities { set: name, source });
    // Emptying the bounding set takes CAP_SETPCAP. Without that, no_new_privs alone keeps what is given up away.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        clear(CapSet::Bounding, "bounding")?;
    }
    clear(CapSet::Ambient, "ambient")?;
    clear(CapSet::Effective, "effective")?;
    clear(CapSet::Inheritable, "inheritable")?;
    clear(CapSet::Permitted, "permitted")?;
    let held = caps::read(None, CapSet::Permitted)
        .map_err(|source| PrivilegeError::Capabilities { set: "permitted", source })?;
    if held.is_empty() { Ok(()) } else { Err(PrivilegeError::StillHeld) }
}

/// Capabilities of [`NEEDED`] that this thread does not have, and what each is for.
pub fn missing() -> Vec<(Capability, &'static str)> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    NEEDED.into_iter().filter(|(capability, _)| !has(*capability)).collect()
}
