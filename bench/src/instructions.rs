//! Instructions of user space for each packet, counted by callgrind: a figure that does not move with what else the
//! machine does. Each case runs in a process of its own under valgrind, with two numbers of steps; the difference leaves
//! out everything that is done once.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use writ_encoder::t1_ias::{Direction, HeaderSets};
use writ_encoder::{NoRoom, Stamper, ccc, etsi, opencalea, x2x3};
use writ_lab::run;

use crate::report::{Row, Section, Target};
use crate::steps::{BATCH, Rig, Scope, Way, ccc_connection, encoder, etsi_encoder, flow, opencalea_tap, time, x3_task};

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
    /// Making a content PDU of T1.IAS.
    T1Ias,
    /// Making one of ETSI TS 102 232.
    Etsi,
    /// Making one of ETSI TS 103 221-2.
    X3,
    /// Making a datagram of a call content connection.
    Ccc,
    /// Making one of OpenCALEA.
    Opencalea,
    /// Making a header report of T1.IAS, of a flow that was seen before.
    Report,
    /// Making the first of a flow.
    ReportAnew,
    /// Making a header report of ETSI TS 102 232; the length is that of the headers.
    EtsiReport,
    /// A worker, content; the length is that of the frames.
    Worker,
    /// The same, looking for packets that the mirror shows twice.
    WorkerTwice,
    /// A worker, header reports.
    WorkerReport,
}

/// A case, with packets of one length.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Step {
    #[arg(long, value_enum)]
    case: Case,
    /// Octets of a packet.
    #[arg(long)]
    length: usize,
    /// A PDU is copied, not made.
    #[arg(long)]
    copied: bool,
}

impl Step {
    const fn made(case: Case, length: usize) -> Self {
        Self { case, length, copied: false }
    }

    const fn copied(case: Case, length: usize) -> Self {
        Self { case, length, copied: true }
    }
}

/// A process that callgrind counts: takes so many steps.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Order {
    #[command(flatten)]
    step: Step,
    /// In PDUs.
    #[arg(long)]
    steps: u64,
}

/// Takes the steps.
pub fn take_steps(order: &Order) -> Result<()> {
    let length = order.step.length;
    match order.step.case {
        Case::T1Ias => {
            let (intercept, mut stamper) = (encoder()?, Stamper::default());
            pdus(order, intercept.content_bound(length), |out, number, packet| {
                intercept.content(out, stamper.stamp(time(number)), Direction::ToSubject, number, packet)
            })
        }
        Case::Etsi => {
            let intercept = etsi_encoder()?;
            pdus(order, intercept.content_bound(length), |out, number, packet| {
                intercept.content(out, time(number), etsi::Direction::ToTarget, number as u32, packet.into())
            })
        }
        Case::X3 => {
            let task = x3_task()?;
            let (direction, format) = (x2x3::Direction::ToTarget, x2x3::Format::IPV4);
            pdus(order, task.overhead() + length, |out, number, packet| {
                task.content(out, time(number), direction, number, format, packet)
            })
        }
        Case::Ccc => {
            let connection = ccc_connection();
            pdus(order, ccc::Connection::LONGEST_HEADER + length, |out, number, packet| {
                connection.content(out, time(number), packet)
            })
        }
        Case::Opencalea => {
            let tap = opencalea_tap()?;
            pdus(order, opencalea::Tap::CMC_HEADER + length, |out, number, packet| tap.cmc(out, time(number), packet))
        }
        Case::Report => {
            let (intercept, flow, mut stamper) = (encoder()?, flow()?, Stamper::default());
            let mut header_sets = HeaderSets::default();
            pdus(order, intercept.header_report_bound(), |out, number, _| {
                let time = stamper.stamp(time(number));
                intercept.header_report_from(out, time, header_sets.of(black_box(&flow))?)
            })
        }
        Case::ReportAnew => {
            let (intercept, flow, mut stamper) = (encoder()?, flow()?, Stamper::default());
            pdus(order, intercept.header_report_bound(), |out, number, _| {
                intercept.header_report(out, stamper.stamp(time(number)), black_box(&flow))
            })
        }
        Case::EtsiReport => {
            let intercept = etsi_encoder()?;
            pdus(order, intercept.header_report_bound(length), |out, number, headers| {
                intercept.header_report(out, time(number), etsi::Direction::ToTarget, number as u32, headers)
            })
        }
        Case::Worker => worker(rig(length, Scope::Content)?, order.steps),
        Case::WorkerTwice => worker(rig(length, Scope::Content)?.recognising_duplicates(), order.steps),
        Case::WorkerReport => worker(rig(length, Scope::Headers)?, order.steps),
    }
}

/// Writes or copies PDUs; each has so much room. `write` is given a packet and its number.
fn pdus(
    order: &Order,
    room: usize,
    mut write: impl FnMut(&mut [u8], u64, &[u8]) -> Result<usize, NoRoom>,
) -> Result<()> {
    let Order { step: Step { length, copied, .. }, steps } = *order;
    let (mut way, mut octets) = (Way::new(SOURCE), 0);
    // Written at one place alone, so that it is inlined as where it is in use. What is copied is as long as the first.
    for _ in 0..if copied { 1 } else { steps } {
        way.step(length, room, |source, target, number| {
            octets = write(target, number, &source[..length]).unwrap_or(0);
            octets
        });
    }
    for _ in 0..if copied { steps } else { 0 } {
        way.step(length, room, |source, target, _| {
            target[..octets].copy_from_slice(&source[..octets]);
            octets
        });
    }
    Ok(())
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
    let mut rows = Vec::new();
    for (what, case, target) in [
        ("content", Case::T1Ias, most),
        ("ETSI content", Case::Etsi, most),
        ("X3 content", Case::X3, most),
        ("CCC content", Case::Ccc, most),
        ("OpenCALEA content", Case::Opencalea, None),
    ] {
        for length in [64, 1400] {
            let name = format!("encoding {what}, {length} octets");
            rows.push((name, Step::made(case, length), Step::copied(case, length), target));
        }
    }
    let report = Step::copied(Case::Report, 0);
    let [short, long] = [64, 1400].map(|length| Step::copied(Case::T1Ias, length));
    rows.extend(
        [
            ("encoding a header report", Step::made(Case::Report, 0), report, most),
            ("encoding the first header report of a flow", Step::made(Case::ReportAnew, 0), report, None),
            (
                "encoding an ETSI header report, 40 octets",
                Step::made(Case::EtsiReport, 40),
                Step::copied(Case::EtsiReport, 40),
                most,
            ),
            ("worker, content, 60 octets", Step::made(Case::Worker, 60), short, None),
            ("worker, content, 60 octets, duplicates looked for", Step::made(Case::WorkerTwice, 60), short, None),
            ("worker, content, 1514 octets", Step::made(Case::Worker, 1514), long, None),
            ("worker, content, 1514 octets, duplicates looked for", Step::made(Case::WorkerTwice, 1514), long, None),
            ("worker, header report, 60 octets", Step::made(Case::WorkerReport, 60), report, None),
        ]
        .map(|(name, step, reference, target)| (name.to_owned(), step, reference, target)),
    );
    for (name, step, reference, target) in rows {
        doing(&format!("instructions: {name}"));
        let counted = count(directory, step).and_then(|whole| Ok((whole, count(directory, reference)?)));
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
fn count(directory: &Path, step: Step) -> Result<f64> {
    let (few, many) = (total(directory, step, STEPS)?, total(directory, step, STEPS * 2)?);
    ensure!(many > few, "callgrind saw nothing of what was to be counted; was it inlined?");
    Ok((many - few) as f64 / STEPS as f64)
}

/// All instructions of a process.
fn total(directory: &Path, step: Step, steps: u64) -> Result<u64> {
    let file = directory.join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", file.display()));
    if matches!(step.case, Case::Worker | Case::WorkerTwice | Case::WorkerReport) {
        command.arg(format!("--toggle-collect={WORKER}"));
    }
    let name = step.case.to_possible_value().context("a case has a name")?;
    command.arg(std::env::current_exe()?).args(["step", "--case", name.get_name()]);
    command.args(["--length", &step.length.to_string(), "--steps", &steps.to_string()]);
    command.args(step.copied.then_some("--copied"));
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
            take_steps(&Order { step: Step::made(*case, 64), steps: 128 }).unwrap();
        }
        take_steps(&Order { step: Step::copied(Case::Etsi, 64), steps: 128 }).unwrap();
    }
}
