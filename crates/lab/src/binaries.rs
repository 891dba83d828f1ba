//! Where the programs under test are: beside the running test or tool, so that all come from one build.

use std::path::{Path, PathBuf};

use crate::LabError;

/// The two programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The probe.
    pub writ: PathBuf,
    /// The agency's side.
    pub writ_collect: PathBuf,
}

impl Binaries {
    /// Looks beside the running executable, and above it when that lies in cargo's `deps`.
    pub fn find() -> Result<Self, LabError> {
        let executable = std::env::current_exe().map_err(LabError::io("path of the running program"))?;
        let mut directory = executable.parent().unwrap_or(Path::new("."));
        if directory.ends_with("deps") {
            directory = directory.parent().unwrap_or(directory);
        }
        Binaries::within(directory)
    }

    /// Takes them from a directory, such as `target/release`.
    pub fn within(directory: &Path) -> Result<Self, LabError> {
        let look = |name: &str| {
            let path = directory.join(name);
            if path.is_file() {
                return Ok(path);
            }
            Err(LabError::Missing {
                what: path.display().to_string(),
                remedy: "build first: `cargo build --package writ-probe --package writ-collector` (`cargo xtask test` does)",
            })
        };
        Ok(Binaries { writ: look("writ")?, writ_collect: look("writ-collect")? })
    }
}
