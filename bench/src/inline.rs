//! The whole way, inline over veth: how many frames a second a link takes while they are purely dropped, while tcpdump
//! writes one host's packets, and while Writ carries out an order on it.
//!
//! The sender and the receiver's NAPI run on CPU 0, so the link keeps its own pace and loses nothing; all of user space
//! runs on CPU 1: tcpdump, or Writ's roles and the agency. What is compared is the sender's count, as a share of the
//! same round's rate with a program that drops. A veth figure is no NIC figure: read the ratios.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use aya::Ebpf;
use aya::programs::XdpMode;
use jiff::Timestamp;
use rustix::process::Signal;
use writ_lab::documents::{self, Order as Warrant};
use writ_lab::{LinkOptions, Namespace, Officer, Probe, Process, install_roster, quiet, until, veth};

use crate::generator::{Generator, Order, Sent};
use crate::programs::{self, Globals};
use crate::report::{Row, Section, median};
use crate::sink::Sink;
use crate::{Effort, pin};

/// Under the order.
const TARGET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const LENGTHS: [usize; 2] = [60, 1514];
/// More than the generator makes; bounds a run that nobody ends.
const MOST_A_SECOND: u32 = 20_000_000;

/// What takes the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiver {
    Drop,
    Tcpdump { hits: u32 },
    Writ { hits: u32 },
}

const RECEIVERS: [Receiver; 7] = [
    Receiver::Drop,
    Receiver::Tcpdump { hits: 1 },
    Receiver::Tcpdump { hits: 100 },
    Receiver::Writ { hits: 0 },
    Receiver::Writ { hits: 1 },
    Receiver::Writ { hits: 10 },
    Receiver::Writ { hits: 100 },
];

impl Receiver {
    fn name(self) -> String {
        match self {
            Self::Drop => "reference: XDP_DROP".into(),
            Self::Tcpdump { hits } => format!("tcpdump, 1 host, {hits} % hits, to /dev/null"),
            Self::Writ { hits } => format!("Writ, {hits} % hits, plain TCP to a counting agency"),
        }
    }

    /// The two ends of its link.
    fn link(self) -> (&'static str, &'static str) {
        match self {
            Self::Drop => ("to-drop", "drop0"),
            Self::Tcpdump { .. } => ("to-pass", "pass0"),
            Self::Writ { .. } => ("to-tap", "tap0"),
        }
    }

    fn hits(self) -> u32 {
        match self {
            Self::Drop => 0,
            Self::Tcpdump { hits } | Self::Writ { hits } => hits,
        }
    }
}

/// One run.
pub(crate) struct Outcome {
    /// Frames a second at the sender.
    pub(crate) sent: f64,
    /// Hits a second that arrived where they should while the sender sent.
    pub(crate) arrived: f64,
    /// Share of the hits that never arrived.
    pub(crate) lost: f64,
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The probe's binary.
    pub writ: PathBuf,
    /// Frames that can wait for its worker; none: as it comes.
    pub ring: Option<u32>,
    /// Frames that its worker takes at once; none: as it comes.
    pub batch: Option<u32>,
}

/// Measures; `directory` is an empty directory for the probe's files.
pub fn measure(
    subject: &Subject,
    directory: &Path,
    effort: Effort,
    doing: &mut dyn FnMut(&str),
) -> Result<Vec<Section>> {
    pin(1)?;
    let lab = Lab::build(subject, directory)?;
    let mut sections = Vec::new();
    for length in LENGTHS {
        let mut rounds: Vec<Vec<Outcome>> = Vec::new();
        for round in 1..=effort.repeats {
            let mut outcomes = Vec::new();
            for receiver in RECEIVERS {
                doing(&format!("inline, {length} bytes, round {round} of {}: {}", effort.repeats, receiver.name()));
                outcomes.push(lab.run(receiver, length, effort.time)?);
            }
            rounds.push(outcomes);
        }
        let columns = ["of XDP_DROP", "M frames/s", "M hits/s out", "% hits lost"].map(String::from);
        let title =
            format!("The whole way inline over veth, {length}-byte frames, median of {} rounds", effort.repeats);
        let mut section = Section::new(title, &columns);
        for (place, receiver) in RECEIVERS.into_iter().enumerate() {
            let of = |figure: &dyn Fn(&Outcome, &Outcome) -> f64| {
                median(rounds.iter().filter_map(|round| Some(figure(round.get(place)?, round.first()?))))
            };
            let hits = |figure: Option<f64>| figure.filter(|_| receiver.hits() > 0);
            section.rows.push(Row {
                name: receiver.name(),
                figures: vec![
                    of(&|outcome, drop| outcome.sent / drop.sent),
                    of(&|outcome, _| outcome.sent / 1e6),
                    hits(of(&|outcome, _| outcome.arrived / 1e6)),
                    hits(of(&|outcome, _| outcome.lost * 100.0)),
                ],
            });
        }
        sections.push(section);
    }
    lab.take_down()?;
    Ok(sections)
}

/// The namespaces and what runs in them all the time. Fields are dropped in this order: programs first.
pub(crate) struct Lab {
    probe: Probe,
    warrant: Warrant,
    sink: Sink,
    _receivers: Ebpf,
    sender: Namespace,
    receiver: Namespace,
}

impl Lab {
    pub(crate) fn build(subject: &Subject, directory: &Path) -> Result<Self> {
        let (sender, receiver) = (Namespace::new("sender")?, Namespace::new("receiver")?);
        for taker in [Receiver::Drop, Receiver::Tcpdump { hits: 0 }, Receiver::Writ { hits: 0 }] {
            let (from, to) = taker.link();
            // The probe itself brings its tap up, once it is silent.
            let options = LinkOptions { second_up: !matches!(taker, Receiver::Writ { .. }), ..LinkOptions::default() };
            veth((&sender, from), (&receiver, to), options)?;
            quiet(&sender, from)?;
            quiet(&receiver, to)?;
        }
        let globals = Globals { length: 0, hits: 0, target: [0; 4] };
        let mut receivers = programs::load(globals, &[programs::DROP, programs::PASS])?;
        for (taker, program) in [(Receiver::Drop, programs::DROP), (Receiver::Tcpdump { hits: 0 }, programs::PASS)] {
            let program = programs::program_mut(&mut receivers, program)?;
            receiver.enter(|| program.attach(taker.link().1, XdpMode::Driver))??;
        }
        let sink = Sink::start(&receiver)?;
        let (probe, warrant) = start_probe(subject, directory, &receiver, &sink)?;
        Ok(Self { probe, warrant, sink, _receivers: receivers, sender, receiver })
    }

    pub(crate) fn run(&self, receiver: Receiver, length: usize, time: Duration) -> Result<Outcome> {
        let order = Order {
            interface: receiver.link().0.to_owned(),
            length,
            hits: receiver.hits(),
            target: TARGET,
            at_most: MOST_A_SECOND.saturating_mul(u32::try_from(time.as_secs())?.saturating_add(2)),
        };
        match receiver {
            Receiver::Drop => Ok(outcome(Generator::run(&self.sender, &order, time)?, 0, 0, 0)),
            Receiver::Tcpdump { .. } => self.run_tcpdump(&order, time),
            Receiver::Writ { .. } => self.run_writ(&order, time),
        }
    }

    fn run_tcpdump(&self, order: &Order, time: Duration) -> Result<Outcome> {
        let mut command = self.receiver.command("tcpdump");
        let interface = Receiver::Tcpdump { hits: 0 }.link().1;
        let target = TARGET.to_string();
        command.args(["-Z", "root", "-n", "-B", "16384", "-i", interface, "-w", "/dev/null", "host", &target]);
        let mut tcpdump = Process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let output = tcpdump.child().stderr.take().context("tcpdump's standard error")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        ensure!(lines.any(|line| line.contains("listening on")), "tcpdump does not listen");
        let sent = Generator::run(&self.sender, order, time)?;
        // What is in its buffer is its to write.
        sleep(Duration::from_millis(300));
        tcpdump.signal(Signal::INT)?;
        let captured = lines.find_map(|line| line.strip_suffix(" packets captured")?.trim().parse::<u64>().ok());
        tcpdump.wait(Duration::from_secs(10))?;
        let captured = captured.context("tcpdump does not say how many packets it captured")?;
        // Its own count of what the kernel dropped leaves out what was lost before: the sender's count is held against it.
        let hits = sent.frames * u64::from(order.hits) / 100;
        Ok(outcome(sent, captured, captured.min(hits), hits))
    }

    fn run_writ(&self, order: &Order, time: Duration) -> Result<Outcome> {
        let before = self.probe.settled(&self.warrant)?;
        let pdus = || self.sink.counts.pdus.load(Ordering::Relaxed);
        let at_start = pdus();
        let sent = Generator::run(&self.sender, order, time)?;
        // Only what was there while frames came counts as kept up with.
        let arrived = pdus() - at_start;
        let after = self.probe.settled(&self.warrant)?;
        ensure!(after.settled(), "the probe's books do not close: {after:?}");
        let (matched, delivered) = (after.matched - before.matched, after.delivered - before.delivered);
        let hits = sent.frames * u64::from(order.hits) / 100;
        // One in a hundred is which of a hundred, so the last round's part may be off by as many; all else was lost on
        // the link, where none should be.
        if matched.abs_diff(hits) > 100 {
            bail!("{matched} of {hits} hits came to the program: the link is not inline here");
        }
        let out_of_order = self.sink.counts.out_of_order.load(Ordering::Relaxed);
        let broken = self.sink.counts.broken.load(Ordering::Relaxed);
        ensure!(broken == 0, "a connection to the agency broke");
        // Every packet that the books call delivered came, in order, and no number is missing: the probe counts its
        // losses before it gives out numbers, or the agency sees the gap.
        ensure!(out_of_order == 0 || delivered < matched, "{out_of_order} PDUs out of order and nothing counted lost");
        Ok(outcome(sent, arrived, delivered, matched))
    }

    pub(crate) fn take_down(mut self) -> Result<()> {
        ensure!(self.probe.stop()?, "writ did not end in order; see writ.log");
        Ok(())
    }
}

fn outcome(sent: Sent, arrived: u64, delivered: u64, hits: u64) -> Outcome {
    Outcome {
        sent: sent.frames as f64 / sent.seconds,
        arrived: arrived as f64 / sent.seconds,
        lost: if hits == 0 { 0.0 } else { hits.saturating_sub(delivered) as f64 / hits as f64 },
    }
}

/// A probe on the tap with one content order in force on one address.
fn start_probe(subject: &Subject, directory: &Path, namespace: &Namespace, sink: &Sink) -> Result<(Probe, Warrant)> {
    let (state, runtime, tap) = (directory.join("state"), directory.join("run"), Receiver::Writ { hits: 0 }.link().1);
    let configuration = directory.join("writ.toml");
    // A frame for each place in the ring, and as many on their way.
    let places = subject.ring.map(|places| format!("receive = {places}, frames = {}", places * 2));
    let batch = subject.batch.map(|frames| format!("batch = {frames}"));
    let ring: Vec<String> = places.into_iter().chain(batch).collect();
    let ring = format!("ring = {{ {} }}\n", ring.join(", "));
    let text = format!(
        "[probe]\nid = \"{}\"\noperator = \"{}\"\nstate = {state:?}\nruntime = {runtime:?}\n\n\
         [[capture]]\ninterface = \"{tap}\"\nmode = \"driver\"\nbind = \"copy\"\non_miss = \"drop\"\n{ring}\n\
         [[destination]]\nname = \"agency\"\nformat = \"t1-ias\"\ncmii = \"127.0.0.1:{}\"\ncmc = \"127.0.0.1:{}\"\n\
         plain = {{}}\n",
        documents::PROBE,
        documents::OPERATOR,
        sink.cmii,
        sink.cmc,
    );
    documents::write(&configuration, &text)?;
    let officers =
        [Officer::new(&directory.join("officers"), "ada")?, Officer::new(&directory.join("officers"), "ben")?];
    let roster = directory.join("roster.toml");
    documents::write(&roster, &documents::roster(&officers))?;
    let both = [&officers[0], &officers[1]];
    let installed = install_roster(&namespace.path(), &subject.writ, &configuration, &roster, &both)?;
    ensure!(installed.status.success(), "roster: {}", String::from_utf8_lossy(&installed.stderr).trim());
    let probe = Probe::start(namespace, &subject.writ, &configuration, directory)?;

    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let warrant = Warrant {
        uuid: "5a0b8c1e-6d1f-4c57-9a4e-0f2d9be0c101",
        authority: "title-iii",
        scope: "content",
        targets: vec![IpAddr::from(TARGET).into()],
        start: Timestamp::from_second(now + 1)?,
        stop: Timestamp::from_second(now + 24 * 3600)?,
        agency: "agency",
        case_id: "BENCH-1",
    };
    let answer = probe.submit(&warrant, &both)?;
    ensure!(answer.accepted, "the warrant is refused: {}", answer.words);
    until("the order's start", Duration::from_secs(10), || {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|now_is| now_is.as_secs() as i64 > now + 1);
        Ok((begun && probe.slot(&warrant)?.is_some()).then_some(()))
    })?;
    Ok((probe, warrant))
}
