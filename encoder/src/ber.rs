//! The few pieces of BER (X.690) that the fast path and the stream decoder need: identifier, length, octets.
//!
//! Everything here works on the caller's bytes and allocates nothing. Lengths are written in the minimal definite form,
//! which is also DER.

/// The buffer is too small for the PDU. Nothing that was written into it is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is too small for the PDU")]
pub struct NoRoom;

/// Identifier and length of a value, in a register: the first octet in the lowest place.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    word: u64,
    /// Of identifier and length.
    octets: usize,
    /// Of the contents.
    contents: usize,
}

impl Header {
    /// The header of a value of `contents` octets: fewer than 2^48, as in all memory there is.
    #[inline(always)]
    pub(crate) const fn new(identifier: u8, contents: usize) -> Self {
        let number = contents as u64;
        // Bits in front of the last octet that the number has.
        let before = (number | 1).ilog2() as usize & !7;
        let digits = number.swap_bytes() >> (56 - before);
        let is_long = number >= 0x80;
        let length = if is_long { digits << 8 | (0x81 + before as u64 / 8) } else { number };
        let octets = if is_long { 3 + before / 8 } else { 2 };
        Self { word: length << 8 | identifier as u64, octets, contents }
    }

    /// Octets of the value whole.
    #[inline(always)]
    pub(crate) const fn whole(self) -> usize {
        self.octets + self.contents
    }
}

/// An INTEGER that is not negative, in registers: two's complement, minimal, so 1 to 9 octets of contents.
#[derive(Clone, Copy)]
pub(crate) struct Unsigned {
    /// The octets of the number that are not zero, or the last one; the first in the lowest place.
    number: u64,
    /// Of `number`.
    octets: usize,
    /// 1 where a zero octet stands in front, so that the top bit of a number of eight octets does not read as a sign; else 0.
    widening: usize,
}

impl Unsigned {
    #[inline(always)]
    pub(crate) const fn new(number: u64) -> Self {
        // One octet more than is full of bits: the top bit of the first would read as a sign.
        let wide = ((number | 1).ilog2() as usize + 9) / 8;
        let widening = (number >> 63) as usize;
        let octets = wide - widening;
        Self { number: (number << (64 - 8 * octets)).swap_bytes(), octets, widening }
    }

    /// Octets of the value whole.
    #[inline(always)]
    pub(crate) const fn whole(self) -> usize {
        2 + self.widening + self.octets
    }
}

/// Octets that were encoded before, in a form that is copied fast: so many at once as most have.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    whole: Box<[u8]>,
    /// Its first octets, padded.
    padded: [u8; Self::AT_ONCE],
}

impl Prepared {
    const AT_ONCE: usize = 64;

    pub(crate) fn len(&self) -> usize {
        self.whole.len()
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.whole
    }
}

impl From<Vec<u8>> for Prepared {
    fn from(octets: Vec<u8>) -> Self {
        let mut padded = [0; Self::AT_ONCE];
        for (place, octet) in padded.iter_mut().zip(&octets) {
            *place = *octet;
        }
        Self { whole: octets.into(), padded }
    }
}

/// Octets at the front of a buffer for all that is not payload, and for what is written too much: identifiers are bounded, so
/// that the longest message has fewer than 400.
pub(crate) const ROOM: usize = 512;

/// Writes values one behind the other to the front of a buffer of the caller.
///
/// Small pieces are put together in registers, and not in arrays: what is written in pieces and read back as a whole before
/// it has left the store buffer makes the processor wait for every store before it, those of the payload included. Words
/// are written whole: to ask how many of their octets are wanted costs more, and what is too much is written over by what
/// follows. The room has one length, so that a place in it is checked by one comparison.
pub(crate) struct Writer<'a, const OCTETS: usize = ROOM> {
    room: &'a mut [u8; OCTETS],
    written: usize,
}

impl<'a> Writer<'a> {
    #[inline(always)]
    pub(crate) fn new(buffer: &'a mut [u8]) -> Result<Self, NoRoom> {
        buffer.first_chunk_mut().map(Self::over).ok_or(NoRoom)
    }
}

impl<'a, const OCTETS: usize> Writer<'a, OCTETS> {
    /// For what has its own room.
    #[inline(always)]
    pub(crate) fn over(room: &'a mut [u8; OCTETS]) -> Self {
        Self { room, written: 0 }
    }

    /// Octets that were written.
    #[inline(always)]
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Octets that were encoded before.
    #[inline(always)]
    pub(crate) fn prepared(&mut self, octets: &Prepared) -> Result<(), NoRoom> {
        if octets.len() > Prepared::AT_ONCE {
            let room = self.room.get_mut(self.written..).ok_or(NoRoom)?;
            room.get_mut(..octets.len()).ok_or(NoRoom)?.copy_from_slice(&octets.whole);
            self.written += octets.len();
            return Ok(());
        }
        self.padded(&octets.padded, octets.len())
    }

    /// The first so many octets of a few, which are written whole.
    #[inline(always)]
    pub(crate) fn padded<const N: usize>(&mut self, padded: &[u8; N], octets: usize) -> Result<(), NoRoom> {
        let room = self.room.get_mut(self.written..).ok_or(NoRoom)?;
        *room.first_chunk_mut().ok_or(NoRoom)? = *padded;
        self.written += octets;
        Ok(())
    }

    /// The first so many octets of a few words, the lowest octet of each first.
    #[inline(always)]
    pub(crate) fn words<const N: usize>(&mut self, words: [u64; N], octets: usize) -> Result<(), NoRoom> {
        let room = self.room.get_mut(self.written..).ok_or(NoRoom)?;
        *room.as_chunks_mut().0.first_chunk_mut().ok_or(NoRoom)? = words.map(u64::to_le_bytes);
        self.written += octets;
        Ok(())
    }

    /// Identifier and length of a value whose contents follow.
    #[inline(always)]
    pub(crate) fn header(&mut self, header: Header) -> Result<(), NoRoom> {
        self.words([header.word], header.octets)
    }

    /// An INTEGER whole, behind up to three octets of something else.
    #[inline(always)]
    pub(crate) fn unsigned(
        &mut self,
        (before, octets): (u64, usize),
        identifier: u8,
        number: Unsigned,
    ) -> Result<(), NoRoom> {
        let header = u64::from(identifier) | ((number.octets + number.widening) as u64) << 8;
        self.words([before | header << (8 * octets)], octets + 2 + number.widening)?;
        self.words([number.number], number.octets)
    }

    /// A value whole, in words of which the last is used in part: `octets` in all. The lowest octet of the first word is
    /// left free for the identifier.
    #[inline(always)]
    pub(crate) fn value<const N: usize>(
        &mut self,
        identifier: u8,
        mut words: [u64; N],
        octets: usize,
    ) -> Result<(), NoRoom> {
        if let Some(first) = words.first_mut() {
            *first |= u64::from(identifier);
        }
        self.words(words, octets)
    }
}
