//! Cuts the bytes of a connection into PDUs, and tells the format by its first octets where nobody has told it.

use writ_encoder::{
    stream::{self, Pdu, StreamDecoder},
    x2x3::{self, PduStream},
};

use crate::formats::Format;

/// What a PDU of X2 and X3 begins with: the upper half of its version.
const X3_BEGINS: u8 = 0;
/// The first member of a PS-PDU, pSHeader \[1\]. T1.IAS begins with an OBJECT IDENTIFIER, \[0\], or a string \[1\], which
/// is primitive.
const PS_HEADER: u8 = 0xa1;

/// Where a stream stops being a row of PDUs.
#[derive(Debug, thiserror::Error)]
pub enum StreamFault {
    /// Of BER.
    #[error(transparent)]
    Ber(#[from] stream::StreamError),
    /// Of X2 or X3.
    #[error(transparent)]
    X3(#[from] x2x3::StreamError),
}

/// The PDUs of a stream.
#[derive(Debug)]
pub(crate) enum Cutter {
    /// Nothing has come, and nobody has told the format.
    Untold,
    /// BER: T1.IAS and ETSI.
    Ber(StreamDecoder),
    /// X2 and X3.
    X3(PduStream),
}

impl Cutter {
    /// For a stream of this format; none: its first octet tells.
    pub(crate) fn new(format: Option<Format>) -> Self {
        match format {
            None => Self::Untold,
            Some(Format::X3) => Self::X3(PduStream::default()),
            Some(_) => Self::Ber(StreamDecoder::default()),
        }
    }

    /// Takes the next octets.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if let (Self::Untold, Some(first)) = (&self, bytes.first()) {
            *self = Self::new(Some(if *first == X3_BEGINS { Format::X3 } else { Format::T1Ias }));
        }
        match self {
            Self::Untold => {}
            Self::Ber(decoder) => decoder.push(bytes),
            Self::X3(stream) => stream.push(bytes),
        }
    }

    /// Octets that make no whole PDU yet.
    pub(crate) fn pending(&self) -> usize {
        match self {
            Self::Untold => 0,
            Self::Ber(decoder) => decoder.pending(),
            Self::X3(stream) => stream.pending(),
        }
    }

    /// The next PDU that is whole.
    ///
    /// # Errors
    /// The first fault, and from then on the same.
    pub(crate) fn next_pdu(&mut self) -> Result<Option<Pdu<'_>>, StreamFault> {
        Ok(match self {
            Self::Untold => None,
            Self::Ber(decoder) => decoder.next_pdu()?,
            Self::X3(stream) => stream.next_pdu()?,
        })
    }
}

/// The format of a stream whose first PDU this is.
pub(crate) fn format_of(first: &[u8]) -> Format {
    if first.first() == Some(&X3_BEGINS) {
        return Format::X3;
    }
    // Behind the identifier of the SEQUENCE its length: of one octet, or of as many more as the first says.
    let member = match first.get(1) {
        Some(0x81..) => first.get(1).and_then(|octet| first.get(2 + usize::from(octet & 0x7f))),
        _ => first.get(2),
    };
    if member == Some(&PS_HEADER) { Format::Etsi } else { Format::T1Ias }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pdu_tells_the_format_whatever_form_its_length_has() {
        for begin in [&[0x30, 5][..], &[0x30, 0x81, 0x90], &[0x30, 0x82, 1, 0], &[0x30, 0x80]] {
            assert_eq!(format_of(&[begin, &[0xa1, 3]].concat()), Format::Etsi);
            assert_eq!(format_of(&[begin, &[0x06, 3]].concat()), Format::T1Ias);
            assert_eq!(format_of(&[begin, &[0xa0, 3]].concat()), Format::T1Ias);
        }
        assert_eq!(format_of(&[0, 1, 0, 2]), Format::X3);
        assert_eq!(format_of(&[0x30]), Format::T1Ias);
    }
}
