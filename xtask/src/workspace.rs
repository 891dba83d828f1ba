//! Where the workspace is, and how its cargo and root's rights are used.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Root folder of the repository.
pub(crate) fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask does not lie in the workspace")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().manifest_path(root()?.join("Cargo.toml")).no_deps().exec();
    Ok(metadata.context("cargo does not say where it builds")?.target_directory.into())
}

/// The cargo that runs this tool; Debian's /usr/bin/cargo may come earlier in PATH and is not meant.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()?);
    Ok(command)
}

/// Runs a command that shows its output itself.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Has cargo run test programs as root, for namespaces and XDP. Cargo itself stays the user's.
pub(crate) fn run_tests_as_root(test: &mut Command) {
    if !is_root() {
        let host = if cfg!(target_arch = "aarch64") { "AARCH64" } else { "X86_64" };
        test.env(format!("CARGO_TARGET_{host}_UNKNOWN_LINUX_GNU_RUNNER"), "sudo -E");
    }
}

/// A command that runs as root: directly, or through sudo.
pub(crate) fn as_root(program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = find("sudo") else { bail!("this needs root, and there is no sudo: run it as root") };
    let mut command = Command::new(sudo);
    command.arg("-E").arg(program);
    Ok(command)
}

/// A program in PATH, in the system's directories, or where `cargo install` puts them.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let installed = cargo_home.map(|home| home.join("bin").join(program)).filter(|path| path.is_file());
    installed.or_else(|| writ_lab::program(program).ok())
}
