//! What others capture with: tcpdump, and a packet socket of our own (AF_PACKET with a ring, version 3, through libpcap,
//! as tcpdump's own is).

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::Signal;
use writ_capture::boot_now_ns;
use writ_lab::{Namespace, Process};

use crate::bed::{Bed, PASS, Passage};
use crate::generator::Traffic;

/// Bytes of a ring towards user space.
const RING: i32 = 32 << 20;
/// Where the destination and the payload of UDP stand in a frame of the generator.
const DESTINATION: usize = 14 + 16;
const PAYLOAD: usize = 14 + 20 + 8;

/// tcpdump writes what goes to or from hosts, the first of which is the traffic's first target.
pub(crate) fn tcpdump(bed: &Bed, traffic: &Traffic, hosts: u32, file: &Path, time: Duration) -> Result<Passage> {
    let mut command = bed.receiver.command("tcpdump");
    let ring = (RING >> 10).to_string();
    command.args(["-Z", "root", "-n", "-B", &ring, "-i", PASS.to, "-w"]).arg(file);
    // The target comes last: the filter asks for one host after the other.
    let hosts = (0..hosts).rev().map(|number| Ipv4Addr::from_bits(traffic.first.to_bits() + number * 7));
    let filter: Vec<String> = hosts.map(|host| format!("host {host}")).collect();
    command.arg(filter.join(" or "));
    let mut tcpdump = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))?;
    let output = tcpdump.child().stderr.take().context("tcpdump's standard error")?;
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    ensure!(lines.any(|line| line.contains("listening on")), "tcpdump does not listen");
    let sent = bed.send(PASS, traffic, time)?;
    // What is in its buffer is its to write.
    sleep(Duration::from_millis(300));
    tcpdump.signal(Signal::INT)?;
    let said: Vec<String> = lines.collect();
    tcpdump.wait(Duration::from_secs(60))?;
    let count = |what: &str| {
        let number = said.iter().find_map(|line| line.strip_suffix(what)?.trim().parse::<u64>().ok());
        number.with_context(|| format!("tcpdump does not say how many{what}"))
    };
    let (captured, dropped) = (count(" packets captured")?, count(" packets dropped by kernel")?);
    // Its own count of what the kernel dropped leaves out what was lost before: the sender's count is held against it.
    let hits = traffic.hits_of(sent.frames);
    let lost = hits.saturating_sub(captured);
    let lost_in_ring = dropped.min(lost);
    let arrived = captured as f64 / sent.seconds;
    Ok(Passage { arrived, hits, lost_on_link: lost - lost_in_ring, lost_in_ring, ..Passage::of(sent) })
}

/// A packet socket to which everything comes, and which looks for one address itself: what captures without a filter in
/// the kernel pays for bystanders.
pub(crate) fn unfiltered(bed: &Bed, traffic: &Traffic, time: Duration) -> Result<Passage> {
    let reader = Reader::start(&bed.receiver, traffic.first, None)?;
    let sent = bed.send(PASS, traffic, time)?;
    sleep(Duration::from_millis(300));
    let read = reader.stop()?;
    let hits = traffic.hits_of(sent.frames);
    let lost = hits.saturating_sub(read.hits);
    // What its ring had no room for, of which hits are the same part as of all.
    let lost_in_ring = traffic.hits_of(read.dropped).min(lost);
    let arrived = read.hits as f64 / sent.seconds;
    Ok(Passage { arrived, hits, lost_on_link: lost - lost_in_ring, lost_in_ring, ..Passage::of(sent) })
}

/// What a reader has read.
pub(crate) struct Read {
    /// Packets to the target.
    hits: u64,
    /// What the kernel says that it dropped, of all packets.
    dropped: u64,
    /// From the sending of each packet to its reading, in nanoseconds.
    pub(crate) latencies: Vec<u64>,
}

/// A thread that reads a packet socket.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Read>>,
}

impl Reader {
    /// Reads what goes to a target. With a filter's words the kernel hands over no more than that, at once, and packets
    /// carry the time of their sending.
    pub(crate) fn start(namespace: &Namespace, target: Ipv4Addr, filter: Option<&str>) -> Result<Self> {
        let mut capture = namespace.enter(|| {
            let capture = pcap::Capture::from_device(PASS.to)?.snaplen(96).buffer_size(RING).timeout(10);
            capture.immediate_mode(filter.is_some()).open()
        })??;
        let is_timed = filter.is_some();
        if let Some(filter) = filter {
            capture.filter(filter, true)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let mut capture = capture.setnonblock()?;
        let thread = thread::Builder::new().name("packet-socket".into()).spawn(move || {
            let (mut hits, mut latencies) = (0, Vec::new());
            loop {
                match capture.next_packet() {
                    Ok(packet) if packet.data.get(DESTINATION..DESTINATION + 4) == Some(&target.octets()) => {
                        hits += 1;
                        if is_timed && let Some(stamp) = packet.data.get(PAYLOAD..PAYLOAD + 8) {
                            let sent = stamp.try_into().map_or(0, u64::from_be_bytes);
                            latencies.push(boot_now_ns().saturating_sub(sent));
                        }
                    }
                    Ok(_) => {}
                    Err(pcap::Error::TimeoutExpired) if told.load(Ordering::Relaxed) => break,
                    Err(pcap::Error::TimeoutExpired) => wait(&capture)?,
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(Read { hits, dropped: capture.stats()?.dropped.into(), latencies })
        })?;
        Ok(Self { stop, thread })
    }

    /// Reads what is there and ends.
    pub(crate) fn stop(self) -> Result<Read> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the reader of the packet socket panicked"))?
    }
}

/// Until there are packets, or a moment is over.
fn wait(capture: &pcap::Capture<pcap::Active>) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut ends = [PollFd::new(capture, PollFlags::IN)];
    let a_moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    match poll(&mut ends, Some(&a_moment)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
