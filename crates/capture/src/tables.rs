//! The kernel's tables, written: which prefixes, MAC addresses and VLANs belong to which slots, on which conditions, and
//! what each slot may take. Whoever reconciles warrants with the kernel calls this, and nothing else writes there.
//!
//! A slot's policy is memory shared with the kernel, so that a revocation is one store. Writing goes in the order of
//! the design: to add, policy before entry; to remove, policy first, then entry.

mod conditions;
mod entries;
mod filter;
mod link;
mod next_key;
mod prefixes;
mod watch;

pub use watch::{Foreign, Tampering, Watch, Written};

use crate::shared::{Access, SharedWords};
use aya::Ebpf;
use aya::maps::{Map, MapError};
use conditions::Conditions;
use filter::Filter;
use link::LinkTables;
use prefixes::Prefixes;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;
use writ_abi::{Claim, Front, MOST_LENGTHS, PolicyFlags, SLOTS_PER_ADDRESS, Selector, SlotPolicy, maps};

/// Why a table could not be made or changed. No address is ever named here.
#[derive(Debug, Error)]
pub enum TableError {
    /// The object has no such map.
    #[error("the XDP object has no map {0}; rebuild writ from one source tree")]
    Missing(&'static str),
    /// The slot table is smaller.
    #[error("slot {slot} is outside the slot table of {slots}; raise `slots` in [tables]")]
    NoSuchSlot {
        /// The slot asked for.
        slot: u16,
        /// How many there are.
        slots: usize,
    },
    /// Too many claims on one address, MAC address or VLAN.
    #[error("{0} intercepts want one address, MAC address or VLAN; at most {SLOTS_PER_ADDRESS} can")]
    TooManyClaims(usize),
    /// Too many different prefix lengths.
    #[error(
        "prefixes of {MOST_LENGTHS} different lengths are targets in this address family, the most that can be; write \
         the new one as prefixes of lengths that are in use"
    )]
    TooManyLengths,
    /// A table is full.
    #[error("the table {table} is full; raise `{field}` in [tables] and restart")]
    Full {
        /// The map.
        table: &'static str,
        /// The setting of its size.
        field: &'static str,
    },
    /// A headers-only intercept where the NIC writes whole frames into the memory of user space.
    #[error(
        "a headers-only intercept cannot be armed beside a port with bind = \"zero-copy\"; write bind = \"copy\" there"
    )]
    Exposed,
    /// The kernel refused.
    #[error("the kernel refused a change of the table {table}")]
    Refused {
        /// The map.
        table: &'static str,
        /// What it said.
        #[source]
        source: MapError,
    },
    /// A map could not be mapped into memory.
    #[error("the table {table} cannot be mapped into memory")]
    Map {
        /// The map.
        table: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Words of a [`SlotPolicy`].
const START: usize = 0;
const STOP: usize = 1;
const FLAGS: usize = 2;

/// The tables of selectors and conditions, and the slot table.
pub struct Tables {
    prefixes: Prefixes,
    link: LinkTables,
    filter: Filter,
    conditions: Conditions,
    slots: SharedWords,
    /// A port is bound in zero-copy mode: content reaches the memory of user space before the kernel can cut it off.
    exposed: bool,
    /// How often something was bound or unbound.
    changes: u64,
}

impl Tables {
    pub(crate) fn take(ebpf: &mut Ebpf) -> Result<Self, TableError> {
        let prefixes = Prefixes::take(ebpf)?;
        let link = LinkTables::take(ebpf)?;
        let words = map_array(ebpf, maps::FILTER, size_of::<u64>())?;
        let filter = Filter::new(words, map_array(ebpf, maps::PREFIX_LENGTHS, size_of::<Front>())?);
        let conditions = Conditions::take(ebpf)?;
        let slots = map_array(ebpf, maps::SLOTS, size_of::<SlotPolicy>())?;
        Ok(Self { prefixes, link, filter, conditions, slots, exposed: false, changes: 0 })
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Puts a policy in force. What the slot held before is out of force while its fields change.
    pub fn arm(&mut self, slot: u16, policy: &SlotPolicy) -> Result<(), TableError> {
        if self.exposed && is_headers_only(policy) {
            return Err(TableError::Exposed);
        }
        self.word(slot, STOP)?.store(0, Ordering::SeqCst);
        self.word(slot, START)?.store(policy.start_ns, Ordering::SeqCst);
        self.word(slot, FLAGS)?.store(flags_word(policy), Ordering::SeqCst);
        self.word(slot, STOP)?.store(policy.stop_ns, Ordering::SeqCst);
        Ok(())
    }

    /// Gives a slot that is in force other terms of the same owner, with no moment in which it has none: each field changes at
    /// once, one after the other. So one of the two policies must be within the other ([`SlotPolicy::meet`]): what is asked
    /// meanwhile is then within the wider of them, and holds the narrower.
    pub fn adjust(&mut self, slot: u16, policy: &SlotPolicy) -> Result<(), TableError> {
        if self.exposed && is_headers_only(policy) {
            return Err(TableError::Exposed);
        }
        self.word(slot, START)?.store(policy.start_ns, Ordering::SeqCst);
        self.word(slot, FLAGS)?.store(flags_word(policy), Ordering::SeqCst);
        self.word(slot, STOP)?.store(policy.stop_ns, Ordering::SeqCst);
        Ok(())
    }

    /// Puts a slot out of force, with the next packet.
    pub fn disarm(&self, slot: u16) -> Result<(), TableError> {
        self.word(slot, STOP)?.store(0, Ordering::SeqCst);
        Ok(())
    }

    /// Moves a slot's stop to an earlier moment (`CLOCK_BOOTTIME`, nanoseconds). A later one changes nothing. Returns
    /// the stop that is in force.
    pub fn shorten(&self, slot: u16, stop_ns: u64) -> Result<u64, TableError> {
        let before = self.word(slot, STOP)?.fetch_min(stop_ns, Ordering::SeqCst);
        Ok(before.min(stop_ns))
    }

    /// From now on a port is bound in zero-copy mode. Refused while a headers-only intercept is in force.
    pub(crate) fn expose(&mut self) -> Result<(), TableError> {
        for slot in 0..=u16::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u16::MAX) {
            let policy = self.policy(slot)?;
            if policy.stop_ns != 0 && is_headers_only(&policy) {
                return Err(TableError::Exposed);
            }
        }
        self.exposed = true;
        Ok(())
    }

    /// The policy that the kernel holds.
    pub fn policy(&self, slot: u16) -> Result<SlotPolicy, TableError> {
        let flags = self.word(slot, FLAGS)?.load(Ordering::SeqCst).to_ne_bytes();
        let [f0, f1, f2, f3, g0, g1, ..] = flags;
        Ok(SlotPolicy {
            start_ns: self.word(slot, START)?.load(Ordering::SeqCst),
            stop_ns: self.word(slot, STOP)?.load(Ordering::SeqCst),
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
            generation: u16::from_ne_bytes([g0, g1]),
            reserved: 0,
        })
    }

    /// Sets who wants what a selector finds, in place of those who did. The kernel asks one entry only of each kind, so it
    /// names everybody: of a prefix its own claims and those of every shorter prefix that it lies in, of a VLAN those of
    /// [`VlanMatch::any_inner`](writ_abi::VlanMatch::any_inner). No claim at all removes the selector.
    ///
    /// If it is refused, everything is as it was.
    pub fn bind(&mut self, selector: Selector, claims: &[Claim]) -> Result<(), TableError> {
        if claims.len() > SLOTS_PER_ADDRESS {
            return Err(TableError::TooManyClaims(claims.len()));
        }
        if claims.is_empty() {
            return self.unbind(selector);
        }
        self.changes += 1;
        let intercepts = self.conditions.enter(claims)?;
        let put = match selector {
            Selector::Prefix(prefix) => self.prefixes.put(prefix, intercepts, &mut self.filter),
            Selector::Mac(address) => self.link.put_mac(address, intercepts, &mut self.filter),
            Selector::Vlan(vlan) => self.link.put_vlan(vlan, intercepts, &mut self.filter),
        };
        let unused = match &put {
            Ok(before) => before.map(|before| before.conditions).unwrap_or_default(),
            Err(_) => intercepts.conditions,
        };
        self.conditions.release(&unused);
        put.map(drop)
    }

    /// Removes a selector: what it found is left to the shorter prefixes or to the outer VLAN from now on. One that is not
    /// there is no error.
    pub fn unbind(&mut self, selector: Selector) -> Result<(), TableError> {
        self.changes += 1;
        let before = match selector {
            Selector::Prefix(prefix) => self.prefixes.remove(prefix, &mut self.filter)?,
            Selector::Mac(address) => self.link.remove_mac(address, &mut self.filter)?,
            Selector::Vlan(vlan) => self.link.remove_vlan(vlan, &mut self.filter)?,
        };
        if let Some(before) = before {
            self.conditions.release(&before.conditions);
        }
        Ok(())
    }

    /// All selectors that the kernel holds, with their claims, for a comparison with what it should hold. In no order; a
    /// change during the walk can hide or repeat an entry.
    pub fn bound(&self) -> Result<Vec<(Selector, Vec<Claim>)>, TableError> {
        let claims = |found: Result<(Selector, _), TableError>| {
            found.map(|(selector, intercepts)| (selector, self.conditions.claims(&intercepts)))
        };
        self.prefixes.all().chain(self.link.all()).map(claims).collect()
    }

    fn word(&self, slot: u16, word: usize) -> Result<&AtomicU64, TableError> {
        self.slots.word(usize::from(slot), word).ok_or(TableError::NoSuchSlot { slot, slots: self.slots.len() })
    }
}

fn is_headers_only(policy: &SlotPolicy) -> bool {
    policy.flags & PolicyFlags::HEADERS_ONLY != 0
}

/// Flags, generation and the reserved bytes as the one word that they share.
fn flags_word(policy: &SlotPolicy) -> u64 {
    let [f0, f1, f2, f3] = policy.flags.to_ne_bytes();
    let [g0, g1] = policy.generation.to_ne_bytes();
    u64::from_ne_bytes([f0, f1, f2, f3, g0, g1, 0, 0])
}

pub(crate) fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, TableError> {
    ebpf.take_map(name).ok_or(TableError::Missing(name))
}

fn map_array(ebpf: &Ebpf, name: &'static str, value_size: usize) -> Result<SharedWords, TableError> {
    let fd = map_fd(ebpf, name)?;
    SharedWords::map(fd, value_size, Access::Write).map_err(|source| TableError::Map { table: name, source })
}

/// The descriptor of an array map.
pub(crate) fn map_fd<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<std::os::fd::BorrowedFd<'a>, TableError> {
    use std::os::fd::AsFd;
    match ebpf.map(name) {
        Some(Map::Array(data)) => Ok(data.fd().as_fd()),
        _ => Err(TableError::Missing(name)),
    }
}

pub(crate) fn refused(table: &'static str) -> impl Fn(MapError) -> TableError {
    move |source| TableError::Refused { table, source }
}

/// The system's error number, somewhere below an error.
pub(crate) fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(code);
        }
        next = error.source();
    }
    None
}
