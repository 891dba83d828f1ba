//! OpenCALEA's datagrams of 2007, for agencies and networks that still run it: a datagram a packet, over UDP.
//!
//! CmC bears the frame, link layer included; CmII says of the same packet who sent it to whom. Neither is protected nor
//! numbered, and IPv6 has no place in CmII. The original left the last octet of a CmII datagram out and with it half of
//! the destination port; which of the two lengths is sent is a setting, and both are read. What its collector writes,
//! `cmii.txt` and `cmc.pcap`, is made here too, record by record.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::hexadecimal::hexadecimal;
use crate::layout::{CUT_OFF, Malformed, put, take};
use crate::{NoRoom, UtcMicros};

/// The port of CmC unless another was agreed on.
pub const CMC_PORT: u16 = 6666;
/// The port of CmII unless another was agreed on.
pub const CMII_PORT: u16 = 6667;

/// Octets of a name, padded with zeros.
const NAME: usize = 128;
/// Octets of a time.
const TIME: usize = 23;

/// A name that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given, or too much.
    #[error("the name is {0} octets long: give 1 to {longest}", longest = Name::LONGEST)]
    Length(usize),
    /// A control character, a zero among them: the first zero ends a name.
    #[error("the name has a control character at place {0}: leave it out")]
    Unfit(usize),
}

/// A content id, a case id or the name of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name {
    padded: Box<[u8; NAME]>,
    length: usize,
}

impl Name {
    /// Most octets that fit: the original needs a zero behind them.
    pub const LONGEST: usize = NAME - 1;

    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if !(1..=Self::LONGEST).contains(&name.len()) {
            return Err(NameError::Length(name.len()));
        }
        if let Some(before) = name.chars().position(char::is_control) {
            return Err(NameError::Unfit(before + 1));
        }
        Ok(Self { padded: Box::new(padded(name)), length: name.len() })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        // Made of a `str` of this length.
        self.padded.get(..self.length).and_then(|octets| str::from_utf8(octets).ok()).unwrap_or_default()
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(&name)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

/// How long a CmII datagram is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum Length {
    /// 424 octets: whole. The original's collector reads it, and shows the right port.
    #[default]
    Whole,
    /// 423 octets, as the original sends it: the lower half of the destination port is missing.
    Original,
}

impl TryFrom<u16> for Length {
    type Error = &'static str;

    fn try_from(octets: u16) -> Result<Self, Self::Error> {
        match octets {
            424 => Ok(Self::Whole),
            423 => Ok(Self::Original),
            _ => Err("no such length: give 424, or 423 as the original sends it"),
        }
    }
}

impl From<Length> for u16 {
    fn from(length: Length) -> Self {
        match length {
            Length::Whole => 424,
            Length::Original => 423,
        }
    }
}

/// The ends of a packet. Ports are 0 where the transport has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Sender.
    pub source: Ipv4Addr,
    /// Receiver.
    pub destination: Ipv4Addr,
    /// Sender's port.
    pub source_port: u16,
    /// Receiver's port; of a datagram of 423 octets the upper half, as the original's collector shows it.
    pub destination_port: u16,
}

/// Writes the datagrams of one intercept.
#[derive(Clone, Debug)]
pub struct Tap {
    content_id: Name,
    case_id: Name,
    iap_system_id: Name,
    length: Length,
}

impl Tap {
    /// Octets in front of the frame on CmC.
    pub const CMC_HEADER: usize = NAME + TIME;

    /// The intercept with these names. `length` is for CmII.
    pub fn new(content_id: Name, case_id: Name, iap_system_id: Name, length: Length) -> Self {
        Self { content_id, case_id, iap_system_id, length }
    }

    /// Writes the CmC datagram of `frame`, which begins with its link layer, and says how long it is.
    pub fn cmc(&self, out: &mut [u8], time: UtcMicros, frame: &[u8]) -> Result<usize, NoRoom> {
        self.cmc_from(out, time, frame.len(), |payload| payload.copy_from_slice(frame))
    }

    /// [`cmc`](Self::cmc) of a frame that does not lie in one piece: `copy` writes its `length` octets.
    #[inline]
    pub fn cmc_from(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        put(out, &[&self.content_id.padded[..], &time.iso_milliseconds()], length, copy)
    }

    /// Writes the CmII datagram of a packet and says how long it is. The original never set a stream id: give 0, or a
    /// number that names the flow.
    pub fn cmii(&self, out: &mut [u8], time: UtcMicros, stream_id: u32, ends: &Ends) -> Result<usize, NoRoom> {
        let names = [&*self.case_id.padded, &*self.iap_system_id.padded, &*self.content_id.padded];
        put_cmii(out, names, time, (0, stream_id), ends, self.length)
    }
}

/// A CmII datagram of its parts. The names are padded; `filler` is the octet in front of the stream id.
fn put_cmii(
    out: &mut [u8],
    [case_id, iap_system_id, content_id]: [&[u8; NAME]; 3],
    time: UtcMicros,
    (filler, stream_id): (u8, u32),
    ends: &Ends,
    length: Length,
) -> Result<usize, NoRoom> {
    let destination_port = ends.destination_port.to_be_bytes();
    let parts: [&[u8]; 10] = [
        case_id,
        iap_system_id,
        &time.iso_milliseconds(),
        content_id,
        &[filler],
        // The original wrote numbers as a little-endian machine has them in memory, addresses among them, ports not.
        &stream_id.to_le_bytes(),
        &ends.source.to_bits().to_le_bytes(),
        &ends.destination.to_bits().to_le_bytes(),
        &ends.source_port.to_be_bytes(),
        match length {
            Length::Whole => &destination_port,
            Length::Original => destination_port.split_at(1).0,
        },
    ];
    put(out, &parts, 0, |_| {})
}

/// A CmC datagram read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cmc<'a> {
    /// The intercept.
    pub content_id: &'a str,
    /// When the frame was seen.
    pub timestamp: UtcMicros,
    /// The frame, from its link layer.
    #[serde(serialize_with = "hexadecimal")]
    pub payload: &'a [u8],
}

/// A CmII datagram read back. What it prints is its line of `cmii.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cmii<'a> {
    /// The intercept.
    pub content_id: &'a str,
    /// The agency's name for the case.
    pub case_id: &'a str,
    /// The probe.
    pub iap_system_id: &'a str,
    /// When the packet was seen.
    pub timestamp: UtcMicros,
    /// The octet in front of the stream id: whatever was in the memory of the original.
    pub filler: u8,
    /// The flow; likewise in the original.
    pub stream_id: u32,
    /// Who sent it to whom.
    #[serde(flatten)]
    pub ends: Ends,
    /// How long the datagram was.
    pub length: Length,
}

/// Reads a CmC datagram.
pub fn decode_cmc(datagram: &[u8]) -> Result<Cmc<'_>, Malformed> {
    let mut fields = Fields { format: "OpenCALEA CmC datagram", all: datagram, rest: datagram };
    let content_id = fields.name()?;
    let timestamp = fields.time()?;
    Ok(Cmc { content_id, timestamp, payload: fields.rest })
}

/// Reads a CmII datagram of either length.
pub fn decode_cmii(datagram: &[u8]) -> Result<Cmii<'_>, Malformed> {
    let mut fields = Fields { format: "OpenCALEA CmII datagram", all: datagram, rest: datagram };
    let case_id = fields.name()?;
    let iap_system_id = fields.name()?;
    let timestamp = fields.time()?;
    let content_id = fields.name()?;
    let [filler] = fields.take()?;
    let stream_id = u32::from_le_bytes(fields.take()?);
    let [source, destination] = [fields.take()?, fields.take()?].map(|bits| u32::from_le_bytes(bits).into());
    let source_port = u16::from_be_bytes(fields.take()?);
    let (destination_port, length) = match *fields.rest {
        [high] => (u16::from_be_bytes([high, 0]), Length::Original),
        [high, low] => (u16::from_be_bytes([high, low]), Length::Whole),
        [] => return Err(fields.fault(CUT_OFF)),
        [..] => return Err(fields.fault("more than a destination port")),
    };
    let ends = Ends { source, destination, source_port, destination_port };
    Ok(Cmii { content_id, case_id, iap_system_id, timestamp, filler, stream_id, ends, length })
}

/// What is left of a datagram.
struct Fields<'a> {
    format: &'static str,
    all: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn fault(&self, fault: &'static str) -> Malformed {
        Malformed { format: self.format, offset: self.all.len() - self.rest.len(), fault }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        take(&mut self.rest).ok_or(self.fault(CUT_OFF))
    }

    /// A name, up to its first zero.
    fn name(&mut self) -> Result<&'a str, Malformed> {
        let (field, behind) = self.rest.split_at_checked(NAME).ok_or(self.fault(CUT_OFF))?;
        let name = field.split(|octet| *octet == 0).next().unwrap_or_default();
        let name = str::from_utf8(name).map_err(|_| self.fault("a name that is not UTF-8"))?;
        // A line break would make two lines of one in `cmii.txt`.
        if name.contains(char::is_control) {
            return Err(self.fault("a name with a control character"));
        }
        self.rest = behind;
        Ok(name)
    }

    fn time(&mut self) -> Result<UtcMicros, Malformed> {
        let before = Self { ..*self };
        UtcMicros::from_iso_milliseconds(&self.take()?).ok_or(before.fault("no time like 2007-04-19T17:26:28.406"))
    }
}

impl Cmii<'_> {
    /// Writes the datagram again, every octet as it was, but for what stood behind the zero that ends a name.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        let [case_id, iap_system_id, content_id] = [self.case_id, self.iap_system_id, self.content_id].map(padded);
        let names = [&case_id, &iap_system_id, &content_id];
        put_cmii(out, names, self.timestamp, (self.filler, self.stream_id), &self.ends, self.length)
    }
}

/// The line of `cmii.txt`, without its end. The original prints the source twice; this one does not.
impl fmt::Display for Cmii<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { content_id, case_id, iap_system_id, timestamp, ends, .. } = self;
        let Ends { source, destination, source_port, destination_port } = ends;
        let time = timestamp.iso_milliseconds();
        let time = str::from_utf8(&time).unwrap_or_default(); // digits and signs
        write!(f, "{content_id}, {case_id}, {iap_system_id}, {time}, ")?;
        write!(f, "{source}, {destination}, {source_port}, {destination_port}")
    }
}

impl Cmc<'_> {
    /// What `cmc.pcap` begins with: little-endian, times to the microsecond, frames of Ethernet of up to 65,535 octets.
    pub const PCAP_HEADER: [u8; 24] =
        [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];

    /// What stands in front of this datagram's frame in `cmc.pcap`; none if the time is past 2106, which pcap cannot tell.
    pub fn pcap_record(&self) -> Option<[u8; 16]> {
        let micros = self.timestamp.unix_micros();
        let seconds = u32::try_from(micros / 1_000_000).ok()?;
        let length = u32::try_from(self.payload.len()).ok()?;
        let fields = [seconds, (micros % 1_000_000) as u32, length, length].map(u32::to_le_bytes);
        fields.as_flattened().try_into().ok()
    }

    /// Writes the datagram again, every octet as it was, but for what stood behind the zero that ends a name.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        let parts = [&padded(self.content_id)[..], &self.timestamp.iso_milliseconds()];
        put(out, &parts, self.payload.len(), |payload| payload.copy_from_slice(self.payload))
    }
}

/// A name with zeros behind it.
fn padded(name: &str) -> [u8; NAME] {
    let mut padded = [0; NAME];
    padded.iter_mut().zip(name.bytes()).for_each(|(place, octet)| *place = octet);
    padded
}
