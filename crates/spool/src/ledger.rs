//! The ledger: what was received, appended, delivered and lost, by intercept, in memory that outlives every role.
//!
//! `received = delivered + waiting + lost` holds for each delivery of each slot, where `waiting` is what was appended
//! and is not delivered. It survives `kill -9` of either side, because neither figure is ever guessed: a record carries
//! what its account counts with it, so the consumer stores that as delivered rather than adding to it (doing it twice
//! changes nothing), and [`Ledger::settle`] finds what was truly appended from the records that are there.

mod files;
mod loss;
mod memo;
mod slot;
mod stream;

pub use files::{JUMP, KeepError, Kept, LedgerFiles, Origin, Restart};
pub use loss::LossReason;
pub use memo::{MEMO_WORDS, Memo};
pub use slot::{DeliverySnapshot, FORMER_FIGURES, MAX_DELIVERIES, SlotAccount, SlotSnapshot};
pub use stream::{SessionState, StreamAccount, StreamSnapshot};

use crate::map::{Map, MapError};
use crate::producer::Producer;
use crate::stream::{Entry, Record, RecordKind, StreamError};
use slot::{APPENDED, DELIVERED, SLOT_WORDS};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use stream::STREAM_WORDS;

const MAGIC: u64 = u64::from_le_bytes(*b"WRITLEDG");
const VERSION: u64 = 4;
const HEADER_BYTES: usize = 4096;
const AT_MAGIC: usize = 0;
const AT_VERSION: usize = 8;
const AT_SLOTS: usize = 16;
const AT_STREAMS: usize = 24;
/// Two words: which books these are, the same over all runs.
const AT_IDENTITY: usize = 32;
/// Two words: the boot of the machine that it is of.
const AT_BOOT: usize = 48;
/// Not 0 in a copy that was made when everything had ended.
const AT_CLEAN: usize = 64;
/// How it began: see [`Restart`].
const AT_ORIGIN: usize = 72;
const AT_JUMPED: usize = 80;
const AT_UNDELIVERED: usize = 88;

/// The table. Every figure is an atomic: any role may read at any time, and each figure has one role that writes it.
pub struct Ledger {
    map: Map,
    slots: usize,
    streams: usize,
}

impl Ledger {
    /// New memory for `slots` intercepts and `streams` streams, all zero and owned by nobody.
    pub fn create(slots: usize, streams: usize) -> io::Result<OwnedFd> {
        let bytes = Self::bytes(slots, streams).ok_or(io::ErrorKind::InvalidInput)?;
        let (fd, map) = Map::create("writ-ledger", bytes as u64)?;
        Self { map, slots, streams }.begin()?;
        Ok(fd)
    }

    /// Makes fresh memory a ledger.
    fn begin(&self) -> io::Result<()> {
        for slot in (0..self.slots).filter_map(|slot| self.slot(u16::try_from(slot).ok()?)) {
            slot.disown();
        }
        self.write_header(&[
            (AT_VERSION, VERSION),
            (AT_SLOTS, self.slots as u64),
            (AT_STREAMS, self.streams as u64),
            (AT_MAGIC, MAGIC),
        ])
    }

    fn write_header(&self, words: &[(usize, u64)]) -> io::Result<()> {
        for (at, value) in words {
            self.map.word(*at).ok_or(io::ErrorKind::InvalidData)?.store(*value, Ordering::Release);
        }
        Ok(())
    }

    /// Maps a ledger: sealed memory ([`Ledger::create`]) or the private file of [`LedgerFiles`].
    pub fn open(memory: impl AsFd) -> Result<Self, MapError> {
        const WRONG: MapError = MapError::WrongLayout { expected: "ledger" };
        let map = match Map::open(&memory) {
            Err(MapError::NotSealed) => Map::open_private(&memory)?,
            map => map?,
        };
        let load = |at| map.word(at).map(|word| word.load(Ordering::Acquire)).ok_or(WRONG);
        if load(AT_MAGIC)? != MAGIC || load(AT_VERSION)? != VERSION {
            return Err(WRONG);
        }
        let slots = usize::try_from(load(AT_SLOTS)?).map_err(|_| WRONG)?;
        let streams = usize::try_from(load(AT_STREAMS)?).map_err(|_| WRONG)?;
        if Self::bytes(slots, streams) != Some(map.len()) {
            return Err(WRONG);
        }
        Ok(Self { map, slots, streams })
    }

    fn bytes(slots: usize, streams: usize) -> Option<usize> {
        let slots = (slots <= usize::from(u16::MAX)).then_some(slots * SLOT_WORDS * 8)?;
        streams.checked_mul(STREAM_WORDS * 8)?.checked_add(HEADER_BYTES + slots)
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams
    }

    /// The account of a slot; none if there is no such slot.
    #[inline]
    pub fn slot(&self, slot: u16) -> Option<SlotAccount<'_>> {
        let slot = usize::from(slot);
        if slot >= self.slots {
            return None;
        }
        Some(SlotAccount { words: self.map.words(HEADER_BYTES + slot * SLOT_WORDS * 8)? })
    }

    /// The account of a stream; none if there is no such stream.
    pub fn stream(&self, stream: usize) -> Option<StreamAccount<'_>> {
        if stream >= self.streams {
            return None;
        }
        let at = HEADER_BYTES + self.slots * SLOT_WORDS * 8 + stream * STREAM_WORDS * 8;
        Some(StreamAccount { words: self.map.words(at)? })
    }

    /// What was appended to the account of a record; none if its owner has left the slot.
    #[inline]
    pub(crate) fn appended(&self, record: &Record) -> Option<&AtomicU64> {
        self.slot(record.slot)
            .filter(|slot| slot.is_owned_by(record.generation))
            .and_then(|slot| slot.delivery_word(record.delivery, APPENDED + record.kind as usize))
    }

    /// A record was acknowledged. One whose owner has left the slot no longer has an account here.
    pub(crate) fn delivered(&self, entry: &Entry) {
        let record = entry.record;
        if let Some(word) = self
            .slot(record.slot)
            .filter(|slot| slot.is_owned_by(record.generation))
            .and_then(|slot| slot.delivery_word(record.delivery, DELIVERED + record.kind as usize))
        {
            word.store(entry.counted, Ordering::Relaxed);
        }
    }

    /// Puts the books right after a capture role died: what it appended and did not commit is counted lost
    /// ([`LossReason::CaptureRestarted`]), like what it received and did not append. Returns how many that were.
    ///
    /// To be called by the new capture role with the producers of ALL streams, before the first append. The deliver
    /// role may go on meanwhile.
    pub fn settle(&self, producers: &[&Producer]) -> Result<u64, StreamError> {
        const KINDS: usize = RecordKind::ALL.len();
        // Waiting records first, delivered figures second: a record that delivery releases in between is seen twice,
        // never missed, and the higher of the two figures is right.
        let mut appended = vec![[[0u64; KINDS]; MAX_DELIVERIES]; self.slots];
        for producer in producers {
            for entry in producer.stream.waiting_entries() {
                let Entry { record, counted, .. } = entry?;
                let owned = self.slot(record.slot).is_some_and(|slot| slot.is_owned_by(record.generation));
                let account = appended
                    .get_mut(usize::from(record.slot))
                    .and_then(|slot| slot.get_mut(usize::from(record.delivery)))
                    .map(|delivery| &mut delivery[record.kind as usize]);
                if let Some(account) = account.filter(|_| owned) {
                    *account = (*account).max(counted);
                }
            }
        }
        let mut lost = 0;
        for (slot, found) in appended.iter().enumerate() {
            let Some(account) = u16::try_from(slot).ok().and_then(|slot| self.slot(slot)) else { continue };
            for (delivery, found) in (0u8..).zip(found).take(account.deliveries()) {
                for kind in RecordKind::ALL {
                    let word = |first| account.delivery_word(delivery, first + kind as usize);
                    if let (Some(appended), Some(delivered)) = (word(APPENDED), word(DELIVERED)) {
                        let truth = found[kind as usize].max(delivered.load(Ordering::Acquire));
                        appended.store(truth, Ordering::Release);
                    }
                }
                let Some(snapshot) = account.delivery_snapshot(delivery) else { continue };
                let missing = account.received().saturating_sub(snapshot.accounted());
                account.lost(delivery, LossReason::CaptureRestarted, missing);
                lost += missing;
            }
        }
        Ok(lost)
    }
}
