//! Keyed digests: SipHash-1-3 (Aumasson and Bernstein, 2012) over whole words. What is in the maps under them cannot be
//! led back to an address without the key, which is of one run and kept by nobody. Written out here because a library's
//! hasher buffers bytes in loops that the verifier would have to follow.

/// The key of this run; set at load.
#[unsafe(no_mangle)]
static WRIT_SURVEY_KEY: [u64; 2] = [0; 2];

/// The state of a digest under way.
pub struct Digest {
    v: [u64; 4],
    words: u64,
}

impl Digest {
    #[inline(always)]
    pub fn new() -> Self {
        // Volatile: the compiler sees the key of the object file, not that of the run.
        // SAFETY: a reference to a static is good for a read.
        let [k0, k1] = unsafe { core::ptr::read_volatile(&raw const WRIT_SURVEY_KEY) };
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, words: 0 }
    }

    /// Takes in one word.
    #[inline(always)]
    pub fn word(mut self, word: u64) -> Self {
        self.v[3] ^= word;
        self.round();
        self.v[0] ^= word;
        self.words += 1;
        self
    }

    /// Takes in several.
    #[inline(always)]
    pub fn words<const N: usize>(mut self, words: [u64; N]) -> Self {
        for word in words {
            self = self.word(word);
        }
        self
    }

    /// The digest.
    #[inline(always)]
    pub fn finish(self) -> u64 {
        // The last word holds the length in bytes.
        let length = self.words * 8;
        let mut it = self.word(length << 56);
        it.v[2] ^= 0xff;
        it.round();
        it.round();
        it.round();
        it.v[0] ^ it.v[1] ^ it.v[2] ^ it.v[3]
    }

    #[inline(always)]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }
}

/// Sixteen bytes as two words.
#[inline(always)]
pub fn words(bytes: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])]
}
