//! SHA-256 whose state can be laid down and taken up again: the library's types do not give theirs away, but its compression
//! function is public. What is here besides is FIPS 180-4's frame around it: blocks, padding, begin and end.

use sha2::compress256;
use sha2::digest::generic_array::GenericArray;

const BLOCK: usize = 64;
/// Words of the state: the hash so far, octets that make no block yet, how many octets there were.
pub(crate) const RUNNING_WORDS: usize = 4 + BLOCK / 8 + 1;

/// FIPS 180-4, 5.3.3.
const BEGIN: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A SHA-256 that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    hash: [u32; 8],
    /// The first `length % BLOCK` octets of it count.
    tail: [u8; BLOCK],
    length: u64,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self { hash: BEGIN, tail: [0; BLOCK], length: 0 }
    }

    #[inline]
    fn filled(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Takes the next octets.
    #[inline]
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        let filled = self.filled();
        self.length = self.length.wrapping_add(bytes.len() as u64);
        if filled > 0 {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK - filled));
            self.tail[filled..filled + now.len()].copy_from_slice(now);
            if filled + now.len() < BLOCK {
                return;
            }
            compress(&mut self.hash, &self.tail);
            bytes = rest;
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            compress(&mut self.hash, block);
        }
        self.tail[..rest.len()].copy_from_slice(rest);
    }

    /// The digest of all octets so far.
    pub(crate) fn value(&self) -> [u8; 32] {
        let (mut end, filled) = (self.clone(), self.filled());
        // One octet 0x80, zeros, and the length in bits at the end of a block (5.1.1).
        let mut padding = [0; BLOCK * 2];
        padding[0] = 0x80;
        let zeros = (2 * BLOCK - 9 - filled) % BLOCK;
        padding[1 + zeros..9 + zeros].copy_from_slice(&self.length.wrapping_mul(8).to_be_bytes());
        end.update(&padding[..9 + zeros]);
        let mut value = [0; 32];
        for (octets, word) in value.as_chunks_mut::<4>().0.iter_mut().zip(end.hash) {
            *octets = word.to_be_bytes();
        }
        value
    }

    pub(crate) fn to_words(&self) -> [u64; RUNNING_WORDS] {
        let (pairs, _) = self.hash.as_chunks::<2>();
        let hash = pairs.iter().map(|[high, low]| u64::from(*high) << 32 | u64::from(*low));
        // What is left in the tail of former blocks is nobody's.
        let mut tail = self.tail;
        tail[self.filled()..].fill(0);
        let (tail, _) = tail.as_chunks::<8>();
        let tail = tail.iter().map(|octets| u64::from_be_bytes(*octets));
        let mut words = [self.length; RUNNING_WORDS];
        for (word, value) in words.iter_mut().zip(hash.chain(tail)) {
            *word = value;
        }
        words
    }

    pub(crate) fn from_words(words: &[u64; RUNNING_WORDS]) -> Self {
        let [hash @ .., length] = words;
        let (hash, tail) = hash.split_at(4);
        let mut running = Self { length: *length, ..Self::new() };
        for (pair, word) in running.hash.as_chunks_mut::<2>().0.iter_mut().zip(hash) {
            *pair = [(word >> 32) as u32, *word as u32];
        }
        for (octets, word) in running.tail.as_chunks_mut::<8>().0.iter_mut().zip(tail) {
            *octets = word.to_be_bytes();
        }
        running
    }
}

#[inline]
fn compress(hash: &mut [u32; 8], block: &[u8; BLOCK]) {
    compress256(hash, std::slice::from_ref(GenericArray::from_slice(block)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::digest::{SHA256, digest};

    #[test]
    fn it_is_sha_256_in_whatever_pieces_and_over_its_words() {
        let octets: Vec<u8> = (0..1000u32).map(|number| (number * 7) as u8).collect();
        for length in 0..300 {
            let whole = &octets[..length];
            for piece in [1, 7, 63, 64, 65, 200] {
                let mut running = Running::new();
                for bytes in whole.chunks(piece) {
                    running.update(bytes);
                    running = Running::from_words(&running.to_words());
                }
                assert_eq!(running.value(), digest(&SHA256, whole).as_ref(), "{length} octets, {piece} at once");
            }
        }
    }
}
