//! Reading: a PDU as it lies in the caller's octets. Attributes are walked over once when it is read, so that whoever goes
//! through them later meets none that is cut off or of the wrong length.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::ser::{Serialize, Serializer};

use super::{Direction, Format, HEADER, Kind, VERSION, attribute};
use crate::UtcMicros;
use crate::hexadecimal::hexadecimal;
use crate::layout::{CUT_OFF, Malformed, take};

const FORMAT: &str = "X2/X3 PDU";

/// A PDU read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pdu<'a> {
    /// What it is for.
    pub kind: Kind,
    /// What the payload is.
    pub format: Format,
    /// Which way it went.
    pub direction: Direction,
    /// The task; zeros in a keep-alive.
    #[serde(serialize_with = "hexadecimal")]
    pub xid: [u8; 16],
    /// The session.
    pub correlation_id: u64,
    /// What else is said.
    pub attributes: Attributes<'a>,
    /// The payload, as it was seen.
    #[serde(serialize_with = "hexadecimal")]
    pub payload: &'a [u8],
}

/// The attributes of a PDU, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a>(&'a [u8]);

/// One attribute. An address is told where the standard puts it, whatever the payload holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute<'a> {
    /// Domain id.
    DomainId(&'a str),
    /// The network function.
    NetworkFunctionId(&'a str),
    /// The point of interception in it.
    InterceptionPointId(&'a str),
    /// The PDU's number among those of the task.
    SequenceNumber(u32),
    /// When it was seen.
    Timestamp(UtcMicros),
    /// Sender.
    SourceIpv4(Ipv4Addr),
    /// Receiver.
    DestinationIpv4(Ipv4Addr),
    /// Sender.
    SourceIpv6(Ipv6Addr),
    /// Receiver.
    DestinationIpv6(Ipv6Addr),
    /// Sender's port.
    SourcePort(u16),
    /// Receiver's port.
    DestinationPort(u16),
    /// IP protocol number of the transport.
    Protocol(u8),
    /// The identifier of the target that was found.
    MatchedTarget(&'a str),
    /// Another identifier of the target.
    OtherTarget(&'a str),
    /// What is not read here.
    Other {
        /// Its type.
        number: u16,
        /// As it stands there.
        #[serde(serialize_with = "hexadecimal")]
        value: &'a [u8],
    },
}

impl<'a> Attributes<'a> {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let mut rest = self.0;
        // Whole and sound, since `decode` has walked over them.
        std::iter::from_fn(move || if rest.is_empty() { None } else { next_attribute(&mut rest).ok() })
    }

    /// The number of the PDU, if it bears one: what the answer to a keep-alive repeats.
    pub fn sequence_number(&self) -> Option<u32> {
        self.iter().find_map(|attribute| match attribute {
            Attribute::SequenceNumber(number) => Some(number),
            _ => None,
        })
    }
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The next attribute of `rest`, which is moved behind it.
fn next_attribute<'a>(rest: &mut &'a [u8]) -> Result<Attribute<'a>, &'static str> {
    const CUT: &str = "an attribute that ends behind the header";
    const UNFIT: &str = "an attribute of the wrong length";
    const NO_TEXT: &str = "an attribute that is no UTF-8";
    let [number, length] = [take(rest).ok_or(CUT)?, take(rest).ok_or(CUT)?].map(u16::from_be_bytes);
    let (value, behind) = rest.split_at_checked(length.into()).ok_or(CUT)?;
    *rest = behind;
    let text = || str::from_utf8(value).map_err(|_| NO_TEXT);
    Ok(match number {
        attribute::DOMAIN_ID => Attribute::DomainId(text()?),
        attribute::NETWORK_FUNCTION_ID => Attribute::NetworkFunctionId(text()?),
        attribute::INTERCEPTION_POINT_ID => Attribute::InterceptionPointId(text()?),
        attribute::SEQUENCE_NUMBER => Attribute::SequenceNumber(u32::from_be_bytes(whole(value).ok_or(UNFIT)?)),
        attribute::TIMESTAMP => {
            let timespec = u64::from_be_bytes(whole(value).ok_or(UNFIT)?);
            let (seconds, nanos) = (timespec >> 32, timespec & 0xffff_ffff);
            Attribute::Timestamp(UtcMicros::from_unix_nanos(seconds * 1_000_000_000 + nanos))
        }
        attribute::SOURCE_IPV4 => Attribute::SourceIpv4(whole::<4>(value).ok_or(UNFIT)?.into()),
        attribute::DESTINATION_IPV4 => Attribute::DestinationIpv4(whole::<4>(value).ok_or(UNFIT)?.into()),
        attribute::SOURCE_IPV6 => Attribute::SourceIpv6(whole::<16>(value).ok_or(UNFIT)?.into()),
        attribute::DESTINATION_IPV6 => Attribute::DestinationIpv6(whole::<16>(value).ok_or(UNFIT)?.into()),
        attribute::SOURCE_PORT => Attribute::SourcePort(u16::from_be_bytes(whole(value).ok_or(UNFIT)?)),
        attribute::DESTINATION_PORT => Attribute::DestinationPort(u16::from_be_bytes(whole(value).ok_or(UNFIT)?)),
        attribute::PROTOCOL => Attribute::Protocol(u8::from_be_bytes(whole(value).ok_or(UNFIT)?)),
        attribute::MATCHED_TARGET => Attribute::MatchedTarget(text()?),
        attribute::OTHER_TARGET => Attribute::OtherTarget(text()?),
        _ => Attribute::Other { number, value },
    })
}

fn whole<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// Lengths of header and payload, as the first 12 octets tell them; none if they are not all there.
pub(super) fn lengths(front: &[u8]) -> Option<Result<(u32, u32), Malformed>> {
    let fault = |offset, fault| Malformed { format: FORMAT, offset, fault };
    let mut rest = front;
    let [version, kind] = [take(&mut rest)?, take(&mut rest)?].map(u16::from_be_bytes);
    if version != VERSION {
        return Some(Err(fault(0, "a version other than 1")));
    }
    if !(1..=4).contains(&kind) {
        return Some(Err(fault(2, "a type other than 1 to 4")));
    }
    let [header, payload] = [take(&mut rest)?, take(&mut rest)?].map(u32::from_be_bytes);
    if header < HEADER as u32 {
        return Some(Err(fault(4, "a header of fewer than 40 octets")));
    }
    Some(Ok((header, payload)))
}

/// Reads the PDU at the front of `bytes`, and says how many octets it has.
pub fn decode(bytes: &[u8]) -> Result<(Pdu<'_>, usize), Malformed> {
    let fault = |offset, fault| Malformed { format: FORMAT, offset, fault };
    let cut_off = fault(bytes.len(), CUT_OFF);
    let (header, payload) = lengths(bytes).ok_or(cut_off)??;
    let (header, rest) = bytes.split_at_checked(header as usize).ok_or(cut_off)?;
    let (payload, rest) =
        rest.split_at_checked(payload as usize).ok_or(fault(bytes.len(), "ends within its payload"))?;
    let (fixed, attributes) = header.split_first_chunk::<HEADER>().ok_or(cut_off)?;
    let mut fields = &fixed[..];
    let mut field = || take(&mut fields).map(u16::from_be_bytes).ok_or(cut_off);
    let [_, kind, _, _, _, _, format, direction] =
        [field()?, field()?, field()?, field()?, field()?, field()?, field()?, field()?];
    let kind = match kind {
        1 => Kind::X2,
        2 => Kind::X3,
        3 => Kind::KeepAlive,
        _ => Kind::KeepAliveAnswer,
    };
    let direction = match direction {
        0 => Direction::None,
        1 => Direction::Unknown,
        2 => Direction::ToTarget,
        3 => Direction::FromTarget,
        4 => Direction::Several,
        5 => Direction::NotApplicable,
        _ => return Err(fault(14, "a direction other than 0 to 5")),
    };
    let (&xid, mut correlation_id) = fields.split_first_chunk().ok_or(cut_off)?;
    let correlation_id = u64::from_be_bytes(take(&mut correlation_id).ok_or(cut_off)?);
    let mut unread = attributes;
    while !unread.is_empty() {
        let offset = header.len() - unread.len();
        next_attribute(&mut unread).map_err(|what| fault(offset, what))?;
    }
    let attributes = Attributes(attributes);
    let pdu = Pdu { kind, format: Format(format), direction, xid, correlation_id, attributes, payload };
    Ok((pdu, bytes.len() - rest.len()))
}
