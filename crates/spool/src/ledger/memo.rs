//! Memos: a few words that the deliver role keeps of each stream of each delivery, and how far in the stream they go. What
//! the words mean is the caller's.
//!
//! They are in step with what is released: stored before the records they are about are given back, with the place of the
//! last of them. A deliver role that comes back after `kill -9` leaves out what they hold already.

use super::slot::{MAX_DELIVERIES, SlotAccount};
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a memo that are the caller's.
pub const MEMO_WORDS: usize = 31;
/// Streams of a delivery.
const STREAMS: usize = 2;

/// How often it was stored: says which of the two copies is good.
const STORED: usize = 0;
/// Not 0: see [`Memo::is_interrupted`].
const INTERRUPTED: usize = 1;
const FIRST_COPY: usize = 2;
/// A place, and the caller's words.
const COPY: usize = 1 + MEMO_WORDS;
const WORDS: usize = FIRST_COPY + 2 * COPY;
/// Of all memos of a slot.
pub(super) const ALL_WORDS: usize = MAX_DELIVERIES * STREAMS * WORDS;

/// The memo of one stream of one delivery. Its deliver thread writes it; anybody may read.
#[derive(Clone, Copy)]
pub struct Memo<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Memo<'a> {
    pub(super) fn of(all: &'a [AtomicU64], delivery: u8, stream: usize) -> Option<Self> {
        let begin = (usize::from(delivery) * STREAMS + stream) * WORDS;
        (stream < STREAMS).then(|| all.get(begin..begin + WORDS)).flatten().map(|words| Self { words })
    }

    fn copy(&self, stored: u64) -> &'a [AtomicU64] {
        &self.words[FIRST_COPY + (stored % 2) as usize * COPY..][..COPY]
    }

    /// The words as they were stored last, zeros if never, and the place in the stream up to which they go.
    pub fn load(&self) -> ([u64; MEMO_WORDS], u64) {
        loop {
            let stored = self.words[STORED].load(Ordering::Acquire);
            let [place, words @ ..] = self.copy(stored) else { return ([0; MEMO_WORDS], 0) };
            let place = place.load(Ordering::Acquire);
            let found = std::array::from_fn(|word| words[word].load(Ordering::Acquire));
            // Two stores later it would be the same copy that is being written.
            if self.words[STORED].load(Ordering::Acquire) == stored {
                return (found, place);
            }
        }
    }

    /// Stores words that go up to `place` of the stream. Whenever the process is killed, the former ones or these are there.
    pub fn store(&self, found: &[u64; MEMO_WORDS], place: u64) {
        let stored = self.words[STORED].load(Ordering::Relaxed).wrapping_add(1);
        for (word, value) in self.copy(stored).iter().zip(std::iter::once(&place).chain(found)) {
            word.store(*value, Ordering::Release);
        }
        self.words[STORED].store(stored, Ordering::Release);
    }

    /// Whether the probe ended, with its memory or with PDUs on their way, since the words were stored: the agency may have
    /// got what is not in them.
    pub fn is_interrupted(&self) -> bool {
        self.words[INTERRUPTED].load(Ordering::Acquire) != 0
    }

    /// The words say by now that there was an interruption.
    pub fn interruption_noted(&self) {
        self.words[INTERRUPTED].store(0, Ordering::Release);
    }
}

impl<'a> SlotAccount<'a> {
    /// The memo of a stream (0: CmII, 1: CmC) of a delivery; none if there is no such delivery.
    pub fn memo(&self, delivery: u8, stream: usize) -> Option<Memo<'a>> {
        if usize::from(delivery) >= self.deliveries() { None } else { Memo::of(self.memo_words(), delivery, stream) }
    }

    fn memos(self) -> impl Iterator<Item = Memo<'a>> {
        let each = move |delivery| (0..STREAMS).filter_map(move |stream| self.memo(delivery, stream));
        (0u8..).take(self.deliveries()).flat_map(each)
    }

    /// Whether all memos are empty: nothing was stored, or zeros in the end.
    pub fn has_no_memos(&self) -> bool {
        self.memos().all(|memo| memo.load().0 == [0; MEMO_WORDS])
    }

    /// The stream that the memos go along in is new, and what waited in the former one is gone, or not.
    pub(super) fn memos_after(self, interrupted: bool) {
        for memo in self.memos() {
            let (words, _) = memo.load();
            memo.store(&words, 0);
            if interrupted {
                memo.words[INTERRUPTED].store(1, Ordering::Release);
            }
        }
    }
}
