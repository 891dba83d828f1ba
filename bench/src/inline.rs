//! The whole way, inline over veth: how many frames a second a link takes while they are purely dropped, while others
//! capture, and while Writ carries out an order on it, from the tap to an agency. A veth figure is no NIC figure: read
//! the ratios.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bed::{Bed, Layout, Passage, Subject};
use crate::distance::{At, Distance, Measured};
use crate::generator::{Length, Traffic};
use crate::report::{Row, Section, Target, median};
use crate::{Effort, packet_socket};

/// This part of the bench.
pub const PART: &str = "inline";

/// Under the order.
pub(crate) const TARGET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const LENGTHS: [Length; 3] = [Length::Bytes(60), Length::Imix, Length::Bytes(1514)];

/// What takes the frames, and how many of a thousand are hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiver {
    Drop,
    Tcpdump { hosts: u32, hits: u32 },
    TcpdumpToFile,
    PacketSocket,
    Writ { hits: u32, secured: bool },
}

const OVER_PLAIN_TCP: &[Receiver] = &[
    Receiver::Drop,
    Receiver::Tcpdump { hosts: 1, hits: 10 },
    Receiver::Tcpdump { hosts: 300, hits: 10 },
    Receiver::PacketSocket,
    Receiver::Tcpdump { hosts: 1, hits: 1000 },
    Receiver::TcpdumpToFile,
    Receiver::Writ { hits: 0, secured: false },
    Receiver::Writ { hits: 1, secured: false },
    Receiver::Writ { hits: 10, secured: false },
    Receiver::Writ { hits: 100, secured: false },
    Receiver::Writ { hits: 1000, secured: false },
];

const SECURED: &[Receiver] = &[
    Receiver::Drop,
    Receiver::TcpdumpToFile,
    Receiver::Writ { hits: 10, secured: true },
    Receiver::Writ { hits: 100, secured: true },
    Receiver::Writ { hits: 1000, secured: true },
];

impl Receiver {
    fn name(self) -> String {
        match self {
            Self::Drop => "reference: XDP_DROP".into(),
            Self::Tcpdump { hosts: 1, hits } => format!("tcpdump, 1 host, {} hits, to /dev/null", percent(hits)),
            Self::Tcpdump { hosts, hits } => format!("tcpdump, {hosts} hosts, {} hits, to /dev/null", percent(hits)),
            Self::TcpdumpToFile => "tcpdump, 1 host, 100 % hits, to a file".into(),
            Self::PacketSocket => "AF_PACKET v3, no filter, 1 % hits, counted".into(),
            Self::Writ { hits, secured } => {
                let way = if secured { "TLS, digests kept," } else { "plain TCP" };
                format!("Writ, {} hits, {way} to an agency", percent(hits))
            }
        }
    }

    fn hits(self) -> u32 {
        match self {
            Self::Drop => 0,
            Self::PacketSocket => 10,
            Self::TcpdumpToFile => 1000,
            Self::Tcpdump { hits, .. } | Self::Writ { hits, .. } => hits,
        }
    }
}

/// What 100 % hits stand beside.
const TO_FILE: &str = "packets/s that tcpdump writes to a file";

/// Of a thousand, in percent.
pub(crate) fn percent(hits: u32) -> String {
    format!("{} %", f64::from(hits) / 10.0)
}

/// Columns of every table of whole ways.
pub(crate) const COLUMNS: [&str; 8] =
    ["of XDP_DROP", "M frames/s", "M hits/s out", "% lost", "on link", "in ring", "behind", "CPUs apart, ns"];

/// A run beside the rate at which the same link was purely dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) passage: Passage,
    pub(crate) dropped: f64,
    /// How far apart the processors were.
    pub(crate) apart: f64,
}

impl Run {
    pub(crate) fn of_drop(&self) -> f64 {
        self.passage.sent / self.dropped
    }

    fn figures(&self, hits: bool) -> [Option<f64>; 8] {
        let passage = &self.passage;
        let lost = passage.lost_on_link + passage.lost_in_ring + passage.lost_behind;
        let of_hits = |figure: f64| hits.then_some(figure);
        [
            Some(self.of_drop()),
            Some(passage.sent / 1e6),
            of_hits(passage.arrived / 1e6),
            of_hits(passage.percent(lost)),
            of_hits(passage.percent(passage.lost_on_link)),
            of_hits(passage.percent(passage.lost_in_ring)),
            of_hits(passage.percent(passage.lost_behind)),
            Some(self.apart),
        ]
    }
}

/// The median of runs, figure by figure; what failed in any run, if none is left.
pub(crate) fn row(name: String, hits: bool, runs: &[Result<Run>]) -> Row {
    let done: Vec<_> = runs.iter().flatten().map(|run| run.figures(hits)).collect();
    if let (true, Some(Err(error))) = (done.is_empty(), runs.first()) {
        return Row::failed(name, error);
    }
    let figure = |column: usize| median(done.iter().filter_map(|run| run[column]));
    Row::new(name, (0..COLUMNS.len()).map(figure))
}

/// Measures; `directory` is an empty directory for the probe's files.
pub fn measure(
    subject: &Subject,
    directory: &Path,
    effort: Effort,
    distance: &mut Distance,
    doing: &mut dyn FnMut(&str),
) -> Result<Vec<Section>> {
    crate::keep_user_space_off(1)?;
    let mut sections = Vec::new();
    for (way, secured, receivers) in [("plain TCP", false, OVER_PLAIN_TCP), ("TLS with digests", true, SECURED)] {
        let mut bed = Bed::build(subject, &directory.join(way), Layout { secured, ..Layout::PLAIN })?;
        bed.order(vec![IpAddr::from(TARGET).into()], 1)?;
        bed.in_force()?;
        for length in LENGTHS {
            let mut doing = |round| {
                doing(&format!("inline, over {way}, {}, round {round} of {}", length.name(), effort.repeats));
            };
            let file = directory.join("tcpdump.pcap");
            let runs = rounds(&bed, receivers, length, &file, effort, distance, &mut doing);
            let title = format!(
                "The whole way inline over veth and {way}, {}, median of {} rounds",
                length.name(),
                effort.repeats
            );
            sections.push(section(title, length, receivers, &runs));
        }
        bed.take_down()?;
    }
    Ok(sections)
}

/// What one receiver did.
#[derive(Default)]
struct Runs {
    /// One a round.
    near: Vec<Result<Run>>,
    /// While the processors were far apart.
    far: Vec<Run>,
}

/// The runs of each receiver, all of them in turn in each round.
fn rounds(
    bed: &Bed,
    receivers: &[Receiver],
    length: Length,
    file: &Path,
    effort: Effort,
    distance: &mut Distance,
    doing: &mut dyn FnMut(u32),
) -> Vec<Runs> {
    let mut all: Vec<Runs> = receivers.iter().map(|_| Runs::default()).collect();
    for round in 1..=effort.repeats {
        doing(round);
        let mut dropped = None;
        for (&receiver, runs) in receivers.iter().zip(&mut all) {
            let Measured { last, far } = distance.near(|| run(bed, receiver, length, file, effort.time));
            if receiver == Receiver::Drop {
                dropped = last.result.as_ref().ok().map(|passage| passage.sent);
            }
            let beside = |At { result, apart }: At<Passage>| Some(Run { passage: result, dropped: dropped?, apart });
            runs.far.extend(far.into_iter().filter_map(beside));
            let run = last.result.and_then(|result| {
                beside(At { result, apart: last.apart }).context("the reference could not be measured")
            });
            runs.near.push(run);
        }
    }
    all
}

fn run(bed: &Bed, receiver: Receiver, length: Length, file: &Path, time: Duration) -> Result<Passage> {
    let traffic = Traffic { length, hits: receiver.hits(), first: TARGET, targets: 1, stamp: false };
    match receiver {
        Receiver::Drop => Ok(Passage { sent: bed.dropped(&traffic, time)?, ..Passage::default() }),
        Receiver::Tcpdump { hosts, .. } => {
            packet_socket::tcpdump(bed, &traffic, hosts, &PathBuf::from("/dev/null"), time)
        }
        Receiver::TcpdumpToFile => {
            let passage = packet_socket::tcpdump(bed, &traffic, 1, file, time);
            // Before the system writes out what nobody wants.
            _ = fs::remove_file(file);
            passage
        }
        Receiver::PacketSocket => packet_socket::unfiltered(bed, &traffic, time),
        Receiver::Writ { .. } => bed.taken(&traffic, time),
    }
}

fn section(title: String, length: Length, receivers: &[Receiver], all: &[Runs]) -> Section {
    let mut section = Section::new(PART, title, COLUMNS);
    let to_file = receivers.iter().zip(all).find(|(receiver, _)| **receiver == Receiver::TcpdumpToFile);
    let to_file = to_file.map(|(_, runs)| runs);
    for (&receiver, runs) in receivers.iter().zip(all) {
        let row = row(receiver.name(), receiver.hits() > 0, &runs.near);
        section.rows.push(match receiver {
            Receiver::Drop => row,
            Receiver::Writ { hits: 1000, secured } => {
                let is_aim = length != Length::Imix && !secured;
                // Round by round, so that what disturbs both does not show.
                let pairs = runs.near.iter().zip(to_file.map(|it| &it.near[..]).unwrap_or_default());
                let arrived = |run: &Result<Run>| run.as_ref().ok().map(|run| run.passage.arrived);
                let ratio = median(pairs.filter_map(|(run, file)| Some(arrived(run)? / arrived(file)?)));
                row.beside(TO_FILE, ratio, is_aim.then_some(Target::AtLeast(1.0)))
            }
            _ => {
                let is_aim = receiver == (Receiver::Writ { hits: 10, secured: false }) && length == Length::Bytes(60);
                let ratio = median(runs.near.iter().flatten().map(Run::of_drop));
                row.beside("frames/s of XDP_DROP", ratio, is_aim.then_some(Target::AtLeast(0.8)))
            }
        });
    }
    // What both did while the processors were far apart, if they were during runs of both.
    let writ = receivers.iter().zip(all).find(|(it, _)| matches!(it, Receiver::Writ { hits: 1000, .. }));
    if let (Some(file), Some((writ, runs))) = (to_file.filter(|it| !it.far.is_empty()), writ)
        && !runs.far.is_empty()
    {
        let far_row = |receiver: Receiver, runs: &[Run]| {
            let runs: Vec<_> = runs.iter().copied().map(Ok).collect();
            row(format!("{}, CPUs far apart", receiver.name()), true, &runs)
        };
        let arrived = |runs: &[Run]| median(runs.iter().map(|run| run.passage.arrived));
        let ratio = arrived(&runs.far).zip(arrived(&file.far)).map(|(writ, file)| writ / file);
        section.rows.push(far_row(Receiver::TcpdumpToFile, &file.far));
        section.rows.push(far_row(*writ, &runs.far).beside(TO_FILE, ratio, None));
    }
    section
}
