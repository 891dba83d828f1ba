//! The intercepts of this probe as control sees them: who has which slot, what the capture role has confirmed, and what
//! it must be told. The goal is computed anew from the warrants in force each time; what differs goes to capture.

use super::counts::{KernelCount, counts};
use crate::config::Config;
use crate::ipc::{
    ArmedDelivery, ArmedIntercept, CaptureReport, Channel, ChannelError, EndReason, FoundSlot, Instruction,
    InterceptCounts, SlotFigures, SlotName, ToCapture,
};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use uuid::Uuid;
use writ_abi::SlotRef;
use writ_authority::{ApprovedWarrant, Scope, StoredWarrant, Warrant};
use writ_capture::{CounterView, boot_now_ns};
use writ_identity::{Change, Desired, FixedAddresses, SlotTable, Tenant, difference, reconcile};
use writ_spool::{FORMER_FIGURES, Ledger};

/// Bytes of instructions in one message, about: safely below the limit of a channel.
const MESSAGE_BYTES: usize = 60_000;
/// How long the last PDUs of an ended intercept may take before its final figures are recorded as they stand.
const SETTLE: Duration = Duration::from_secs(5);

/// Where an intercept stands, as far as the capture role has confirmed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Capture has been told.
    Told,
    /// In the kernel.
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
    kernel: KernelCount,
    /// Why and since when it is over.
    ending: Option<(EndReason, Instant)>,
    /// The final figures are in the audit log; the slot waits for its last PDUs to be acknowledged.
    recorded: bool,
}

/// An intercept whose final figures are due.
pub(super) struct Final {
    pub(super) warrant: Uuid,
    pub(super) slot: SlotName,
    pub(super) reason: EndReason,
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
    /// Slots that a capture role had before this control role's start, with the counters that are not their owners'.
    adopted: HashMap<u16, SlotFigures>,
    outgoing: VecDeque<ToCapture>,
    channel: Channel,
}

impl Intercepts {
    pub(super) fn new(slots: u16, channel: Channel) -> Self {
        Self {
            slots: SlotTable::new(slots),
            current: Desired::default(),
            tenancies: HashMap::new(),
            view: None,
            life: None,
            adopted: HashMap::new(),
            outgoing: VecDeque::from([ToCapture::Hello]),
            channel,
        }
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

    /// Whether one more warrant would find a slot, room in the tables and room at its addresses.
    pub(super) fn has_room(
        &self,
        candidate: &ApprovedWarrant,
        in_force: &[&StoredWarrant],
        config: &Config,
    ) -> Result<(), String> {
        let mut slots = self.slots.clone();
        let mut tenants = Vec::new();
        for stored in in_force {
            if let Ok(slot) = slots.allocate(stored.warrant().uuid()) {
                tenants.push(Tenant::new(slot, stored.approved(), &FixedAddresses));
            }
        }
        let slot = slots
            .allocate(candidate.warrant().uuid())
            .map_err(|error| format!("{error} (tables.slots of the configuration)"))?;
        tenants.push(Tenant::new(slot, candidate, &FixedAddresses));
        let reconciled = reconcile(&tenants);
        if let Some(overfull) = reconciled.left_out.first() {
            return Err(overfull.to_string());
        }
        let (v4, v6) = reconciled.desired.address_counts();
        for (field, needed, room) in
            [("addresses_v4", v4, config.tables.addresses_v4), ("addresses_v6", v6, config.tables.addresses_v6)]
        {
            if needed > room as usize {
                return Err(format!(
                    "target: {needed} addresses would be in force, and the kernel's table holds {room}; raise \
                     tables.{field} in the configuration and start the probe again"
                ));
            }
        }
        Ok(())
    }

    /// Computes what the kernel should hold and tells capture the difference.
    pub(super) fn reconcile(
        &mut self,
        in_force: &[&StoredWarrant],
        ended: impl Fn(Uuid) -> EndReason,
        ledger: &Ledger,
        config: &Config,
    ) {
        if self.life.is_none() {
            // Whether a capture role holds anything from before is not known yet.
            return;
        }
        let gone: Vec<Uuid> = self
            .tenancies
            .values()
            .filter(|tenancy| tenancy.ending.is_none())
            .map(|tenancy| tenancy.order.warrant)
            .filter(|uuid| !in_force.iter().any(|stored| stored.warrant().uuid() == *uuid))
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
            let uuid = stored.warrant().uuid();
            match self.slots.allocate(uuid) {
                Ok(slot) => {
                    if !self.tenancies.contains_key(&slot.slot) {
                        let view = self.view.as_ref();
                        let kernel = match self.adopted.remove(&slot.slot) {
                            Some(baseline) => {
                                let account = ledger.slot(slot.slot);
                                let received = account.map_or(0, |account| account.received());
                                let former = account.map_or([0; FORMER_FIGURES], |account| account.former());
                                KernelCount::resume(slot.slot, baseline, former, view, received)
                            }
                            None => KernelCount::begin(slot.slot, view),
                        };
                        let tenancy = Tenancy {
                            order: order(stored.warrant(), slot, config),
                            progress: Progress::Told,
                            kernel,
                            ending: None,
                            recorded: false,
                        };
                        self.tenancies.insert(slot.slot, tenancy);
                    }
                    tenants.push(Tenant::new(slot, stored.approved(), &FixedAddresses));
                }
                Err(error) => tracing::error!(%error, "a warrant in force has no slot"),
            }
        }
        let reconciled = reconcile(&tenants);
        for overfull in &reconciled.left_out {
            tracing::error!(slot = overfull.slot.slot, error = %overfull, "a warrant in force is not carried out");
        }
        let changes = difference(&self.current, &reconciled.desired);
        self.current = reconciled.desired;
        let instructions = changes.into_iter().filter_map(|change| self.instruction(change)).collect();
        self.queue(instructions);
        self.flush();
    }

    fn instruction(&self, change: Change) -> Option<Instruction> {
        Some(match change {
            Change::Arm { slot, .. } => Instruction::Arm(Box::new(self.tenancies.get(&slot.slot)?.order.clone())),
            Change::Stop(slot) => {
                let reason = self.tenancies.get(&slot.slot)?.ending.map_or(EndReason::Superseded, |(reason, _)| reason);
                Instruction::Disarm { slot: slot.into(), reason }
            }
            Change::Bind { address, slots } => {
                Instruction::SetAddress { address, slots: slots.iter().map(SlotName::from).collect() }
            }
            Change::Unbind(address) => Instruction::RemoveAddress { address },
        })
    }

    fn queue(&mut self, instructions: Vec<Instruction>) {
        let mut part = Vec::new();
        let mut bytes = 0;
        for instruction in instructions {
            bytes += match &instruction {
                Instruction::Arm(order) => 1000 + order.targets.len() * 48,
                _ => 400,
            };
            part.push(instruction);
            if bytes > MESSAGE_BYTES {
                self.outgoing.push_back(ToCapture::Apply(std::mem::take(&mut part)));
                bytes = 0;
            }
        }
        if !part.is_empty() {
            self.outgoing.push_back(ToCapture::Apply(part));
        }
    }

    /// Sends what capture has room for; the rest waits for it.
    pub(super) fn flush(&mut self) {
        while let Some(message) = self.outgoing.front() {
            match self.channel.send(message, &[]) {
                Ok(()) => drop(self.outgoing.pop_front()),
                Err(ChannelError::Full) => return,
                Err(error) => {
                    tracing::error!(%error, "capture is not told");
                    self.outgoing.pop_front();
                }
            }
        }
    }

    /// A capture role says what it has. `view` comes with the first part.
    pub(super) fn meet(
        &mut self,
        life: u32,
        found: &[FoundSlot],
        addresses: &[(IpAddr, Vec<SlotName>)],
        view: Option<CounterView>,
        ledger: &Ledger,
    ) {
        if view.is_some() {
            if self.life.is_some_and(|before| before != life) {
                for (slot, tenancy) in &mut self.tenancies {
                    let Some(account) = ledger.slot(*slot) else { continue };
                    tenancy.kernel.close_life(*slot, self.view.as_ref(), account.received());
                    account.keep_former(tenancy.kernel.former());
                }
            }
            self.view = view;
            self.life = Some(life);
            // Whatever it has, it is told everything again: what it has already stays untouched.
            self.current = Desired::default();
            self.outgoing.clear();
        }
        let mut superfluous = Vec::new();
        for FoundSlot { slot, warrant, baseline } in found {
            match self.tenancies.get(&slot.slot) {
                Some(tenancy) if tenancy.order.slot == *slot => {}
                // From before a restart of this role: its owner gets it back if its warrant is still in force.
                _ if self.slots.adopt((*slot).into(), Some(*warrant)).is_ok() => {
                    self.adopted.insert(slot.slot, *baseline);
                }
                _ => superfluous.push(Instruction::Disarm { slot: *slot, reason: EndReason::Superseded }),
            }
        }
        for (address, _) in addresses {
            superfluous.push(Instruction::RemoveAddress { address: *address });
        }
        // An address that is still wanted is set again a moment later, so it is not removed first.
        superfluous.retain(|instruction| match instruction {
            Instruction::RemoveAddress { address } => !self.wanted(*address),
            _ => true,
        });
        // Intercepts that ended while no capture role was there: the new one tells the agency.
        for tenancy in self.tenancies.values() {
            if let Some((reason, _)) = tenancy.ending
                && tenancy.progress != Progress::Ended
                && !found.iter().any(|found| found.slot == tenancy.order.slot)
            {
                superfluous.push(Instruction::Arm(Box::new(tenancy.order.clone())));
                superfluous.push(Instruction::Disarm { slot: tenancy.order.slot, reason });
            }
        }
        self.queue(superfluous);
    }

    fn wanted(&self, address: IpAddr) -> bool {
        self.tenancies.values().any(|tenancy| tenancy.ending.is_none() && tenancy.order.targets.contains(&address))
    }

    /// Capture confirms a step. Returns the warrant.
    pub(super) fn advance(&mut self, slot: SlotName, progress: Progress, ledger: &Ledger) -> Option<Uuid> {
        let tenancy = self.tenancies.get_mut(&slot.slot).filter(|tenancy| tenancy.order.slot == slot)?;
        // A confirmation repeated after a restart takes nothing back.
        if !(progress == Progress::Armed && tenancy.progress == Progress::Begun) {
            tenancy.progress = progress;
        }
        if progress == Progress::Ended {
            let received = ledger.slot(slot.slot).map_or(0, |account| account.received());
            tenancy.kernel.finish(slot.slot, self.view.as_ref(), received);
        }
        Some(tenancy.order.warrant)
    }

    /// Capture's kernel ended an intercept by itself: its time is over.
    pub(super) fn note_ending(&mut self, slot: SlotName, reason: EndReason) {
        if let Some(tenancy) = self.tenancies.get_mut(&slot.slot).filter(|tenancy| tenancy.order.slot == slot)
            && tenancy.ending.is_none()
        {
            tenancy.ending = Some((reason, Instant::now()));
            self.slots.release(tenancy.order.warrant);
        }
    }

    /// Books losses in the ring, once the workers have read past them.
    pub(super) fn settle(&mut self, report: &CaptureReport, ledger: &Ledger) {
        let now = boot_now_ns();
        for (slot, tenancy) in &mut self.tenancies {
            if tenancy.progress != Progress::Ended {
                let received = ledger.slot(*slot).map_or(0, |account| account.received());
                tenancy.kernel.settle(*slot, self.view.as_ref(), received, now, report.read_until_ns);
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
            let counts = self.counts(tenancy, ledger, config);
            let waiting = counts.deliveries.iter().any(|delivery| delivery.waiting_cmii + delivery.waiting_cmc > 0);
            if !tenancy.recorded && (!waiting || since.elapsed() > SETTLE) {
                due.push(Final { warrant: tenancy.order.warrant, slot: tenancy.order.slot, reason, counts });
            }
            if !waiting && (tenancy.recorded || due.iter().any(|last| last.slot == tenancy.order.slot)) {
                free.push(*slot);
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
            }
        }
        due
    }
}

/// What the capture role has to know of a warrant.
pub fn order(warrant: &Warrant, slot: SlotRef, config: &Config) -> ArmedIntercept {
    let grant = warrant.grant();
    let subscriber = warrant.targets().first().map(|target| target.subscriber.clone()).unwrap_or_default();
    ArmedIntercept {
        slot: slot.into(),
        warrant: warrant.uuid(),
        start_utc_ns: warrant.window().start_utc_ns(),
        stop_utc_ns: warrant.window().stop_utc_ns(),
        headers_only: grant.scope() == Scope::Headers,
        from_subject: grant.directions().from_target(),
        to_subject: grant.directions().to_target(),
        deliveries: warrant
            .deliveries()
            .iter()
            .filter_map(|delivery| {
                Some(ArmedDelivery {
                    destination: config.destination_index(&delivery.destination)?,
                    case_id: delivery.case_id.as_str().to_owned(),
                    content_identifier: delivery
                        .content_identifier
                        .as_ref()
                        .unwrap_or(&delivery.case_id)
                        .as_str()
                        .to_owned(),
                    cmii: delivery.streams.cmii(),
                    cmc: delivery.streams.cmc(),
                })
            })
            .collect(),
        subscriber_identity: subscriber,
        targets: warrant.targets().iter().flat_map(|target| target.addresses()).collect(),
    }
}
