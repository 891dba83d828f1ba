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

/// A number as the contents of an INTEGER: two's complement, minimal, so 1 to 9 octets.
pub(crate) struct Unsigned {
    number: u64,
    pub(crate) length: usize,
}

impl Unsigned {
    pub(crate) const LONGEST: usize = 9;

    #[inline]
    pub(crate) const fn new(number: u64) -> Self {
        // One octet more than is full of bits: the top bit of the first would read as a sign.
        Self { number, length: (u64::BITS - number.leading_zeros()) as usize / 8 + 1 }
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
        let octets = word.to_le_bytes();
        match self.room.first_chunk_mut() {
            Some(room) => *room = octets,
            None => {
                for (room, octet) in self.room.get_mut(..length).ok_or(NoRoom)?.iter_mut().zip(octets) {
                    *room = octet;
                }
            }
        }
        self.room.split_off_mut(..length).ok_or(NoRoom)?;
        Ok(())
    }

    /// Identifier and length of a value whose contents follow.
    #[inline]
    pub(crate) fn header(&mut self, identifier: u8, length: usize) -> Result<(), NoRoom> {
        let (identifier_word, length_word) = (u64::from(identifier), length as u64);
        match length {
            0..0x80 => self.word(identifier_word | length_word << 8, 2),
            0x80..0x100 => self.word(identifier_word | 0x81 << 8 | length_word << 16, 3),
            0x100..0x1_0000 => {
                self.word(identifier_word | 0x82 << 8 | u64::from((length as u16).swap_bytes()) << 16, 4)
            }
            _ => {
                let octets = length_octets(length) - 1;
                self.octets(&[identifier, 0x80 | octets as u8])?;
                let number = length.to_be_bytes();
                self.octets(number.get(number.len() - octets..).unwrap_or(&number))
            }
        }
    }

    /// An INTEGER whole.
    #[inline]
    pub(crate) fn unsigned(&mut self, identifier: u8, number: &Unsigned) -> Result<(), NoRoom> {
        self.header(identifier, number.length)?;
        match number.length {
            length @ ..=8 => self.word((number.number << (8 * (8 - length))).swap_bytes(), length),
            _ => {
                self.octets(&[0])?;
                self.word(number.number.swap_bytes(), 8)
            }
        }
    }

    /// A value whole.
    #[inline]
    pub(crate) fn value(&mut self, identifier: u8, contents: &[u8]) -> Result<(), NoRoom> {
        self.header(identifier, contents.len())?;
        self.octets(contents)
    }

    /// A value whole, whose contents are the first `length` octets of a few words.
    #[inline]
    pub(crate) fn words<const N: usize>(
        &mut self,
        identifier: u8,
        contents: [u64; N],
        length: usize,
    ) -> Result<(), NoRoom> {
        self.header(identifier, length)?;
        let mut rest = length;
        for word in contents {
            let these = rest.min(8);
            self.word(word, these)?;
            rest -= these;
        }
        Ok(())
    }
}
