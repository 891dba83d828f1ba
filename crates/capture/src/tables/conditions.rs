//! The condition table, written. Equal conditions share a row; a row is written only while no entry refers to it.
//!
//! The program reads an entry first and its rows afterwards, so a row can change in between. Rows are therefore taken in
//! turn, the one that has been free longest first, and the worker looks at the condition a second time.

use super::{TableError, refused, take_map};
use aya::Ebpf;
use aya::maps::{Array, MapData};
use std::collections::{HashMap, VecDeque};
use writ_abi::{Claim, Condition, Intercepts, SLOTS_PER_ADDRESS, SlotRef, maps};

/// The table, and what its rows stand for. Its only writer.
pub(super) struct Conditions {
    map: Array<MapData, Condition>,
    rows: HashMap<Condition, u16>,
    /// By row; row 0 is never used.
    uses: Vec<Row>,
    free: VecDeque<u16>,
}

#[derive(Clone, Default)]
struct Row {
    condition: Option<Condition>,
    /// How many places of entries refer to it.
    places: u32,
}

impl Conditions {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, TableError> {
        let map: Array<_, Condition> =
            Array::try_from(take_map(ebpf, maps::CONDITIONS)?).map_err(refused(maps::CONDITIONS))?;
        let rows = u16::try_from(map.len()).unwrap_or(u16::MAX);
        Ok(Self { map, rows: HashMap::new(), uses: vec![Row::default(); usize::from(rows)], free: (1..rows).collect() })
    }

    /// Claims as an entry holds them, at most [`SLOTS_PER_ADDRESS`]: each condition has a row that counts this place.
    pub(super) fn enter(&mut self, claims: &[Claim]) -> Result<Intercepts, TableError> {
        let mut slots = [SlotRef::NONE; SLOTS_PER_ADDRESS];
        let mut rows = [0; SLOTS_PER_ADDRESS];
        for ((slot, row), claim) in slots.iter_mut().zip(&mut rows).zip(claims) {
            *slot = claim.slot;
            let Some(condition) = &claim.condition else { continue };
            match self.hold(condition) {
                Ok(held) => *row = held,
                Err(error) => {
                    self.release(&rows);
                    return Err(error);
                }
            }
        }
        Ok(Intercepts::new(slots, rows))
    }

    /// What [`Conditions::enter`] made of claims that are in the tables, without counting them again. None if a condition
    /// has no row, which those in the tables have.
    pub(super) fn entered(&self, claims: &[Claim]) -> Option<Intercepts> {
        let mut slots = [SlotRef::NONE; SLOTS_PER_ADDRESS];
        let mut rows = [0; SLOTS_PER_ADDRESS];
        for ((slot, row), claim) in slots.iter_mut().zip(&mut rows).zip(claims) {
            *slot = claim.slot;
            if let Some(condition) = &claim.condition {
                *row = *self.rows.get(condition)?;
            }
        }
        Some(Intercepts::new(slots, rows))
    }

    /// Writes rows anew that do not say what was written. How many there were.
    pub(super) fn put_right(&mut self) -> Result<usize, TableError> {
        let mut changed = 0;
        for (condition, row) in &self.rows {
            let holds = self.map.get(&u32::from(*row), 0).map_err(refused(maps::CONDITIONS))?;
            if holds != *condition {
                self.map.set(u32::from(*row), *condition, 0).map_err(refused(maps::CONDITIONS))?;
                changed += 1;
            }
        }
        Ok(changed)
    }

    /// Takes back what [`Conditions::enter`] counted.
    pub(super) fn release(&mut self, rows: &[u16; SLOTS_PER_ADDRESS]) {
        for number in rows {
            let Some(row) = self.uses.get_mut(usize::from(*number)).filter(|row| row.places > 0) else { continue };
            row.places -= 1;
            if row.places == 0 {
                if let Some(condition) = row.condition.take() {
                    self.rows.remove(&condition);
                }
                self.free.push_back(*number);
            }
        }
    }

    /// The claims of an entry.
    pub(super) fn claims(&self, intercepts: &Intercepts) -> Vec<Claim> {
        let places = intercepts.slots.into_iter().zip(intercepts.conditions);
        let claim = |(slot, row)| {
            let condition = self.uses.get(usize::from(row)).and_then(|row| row.condition);
            Claim { slot, condition }
        };
        places.filter(|(slot, _)| slot.is_some()).map(claim).collect()
    }

    fn hold(&mut self, condition: &Condition) -> Result<u16, TableError> {
        let number = match self.rows.get(condition) {
            Some(number) => *number,
            None => {
                let full = TableError::Full { table: maps::CONDITIONS, field: "conditions" };
                let number = *self.free.front().ok_or(full)?;
                self.map.set(u32::from(number), *condition, 0).map_err(refused(maps::CONDITIONS))?;
                self.free.pop_front();
                self.rows.insert(*condition, number);
                number
            }
        };
        if let Some(row) = self.uses.get_mut(usize::from(number)) {
            row.condition = Some(*condition);
            row.places = row.places.saturating_add(1);
        }
        Ok(number)
    }
}
