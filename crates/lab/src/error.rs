//! What can go wrong in the lab itself, as opposed to what a check finds.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The lab could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program, a right or a file is not there.
    #[error("missing: {what}; {remedy}")]
    Missing {
        /// What was looked for.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A program ended with a failure.
    #[error("`{command}` ended with {status}: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// Exit code or signal.
        status: std::process::ExitStatus,
        /// What it said on standard error.
        stderr: String,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {limit:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// A file does not hold what its name promises.
    #[error("{}: {what}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A thread that worked inside a namespace panicked.
    #[error("a thread inside namespace {0} panicked")]
    Panicked(String),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl LabError {
    /// Puts a name to an I/O error: `.map_err(LabError::io("open roster.toml"))`.
    pub(crate) fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| LabError::Io { what, source: source.into() }
    }
}
