//! The few pieces of BER (X.690) that the fast path and the stream decoder need: identifier, length, octets.
//!
//! Everything here works on the caller's bytes and allocates nothing. Lengths are written in the minimal definite form,
//! which is also DER.

/// The buffer is too small for the PDU. Nothing that was written into it is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is too small for the PDU")]
pub struct NoRoom;

/// Octets of a length: 1 below 128, else 1 and the octets of the number.
pub(crate) const fn length_octets(length: usize) -> usize {
    if length < 0x80 { 1 } else { 1 + (usize::BITS - length.leading_zeros()).div_ceil(8) as usize }
}

/// Octets of a whole value with a one-octet identifier and `length` octets of contents.
pub(crate) const fn tlv_octets(length: usize) -> usize {
    1 + length_octets(length) + length
}

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
    ///
    /// Without a branch: packets of all lengths follow each other, and a branch that is foretold wrongly costs as much as
    /// half of the PDU.
    #[inline(always)]
    pub(crate) const fn new(identifier: u8, contents: usize) -> Self {
        let number = contents as u64;
        // The octets of the number, at least one.
        let wide = 8 - (number | 1).leading_zeros() as usize / 8;
        let digits = (number << (64 - 8 * wide)).swap_bytes();
        let is_long = number >= 0x80;
        let length = if is_long { digits << 8 | 0x80 | wide as u64 } else { number };
        let octets = if is_long { 2 + wide } else { 2 };
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
    /// Whether a zero octet stands in front, so that the top bit of a number of eight octets does not read as a sign.
    is_widened: bool,
}

impl Unsigned {
    /// Octets of the longest one whole.
    pub(crate) const LONGEST: usize = tlv_octets(9);

    #[inline(always)]
    pub(crate) const fn new(number: u64) -> Self {
        // One octet more than is full of bits: the top bit of the first would read as a sign.
        let wide = (u64::BITS - number.leading_zeros()) as usize / 8 + 1;
        let is_widened = wide > 8;
        let octets = wide - is_widened as usize;
        Self { number: (number << (64 - 8 * octets)).swap_bytes(), octets, is_widened }
    }

    /// Octets of the value whole.
    #[inline(always)]
    pub(crate) const fn whole(self) -> usize {
        2 + self.is_widened as usize + self.octets
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

/// Writes values one behind the other into a buffer of the caller.
///
/// Small pieces are put together in registers, and not in arrays: what is written in pieces and read back as a whole before
/// it has left the store buffer makes the processor wait for every store before it, those of the payload included.
pub(crate) struct Writer<'a> {
    room: &'a mut [u8],
}

impl<'a> Writer<'a> {
    pub(crate) fn new(room: &'a mut [u8]) -> Self {
        Self { room }
    }

    /// The room that is left.
    #[inline]
    pub(crate) fn rest(self) -> &'a mut [u8] {
        self.room
    }

    /// Octets that are already encoded.
    #[inline]
    pub(crate) fn octets(&mut self, octets: &[u8]) -> Result<(), NoRoom> {
        self.room.split_off_mut(..octets.len()).ok_or(NoRoom)?.copy_from_slice(octets);
        Ok(())
    }

    /// Octets that were encoded before.
    #[inline]
    pub(crate) fn prepared(&mut self, octets: &Prepared) -> Result<(), NoRoom> {
        match octets.len() {
            length @ ..=Prepared::AT_ONCE => self.some(&octets.padded, length),
            _ => self.octets(&octets.whole),
        }
    }

    /// The first `length` of a few octets. To copy all of them is cheaper than to ask how many, and what is too much is
    /// written over by what follows; only at the very end is there no room for that.
    #[inline]
    pub(crate) fn some<const N: usize>(&mut self, octets: &[u8; N], length: usize) -> Result<(), NoRoom> {
        match self.room.first_chunk_mut() {
            Some(room) => *room = *octets,
            None => self.room.get_mut(..length).ok_or(NoRoom)?.copy_from_slice(octets.get(..length).ok_or(NoRoom)?),
        }
        self.room.split_off_mut(..length).ok_or(NoRoom)?;
        Ok(())
    }

    /// The first `length` octets of a word, its lowest octet first. As with [`Writer::some`], all eight are written where there
    /// is room.
    #[inline(always)]
    pub(crate) fn word(&mut self, word: u64, length: usize) -> Result<(), NoRoom> {
        match self.room.first_chunk_mut() {
            Some(room) => *room = word.to_le_bytes(),
            None => self.last_word(word, length)?,
        }
        self.room.split_off_mut(..length).ok_or(NoRoom)?;
        Ok(())
    }

    /// A word where there is no room for what is too much.
    #[cold]
    fn last_word(&mut self, word: u64, length: usize) -> Result<(), NoRoom> {
        let room = self.room.get_mut(..length).ok_or(NoRoom)?;
        for (room, octet) in room.iter_mut().zip(word.to_le_bytes()) {
            *room = octet;
        }
        Ok(())
    }

    /// Identifier and length of a value whose contents follow.
    #[inline(always)]
    pub(crate) fn header(&mut self, header: Header) -> Result<(), NoRoom> {
        self.word(header.word, header.octets)
    }

    /// An INTEGER whole.
    #[inline(always)]
    pub(crate) fn unsigned(&mut self, identifier: u8, number: Unsigned) -> Result<(), NoRoom> {
        let zeros = usize::from(number.is_widened);
        self.word(u64::from(identifier) | ((number.octets + zeros) as u64) << 8, 2 + zeros)?;
        self.word(number.number, number.octets)
    }

    /// A value whole, in words, of which the last is used in part: `octets` in all. The lowest octet of the first word is
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
        let mut rest = octets;
        for word in words {
            let these = rest.min(8);
            self.word(word, these)?;
            rest -= these;
        }
        Ok(())
    }
}
