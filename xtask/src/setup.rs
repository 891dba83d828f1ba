//! `cargo xtask setup`: brings a fresh Debian 12 with rustup's stable toolchain to where everything builds and runs.
//!
//! It looks first and installs only what is missing, so that it can be run again at any time. What it installs: Debian
//! packages (as root), programs by `cargo install` (as the user), and a Python environment under target/.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use writ_ebpf_toolchain::{Error as ToolchainError, Toolchain};

use crate::output::{self, Progress};
use crate::workspace;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only say what is missing; exit code 1 if something is.
    #[arg(long)]
    check: bool,
    /// Also install what only CI needs (cargo-deny).
    #[arg(long)]
    ci: bool,
    /// Also install what `cargo xtask vm-test` needs to boot another kernel (qemu).
    #[arg(long)]
    vm: bool,
    /// Also install what `cargo xtask bench` needs to count instructions (valgrind).
    #[arg(long)]
    bench: bool,
}

/// Debian packages by what needs them.
const PACKAGES: &[(&str, &[&str])] = &[
    (
        "to build libxdp, libbpf and their bindings from source",
        &["gcc", "libc6-dev", "make", "clang", "llvm", "m4", "pkg-config", "libelf-dev", "libpcap-dev", "zlib1g-dev"],
    ),
    ("to build the fuzzer that the fuzz targets are linked with", &["g++"]),
    ("to make namespaces, links and mirror ports", &["iproute2", "ethtool", "procps"]),
    ("to send real traffic and to record it", &["nginx-light", "curl", "iputils-ping", "tcpdump", "tshark"]),
    ("to sign orders and to check certificates", &["openssh-client", "openssl"]),
    ("to set the clock of a probe that is tried", &["faketime"]),
    ("to check the handover with another ASN.1 implementation", &["python3", "python3-venv"]),
];

/// Debian packages for `cargo xtask vm-test` only, and what needs them.
const VM_PACKAGES: &[(&str, &[&str])] = &[
    ("to boot another kernel", &["qemu-system-x86", "util-linux", "kmod"]),
    ("to make the root that it boots into", &["busybox-static", "cpio", "binutils"]),
];

/// Debian packages for `cargo xtask bench` only, and what needs them. tcpdump and libpcap are among those for all.
const BENCH_PACKAGES: &[(&str, &[&str])] = &[("to count instructions", &["valgrind"])];

/// The eBPF compiler, unless rustup has a nightly with rust-src: a compiler and its sources from one build.
const EBPF_COMPILER: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// The LLVM that bpf-linker links against; it must be no older than the compiler's.
const LLVM: &str = "22";
const LINKER_VERSION: &str = "0.13.0";
const DENY_VERSION: &str = "0.20.2";
const ASN1TOOLS_VERSION: &str = "0.167.0";

/// One thing that is missing, why it is needed, and how it comes.
enum Missing {
    Package { name: String, why: &'static str },
    Linker,
    Deny,
    Python { venv: PathBuf },
}

impl Missing {
    fn describe(&self) -> String {
        match self {
            Missing::Package { name, why } => format!("{name} (Debian package, needs root): {why}"),
            Missing::Linker => format!("bpf-linker {LINKER_VERSION} (cargo install): to link the eBPF half"),
            Missing::Deny => {
                format!("cargo-deny {DENY_VERSION} (cargo install): to check licences and sources of crates")
            }
            Missing::Python { venv } => {
                format!("asn1tools {ASN1TOOLS_VERSION} (pip, in {}): to check the handover", venv.display())
            }
        }
    }
}

pub(crate) fn command(arguments: &Arguments) -> Result<bool> {
    let missing = missing(arguments)?;
    if missing.is_empty() {
        output::line(format!("setup: nothing is missing; eBPF toolchain: {}", Toolchain::find()?.describe()));
        return Ok(true);
    }
    output::line("setup: missing");
    for item in &missing {
        output::line(format!("  {}", item.describe()));
    }
    if arguments.check {
        return Ok(false);
    }
    install(&missing)?;
    let left = self::missing(arguments)?;
    if !left.is_empty() {
        let left: Vec<_> = left.iter().map(Missing::describe).collect();
        bail!("still missing after the installation:\n  {}", left.join("\n  "));
    }
    output::line(format!("setup: done; eBPF toolchain: {}", Toolchain::find()?.describe()));
    Ok(true)
}

/// For the other commands: sets up if something is missing, says nothing otherwise.
pub(crate) fn ensure() -> Result<()> {
    ensure_with(&Arguments { check: false, ci: false, vm: false, bench: false })
}

/// For `cargo xtask bench`.
pub(crate) fn ensure_bench() -> Result<()> {
    ensure_with(&Arguments { check: false, ci: false, vm: false, bench: true })
}

/// For `cargo xtask vm-test`.
pub(crate) fn ensure_vm() -> Result<()> {
    ensure_with(&Arguments { check: false, ci: false, vm: true, bench: false })
}

fn ensure_with(arguments: &Arguments) -> Result<()> {
    if missing(arguments)?.is_empty() {
        return Ok(());
    }
    command(arguments).map(drop)
}

fn missing(arguments: &Arguments) -> Result<Vec<Missing>> {
    let mut wanted: Vec<(String, &'static str)> = Vec::new();
    let vm_packages = if arguments.vm { VM_PACKAGES } else { &[] };
    let bench_packages = if arguments.bench { BENCH_PACKAGES } else { &[] };
    for (why, names) in PACKAGES.iter().chain(vm_packages).chain(bench_packages) {
        wanted.extend(names.iter().map(|name| ((*name).to_owned(), *why)));
    }
    let toolchain = Toolchain::find();
    if matches!(toolchain, Err(ToolchainError::NoCompiler)) {
        wanted.extend(EBPF_COMPILER.iter().map(|name| ((*name).to_owned(), "compiler and sources for the eBPF half")));
    }
    // The compiler is looked for first, so its absence says nothing about the linker.
    let linker = workspace::find("bpf-linker").is_none();
    if linker {
        let names = [format!("llvm-{LLVM}-dev"), format!("libpolly-{LLVM}-dev"), "libzstd-dev".into(), "g++".into()];
        wanted.extend(names.map(|name| (name, "to build bpf-linker")));
    }
    let installed = installed_packages()?;
    let mut missing: Vec<Missing> = wanted
        .into_iter()
        .filter(|(name, _)| !installed.contains(name))
        .map(|(name, why)| Missing::Package { name, why })
        .collect();
    if linker {
        missing.push(Missing::Linker);
    }
    if arguments.ci && workspace::find("cargo-deny").is_none() {
        missing.push(Missing::Deny);
    }
    let venv = workspace::root()?.join("target/venv");
    let asn1tools =
        Command::new(venv.join("bin/python")).args(["-c", "import asn1tools"]).stderr(Stdio::null()).status();
    if !asn1tools.is_ok_and(|status| status.success()) {
        missing.push(Missing::Python { venv });
    }
    Ok(missing)
}

/// Names of the Debian packages that are installed.
fn installed_packages() -> Result<std::collections::HashSet<String>> {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Package}\n"]).output();
    let query =
        query.context("this is no Debian: dpkg-query is not there; see docs/operator.md for what to install")?;
    let text = String::from_utf8_lossy(&query.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect())
}

fn install(missing: &[Missing]) -> Result<()> {
    let target = workspace::root()?.join("target");
    fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
    let log = target.join("setup.log");
    let packages: Vec<&str> = missing
        .iter()
        .filter_map(|item| if let Missing::Package { name, .. } = item { Some(name.as_str()) } else { None })
        .collect();
    if !packages.is_empty() && !workspace::is_root() {
        output::line(format!("Packages are installed with sudo: apt-get install {}", packages.join(" ")));
        // Asks for the password now, while no progress line is in the way.
        workspace::run(&mut workspace::as_root("true")?)?;
    }
    let others = missing.len() - packages.len();
    let progress = Progress::new(if packages.is_empty() { 0 } else { 2 } + others as u64)?;
    if !packages.is_empty() {
        let apt = |arguments: &[&str]| -> Result<()> {
            let mut command = workspace::as_root("env")?;
            command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]).args(arguments);
            progress.run(&mut command, &log)?;
            progress.step();
            Ok(())
        };
        progress.now("apt-get update");
        apt(&["update"])?;
        let mut arguments = vec!["install", "-y", "--no-install-recommends"];
        arguments.extend(&packages);
        apt(&arguments)?;
        progress.line(format!("installed {} Debian packages", packages.len()));
    }
    for item in missing {
        match item {
            Missing::Package { .. } => continue,
            Missing::Linker => {
                let mut command = workspace::cargo()?;
                command.env("LLVM_PREFIX", format!("/usr/lib/llvm-{LLVM}"));
                command.args([
                    "install",
                    "--locked",
                    "bpf-linker",
                    "--version",
                    LINKER_VERSION,
                    "--no-default-features",
                ]);
                command.args(["--features", &format!("llvm-{LLVM}")]);
                progress.run(&mut command, &log)?;
            }
            Missing::Deny => {
                let mut command = workspace::cargo()?;
                command.args(["install", "--locked", "cargo-deny", "--version", DENY_VERSION]);
                progress.run(&mut command, &log)?;
            }
            Missing::Python { venv } => python(&progress, venv, &log)?,
        }
        progress.step();
        progress.line(format!("installed {}", item.describe()));
    }
    Ok(())
}

fn python(progress: &Progress, venv: &Path, log: &Path) -> Result<()> {
    progress.now("python3 -m venv");
    // Debian's own interpreter, for which the package python3-venv is.
    progress.run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(venv), log)?;
    let requirement = format!("asn1tools=={ASN1TOOLS_VERSION}");
    progress.run(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "--quiet", &requirement]), log)
}
