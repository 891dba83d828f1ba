//! The filter before the tables, written. The kernel sees bits; here they are counted, so that one that several selectors
//! share is cleared with the last of them.
//!
//! Of the filter's memory only so much is in use as there are selectors for: behind other work of the same processor a
//! few pages are still in its nearest cache, and the whole filter is not.

use crate::shared::SharedWords;
use rustix::thread::{MembarrierCommand, membarrier};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use writ_abi::{FilterMark, PrefixLengths};

/// How many marks a word has on average before the filter grows, if it can. Then not one address in a hundred that nobody
/// wants is looked up after all; with fewer marks the words would be further from the processor, which costs all of them.
const MOST_MARKS: usize = 4;

/// The filter, and what its bits stand for. Its only writer.
pub(super) struct Filter {
    words: SharedWords,
    /// Where the program reads how many words are in use, beside the prefix lengths; the words too while they are few.
    front: SharedWords,
    /// Number of words in use, a power of two, less one.
    last: u32,
    /// How often each mark was added.
    marks: HashMap<FilterMark, u32>,
    /// How many marks set each bit. One that has come to 255 stays set: it costs a look-up now and then, no more.
    counts: Vec<u8>,
}

impl Filter {
    /// `words` is empty; its length is a power of two, as the settings' check has it.
    pub(super) fn new(words: SharedWords, front: SharedWords) -> Self {
        let last = last_of(PrefixLengths::FILTER_WORDS);
        let filter = Self { words, front, last, marks: HashMap::new(), counts: counts(last) };
        filter.publish();
        filter
    }

    pub(super) fn add(&mut self, mark: FilterMark) {
        match self.marks.entry(mark) {
            Entry::Occupied(mut times) => {
                *times.get_mut() += 1;
                return;
            }
            Entry::Vacant(place) => place.insert(1),
        };
        let words = self.last as usize + 1;
        if self.marks.len() > words * MOST_MARKS && self.words.len() > words {
            self.grow();
        } else {
            self.set(mark);
        }
    }

    /// Sets what is missing of a mark that was added. Whether anything was.
    pub(super) fn put_right(&self, mark: FilterMark) -> bool {
        let Some(word) = self.word(mark.word(self.last) as usize) else { return false };
        word.fetch_or(mark.bits(), Ordering::SeqCst) & mark.bits() != mark.bits()
    }

    /// Takes back an [`Filter::add`].
    pub(super) fn remove(&mut self, mark: FilterMark) {
        let Entry::Occupied(mut times) = self.marks.entry(mark) else { return };
        *times.get_mut() -= 1;
        if *times.get() > 0 {
            return;
        }
        times.remove();
        let word = mark.word(self.last);
        let mut unused = 0;
        for bit in bits(mark) {
            let Some(count) = self.count(word, bit) else { continue };
            if *count != u8::MAX {
                *count = count.saturating_sub(1);
            }
            if *count == 0 {
                unused |= 1 << bit;
            }
        }
        if let Some(word) = self.word(word as usize) {
            word.fetch_and(!unused, Ordering::SeqCst);
        }
    }

    /// Doubles the part in use. At no moment does a mark seem not to be there: all are set where the larger part has them
    /// before the program is told of it, and what was set for the smaller part is cleared only when no run of the program
    /// can know of that part any more.
    fn grow(&mut self) {
        self.last = self.last << 1 | 1;
        self.counts = counts(self.last);
        let marks = std::mem::take(&mut self.marks);
        for mark in marks.keys() {
            self.set(*mark);
        }
        self.marks = marks;
        self.publish();
        // Returns when all that ran in a read-side critical section of RCU has left it, which every run of an XDP program
        // is. Where the kernel has no such call (nohz_full), the old bits stay: they cost a look-up now and then, no more.
        if membarrier(MembarrierCommand::Global).is_ok() {
            self.clear_unused();
        }
    }

    fn publish(&self) {
        if let Some(word) = self.front.word(0, PrefixLengths::FILTER_LAST) {
            word.store(self.last.into(), Ordering::SeqCst);
        }
    }

    fn clear_unused(&self) {
        for (index, counts) in self.counts.chunks_exact(u64::BITS as usize).enumerate() {
            let used =
                (0..u64::BITS).zip(counts).filter(|(_, count)| **count > 0).fold(0, |bits, (bit, _)| bits | 1 << bit);
            if let Some(word) = self.word(index) {
                word.store(used, Ordering::SeqCst);
            }
        }
    }

    fn set(&mut self, mark: FilterMark) {
        let word = mark.word(self.last);
        for bit in bits(mark) {
            if let Some(count) = self.count(word, bit) {
                *count = count.saturating_add(1);
            }
        }
        if let Some(word) = self.word(word as usize) {
            word.fetch_or(mark.bits(), Ordering::SeqCst);
        }
    }

    /// A word of the part in use.
    fn word(&self, index: usize) -> Option<&AtomicU64> {
        if self.last == last_of(PrefixLengths::FILTER_WORDS) {
            self.front.word(0, PrefixLengths::PLACES + index)
        } else {
            self.words.word(index, 0)
        }
    }

    fn count(&mut self, word: u32, bit: u32) -> Option<&mut u8> {
        self.counts.get_mut(word as usize * u64::BITS as usize + bit as usize)
    }
}

fn last_of(words: usize) -> u32 {
    u32::try_from(words).unwrap_or(u32::MAX).saturating_sub(1)
}

/// Zeroed memory that is touched where bits are set, and nowhere else.
fn counts(last: u32) -> Vec<u8> {
    vec![0; (last as usize + 1) * u64::BITS as usize]
}

/// The numbers of the bits, each once.
fn bits(mark: FilterMark) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |bit| mark.bits() & 1 << bit != 0)
}
