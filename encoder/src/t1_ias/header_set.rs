//! What a header report says of a packet's flow, encoded: the headerSet whole. It is the same for every packet of the flow,
//! so it is made once and copied from then on.
//!
//! The flows come from the worker; what is made of them goes into header reports (`fast`), of whatever intercept.

use std::net::{IpAddr, Ipv4Addr};

use super::Flow;
use super::fast::{constructed, primitive};
use crate::ber::{Header, NoRoom, ROOM, Writer};
use crate::time::digits;

/// Octets of streamID, whole: its two headers and 16 digits.
const STREAM_ID: usize = 4 + 16;

/// The longest headerSet, and what is written too much: 99 octets with two addresses of IPv6, a flow label and ports.
const OCTETS: usize = 128;

/// headerSet \[4\] of a flow, encoded.
#[derive(Clone, Copy, Debug)]
pub struct HeaderSet {
    octets: [u8; OCTETS],
    length: usize,
}

impl HeaderSet {
    /// Encodes what a report says of a flow.
    pub fn of(flow: &Flow) -> Result<Self, NoRoom> {
        let [id_first, id_last] = flow.stream_id();
        let flow_label = flow.flow_label.map(|label| Decimal::new(label.get()));
        let source = Address::new(flow.source, flow_label);
        let destination = Address::new(flow.destination, None);
        let ports = flow.ports.map(|(from, to)| (Decimal::new(from.into()), Decimal::new(to.into())));
        let ports_octets = ports.map_or(0, |(from, to)| from.whole() + to.whole());
        let header = Header::new(constructed(4), STREAM_ID + source.whole() + destination.whole() + ports_octets);

        let mut octets = [0; OCTETS];
        let mut writer = Writer::over(&mut octets);
        writer.header(header)?;
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
        Ok(Self { octets, length: header.whole() })
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    #[inline(always)]
    pub(super) fn write(&self, writer: &mut Writer<'_, ROOM>) -> Result<(), NoRoom> {
        writer.padded(&self.octets, self.length)
    }
}

/// The header sets of flows that came lately: most packets are of one of few flows. Its size is fixed, and each flow has one
/// place in it, from which the next flow of that place drives it out.
#[derive(Debug)]
pub struct HeaderSets {
    places: Box<[(Flow, HeaderSet)]>,
}

impl Default for HeaderSets {
    fn default() -> Self {
        let unspecified = Ipv4Addr::UNSPECIFIED.into();
        let none = Flow { source: unspecified, destination: unspecified, protocol: 0, ports: None, flow_label: None };
        let places = HeaderSet::of(&none).map(|set| vec![(none, set); Self::PLACES]);
        Self { places: places.unwrap_or_default().into() }
    }
}

impl HeaderSets {
    /// They fill a quarter of a processor's nearest cache.
    const PLACES: usize = 64;

    /// The header set of a flow, from the last packet of it or made anew.
    #[inline]
    pub fn of(&mut self, flow: &Flow) -> Result<&HeaderSet, NoRoom> {
        let place = self.places.get_mut(flow.place() % Self::PLACES).ok_or(NoRoom)?;
        if place.0 != *flow {
            Self::renew(place, flow)?;
        }
        Ok(&place.1)
    }

    #[inline(never)]
    fn renew(place: &mut (Flow, HeaderSet), flow: &Flow) -> Result<(), NoRoom> {
        *place = (*flow, HeaderSet::of(flow)?);
        Ok(())
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
    fn write(&self, writer: &mut Writer<'_, OCTETS>, identifier: u8) -> Result<(), NoRoom> {
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
