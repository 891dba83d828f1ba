//! The ledger: what was received, appended, delivered and lost, by intercept, in memory that outlives every role.
//!
//! `received = delivered + waiting + lost` holds for each delivery of each slot, where `waiting` is what was appended
//! and is not delivered. It survives `kill -9` of either side, because neither figure is ever guessed: a record carries
//! its ordinal in its account, so the consumer stores "ordinal + 1 delivered" rather than adding one (doing it twice
//! changes nothing), and [`Ledger::settle`] finds what was truly appended from the records that are there.

use crate::map::{Map, MapError};
use crate::producer::Producer;
use crate::stream::{Entry, RecordKind, StreamError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many destinations one intercept can have. Each delivery sends a kind of record to one stream, always the same.
pub const MAX_DELIVERIES: usize = 4;

const MAGIC: u64 = u64::from_le_bytes(*b"WRITLEDG");
const VERSION: u64 = 1;
const HEADER_BYTES: usize = 4096;
const AT_MAGIC: usize = 0;
const AT_VERSION: usize = 8;
const AT_SLOTS: usize = 16;
const AT_STREAMS: usize = 24;

const SLOT_WORDS: usize = 128;
const GENERATION: usize = 0;
const DELIVERIES: usize = 1;
const MARKS: usize = 2;
const RECEIVED: usize = 3;
const RECEIVED_BYTES: usize = 4;
/// From here on [`DELIVERY_WORDS`] for each delivery.
const FIRST_DELIVERY: usize = 8;
const DELIVERY_WORDS: usize = 30;
const NEXT_SEQUENCE: usize = 0;
const APPENDED: usize = 1;
const DELIVERED: usize = 4;
const LOST: usize = 7;
const _: () = assert!(FIRST_DELIVERY + MAX_DELIVERIES * DELIVERY_WORDS <= SLOT_WORDS);
const _: () = assert!(LOST + LossReason::ALL.len() <= DELIVERY_WORDS);

/// Marks a slot that nobody owns; generations are 16 bits.
const NOBODY: u64 = u64::MAX;

const STREAM_WORDS: usize = 32;

macro_rules! loss_reasons {
    ($($(#[$doc:meta])+ $name:ident = $label:literal),+ $(,)?) => {
        /// Why a packet of an intercept did not reach the agency.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum LossReason { $($(#[$doc])+ $name),+ }

        impl LossReason {
            /// All of them, in order of their index.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name that `status` and metrics use.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }
        }
    };
}

loss_reasons! {
    /// The stream's memory was full: delivery is slower than capture, or away.
    SpoolFull = "spool_full",
    /// The PDU could not be encoded.
    EncodeFailed = "encode_failed",
    /// In the hands of a capture role that died.
    CaptureRestarted = "capture_restarted",
    /// The intercept was gone from its slot before the packet could be appended.
    Stale = "stale",
    /// Before receipt: the ring to user space was full, or held it when the capture role died.
    RingFull = "ring_full",
    /// Before receipt: no socket was bound to its queue.
    NoSocket = "no_socket",
    /// Before receipt: the cut to headers failed in the kernel.
    CutFailed = "cut_failed",
    /// Before receipt: destroyed because its addresses were not those of the intercept.
    IsolationViolation = "isolation_violation",
}

impl LossReason {
    /// Whether such a packet was counted as received by a worker first.
    pub const fn after_receipt(self) -> bool {
        matches!(self, Self::SpoolFull | Self::EncodeFailed | Self::CaptureRestarted | Self::Stale)
    }
}

/// State of a session with an agency's endpoint.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// No deliver role has touched it yet.
    #[default]
    Idle = 0,
    /// Resolving, connecting or in the TLS handshake.
    Connecting = 1,
    /// Open: PDUs flow.
    Connected = 2,
    /// Waiting to try again.
    BackingOff = 3,
    /// Ended by the operator.
    Stopped = 4,
}

impl SessionState {
    const ALL: [Self; 5] = [Self::Idle, Self::Connecting, Self::Connected, Self::BackingOff, Self::Stopped];

    /// The name that `status` and metrics use.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::BackingOff => "backing_off",
            Self::Stopped => "stopped",
        }
    }
}

/// The table. Every figure is an atomic: any role may read at any time, and each has one role that writes it.
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
        for (at, value) in
            [(AT_VERSION, VERSION), (AT_SLOTS, slots as u64), (AT_STREAMS, streams as u64), (AT_MAGIC, MAGIC)]
        {
            map.word(at).ok_or(io::ErrorKind::InvalidData)?.store(value, Ordering::Release);
        }
        let ledger = Self { map, slots, streams };
        for slot in (0..slots).filter_map(|slot| ledger.slot(u16::try_from(slot).ok()?)) {
            slot.words[GENERATION].store(NOBODY, Ordering::Release);
        }
        Ok(fd)
    }

    /// Maps a ledger.
    pub fn open(memory: impl AsFd) -> Result<Self, MapError> {
        const WRONG: MapError = MapError::WrongLayout { expected: "ledger" };
        let map = Map::open(memory)?;
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

    /// A record was acknowledged. One whose owner has left the slot no longer has an account here.
    pub(crate) fn delivered(&self, entry: &Entry) {
        let record = entry.record;
        if let Some(word) = self
            .slot(record.slot)
            .filter(|slot| slot.is_owned_by(record.generation))
            .and_then(|slot| slot.delivery_word(record.delivery, DELIVERED + record.kind as usize))
        {
            word.store(entry.ordinal + 1, Ordering::Relaxed);
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
                let Entry { record, ordinal, .. } = entry?;
                let owned = self.slot(record.slot).is_some_and(|slot| slot.is_owned_by(record.generation));
                let account = appended
                    .get_mut(usize::from(record.slot))
                    .and_then(|slot| slot.get_mut(usize::from(record.delivery)))
                    .map(|delivery| &mut delivery[record.kind as usize]);
                if let Some(account) = account.filter(|_| owned) {
                    *account = (*account).max(ordinal + 1);
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

/// The account of one slot.
///
/// Received counts go up before the packet is appended or counted lost, so that the books are never ahead.
#[derive(Clone, Copy)]
pub struct SlotAccount<'a> {
    words: &'a [AtomicU64; SLOT_WORDS],
}

impl<'a> SlotAccount<'a> {
    /// A new owner with so many deliveries (at most [`MAX_DELIVERIES`]): every figure starts at zero.
    ///
    /// By the capture role, before the intercept is armed, and only when nothing of the former owner waits.
    pub fn reset(&self, generation: u16, deliveries: usize) {
        self.words[GENERATION].store(NOBODY, Ordering::Release);
        for word in &self.words[GENERATION + 1..] {
            word.store(0, Ordering::Relaxed);
        }
        self.words[DELIVERIES].store(deliveries.min(MAX_DELIVERIES) as u64, Ordering::Relaxed);
        self.words[GENERATION].store(u64::from(generation), Ordering::Release);
    }

    /// The owner's generation; none if the slot was never owned.
    pub fn generation(&self) -> Option<u16> {
        u16::try_from(self.words[GENERATION].load(Ordering::Acquire)).ok()
    }

    /// Whether the slot is `generation`'s.
    #[inline]
    pub fn is_owned_by(&self, generation: u16) -> bool {
        self.words[GENERATION].load(Ordering::Acquire) == u64::from(generation)
    }

    /// How many deliveries the owner has.
    pub fn deliveries(&self) -> usize {
        usize::try_from(self.words[DELIVERIES].load(Ordering::Relaxed)).unwrap_or(usize::MAX).min(MAX_DELIVERIES)
    }

    #[inline]
    fn delivery_word(self, delivery: u8, word: usize) -> Option<&'a AtomicU64> {
        let delivery = usize::from(delivery);
        if delivery >= self.deliveries() {
            return None;
        }
        self.words.get(FIRST_DELIVERY + delivery * DELIVERY_WORDS + word)
    }

    #[inline]
    pub(crate) fn appended(self, delivery: u8, kind: RecordKind) -> Option<&'a AtomicU64> {
        self.delivery_word(delivery, APPENDED + kind as usize)
    }

    /// Counts packets that a worker took from a ring for this slot.
    #[inline]
    pub fn receive(&self, packets: u64, bytes: u64) {
        self.words[RECEIVED].fetch_add(packets, Ordering::Relaxed);
        self.words[RECEIVED_BYTES].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Packets that workers took from the rings for this slot.
    pub fn received(&self) -> u64 {
        self.words[RECEIVED].load(Ordering::Relaxed)
    }

    /// Reserves `count` sequence numbers of one delivery and returns the first; none if there is no such delivery.
    /// Numbers of packets that are lost afterwards stay used: the agency sees the gap.
    #[inline]
    pub fn reserve_sequence(&self, delivery: u8, count: u64) -> Option<u64> {
        Some(self.delivery_word(delivery, NEXT_SEQUENCE)?.fetch_add(count, Ordering::Relaxed))
    }

    /// Counts packets of one delivery as lost.
    #[inline]
    pub fn lost(&self, delivery: u8, reason: LossReason, packets: u64) {
        if let Some(word) = self.delivery_word(delivery, LOST + reason as usize) {
            word.fetch_add(packets, Ordering::Relaxed);
        }
    }

    /// Marks one of 64 things as done for this owner, and says whether it was done before. What the marks mean is the
    /// caller's: they let a new capture role know which session events its predecessor wrote.
    pub fn mark(&self, mark: u8) -> bool {
        let bit = 1u64 << (mark % 64);
        self.words[MARKS].fetch_or(bit, Ordering::AcqRel) & bit != 0
    }

    /// Whether a mark is set.
    pub fn is_marked(&self, mark: u8) -> bool {
        self.words[MARKS].load(Ordering::Acquire) & (1u64 << (mark % 64)) != 0
    }

    fn delivery_snapshot(&self, delivery: u8) -> Option<DeliverySnapshot> {
        let load = |word| Some(self.delivery_word(delivery, word)?.load(Ordering::Relaxed));
        // Delivered before appended: a record is appended first, so `waiting` cannot come out negative.
        let mut snapshot = DeliverySnapshot { next_sequence: load(NEXT_SEQUENCE)?, ..DeliverySnapshot::default() };
        for kind in RecordKind::ALL {
            snapshot.delivered[kind as usize] = load(DELIVERED + kind as usize)?;
        }
        for kind in RecordKind::ALL {
            snapshot.appended[kind as usize] = load(APPENDED + kind as usize)?;
        }
        for reason in LossReason::ALL {
            snapshot.lost[*reason as usize] = load(LOST + *reason as usize)?;
        }
        Some(snapshot)
    }

    /// All figures, read one after the other; none if the slot was never owned.
    pub fn snapshot(&self) -> Option<SlotSnapshot> {
        let generation = self.generation()?;
        let deliveries =
            (0u8..).take(self.deliveries()).filter_map(|delivery| self.delivery_snapshot(delivery)).collect();
        Some(SlotSnapshot {
            generation,
            deliveries,
            received: self.received(),
            received_bytes: self.words[RECEIVED_BYTES].load(Ordering::Relaxed),
        })
    }
}

/// Figures of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSnapshot {
    /// The owner.
    pub generation: u16,
    /// Packets that workers took from the rings.
    pub received: u64,
    /// Their bytes, as the caller of [`SlotAccount::receive`] counts them.
    pub received_bytes: u64,
    /// One each destination.
    pub deliveries: Vec<DeliverySnapshot>,
}

/// Figures of one delivery of a slot. Arrays are indexed by [`RecordKind`] and [`LossReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliverySnapshot {
    /// The next sequence number.
    pub next_sequence: u64,
    /// PDUs put into streams.
    pub appended: [u64; RecordKind::ALL.len()],
    /// PDUs acknowledged by the agency.
    pub delivered: [u64; RecordKind::ALL.len()],
    /// Packets lost.
    pub lost: [u64; LossReason::ALL.len()],
}

impl DeliverySnapshot {
    /// PDUs acknowledged by the agency.
    pub fn delivered(&self, kind: RecordKind) -> u64 {
        self.delivered[kind as usize]
    }

    /// PDUs in a stream that are not acknowledged yet.
    pub fn waiting(&self, kind: RecordKind) -> u64 {
        self.appended[kind as usize].saturating_sub(self.delivered[kind as usize])
    }

    /// Packets lost for one reason.
    pub fn lost(&self, reason: LossReason) -> u64 {
        self.lost[reason as usize]
    }

    /// Packets lost in all.
    pub fn lost_total(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// Received packets whose fate is known: content and header reports appended, and losses after receipt.
    pub fn accounted(&self) -> u64 {
        let packets = self.appended[RecordKind::Content as usize] + self.appended[RecordKind::HeaderReport as usize];
        let lost: u64 = LossReason::ALL.iter().filter(|reason| reason.after_receipt()).map(|r| self.lost(*r)).sum();
        packets + lost
    }
}

/// The account of one stream: written by its deliver thread.
#[derive(Clone, Copy)]
pub struct StreamAccount<'a> {
    words: &'a [AtomicU64; STREAM_WORDS],
}

const STATE: usize = 0;
const STATE_SINCE: usize = 1;
const SESSIONS: usize = 2;
const ATTEMPTS_FAILED: usize = 3;
const FAILURE: usize = 4;
const SENT_BYTES: usize = 5;
const DELIVERED_RECORDS: usize = 6;
const DELIVERED_BYTES: usize = 7;
const RESENT_RECORDS: usize = 8;

impl StreamAccount<'_> {
    /// Notes a change of state; `since` in microseconds of UTC since 1970.
    pub fn set_state(&self, state: SessionState, since: u64) {
        self.words[STATE].store(state as u64, Ordering::Relaxed);
        self.words[STATE_SINCE].store(since, Ordering::Relaxed);
    }

    /// A session was opened.
    pub fn opened(&self) {
        self.words[SESSIONS].fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt to open a session failed.
    pub fn attempt_failed(&self) {
        self.words[ATTEMPTS_FAILED].fetch_add(1, Ordering::Relaxed);
    }

    /// Why the last attempt or session ended: a code of the delivery crate's, 0 for none.
    pub fn set_failure(&self, code: u64) {
        self.words[FAILURE].store(code, Ordering::Relaxed);
    }

    /// Bytes of PDUs handed to the connection.
    pub fn sent(&self, bytes: u64) {
        self.words[SENT_BYTES].fetch_add(bytes, Ordering::Relaxed);
    }

    /// PDUs acknowledged.
    pub fn delivered(&self, records: u64, bytes: u64) {
        self.words[DELIVERED_RECORDS].fetch_add(records, Ordering::Relaxed);
        self.words[DELIVERED_BYTES].fetch_add(bytes, Ordering::Relaxed);
    }

    /// PDUs that go out again after a connection was lost.
    pub fn resent(&self, records: u64) {
        self.words[RESENT_RECORDS].fetch_add(records, Ordering::Relaxed);
    }

    /// All figures, read one after the other.
    pub fn snapshot(&self) -> StreamSnapshot {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let state = usize::try_from(load(&self.words[STATE])).ok();
        StreamSnapshot {
            state: state.and_then(|state| SessionState::ALL.get(state)).copied().unwrap_or_default(),
            state_since: load(&self.words[STATE_SINCE]),
            sessions: load(&self.words[SESSIONS]),
            attempts_failed: load(&self.words[ATTEMPTS_FAILED]),
            failure: load(&self.words[FAILURE]),
            sent_bytes: load(&self.words[SENT_BYTES]),
            delivered_records: load(&self.words[DELIVERED_RECORDS]),
            delivered_bytes: load(&self.words[DELIVERED_BYTES]),
            resent_records: load(&self.words[RESENT_RECORDS]),
        }
    }
}

/// Figures of one stream, of all slots together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamSnapshot {
    /// State of the session.
    pub state: SessionState,
    /// When it took that state: microseconds of UTC since 1970.
    pub state_since: u64,
    /// Sessions opened. All but the first were reconnects.
    pub sessions: u64,
    /// Attempts to open one that failed.
    pub attempts_failed: u64,
    /// Why the last attempt or session ended: a code of the delivery crate's, 0 for none.
    pub failure: u64,
    /// Bytes of PDUs handed to connections, repeats included.
    pub sent_bytes: u64,
    /// PDUs acknowledged. A kill of the deliver role can make it fall short by one batch; the slots' figures cannot.
    pub delivered_records: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// PDUs that went out again after a connection was lost.
    pub resent_records: u64,
}
