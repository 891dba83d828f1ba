//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, on the stable toolchain. CI runs each for a moment, `cargo xtask soak`
//! for as long as one likes.
//!
//! What cargo-fuzz would do is a handful of compiler flags: libFuzzer needs coverage counters in the code, which any rustc
//! puts in. A corpus grows under `target/fuzz`; a finding is kept in `fuzz/findings`, where `kernel_findings` tries it
//! again with every run of the tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{output, setup, workspace};

/// A fuzz target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// The XDP program against the reference model.
    Program,
    /// A worker, and what it makes of any hand-over.
    Worker,
    /// The reader of ETSI PDUs, and what it makes of any octets.
    Etsi,
    /// The decoder of T1.IAS.
    T1Ias,
    /// The decoder of OpenCALEA's datagrams.
    Opencalea,
    /// The decoder of call content connections.
    Ccc,
    /// The decoder of Juniper's mirror header.
    Jmirror,
    /// The decoder of TZSP.
    Tzsp,
    /// The decoder of X2/X3.
    X2x3,
    /// The decoder of files of packets.
    Files,
}

impl Target {
    const ALL: [Self; 10] = [
        Self::Program,
        Self::Worker,
        Self::Etsi,
        Self::T1Ias,
        Self::Opencalea,
        Self::Ccc,
        Self::Jmirror,
        Self::Tzsp,
        Self::X2x3,
        Self::Files,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Worker => "worker",
            Self::Etsi => "etsi",
            Self::T1Ias => "t1_ias",
            Self::Opencalea => "opencalea",
            Self::Ccc => "ccc",
            Self::Jmirror => "jmirror",
            Self::Tzsp => "tzsp",
            Self::X2x3 => "x2x3",
            Self::Files => "files",
        }
    }

    /// How long it runs with all tests, in seconds. A decoder does in one what takes the others ten: no system call.
    fn moment(self) -> u64 {
        match self {
            Self::Program | Self::Worker => 12,
            _ => 3,
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this target.
    #[arg(long)]
    target: Option<Target>,
    /// For how long, in seconds, each target.
    #[arg(long, env = "WRIT_FUZZ_SECONDS", default_value_t = 60)]
    seconds: u64,
    /// Try one finding again, and show what is wrong with it. Needs --target.
    #[arg(long, requires = "target")]
    replay: Option<PathBuf>,
}

pub(crate) fn command(arguments: &Arguments) -> Result<bool> {
    setup::ensure()?;
    match (arguments.target, &arguments.replay) {
        (Some(target), Some(finding)) => replay(target, finding),
        (Some(target), None) => run(&[target], |_| arguments.seconds),
        (None, _) => run_all(arguments.seconds),
    }
}

/// Every target for so many seconds.
pub(crate) fn run_all(seconds: u64) -> Result<bool> {
    run(&Target::ALL, |_| seconds)
}

/// Every target for a moment.
pub(crate) fn smoke() -> Result<bool> {
    run(&Target::ALL, Target::moment)
}

fn run(targets: &[Target], seconds: impl Fn(Target) -> u64) -> Result<bool> {
    let programs = build()?;
    let work = workspace::target()?.join("fuzz");
    write_seeds(&work.join("seeds"))?;
    for target in targets {
        let (name, seconds) = (target.name(), seconds(*target));
        let (corpus, seeds) = (work.join("corpus").join(name), work.join("seeds").join(name));
        let findings = workspace::root()?.join("fuzz/findings").join(name);
        for folder in [&corpus, &findings] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        output::line(format!("fuzz: {name}, {seconds} s"));
        let mut fuzzer = workspace::as_root(programs.join(name))?;
        fuzzer
            .arg(&corpus)
            .args([&seeds, &findings])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .args(["-max_len=3001", "-use_value_profile=1", "-print_final_stats=1", "-verbosity=1", "-timeout=20"]);
        if !fuzzer.status().with_context(|| format!("cannot start the fuzz target {name}"))?.success() {
            output::line(format!(
                "fuzz: a finding, kept in {findings}; try it again: cargo xtask fuzz --target {name} --replay FILE",
                findings = findings.display()
            ));
            return Ok(false);
        }
    }
    Ok(true)
}

fn replay(target: Target, finding: &Path) -> Result<bool> {
    let mut program = workspace::as_root(build()?.join(target.name()))?;
    Ok(program.arg(finding).status()?.success())
}

/// Builds the targets; gives the folder of the programs. For a named platform, so that the flags are for what runs there
/// and not for build scripts, which have no fuzzer to count for.
fn build() -> Result<PathBuf> {
    const FLAGS: [&str; 6] = [
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
        // The pass knows one unit of a crate at a time.
        "-Ccodegen-units=1",
    ];
    if cfg!(not(target_os = "linux")) {
        bail!("the fuzz targets need Linux");
    }
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target = workspace::target()?.join("fuzz");
    let manifest = workspace::root()?.join("fuzz/Cargo.toml");
    let mut cargo = workspace::cargo()?;
    cargo.args(["build", "--locked", "--target", &platform, "--manifest-path"]).arg(manifest);
    cargo.arg("--target-dir").arg(&target).env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    workspace::run(&mut cargo)?;
    Ok(target.join(platform).join("debug"))
}

/// A first corpus of each target, in a folder of its name: the packet table, and the PDUs of the encoder's tests.
fn write_seeds(folder: &Path) -> Result<()> {
    for target in Target::ALL {
        let folder = folder.join(target.name());
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    for (package, tests, name) in [
        ("writ-tests", "kernel_table", "the_table_is_a_corpus"),
        ("writ-encoder", "etsi", "the_pdus_are_a_corpus"),
        ("writ-encoder", "encoder", "corpus::the_pdus_are_a_corpus"),
    ] {
        let mut test = workspace::cargo()?;
        test.args(["test", "--quiet", "--package", package, "--test", tests, "--", name]);
        workspace::run_tests_as_root(&mut test);
        workspace::run(test.env("WRIT_SEEDS", folder))?;
    }
    Ok(())
}
