//! Backups of what the probe must not forget: one tar file of the audit log, the documents that it names, the checkpoints,
//! the notices, the digests of what was delivered and the ledger.
//!
//! The last record of the log in a backup is the one that tells of the backup. It has the digest of the backup's manifest,
//! which has those of all files that the log does not name itself. So the head of the log, one line, stands for every byte
//! that is restored, and a backup whose head is the last that anybody saw has forgotten nothing.
//!
//! Left out on purpose: the probe's key, since whoever has a backup could sign checkpoints with it; the keys of the cases,
//! since a key that is destroyed when its case is closed must not lie in an old backup; and the mark, which is the
//! machine's own.

mod create;
mod restore;

pub use create::{BackupDraft, Saved};
pub use restore::Unpacked;

use crate::archive::ArchiveError;
use crate::audit::AuditError;
use crate::digest::Digest;
use crate::register::{DOCUMENTS, NOTICES, RegisterError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

/// The probe's own checkpoints, below the state directory.
pub const CHECKPOINTS: &str = "checkpoints.jsonl";
/// The copy of the ledger, below the state directory. What is in it is for `writ-spool` to know.
pub const LEDGER: &str = "ledger";
/// Digests of what was delivered, below the state directory. Deliver alone writes to it.
pub const DELIVERED: &str = "delivered.jsonl";
/// The manifest, in a backup alone.
const MANIFEST: &str = "MANIFEST.json";
/// Where the log has the manifest's digest.
const MANIFEST_DETAIL: &str = "manifest";

/// What the log does not name itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: Format,
    operator: String,
    probe: String,
    /// By their paths, with their digests.
    files: BTreeMap<String, Digest>,
    /// Documents that the log names and that were missing or altered already.
    missing: BTreeSet<Digest>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "writ-backup-1")]
    V1,
}

/// Where something of a backup belongs. Nothing else is in one, so no path of a backup leads anywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Manifest,
    Log,
    Document(Digest),
    /// A file that the manifest names.
    Listed,
}

impl Part {
    fn of(path: &str) -> Option<Self> {
        match path {
            MANIFEST => Some(Self::Manifest),
            crate::register::AUDIT_LOG => Some(Self::Log),
            CHECKPOINTS | DELIVERED | LEDGER => Some(Self::Listed),
            path => match path.split_once('/')? {
                (DOCUMENTS, name) => name.parse().ok().map(Self::Document),
                (NOTICES, name) => is_notice(name).then_some(Self::Listed),
                _ => None,
            },
        }
    }
}

/// Whether this is a name as notices have.
fn is_notice(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    name.strip_suffix(".txt").is_some_and(|stem| !stem.is_empty() && stem.bytes().all(plain))
}

/// Why there is no backup, or why one is not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{}: {source}; check owner, mode and free space", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is there already.
    #[error("{}: is there already; name a file that is not", .0.display())]
    Exists(PathBuf),
    /// Something changed while it was read.
    #[error("{}: changed while it was read, and not as the probe does it; try again", .0.display())]
    Changed(PathBuf),
    /// The state directory holds something.
    #[error("{}: is not empty; a backup is restored into an empty state directory only: move what is there away", .0.display())]
    NotEmpty(PathBuf),
    /// The archive is damaged, or none.
    #[error("{}: {what}; take another copy of the backup", file.display())]
    Unsound {
        /// The archive.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The archive is another probe's.
    #[error("{}: is a backup of probe {probe:?} of {operator:?}; restore it there", file.display())]
    Foreign {
        /// The archive.
        file: PathBuf,
        /// Its probe.
        probe: String,
        /// That one's operator.
        operator: String,
    },
    /// The log cannot be used.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A document cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What was restored is no register.
    #[error(transparent)]
    Register(#[from] RegisterError),
}
