//! Slots: a warrant in force owns one, from when it is armed until its last frame has left the rings.
//!
//! A slot is given to the next owner only after somebody said that it is drained, and with another generation, so that
//! what the kernel still holds for the old owner counts for nothing. The slot that was free for longest goes first.

use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;
use writ_abi::{NO_SLOT, SlotRef};

/// Which warrant has which slot.
#[derive(Clone, Debug)]
pub struct SlotTable {
    slots: Vec<Slot>,
    free: VecDeque<u16>,
    owners: BTreeMap<Uuid, u16>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    generation: u16,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Owned(Uuid),
    Draining,
}

/// All slots are in use or draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {0} slots are in use; raise the number of slots in the configuration, or wait for an intercept to end")]
pub struct NoFreeSlot(pub usize);

/// A slot that cannot be taken over as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// There is no such slot.
    #[error(
        "slot {0} is past the end of the slot table; the number of slots was lowered while intercepts were in force"
    )]
    OutOfRange(u16),
    /// The slot, or its owner's place, is taken already.
    #[error("slot {0} has two owners, or its owner two slots")]
    Taken(u16),
}

impl SlotTable {
    /// A table of so many free slots.
    pub fn new(slots: u16) -> Self {
        // The highest number a table can have is one below NO_SLOT, as it has u16::MAX slots at most.
        const { assert!(NO_SLOT == u16::MAX) };
        Self {
            slots: vec![Slot { generation: 0, state: State::Free }; usize::from(slots)],
            free: (0..slots).collect(),
            owners: BTreeMap::new(),
        }
    }

    /// The owner's slot, a new one if it has none.
    pub fn allocate(&mut self, owner: Uuid) -> Result<SlotRef, NoFreeSlot> {
        if let Some(slot) = self.slot_of(owner) {
            return Ok(slot);
        }
        let number = self.free.pop_front().ok_or(NoFreeSlot(self.slots.len()))?;
        let slot = &mut self.slots[usize::from(number)];
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = State::Owned(owner);
        self.owners.insert(owner, number);
        Ok(SlotRef { slot: number, generation: slot.generation })
    }

    /// Takes over a slot as the kernel holds it, after a restart of the control role: with its owner, or draining if
    /// that is gone.
    pub fn adopt(&mut self, found: SlotRef, owner: Option<Uuid>) -> Result<(), AdoptError> {
        let slot = self.slots.get_mut(usize::from(found.slot)).ok_or(AdoptError::OutOfRange(found.slot))?;
        if slot.state != State::Free || owner.is_some_and(|owner| self.owners.contains_key(&owner)) {
            return Err(AdoptError::Taken(found.slot));
        }
        slot.generation = found.generation;
        slot.state = owner.map_or(State::Draining, State::Owned);
        self.free.retain(|number| *number != found.slot);
        if let Some(owner) = owner {
            self.owners.insert(owner, found.slot);
        }
        Ok(())
    }

    /// The slot that the owner has.
    pub fn slot_of(&self, owner: Uuid) -> Option<SlotRef> {
        let number = *self.owners.get(&owner)?;
        Some(SlotRef { slot: number, generation: self.slots[usize::from(number)].generation })
    }

    /// The owner of a slot; `None` if that owner is gone, whoever has the slot now.
    pub fn owner_of(&self, slot: SlotRef) -> Option<Uuid> {
        match self.slots.get(usize::from(slot.slot))? {
            Slot { generation, state: State::Owned(owner) } if *generation == slot.generation => Some(*owner),
            _ => None,
        }
    }

    /// The owner gives up its slot, which is not used again before [`SlotTable::drained`].
    pub fn release(&mut self, owner: Uuid) -> Option<SlotRef> {
        let slot = self.slot_of(owner)?;
        self.owners.remove(&owner);
        self.slots[usize::from(slot.slot)].state = State::Draining;
        Some(slot)
    }

    /// Nothing of this owner is in a ring any more. Whether that made the slot free: only a slot that was given up is.
    pub fn drained(&mut self, slot: SlotRef) -> bool {
        match self.slots.get_mut(usize::from(slot.slot)) {
            Some(found) if found.state == State::Draining && found.generation == slot.generation => {
                found.state = State::Free;
                self.free.push_back(slot.slot);
                true
            }
            _ => false,
        }
    }
}
