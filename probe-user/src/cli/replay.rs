//! `writ replay`: a capture file through the same XDP program, the same pipeline and the same encoders as a live port,
//! into files. For trying out a setup, and for an auditor who wants to see what a warrant would take. It asks for the
//! same approvals as an interception, and is recorded like one.

mod outlet;

use super::warrant::{read_signatures, read_text};
use super::{CommandError, ConfigArgs, Outcome, output};
use crate::config::Config;
use crate::pipeline::{Intercept, Intercepts, Outlets, Recipient, Worker};
use crate::roles::control::{approve_replay, caller, order};
use anyhow::Context;
use clap::Args;
use outlet::Outlet;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use writ_abi::ProbeCounter;
use writ_abi::{SlotPolicy, SlotRef};
use writ_authority::ApprovedWarrant;
use writ_capture::{ClockOffset, Kernel, KernelSettings, PcapSource, Source};
use writ_delivery::StreamKind;
use writ_encoder::files::Names;
use writ_identity::{FixedAddresses, Tenant, reconcile};
use writ_spool::{Consumer, Ledger, Producer, RecordKind, Wake, create_stream};

/// The one slot of a replay.
const SLOT: SlotRef = SlotRef { slot: 0, generation: 1 };
/// Packets of a batch, at most.
const BATCH: usize = 64;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// A pcap or pcapng file of Ethernet frames.
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// The warrant file.
    #[arg(long)]
    warrant: PathBuf,
    /// A signature over the warrant; give the option once for each.
    #[arg(long = "signature", short)]
    signatures: Vec<PathBuf>,
    /// Directory for the streams that would have gone to the agency, a file for each.
    #[arg(long, short)]
    output: PathBuf,
    /// Print JSON for a script.
    #[arg(long)]
    json: bool,
}

/// What became of the file's packets.
#[derive(Debug, Serialize)]
struct Report {
    frames: u64,
    matched: u64,
    outside_window: u64,
    isolation_violations: u64,
    records: Vec<StreamReport>,
}

#[derive(Debug, Serialize)]
struct StreamReport {
    file: PathBuf,
    content: u64,
    header_reports: u64,
    events: u64,
}

pub(super) fn run(args: &ReplayArgs) -> Result<Outcome, CommandError> {
    let config = Config::load(&args.config.config).map_err(CommandError::input)?;
    let document = read_text(&args.warrant)?;
    let name = args.warrant.display().to_string();
    let signatures = read_signatures(&args.signatures)?;
    let approved = match approve_replay(&config, (&name, &document), &signatures, &args.file, caller()) {
        Ok(approved) => approved,
        Err(reasons) => {
            for reason in reasons {
                output::complain(&format!("refused: {reason}"));
            }
            return Ok(Outcome::Negative);
        }
    };
    let report = replay(&config, &approved, &args.file, &args.output)?;
    if args.json {
        output::json(&report);
    } else {
        output::line(&format!(
            "{} frames, {} matched, {} of them outside the window and not taken",
            report.frames, report.matched, report.outside_window
        ));
        for stream in &report.records {
            output::line(&format!(
                "{}: {} packets, {} header reports, {} events",
                stream.file.display(),
                stream.content,
                stream.header_reports,
                stream.events
            ));
        }
    }
    Ok(Outcome::Done)
}

fn replay(config: &Config, approved: &ApprovedWarrant, file: &Path, directory: &Path) -> anyhow::Result<Report> {
    let order = order(approved.warrant(), approved.warrant().window(), SLOT, config)
        .context("a destination of the warrant is not in the configuration")?;
    let memory = Ledger::create(1, config.destination.len() * 2)?;
    let ledger = Arc::new(Ledger::open(&memory)?);
    ledger.slot(SLOT.slot).context("no slot")?.reset(SLOT.generation, order.deliveries.len());

    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let (mut producers, mut outlets) = (Vec::new(), Vec::new());
    for (index, destination) in config.destination.iter().enumerate() {
        let delivery = order.deliveries.iter().find(|delivery| delivery.destination == index);
        for kind in StreamKind::ALL {
            let stream =
                create_stream("writ-replay", config.spool.segments as usize, config.spool.segment_bytes as usize)?;
            let wake = Wake::create()?;
            producers.push(Producer::open(&stream, wake.try_clone()?, Arc::clone(&ledger))?);
            // Others get nothing, and no file.
            let is_told = kind == StreamKind::Cmc || destination.format.has_identifying_information();
            let Some(delivery) = delivery.filter(|_| is_told) else { continue };
            let names = Names {
                case_id: delivery.case_id.clone(),
                content_id: delivery.content_identifier.clone(),
                probe: config.probe.id.clone(),
            };
            let consumer = Consumer::open(&stream, wake, Arc::clone(&ledger))?;
            outlets.push((index, kind, Outlet::create(directory, destination, kind, consumer, &names)?));
        }
    }
    let (streams, _) = Outlets::settle(producers, &ledger)?;

    let mut kernel = Kernel::load(&KernelSettings { slots: 1, ..config.tables })?;
    // The kernel judges by its own clock, which is not the file's: it takes all, and the worker judges by the stamps.
    let policy = SlotPolicy {
        start_ns: 0,
        stop_ns: u64::MAX,
        flags: order.policy_flags(),
        generation: SLOT.generation,
        reserved: 0,
    };
    kernel.tables().arm(SLOT.slot, &policy)?;
    let reconciled = reconcile(&[Tenant::new(SLOT, approved, &FixedAddresses)], config.room());
    if let Some(left_out) = reconciled.left_out.first() {
        anyhow::bail!("{}: {left_out}", approved.warrant().file().display());
    }
    for (selector, claims) in reconciled.desired.entries().iter() {
        kernel.tables().bind(selector, &claims.iter().collect::<Vec<_>>())?;
    }
    let counters = kernel.counters()?;
    let recipients = Recipient::all(&config.destination).context("a destination lacks the terms of its format")?;
    let mut intercepts = Intercepts::default();
    intercepts.insert(Arc::new(Intercept::new(&order, &config.probe.id, &recipients)?));
    intercepts.set_targets(SLOT, order.targets.iter().copied());

    let mut source = PcapSource::open(file, kernel)?;
    let mut worker = Worker::new(Arc::new(streams), Arc::clone(&ledger), BATCH).summing_up(&recipients);
    loop {
        let batch = source.receive(Duration::ZERO)?;
        worker.process(&batch, &intercepts, ClockOffset::sample());
        // The packets' own time goes on by itself.
        worker.sum_up(&intercepts, 0);
        let last = batch.is_last();
        if last {
            worker.sum_up_all(&intercepts);
        }
        for (_, _, outlet) in &mut outlets {
            outlet.drain()?;
        }
        if last {
            break;
        }
    }
    let account = ledger.slot(SLOT.slot).and_then(|account| account.snapshot());
    let records = outlets
        .iter()
        .map(|(index, kind, outlet)| {
            let mut report = StreamReport { file: outlet.path.clone(), content: 0, header_reports: 0, events: 0 };
            for (delivery, figures) in
                order.deliveries.iter().zip(account.iter().flat_map(|account| &account.deliveries))
            {
                match kind {
                    _ if delivery.destination != *index => {}
                    StreamKind::Cmii => {
                        report.header_reports += figures.delivered(RecordKind::HeaderReport);
                        report.events += figures.delivered(RecordKind::Event);
                    }
                    StreamKind::Cmc => report.content += figures.delivered(RecordKind::Content),
                }
            }
            report
        })
        .collect();
    Ok(Report {
        frames: counters.probe(ProbeCounter::Frames),
        matched: counters.slot(SLOT.slot).matched,
        outside_window: worker.outside_window(),
        isolation_violations: worker.violations(),
        records,
    })
}
