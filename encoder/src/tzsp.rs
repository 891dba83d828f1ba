//! TZSP, the TaZmen Sniffer Protocol: frames over UDP as sniffers send them, MikroTik's `sniff-tzsp` among them.
//!
//! A header of 4 octets, tags, an end, then the frame. It names no case: the agency tells intercepts apart by where the
//! datagrams come from. Beside the frame Writ sends the packet's number (tag 40), so that a loss shows.

use serde::ser::{Serialize, Serializer};

use crate::NoRoom;
use crate::hexadecimal::hexadecimal;
use crate::layout::{CUT_OFF, Malformed, put, take};

/// The port that receivers listen on unless they are told otherwise.
pub const PORT: u16 = 37_008;

const VERSION: u8 = 1;
/// A packet that was received, the only type that carries one from a sniffer.
const RECEIVED: u8 = 0;

// Tags. The first two have neither length nor value.
const PADDING: u8 = 0;
const END: u8 = 1;
const PACKET_ID: u8 = 40;
const ORIGINAL_LENGTH: u8 = 41;

/// What the frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Encapsulation(pub u16);

impl Encapsulation {
    /// An Ethernet header.
    pub const ETHERNET: Self = Self(1);
    /// An IP header.
    pub const RAW_IP: Self = Self(7);
}

/// Writes the datagrams of one intercept.
#[derive(Clone, Copy, Debug)]
pub struct Sniffer {
    /// Up to the number of the packet.
    head: [u8; 6],
}

impl Sniffer {
    /// Octets of the header, tags and end included.
    pub const HEADER: usize = 6 + 4 + 1;

    /// Frames that begin so.
    pub fn new(encapsulation: Encapsulation) -> Self {
        let [high, low] = encapsulation.0.to_be_bytes();
        Self { head: [VERSION, RECEIVED, high, low, PACKET_ID, 4] }
    }

    /// Writes the datagram of `frame` and says how long it is. Of `sequence` the lower 32 bits are told.
    pub fn content(&self, out: &mut [u8], sequence: u64, frame: &[u8]) -> Result<usize, NoRoom> {
        self.content_from(out, sequence, frame.len(), |payload| payload.copy_from_slice(frame))
    }

    /// [`content`](Self::content) of a frame that does not lie in one piece: `copy` writes its `length` octets.
    #[inline]
    pub fn content_from(
        &self,
        out: &mut [u8],
        sequence: u64,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        put(out, &[&self.head, &(sequence as u32).to_be_bytes(), &[END]], length, copy)
    }
}

/// A datagram read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Datagram<'a> {
    /// What it is for: 0 for a frame that was received; 4 keeps the connection alive, 5 opens a port.
    pub kind: u8,
    /// What the frame begins with.
    pub encapsulation: Encapsulation,
    /// What is said of the frame.
    pub tags: Tags<'a>,
    /// The frame.
    #[serde(serialize_with = "hexadecimal")]
    pub payload: &'a [u8],
}

/// The tags of a datagram, without padding: walked over once when it is read, so that they are known to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags<'a>(&'a [u8]);

/// What is said of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tag<'a> {
    /// Its number.
    PacketId(u32),
    /// Its length before it was cut.
    OriginalLength(u16),
    /// Something else.
    Other {
        /// Of the tag.
        number: u8,
        /// As it stands there.
        #[serde(serialize_with = "hexadecimal")]
        value: &'a [u8],
    },
}

impl<'a> Tags<'a> {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Tag<'a>> + use<'a> {
        let mut rest = self.0;
        // Whole, since `decode` has walked over them: the first that is not ends them.
        std::iter::from_fn(move || next_tag(&mut rest).flatten())
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The next tag of `rest`, which is moved behind it: none within at the end of tags, none at all if it is cut off.
fn next_tag<'a>(rest: &mut &'a [u8]) -> Option<Option<Tag<'a>>> {
    loop {
        let [number] = take(rest)?;
        match number {
            PADDING => {}
            END => return Some(None),
            _ => {
                let [length] = take(rest)?;
                let (value, behind) = rest.split_at_checked(length.into())?;
                *rest = behind;
                return Some(Some(match (number, value) {
                    (PACKET_ID, &[a, b, c, d]) => Tag::PacketId(u32::from_be_bytes([a, b, c, d])),
                    (ORIGINAL_LENGTH, &[a, b]) => Tag::OriginalLength(u16::from_be_bytes([a, b])),
                    _ => Tag::Other { number, value },
                }));
            }
        }
    }
}

/// Reads a datagram whole.
pub fn decode(datagram: &[u8]) -> Result<Datagram<'_>, Malformed> {
    let fault = |offset, fault| Malformed { format: "TZSP datagram", offset, fault };
    let cut_off = fault(datagram.len(), CUT_OFF);
    let mut rest = datagram;
    let [version, kind, high, low] = take(&mut rest).ok_or(cut_off)?;
    if version != VERSION {
        return Err(fault(0, "a version other than 1"));
    }
    let all = rest;
    while next_tag(&mut rest).ok_or(cut_off)?.is_some() {}
    let tags = Tags(all.get(..all.len() - rest.len()).unwrap_or_default());
    Ok(Datagram { kind, encapsulation: Encapsulation(u16::from_be_bytes([high, low])), tags, payload: rest })
}
