//! The intercepts of this probe as control sees them: who has which slot, what the capture role has confirmed, and what
//! it must be told. The goal is computed anew from the warrants in force each time; what differs goes to capture.

use super::counts::{KernelCount, counts};
use super::order::{order, order_in_force};
use super::outgoing::Outgoing;
use crate::config::Config;
use crate::ipc::{
    ArmedIntercept, BoundSelector, CaptureReport, Channel, EndReason, Instruction, InterceptCounts, Inventory,
    SlotClaim, SlotFigures, SlotName,
};
use hashbrown::{HashMap, HashSet};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use uuid::Uuid;
use writ_abi::{Claim, SlotRef};
use writ_authority::{Case, Force, Register};
use writ_capture::{CounterView, boot_now_ns};
use writ_identity::{Change, Desired, FixedAddresses, LeftOut, SlotTable, Tenant, difference, reconcile};
use writ_spool::{Ledger, SlotAccount};

/// How long the last PDUs of an ended intercept may take before its final figures are recorded as they stand.
const SETTLE: Duration = Duration::from_secs(5);

/// Of a warrant in force.
const NO_DESTINATION: &str =
    "a warrant in force names a destination that the configuration does not have: it is not carried out";

/// Where an intercept stands, as far as the capture role has confirmed it. It only ever goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// Capture has been told.
    Told,
    /// In the kernel, with all its addresses.
    Armed,
    /// Its window has begun.
    Begun,
    /// The kernel takes nothing more; what was taken is on its way.
    Disarmed,
    /// Drained; final figures follow.
    Ended,
}

/// An intercept that has a slot.
pub(super) struct Tenancy {
    pub(super) order: ArmedIntercept,
    pub(super) progress: Progress,
    /// The revision that capture has confirmed.
    confirmed: Option<u32>,
    kernel: KernelCount,
    /// Why and since when it is over.
    ending: Option<(EndReason, Instant)>,
    /// When the kernel took the last packet at the latest, by capture's word.
    ended_at: Option<Timestamp>,
    /// The final figures are in the audit log; the slot waits for its last PDUs to be acknowledged.
    recorded: bool,
    /// Found in the ledger or with the capture role, from before this control role's start.
    recalled: bool,
}

impl Tenancy {
    /// Whether its end is in the audit log already.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded
    }
}

/// A step that capture has confirmed.
pub(super) struct Step {
    pub(super) warrant: Uuid,
    /// Whether it is news, and not said again after a restart.
    pub(super) is_new: bool,
}

/// An intercept whose final figures are due.
pub(super) struct Final {
    pub(super) warrant: Uuid,
    pub(super) slot: SlotName,
    pub(super) reason: EndReason,
    /// When the kernel took the last packet at the latest.
    pub(super) at: Timestamp,
    pub(super) counts: InterceptCounts,
}

/// See the module.
pub(super) struct Intercepts {
    slots: SlotTable,
    current: Desired,
    tenancies: HashMap<u16, Tenancy>,
    view: Option<CounterView>,
    /// Which capture process the view and the current state belong to; none before the first word from one.
    life: Option<u32>,
    /// What that process has said so far of what it holds. Nothing is worked out before it has said all.
    inventory: Option<Inventory>,
    /// Whether it has said all.
    met: bool,
    outgoing: Outgoing,
}

impl Intercepts {
    /// Starts from what the ledger remembers: a control role before this one may have died, or the whole probe
    /// (`is_first`: there was none before in this run), whose capture role is gone with all that was in its rings.
    pub(super) fn new(channel: Channel, ledger: &Ledger, register: &Register, config: &Config, is_first: bool) -> Self {
        let mut intercepts = Self {
            slots: SlotTable::new(config.tables.slots),
            current: Desired::default(),
            tenancies: HashMap::new(),
            view: None,
            life: None,
            inventory: None,
            met: false,
            outgoing: Outgoing::new(channel),
        };
        for slot in 0..config.tables.slots {
            let Some(account) = ledger.slot(slot) else { continue };
            let Some(generation) = account.generation() else { continue };
            let found = SlotRef { slot, generation };
            let recalled = account
                .owner()
                .is_some_and(|owner| intercepts.recall(found, Uuid::from_u128(owner), account, register, config));
            if is_first && let Some(tenancy) = intercepts.tenancies.get_mut(&slot) {
                tenancy.kernel.close_life(slot, None, account.seen());
                account.keep_former(tenancy.kernel.former());
            }
            // The next owner must not be taken for the last one.
            if !recalled && intercepts.slots.adopt(found, None).is_ok() {
                intercepts.slots.drained(found);
            }
        }
        intercepts
    }

    /// Takes up an intercept from before this control role's start. Whether its warrant is still in force shows later;
    /// if it is not, it is ended in due form.
    fn recall(
        &mut self,
        slot: SlotRef,
        warrant: Uuid,
        account: SlotAccount<'_>,
        register: &Register,
        config: &Config,
    ) -> bool {
        // The last revision that was approved: if it is another that the slot has, it is told so when all is reconciled.
        let Some(revision) = register.case(warrant).and_then(Case::latest) else { return false };
        let terms = revision.warrant.warrant();
        if self.slots.adopt(slot, Some(warrant)).is_err() {
            return false;
        }
        let Some(order) = order(terms, terms.window(), slot, config) else {
            // Its slot is kept for it.
            tracing::error!(slot = slot.slot, "{NO_DESTINATION}");
            return true;
        };
        let tenancy = Tenancy {
            order,
            progress: Progress::Told,
            confirmed: None,
            kernel: KernelCount::resume(slot.slot, SlotFigures::default(), account.former(), None, account.seen()),
            ending: None,
            ended_at: None,
            recorded: false,
            recalled: true,
        };
        self.tenancies.insert(slot.slot, tenancy);
        true
    }

    /// The counters, while a capture role has handed them over.
    pub(super) fn view(&self) -> Option<&CounterView> {
        self.view.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tenancy> {
        self.tenancies.values()
    }

    /// The intercept of a warrant, while it has a slot.
    pub(super) fn of_warrant(&self, warrant: Uuid) -> Option<&Tenancy> {
        self.tenancies.values().find(|tenancy| tenancy.order.warrant == warrant)
    }

    /// The intercept that has a slot.
    pub(super) fn of_slot(&self, slot: u16) -> Option<&Tenancy> {
        self.tenancies.get(&slot)
    }

    /// Asks capture what the kernel holds of a slot.
    pub(super) fn inspect(&mut self, slot: u16) {
        self.outgoing.inspect(slot);
        self.flush();
    }

    /// Whether the kernel takes nothing for a warrant, by the word of a capture role that has said all it holds.
    pub(super) fn is_stopped(&self, warrant: Uuid) -> bool {
        self.met && self.of_warrant(warrant).is_none_or(|tenancy| tenancy.progress >= Progress::Disarmed)
    }

    /// Whether one more warrant would find a slot, room in the tables and room at its addresses; or a revision of one that is
    /// in force, which for a moment needs room for the targets of both.
    pub(super) fn has_room(&self, candidate: &Force, in_force: &[Force], config: &Config) -> Result<(), String> {
        let mut slots = self.slots.clone();
        let mut tenants = Vec::new();
        // A revision takes the place of what is in force.
        for stored in in_force.iter().filter(|it| it.uuid != candidate.uuid) {
            if let Ok(slot) = slots.allocate(stored.uuid) {
                tenants.push(Tenant::in_force(slot, stored, &FixedAddresses));
            }
        }
        let before = reconcile(&tenants, config.room()).left_out;
        let slot =
            slots.allocate(candidate.uuid).map_err(|error| format!("{error} (tables.slots of the configuration)"))?;
        let mut candidate = Tenant::in_force(slot, candidate, &FixedAddresses);
        match tenants.iter_mut().find(|tenant| tenant.slot() == slot) {
            Some(revised) => {
                candidate = candidate.beside(revised);
                *revised = candidate;
            }
            None => tenants.push(candidate),
        }
        // A revision keeps its place before those that came later, and must not take theirs.
        let after = reconcile(&tenants, config.room()).left_out;
        let is_new = |left_out: &&LeftOut| left_out.slot == slot || !before.iter().any(|it| it.slot == left_out.slot);
        after.iter().find(is_new).map_or(Ok(()), |it| Err(it.to_string()))
    }

    /// Computes what the kernel should hold and tells capture the difference. While the probe is held nothing is put into
    /// the kernel that is not there.
    pub(super) fn reconcile(
        &mut self,
        in_force: &[Force],
        ended: impl Fn(Uuid) -> EndReason,
        is_held: bool,
        config: &Config,
    ) {
        if !self.met {
            // What the capture role holds from before is not known yet.
            return;
        }
        let gone: Vec<Uuid> = self
            .tenancies
            .values()
            .filter(|tenancy| tenancy.ending.is_none())
            .map(|tenancy| tenancy.order.warrant)
            .filter(|uuid| !in_force.iter().any(|stored| stored.uuid == *uuid))
            .collect();
        for uuid in gone {
            if let Some(slot) = self.slots.release(uuid)
                && let Some(tenancy) = self.tenancies.get_mut(&slot.slot)
            {
                tenancy.ending = Some((ended(uuid), Instant::now()));
            }
        }
        let mut tenants = Vec::new();
        for stored in in_force {
            let uuid = stored.uuid;
            let is_there = self.of_warrant(uuid).is_some_and(|tenancy| tenancy.progress >= Progress::Armed);
            if is_held && !is_there {
                continue;
            }
            match self.slots.allocate(uuid) {
                Ok(slot) => {
                    let Some(order) = order_in_force(stored, slot, config) else {
                        tracing::error!(slot = slot.slot, "{NO_DESTINATION}");
                        continue;
                    };
                    if let Some(tenancy) = self.tenancies.get_mut(&slot.slot) {
                        // A revision takes the place of the one before: same slot, same account.
                        tenancy.order = order;
                    } else {
                        let tenancy = Tenancy {
                            order,
                            progress: Progress::Told,
                            confirmed: None,
                            kernel: KernelCount::begin(slot.slot, self.view.as_ref()),
                            ending: None,
                            ended_at: None,
                            recorded: false,
                            recalled: false,
                        };
                        self.tenancies.insert(slot.slot, tenancy);
                    }
                    tenants.push(Tenant::in_force(slot, stored, &FixedAddresses));
                }
                Err(error) => tracing::error!(%error, "a warrant in force has no slot"),
            }
        }
        let reconciled = reconcile(&tenants, config.room());
        for left_out in &reconciled.left_out {
            tracing::error!(slot = left_out.slot.slot, error = %left_out, "a warrant in force is not carried out");
        }
        let desired = reconciled.desired;
        let found = self.inventory.take();
        let stops = found.as_ref().map(|found| self.superfluous(found, &desired)).unwrap_or_default();
        if let Some(found) = found {
            let claims = |claims: Vec<SlotClaim>| claims.into_iter().map(Claim::from).collect();
            self.current = Desired::found(found.bound.into_iter().map(|it| (it.selector, claims(it.claims))).collect());
        }
        let changes = difference(&self.current, &desired).into_iter().filter_map(|change| self.instruction(change));
        let steps = stops.into_iter().chain(changes).collect();
        self.current = desired;
        self.queue(steps);
        self.flush();
    }

    /// The slots that a capture role holds from before and must let go. Those that it is to hold it is told anyway; what
    /// of that it has already stays as it is, without a moment's gap.
    fn superfluous(&self, found: &Inventory, desired: &Desired) -> Vec<Instruction> {
        let wanted: HashSet<SlotName> = desired.slots().map(|(slot, _)| slot.into()).collect();
        let mut stops = Vec::new();
        for slot in found.slots.iter().map(|found| found.slot).filter(|slot| !wanted.contains(slot)) {
            let owner = self.tenancies.get(&slot.slot).filter(|tenancy| tenancy.order.slot == slot);
            let reason = owner.and_then(|tenancy| tenancy.ending).map_or(EndReason::Superseded, |(reason, _)| reason);
            stops.push(Instruction::Disarm { slot, reason });
        }
        // Intercepts that ended while nobody held them: this capture role tells the agency. No address leads to them.
        for tenancy in self.tenancies.values() {
            if let Some((reason, _)) = tenancy.ending
                && tenancy.progress != Progress::Ended
                && !found.slots.iter().any(|found| found.slot == tenancy.order.slot)
            {
                stops.push(Instruction::Arm(Box::new(tenancy.order.clone())));
                stops.push(Instruction::Disarm { slot: tenancy.order.slot, reason });
            }
        }
        stops
    }

    fn instruction(&self, change: Change) -> Option<Instruction> {
        Some(match change {
            Change::Arm { slot, .. } => Instruction::Arm(Box::new(self.tenancies.get(&slot.slot)?.order.clone())),
            Change::Complete(slot) => Instruction::Confirm { slot: slot.into() },
            Change::Stop(slot) => {
                let reason = self.tenancies.get(&slot.slot)?.ending.map_or(EndReason::Superseded, |(reason, _)| reason);
                Instruction::Disarm { slot: slot.into(), reason }
            }
            Change::Bind { selector, claims } => {
                Instruction::Bind(BoundSelector { selector, claims: claims.iter().map(SlotClaim::from).collect() })
            }
            Change::Unbind(selector) => Instruction::Unbind { selector },
        })
    }

    fn queue(&mut self, instructions: Vec<Instruction>) {
        if let Some(life) = self.life {
            self.outgoing.queue(life, instructions);
        }
    }

    /// Sends what capture has room for; the rest waits for it.
    pub(super) fn flush(&mut self) {
        self.outgoing.flush();
    }

    /// A capture role says what it has, in parts; `view` comes with the first. Once all is said,
    /// [`Intercepts::reconcile`] tells it what differs.
    pub(super) fn meet(
        &mut self,
        part: Inventory,
        view: Option<CounterView>,
        ledger: &Ledger,
        register: &Register,
        config: &Config,
    ) {
        if part.first {
            let (is_unknown, is_another) = (self.life.is_none(), self.life.is_some_and(|life| life != part.life));
            for (slot, tenancy) in &mut self.tenancies {
                let Some(account) = ledger.slot(*slot) else { continue };
                if is_another {
                    tenancy.kernel.close_life(*slot, self.view.as_ref(), account.seen());
                    account.keep_current(Default::default());
                    account.keep_former(tenancy.kernel.former());
                    tenancy.recalled = false;
                } else if tenancy.recalled && is_unknown {
                    // If this process had it, it has it no more: what its table counted is counted. Not so when it says
                    // the same again, as to each greeting: by then it may have been told, and be counting.
                    let now = view.as_ref().map(|view| view.slot(*slot)).unwrap_or_default();
                    let baseline = SlotFigures::from(now);
                    let (former, seen) = (account.former(), account.seen());
                    tenancy.kernel = KernelCount::resume(*slot, baseline, former, view.as_ref(), seen);
                }
            }
            self.view = view;
            self.life = Some(part.life);
            self.met = false;
            // Whatever it has, it is told everything again: what it has already stays untouched.
            self.current = Desired::default();
            self.outgoing.forget_instructions();
        }
        for found in &part.slots {
            let Some(account) = ledger.slot(found.slot.slot) else { continue };
            if !self.tenancies.contains_key(&found.slot.slot) {
                self.recall(found.slot.into(), found.warrant, account, register, config);
            }
            let tenancy = self.tenancies.get_mut(&found.slot.slot);
            if let Some(tenancy) = tenancy.filter(|it| it.recalled && it.order.slot == found.slot) {
                let (slot, former, seen) = (found.slot.slot, account.former(), account.seen());
                tenancy.kernel = KernelCount::resume(slot, found.baseline, former, self.view.as_ref(), seen);
                // What is not on record is news when capture confirms it: this role died before it could write it down.
                let case = register.case(found.warrant);
                let has_begun = case.and_then(Case::begun).is_some();
                tenancy.progress = tenancy.progress.max(if has_begun { Progress::Begun } else { Progress::Armed });
                tenancy.confirmed = case.and_then(Case::enabled).map(|_| found.revision);
            }
        }
        self.met = part.last;
        match &mut self.inventory {
            Some(inventory) if !part.first => {
                inventory.slots.extend(part.slots);
                inventory.bound.extend(part.bound);
            }
            inventory => *inventory = Some(part),
        }
    }

    /// Capture confirms that a revision is in force whole. Nothing if it is not the latest that it was told.
    pub(super) fn armed(&mut self, slot: SlotName, revision: u32, ledger: &Ledger) -> Option<Step> {
        let tenancy = self.tenancies.get_mut(&slot.slot)?;
        if tenancy.order.slot != slot || tenancy.order.revision != revision {
            return None;
        }
        let is_another = tenancy.confirmed.replace(revision) != Some(revision);
        let step = self.advance(slot, Progress::Armed, ledger)?;
        Some(Step { is_new: step.is_new || is_another, ..step })
    }

    /// Capture confirms a step.
    pub(super) fn advance(&mut self, slot: SlotName, progress: Progress, ledger: &Ledger) -> Option<Step> {
        let tenancy = self.tenancies.get_mut(&slot.slot).filter(|tenancy| tenancy.order.slot == slot)?;
        let is_new = progress > tenancy.progress;
        // A confirmation repeated after a restart takes nothing back.
        tenancy.progress = tenancy.progress.max(progress);
        if is_new && progress == Progress::Ended {
            let seen = ledger.slot(slot.slot).map_or(0, |account| account.seen());
            tenancy.kernel.finish(slot.slot, self.view.as_ref(), seen);
        }
        Some(Step { warrant: tenancy.order.warrant, is_new })
    }

    /// Capture's kernel ended an intercept by itself: its time is over.
    pub(super) fn note_ending(&mut self, slot: SlotName, reason: EndReason, at: Timestamp) {
        if let Some(tenancy) = self.tenancies.get_mut(&slot.slot).filter(|tenancy| tenancy.order.slot == slot) {
            tenancy.ended_at.get_or_insert(at);
            if tenancy.ending.is_none() {
                tenancy.ending = Some((reason, Instant::now()));
                self.slots.release(tenancy.order.warrant);
            }
        }
    }

    /// The stop that a slot's terms had: UTC, nanoseconds since 1970.
    pub(super) fn stop_of(&self, slot: SlotName) -> Option<u64> {
        let tenancy = self.tenancies.get(&slot.slot).filter(|tenancy| tenancy.order.slot == slot)?;
        Some(tenancy.order.stop_utc_ns)
    }

    /// Books losses in the ring, once the workers have read past them.
    pub(super) fn settle(&mut self, report: &CaptureReport, ledger: &Ledger) {
        let now = boot_now_ns();
        for (slot, tenancy) in &mut self.tenancies {
            if tenancy.progress != Progress::Ended {
                let account = ledger.slot(*slot);
                let seen = account.map_or(0, |account| account.seen());
                if let Some(account) = account.filter(|it| it.is_owned_by(tenancy.order.slot.generation)) {
                    account.keep_current(tenancy.kernel.current(*slot, self.view.as_ref()));
                }
                if report.read_until_ns == u64::MAX {
                    tenancy.kernel.finish(*slot, self.view.as_ref(), seen);
                } else {
                    tenancy.kernel.settle(*slot, self.view.as_ref(), seen, now, report.read_until_ns);
                }
            }
        }
    }

    /// The account of an intercept.
    pub(super) fn counts(&self, tenancy: &Tenancy, ledger: &Ledger, config: &Config) -> InterceptCounts {
        counts(config, &tenancy.order, &tenancy.kernel, self.view.as_ref(), ledger)
    }

    /// Intercepts whose final figures are due; and gives their slots back once nothing of theirs waits.
    pub(super) fn finished(&mut self, ledger: &Ledger, config: &Config) -> Vec<Final> {
        let mut due = Vec::new();
        let mut free = Vec::new();
        for (slot, tenancy) in &self.tenancies {
            let Some((reason, since)) = tenancy.ending.filter(|_| tenancy.progress == Progress::Ended) else {
                continue;
            };
            if let Some(account) = ledger.slot(*slot) {
                account.close_memos();
            }
            let counts = self.counts(tenancy, ledger, config);
            let waiting = counts.deliveries.iter().any(|delivery| delivery.waiting_cmii + delivery.waiting_cmc > 0);
            if !tenancy.recorded && (!waiting || since.elapsed() > SETTLE) {
                let at = tenancy.ended_at.unwrap_or_else(Timestamp::now);
                due.push(Final { warrant: tenancy.order.warrant, slot: tenancy.order.slot, reason, at, counts });
            }
            if !waiting && (tenancy.recorded || due.iter().any(|last| last.slot == tenancy.order.slot)) {
                // Not before the last digests of what was delivered are written.
                if ledger.slot(*slot).is_none_or(|account| account.has_no_memos()) {
                    free.push(*slot);
                }
            }
        }
        for last in &due {
            if let Some(tenancy) = self.tenancies.get_mut(&last.slot.slot) {
                tenancy.recorded = true;
            }
        }
        for slot in free {
            if let Some(tenancy) = self.tenancies.remove(&slot) {
                self.slots.drained(tenancy.order.slot.into());
                if let Some(account) = ledger.slot(slot) {
                    account.give_back();
                }
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{FoundSlot, ToCapture};
    use ipnet::IpNet;
    use writ_abi::Selector;
    use writ_authority::ProbeIdentity;

    const EXAMPLE: &str = include_str!("../../../../docs/examples/writ.toml");

    struct Rig {
        _folder: tempfile::TempDir,
        config: Config,
        register: Register,
        ledger: Ledger,
        capture: Channel,
        control: Option<Channel>,
    }

    impl Rig {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let identity = ProbeIdentity { operator: "o".into(), probe: "p".into() };
            let (register, _) = Register::open(folder.path(), identity, Timestamp::now()).unwrap();
            let config = Config::parse(EXAMPLE).unwrap();
            let ledger = Ledger::open(Ledger::create(config.tables.slots.into(), 4).unwrap()).unwrap();
            let (control, capture) = Channel::pair().unwrap();
            Self { _folder: folder, config, register, ledger, capture, control: Some(control) }
        }

        fn intercepts(&mut self) -> Intercepts {
            Intercepts::new(self.control.take().unwrap(), &self.ledger, &self.register, &self.config, true)
        }

        fn told(&self) -> Vec<ToCapture> {
            std::iter::from_fn(|| self.capture.receive(Duration::ZERO).unwrap()).map(|(message, _)| message).collect()
        }
    }

    #[test]
    fn a_control_role_without_memory_gives_no_slot_out_under_a_name_it_had() {
        let mut rig = Rig::new();
        rig.ledger.slot(0).unwrap().reset(5, 1);
        rig.ledger.slot(1).unwrap().reset(1, 1);
        let mut intercepts = rig.intercepts();
        for owner in 1..=u128::from(rig.config.tables.slots) {
            let slot = intercepts.slots.allocate(Uuid::from_u128(owner)).unwrap();
            let former = rig.ledger.slot(slot.slot).unwrap().generation();
            assert_ne!(former, Some(slot.generation), "slot {}", slot.slot);
        }
    }

    #[test]
    fn what_nobody_wants_is_let_go_once_the_inventory_is_whole() {
        let mut rig = Rig::new();
        let mut intercepts = rig.intercepts();
        let slot = SlotName { slot: 3, generation: 2 };
        let prefixes = ["192.0.2.0/24", "192.0.2.8/32"].map(|text| Selector::Prefix(text.parse::<IpNet>().unwrap()));
        let claims = vec![SlotClaim { slot, condition: None }];
        let entries = prefixes.map(|selector| BoundSelector { selector, claims: claims.clone() });
        let baseline = SlotFigures::default();
        let found = FoundSlot { slot, warrant: Uuid::from_u128(9), revision: 1, baseline };
        let part = Inventory { life: 7, first: true, last: false, slots: vec![found], bound: vec![entries[1].clone()] };
        let rest = Inventory { life: 7, first: false, last: true, slots: vec![], bound: vec![entries[0].clone()] };
        for (part, told) in [(part, 0), (rest, 1)] {
            intercepts.meet(part, None, &rig.ledger, &rig.register, &rig.config);
            assert_eq!(intercepts.is_stopped(Uuid::from_u128(9)), told == 1, "no word before all is known");
            intercepts.reconcile(&[], |_| EndReason::Expired, false, &rig.config);
            let messages = rig.told();
            let steps: Vec<_> = messages
                .iter()
                .filter_map(|message| match message {
                    ToCapture::Apply { life: 7, steps } => Some(steps.clone()),
                    _ => None,
                })
                .collect();
            assert_eq!(steps.len(), told, "{messages:?}");
            for steps in steps {
                let remove = |selector| Instruction::Unbind { selector };
                let disarm = Instruction::Disarm { slot, reason: EndReason::Superseded };
                assert_eq!(steps, [disarm, remove(prefixes[0]), remove(prefixes[1])]);
            }
        }
    }
}
