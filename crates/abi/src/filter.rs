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
    pub const V4: u32 = 0;
    /// Place of IPv6 in the map.
    pub const V6: u32 = 1;
    /// Place of the filter's size in the map, beside what is read before it: how many of its words are in use, a power of
    /// two, less one. Only ever grows.
    pub const FILTER_LAST: u32 = 2;
    /// How many places the map has: a cache line of words.
    pub const PLACES: u32 = 8;

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
        let hash = (sum ^ sum >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self { hash: hash ^ hash >> 32 }
    }

    /// The same of one number that is spread enough by one multiplication: its low bits reach all above them, and the upper
    /// ones come down to the low.
    #[inline(always)]
    pub(crate) const fn of_one(number: u64) -> Self {
        let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { hash: hash ^ hash >> 32 }
    }

    /// Which word of the filter. `last` is the number of words in use, a power of two, less one.
    #[inline(always)]
    pub const fn word(self, last: u32) -> u32 {
        (self.hash >> 32) as u32 & last
    }

    /// The bits of that word: three, or fewer where they meet.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        1 << (self.hash & 63) | 1 << (self.hash >> 6 & 63) | 1 << (self.hash >> 12 & 63)
    }
}
