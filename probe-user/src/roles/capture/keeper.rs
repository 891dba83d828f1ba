//! The keeper of the capture role: carries out control's instructions on the kernel's tables and on the workers'
//! snapshot, watches starts, stops and the clock, and tells control what happened.

use super::worker::{Common, WorkerThread};
use crate::ipc::{
    ArmedIntercept, CaptureReport, Channel, ChannelError, EndReason, FoundSlot, FromCapture, Instruction,
    KernelQueueFigures, QueueReport, SlotFigures, SlotName, ToCapture,
};
use crate::pipeline::{Intercept, Intercepts, Outlets};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use writ_abi::{PolicyFlags, SlotPolicy, SlotRef};
use writ_capture::Kernel;
use writ_capture::{ClockOffset, boot_now_ns, start_boot_ns, stop_boot_ns};
use writ_capture::{CounterFds, CounterView};
use writ_spool::Ledger;

/// How long the keeper waits for a message before it looks at the clock.
const TICK: Duration = Duration::from_millis(10);
/// How often control gets figures.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A wall clock that moves by more than this between two looks was set, not slewed: NTP slews 0.5 ms a second.
const STEP_NS: u64 = 1_000_000;
/// How long a frame may take from the program's judgement to the ring, at most: an interrupt's work can be preempted.
const FLUSH_NS: u64 = 100_000_000;
/// Addresses in one part of an inventory.
const INVENTORY_PART: usize = 1000;

/// Where an intercept stands.
enum Phase {
    /// In the kernel; takes packets from its start on.
    Armed,
    /// Stopped in the kernel; what was taken before is still on its way.
    Draining { since_ns: u64, at_utc_ns: u64, reason: EndReason },
}

struct Armed {
    intercept: Arc<Intercept>,
    order: ArmedIntercept,
    /// As it stands in the kernel.
    policy: SlotPolicy,
    phase: Phase,
    begun_told: bool,
    /// Where the slot's counters stood before.
    baseline: SlotFigures,
}

/// See the module.
pub(super) struct Keeper {
    pub(super) probe_id: String,
    pub(super) life: u32,
    pub(super) kernel: Kernel,
    pub(super) counters: CounterFds,
    pub(super) view: CounterView,
    pub(super) ledger: Arc<Ledger>,
    pub(super) outlets: Arc<Outlets>,
    pub(super) common: Arc<Common>,
    pub(super) workers: Vec<WorkerThread>,
    pub(super) control: Channel,
    armed: HashMap<u16, Armed>,
    addresses: HashMap<IpAddr, Vec<SlotName>>,
    /// Messages that control has not taken yet, with whether the counters travel beside them.
    unsent: VecDeque<(FromCapture, bool)>,
}

/// What the keeper is made of.
pub(super) struct Parts {
    pub(super) probe_id: String,
    pub(super) life: u32,
    pub(super) kernel: Kernel,
    pub(super) counters: CounterFds,
    pub(super) view: CounterView,
    pub(super) ledger: Arc<Ledger>,
    pub(super) outlets: Arc<Outlets>,
    pub(super) common: Arc<Common>,
    pub(super) workers: Vec<WorkerThread>,
    pub(super) control: Channel,
}

impl Keeper {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { probe_id, life, kernel, counters, view, ledger, outlets, common, workers, control } = parts;
        let (armed, addresses, unsent) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self {
            probe_id,
            life,
            kernel,
            counters,
            view,
            ledger,
            outlets,
            common,
            workers,
            control,
            armed,
            addresses,
            unsent,
        }
    }

    /// Keeps until told to stop.
    ///
    /// # Errors
    /// When a worker cannot go on, or control is gone for good.
    pub(super) fn run(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        self.inventory();
        let mut reported = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            match self.control.receive::<ToCapture>(TICK) {
                Ok(Some((message, _))) => self.obey(message),
                Ok(None) => {}
                Err(error @ ChannelError::Unreadable(_)) => {
                    tracing::error!(%error, "an instruction is not carried out");
                }
                Err(error) => return Err(error.into()),
            }
            self.watch_clock();
            self.watch_windows();
            self.watch_drains();
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                // Figures are worth nothing when they are old: one that cannot be sent now is not kept.
                let report = FromCapture::Report(self.report());
                self.flush();
                if self.unsent.is_empty()
                    && let Err(error) = self.control.send(&report, &[])
                {
                    tracing::debug!(%error, "control takes no report");
                }
            }
            self.flush();
            if let Some(worker) = self.workers.iter().position(WorkerThread::is_finished) {
                let worker = self.workers.swap_remove(worker);
                anyhow::bail!(worker.join().err().unwrap_or_else(|| "a worker ended unasked".to_owned()));
            }
        }
        Ok(())
    }

    /// Detaches the program, lets the workers read what is in the rings, and ends them.
    pub(super) fn finish(mut self) {
        self.kernel.detach();
        self.common.stop.store(true, Ordering::Release);
        for worker in self.workers.drain(..) {
            if let Err(error) = worker.join() {
                tracing::error!(%error, "a worker ended badly");
            }
        }
        let report = FromCapture::Report(self.report());
        self.tell(report);
        self.flush();
    }

    fn tell(&mut self, message: FromCapture) {
        self.unsent.push_back((message, false));
    }

    /// Sends what control has room for. A control that does not read loses nothing but time.
    fn flush(&mut self) {
        while let Some((message, with_counters)) = self.unsent.front() {
            let beside = [self.counters.slots.as_fd(), self.counters.probe.as_fd()];
            match self.control.send(message, if *with_counters { &beside } else { &[] }) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(ChannelError::Full) => return,
                Err(error) => {
                    tracing::error!(%error, "a message to control is lost");
                    self.unsent.pop_front();
                }
            }
        }
    }

    /// Says what is in force, in as many parts as it takes, and hands over the counters with the first.
    fn inventory(&mut self) {
        let slots: Vec<_> = self
            .armed
            .values()
            .map(|armed| FoundSlot { slot: armed.order.slot, warrant: armed.order.warrant, baseline: armed.baseline })
            .collect();
        let addresses: Vec<_> = self.addresses.iter().map(|(address, slots)| (*address, slots.clone())).collect();
        let mut parts = addresses.chunks(INVENTORY_PART).map(<[_]>::to_vec).collect::<VecDeque<_>>();
        let mut slots = slots.chunks(INVENTORY_PART).map(<[_]>::to_vec).collect::<VecDeque<_>>();
        let mut first = true;
        loop {
            let (slots_part, addresses_part) = (slots.pop_front(), parts.pop_front());
            let more = !slots.is_empty() || !parts.is_empty();
            let part = FromCapture::Hello {
                life: self.life,
                slots: slots_part.unwrap_or_default(),
                addresses: addresses_part.unwrap_or_default(),
                more,
            };
            self.unsent.push_back((part, first));
            first = false;
            if !more {
                return;
            }
        }
    }

    fn obey(&mut self, message: ToCapture) {
        match message {
            ToCapture::Hello => self.inventory(),
            ToCapture::Apply(instructions) => self.apply(instructions),
        }
    }

    fn apply(&mut self, instructions: Vec<Instruction>) {
        // First the workers' view, so that no hit comes whose intercept they do not know; then the kernel, in order.
        let mut snapshot: Option<Intercepts> = None;
        let mut fresh: HashMap<u16, Arc<Intercept>> = HashMap::new();
        for instruction in &instructions {
            let Instruction::Arm(order) = instruction else { continue };
            if let Some(armed) = self.armed.get(&order.slot.slot)
                && armed.order == **order
            {
                fresh.insert(order.slot.slot, Arc::clone(&armed.intercept));
                continue;
            }
            match Intercept::new(order, &self.probe_id) {
                Ok(intercept) => {
                    let intercept = Arc::new(intercept);
                    let view = snapshot.get_or_insert_with(|| Intercepts::clone(&self.common.intercepts.load()));
                    view.insert(Arc::clone(&intercept));
                    view.set_targets(order.slot.into(), order.targets.iter().copied());
                    fresh.insert(order.slot.slot, intercept);
                }
                Err(error) => self.tell(FromCapture::Refused { slot: Some(order.slot), what: error.to_string() }),
            }
        }
        if let Some(snapshot) = snapshot {
            self.common.intercepts.store(Arc::new(snapshot));
        }
        for instruction in instructions {
            let slot = match &instruction {
                Instruction::Arm(order) => Some(order.slot),
                Instruction::Disarm { slot, .. } => Some(*slot),
                Instruction::SetAddress { .. } | Instruction::RemoveAddress { .. } => None,
            };
            if let Err(what) = self.step(instruction, &mut fresh) {
                tracing::error!(slot = slot.map(|slot| slot.slot), error = %what, "an instruction failed");
                self.tell(FromCapture::Refused { slot, what });
            }
        }
    }

    fn step(&mut self, instruction: Instruction, fresh: &mut HashMap<u16, Arc<Intercept>>) -> Result<(), String> {
        match instruction {
            Instruction::Arm(order) => match fresh.remove(&order.slot.slot) {
                Some(intercept) => self.arm(*order, intercept),
                // Refused above.
                None => Ok(()),
            },
            Instruction::SetAddress { address, slots } => {
                let references: Vec<SlotRef> = slots.iter().map(|slot| (*slot).into()).collect();
                self.kernel.tables().set_address(address, &references).map_err(|error| error.to_string())?;
                self.addresses.insert(address, slots);
                Ok(())
            }
            Instruction::RemoveAddress { address } => {
                self.kernel.tables().remove_address(address).map_err(|error| error.to_string())?;
                self.addresses.remove(&address);
                Ok(())
            }
            Instruction::Disarm { slot, reason } => self.disarm(slot, reason),
        }
    }

    fn arm(&mut self, order: ArmedIntercept, intercept: Arc<Intercept>) -> Result<(), String> {
        if let Some(armed) = self.armed.get(&order.slot.slot)
            && armed.order == order
        {
            // Control came back and says all it knows: nothing is to be done, least of all to what is in force.
            self.tell(FromCapture::Armed { slot: order.slot });
            return Ok(());
        }
        let account = self.ledger.slot(order.slot.slot).ok_or("no such slot in the ledger")?;
        // The same owner again: this process took the place of one that died, and its figures go on.
        if !account.is_owned_by(order.slot.generation) {
            account.reset(order.slot.generation, order.deliveries.len());
        }
        let clock = self.common.clock.load();
        let mut flags = 0;
        for (wanted, flag) in [
            (order.from_subject, PolicyFlags::SOURCE),
            (order.to_subject, PolicyFlags::DESTINATION),
            (order.headers_only, PolicyFlags::HEADERS_ONLY),
        ] {
            if wanted {
                flags |= flag;
            }
        }
        let policy = SlotPolicy {
            start_ns: start_boot_ns(clock, order.start_utc_ns, 0),
            stop_ns: stop_boot_ns(clock, order.stop_utc_ns, 0, None),
            flags,
            generation: order.slot.generation,
            reserved: 0,
        };
        let baseline = zerocopy::transmute!(self.view.slot(order.slot.slot));
        self.kernel.tables().arm(order.slot.slot, &policy).map_err(|error| error.to_string())?;
        let slot = order.slot;
        tracing::info!(slot = slot.slot, generation = slot.generation, "armed");
        self.armed
            .insert(slot.slot, Armed { intercept, order, policy, phase: Phase::Armed, begun_told: false, baseline });
        self.tell(FromCapture::Armed { slot });
        Ok(())
    }

    fn disarm(&mut self, slot: SlotName, reason: EndReason) -> Result<(), String> {
        let Some(armed) = self.armed.get_mut(&slot.slot).filter(|armed| armed.order.slot == slot) else {
            return Err("the slot has another owner".to_owned());
        };
        if matches!(armed.phase, Phase::Draining { .. }) {
            self.tell(FromCapture::Disarmed { slot });
            return Ok(());
        }
        self.kernel.tables().disarm(slot.slot).map_err(|error| error.to_string())?;
        let since_ns = boot_now_ns();
        let at_utc_ns = self.common.clock.load().utc_ns(since_ns.min(armed.policy.stop_ns));
        tracing::info!(slot = slot.slot, ?reason, "disarmed");
        armed.phase = Phase::Draining { since_ns, at_utc_ns, reason };
        self.tell(FromCapture::Disarmed { slot });
        Ok(())
    }

    /// Looks whether somebody set the wall clock. A start that has not come is computed anew; a stop only gets earlier.
    fn watch_clock(&mut self) {
        let now = ClockOffset::sample();
        let by_ns = now.step_since(self.common.clock.load());
        self.common.clock.store(now);
        if by_ns.unsigned_abs() < STEP_NS {
            return;
        }
        tracing::warn!(by_ns, "the wall clock was set");
        let boot_now = boot_now_ns();
        for armed in self.armed.values_mut().filter(|armed| matches!(armed.phase, Phase::Armed)) {
            let slot = armed.order.slot.slot;
            armed.policy.stop_ns = stop_boot_ns(now, armed.order.stop_utc_ns, 0, Some(armed.policy.stop_ns));
            let adjusted = if armed.policy.start_ns > boot_now {
                armed.policy.start_ns = start_boot_ns(now, armed.order.start_utc_ns, 0);
                self.kernel.tables().arm(slot, &armed.policy)
            } else {
                // One that has begun is not written anew: not a packet is missed.
                self.kernel.tables().shorten(slot, armed.policy.stop_ns).map(drop)
            };
            if let Err(error) = adjusted {
                tracing::error!(slot, %error, "a window was not adjusted to the clock");
            }
        }
        self.tell(FromCapture::ClockStepped { by_ns });
    }

    /// Tells of intercepts that begin, and ends those whose time is over. The kernel has done both already.
    fn watch_windows(&mut self) {
        let now = boot_now_ns();
        let clock = self.common.clock.load();
        let mut expired = Vec::new();
        let mut begun = Vec::new();
        for armed in self.armed.values_mut().filter(|armed| matches!(armed.phase, Phase::Armed)) {
            if now >= armed.policy.stop_ns {
                expired.push(armed.order.slot);
            } else if now >= armed.policy.start_ns && !armed.begun_told {
                let at_utc_ns = clock.utc_ns(now);
                armed.intercept.begin(&self.outlets, &self.ledger, at_utc_ns);
                armed.begun_told = true;
                begun.push(FromCapture::Begun { slot: armed.order.slot, at_utc_ns });
            }
        }
        self.unsent.extend(begun.into_iter().map(|message| (message, false)));
        for slot in expired {
            if let Err(error) = self.disarm(slot, EndReason::Expired) {
                tracing::error!(slot = slot.slot, %error, "an intercept whose time is over is not disarmed");
            }
        }
    }

    /// Ends intercepts that are stopped once every worker has read past that moment.
    fn watch_drains(&mut self) {
        let read_until = self.read_until_ns();
        let drained: Vec<u16> = self
            .armed
            .iter()
            .filter(|(_, armed)| {
                matches!(armed.phase, Phase::Draining { since_ns, .. } if read_until >= since_ns.saturating_add(FLUSH_NS))
            })
            .map(|(slot, _)| *slot)
            .collect();
        if drained.is_empty() {
            return;
        }
        let mut snapshot = Intercepts::clone(&self.common.intercepts.load());
        for slot in drained {
            let Some(armed) = self.armed.remove(&slot) else { continue };
            if let Phase::Draining { at_utc_ns, reason, .. } = armed.phase {
                armed.intercept.end(&self.outlets, &self.ledger, at_utc_ns, reason);
                self.tell(FromCapture::Ended { slot: armed.order.slot, at_utc_ns, reason });
            }
            snapshot.remove(slot);
        }
        self.common.intercepts.store(Arc::new(snapshot));
    }

    /// Every frame stamped before this moment has been worked through.
    fn read_until_ns(&self) -> u64 {
        self.workers.iter().map(|worker| worker.progress.horizon_ns.load(Ordering::Acquire)).min().unwrap_or(0)
    }

    fn report(&self) -> CaptureReport {
        let queues = self
            .workers
            .iter()
            .map(|worker| {
                let statistics = worker.progress.statistics.load();
                QueueReport {
                    interface: worker.interface.clone(),
                    queue: worker.queue,
                    mode: worker.mode.clone(),
                    received: statistics.frames,
                    ring_lost: statistics.missing,
                    malformed: statistics.malformed,
                    kernel: KernelQueueFigures {
                        rx_dropped: statistics.dropped,
                        rx_invalid_descs: statistics.invalid_descriptors,
                        rx_ring_full: statistics.ring_full,
                        rx_fill_ring_empty_descs: statistics.fill_ring_empty,
                    },
                }
            })
            .collect();
        let isolation_violations =
            self.workers.iter().map(|worker| worker.progress.violations.load(Ordering::Relaxed)).sum();
        CaptureReport { queues, read_until_ns: self.read_until_ns(), isolation_violations }
    }
}
