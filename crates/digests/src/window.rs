//! One window: the digest of its PDUs as far as they have come, and which numbers those bear. Its state is a few words, for
//! memory that outlives the process.

use crate::line::{Line, Range, Stream};
use crate::running::{RUNNING_WORDS, Running};
use std::fmt::Write;

/// Numbers in a window.
pub const WINDOW_NUMBERS: u64 = 1024;
/// Words of a window's state: its number, flags, the digest so far, a bit for each number that has come.
pub const STATE_WORDS: usize = 2 + RUNNING_WORDS + BIT_WORDS;

const BIT_WORDS: usize = (WINDOW_NUMBERS / 64) as usize;
const FLAG_OPEN: u64 = 1;
const FLAG_BROKEN: u64 = 2;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    index: u64,
    digest: Running,
    come: [u64; BIT_WORDS],
    is_broken: bool,
}

impl Window {
    /// The window that a number lies in, empty.
    pub fn of(stream: Stream, number: u64) -> Self {
        let index = number / WINDOW_NUMBERS;
        let mut digest = Running::new();
        digest.update(b"writ delivered window");
        digest.update(stream.name().as_bytes());
        digest.update(&index.to_be_bytes());
        Self { index, digest, come: [0; BIT_WORDS], is_broken: false }
    }

    /// Whether a number lies in it.
    #[inline]
    pub fn holds(&self, number: u64) -> bool {
        number / WINDOW_NUMBERS == self.index
    }

    /// Takes the next PDU. One whose number is not in the window, or not behind those that have come, is not taken: a window
    /// never runs back.
    #[inline]
    pub fn take(&mut self, number: u64, pdu: &[u8]) -> bool {
        if !self.holds(number) || self.last().is_some_and(|last| number <= last) {
            return false;
        }
        self.digest.update(&number.to_be_bytes());
        self.digest.update(pdu);
        let place = number % WINDOW_NUMBERS;
        self.come[(place / 64) as usize] |= 1 << (place % 64);
        true
    }

    /// Notes that numbers which have not come here may have been delivered all the same: whoever kept this was interrupted.
    pub fn set_broken(&mut self) {
        self.is_broken = true;
    }

    /// The highest number that has come.
    #[inline]
    pub fn last(&self) -> Option<u64> {
        let word = self.come.iter().rposition(|word| *word != 0)?;
        let bit = 63 - u64::from(self.come[word].leading_zeros());
        Some(self.begin() + word as u64 * 64 + bit)
    }

    fn begin(&self) -> u64 {
        self.index.saturating_mul(WINDOW_NUMBERS)
    }

    /// Whether a number has come.
    pub fn has(&self, number: u64) -> bool {
        let place = number % WINDOW_NUMBERS;
        self.holds(number) && self.come[(place / 64) as usize] & 1 << (place % 64) != 0
    }

    /// What is written down of it; nothing of one that nothing has come for.
    pub fn line(&self, stream: Stream) -> Option<Line> {
        let last = self.last()?;
        let mut missing: Vec<Range> = Vec::new();
        let mut first = last;
        for place in (0..=last - self.begin()).rev() {
            let number = self.begin() + place;
            if self.has(number) {
                first = number;
                continue;
            }
            match missing.last_mut() {
                Some(range) if range.first == number + 1 => range.first = number,
                _ => missing.push(Range { first: number, last: number }),
            }
        }
        missing.reverse();
        let count = self.come.iter().map(|word| u64::from(word.count_ones())).sum();
        let value = self.digest.value();
        let sha256 = value.iter().fold(String::with_capacity(2 * value.len()), |mut text, octet| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        });
        let is_broken = self.is_broken;
        Some(Line { stream, window: self.index, first, last, count, missing, sha256, is_broken })
    }

    /// Its state.
    pub fn to_words(&self) -> [u64; STATE_WORDS] {
        let mut words = [0; STATE_WORDS];
        let flags = FLAG_OPEN | if self.is_broken { FLAG_BROKEN } else { 0 };
        let state = [self.index, flags].into_iter().chain(self.digest.to_words()).chain(self.come);
        for (word, value) in words.iter_mut().zip(state) {
            *word = value;
        }
        words
    }

    /// The window that left this state; none if the words are all zero, or none of this program's.
    pub fn from_words(words: &[u64; STATE_WORDS]) -> Option<Self> {
        let [index, flags, state @ ..] = words;
        if flags & FLAG_OPEN == 0 || *index > u64::MAX / WINDOW_NUMBERS {
            return None;
        }
        let (digest, come) = state.split_first_chunk()?;
        let (digest, come) = (Running::from_words(digest), come.try_into().ok()?);
        Some(Self { index: *index, digest, come, is_broken: flags & FLAG_BROKEN != 0 })
    }
}
