//! The generator: sends frames out of a veth as fast as the kernel can, until a signal ends it. It runs as a process of
//! its own inside the sender's namespace, on a processor of its own; the bench starts it and reads what it says.
//!
//! `live` is a system call in which the kernel makes frames and sends them; `pktgen` is the kernel's packet generator,
//! where there is that module.

mod live;
mod pktgen;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::process::{ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use writ_lab::{Namespace, Process};

use crate::{pin, processors};

/// What makes the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `BPF_PROG_TEST_RUN` with live frames (Linux 5.18 or later): the fastest.
    #[default]
    Live,
    /// The kernel's packet generator, the module pktgen.
    Pktgen,
}

impl Kind {
    /// Whether this machine has it; what to do if not.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Live => Ok(()),
            Self::Pktgen => pktgen::check(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Pktgen => "pktgen",
        }
    }
}

/// How long frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// All of them so many bytes, without the check sequence.
    Bytes(usize),
    /// The simple Internet mix: of twelve, 7 of 60, 4 of 594 and 1 of 1514 bytes.
    Imix,
}

impl Length {
    /// For tables.
    pub fn name(self) -> String {
        match self {
            Self::Bytes(bytes) => format!("{bytes} bytes"),
            Self::Imix => "IMIX".into(),
        }
    }
}

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Length of the frames.
    pub length: Length,
    /// Of a thousand frames, so many go to targets.
    pub hits: u32,
    /// The first target.
    pub first: Ipv4Addr,
    /// How many targets there are, address after address.
    pub targets: u32,
    /// Hits carry the time of sending: eight bytes that lead the payload, `CLOCK_BOOTTIME` in nanoseconds.
    pub stamp: bool,
}

impl Traffic {
    /// Hits among so many frames.
    pub fn hits_of(&self, frames: u64) -> u64 {
        frames * u64::from(self.hits) / 1000
    }
}

/// What a generator's process is to do, as its command line says it.
#[derive(Clone, Debug, clap::Args)]
pub struct Order {
    #[arg(long, value_enum)]
    kind: Kind,
    /// The interface to send out of, in the namespace of the caller.
    #[arg(long)]
    interface: String,
    /// Bytes of each frame; none: a mix.
    #[arg(long)]
    length: Option<usize>,
    #[arg(long)]
    hits: u32,
    #[arg(long)]
    first: Ipv4Addr,
    #[arg(long)]
    targets: u32,
    #[arg(long)]
    stamp: bool,
    /// Number of the processor to run on.
    #[arg(long)]
    cpu: usize,
    /// There is another one on this interface, which has set it up.
    #[arg(long)]
    second: bool,
    /// The end of it, should nobody send a signal.
    #[arg(long)]
    at_most: u32,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// From the first to the last.
    pub seconds: f64,
}

/// Says that the sending begins.
const BEGUN: &str = "begun";
/// More than a generator makes; bounds a run that nobody ends.
const MOST_A_SECOND: u32 = 40_000_000;

/// The generator's process: sends until SIGTERM and says how much.
pub fn generate(order: &Order) -> Result<()> {
    // Should the bench be killed, this ends too.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    let ended = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, ended.clone())?;
    pin(&[order.cpu])?;
    let begin = || -> Result<()> {
        let mut output = std::io::stdout();
        writeln!(output, "{BEGUN}")?;
        Ok(output.flush()?)
    };
    let sent = match order.kind {
        Kind::Live => live::send(order, &ended, begin)?,
        Kind::Pktgen => pktgen::send(order, &ended, begin)?,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&sent)?)?;
    Ok(())
}

/// A generator at work.
pub struct Generator {
    process: Process,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Generator {
    /// Starts number `number`, on the processor of that number, and waits until it sends. `time` is the longest that it
    /// will send.
    fn start(
        kind: Kind,
        namespace: &Namespace,
        interface: &str,
        traffic: &Traffic,
        number: usize,
        time: Duration,
    ) -> Result<Self> {
        let cpu = processors().get(number).with_context(|| format!("{} processors are needed", number + 1))?;
        let mut command = namespace.command(std::env::current_exe()?);
        command.args(["generate", "--kind", kind.name(), "--interface", interface]);
        let at_most = MOST_A_SECOND.saturating_mul(u32::try_from(time.as_secs())?.saturating_add(2));
        for (name, value) in [
            ("--hits", traffic.hits.to_string()),
            ("--first", traffic.first.to_string()),
            ("--targets", traffic.targets.to_string()),
            ("--cpu", cpu.to_string()),
            ("--at-most", at_most.to_string()),
        ] {
            command.args([name, &value]);
        }
        if let Length::Bytes(bytes) = traffic.length {
            command.args(["--length", &bytes.to_string()]);
        }
        for (flag, is_set) in [("--stamp", traffic.stamp), ("--second", number > 0)] {
            if is_set {
                command.arg(flag);
            }
        }
        let mut process = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let output = process.child().stdout.take().context("the generator's output")?;
        let mut lines = BufReader::new(output).lines();
        match lines.next() {
            Some(line) if line.as_deref().ok() == Some(BEGUN) => Ok(Self { process, lines }),
            _ => bail!("the generator did not start"),
        }
    }

    /// Ends it and says what it has sent.
    fn stop(mut self) -> Result<Sent> {
        self.process.signal(Signal::TERM)?;
        let said = self.lines.next().context("the generator said nothing of what it sent")??;
        self.process.wait(Duration::from_secs(10))?;
        Ok(serde_json::from_str(&said)?)
    }

    /// Sends for a while, on so many processors from the first on: all frames, in the mean of their times.
    pub fn run(
        kind: Kind,
        namespace: &Namespace,
        interface: &str,
        traffic: &Traffic,
        processors: usize,
        time: Duration,
    ) -> Result<Sent> {
        let start = |number| Self::start(kind, namespace, interface, traffic, number, time);
        let generators = (0..processors.max(1)).map(start).collect::<Result<Vec<_>>>()?;
        sleep(time);
        // All are told to end before any is waited for.
        for generator in &generators {
            generator.process.signal(Signal::TERM)?;
        }
        let sent = generators.into_iter().map(Self::stop).collect::<Result<Vec<_>>>()?;
        let frames = sent.iter().map(|sent| sent.frames).sum();
        let seconds = sent.iter().map(|sent| sent.seconds).sum::<f64>() / sent.len() as f64;
        Ok(Sent { frames, seconds })
    }
}
