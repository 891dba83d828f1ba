//! Instructions of user space for each packet, counted by callgrind: a figure that does not move with what else the
//! machine does. Each case runs in a process of its own under valgrind, with two numbers of steps; the difference leaves
//! out everything that is done once.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use writ_encoder::etsi;
use writ_encoder::t1_ias::{Direction, Flow, HeaderSets, Intercept};
use writ_encoder::{NoRoom, Stamp, Stamper};
use writ_lab::run;

use crate::report::{Row, Section, Target};
use crate::steps::{BATCH, Rig, Scope, Way, encoder, etsi_encoder, flow, time};

/// This part of the bench.
pub const PART: &str = "instructions";

/// Octets of packets: instructions do not depend on caches.
const SOURCE: usize = 1 << 20;
/// The worker, however it is mangled.
const WORKER: &str = "*pipeline*Worker*process*";
/// The fewest steps, in PDUs. A multiple of a batch.
const STEPS: u64 = 64 * 50;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Copying a content PDU of 64 octets of packet.
    Copy64,
    /// Making it.
    Content64,
    /// Copying a content PDU of 1400 octets of packet.
    Copy1400,
    /// Making it.
    Content1400,
    /// Copying a header report.
    CopyReport,
    /// Making it, of a flow that was seen before.
    Report,
    /// Making the first of a flow.
    ReportAnew,
    /// Copying a content PDU of ETSI TS 102 232 of 64 octets of packet.
    CopyEtsi64,
    /// Making it.
    Etsi64,
    /// Copying one of 1400 octets of packet.
    CopyEtsi1400,
    /// Making it.
    Etsi1400,
    /// A worker, content, 60-byte frames.
    WorkerContent60,
    /// The same, looking for packets that the mirror shows twice.
    WorkerTwice60,
    /// A worker, content, 1514-byte frames.
    WorkerContent1514,
    /// The same, looking for packets that the mirror shows twice.
    WorkerTwice1514,
    /// A worker, header reports, 60-byte frames.
    WorkerReport60,
}

impl Case {
    fn is_worker(self) -> bool {
        matches!(
            self,
            Self::WorkerContent60
                | Self::WorkerTwice60
                | Self::WorkerContent1514
                | Self::WorkerTwice1514
                | Self::WorkerReport60
        )
    }
}

/// A process that callgrind counts: takes so many steps.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Order {
    #[arg(long, value_enum)]
    case: Case,
    /// In PDUs.
    #[arg(long)]
    steps: u64,
}

/// Takes the steps.
pub fn take_steps(order: &Order) -> Result<()> {
    let steps = order.steps;
    match order.case {
        Case::Copy64 => content(64, true, steps),
        Case::Content64 => content(64, false, steps),
        Case::Copy1400 => content(1400, true, steps),
        Case::Content1400 => content(1400, false, steps),
        Case::CopyReport => copied_report(steps),
        Case::Report => {
            let mut header_sets = HeaderSets::default();
            report(steps, |intercept, out, time, flow| intercept.header_report_from(out, time, header_sets.of(flow)?))
        }
        Case::ReportAnew => report(steps, |intercept, out, time, flow| intercept.header_report(out, time, flow)),
        Case::CopyEtsi64 => etsi_content(64, true, steps),
        Case::Etsi64 => etsi_content(64, false, steps),
        Case::CopyEtsi1400 => etsi_content(1400, true, steps),
        Case::Etsi1400 => etsi_content(1400, false, steps),
        Case::WorkerContent60 => worker(rig(60, Scope::Content)?, steps),
        Case::WorkerTwice60 => worker(rig(60, Scope::Content)?.recognising_duplicates(), steps),
        Case::WorkerContent1514 => worker(rig(1514, Scope::Content)?, steps),
        Case::WorkerTwice1514 => worker(rig(1514, Scope::Content)?.recognising_duplicates(), steps),
        Case::WorkerReport60 => worker(rig(60, Scope::Headers)?, steps),
    }
}

fn content(length: usize, copies: bool, steps: u64) -> Result<()> {
    let (intercept, mut way) = (encoder()?, Way::new(SOURCE));
    let room = intercept.content_bound(length);
    let octets = intercept.content(&mut vec![0; room], time(0), Direction::ToSubject, 1 << 20, &vec![0; length])?;
    let mut stamper = Stamper::default();
    for _ in 0..steps {
        way.step(length, room, |source, target, number| {
            if copies {
                return copy(source, target, octets);
            }
            let time = stamper.stamp(time(number));
            intercept.content(target, time, Direction::ToSubject, number, &source[..length]).unwrap_or(0)
        });
    }
    Ok(())
}

fn etsi_content(length: usize, copies: bool, steps: u64) -> Result<()> {
    let (intercept, mut way) = (etsi_encoder()?, Way::new(SOURCE));
    let room = intercept.content_bound(length);
    let packet = vec![0; length];
    let direction = etsi::Direction::ToTarget;
    let octets = intercept.content(&mut vec![0; room], time(0), direction, 1 << 20, packet[..].into())?;
    for _ in 0..steps {
        way.step(length, room, |source, target, number| {
            if copies {
                return copy(source, target, octets);
            }
            intercept.content(target, time(number), direction, number as u32, source[..length].into()).unwrap_or(0)
        });
    }
    Ok(())
}

fn copied_report(steps: u64) -> Result<()> {
    let (intercept, mut way) = (encoder()?, Way::new(SOURCE));
    let room = intercept.header_report_bound();
    let octets = intercept.header_report(&mut vec![0; room], time(0), &flow()?)?;
    for _ in 0..steps {
        way.step(octets, room, |source, target, _| copy(source, target, octets));
    }
    Ok(())
}

fn report(
    steps: u64,
    mut write: impl FnMut(&Intercept, &mut [u8], Stamp, &Flow) -> Result<usize, NoRoom>,
) -> Result<()> {
    let (intercept, mut way, flow) = (encoder()?, Way::new(SOURCE), flow()?);
    let (room, mut stamper) = (intercept.header_report_bound(), Stamper::default());
    for _ in 0..steps {
        way.step(0, room, |_, target, number| {
            write(&intercept, target, stamper.stamp(time(number)), black_box(&flow)).unwrap_or(0)
        });
    }
    Ok(())
}

fn copy(source: &[u8], target: &mut [u8], octets: usize) -> usize {
    target[..octets].copy_from_slice(&source[..octets]);
    octets
}

fn rig(length: usize, scope: Scope) -> Result<Rig> {
    Rig::new(length, scope, 1, SOURCE)
}

fn worker(mut rig: Rig, steps: u64) -> Result<()> {
    for _ in 0..steps / BATCH as u64 {
        rig.step()?;
    }
    Ok(())
}

/// Counts; `directory` is for callgrind's files.
pub fn measure(directory: &Path, doing: &mut dyn FnMut(&str)) -> Result<Section> {
    fs::create_dir_all(directory)?;
    let mut section = Section::new(PART, "Instructions a PDU, by callgrind", ["instr.", "copy"]);
    let most = Some(Target::AtMost(200.0));
    for (name, case, reference, target) in [
        ("encoding content, 64 octets", Case::Content64, Case::Copy64, most),
        ("encoding content, 1400 octets", Case::Content1400, Case::Copy1400, most),
        ("encoding a header report", Case::Report, Case::CopyReport, most),
        ("encoding the first header report of a flow", Case::ReportAnew, Case::CopyReport, None),
        ("encoding ETSI content, 64 octets", Case::Etsi64, Case::CopyEtsi64, most),
        ("encoding ETSI content, 1400 octets", Case::Etsi1400, Case::CopyEtsi1400, most),
        ("worker, content, 60 octets", Case::WorkerContent60, Case::Copy64, None),
        ("worker, content, 60 octets, duplicates looked for", Case::WorkerTwice60, Case::Copy64, None),
        ("worker, content, 1514 octets", Case::WorkerContent1514, Case::Copy1400, None),
        ("worker, content, 1514 octets, duplicates looked for", Case::WorkerTwice1514, Case::Copy1400, None),
        ("worker, header report, 60 octets", Case::WorkerReport60, Case::CopyReport, None),
    ] {
        doing(&format!("instructions: {name}"));
        let counted = count(directory, case).and_then(|whole| Ok((whole, count(directory, reference)?)));
        section.rows.push(match counted {
            Ok((whole, copy)) => Row::new(name, [Some(whole), Some(copy)]).beside(
                "instructions more than the copy alone",
                Some(whole - copy),
                target,
            ),
            Err(error) => Row::failed(name, &error),
        });
    }
    section.notes.push(
        "A worker's are those of `Worker::process`: the second look at the addresses, encoding, the ledger, the stream. \
         In place of a ratio stands the difference, beside a copy of about as much."
            .into(),
    );
    Ok(section)
}

/// Instructions for each PDU.
fn count(directory: &Path, case: Case) -> Result<f64> {
    let (few, many) = (total(directory, case, STEPS)?, total(directory, case, STEPS * 2)?);
    ensure!(many > few, "callgrind saw nothing of what was to be counted; was it inlined?");
    Ok((many - few) as f64 / STEPS as f64)
}

/// All instructions of a process.
fn total(directory: &Path, case: Case, steps: u64) -> Result<u64> {
    let file = directory.join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", file.display()));
    if case.is_worker() {
        command.arg(format!("--toggle-collect={WORKER}"));
    }
    let name = case.to_possible_value().context("a case has a name")?;
    command.arg(std::env::current_exe()?).args(["step", "--case", name.get_name(), "--steps", &steps.to_string()]);
    run(command.stdout(Stdio::null())).context("valgrind; `cargo xtask setup --bench` installs it")?;
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    _ = fs::remove_file(&file);
    totals(&text)
}

/// The line `totals: 123`, which stands at the end, or `summary: 123`.
fn totals(text: &str) -> Result<u64> {
    let number = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
    match text.lines().filter(|line| line.starts_with("totals:") || line.starts_with("summary:")).find_map(number) {
        Some(total) => Ok(total),
        None => bail!("callgrind gives no total"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        assert_eq!(totals("events: Ir\nfn=(1) main\n1 22\n\ntotals: 12345\n").unwrap(), 12345);
        totals("events: Ir\n").unwrap_err();
    }

    #[test]
    fn every_case_takes_its_steps() {
        for case in Case::value_variants() {
            take_steps(&Order { case: *case, steps: 128 }).unwrap();
        }
    }
}
