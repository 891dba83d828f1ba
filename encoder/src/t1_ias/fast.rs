//! The PDUs that are written for every packet, straight into the caller's buffer: no allocation, no second copy.
//!
//! All lengths are known before the first octet is written, so each octet is written once, in its place. The types
//! of [`asn1`](super::asn1) define what it has to look like; a property test holds the two equal octet for octet.

use std::net::IpAddr;

use super::{Direction, Flow, Intercept};
use crate::ber::{Header, NoRoom, ROOM, Unsigned, Writer};
use crate::time::{Stamp, digits};

// Identifier octets (X.690, 8.1.2): universal SEQUENCE, context tags primitive and constructed.
const SEQUENCE: u8 = 0x30;
const fn primitive(tag: u8) -> u8 {
    0x80 | tag
}
const fn constructed(tag: u8) -> u8 {
    0xa0 | tag
}

/// protocolIdentifier of CmII whole; held to [`CMII_PROTOCOL`](super::asn1::CMII_PROTOCOL) by the property test.
const CMII_PROTOCOL: [u8; 13] = [0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x49, 0x02, 0x01, 0x01, 0x00, 0x00];

/// The same, as it is written.
const CMII_PROTOCOL_WORDS: [u64; 2] = {
    let mut octets = [0; 16];
    let (start, _) = octets.split_at_mut(CMII_PROTOCOL.len());
    start.copy_from_slice(&CMII_PROTOCOL);
    let octets = u128::from_le_bytes(octets);
    [octets as u64, (octets >> 64) as u64]
};

/// Octets of streamID, whole: its two headers and 16 digits.
const STREAM_ID: usize = 4 + 16;

/// packetDirection \[2\] in CCDeliveryHeader, whole, where there is one.
const DIRECTION_OCTETS: usize = 3;

impl Intercept {
    /// Writes `packet` as an IAS-CC-APDU (CmCC) to the front of `out` and says how long it is.
    ///
    /// `packet` begins with its IP header; `sequence` counts the packets of this intercept on CmC. Without a direction
    /// packetDirection is left out, as the standard allows: it is not known. The buffer has to have
    /// [`content_bound`](Self::content_bound) octets, of which those behind the PDU are of no use afterwards.
    pub fn content(
        &self,
        out: &mut [u8],
        time: impl Into<Stamp>,
        direction: impl Into<Option<Direction>>,
        sequence: u64,
        packet: &[u8],
    ) -> Result<usize, NoRoom> {
        self.content_from(out, time, direction, sequence, packet.len(), |payload| payload.copy_from_slice(packet))
    }

    /// [`content`](Self::content) of a packet that does not lie in one piece: `copy` writes its `length` octets to the
    /// slice that it is given, which is as long.
    #[inline]
    pub fn content_from(
        &self,
        out: &mut [u8],
        time: impl Into<Stamp>,
        direction: impl Into<Option<Direction>>,
        sequence: u64,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let time: Stamp = time.into();
        let sequence = Unsigned::new(sequence);
        let direction = direction.into();

        let direction_octets = if direction.is_some() { DIRECTION_OCTETS } else { 0 };
        let header = Header::new(
            constructed(0),
            self.correlation_info.len() + time.octets + direction_octets + sequence.whole(),
        );
        let payload = Header::new(primitive(1), length);
        let apdu = Header::new(SEQUENCE, header.whole() + payload.whole());

        let mut writer = Writer::new(out)?;
        writer.header(apdu)?;
        writer.header(header)?;
        writer.prepared(&self.correlation_info)?;
        writer.value(primitive(1), time.words, time.octets)?;
        let direction = direction.map_or(0, |direction| u64::from(primitive(2)) | 1 << 8 | (direction as u64) << 16);
        writer.unsigned((direction, direction_octets), primitive(3), sequence)?;
        writer.header(payload)?;
        // Last: what was too much of the words in front is written over.
        let total = apdu.whole();
        copy(out.get_mut(total - length..total).ok_or(NoRoom)?);
        Ok(total)
    }

    /// Octets of the buffer that [`content`](Self::content) needs for a packet of `length` octets.
    #[inline]
    pub fn content_bound(&self, length: usize) -> usize {
        ROOM + length
    }

    /// Writes a Packet-Data-Header-Report of one packet of `flow` (CmII) to the front of `out` and says how long it is.
    ///
    /// The buffer has to have [`header_report_bound`](Self::header_report_bound) octets, of which those behind the PDU are of
    /// no use afterwards.
    #[inline]
    pub fn header_report(&self, out: &mut [u8], time: impl Into<Stamp>, flow: &Flow) -> Result<usize, NoRoom> {
        let time: Stamp = time.into();
        let [id_first, id_last] = flow.stream_id();
        let flow_label = flow.flow_label.map(|label| Decimal::new(label.get()));
        let source = Address::new(flow.source, flow_label);
        let destination = Address::new(flow.destination, None);
        let ports = flow.ports.map(|(from, to)| (Decimal::new(from.into()), Decimal::new(to.into())));

        let ports_octets = ports.map_or(0, |(from, to)| from.whole() + to.whole());
        let header_set = Header::new(constructed(4), STREAM_ID + source.whole() + destination.whole() + ports_octets);
        let report = Header::new(
            constructed(10),
            self.message_head.len() + time.octets + self.report_content_identifier.len() + header_set.whole(),
        );
        let protocol = Header::new(SEQUENCE, CMII_PROTOCOL.len() + report.whole());

        let mut writer = Writer::new(out)?;
        writer.header(protocol)?;
        writer.words(CMII_PROTOCOL_WORDS, CMII_PROTOCOL.len())?;
        writer.header(report)?;
        writer.prepared(&self.message_head)?;
        writer.value(primitive(2), time.words, time.octets)?;
        writer.prepared(&self.report_content_identifier)?;
        writer.header(header_set)?;
        // streamID [0] { text [0] }
        let head = u64::from_le_bytes([0, 18, primitive(0), 16, 0, 0, 0, 0]);
        writer.value(
            constructed(0),
            [head | id_first << 32, id_first >> 32 | id_last << 32, id_last >> 32],
            STREAM_ID,
        )?;
        source.write(&mut writer, constructed(1))?;
        destination.write(&mut writer, constructed(2))?;
        if let Some((from, to)) = ports {
            writer.value(primitive(3), [from.short()], from.whole())?;
            writer.value(primitive(4), [to.short()], to.whole())?;
        }
        Ok(protocol.whole())
    }

    /// Octets of the buffer that [`header_report`](Self::header_report) needs.
    #[inline]
    pub fn header_report_bound(&self) -> usize {
        ROOM
    }
}

/// The contents of an IPAddress: address, an allocationMethod of unknown, perhaps a flow label.
struct Address {
    address: IpAddr,
    flow_label: Option<Decimal>,
}

impl Address {
    /// allocationMethod \[1\] { unknown \[2\] NULL }: a packet does not show how its ends came to their addresses.
    const ALLOCATION_UNKNOWN: u64 = u32::from_le_bytes([constructed(1), 2, primitive(2), 0]) as u64;

    /// Octets of an address and the allocationMethod: identifiers and lengths of both, and what is in them.
    const V4: usize = 6 + 4 + 4;
    const V6: usize = 6 + 16 + 4;
    fn new(address: IpAddr, flow_label: Option<Decimal>) -> Self {
        Self { address, flow_label }
    }

    /// Octets of the value whole.
    #[inline(always)]
    fn whole(&self) -> usize {
        let address = if self.address.is_ipv4() { Self::V4 } else { Self::V6 };
        address + self.flow_label.map_or(0, Decimal::whole)
    }

    #[inline(always)]
    fn write(&self, writer: &mut Writer<'_>, identifier: u8) -> Result<(), NoRoom> {
        // Fewer than 128 octets.
        let contents = (self.whole() - 2) as u8;
        // The address [0] { iPv4 [1] or iPv6 [2] }
        let head =
            |tag, octets| u64::from_le_bytes([0, contents, constructed(0), 2 + octets, primitive(tag), octets, 0, 0]);
        match self.address {
            IpAddr::V4(v4) => {
                let bits = u64::from(u32::from_le_bytes(v4.octets()));
                let words = [head(1, 4) | bits << 48, bits >> 16 | Self::ALLOCATION_UNKNOWN << 16];
                writer.value(identifier, words, Self::V4)?;
            }
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let (first, last) = (((bits >> 64) as u64).swap_bytes(), (bits as u64).swap_bytes());
                let allocation = Self::ALLOCATION_UNKNOWN;
                let words = [
                    head(2, 16) | first << 48,
                    first >> 16 | last << 48,
                    last >> 16 | allocation << 48,
                    allocation >> 16,
                ];
                writer.value(identifier, words, Self::V6)?;
            }
        }
        match self.flow_label {
            Some(label) => {
                let words = [(label.length as u64) << 8 | label.digits << 16, label.digits >> 48];
                writer.value(primitive(2), words, label.whole())
            }
            None => Ok(()),
        }
    }
}

/// A port or a flow label as decimal digits, without leading zeros, the first in the lowest octet.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u64,
    length: usize,
}

impl Decimal {
    /// `number` is below 10^8: a port, or the 20 bits of a flow label.
    #[inline(always)]
    fn new(number: u32) -> Self {
        let digits = u64::from_be_bytes(digits(number));
        // Octets from the first that is not '0' on, at least one.
        let zeros = ((digits ^ 0x3030_3030_3030_3030) | 1).leading_zeros() / 8;
        Self { digits: (digits << (8 * zeros)).swap_bytes(), length: 8 - zeros as usize }
    }

    /// Octets of the value whole.
    #[inline(always)]
    fn whole(self) -> usize {
        2 + self.length
    }

    /// The value whole in one word, the identifier left free: of up to six digits, so any port.
    #[inline(always)]
    fn short(self) -> u64 {
        (self.length as u64) << 8 | self.digits << 16
    }
}
