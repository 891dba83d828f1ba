//! The capture role: loads the program, binds a socket to each queue of each tap port, gives up every capability, and
//! then runs a worker for each queue and the keeper. Frames come from the kernel and leave as PDUs in shared memory;
//! instructions come from the control role.

mod guard;
mod keeper;
mod worker;

use crate::config::Config;
use crate::ipc::FromRole;
use crate::pipeline::{Duplicates, Outlets, Recipient, Worker};
use crate::roles::Inheritance;
use anyhow::Context;
use arc_swap::ArcSwap;
use crossbeam::atomic::AtomicCell;
use keeper::{Keeper, Parts};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use worker::{Common, WorkerThread};
use writ_capture::{ClockOffset, CounterView, Kernel, Port, privileges};
use writ_spool::{Ledger, Producer, Wake};

/// Where the capture role writes the kernel's number of its program, so that its counters are found past all roles.
pub fn program_file(config: &Config) -> PathBuf {
    config.probe.runtime.join("program")
}

/// The role's life.
pub(super) fn run(config: Config, life: u32, inheritance: Inheritance, stop: &AtomicBool) -> anyhow::Result<()> {
    let Inheritance { supervisor, channels, ledger, streams, .. } = inheritance;
    let [control] = <[_; 1]>::try_from(channels).map_err(|_| anyhow::anyhow!("the channel to control is missing"))?;
    let ledger = Arc::new(Ledger::open(&ledger).context("the ledger's memory cannot be used")?);
    let producers = streams
        .into_iter()
        .map(|stream| Producer::open(&stream.memory, Wake::from_fd(stream.wake), Arc::clone(&ledger)))
        .collect::<Result<Vec<_>, _>>()
        .context("a stream's memory cannot be used")?;
    let (outlets, lost) = Outlets::settle(producers, &ledger).context("a stream's memory cannot be used")?;
    if lost > 0 {
        tracing::warn!(lost, "packets that a former capture process had in hand are counted as lost");
    }
    let outlets = Arc::new(outlets);

    let mut kernel = Kernel::load(&config.tables)?;
    // Held as long as the role lives: the kernel ends promiscuous mode with it.
    let mut ports = Vec::new();
    let mut sources = Vec::new();
    for settings in &config.capture {
        let port = Port::open(settings)?;
        for source in kernel.capture(&port, settings)? {
            sources.push((settings, source));
        }
        ports.push(port);
    }
    privileges::drop_all()?;

    let recipients = Recipient::all(&config.destination).context("a destination lacks the terms of its format")?;
    let common = Arc::new(Common {
        intercepts: ArcSwap::default(),
        clock: AtomicCell::new(ClockOffset::sample()),
        stop: AtomicBool::new(false),
    });
    let mut workers = Vec::new();
    for (settings, source) in sources {
        let jumbo = if settings.jumbo { ", jumbo" } else { "" };
        let mode = format!("{:?}, {:?}{jumbo}", settings.mode, settings.bind).to_lowercase();
        let name = (source.interface().to_owned(), source.queue(), mode);
        let cpu = settings.cpus.get(source.queue() as usize).copied();
        let worker = Worker::new(Arc::clone(&outlets), Arc::clone(&ledger), settings.ring.batch as usize)
            .recognising(Duplicates::of(settings))
            .summing_up(&recipients);
        let refused = || match cpu {
            Some(cpu) => format!("interface {}: `cpus` names CPU {cpu}, see `lscpu -e`", settings.interface),
            None => "a worker cannot be started".to_owned(),
        };
        let thread = WorkerThread::start(name, cpu, Box::new(source), worker, Arc::clone(&common));
        workers.push(thread.with_context(refused)?);
    }
    let counters = kernel.counter_fds()?;
    let view = CounterView::open(&counters)?;
    std::fs::write(program_file(&config), kernel.program_id()?.to_string())?;
    tracing::info!(queues = workers.len(), "capturing");
    supervisor.send(&FromRole::Ready, &[])?;

    let probe_id = config.probe.id.clone();
    let clock = config.clock;
    let parts =
        Parts { probe_id, recipients, life, kernel, counters, view, ledger, outlets, common, workers, control, clock };
    let mut keeper = Keeper::new(parts);
    let result = keeper.run(stop);
    keeper.finish();
    drop(ports);
    result
}
