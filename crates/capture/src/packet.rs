//! What the second look reads of a frame that the program handed over: addresses, VLAN tags, MAC addresses and ports, at
//! the places that its FrameHeader names. Read anew from the bytes, not taken from the program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use writ_abi::{FrameFlags, FrameHeader, MacAddress, PortSide, TrafficRule, VlanMatch};

/// IEEE 802.1Q, IEEE 802.1ad, and what was in use before the latter.
const TAGS: [[u8; 2]; 3] = [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]];
/// How many tags the program walks.
const MAX_TAGS: usize = 3;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// One end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// A frame beside what the program says of it.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a> {
    header: &'a FrameHeader,
    frame: &'a [u8],
    addresses: Addresses<'a>,
}

/// An address as a number. It goes from the frame into a comparison in registers: what is put together in memory, byte by
/// byte, has its reader wait for every store before it.
#[derive(Clone, Copy)]
pub(crate) enum Address {
    V4(u32),
    V6(u128),
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        match address {
            Address::V4(bits) => Ipv4Addr::from_bits(bits).into(),
            Address::V6(bits) => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

/// Source and destination where they stand in the frame.
#[derive(Clone, Copy)]
enum Addresses<'a> {
    V4([&'a [u8; 4]; 2]),
    V6([&'a [u8; 16]; 2]),
}

impl<'a> Addresses<'a> {
    /// `None`: there is no whole IP header where the program says there is one.
    #[inline]
    fn of(header: &FrameHeader, frame: &'a [u8]) -> Option<Self> {
        let packet = frame.get(usize::from(header.ip_offset)..)?;
        let version = packet.first()? >> 4;
        if header.flags & FrameFlags::IPV6 == 0 {
            let ([.., source, destination], []) = packet.first_chunk::<20>()?.as_chunks() else { return None };
            (version == 4).then_some(Self::V4([source, destination]))
        } else {
            let ([source, destination], []) = packet.first_chunk::<40>()?.last_chunk::<32>()?.as_chunks() else {
                return None;
            };
            (version == 6).then_some(Self::V6([source, destination]))
        }
    }

    #[inline]
    fn get(&self, end: End) -> Address {
        match (self, end) {
            (Self::V4([source, _]), End::Source) => Address::V4(u32::from_be_bytes(**source)),
            (Self::V4([_, destination]), End::Destination) => Address::V4(u32::from_be_bytes(**destination)),
            (Self::V6([source, _]), End::Source) => Address::V6(u128::from_be_bytes(**source)),
            (Self::V6([_, destination]), End::Destination) => Address::V6(u128::from_be_bytes(**destination)),
        }
    }
}

impl<'a> Packet<'a> {
    /// `None`: there is no whole IP header where the program says there is one.
    #[inline]
    pub(crate) fn read(header: &'a FrameHeader, frame: &'a [u8]) -> Option<Self> {
        Some(Self { header, frame, addresses: Addresses::of(header, frame)? })
    }

    #[inline]
    pub(crate) fn address(&self, end: End) -> Address {
        self.addresses.get(end)
    }

    /// Whether it was found within another packet, where only addresses lead to.
    pub(crate) fn is_inner(&self) -> bool {
        self.header.flags & FrameFlags::INNER != 0
    }

    /// The MAC address of an end, in the Ethernet header that counts.
    pub(crate) fn mac(&self, end: End) -> Option<MacAddress> {
        let link = self.link()?;
        let at = if end == End::Source { 6 } else { 0 };
        Some(MacAddress(link.get(at..at + 6)?.try_into().ok()?))
    }

    /// The VLAN tags of that header; those of VLAN 0 are none. `None` of a frame without a VLAN.
    pub(crate) fn vlan(&self) -> Option<VlanMatch> {
        let mut tags = self.link()?.get(12..)?.chunks_exact(4).take(MAX_TAGS);
        let mut found = VlanMatch::default();
        while let Some([kind @ .., high, low]) = tags.next().and_then(|tag| tag.first_chunk::<4>())
            && TAGS.contains(kind)
        {
            found = found.and_tag(u16::from_be_bytes([*high, *low]));
        }
        (found.outer != VlanMatch::NONE).then_some(found)
    }

    /// Whether a rule that speaks of the target at `own` fits, as far as can be seen here. Fragments after the first have
    /// no ports: they are what the program followed them to be, and only a protocol that differs speaks against it.
    pub(crate) fn fits(&self, rule: &TrafficRule, own: End) -> bool {
        let header = self.header;
        let is_fragment = header.flags & FrameFlags::FRAGMENT != 0;
        let has_transport = header.flags & FrameFlags::TRANSPORT != 0;
        if is_fragment && !has_transport && rule.side != PortSide::NONE {
            return rule.protocol == header.protocol || is_extension(header);
        }
        if rule.protocol != header.protocol {
            return false;
        }
        if rule.side == PortSide::NONE {
            return true;
        }
        let Some([source, destination]) = self.ports() else { return false };
        let (own, far) = if own == End::Source { (source, destination) } else { (destination, source) };
        let within = |port: u16| (rule.first..=rule.last).contains(&port);
        match rule.side {
            PortSide::OWN => within(own),
            PortSide::FAR => within(far),
            _ => within(own) || within(far),
        }
    }

    /// Source and destination port, if the protocol has ports and its header was whole.
    fn ports(&self) -> Option<[u16; 2]> {
        let header = self.header;
        if header.flags & FrameFlags::TRANSPORT == 0 || ![TCP, UDP, SCTP].contains(&header.protocol) {
            return None;
        }
        let [a, b, c, d] = *self.frame.get(usize::from(header.transport_offset)..)?.first_chunk::<4>()?;
        Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])
    }

    fn link(&self) -> Option<&'a [u8]> {
        let offset = self.header.link_offset;
        // Before the packet: nothing behind its header is taken for a link layer.
        let link = self.frame.get(usize::from(offset)..usize::from(self.header.ip_offset))?;
        (offset != FrameHeader::NO_LINK).then_some(link)
    }
}

/// Whether the headers that were read end before one that says nothing of the transport protocol yet.
fn is_extension(header: &FrameHeader) -> bool {
    const AUTHENTICATION: u8 = 51;
    const OF_IPV6: [u8; 7] = [0, 43, 44, 60, 135, 139, 140];
    let is_v6 = header.flags & FrameFlags::IPV6 != 0;
    header.protocol == AUTHENTICATION || is_v6 && OF_IPV6.contains(&header.protocol)
}

/// Source and destination address as they stand in the frame; `None` if there is no whole IP header where the kernel
/// says there is one.
pub fn addresses(header: &FrameHeader, frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let addresses = Addresses::of(header, frame)?;
    Some((addresses.get(End::Source).into(), addresses.get(End::Destination).into()))
}
