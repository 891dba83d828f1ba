//! The keeper of the capture role: carries out control's instructions on the kernel's tables and on the workers'
//! snapshot, watches starts, stops and the clock, and tells control what happened.
//!
//! An intercept in force that gets other terms ([`amend`]) is never out of force. From `Arm` on the workers know the targets
//! of both orders and make content of a packet only if both allow it, and the kernel takes what both allow. With `Confirm`
//! the kernel takes what the new one allows; once nothing of the old one is in a ring any more, so do the workers.

mod amend;

mod inspect;

use super::guard::{Book, Guard};
use super::worker::{Common, WorkerThread};
use crate::ipc::{
    ArmedIntercept, ArmedTarget, BoundSelector, CaptureReport, Channel, ChannelError, EndReason, FoundSlot,
    FromCapture, Instruction, Inventory, KernelQueueFigures, Outbox, QueueReport, SlotClaim, SlotFigures, SlotName,
    ToCapture,
};
use crate::pipeline::{Intercept, Intercepts, Outlets, Recipient};
use crate::roles::FLUSH_NS;
use amend::Amendment;
use hashbrown::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use writ_abi::{Claim, Selector, SlotPolicy};
use writ_capture::{ClockOffset, ClockSettings, ClockState, boot_now_ns, start_boot_ns, stop_boot_ns};
use writ_capture::{CounterFds, CounterView};
use writ_capture::{Kernel, Polling};
use writ_spool::Ledger;

/// How long the keeper waits for a message before it looks at the clock.
const TICK: Duration = Duration::from_millis(10);
/// How often control gets figures.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A wall clock that is off by more than this from the one that the windows were reckoned with was set. Slewing does
/// not show here: it moves boot time alike.
const STEP_NS: u64 = 1_000_000;
/// Bytes of slots, and of what the tables hold, in one part of an inventory: both together below a channel's limit.
const INVENTORY_BYTES: usize = 60_000;
/// Bytes of a slot in an inventory, at most: ten figures of 21 bytes, a UUID and the names.
const SLOT_BYTES: usize = 400;

/// Where an intercept stands.
enum Phase {
    /// In the kernel; takes packets from its start on.
    Armed,
    /// Stopped in the kernel; what was taken before is still on its way.
    Draining { since_ns: u64, at_utc_ns: u64, reason: EndReason },
}

pub(super) struct Armed {
    intercept: Arc<Intercept>,
    /// As control has ordered it.
    order: ArmedIntercept,
    /// As its order has it.
    goal: SlotPolicy,
    /// As it stands in the kernel: the goal, or on the way there.
    policy: SlotPolicy,
    phase: Phase,
    /// Its order was changed, and not all of that is done.
    amendment: Option<Amendment>,
    /// When its interception began by UTC, as control was told.
    begun_utc_ns: Option<u64>,
    /// Nothing of its was refused.
    whole: bool,
    /// Where the slot's counters stood before.
    baseline: SlotFigures,
}

impl Armed {
    /// The policy that the kernel ought to hold; none once the slot is stopped.
    pub(super) fn in_force(&self) -> Option<SlotPolicy> {
        matches!(self.phase, Phase::Armed).then_some(self.policy)
    }
}

/// What an order means for its slot.
enum Prepared {
    /// It is in force as it is.
    Known,
    /// The slot gets an owner.
    New(Arc<Intercept>),
    /// The slot's owner gets other terms.
    Amended(Amendment),
}

impl Prepared {
    /// What the workers have to know before the kernel takes anything under the order.
    fn for_workers<'a>(&'a self, order: &'a ArmedIntercept) -> Option<(&'a Arc<Intercept>, &'a [ArmedTarget])> {
        match self {
            Self::Known => None,
            Self::New(intercept) => Some((intercept, &order.targets)),
            Self::Amended(amendment) => Some(amendment.meanwhile()),
        }
    }
}

/// What the keeper is made of.
pub(super) struct Parts {
    pub(super) probe_id: String,
    pub(super) recipients: Vec<Recipient>,
    pub(super) life: u32,
    pub(super) kernel: Kernel,
    pub(super) counters: CounterFds,
    pub(super) view: CounterView,
    pub(super) ledger: Arc<Ledger>,
    pub(super) outlets: Arc<Outlets>,
    pub(super) common: Arc<Common>,
    pub(super) workers: Vec<WorkerThread>,
    pub(super) control: Channel,
    pub(super) clock: ClockSettings,
}

/// See the module.
pub(super) struct Keeper {
    parts: Parts,
    armed: HashMap<u16, Armed>,
    /// What the kernel's tables hold.
    bound: HashMap<Selector, Vec<SlotClaim>>,
    /// Targets of intercepts that are to be armed.
    coming: HashMap<SlotName, Vec<ArmedTarget>>,
    /// The clock by which the windows in the kernel were reckoned.
    reckoned: ClockOffset,
    guard: Guard,
    /// Messages that control has not taken yet.
    unsent: Outbox<FromCapture>,
}

impl Keeper {
    pub(super) fn new(parts: Parts) -> Self {
        let reckoned = parts.common.clock.load();
        Self {
            parts,
            armed: HashMap::new(),
            bound: HashMap::new(),
            coming: HashMap::new(),
            reckoned,
            guard: Guard::new(),
            unsent: Outbox::new(),
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
            match self.parts.control.receive::<ToCapture>(TICK) {
                Ok(Some((message, _))) => self.obey(message),
                Ok(None) => {}
                Err(error @ ChannelError::Unreadable(_)) => {
                    tracing::error!(%error, "an instruction is not carried out");
                }
                Err(error) => return Err(error.into()),
            }
            self.watch_clock();
            self.watch_windows();
            self.complete_amendments(self.read_until_ns());
            self.end_drained(self.read_until_ns());
            self.guard.look(self.parts.kernel.tables(), &Book { bound: &self.bound, armed: &self.armed });
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                let foreign = self.guard.news();
                if !foreign.is_empty() {
                    self.tell(FromCapture::Foreign(foreign));
                }
                // Figures are worth nothing when they are old: one that cannot be sent now is not kept.
                let report = FromCapture::Report(self.report());
                self.flush();
                if self.unsent.is_empty()
                    && let Err(error) = self.parts.control.send(&report, &[])
                {
                    tracing::debug!(%error, "control takes no report");
                }
            }
            self.flush();
            if let Some(worker) = self.parts.workers.iter().position(WorkerThread::is_finished) {
                let worker = self.parts.workers.swap_remove(worker);
                anyhow::bail!(worker.join().err().unwrap_or_else(|| "a worker ended unasked".to_owned()));
            }
        }
        Ok(())
    }

    /// Detaches the program, lets the workers read what is in the rings, and ends them.
    pub(super) fn finish(mut self) {
        self.parts.kernel.detach();
        self.parts.common.stop.store(true, Ordering::Release);
        while !self.parts.workers.iter().all(WorkerThread::is_finished) {
            std::thread::sleep(TICK);
        }
        self.complete_amendments(u64::MAX);
        self.end_drained(u64::MAX);
        let report = CaptureReport { read_until_ns: u64::MAX, ..self.report() };
        self.tell(FromCapture::Report(report));
        for worker in self.parts.workers.drain(..) {
            if let Err(error) = worker.join() {
                tracing::error!(%error, "a worker ended badly");
            }
        }
        self.flush();
    }

    fn tell(&mut self, message: FromCapture) {
        self.unsent.push(message);
    }

    /// Sends what control has room for; the counters travel beside the first part of an inventory.
    fn flush(&mut self) {
        let Parts { control, counters, .. } = &self.parts;
        self.unsent.flush(control, |message| match message {
            FromCapture::Hello(part) if part.first => vec![counters.slots.as_fd(), counters.probe.as_fd()],
            _ => Vec::new(),
        });
    }

    /// Says what is in force, in as many parts as it takes, and hands over the counters with the first; then what of it has
    /// begun, once more: whoever asks may have heard it and died before it was on record.
    fn inventory(&mut self) {
        let slots: Vec<_> = self
            .armed
            .values()
            .map(|Armed { order, baseline, .. }| FoundSlot {
                slot: order.slot,
                warrant: order.warrant,
                revision: order.revision,
                baseline: *baseline,
            })
            .collect();
        let bound = self.bound.iter();
        let bound = bound.map(|(selector, claims)| BoundSelector { selector: *selector, claims: claims.clone() });
        for part in inventory_parts(self.parts.life, slots, bound) {
            self.tell(FromCapture::Hello(part));
        }
        let begun = |armed: &Armed| Some((armed.order.slot, armed.begun_utc_ns?));
        let begun: Vec<_> = self.armed.values().filter_map(begun).collect();
        for (slot, at_utc_ns) in begun {
            self.tell(FromCapture::Begun { slot, at_utc_ns });
        }
    }

    fn obey(&mut self, message: ToCapture) {
        match message {
            ToCapture::Hello => {
                self.coming.clear();
                self.inventory();
            }
            ToCapture::Apply { life, steps } if life == self.parts.life => self.apply(steps),
            ToCapture::Apply { life, .. } => tracing::info!(life, "instructions for a former capture role are left"),
            ToCapture::Inspect { slot } => {
                let inspection = self.inspect(slot);
                self.tell(FromCapture::Inspected(inspection));
            }
        }
    }

    fn apply(&mut self, instructions: Vec<Instruction>) {
        let instructions = self.gather(instructions);
        // First the workers' view, so that no hit comes whose intercept they do not know; then the kernel, in order.
        let mut snapshot: Option<Intercepts> = None;
        let mut fresh = HashMap::new();
        for instruction in &instructions {
            let Instruction::Arm(order) = instruction else { continue };
            match self.prepare(order) {
                Ok(prepared) => {
                    if let Some((intercept, targets)) = prepared.for_workers(order) {
                        let view =
                            snapshot.get_or_insert_with(|| Intercepts::clone(&self.parts.common.intercepts.load()));
                        view.insert(Arc::clone(intercept));
                        view.set_targets(order.slot.into(), targets.iter().copied());
                    }
                    fresh.insert(order.slot.slot, prepared);
                }
                Err(what) => self.tell(FromCapture::Refused { slots: vec![order.slot], what }),
            }
        }
        if let Some(snapshot) = snapshot {
            self.publish(snapshot);
        }
        for instruction in instructions {
            let slots = match &instruction {
                Instruction::Arm(order) => vec![order.slot],
                Instruction::Disarm { slot, .. } | Instruction::Confirm { slot } => vec![*slot],
                Instruction::Bind(bound) => bound.claims.iter().map(|claim| claim.slot).collect(),
                Instruction::Targets { .. } | Instruction::Unbind { .. } => Vec::new(),
            };
            if let Err(what) = self.step(instruction, &mut fresh) {
                tracing::error!(slots = ?slots, error = %what, "an instruction failed");
                for slot in &slots {
                    if let Some(armed) = self.armed.get_mut(&slot.slot).filter(|armed| armed.order.slot == *slot) {
                        armed.whole = false;
                    }
                }
                self.tell(FromCapture::Refused { slots, what });
            }
        }
    }

    fn publish(&self, snapshot: Intercepts) {
        publish(&self.parts.common, snapshot);
    }

    /// What an order means for its slot. Nothing is done yet.
    fn prepare(&self, order: &ArmedIntercept) -> Result<Prepared, String> {
        match self.armed.get(&order.slot.slot).filter(|armed| armed.order.slot == order.slot) {
            // Control came back and says all it knows: nothing is to be done, least of all to what is in force.
            Some(armed) if armed.order == *order => Ok(Prepared::Known),
            Some(armed) => self.prepare_amendment(armed, order).map(Prepared::Amended),
            None => {
                let intercept = Intercept::new(order, &self.parts.probe_id, &self.parts.recipients)
                    .map_err(|error| error.to_string())?;
                Ok(Prepared::New(Arc::new(intercept)))
            }
        }
    }

    /// Puts the targets that came in parts together with the orders that they belong to.
    fn gather(&mut self, instructions: Vec<Instruction>) -> Vec<Instruction> {
        let mut gathered = Vec::new();
        for instruction in instructions {
            match instruction {
                Instruction::Targets { slot, targets } => self.coming.entry(slot).or_default().extend(targets),
                Instruction::Arm(mut order) => {
                    if let Some(mut targets) = self.coming.remove(&order.slot) {
                        targets.append(&mut order.targets);
                        order.targets = targets;
                    }
                    gathered.push(Instruction::Arm(order));
                }
                other => gathered.push(other),
            }
        }
        gathered
    }

    fn step(&mut self, instruction: Instruction, fresh: &mut HashMap<u16, Prepared>) -> Result<(), String> {
        match instruction {
            Instruction::Arm(order) => match fresh.remove(&order.slot.slot) {
                Some(Prepared::Known) => {
                    self.armed.entry(order.slot.slot).and_modify(|armed| armed.whole = true);
                    Ok(())
                }
                Some(Prepared::New(intercept)) => self.arm(*order, intercept),
                Some(Prepared::Amended(amended)) => self.amend(*order, amended),
                // Refused above.
                None => Ok(()),
            },
            // Gathered before.
            Instruction::Targets { .. } => Ok(()),
            Instruction::Bind(BoundSelector { selector, claims }) => {
                let told: Vec<Claim> = claims.iter().map(|claim| (*claim).into()).collect();
                self.parts.kernel.tables().bind(selector, &told).map_err(|error| error.to_string())?;
                self.bound.insert(selector, claims);
                Ok(())
            }
            Instruction::Unbind { selector } => {
                self.parts.kernel.tables().unbind(selector).map_err(|error| error.to_string())?;
                self.bound.remove(&selector);
                Ok(())
            }
            Instruction::Confirm { slot } => self.confirm(slot),
            Instruction::Disarm { slot, reason } => self.disarm(slot, reason),
        }
    }

    fn confirm(&mut self, slot: SlotName) -> Result<(), String> {
        let armed = self.armed.get_mut(&slot.slot).filter(|armed| armed.order.slot == slot && armed.whole);
        let Some(armed) = armed.filter(|armed| matches!(armed.phase, Phase::Armed)) else { return Ok(()) };
        if armed.amendment.is_some() {
            // Said once it is so.
            return self.apply_amendment(slot);
        }
        let revision = armed.order.revision;
        self.tell(FromCapture::Armed { slot, revision });
        Ok(())
    }

    fn arm(&mut self, order: ArmedIntercept, intercept: Arc<Intercept>) -> Result<(), String> {
        let account = self.parts.ledger.slot(order.slot.slot).ok_or("no such slot in the ledger")?;
        // The same owner again: this process took the place of one that died, and its figures go on.
        if !account.is_owned_by(order.slot.generation) {
            account.reset(order.slot.generation, order.deliveries.len());
            account.set_owner(order.warrant.as_u128());
        }
        let clock = self.parts.common.clock.load();
        let doubt_ns = self.clock_doubt_ns();
        let policy = SlotPolicy {
            start_ns: start_boot_ns(clock, order.start_utc_ns, 0),
            stop_ns: account.stop_no_later(order.stop_utc_ns, stop_boot_ns(clock, order.stop_utc_ns, doubt_ns, None)),
            flags: order.policy_flags(),
            generation: order.slot.generation,
            reserved: 0,
        };
        let baseline = self.parts.view.slot(order.slot.slot).into();
        self.parts.kernel.tables().arm(order.slot.slot, &policy).map_err(|error| error.to_string())?;
        let slot = order.slot;
        tracing::info!(slot = slot.slot, generation = slot.generation, "armed");
        let (phase, amendment) = (Phase::Armed, None);
        let armed = Armed {
            intercept,
            order,
            goal: policy,
            policy,
            phase,
            amendment,
            begun_utc_ns: None,
            whole: true,
            baseline,
        };
        self.armed.insert(slot.slot, armed);
        Ok(())
    }

    fn disarm(&mut self, slot: SlotName, reason: EndReason) -> Result<(), String> {
        let held = self.armed.get_mut(&slot.slot).filter(|armed| armed.order.slot == slot);
        let Some(armed) = held.filter(|armed| matches!(armed.phase, Phase::Armed)) else {
            // Its time was over before control said so.
            self.tell(FromCapture::Disarmed { slot });
            return Ok(());
        };
        self.parts.kernel.tables().disarm(slot.slot).map_err(|error| error.to_string())?;
        if self.parts.recipients.iter().any(|recipient| recipient.summaries().is_some()) {
            let mut snapshot = Intercepts::clone(&self.parts.common.intercepts.load());
            snapshot.set_ending(slot.into());
            publish(&self.parts.common, snapshot);
        }
        // Behind that: who has read past this moment knows of it.
        let since_ns = boot_now_ns();
        let at_utc_ns = self.parts.common.clock.load().utc_ns(since_ns.min(armed.policy.stop_ns));
        tracing::info!(slot = slot.slot, ?reason, "disarmed");
        armed.phase = Phase::Draining { since_ns, at_utc_ns, reason };
        self.tell(FromCapture::Disarmed { slot });
        Ok(())
    }

    /// How far the clock may be from UTC: stops are that much earlier.
    fn clock_doubt_ns(&self) -> u64 {
        self.parts.clock.doubt_ns(ClockState::measure().ok())
    }

    /// Looks whether somebody set the wall clock. A start that has not come is computed anew; a stop only gets earlier.
    fn watch_clock(&mut self) {
        let now = ClockOffset::sample();
        self.parts.common.clock.store(now);
        // Against the clock that was last reckoned with, not the last look: small steps add up.
        let by_ns = now.step_since(self.reckoned);
        if by_ns.unsigned_abs() < STEP_NS {
            return;
        }
        self.reckoned = now;
        tracing::warn!(by_ns, "the wall clock was set");
        let boot_now = boot_now_ns();
        let doubt_ns = self.clock_doubt_ns();
        for armed in self.armed.values_mut().filter(|armed| matches!(armed.phase, Phase::Armed)) {
            let slot = armed.order.slot.slot;
            armed.goal.stop_ns = stop_boot_ns(now, armed.order.stop_utc_ns, doubt_ns, Some(armed.goal.stop_ns));
            armed.policy.stop_ns = armed.policy.stop_ns.min(armed.goal.stop_ns);
            if let Some(account) = self.parts.ledger.slot(slot) {
                account.stop_no_later(armed.order.stop_utc_ns, armed.goal.stop_ns);
            }
            let is_ahead = armed.goal.start_ns > boot_now;
            if is_ahead {
                armed.goal.start_ns = start_boot_ns(now, armed.order.start_utc_ns, 0);
            }
            let is_on_the_way = armed.amendment.as_ref().is_some_and(|amendment| !amendment.is_applied());
            let adjusted = if is_ahead && !is_on_the_way {
                armed.policy = armed.goal;
                self.parts.kernel.tables().arm(slot, &armed.policy)
            } else {
                // One that has begun is not written anew: not a packet is missed.
                self.parts.kernel.tables().shorten(slot, armed.policy.stop_ns).map(drop)
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
        let clock = self.parts.common.clock.load();
        let mut expired = Vec::new();
        let mut begun = Vec::new();
        for armed in self.armed.values_mut().filter(|armed| matches!(armed.phase, Phase::Armed)) {
            if now >= armed.policy.stop_ns {
                expired.push(armed.order.slot);
            } else if now >= armed.policy.start_ns && armed.begun_utc_ns.is_none() {
                let at_utc_ns = clock.utc_ns(now);
                armed.intercept.begin(&self.parts.outlets, &self.parts.ledger, at_utc_ns);
                armed.begun_utc_ns = Some(at_utc_ns);
                begun.push(FromCapture::Begun { slot: armed.order.slot, at_utc_ns });
            }
        }
        for message in begun {
            self.tell(message);
        }
        for slot in expired {
            if let Err(error) = self.disarm(slot, EndReason::Expired) {
                tracing::error!(slot = slot.slot, %error, "an intercept whose time is over is not disarmed");
            }
        }
    }

    /// Ends intercepts that are stopped once every worker has read past that moment.
    fn end_drained(&mut self, read_until: u64) {
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
        let mut snapshot = Intercepts::clone(&self.parts.common.intercepts.load());
        for slot in drained {
            let Some(armed) = self.armed.remove(&slot) else { continue };
            if let Phase::Draining { at_utc_ns, reason, .. } = armed.phase {
                armed.intercept.end(&self.parts.outlets, &self.parts.ledger, at_utc_ns, reason);
                self.tell(FromCapture::Ended { slot: armed.order.slot, at_utc_ns, reason });
            }
            snapshot.remove(slot);
        }
        self.publish(snapshot);
    }

    /// Every frame stamped before this moment has been worked through.
    fn read_until_ns(&self) -> u64 {
        self.parts.workers.iter().map(|worker| worker.progress.horizon_ns.load(Ordering::Acquire)).min().unwrap_or(0)
    }

    fn report(&self) -> CaptureReport {
        let queues = self
            .parts
            .workers
            .iter()
            .map(|worker| {
                let statistics = worker.progress.statistics.load();
                let polling = match statistics.polling {
                    Polling::Off => "",
                    Polling::Unlinked => ", busy poll (no NAPI known)",
                    Polling::On => ", busy poll",
                };
                QueueReport {
                    interface: worker.interface.clone(),
                    queue: worker.queue,
                    mode: format!("{}{polling}", worker.mode),
                    received: statistics.frames,
                    ring_lost: statistics.missing,
                    malformed: statistics.malformed,
                    duplicates: worker.progress.duplicates.load(Ordering::Relaxed),
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
            self.parts.workers.iter().map(|worker| worker.progress.violations.load(Ordering::Relaxed)).sum();
        CaptureReport {
            queues,
            read_until_ns: self.read_until_ns(),
            isolation_violations,
            foreign_entries: self.guard.count(),
        }
    }
}

/// An inventory, cut into parts that fit into messages. There is always one, if of nothing.
/// What the workers work with from their next batch on.
fn publish(common: &Common, snapshot: Intercepts) {
    let following = snapshot.following(&common.intercepts.load());
    common.intercepts.store(Arc::new(following));
}

fn inventory_parts(life: u32, slots: Vec<FoundSlot>, bound: impl Iterator<Item = BoundSelector>) -> Vec<Inventory> {
    let mut slots = filled(slots.into_iter(), |_| SLOT_BYTES).into_iter();
    let mut bound = filled(bound, BoundSelector::bytes).into_iter();
    let count = slots.len().max(bound.len()).max(1);
    (0..count)
        .map(|part| Inventory {
            life,
            first: part == 0,
            last: part + 1 == count,
            slots: slots.next().unwrap_or_default(),
            bound: bound.next().unwrap_or_default(),
        })
        .collect()
}

/// All of the items in their order, as many in each list as have room in half a message.
fn filled<T>(items: impl Iterator<Item = T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut lists: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let needed = bytes(&item);
        match lists.last_mut() {
            Some(list) if needed <= room => list.push(item),
            _ => {
                lists.push(vec![item]);
                room = INVENTORY_BYTES;
            }
        }
        room = room.saturating_sub(needed);
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::longest_target;
    use uuid::Uuid;
    use writ_abi::MacAddress;

    #[test]
    fn an_inventory_of_a_full_table_travels_whole() {
        let name = SlotName { slot: u16::MAX, generation: u16::MAX };
        let baseline = SlotFigures([u64::MAX; SlotFigures::COUNT]);
        let found = FoundSlot { slot: name, warrant: Uuid::from_u128(u128::MAX), revision: u32::MAX, baseline };
        let claims = |condition| vec![SlotClaim { slot: name, condition }; 8];
        let longest = longest_target();
        let entries: Vec<_> = (0..5000u16)
            .map(|number| match number % 3 {
                0 => BoundSelector { selector: longest.selector, claims: claims(longest.condition) },
                1 => BoundSelector { selector: Selector::Mac(MacAddress([254; 6])), claims: claims(None) },
                _ => BoundSelector { selector: longest.selector, claims: claims(None) },
            })
            .collect();
        let parts = inventory_parts(u32::MAX, vec![found; 1024], entries.iter().cloned());
        let (mut slots, mut bound) = (0, Vec::new());
        let (here, there) = Channel::pair().unwrap();
        for (number, part) in parts.iter().enumerate() {
            assert_eq!((part.first, part.last), (number == 0, number + 1 == parts.len()));
            here.send(&FromCapture::Hello(part.clone()), &[]).unwrap();
            let (message, _) = there.receive::<FromCapture>(Duration::ZERO).unwrap().unwrap();
            let FromCapture::Hello(arrived) = message else { panic!("{message:?}") };
            slots += arrived.slots.len();
            bound.extend(arrived.bound);
        }
        assert_eq!((slots, bound == entries), (1024, true));
        let nothing = inventory_parts(0, Vec::new(), std::iter::empty());
        assert!(matches!(&nothing[..], [Inventory { first: true, last: true, .. }]));
    }
}
