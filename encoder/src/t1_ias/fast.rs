//! The PDUs that are written for every packet, straight into the caller's buffer: no allocation, no second copy.
//!
//! All lengths are known before the first octet is written, so each octet is written once, in its place. The types
//! of [`asn1`](super::asn1) define what it has to look like; a property test holds the two equal octet for octet.

use super::{Direction, Flow, HeaderSet, Intercept};
use crate::ber::{Header, NoRoom, ROOM, Unsigned, Writer};
use crate::time::Stamp;

// Identifier octets (X.690, 8.1.2): universal SEQUENCE, context tags primitive and constructed.
const SEQUENCE: u8 = 0x30;
pub(super) const fn primitive(tag: u8) -> u8 {
    0x80 | tag
}
pub(super) const fn constructed(tag: u8) -> u8 {
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
    pub fn header_report(&self, out: &mut [u8], time: impl Into<Stamp>, flow: &Flow) -> Result<usize, NoRoom> {
        self.header_report_from(out, time, &HeaderSet::of(flow)?)
    }

    /// [`header_report`](Self::header_report) of a packet whose flow was encoded before.
    ///
    /// Inlined, so that the time stays in registers.
    #[inline(always)]
    pub fn header_report_from(
        &self,
        out: &mut [u8],
        time: impl Into<Stamp>,
        header_set: &HeaderSet,
    ) -> Result<usize, NoRoom> {
        let time: Stamp = time.into();
        let report = Header::new(
            constructed(10),
            self.message_head.len() + time.octets + self.report_content_identifier.len() + header_set.len(),
        );
        let protocol = Header::new(SEQUENCE, CMII_PROTOCOL.len() + report.whole());

        let mut writer = Writer::new(out)?;
        writer.header(protocol)?;
        writer.words(CMII_PROTOCOL_WORDS, CMII_PROTOCOL.len())?;
        writer.header(report)?;
        writer.prepared(&self.message_head)?;
        writer.value(primitive(2), time.words, time.octets)?;
        writer.prepared(&self.report_content_identifier)?;
        header_set.write(&mut writer)?;
        Ok(protocol.whole())
    }

    /// Octets of the buffer that [`header_report`](Self::header_report) needs.
    #[inline]
    pub fn header_report_bound(&self) -> usize {
        ROOM
    }
}
