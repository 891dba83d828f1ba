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
    octets: [u8; 9],
    length: usize,
}

impl Unsigned {
    pub(crate) const LONGEST: usize = 9;

    pub(crate) const fn new(number: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        // A leading zero octet is needed only where the top bit would read as a sign.
        let length = (u64::BITS - number.leading_zeros()) as usize / 8 + 1;
        Self { octets: [0, a, b, c, d, e, f, g, h], length }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.octets.get(Self::LONGEST - self.length..).unwrap_or(&self.octets)
    }
}

/// Writes values one behind the other into a buffer of the caller.
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

    /// Identifier and length of a value whose contents follow.
    #[inline]
    pub(crate) fn header(&mut self, identifier: u8, length: usize) -> Result<(), NoRoom> {
        if let Ok(short @ 0..0x80) = u8::try_from(length) {
            return self.octets(&[identifier, short]);
        }
        let number = length.to_be_bytes();
        let significant = length_octets(length) - 1;
        self.octets(&[identifier, 0x80 | significant as u8])?;
        self.octets(number.get(number.len() - significant..).unwrap_or(&number))
    }

    /// A value whole.
    #[inline]
    pub(crate) fn value(&mut self, identifier: u8, contents: &[u8]) -> Result<(), NoRoom> {
        self.header(identifier, contents.len())?;
        self.octets(contents)
    }
}
