//! BER (X.690) read with an eye on where one is: every fault names its member and its octet.
//!
//! Nothing here recurses and nothing allocates but the path of a fault: the structure of what is read stands in the
//! code of `decode`, as deep as the modules are. Values of indefinite length are read, strings in pieces are not.

use std::fmt;

use rasn::types::Enumerated;

use super::generalized::generalized;
use super::names::{Label, Octets, is_printable};
use crate::UtcMicros;

/// Where a PDU stops being what the standard says, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}octet {offset}: {fault}", Path(.path))]
pub struct DecodeError {
    /// The member and those around it, the innermost first.
    path: Vec<&'static str>,
    /// Octets of the PDU before the faulty value.
    pub offset: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It goes on behind the end of the value around it.
    #[error("the value is cut off")]
    Cut,
    /// No length that BER defines, or none that fits into memory.
    #[error("no valid length")]
    Length,
    /// No identifier of BER that any member has.
    #[error("no valid identifier")]
    Identifier,
    /// Values of indefinite length in each other, deeper than any PDU.
    #[error("values nested too deep")]
    TooDeep,
    /// A member that has to be there is not.
    #[error("missing")]
    Missing,
    /// A value that does not belong here: one member too many, twice, or in the wrong place.
    #[error("a value that does not belong here")]
    Unexpected,
    /// A string in pieces where it has to be one, or one value where there have to be several.
    #[error("not of the form that its type has")]
    Form,
    /// Empty, or longer than its type allows.
    #[error("not of a length that its type allows")]
    Size,
    /// A number that is not in the range of its type.
    #[error("a number out of range")]
    Range,
    /// A number that its ENUMERATED does not have.
    #[error("a value that the enumeration does not have")]
    Enumeration,
    /// A character that its type does not have.
    #[error("a character that its type does not allow")]
    Character,
    /// No time of UTC between 1970 and 9999.
    #[error("no time from 1970 to 9999 with its zone")]
    Time,
    /// No address, or none of the family that it says it is.
    #[error("no address of its family")]
    Address,
    /// The identifier of another module.
    #[error("the object identifier of something else")]
    Object,
}

/// The path as one writes it.
struct Path<'a>(&'a [&'static str]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.iter().rev().enumerate() {
            write!(f, "{}{name}", if place > 0 { "." } else { "" })?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str(", ") }
    }
}

impl DecodeError {
    pub(super) fn new(offset: usize, fault: Fault) -> Self {
        Self { path: Vec::new(), offset, fault }
    }

    /// The member as the modules name it, with those around it: `pSHeader.sequenceNumber`.
    pub fn path(&self) -> String {
        self.path.iter().rev().copied().collect::<Vec<_>>().join(".")
    }

    /// As a fault of a member around it, which bears this name.
    pub(super) fn within(mut self, name: &'static str) -> Self {
        self.path.push(name);
        self
    }
}

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

/// Deepest nesting of values of indefinite length.
const DEEPEST: usize = 32;

/// A value: what its identifier says and what is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    /// The identifier octet without the number.
    class: u8,
    number: u32,
    /// Octets of the PDU before the identifier.
    pub(super) offset: usize,
    /// Octets of the PDU before the contents.
    begin: usize,
    pub(super) contents: &'a [u8],
}

const CONTEXT: u8 = 0x80;
const CONSTRUCTED: u8 = 0x20;
const CLASS: u8 = 0xc0;

/// Identifier and length of the value at the front of `bytes`: class and form, number, octets of both, and of the
/// contents if they are definite.
fn front(bytes: &[u8], offset: usize) -> Result<(u8, u32, usize, Option<usize>)> {
    let octet = |place: usize| bytes.get(place).copied().ok_or(DecodeError::new(offset, Fault::Cut));
    let first = octet(0)?;
    let (mut number, mut place) = (u32::from(first & 0x1f), 1);
    if number == 0x1f {
        number = 0;
        loop {
            let next = octet(place)?;
            place += 1;
            number = number << 7 | u32::from(next & 0x7f);
            match next {
                0..0x80 => break,
                // Four octets of a number: 2^28, and no module counts so far.
                _ if place > 4 => return Err(DecodeError::new(offset, Fault::Identifier)),
                _ => {}
            }
        }
    }
    let initial = octet(place)?;
    let at = offset + place;
    place += 1;
    let contents = match initial {
        0..0x80 => Some(usize::from(initial)),
        0x80 if first & CONSTRUCTED != 0 => None,
        0x80 | 0xff => return Err(DecodeError::new(at, Fault::Length)),
        0x81.. => {
            let mut length = 0_usize;
            for _ in 0..initial & 0x7f {
                let next = usize::from(octet(place)?);
                place += 1;
                length = length.checked_mul(256).ok_or(DecodeError::new(at, Fault::Length))? | next;
            }
            Some(length)
        }
    };
    Ok((first & (CLASS | CONSTRUCTED), number, place, contents))
}

/// Octets of the contents of indefinite length at the front of `bytes`, without the two that end them.
fn indefinite(bytes: &[u8], offset: usize) -> Result<usize> {
    let (mut at, mut open) = (0, 1);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let (class, number, octets, contents) = front(rest, offset + at)?;
        let before = at;
        at += octets;
        match contents {
            None if open == DEEPEST => return Err(DecodeError::new(offset + before, Fault::TooDeep)),
            None => open += 1,
            Some(0) if class == 0 && number == 0 => {
                open -= 1;
                if open == 0 {
                    return Ok(before);
                }
            }
            // What goes on behind the end is cut off here, not there.
            Some(length) => match at.checked_add(length) {
                Some(end) if end <= bytes.len() => at = end,
                _ => return Err(DecodeError::new(offset + before, Fault::Cut)),
            },
        }
    }
}

impl<'a> Value<'a> {
    /// The value at the front of `bytes`, which `offset` octets of the PDU precede, and its octets whole.
    pub(super) fn read(bytes: &'a [u8], offset: usize) -> Result<(Self, usize)> {
        let (class, number, octets, length) = front(bytes, offset)?;
        let rest = bytes.get(octets..).unwrap_or_default();
        let (length, end) = match length {
            Some(length) => (length, 0),
            None => (indefinite(rest, offset + octets)?, 2),
        };
        let contents = rest.get(..length).ok_or(DecodeError::new(offset, Fault::Cut))?;
        Ok((Self { class, number, offset, begin: offset + octets, contents }, octets + length + end))
    }

    pub(super) fn fault(&self, fault: Fault) -> DecodeError {
        DecodeError::new(self.offset, fault)
    }

    fn is(&self, number: u32) -> bool {
        self.class & CLASS == CONTEXT && self.number == number
    }

    pub(super) fn is_sequence(&self) -> bool {
        self.class == CONSTRUCTED && self.number == 16
    }

    /// The number of its context tag, as the alternative of a CHOICE.
    pub(super) fn alternative(&self) -> Result<u32> {
        if self.class & CLASS == CONTEXT { Ok(self.number) } else { Err(self.fault(Fault::Unexpected)) }
    }

    /// A SEQUENCE, a SEQUENCE OF or the wrapping of a CHOICE.
    pub(super) fn members(self) -> Result<Members<'a>> {
        if self.class & CONSTRUCTED == 0 {
            return Err(self.fault(Fault::Form));
        }
        Ok(Members { rest: self.contents, offset: self.begin, next: None })
    }

    /// The one value in it: that of a CHOICE, whose tag is explicit.
    pub(super) fn choice(self) -> Result<Value<'a>> {
        let mut members = self.members()?;
        let value = members.take()?.ok_or(self.fault(Fault::Missing))?;
        match members.take()? {
            Some(second) => Err(second.fault(Fault::Unexpected)),
            None => Ok(value),
        }
    }

    /// The values in it, each a SEQUENCE OF's.
    pub(super) fn each<T>(self, mut read: impl FnMut(Value<'a>) -> Result<T>) -> Result<Vec<T>> {
        let mut members = self.members()?;
        let mut values = Vec::new();
        while let Some(value) = members.take()? {
            values.push(read(value)?);
        }
        Ok(values)
    }

    fn primitive(self) -> Result<&'a [u8]> {
        if self.class & CONSTRUCTED != 0 { Err(self.fault(Fault::Form)) } else { Ok(self.contents) }
    }

    /// An OCTET STRING of so many octets.
    pub(super) fn octets(self, size: std::ops::RangeInclusive<usize>) -> Result<&'a [u8]> {
        let octets = self.primitive()?;
        if size.contains(&octets.len()) { Ok(octets) } else { Err(self.fault(Fault::Size)) }
    }

    pub(super) fn any_octets(self) -> Result<Octets> {
        Ok(Octets(self.primitive()?.to_vec()))
    }

    pub(super) fn label(self, size: std::ops::RangeInclusive<usize>) -> Result<Label> {
        Ok(Label(self.octets(size)?.to_vec()))
    }

    /// A UTF8String of so many characters.
    pub(super) fn utf8(self, size: std::ops::RangeInclusive<usize>) -> Result<String> {
        let text = std::str::from_utf8(self.primitive()?).map_err(|_| self.fault(Fault::Character))?;
        if size.contains(&text.chars().count()) { Ok(text.to_owned()) } else { Err(self.fault(Fault::Size)) }
    }

    /// A PrintableString of so many characters.
    pub(super) fn printable(self, size: std::ops::RangeInclusive<usize>) -> Result<String> {
        let octets = self.octets(size)?;
        if !octets.iter().copied().all(is_printable) {
            return Err(self.fault(Fault::Character));
        }
        Ok(octets.iter().copied().map(char::from).collect())
    }

    /// An INTEGER from 0 to `most`.
    pub(super) fn unsigned(self, most: u64) -> Result<u64> {
        let number = match *self.primitive()? {
            [] => return Err(self.fault(Fault::Size)),
            [0x80..=0xff, ..] => return Err(self.fault(Fault::Range)),
            // X.690, 8.3.2: no octet in front that says nothing.
            [0, 0..0x80, ..] => return Err(self.fault(Fault::Form)),
            [0, ref rest @ ..] | ref rest if rest.len() <= 8 => {
                rest.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
            }
            _ => return Err(self.fault(Fault::Range)),
        };
        if number <= most { Ok(number) } else { Err(self.fault(Fault::Range)) }
    }

    /// An INTEGER of 32 bits.
    pub(super) fn unsigned_32(self) -> Result<u32> {
        u32::try_from(self.unsigned(u32::MAX.into())?).map_err(|_| self.fault(Fault::Range))
    }

    pub(super) fn enumerated<T: Enumerated>(self) -> Result<T> {
        let number = self.unsigned(u32::MAX.into())?;
        isize::try_from(number).ok().and_then(T::from_discriminant).ok_or(self.fault(Fault::Enumeration))
    }

    pub(super) fn null(self) -> Result<()> {
        if self.primitive()?.is_empty() { Ok(()) } else { Err(self.fault(Fault::Size)) }
    }

    pub(super) fn boolean(self) -> Result<bool> {
        match *self.primitive()? {
            [octet] => Ok(octet != 0),
            _ => Err(self.fault(Fault::Size)),
        }
    }

    /// A BIT STRING of at most 16 bits that have names, the first the highest.
    pub(super) fn bits(self) -> Result<u16> {
        match *self.primitive()? {
            [unused @ 0..8, ref bits @ ..] if bits.len() <= 2 && (unused == 0 || !bits.is_empty()) => {
                let mut octets = [0; 2];
                for (place, octet) in octets.iter_mut().zip(bits) {
                    *place = *octet;
                }
                let given = 8 * bits.len() as u32 - u32::from(unused);
                Ok(u16::from_be_bytes(octets) & u16::MAX.checked_shl(16 - given).unwrap_or(0))
            }
            _ => Err(self.fault(Fault::Size)),
        }
    }

    /// A GeneralizedTime in any form that BER allows, as long as it says its zone: hours, with minutes, seconds and a
    /// fraction or without.
    pub(super) fn time(self) -> Result<UtcMicros> {
        generalized(self.primitive()?).ok_or(self.fault(Fault::Time))
    }

    /// A MicroSecondTimeStamp.
    pub(super) fn stamp(self) -> Result<UtcMicros> {
        let mut members = self.members()?;
        let seconds = members.required(0, "seconds", |value| value.unsigned(u64::MAX))?;
        let micros = members.required(1, "microSeconds", |value| value.unsigned(999_999))?;
        members.finish(2)?;
        let total = seconds.checked_mul(1_000_000).and_then(|total| total.checked_add(micros));
        total
            .and_then(|total| i64::try_from(total).ok())
            .and_then(|total| UtcMicros::new(total).ok())
            .ok_or(self.fault(Fault::Time))
    }

    /// The octets of the value whole that stand in `pdu`, where it was read from.
    pub(super) fn whole<'b>(&self, pdu: &'b [u8]) -> &'b [u8] {
        pdu.get(self.offset..self.begin + self.contents.len()).unwrap_or_default()
    }
}

/// The members of a SEQUENCE, in order.
pub(super) struct Members<'a> {
    rest: &'a [u8],
    /// Octets of the PDU before `rest`.
    offset: usize,
    /// A value that was read and belongs to nobody yet.
    next: Option<Value<'a>>,
}

impl<'a> Members<'a> {
    /// The next value, whatever it is.
    fn take(&mut self) -> Result<Option<Value<'a>>> {
        if let Some(value) = self.next.take() {
            return Ok(Some(value));
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (value, length) = Value::read(self.rest, self.offset)?;
        self.rest = self.rest.get(length..).unwrap_or_default();
        self.offset += length;
        Ok(Some(value))
    }

    /// The member with this tag, if it is the next one.
    pub(super) fn optional<T>(
        &mut self,
        tag: u32,
        name: &'static str,
        read: impl FnOnce(Value<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.take().map_err(|error| error.within(name))? {
            Some(value) if value.is(tag) => read(value).map(Some).map_err(|error| error.within(name)),
            other => {
                self.next = other;
                Ok(None)
            }
        }
    }

    /// The member with this tag, which has to be the next one.
    pub(super) fn required<T>(
        &mut self,
        tag: u32,
        name: &'static str,
        read: impl FnOnce(Value<'a>) -> Result<T>,
    ) -> Result<T> {
        let place = self.next.map_or(self.offset, |value| value.offset);
        match self.optional(tag, name, read)? {
            Some(value) => Ok(value),
            None => Err(DecodeError::new(place, Fault::Missing).within(name)),
        }
    }

    /// No more members, or those of a later edition: with tag numbers from `first` on.
    pub(super) fn finish(mut self, first: u32) -> Result<()> {
        while let Some(value) = self.take()? {
            if value.class & CLASS != CONTEXT || value.number < first {
                return Err(value.fault(Fault::Unexpected));
            }
        }
        Ok(())
    }

    /// The rest of the members: those of a later edition, and some that are not read. For each `keep` says whether it
    /// may be here.
    pub(super) fn unread(&mut self, keep: impl Fn(u32) -> bool) -> Result<Vec<Unread>> {
        let mut unread = Vec::new();
        while let Some(value) = self.take()? {
            if value.class & CLASS != CONTEXT || !keep(value.number) {
                self.next = Some(value);
                break;
            }
            unread.push(Unread::from(value));
        }
        Ok(unread)
    }
}

/// A value that is not read here, as it came.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unread {
    /// Number of its tag.
    pub tag: u32,
    /// Its contents.
    pub contents: Octets,
}

impl From<Value<'_>> for Unread {
    fn from(value: Value<'_>) -> Self {
        Self { tag: value.number, contents: Octets(value.contents.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8]) -> Value<'_> {
        Value::read(bytes, 0).unwrap().0
    }

    #[test]
    fn numbers() {
        assert_eq!(value(&[0x80, 1, 0]).unsigned(u64::MAX), Ok(0));
        assert_eq!(value(&[0x80, 9, 0, 255, 255, 255, 255, 255, 255, 255, 255]).unsigned(u64::MAX), Ok(u64::MAX));
        assert_eq!(value(&[0x80, 2, 0, 128]).unsigned(255), Ok(128));
        let fault = |bytes| value(bytes).unsigned(255).unwrap_err().fault;
        assert_eq!(fault(&[0x80, 0]), Fault::Size);
        assert_eq!(fault(&[0x80, 1, 128]), Fault::Range);
        assert_eq!(fault(&[0x80, 2, 1, 0]), Fault::Range);
        assert_eq!(fault(&[0x80, 2, 0, 1]), Fault::Form);
        assert_eq!(fault(&[0x80, 10, 0, 128, 0, 0, 0, 0, 0, 0, 0, 0]), Fault::Range);
        assert_eq!(fault(&[0xa0, 2, 0, 128]), Fault::Form);
    }

    #[test]
    fn named_bits() {
        assert_eq!(value(&[0x82, 1, 0]).bits(), Ok(0));
        assert_eq!(value(&[0x82, 2, 7, 0xff]).bits(), Ok(0x8000));
        assert_eq!(value(&[0x82, 3, 3, 0, 0xff]).bits(), Ok(0x00f8));
        assert!(value(&[0x82, 0]).bits().is_err());
        assert!(value(&[0x82, 1, 1]).bits().is_err());
        assert!(value(&[0x82, 4, 0, 0, 0, 0]).bits().is_err());
    }
}
