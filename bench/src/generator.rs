//! The generator: one system call in which the kernel makes frames and sends them out of a veth until a signal ends it
//! (`BPF_F_TEST_XDP_LIVE_FRAMES`). It runs as a process of its own on CPU 0, inside the sender's namespace; the bench
//! starts it and reads what it says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::process::{ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use aya::maps::Array;
use aya::programs::{TestRun as _, TestRunOptions, XdpMode};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use writ_lab::{Namespace, Process};

use crate::programs::{self, Globals};
use crate::{frame, pin};

/// What it is to do, as its command line says it.
#[derive(Clone, Debug, clap::Args)]
pub struct Order {
    /// The interface to send out of, in the namespace of the caller.
    #[arg(long)]
    pub interface: String,
    /// Bytes of each frame.
    #[arg(long)]
    pub length: usize,
    /// Of a hundred frames, so many go to the target.
    #[arg(long)]
    pub hits: u32,
    /// The target.
    #[arg(long)]
    pub target: Ipv4Addr,
    /// The end of it, should nobody send a signal.
    #[arg(long)]
    pub at_most: u32,
}

/// What it has done.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// From the first to the last.
    pub seconds: f64,
}

/// Says that the sending begins.
const BEGUN: &str = "begun";

/// Frames that go out at once; the kernel's own default.
const BATCH: u32 = 64;

/// The generator's process: sends until SIGTERM and says how much.
pub fn generate(order: &Order) -> Result<()> {
    // Should the bench be killed, this ends too.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    let ended = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, ended.clone())?;
    pin(0)?;

    let globals = Globals { length: 0, hits: order.hits, target: order.target.octets() };
    let mut ebpf = programs::load(globals, &[programs::PASS, programs::GENERATE])?;
    // The kernel makes frames only for a queue that XDP is set up for.
    let attached = programs::program_mut(&mut ebpf, programs::PASS)?.attach(&order.interface, XdpMode::Driver);
    attached.with_context(|| format!("XDP on {}", order.interface))?;
    let index = format!("/sys/class/net/{}/ifindex", order.interface);
    let index: u32 = std::fs::read_to_string(&index).context(index)?.trim().parse()?;

    // The addresses are the program's to set.
    let frame = frame::udp_v4(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, order.length);
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    let context: Vec<u8> =
        [0, u32::try_from(frame.len())?, 0, index, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let options = TestRunOptions {
        data_in: Some(&frame),
        ctx_in: Some(&context),
        repeat: order.at_most,
        attrs: aya::programs::TestRunAttrs::new().xdp_live_frames(BATCH),
        ..TestRunOptions::default()
    };
    let mut output = std::io::stdout();
    writeln!(output, "{BEGUN}")?;
    output.flush()?;
    let begun = Instant::now();
    let result = programs::program(&ebpf, programs::GENERATE)?.test_run(options);
    let seconds = begun.elapsed().as_secs_f64();
    // A signal makes it an interrupted system call; what was sent is in the map.
    if let Err(error) = result
        && !ended.load(Ordering::Relaxed)
    {
        return Err(error).context("the kernel does not send live frames (Linux 5.18 or later does)");
    }
    let sent = Array::<_, u64>::try_from(ebpf.map("BENCH_SENT").context("no map BENCH_SENT")?)?;
    writeln!(output, "{}", serde_json::to_string(&Sent { frames: sent.get(&0, 0)?, seconds })?)?;
    Ok(())
}

/// A generator at work.
pub struct Generator {
    process: Process,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Generator {
    /// Starts it and waits until it sends.
    pub fn start(namespace: &Namespace, order: &Order) -> Result<Self> {
        let mut command = namespace.command(std::env::current_exe()?);
        command.args(["generate", "--interface", &order.interface]);
        let target = order.target.to_string();
        for (name, value) in [
            ("--length", order.length.to_string()),
            ("--hits", order.hits.to_string()),
            ("--target", target),
            ("--at-most", order.at_most.to_string()),
        ] {
            command.args([name, &value]);
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
    pub fn stop(mut self) -> Result<Sent> {
        self.process.signal(Signal::TERM)?;
        let said = self.lines.next().context("the generator said nothing of what it sent")??;
        self.process.wait(Duration::from_secs(10))?;
        Ok(serde_json::from_str(&said)?)
    }

    /// Sends for a while.
    pub fn run(namespace: &Namespace, order: &Order, time: Duration) -> Result<Sent> {
        let generator = Self::start(namespace, order)?;
        sleep(time);
        generator.stop()
    }
}
