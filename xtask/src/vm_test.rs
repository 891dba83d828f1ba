//! `cargo xtask vm-test`: the tests of the kernel half on another kernel than this machine's, Debian's own to begin
//! with.
//!
//! A kernel image (kernel.rs) and a root of test programs (root.rs) are booted under qemu, with neither disk nor
//! network. What runs there writes to the serial console, which is read here line by line. The console's whole text
//! and what was fetched stay in target/vm, nothing else does.

mod kernel;
mod root;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::output::{self, Progress};
use crate::{setup, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Debian package whose kernel is fetched and booted; a meta package stands for the newest that it names.
    #[arg(long, value_name = "NAME", default_value = "linux-image-amd64")]
    package: String,
    /// Boot this image instead, named vmlinuz-VERSION; its modules are looked for in ../lib/modules/VERSION.
    #[arg(long, value_name = "PATH", conflicts_with = "package")]
    kernel: Option<PathBuf>,
    /// Emulate the machine, even where KVM is there.
    #[arg(long)]
    emulate: bool,
}

/// A test program, by its package and name.
pub(crate) struct Suite {
    package: &'static str,
    test: &'static str,
    /// Tests that say nothing in the machine, and why.
    skip: &'static [(&'static str, &'static str)],
}

const SUITES: &[Suite] = &[
    Suite { package: "writ-tests", test: "kernel_verifier", skip: &[] },
    Suite { package: "writ-tests", test: "kernel_table", skip: &[] },
    Suite { package: "writ-tests", test: "kernel_property", skip: &[] },
    Suite {
        package: "writ-tests",
        test: "kernel_losses",
        skip: &[(
            "a_frame_without_room_in_front",
            "Linux 6.1 takes no more than 32 bytes of metadata in front of a frame, too few to fill the room there",
        )],
    },
    Suite { package: "writ-capture", test: "kernel", skip: &[] },
    Suite { package: "writ-capture", test: "ring", skip: &[] },
    Suite { package: "writ-capture", test: "jumbo", skip: &[] },
    Suite { package: "writ-capture", test: "survey", skip: &[] },
    Suite { package: "writ-tests", test: "demo", skip: &[] },
];

/// What a machine of this kind cannot show.
const OUT_OF_REACH: &str = "drivers of real ports, zero-copy, speed";

/// For everything, from power on to the end; emulated it takes some three minutes.
const LIMIT: Duration = Duration::from_secs(600);
/// For the kernel's start under KVM, which takes two seconds. KVM inside a virtual machine may be there and not work.
const KVM_LIMIT: Duration = Duration::from_secs(20);

/// Begins a line of ours on the console.
const MARK: &str = "@@ writ";

pub(crate) fn command(arguments: &Arguments) -> Result<bool> {
    if !cfg!(target_arch = "x86_64") {
        bail!("vm-test boots x86-64 kernels with programs of this machine, which is of another kind");
    }
    setup::ensure_vm()?;
    let folder = workspace::root()?.join("target/vm");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let lock = File::create(folder.join("lock"))?;
    if lock.try_lock().is_err() {
        bail!("another vm-test is running: it holds {}", folder.join("lock").display());
    }
    let image = match &arguments.kernel {
        Some(image) => image.clone(),
        None => kernel::debian(&arguments.package, &folder)?,
    };
    let programs = root::Programs::build(SUITES)?;
    let initrd = root::pack(&folder, &kernel::modules(&image)?, SUITES, &programs)?;

    let started = Instant::now();
    let console = folder.join("console.log");
    let kvm = !arguments.emulate && File::options().read(true).write(true).open("/dev/kvm").is_ok();
    let mut report = None;
    if kvm {
        report = boot(&image, &initrd, &console, "kvm")?;
        if report.is_none() {
            output::line("KVM is here but starts no kernel; the machine is emulated instead.");
        }
    }
    if report.is_none() {
        report = boot(&image, &initrd, &console, "tcg")?;
    }
    fs::remove_file(&initrd)?;
    let Some(report) = report else {
        bail!("{} did not get as far as its first program; see {}", image.display(), console.display());
    };
    let passed = report.results.iter().filter(|passed| **passed).count();
    for (test, why) in SUITES.iter().flat_map(|suite| suite.skip) {
        output::line(format!("not run there: {test}: {why}"));
    }
    output::line(format!("not shown by a machine of this kind: {OUT_OF_REACH}"));
    output::line(format!(
        "\n{passed} of {} test programs pass on Linux {}, {:.0} s; console: {}",
        SUITES.len(),
        report.version,
        started.elapsed().as_secs_f64(),
        console.display()
    ));
    Ok(passed == SUITES.len())
}

/// What a machine told.
struct Report {
    version: String,
    /// Whether each suite passed, in their order; shorter than they are if the machine ended early.
    results: Vec<bool>,
}

/// Runs the machine to its end and shows each suite's verdict as it comes. `None`: no program was ever started.
fn boot(image: &Path, initrd: &Path, console: &Path, accelerator: &str) -> Result<Option<Report>> {
    let mut machine = Machine::start(image, initrd, accelerator)?;
    let lines = machine.console()?;
    let mut log = File::create(console).with_context(|| console.display().to_string())?;
    let progress = Progress::new(SUITES.len() as u64)?;
    progress.now(format!("{} starts ({accelerator})", image.display()));
    let mut deadline = Instant::now() + if accelerator == "kvm" { KVM_LIMIT } else { LIMIT };
    let mut report: Option<Report> = None;
    let mut said: Vec<String> = Vec::new();
    let end = loop {
        let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => break "the machine ended early",
            Err(RecvTimeoutError::Timeout) => break "the time is over",
        };
        writeln!(log, "{line}")?;
        let words: Vec<&str> = line.strip_prefix(MARK).unwrap_or_default().split_whitespace().collect();
        match (words.as_slice(), &mut report) {
            (["kernel", version], None) => {
                report = Some(Report { version: (*version).to_owned(), results: Vec::new() });
                deadline = Instant::now() + LIMIT;
            }
            (["begin", suite], Some(_)) => {
                progress.now(*suite);
                said.clear();
            }
            (["end", suite, status], Some(report)) => {
                let summary = said.iter().rev().find_map(|line| line.strip_prefix("test result: "));
                // A program that ran no test has shown nothing.
                let passed = *status == "0" && summary.is_some_and(|summary| !summary.starts_with("ok. 0 passed"));
                let verdict = if passed { "PASS" } else { "FAIL" };
                let summary = summary.map_or_else(|| format!("ended with {status}"), counts);
                progress.line(format!("{verdict}  {:<18}  {suite:<28}  {summary}", report.version));
                if !passed {
                    said.iter().for_each(|line| progress.line(format!("      {line}")));
                }
                report.results.push(passed);
                progress.step();
                if report.results.len() == SUITES.len() {
                    return Ok(Some(Report { version: report.version.clone(), results: report.results.clone() }));
                }
            }
            _ => said.push(line),
        }
    };
    if let Some(report) = &report {
        for suite in &SUITES[report.results.len().min(SUITES.len())..] {
            progress.line(format!("FAIL  {:<18}  {:<28}  {end}", report.version, suite.name()));
        }
        said.iter().rev().take(30).rev().for_each(|line| progress.line(format!("      {line}")));
    }
    Ok(report)
}

/// `ok. 12 passed; 0 failed; 1 ignored; ...` without what is nought and without times.
fn counts(summary: &str) -> String {
    let counts = summary.split_once(". ").map_or(summary, |(_, counts)| counts).split("; ");
    let told = counts.filter(|count| !count.starts_with("0 ") && !count.starts_with("finished"));
    told.collect::<Vec<_>>().join(", ")
}

impl Suite {
    /// As it is shown, and as its file is called in the machine.
    fn name(&self) -> String {
        format!("{}/{}", self.package, self.test)
    }
}

/// A virtual machine. Dropping it switches it off.
struct Machine(Child);

impl Machine {
    fn start(image: &Path, initrd: &Path, accelerator: &str) -> Result<Self> {
        // The kernel ends qemu with this process, however this process ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"]);
        command.args(["-machine", "q35", "-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", "2048"]);
        command.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-append"]);
        // A panic ends the machine at once.
        command.args(["console=ttyS0 quiet panic=-1", "-kernel"]).arg(image).arg("-initrd").arg(initrd);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("cannot start qemu-system-x86_64")?))
    }

    /// What it says, line by line, until it is switched off.
    fn console(&mut self) -> Result<mpsc::Receiver<String>> {
        let output = self.0.stdout.take().context("the console is read already")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).split(b'\n').map_while(std::io::Result::ok);
            for line in lines {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
