//! Looks again and again whether the kernel's tables hold what the keeper wrote, a piece at a time between its other
//! work. What somebody else wrote there is put right, counted, and told to control, which raises the alarm.

use super::keeper::Armed;
use crate::ipc::{ForeignEntries, SlotClaim};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use writ_abi::{Claim, Selector, SlotPolicy};
use writ_capture::{Foreign, Tables, Watch, Written};

/// Entries looked at in one go: a fraction of a millisecond.
const PIECE: usize = 128;
/// Between two passes through all tables.
const PAUSE: Duration = Duration::from_secs(2);

/// What the keeper wrote.
pub(super) struct Book<'a> {
    pub(super) bound: &'a HashMap<Selector, Vec<SlotClaim>>,
    pub(super) armed: &'a HashMap<u16, Armed>,
}

impl Written for Book<'_> {
    fn claims(&self, selector: Selector) -> Option<Vec<Claim>> {
        self.bound.get(&selector).map(|claims| claims.iter().map(|claim| (*claim).into()).collect())
    }

    fn selectors(&self) -> Vec<Selector> {
        self.bound.keys().copied().collect()
    }

    fn policy(&self, slot: u16) -> Option<SlotPolicy> {
        self.armed.get(&slot).and_then(Armed::in_force)
    }
}

/// See the module.
pub(super) struct Guard {
    watch: Watch,
    next: Instant,
    /// How many entries were foreign in the life of this process.
    count: u64,
    untold: BTreeMap<Foreign, u64>,
    /// What was last logged, so that a table that cannot be read is said once.
    said: Option<String>,
}

impl Guard {
    pub(super) fn new() -> Self {
        Self { watch: Watch::default(), next: Instant::now(), count: 0, untold: BTreeMap::new(), said: None }
    }

    /// Looks at the next piece.
    pub(super) fn look(&mut self, tables: &mut Tables, book: &Book<'_>) {
        if Instant::now() < self.next {
            return;
        }
        let mut found = Vec::new();
        match tables.inspect(&mut self.watch, PIECE, book, &mut found) {
            Ok(true) => {
                self.next = Instant::now() + PAUSE;
                self.said = None;
            }
            Ok(false) => {}
            Err(error) => {
                let words = error.to_string();
                if self.said.as_ref() != Some(&words) {
                    tracing::error!(error = %words, "the kernel's tables cannot be looked through");
                    self.said = Some(words);
                }
                self.next = Instant::now() + PAUSE;
            }
        }
        self.count += found.len() as u64;
        for foreign in found {
            *self.untold.entry(foreign).or_default() += 1;
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What was found since last asked.
    pub(super) fn news(&mut self) -> Vec<ForeignEntries> {
        let told = |(Foreign { table, done }, count)| ForeignEntries {
            table: table.to_owned(),
            done: done.word().to_owned(),
            count,
        };
        std::mem::take(&mut self.untold).into_iter().map(told).collect()
    }
}
