//! A wall clock that a test sets: libfaketime, between a program and the C library. Boot time and monotonic time stay
//! the machine's own, as they do when somebody sets a real clock.

use std::fs;
use std::path::{Path, PathBuf};

use crate::LabError;

/// Where Debian has the library; the loader knows the machine's own folder for `$LIB`.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// The clock of the programs that are started by it. Made with the program `faketime` in place (see [`crate::ready`]).
#[derive(Debug, Clone)]
pub struct WallClock {
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right, kept in a file of this directory.
    pub fn new(directory: &Path) -> Result<Self, LabError> {
        let clock = Self { file: directory.join("wall-clock") };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets it so many seconds ahead of the right time. Programs that run see it at once.
    pub fn set(&self, seconds_ahead: i64) -> Result<(), LabError> {
        let new = self.file.with_extension("new");
        let error = |source| LabError::Io { what: self.file.display().to_string(), source };
        fs::write(&new, format!("{seconds_ahead:+}\n")).and_then(|()| fs::rename(&new, &self.file)).map_err(error)
    }

    /// What a program's environment must have.
    pub fn environment(&self) -> [(&'static str, String); 6] {
        [
            ("LD_PRELOAD", LIBRARY.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ]
    }
}
