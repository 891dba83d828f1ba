//! The PDUs that are written for every packet, straight into the caller's buffer: no allocation, no second copy.
//!
//! All lengths are known before the first octet is written, so each octet is written once, in its place. The types
//! of [`asn1`](super::asn1) define what it has to look like; a property test holds the two equal octet for octet.

use std::net::IpAddr;

use super::{Direction, Flow, Intercept};
use crate::ber::{NoRoom, Unsigned, Writer, tlv_octets};
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

/// packetDirection \[2\] in CCDeliveryHeader, whole, where there is one.
const DIRECTION_OCTETS: usize = 3;

impl Intercept {
    /// Writes `packet` as an IAS-CC-APDU (CmCC) to the front of `out` and says how long it is.
    ///
    /// `packet` begins with its IP header; `sequence` counts the packets of this intercept on CmC. Without a direction
    /// packetDirection is left out, as the standard allows: it is not known. A buffer of
    /// [`content_bound`](Self::content_bound) octets is always enough.
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
        let header =
            self.correlation_info.len() + tlv_octets(time.length) + direction_octets + tlv_octets(sequence.length);
        let apdu = tlv_octets(header) + tlv_octets(length);
        let total = tlv_octets(apdu);

        let (head, payload) = out.get_mut(..total).ok_or(NoRoom)?.split_at_mut_checked(total - length).ok_or(NoRoom)?;
        // The payload first: while it comes from memory, the processor has the head to work on. The other way round the
        // head stands between one packet's memory and the next's, and 1400 octets take nearly twice as long.
        copy(payload);
        let mut writer = Writer::new(head);
        writer.header(SEQUENCE, apdu)?;
        writer.header(constructed(0), header)?;
        writer.prepared(&self.correlation_info)?;
        writer.words(primitive(1), time.words, time.length)?;
        if let Some(direction) = direction {
            writer.words(primitive(2), [direction as u64], 1)?;
        }
        writer.unsigned(primitive(3), &sequence)?;
        writer.header(primitive(1), length)?;
        Ok(total)
    }

    /// Octets that [`content`](Self::content) needs at most for a packet of `length` octets.
    pub fn content_bound(&self, length: usize) -> usize {
        let header =
            self.correlation_info.len() + tlv_octets(Stamp::LONGEST) + DIRECTION_OCTETS + tlv_octets(Unsigned::LONGEST);
        tlv_octets(tlv_octets(header) + tlv_octets(length))
    }

    /// Writes a Packet-Data-Header-Report of one packet of `flow` (CmII) to the front of `out` and says how long it is.
    ///
    /// A buffer of [`header_report_bound`](Self::header_report_bound) octets is always enough.
    pub fn header_report(&self, out: &mut [u8], time: impl Into<Stamp>, flow: &Flow) -> Result<usize, NoRoom> {
        let time: Stamp = time.into();
        let stream_id = flow.stream_id();
        let flow_label = flow.flow_label.map(|label| Decimal::new(label.get()));
        let source = Address::new(flow.source, flow_label.as_ref());
        let destination = Address::new(flow.destination, None);
        let ports = flow.ports.map(|(from, to)| (Decimal::new(from.into()), Decimal::new(to.into())));

        let header_set = tlv_octets(tlv_octets(stream_id.len()))
            + tlv_octets(source.octets())
            + tlv_octets(destination.octets())
            + ports.as_ref().map_or(0, |(from, to)| tlv_octets(from.length) + tlv_octets(to.length));
        let report = self.message_head.len()
            + tlv_octets(time.length)
            + self.report_content_identifier.len()
            + tlv_octets(header_set);
        let protocol = CMII_PROTOCOL.len() + tlv_octets(report);
        let total = tlv_octets(protocol);

        let mut writer = Writer::new(out.get_mut(..total).ok_or(NoRoom)?);
        writer.header(SEQUENCE, protocol)?;
        writer.octets(&CMII_PROTOCOL)?;
        writer.header(constructed(10), report)?;
        writer.prepared(&self.message_head)?;
        writer.words(primitive(2), time.words, time.length)?;
        writer.prepared(&self.report_content_identifier)?;
        writer.header(constructed(4), header_set)?;
        writer.header(constructed(0), tlv_octets(stream_id.len()))?;
        writer.value(primitive(0), &stream_id)?;
        source.write(&mut writer, constructed(1))?;
        destination.write(&mut writer, constructed(2))?;
        if let Some((from, to)) = &ports {
            writer.words(primitive(3), [from.digits], from.length)?;
            writer.words(primitive(4), [to.digits], to.length)?;
        }
        Ok(total)
    }

    /// Octets that [`header_report`](Self::header_report) needs at most.
    pub fn header_report_bound(&self) -> usize {
        let header_set =
            tlv_octets(tlv_octets(16)) + 2 * tlv_octets(Address::LONGEST) + 2 * tlv_octets(Decimal::LONGEST);
        let report = self.message_head.len()
            + tlv_octets(Stamp::LONGEST)
            + self.report_content_identifier.len()
            + tlv_octets(header_set);
        tlv_octets(CMII_PROTOCOL.len() + tlv_octets(report))
    }
}

/// The contents of an IPAddress: address, an allocationMethod of unknown, perhaps a flow label.
struct Address<'a> {
    /// The first octet in the lowest place.
    words: [u64; 2],
    /// Tag in IpAddress and octets of the address.
    tag: u8,
    length: usize,
    flow_label: Option<&'a Decimal>,
}

impl<'a> Address<'a> {
    /// allocationMethod \[1\] { unknown \[2\] NULL }: a packet does not show how its ends came to their addresses.
    const ALLOCATION_UNKNOWN: [u8; 4] = [constructed(1), 2, primitive(2), 0];

    const LONGEST: usize = tlv_octets(tlv_octets(16)) + Self::ALLOCATION_UNKNOWN.len() + tlv_octets(Decimal::LONGEST);

    fn new(address: IpAddr, flow_label: Option<&'a Decimal>) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let words = [u32::from_le_bytes(v4.octets()).into(), 0];
                Self { words, tag: 1, length: 4, flow_label }
            }
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                let words = [((bits >> 64) as u64).swap_bytes(), (bits as u64).swap_bytes()];
                Self { words, tag: 2, length: 16, flow_label }
            }
        }
    }

    fn octets(&self) -> usize {
        tlv_octets(tlv_octets(self.length))
            + Self::ALLOCATION_UNKNOWN.len()
            + self.flow_label.map_or(0, |label| tlv_octets(label.length))
    }

    fn write(&self, writer: &mut Writer<'_>, identifier: u8) -> Result<(), NoRoom> {
        writer.header(identifier, self.octets())?;
        writer.header(constructed(0), tlv_octets(self.length))?;
        writer.words(primitive(self.tag), self.words, self.length)?;
        writer.octets(&Self::ALLOCATION_UNKNOWN)?;
        match self.flow_label {
            Some(label) => writer.words(primitive(2), [label.digits], label.length),
            None => Ok(()),
        }
    }
}

/// A port or a flow label as decimal digits, without leading zeros, the first in the lowest octet.
struct Decimal {
    digits: u64,
    length: usize,
}

impl Decimal {
    /// A flow label has 20 bits, so up to 1,048,575.
    const LONGEST: usize = 7;

    /// `number` is below 10^8.
    fn new(number: u32) -> Self {
        let digits = u64::from_be_bytes(digits(number));
        // Octets from the first that is not '0' on, at least one.
        let zeros = ((digits ^ 0x3030_3030_3030_3030) | 1).leading_zeros() / 8;
        Self { digits: (digits << (8 * zeros)).swap_bytes(), length: 8 - zeros as usize }
    }
}
