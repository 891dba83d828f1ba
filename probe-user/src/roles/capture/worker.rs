//! A worker thread: one source, run to completion. Takes a batch, has it encoded, gives the frames back.

use crate::explain::explain;
use crate::pipeline::{Intercepts, Worker};
use arc_swap::ArcSwap;
use crossbeam::atomic::AtomicCell;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use writ_capture::{ClockOffset, boot_now_ns};
use writ_capture::{FrameTime, Source, SourceError, SourceStatistics};

/// How long a worker waits for frames before it looks at its orders again.
const WAIT: Duration = Duration::from_millis(20);

/// Batches between two looks at the socket's figures while the queue is busy.
const FIGURES_EVERY: u32 = 256;

/// What all workers read and the keeper writes.
pub(super) struct Common {
    /// What is in force.
    pub(super) intercepts: ArcSwap<Intercepts>,
    /// How boot time becomes UTC.
    pub(super) clock: AtomicCell<ClockOffset>,
    /// Set: read what is there and end.
    pub(super) stop: AtomicBool,
}

/// What a worker tells.
#[derive(Default)]
pub(super) struct Progress {
    /// Every frame stamped before this moment (boot time) has been worked through.
    pub(super) horizon_ns: AtomicU64,
    /// The state of the intercepts that was last worked with; nothing is made any more of what was so before it.
    pub(super) version: AtomicU64,
    /// Hits that their frame did not bear out.
    pub(super) violations: AtomicU64,
    /// Packets that were seen before.
    pub(super) duplicates: AtomicU64,
    /// The source's figures.
    pub(super) statistics: AtomicCell<SourceStatistics>,
}

/// A running worker.
pub(super) struct WorkerThread {
    pub(super) interface: String,
    pub(super) queue: u32,
    pub(super) mode: String,
    pub(super) progress: Arc<Progress>,
    thread: JoinHandle<Result<(), SourceError>>,
}

impl WorkerThread {
    /// Starts a thread on a source, on a CPU of its own if one is named.
    pub(super) fn start(
        (interface, queue, mode): (String, u32, String),
        cpu: Option<u32>,
        source: Box<dyn Source>,
        worker: Worker,
        common: Arc<Common>,
    ) -> std::io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let told = Arc::clone(&progress);
        let start = || {
            let thread = std::thread::Builder::new().name(format!("rx-{queue}"));
            thread.spawn(move || work(source, worker, &common, &told))
        };
        let thread = match cpu {
            Some(cpu) => on_cpu(cpu, start)?,
            None => start()?,
        };
        Ok(Self { interface, queue, mode, progress, thread })
    }

    /// Whether the thread has ended, which it does by itself only on an error.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread's end.
    pub(super) fn join(self) -> Result<(), String> {
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(explain(&error.into())),
            Err(_) => Err(format!("the worker of {} queue {} panicked", self.interface, self.queue)),
        }
    }
}

/// Starts something on one CPU. A thread begins with the affinity of the thread that starts it, so the kernel's refusal
/// is known here, and the new thread never runs elsewhere.
fn on_cpu<T>(cpu: u32, start: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    let (before, mut only) = (sched_getaffinity(None)?, CpuSet::new());
    // `cpus` is checked to be within the set.
    only.set(cpu as usize);
    sched_setaffinity(None, &only)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    started
}

fn work(
    mut source: Box<dyn Source>,
    mut worker: Worker,
    common: &Common,
    progress: &Progress,
) -> Result<(), SourceError> {
    let mut batches = 0u32;
    loop {
        // Read before the ring: what is stamped earlier and not in the ring by now was read before.
        let (stop, before) = (common.stop.load(Ordering::Acquire), boot_now_ns());
        let batch = source.receive(if stop { Duration::ZERO } else { WAIT })?;
        let mut horizon = before;
        let idle = batch.is_empty();
        // Behind the ring: what an intercept was given before its orders were changed meets the changed ones.
        let intercepts = common.intercepts.load();
        if !idle {
            worker.process(&batch, &intercepts, common.clock.load());
            if let Some(FrameTime::Boot(ns)) = batch.frames().next_back().map(|frame| frame.time) {
                horizon = ns;
            }
        }
        worker.sum_up(&intercepts, common.clock.load().utc_ns(horizon));
        progress.version.store(intercepts.version(), Ordering::Release);
        progress.violations.store(worker.violations(), Ordering::Relaxed);
        progress.duplicates.store(worker.duplicates(), Ordering::Relaxed);
        // The socket's own figures cost a system call: not for every batch of a busy queue.
        if idle || batches.is_multiple_of(FIGURES_EVERY) {
            progress.statistics.store(source.statistics());
        }
        batches = batches.wrapping_add(1);
        progress.horizon_ns.store(horizon, Ordering::Release);
        if stop && idle {
            worker.sum_up_all(&intercepts);
            return Ok(());
        }
    }
}
