//! What the kernel holds of one slot, read back for `writ explain`.

use super::Keeper;
use crate::ipc::{Inspection, KernelPolicy, SlotClaim, SlotName};

impl Keeper {
    /// Reads a slot's policy from the kernel, and counts what leads to its owner. Walks all that is bound once: somebody
    /// waits for it, no packet does.
    pub(super) fn inspect(&mut self, slot: u16) -> Inspection {
        let policy = self.parts.kernel.tables().policy(slot).ok().map(|policy| KernelPolicy {
            generation: policy.generation,
            start_ns: policy.start_ns,
            stop_ns: policy.stop_ns,
        });
        let owner = policy.map(|policy| SlotName { slot, generation: policy.generation });
        let leads_there = |claims: &&Vec<SlotClaim>| claims.iter().any(|claim| Some(claim.slot) == owner);
        let entries = self.bound.values().filter(leads_there).count();
        let armed = self.armed.get(&slot).filter(|armed| Some(armed.order.slot) == owner);
        let targets = armed.map_or(0, |armed| armed.order.targets.len());
        Inspection { slot, policy, entries: entries as u64, targets: targets as u64 }
    }
}
