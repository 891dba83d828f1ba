//! Finds an eBPF toolchain on this machine and builds probe-ebpf with it.
//!
//! The eBPF half needs what a stable toolchain does not bring: `core` compiled from source, and a linker for BPF. Two
//! sources are known: rustup's nightly with the component `rust-src`, and Debian's own pair `cargo-web` and `rustc-web`
//! with `rust-web-src`. Either needs `bpf-linker`, built against an LLVM no older than the compiler's.
//!
//! The build script of `crates/capture` builds the object with this, and `cargo xtask setup` asks it what is missing.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Target triple of the kernel half. The probe runs on little-endian machines only.
const TARGET: &str = "bpfel-unknown-none";

/// Where Debian's packages `cargo-web`, `rustc-web` and `rust-web-src` put what is needed of them.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core";

/// What keeps the kernel half from being built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No compiler on this machine comes with the source of `core`.
    #[error(
        "no eBPF compiler: neither rustup's nightly with rust-src nor Debian's cargo-web, rustc-web and rust-web-src; \
         run `cargo xtask setup`"
    )]
    NoCompiler,
    /// There is a compiler, but nothing links what it makes.
    #[error("no bpf-linker in PATH or cargo's bin directory; run `cargo xtask setup`")]
    NoLinker,
    /// The compiler could not be started.
    #[error("cannot start {program}: {source}; run `cargo xtask setup`")]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// Why it could not be.
        source: std::io::Error,
    },
    /// The compiler refused the program. It has said why on standard error.
    #[error("the build of the eBPF object in {manifest} failed; the toolchain was {toolchain}", manifest = manifest.display())]
    Build {
        /// Folder of the package.
        manifest: PathBuf,
        /// What was used.
        toolchain: String,
    },
}

/// Where the compiler comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// rustup's nightly, through rustup.
    Nightly {
        /// rustup itself.
        rustup: PathBuf,
    },
    /// Debian's pair. It is a stable compiler that is told to accept nightly options.
    Debian,
}

/// A complete toolchain for the kernel half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
}

impl Toolchain {
    /// Looks for rustup's nightly first, then for Debian's pair.
    ///
    /// # Errors
    /// [`Error::NoCompiler`] and [`Error::NoLinker`] say what is to be installed.
    pub fn find() -> Result<Self, Error> {
        let compiler = Compiler::find().ok_or(Error::NoCompiler)?;
        let linker = program("bpf-linker").ok_or(Error::NoLinker)?;
        Ok(Self { compiler, linker })
    }

    /// What was found, in one line.
    pub fn describe(&self) -> String {
        let compiler = match &self.compiler {
            Compiler::Nightly { .. } => "rustup's nightly with rust-src",
            Compiler::Debian => "Debian's rustc-web with rust-web-src",
        };
        format!("{compiler}, {}", self.linker.display())
    }

    /// Builds the package in `manifest` with everything it makes below `target`, and returns the path of the binary
    /// `name`: a relocatable ELF object. `features` are those of the package.
    ///
    /// # Errors
    /// [`Error::Start`] and [`Error::Build`].
    pub fn build(&self, manifest: &Path, target: &Path, name: &str, features: &[&str]) -> Result<PathBuf, Error> {
        let (program, mut command) = match &self.compiler {
            Compiler::Nightly { rustup } => {
                let mut command = clean(rustup);
                command.args(["run", "nightly", "cargo"]);
                (rustup.clone(), command)
            }
            Compiler::Debian => {
                let mut command = clean(Path::new(DEBIAN_CARGO));
                command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", DEBIAN_RUSTC);
                (PathBuf::from(DEBIAN_CARGO), command)
            }
        };
        // 0x1f separates flags, so that a linker's path may hold spaces. v3 has 32-bit arithmetic and jumps, which
        // every kernel since 5.1 knows; the verifier follows them better.
        // Blocks stay in the order of the source: moved about, a loop may end by falling through into its own start,
        // which the verifier of Linux 6.1 takes for an endless loop ("back-edge"). It costs no time that can be measured.
        let linker = format!("linker={}", self.linker.display());
        let order = "link-arg=--llvm-args=--disable-block-placement";
        let flags = ["-C", &linker, "-C", "link-arg=--btf", "-C", order, "-C", "target-cpu=v3"].join("\u{1f}");
        let status = command
            .current_dir(manifest)
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .args(["build", "--release", "--locked", "-Z", "build-std=core", "--features", &features.join(",")])
            .args(["--target", TARGET, "--target-dir"])
            .arg(target)
            .status()
            .map_err(|source| Error::Start { program, source })?;
        if !status.success() {
            return Err(Error::Build { manifest: manifest.to_owned(), toolchain: self.describe() });
        }
        Ok(target.join(TARGET).join("release").join(name))
    }
}

impl Compiler {
    fn find() -> Option<Self> {
        if let Some(rustup) = program("rustup")
            && nightly_has_source(&rustup)
        {
            return Some(Self::Nightly { rustup });
        }
        let debian = [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCE];
        debian.iter().all(|path| Path::new(path).exists()).then_some(Self::Debian)
    }
}

/// Whether rustup has a nightly, and with it the source of `core`. Asks the compiler for its folder, because rustup can
/// keep its toolchains anywhere.
fn nightly_has_source(rustup: &Path) -> bool {
    let Ok(output) = clean(rustup).args(["run", "nightly", "rustc", "--print", "sysroot"]).output() else {
        return false;
    };
    let Ok(sysroot) = String::from_utf8(output.stdout) else { return false };
    output.status.success() && Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists()
}

/// A program in `PATH`, else in the folder where `cargo install` puts programs.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .map(|home| home.join("bin"));
    env::split_paths(&path).chain(home).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A command without what an outer cargo tells its build scripts: its compiler, flags, lock and job server are for
/// another toolchain and another target.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os().filter(|(name, _)| belongs_to_outer_build(name)) {
        command.env_remove(name);
    }
    command
}

fn belongs_to_outer_build(name: &OsString) -> bool {
    // These say where crates come from, which holds for the inner build too.
    const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
    const OUTER: [&str; 5] = ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "RUSTUP_TOOLCHAIN"];
    let Some(name) = name.to_str() else { return false };
    OUTER.iter().any(|prefix| name.starts_with(prefix)) && !KEPT.iter().any(|prefix| name.starts_with(prefix))
        || ["MAKEFLAGS", "MFLAGS", "TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG", "NUM_JOBS"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_build_keeps_its_sources_and_loses_the_outer_flags() {
        for outer in ["CARGO", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "RUSTUP_TOOLCHAIN"] {
            assert!(belongs_to_outer_build(&outer.into()), "{outer}");
        }
        for kept in ["CARGO_HOME", "CARGO_NET_OFFLINE", "PATH", "HOME", "RUSTUP_HOME"] {
            assert!(!belongs_to_outer_build(&kept.into()), "{kept}");
        }
    }
}
