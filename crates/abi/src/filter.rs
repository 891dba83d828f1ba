//! What stands before the prefix tables: which prefix lengths there are at all, and a filter that says of nearly every
//! bystander's address that no table holds it. A look-up in a large hash map costs as much as all else that is done for
//! a frame; here it costs one word of memory.

/// How many prefix lengths of one family can be in use at once: each is looked up for each address of each packet.
pub const MOST_LENGTHS: usize = 8;

/// The prefix lengths in use in one address family, longest first: one word, so that it changes at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixLengths(u64);

impl PrefixLengths {
    /// Place of IPv4 in the map.
    pub const V4: usize = 0;
    /// Place of IPv6 in the map.
    pub const V6: usize = 1;
    /// Place of the filter's size in the map, beside what is read before it: how many of its words are in use, a power of
    /// two, less one. Only ever grows.
    pub const FILTER_LAST: usize = 2;
    /// How many places come before the filter's: a cache line of words.
    pub const PLACES: usize = 8;
    /// How many words of the filter are in use at least: a page. While they are enough, they are not in the filter's own map
    /// but here, behind the other places: the look-up that finds those finds them too.
    pub const FILTER_WORDS: usize = 512;

    /// These lengths. `None`: there are more than [`MOST_LENGTHS`].
    pub fn new(lengths: impl IntoIterator<Item = u8>) -> Option<Self> {
        let mut sorted = [0u8; MOST_LENGTHS];
        for length in lengths {
            let length = length.saturating_add(1);
            if sorted.contains(&length) {
                continue;
            }
            let place = sorted.iter_mut().find(|place| **place == 0)?;
            *place = length;
            sorted.sort_unstable_by(|a, b| b.cmp(a));
        }
        Some(Self(u64::from_le_bytes(sorted)))
    }

    /// From the word in the map.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The length, if there is but one.
    #[inline(always)]
    pub const fn only(self) -> Option<u8> {
        if self.0 != 0 && self.0 <= u8::MAX as u64 { Some((self.0 - 1) as u8) } else { None }
    }

    /// As the word in the map: a byte for each length, one more than the length, the longest in the lowest byte; 0 ends
    /// the list.
    pub const fn word(self) -> u64 {
        self.0
    }
}

impl Iterator for PrefixLengths {
    type Item = u8;

    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let length = (self.0 as u8).checked_sub(1)?;
        self.0 >>= 8;
        Some(length)
    }
}

/// What is read before any table, as one element of a map: the places of [`PrefixLengths`] and
/// [`LinkTargets`](crate::LinkTargets), and behind them the filter while it is small.
pub type Front = [u64; PrefixLengths::PLACES + PrefixLengths::FILTER_WORDS];

/// What marks a prefix in the filter: three bits of one 64-bit word (a Bloom filter in blocks of a word). A prefix of
/// which a bit is not set is in no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilterMark {
    hash: u64,
}

impl FilterMark {
    /// Spreads two numbers over 64 bits, so that neighbours end up far apart. Two multiplications that do not wait for
    /// each other, and one that brings the upper bits down.
    #[inline(always)]
    pub(crate) const fn of(one: u64, other: u64) -> Self {
        let sum = one.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(other.wrapping_mul(0xc2b2_ae3d_27d4_eb4f));
        Self { hash: (sum ^ sum >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) }
    }

    /// The same of a number whose low bits tell its neighbours apart: one multiplication takes them to all above them, and
    /// none of the lowest are used.
    #[inline(always)]
    pub(crate) const fn of_one(number: u64) -> Self {
        Self { hash: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    /// Which word of the filter. `last` is the number of words in use, a power of two, less one.
    #[inline(always)]
    pub const fn word(self, last: u32) -> u32 {
        (self.hash >> 21) as u32 & last
    }

    /// The bits of that word: three, or fewer where they meet.
    pub const fn bits(self) -> u64 {
        let [one, two, three] = self.places();
        1 << one | 1 << two | 1 << three
    }

    /// Whether all its bits are in its word: the lowest bit of the answer, so that answers can be put together before they
    /// are acted on.
    #[inline(always)]
    pub const fn is_in(self, word: u64) -> u64 {
        let [one, two, three] = self.places();
        word >> one & word >> two & word >> three & 1
    }

    /// The places of its bits: the upper bits of the hash, which every bit of the number has come to.
    #[inline(always)]
    const fn places(self) -> [u64; 3] {
        [self.hash >> 58, self.hash >> 52 & 63, self.hash >> 46 & 63]
    }
}
