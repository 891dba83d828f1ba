//! The filter before the tables, written. The kernel sees bits; here they are counted, so that one that several selectors
//! share is cleared with the last of them.

use crate::shared::SharedWords;
use std::sync::atomic::Ordering;
use writ_abi::FilterMark;

/// The filter, and what its bits stand for. Its only writer.
pub(super) struct Filter {
    words: SharedWords,
    /// Number of words, a power of two, less one.
    last: u32,
    /// How many selectors set each bit. One that has come to 255 stays set: it costs a look-up now and then, no more.
    counts: Vec<u8>,
}

impl Filter {
    /// `words` is empty; its length is a power of two, as the settings' check has it.
    pub(super) fn new(words: SharedWords) -> Self {
        let last = u32::try_from(words.len()).unwrap_or(u32::MAX).saturating_sub(1);
        // Zeroed memory that is touched where bits are set, and nowhere else.
        let counts = vec![0; words.len() * u64::BITS as usize];
        Self { words, last, counts }
    }

    pub(super) fn add(&mut self, mark: FilterMark) {
        let word = mark.word(self.last);
        for bit in bits(mark) {
            if let Some(count) = self.count(word, bit) {
                *count = count.saturating_add(1);
            }
        }
        if let Some(word) = self.words.word(word as usize, 0) {
            word.fetch_or(mark.bits(), Ordering::SeqCst);
        }
    }

    /// Takes back an [`Filter::add`].
    pub(super) fn remove(&mut self, mark: FilterMark) {
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
        if let Some(word) = self.words.word(word as usize, 0) {
            word.fetch_and(!unused, Ordering::SeqCst);
        }
    }

    fn count(&mut self, word: u32, bit: u32) -> Option<&mut u8> {
        self.counts.get_mut(word as usize * u64::BITS as usize + bit as usize)
    }
}

/// The numbers of the bits, each once.
fn bits(mark: FilterMark) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |bit| mark.bits() & 1 << bit != 0)
}
