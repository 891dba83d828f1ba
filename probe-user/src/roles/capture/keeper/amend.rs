//! Other terms for an intercept in force: what both the old and the new ones allow is taken without a gap, what neither
//! allows never. The steps are control's (`Arm`, the entries, `Confirm`); what the workers know goes before or behind them.

use super::{Armed, Keeper, Phase};
use crate::ipc::{ArmedDelivery, ArmedIntercept, ArmedTarget, FromCapture, SlotName};
use crate::pipeline::{Intercept, Intercepts};
use crate::roles::FLUSH_NS;
use hashbrown::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use writ_abi::SlotPolicy;
use writ_capture::{boot_now_ns, start_boot_ns, stop_boot_ns};

/// New terms on their way.
pub(super) struct Amendment {
    /// As the workers have the intercept meanwhile.
    meanwhile: Arc<Intercept>,
    /// The targets that they accept meanwhile: those of both orders.
    accepted: Vec<ArmedTarget>,
    /// As they have it in the end.
    last: Arc<Intercept>,
    applied: Option<Applied>,
}

/// The kernel holds the new terms, with all targets.
struct Applied {
    /// Since when: boot time.
    since_ns: u64,
    /// With which state of the workers' view.
    version: u64,
    /// Control knows.
    told: bool,
}

impl Amendment {
    /// What the workers have to know before the kernel is touched.
    pub(super) fn meanwhile(&self) -> (&Arc<Intercept>, &[ArmedTarget]) {
        (&self.meanwhile, &self.accepted)
    }

    /// Whether the kernel holds the new terms.
    pub(super) fn is_applied(&self) -> bool {
        self.applied.is_some()
    }
}

/// Whether two deliveries are one to its recipient. How much of the content it gets may change with the scope.
fn is_same_delivery(one: &ArmedDelivery, other: &ArmedDelivery) -> bool {
    ArmedDelivery { cmc: other.cmc, ..one.clone() } == *other
}

impl Keeper {
    /// What other terms mean for an intercept. Nothing is done yet.
    pub(super) fn prepare_amendment(&self, armed: &Armed, order: &ArmedIntercept) -> Result<Amendment, String> {
        if !matches!(armed.phase, Phase::Armed) {
            return Err("the intercept ended before its new terms came; hand in a new warrant".to_owned());
        }
        let same = |(one, other): (&ArmedDelivery, &ArmedDelivery)| is_same_delivery(one, other);
        let (before, after) = (&armed.order.deliveries, &order.deliveries);
        if before.len() != after.len() || !before.iter().zip(after).all(same) {
            return Err("the deliveries are not those of the intercept in force; another recipient is another warrant"
                .to_owned());
        }
        let accepted = armed.amendment.as_ref().map_or(&armed.order.targets, |amendment| &amendment.accepted);
        let mut known = HashSet::new();
        let accepted: Vec<_> = accepted.iter().chain(&order.targets).filter(|it| known.insert(**it)).copied().collect();
        let meanwhile = ArmedIntercept {
            headers_only: armed.intercept.is_headers_only() || order.headers_only,
            targets: accepted.clone(),
            ..order.clone()
        };
        let amended = |order: &ArmedIntercept| {
            armed
                .intercept
                .amended(order, &self.parts.probe_id, &self.parts.recipients)
                .map(Arc::new)
                .map_err(|error| error.to_string())
        };
        Ok(Amendment { meanwhile: amended(&meanwhile)?, accepted, last: amended(order)?, applied: None })
    }

    /// Limits an intercept to what its terms so far and the new ones allow. The workers know both.
    pub(super) fn amend(&mut self, order: ArmedIntercept, amendment: Amendment) -> Result<(), String> {
        let slot = order.slot.slot;
        let doubt_ns = self.clock_doubt_ns();
        let armed = self.armed.get_mut(&slot).ok_or("the intercept is gone")?;
        let account = self.parts.ledger.slot(slot).ok_or("no such slot in the ledger")?;
        let clock = self.parts.common.clock.load();
        // A start that was reckoned stays: by a clock that was set since, one that has begun would begin again.
        let start_ns = if order.start_utc_ns == armed.order.start_utc_ns {
            armed.goal.start_ns
        } else {
            start_boot_ns(clock, order.start_utc_ns, 0)
        };
        let stop_ns = stop_boot_ns(clock, order.stop_utc_ns, doubt_ns, None);
        let goal = SlotPolicy {
            start_ns,
            stop_ns: account.stop_no_later(order.stop_utc_ns, stop_ns),
            flags: order.policy_flags(),
            ..armed.goal
        };
        amendment.meanwhile.announce(&self.parts.outlets, clock.utc_ns(boot_now_ns()));
        armed.intercept = Arc::clone(&amendment.meanwhile);
        (armed.order, armed.goal, armed.amendment, armed.whole) = (order, goal, Some(amendment), true);
        let both = armed.policy.meet(&goal);
        self.parts.kernel.tables().adjust(slot, &both).map_err(|error| error.to_string())?;
        armed.policy = both;
        Ok(())
    }

    /// The targets of the new terms are in the kernel: so are the terms, from now on.
    pub(super) fn apply_amendment(&mut self, slot: SlotName) -> Result<(), String> {
        let Some(armed) = self.armed.get_mut(&slot.slot) else { return Ok(()) };
        let Some(amendment) = &mut armed.amendment else { return Ok(()) };
        if let Some(applied) = &mut amendment.applied {
            // Control came back, and has not heard it.
            applied.told = false;
            return Ok(());
        }
        self.parts.kernel.tables().adjust(slot.slot, &armed.goal).map_err(|error| error.to_string())?;
        armed.policy = armed.goal;
        let version = self.parts.common.intercepts.load().version();
        amendment.applied = Some(Applied { since_ns: boot_now_ns(), version, told: false });
        tracing::info!(slot = slot.slot, generation = slot.generation, revision = armed.order.revision, "new terms");
        Ok(())
    }

    /// Says what is in force whole, and lets the workers forget the former terms once they have read past them.
    pub(super) fn complete_amendments(&mut self, read_until: u64) {
        let version = self.parts.workers.iter().map(|worker| worker.progress.version.load(Ordering::Acquire)).min();
        let mut done = Vec::new();
        let mut told = Vec::new();
        for armed in self.armed.values_mut().filter(|armed| matches!(armed.phase, Phase::Armed)) {
            let Some(amendment) = &mut armed.amendment else { continue };
            let Some(applied) = &mut amendment.applied else { continue };
            let is_known = read_until == u64::MAX || version.is_some_and(|version| version >= applied.version);
            let is_drained = read_until >= applied.since_ns.saturating_add(FLUSH_NS);
            // Less content is in force with the workers' next batch. More is not before all that was cut has been read.
            let is_in_force = is_known && amendment.meanwhile.is_headers_only() == amendment.last.is_headers_only();
            if (is_in_force || is_known && is_drained) && !applied.told {
                applied.told = true;
                told.push(FromCapture::Armed { slot: armed.order.slot, revision: armed.order.revision });
            }
            if is_known && is_drained {
                done.push(armed.order.slot.slot);
            }
        }
        if !done.is_empty() {
            self.forget_former_terms(&done);
        }
        for message in told {
            self.tell(message);
        }
    }

    fn forget_former_terms(&mut self, slots: &[u16]) {
        let mut snapshot = Intercepts::clone(&self.parts.common.intercepts.load());
        let utc_ns = self.parts.common.clock.load().utc_ns(boot_now_ns());
        let mut last = Vec::new();
        for slot in slots {
            let Some(armed) = self.armed.get_mut(slot) else { continue };
            let Some(amendment) = armed.amendment.take() else { continue };
            snapshot.insert(Arc::clone(&amendment.last));
            snapshot.set_targets(armed.order.slot.into(), armed.order.targets.iter().copied());
            armed.intercept = Arc::clone(&amendment.last);
            last.push(amendment.last);
        }
        self.publish(snapshot);
        for intercept in last {
            intercept.renounce(&self.parts.outlets, &self.parts.ledger, utc_ns);
        }
    }
}
