//! Packet-Data-Summary-Report: in place of a report of every packet, now and then how many a flow had.
//!
//! What decides when a summary is due and counts until then is no matter of the standard; `writ-flows` does it. A report
//! is due for each flow and period, not for each packet, but it is written by a worker between packets, so it is not
//! allocated either.

use super::Intercept;
use super::events::message;
use crate::UtcMicros;
use crate::ber::NoRoom;
use crate::t1_ias::asn1::{self, Unknown};
use crate::t1_ias::{Allocation, Flow};
use crate::time::{Stamp, digits};
use std::net::IpAddr;

/// What a summary says of a flow: one direction of a five-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The flow.
    pub flow: Flow,
    /// Its packets since the last summary of it.
    pub packets: u64,
}

impl Intercept {
    /// Octets of the buffer that [`summary_report`](Self::summary_report) needs.
    pub const SUMMARY_REPORT_BOUND: usize = 512;

    /// Writes a Packet-Data-Summary-Report (CmII) to the front of `out` and says how long it is.
    pub fn summary_report(&self, out: &mut [u8], time: impl Into<Stamp>, summary: &Summary) -> Result<usize, NoRoom> {
        let flow = &summary.flow;
        let out = out.first_chunk_mut().ok_or(NoRoom)?;
        // The last octet first: then each length is known when its turn comes.
        let mut message = Backwards { room: out, start: Self::SUMMARY_REPORT_BOUND };
        if let Some((source, destination)) = flow.ports {
            message.decimal(0x85, destination.into())?;
            message.decimal(0x84, source.into())?;
        }
        message.unsigned(0x83, summary.packets)?;
        message.address(0xa2, flow.destination, None)?;
        message.address(0xa1, flow.source, flow.flow_label.map(|label| label.get()))?;
        let stream_id = flow.stream_id().map(u64::to_le_bytes);
        message.value(0x80, stream_id.as_flattened())?;
        message.header(0xa0, 2 + stream_id.as_flattened().len())?;
        message.header(0xa4, Self::SUMMARY_REPORT_BOUND - message.start)?;
        message.octets(self.report_content_identifier.octets())?;
        let time: Stamp = time.into();
        message.value(0x82, time.text(&mut [0; 24]))?;
        message.octets(self.message_head.octets())?;
        message.header(0xab, Self::SUMMARY_REPORT_BOUND - message.start)?;
        message.octets(&CMII_PROTOCOL)?;
        message.header(0x30, Self::SUMMARY_REPORT_BOUND - message.start)?;
        let Backwards { room, start } = message;
        room.copy_within(start.., 0);
        Ok(Self::SUMMARY_REPORT_BOUND - start)
    }

    /// What [`summary_report`](Self::summary_report) writes, as the type of the standard.
    pub fn summary_report_message(&self, time: UtcMicros, summary: &Summary) -> asn1::IasProtocol {
        let flow = &summary.flow;
        let mut source_ip_address = asn1::IpAddress::new(flow.source, Allocation::Unknown);
        source_ip_address.ipv6_flow_label = flow.flow_label.map(|label| label.get().to_string());
        let stream_id = flow.stream_id().map(u64::to_le_bytes);
        self.message(asn1::IasMessage::DataSummaryReport(message!(
            self,
            time,
            PacketDataSummaryReport {
                content_identifier: self.content_identifier.clone(),
                stream_set: asn1::StreamSet {
                    stream_id: asn1::Value::text(&String::from_utf8_lossy(stream_id.as_flattened())),
                    source_ip_address,
                    destination_ip_address: asn1::IpAddress::new(flow.destination, Allocation::Unknown),
                    packet_count: summary.packets.into(),
                    source_port_number: flow.ports.map(|(source, _)| source.to_string()),
                    destination_port_number: flow.ports.map(|(_, destination)| destination.to_string()),
                    unknown: Unknown::default(),
                },
            }
        )))
    }
}

/// protocolIdentifier of CmII whole; held to [`CMII_PROTOCOL`](asn1::CMII_PROTOCOL) by the property test.
const CMII_PROTOCOL: [u8; 13] = [0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x49, 0x02, 0x01, 0x01, 0x00, 0x00];

/// Writes values from the end of a buffer to its front.
struct Backwards<'a> {
    room: &'a mut [u8; Intercept::SUMMARY_REPORT_BOUND],
    /// Where the octet lies that was written last.
    start: usize,
}

impl Backwards<'_> {
    fn octets(&mut self, octets: &[u8]) -> Result<(), NoRoom> {
        let start = self.start.checked_sub(octets.len()).ok_or(NoRoom)?;
        self.room.get_mut(start..self.start).ok_or(NoRoom)?.copy_from_slice(octets);
        self.start = start;
        Ok(())
    }

    /// Identifier and length of a value whose contents are written. No value of this message has 65,536 octets.
    fn header(&mut self, identifier: u8, contents: usize) -> Result<(), NoRoom> {
        let [high, low] = u16::try_from(contents).map_err(|_| NoRoom)?.to_be_bytes();
        match (high, low) {
            (0, 0..0x80) => self.octets(&[identifier, low]),
            (0, _) => self.octets(&[identifier, 0x81, low]),
            _ => self.octets(&[identifier, 0x82, high, low]),
        }
    }

    fn value(&mut self, identifier: u8, contents: &[u8]) -> Result<(), NoRoom> {
        self.octets(contents)?;
        self.header(identifier, contents.len())
    }

    /// A port, or the 20 bits of a flow label, in decimal digits without leading zeros.
    fn decimal(&mut self, identifier: u8, number: u32) -> Result<(), NoRoom> {
        let digits = digits(number);
        let zeros = digits.iter().take(digits.len() - 1).take_while(|digit| **digit == b'0').count();
        self.value(identifier, digits.get(zeros..).unwrap_or_default())
    }

    /// An INTEGER: the fewest octets that do not read as a negative number.
    fn unsigned(&mut self, identifier: u8, number: u64) -> Result<(), NoRoom> {
        let octets = u128::from(number).to_be_bytes();
        let wide = (u64::BITS - number.leading_zeros()) as usize / 8 + 1;
        self.value(identifier, octets.get(octets.len() - wide..).unwrap_or_default())
    }

    /// An IPAddress with an allocationMethod of unknown: a packet does not show how its ends came to their addresses.
    fn address(&mut self, identifier: u8, address: IpAddr, flow_label: Option<u32>) -> Result<(), NoRoom> {
        let end = self.start;
        if let Some(label) = flow_label {
            self.decimal(0x82, label)?;
        }
        self.octets(&[0xa1, 2, 0x82, 0])?;
        let length = match address {
            IpAddr::V4(v4) => self.value(0x81, &v4.octets()).map(|()| 4)?,
            IpAddr::V6(v6) => self.value(0x82, &v6.octets()).map(|()| 16)?,
        };
        self.header(0xa0, 2 + length)?;
        self.header(identifier, end - self.start)
    }
}
