//! The account of one intercept: written by the capture role, its delivered figures by the deliver role, and the
//! kernel's figures of capture roles that are gone by the control role.

use super::loss::LossReason;
use super::memo;
use crate::stream::RecordKind;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many destinations one intercept can have. Each delivery sends a kind of record to one stream, always the same.
pub const MAX_DELIVERIES: usize = 4;

pub(super) const SLOT_WORDS: usize = FIRST_MEMO + memo::ALL_WORDS;
const GENERATION: usize = 0;
const DELIVERIES: usize = 1;
const MARKS: usize = 2;
const RECEIVED: usize = 3;
const RECEIVED_BYTES: usize = 4;
/// Two words.
const OWNER: usize = 5;
const STOP: usize = 7;
/// From here on [`DELIVERY_WORDS`] for each delivery.
const FIRST_DELIVERY: usize = 8;
const DELIVERY_WORDS: usize = 28;
const NEXT_SEQUENCE: usize = 0;
pub(super) const APPENDED: usize = 1;
pub(super) const DELIVERED: usize = 4;
const NEXT_EVENT: usize = 7;
const LOST: usize = 8;
const FORMER: usize = FIRST_DELIVERY + MAX_DELIVERIES * DELIVERY_WORDS;
/// How many figures of former capture roles are kept.
pub const FORMER_FIGURES: usize = 11;
const DUPLICATES: usize = FORMER + FORMER_FIGURES;
/// Packets destroyed by the second look.
const VIOLATIONS: usize = DUPLICATES + 1;
const TOLD_REVISION: usize = VIOLATIONS + 1;
/// The stop as the order has it; [`STOP`] belongs to it.
const ORDERED_STOP: usize = TOLD_REVISION + 1;
/// As [`FORMER`], of the capture role that lives.
const CURRENT: usize = ORDERED_STOP + 1;
/// Not 0: the owner's memos are to be finished.
const CLOSING: usize = CURRENT + FORMER_FIGURES;
const FIRST_MEMO: usize = 152;
const _: () = assert!(CLOSING < FIRST_MEMO);
const _: () = assert!(LOST + LossReason::ALL.len() <= DELIVERY_WORDS);

/// Marks a slot that nobody owns; generations are 16 bits.
const NOBODY: u64 = u64::MAX;

/// Whether a slot with these words is kept for somebody.
pub(super) fn is_kept(words: &[u64; SLOT_WORDS]) -> bool {
    words[OWNER] != 0 || words[OWNER + 1] != 0
}

/// The account of one slot.
///
/// Received counts go up before the packet is appended or counted lost, so that the books are never ahead.
#[derive(Clone, Copy)]
pub struct SlotAccount<'a> {
    pub(super) words: &'a [AtomicU64; SLOT_WORDS],
}

impl<'a> SlotAccount<'a> {
    /// Makes fresh memory nobody's.
    pub(super) fn disown(self) {
        self.words[GENERATION].store(NOBODY, Ordering::Release);
    }

    /// A new owner with so many deliveries (at most [`MAX_DELIVERIES`]): every figure starts at zero.
    ///
    /// By the capture role, before the intercept is armed, and only when nothing of the former owner waits.
    pub fn reset(&self, generation: u16, deliveries: usize) {
        self.words[GENERATION].store(NOBODY, Ordering::Release);
        for word in &self.words[GENERATION + 1..] {
            word.store(0, Ordering::Relaxed);
        }
        self.words[DELIVERIES].store(deliveries.min(MAX_DELIVERIES) as u64, Ordering::Relaxed);
        self.words[STOP].store(u64::MAX, Ordering::Relaxed);
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

    /// Notes for whom the slot is kept, by a number of the caller's that is not 0. A control role that has lost its
    /// memory finds here whose the slot is.
    pub fn set_owner(&self, owner: u128) {
        self.words[OWNER].store(owner as u64, Ordering::Relaxed);
        self.words[OWNER + 1].store((owner >> 64) as u64, Ordering::Release);
    }

    /// For whom the slot is kept; none once it was given back.
    pub fn owner(&self) -> Option<u128> {
        let high = self.words[OWNER + 1].load(Ordering::Acquire);
        let owner = u128::from(high) << 64 | u128::from(self.words[OWNER].load(Ordering::Relaxed));
        (owner != 0).then_some(owner)
    }

    /// The slot is kept for nobody any more. Its figures and its generation stay until the next owner's
    /// [`SlotAccount::reset`]. By the control role, once the owner's final figures are recorded and nothing waits.
    pub fn give_back(&self) {
        self.set_owner(0);
    }

    /// Whether something of this owner waits for an agency.
    pub fn has_waiting(&self) -> bool {
        let mut snapshots = (0u8..).take(self.deliveries()).filter_map(|delivery| self.delivery_snapshot(delivery));
        snapshots.any(|snapshot| RecordKind::ALL.iter().any(|kind| snapshot.waiting(*kind) > 0))
    }

    /// Asks the deliver role to finish this owner's memos: nothing new comes of it. By the control role.
    pub fn close_memos(&self) {
        self.words[CLOSING].store(1, Ordering::Release);
    }

    /// Whether that was asked.
    pub fn is_closing_memos(&self) -> bool {
        self.words[CLOSING].load(Ordering::Acquire) != 0
    }

    pub(super) fn memo_words(&self) -> &'a [AtomicU64] {
        &self.words[FIRST_MEMO..]
    }

    /// Notes what the stop of this owner's order (`ordered`: UTC, nanoseconds) is by `CLOCK_BOOTTIME` (nanoseconds), and
    /// gives the earliest ever noted for it. It outlives the capture role, so a clock that was set back does not lengthen an
    /// order when that role comes back. Only an order with a later stop has a later one here.
    pub fn stop_no_later(&self, ordered: u64, stop_ns: u64) -> u64 {
        let before = if ordered > self.words[ORDERED_STOP].load(Ordering::Acquire) {
            u64::MAX
        } else {
            self.words[STOP].load(Ordering::Acquire)
        };
        let stop_ns = stop_ns.min(before);
        self.words[STOP].store(stop_ns, Ordering::Release);
        self.words[ORDERED_STOP].store(ordered, Ordering::Release);
        stop_ns
    }

    /// Notes the revision of the owner's order whose targets the agencies have been told.
    pub fn set_told_revision(&self, revision: u32) {
        self.words[TOLD_REVISION].store(revision.into(), Ordering::Release);
    }

    /// The revision of the owner's order whose targets the agencies have been told; 0 if none was noted.
    pub fn told_revision(&self) -> u32 {
        u32::try_from(self.words[TOLD_REVISION].load(Ordering::Acquire)).unwrap_or(0)
    }

    /// How many deliveries the owner has.
    pub fn deliveries(&self) -> usize {
        usize::try_from(self.words[DELIVERIES].load(Ordering::Relaxed)).unwrap_or(usize::MAX).min(MAX_DELIVERIES)
    }

    #[inline]
    pub(super) fn delivery_word(self, delivery: u8, word: usize) -> Option<&'a AtomicU64> {
        let delivery = usize::from(delivery);
        if delivery >= self.deliveries() {
            return None;
        }
        self.words.get(FIRST_DELIVERY + delivery * DELIVERY_WORDS + word)
    }

    /// Counts packets that a worker took from a ring for this slot.
    #[inline]
    pub fn receive(&self, packets: u64, bytes: u64) {
        self.words[RECEIVED].fetch_add(packets, Ordering::Relaxed);
        self.words[RECEIVED_BYTES].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a packet, of those received, that was seen before.
    #[inline]
    pub fn duplicate(&self) {
        self.words[DUPLICATES].fetch_add(1, Ordering::Relaxed);
    }

    /// Packets that workers took from the rings for this slot.
    pub fn received(&self) -> u64 {
        self.words[RECEIVED].load(Ordering::Relaxed)
    }

    /// Counts a packet that the kernel gave to this slot and a worker destroyed, because its addresses are not the
    /// intercept's ([`LossReason::IsolationViolation`]).
    pub fn violated(&self) {
        self.words[VIOLATIONS].fetch_add(1, Ordering::Relaxed);
    }

    /// Packets that workers destroyed ([`SlotAccount::violated`]).
    pub fn violations(&self) -> u64 {
        self.words[VIOLATIONS].load(Ordering::Relaxed)
    }

    /// Packets of this slot that workers took from the rings: received or destroyed.
    pub fn seen(&self) -> u64 {
        self.received() + self.violations()
    }

    /// Keeps what the kernel counted for capture roles that are gone, whose tables went with them: a control role that
    /// comes back finds it here. What each figure is, is the caller's. By the control role alone.
    pub fn keep_former(&self, figures: [u64; FORMER_FIGURES]) {
        for (word, figure) in self.words[FORMER..].iter().zip(figures) {
            word.store(figure, Ordering::Relaxed);
        }
    }

    /// What [`SlotAccount::keep_former`] kept for this owner; zeros if nothing.
    pub fn former(&self) -> [u64; FORMER_FIGURES] {
        std::array::from_fn(|figure| self.words[FORMER + figure].load(Ordering::Relaxed))
    }

    /// Keeps what the kernel counted so far for the capture role that lives, in the form of [`SlotAccount::keep_former`]: known
    /// to the next run if this one is killed. By the control role alone.
    pub fn keep_current(&self, figures: [u64; FORMER_FIGURES]) {
        for (word, figure) in self.words[CURRENT..].iter().zip(figures) {
            word.store(figure, Ordering::Relaxed);
        }
    }

    /// The capture role that lived is one of the former ones.
    pub(super) fn close_current(self) {
        for (former, current) in self.words[FORMER..].iter().zip(&self.words[CURRENT..][..FORMER_FIGURES]) {
            former.fetch_add(current.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// An account as a former run left it.
    pub(super) fn restore(self, words: &[u64; SLOT_WORDS]) {
        for (word, value) in self.words.iter().zip(words) {
            word.store(*value, Ordering::Relaxed);
        }
    }

    /// What waited is gone with the memory that it waited in, and is lost. Events that did not arrive have not been told.
    /// Gives how many PDUs that were.
    pub(super) fn write_off_waiting(self, reason: LossReason) -> u64 {
        let mut gone = 0;
        for delivery in (0u8..).take(self.deliveries()) {
            for kind in RecordKind::ALL {
                let word = |first| self.delivery_word(delivery, first + kind as usize);
                let (Some(appended), Some(delivered)) = (word(APPENDED), word(DELIVERED)) else { continue };
                let delivered = delivered.load(Ordering::Relaxed);
                let waited = appended.swap(delivered, Ordering::Relaxed).saturating_sub(delivered);
                gone += waited;
                match kind {
                    RecordKind::Content | RecordKind::HeaderReport => self.lost(delivery, reason, waited),
                    RecordKind::Event if waited > 0 => {
                        self.words[MARKS].store(0, Ordering::Relaxed);
                        self.set_told_revision(0);
                    }
                    RecordKind::Event => {}
                }
            }
        }
        gone
    }

    /// The stop that was noted is of a boot time that is over.
    pub(super) fn forget_stop(self) {
        self.words[STOP].store(u64::MAX, Ordering::Relaxed);
        self.words[ORDERED_STOP].store(0, Ordering::Relaxed);
    }

    /// These figures may be old: every number goes on so much further, and none was counted that was not received.
    pub(super) fn jump(self, numbers: u64) {
        for delivery in (0u8..).take(self.deliveries()) {
            for next in [NEXT_SEQUENCE, NEXT_EVENT].into_iter().filter_map(|word| self.delivery_word(delivery, word)) {
                next.fetch_add(numbers, Ordering::Relaxed);
            }
            let accounted = self.delivery_snapshot(delivery).map_or(0, |snapshot| snapshot.accounted());
            self.words[RECEIVED].fetch_max(accounted, Ordering::Relaxed);
        }
    }

    /// Reserves `count` sequence numbers of one delivery and returns the first; none if there is no such delivery.
    /// Numbers of packets that are lost afterwards stay used: the agency sees the gap.
    #[inline]
    pub fn reserve_sequence(&self, delivery: u8, count: u64) -> Option<u64> {
        Some(self.delivery_word(delivery, NEXT_SEQUENCE)?.fetch_add(count, Ordering::Relaxed))
    }

    /// The same of the series that identifying information has where the handover numbers it: reports and events.
    #[inline]
    pub fn reserve_event(&self, delivery: u8, count: u64) -> Option<u64> {
        Some(self.delivery_word(delivery, NEXT_EVENT)?.fetch_add(count, Ordering::Relaxed))
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

    pub(super) fn delivery_snapshot(&self, delivery: u8) -> Option<DeliverySnapshot> {
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
            duplicates: self.words[DUPLICATES].load(Ordering::Relaxed),
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
    /// Of these packets, seen before.
    pub duplicates: u64,
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
