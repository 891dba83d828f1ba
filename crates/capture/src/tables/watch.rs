//! The kernel's tables held against what was written into them, a piece at a time. The maps have no other writer; what
//! stands there otherwise was put there by somebody with root's powers. It is named, and put right.
//!
//! What an entry ought to say is known to whoever binds; the rows of conditions and the bits of the filter to this
//! module's neighbours. The sockets' map cannot be read back from user space, and the kernel's program cannot be changed.

use super::entries::{Entries, Entry};
use super::prefixes::{key_v4, key_v6};
use super::{TableError, Tables};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use writ_abi::{Claim, Intercepts, MacKey, PrefixKey4, PrefixKey6, Selector, SlotPolicy, VlanMatch, maps};

/// What somebody else did to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tampering {
    /// An entry that nobody here had written.
    Added,
    /// An entry that says something else.
    Changed,
    /// An entry that is gone.
    Removed,
}

impl Tampering {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// An entry that was not as it had been written. Which one is not said: it would name a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Foreign {
    /// The map.
    pub table: &'static str,
    /// What had been done.
    pub done: Tampering,
}

/// What the tables ought to hold.
pub trait Written {
    /// Who wants what a selector finds, in the order in which it was bound; none if it is not bound.
    fn claims(&self, selector: Selector) -> Option<Vec<Claim>>;

    /// Every selector that is bound.
    fn selectors(&self) -> Vec<Selector>;

    /// The policy of a slot, if it is in force.
    fn policy(&self, slot: u16) -> Option<SlotPolicy>;
}

/// How far a walk through the tables has come.
#[derive(Debug, Default)]
pub struct Watch {
    stage: Stage,
    /// Entries of the present pass that are as they ought to be.
    sound: usize,
    /// [`Tables::changes`] at the start of the pass.
    changes: u64,
    /// Entries were missing: each of those that ought to be there is looked for.
    to_find: Vec<Selector>,
}

/// Which table, and the last key seen of it.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Slots,
    Conditions,
    V4(Option<PrefixKey4>),
    V6(Option<PrefixKey6>),
    Macs(Option<MacKey>),
    Vlans(Option<VlanMatch>),
    Missing,
}

/// A key that stands for a selector.
trait Named: Sized + Copy + PartialEq {
    /// None: no key of ours has such bytes.
    fn selector(&self) -> Option<Selector>;

    fn of(selector: Selector) -> Option<Self>;
}

impl Named for PrefixKey4 {
    fn selector(&self) -> Option<Selector> {
        let net = Ipv4Net::new(self.address().into(), self.length()).ok()?;
        (key_v4(net) == *self).then_some(Selector::Prefix(net.into()))
    }

    fn of(selector: Selector) -> Option<Self> {
        if let Selector::Prefix(IpNet::V4(net)) = selector { Some(key_v4(net)) } else { None }
    }
}

impl Named for PrefixKey6 {
    fn selector(&self) -> Option<Selector> {
        let net = Ipv6Net::new(self.address().into(), self.length()).ok()?;
        (key_v6(net) == *self).then_some(Selector::Prefix(net.into()))
    }

    fn of(selector: Selector) -> Option<Self> {
        if let Selector::Prefix(IpNet::V6(net)) = selector { Some(key_v6(net)) } else { None }
    }
}

impl Named for MacKey {
    fn selector(&self) -> Option<Selector> {
        (Self::new(self.address()) == *self).then_some(Selector::Mac(self.address()))
    }

    fn of(selector: Selector) -> Option<Self> {
        if let Selector::Mac(address) = selector { Some(Self::new(address)) } else { None }
    }
}

impl Named for VlanMatch {
    fn selector(&self) -> Option<Selector> {
        Some(Selector::Vlan(*self))
    }

    fn of(selector: Selector) -> Option<Self> {
        if let Selector::Vlan(vlan) = selector { Some(vlan) } else { None }
    }
}

impl Tables {
    /// Looks at the next `piece` entries, or at all slots, and puts right what somebody else has written. True when a pass
    /// through all tables is over.
    ///
    /// # Errors
    /// When a table cannot be read or written. The walk goes on behind what it could not do.
    pub fn inspect(
        &mut self,
        watch: &mut Watch,
        piece: usize,
        written: &impl Written,
        found: &mut Vec<Foreign>,
    ) -> Result<bool, TableError> {
        let stage = std::mem::take(&mut watch.stage);
        match stage {
            Stage::Slots => {
                (watch.sound, watch.changes) = (0, self.changes);
                watch.stage = Stage::Conditions;
                self.inspect_slots(written, found)?;
            }
            Stage::Conditions => {
                watch.stage = Stage::V4(None);
                let changed = self.conditions.put_right()?;
                found.extend((0..changed).map(|_| Foreign { table: maps::CONDITIONS, done: Tampering::Changed }));
            }
            Stage::V4(from) => {
                let end = self.walk(from, piece, written, watch, found, |tables| tables.prefixes.v4())?;
                watch.stage = end.map_or(Stage::V6(None), |last| Stage::V4(Some(last)));
            }
            Stage::V6(from) => {
                let end = self.walk(from, piece, written, watch, found, |tables| tables.prefixes.v6())?;
                watch.stage = end.map_or(Stage::Macs(None), |last| Stage::V6(Some(last)));
            }
            Stage::Macs(from) => {
                let end = self.walk(from, piece, written, watch, found, |tables| tables.link.macs())?;
                watch.stage = end.map_or(Stage::Vlans(None), |last| Stage::Macs(Some(last)));
            }
            Stage::Vlans(from) => {
                match self.walk(from, piece, written, watch, found, |tables| tables.link.vlans())? {
                    Some(last) => watch.stage = Stage::Vlans(Some(last)),
                    None => {
                        let held = self.prefixes.held() + self.link.held();
                        // While entries came and went, fewer seen says nothing.
                        if watch.sound < held && watch.changes == self.changes {
                            watch.to_find = written.selectors();
                        }
                        watch.stage = Stage::Missing;
                    }
                }
            }
            Stage::Missing => {
                let rest = watch.to_find.len().saturating_sub(piece);
                let some = watch.to_find.split_off(rest);
                if rest > 0 {
                    watch.stage = Stage::Missing;
                }
                for selector in some {
                    self.find(selector, written, found)?;
                }
                return Ok(rest == 0);
            }
        }
        Ok(false)
    }

    fn inspect_slots(&mut self, written: &impl Written, found: &mut Vec<Foreign>) -> Result<(), TableError> {
        for slot in 0..u16::try_from(self.slots.len()).unwrap_or(u16::MAX) {
            let holds = self.policy(slot)?;
            match written.policy(slot) {
                Some(policy) if policy != holds => self.arm(slot, &policy)?,
                None if holds.stop_ns != 0 => self.disarm(slot)?,
                _ => continue,
            }
            found.push(Foreign { table: maps::SLOTS, done: Tampering::Changed });
        }
        Ok(())
    }

    /// Walks one table from a key on. Gives the last key seen, or none at the table's end.
    fn walk<E: Entry<Key: Named>>(
        &mut self,
        from: Option<E::Key>,
        piece: usize,
        written: &impl Written,
        watch: &mut Watch,
        found: &mut Vec<Foreign>,
        table: impl Fn(&mut Self) -> &mut Entries<E>,
    ) -> Result<Option<E::Key>, TableError> {
        let mut last = from;
        for _ in 0..piece {
            let Some(key) = table(self).next(last.as_ref())? else { return Ok(None) };
            let ought = key.selector().and_then(|selector| written.claims(selector));
            let ought = ought.and_then(|claims| self.conditions.entered(&claims));
            let name = table(self).name();
            match ought {
                Some(intercepts) => {
                    if table(self).holds(&key, intercepts)? {
                        watch.sound += 1;
                    } else {
                        table(self).put_right(key, intercepts)?;
                        found.push(Foreign { table: name, done: Tampering::Changed });
                    }
                    if self.filter.put_right(E::mark(&key)) {
                        found.push(Foreign { table: maps::FILTER, done: Tampering::Changed });
                    }
                    last = Some(key);
                }
                None => {
                    // The walk goes on from the key before: behind one that is gone there is the first one.
                    table(self).remove(&key)?;
                    found.push(Foreign { table: name, done: Tampering::Added });
                }
            }
        }
        Ok(last)
    }

    /// Puts a bound selector's entry back if it is gone.
    fn find(&mut self, selector: Selector, written: &impl Written, found: &mut Vec<Foreign>) -> Result<(), TableError> {
        let Some(claims) = written.claims(selector) else { return Ok(()) };
        let Some(intercepts) = self.conditions.entered(&claims) else { return Ok(()) };
        let missing = match selector {
            Selector::Prefix(IpNet::V4(_)) => restore(self.prefixes.v4(), selector, intercepts)?,
            Selector::Prefix(IpNet::V6(_)) => restore(self.prefixes.v6(), selector, intercepts)?,
            Selector::Mac(_) => restore(self.link.macs(), selector, intercepts)?,
            Selector::Vlan(_) => restore(self.link.vlans(), selector, intercepts)?,
        };
        found.extend(missing.map(|table| Foreign { table, done: Tampering::Removed }));
        Ok(())
    }
}

/// The table's name, if the entry was not there.
fn restore<E: Entry<Key: Named>>(
    table: &mut Entries<E>,
    selector: Selector,
    intercepts: Intercepts,
) -> Result<Option<&'static str>, TableError> {
    let Some(key) = E::Key::of(selector) else { return Ok(None) };
    if table.get(&key)?.is_some() {
        return Ok(None);
    }
    table.put_right(key, intercepts)?;
    Ok(Some(table.name()))
}
