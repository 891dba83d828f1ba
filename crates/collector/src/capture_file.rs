//! The datagrams of UDP in a capture file, pcap or pcapng. Those that came in fragments are put together.

use std::{
    io::Read,
    net::{IpAddr, SocketAddr},
};

use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice, UdpSlice, defrag::IpDefragPool};
use pcap_file::{
    DataLink, PcapError,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader, blocks::interface_description::InterfaceDescriptionOption},
};
use writ_encoder::UtcMicros;

use crate::decode::DecodeFault;

/// What a file begins with: pcapng, and pcap of either order of octets and either unit of time.
const MAGIC: [[u8; 4]; 5] = [
    [0x0a, 0x0d, 0x0d, 0x0a],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
];
/// How many packets later a fragment may come than another of its datagram.
const PATIENCE: u64 = 4096;

/// A capture file that cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum CaptureFault {
    /// Damaged, or cut off.
    #[error("the capture file: {0}")]
    File(#[from] PcapError),
    /// A packet of an interface that the file does not describe.
    #[error("the capture file has a packet of an interface {0} that it does not describe")]
    Interface(u32),
}

/// A datagram, and how it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    /// When its last part was seen.
    pub time: UtcMicros,
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// What it holds.
    pub payload: &'a [u8],
}

/// Whether a file that begins so is a capture file.
pub(crate) fn is_one(begin: &[u8]) -> bool {
    begin.first_chunk().is_some_and(|magic| MAGIC.contains(magic))
}

/// Hands over each datagram, in the order of the file. What is no UDP is passed over.
///
/// # Errors
/// A damaged file, or what `take` gives.
pub(crate) fn read(
    mut input: impl Read,
    mut take: impl FnMut(Datagram<'_>) -> Result<(), DecodeFault>,
) -> Result<(), DecodeFault> {
    let mut datagrams = Datagrams { waiting: IpDefragPool::new(), number: 0 };
    let mut magic = [0; 4];
    input.read_exact(&mut magic)?;
    let whole = magic.chain(input);
    if magic == MAGIC[0] {
        let mut reader = PcapNgReader::new(whole).map_err(CaptureFault::from)?;
        while let Some(block) = reader.next_block() {
            let Block::EnhancedPacket(packet) = block.map_err(CaptureFault::from)? else { continue };
            // pcap-file gives the stamp as it stands in the file, in units of the interface.
            let (id, units, data) = (packet.interface_id, packet.timestamp.as_nanos(), packet.data.into_owned());
            let interface = reader.interfaces().get(id as usize).ok_or(CaptureFault::Interface(id))?;
            let resolution = interface.options.iter().find_map(|option| match option {
                InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
                _ => None,
            });
            datagrams.take(interface.linktype, micros(units, resolution), &data, &mut take)?;
        }
    } else {
        let mut reader = PcapReader::new(whole).map_err(CaptureFault::from)?;
        let link = reader.header().datalink;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(CaptureFault::from)?;
            datagrams.take(link, packet.timestamp.as_micros(), &packet.data, &mut take)?;
        }
    }
    Ok(())
}

/// A stamp of pcapng in microseconds. Without a resolution its unit is that.
fn micros(units: u128, resolution: Option<u8>) -> u128 {
    match resolution.unwrap_or(6) {
        binary @ 0x80.. => units.saturating_mul(1_000_000) >> (binary & 0x7f),
        decimal @ 0..=6 => units.saturating_mul(10u128.pow(u32::from(6 - decimal))),
        decimal => units / 10u128.saturating_pow(u32::from(decimal - 6)),
    }
}

struct Datagrams {
    waiting: IpDefragPool<u64>,
    number: u64,
}

impl Datagrams {
    fn take(
        &mut self,
        link: DataLink,
        micros: u128,
        frame: &[u8],
        take: &mut impl FnMut(Datagram<'_>) -> Result<(), DecodeFault>,
    ) -> Result<(), DecodeFault> {
        self.number += 1;
        let now = self.number;
        if now.is_multiple_of(PATIENCE) {
            self.waiting.retain(|seen| now - seen < PATIENCE);
        }
        let sliced = match link {
            DataLink::ETHERNET => SlicedPacket::from_ethernet(frame),
            DataLink::LINUX_SLL => SlicedPacket::from_linux_sll(frame),
            DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => SlicedPacket::from_ip(frame),
            _ => return Ok(()),
        };
        let Ok(sliced) = sliced else { return Ok(()) };
        let (source, destination): (IpAddr, IpAddr) = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            Some(NetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            _ => return Ok(()),
        };
        let time = i64::try_from(micros).ok().and_then(|micros| UtcMicros::new(micros).ok());
        let mut hand_over = |udp: &UdpSlice<'_>| {
            take(Datagram {
                time: time.unwrap_or(UtcMicros::from_unix_nanos(0)),
                source: SocketAddr::new(source, udp.source_port()),
                destination: SocketAddr::new(destination, udp.destination_port()),
                payload: udp.payload(),
            })
        };
        if let Some(TransportSlice::Udp(udp)) = &sliced.transport {
            return hand_over(udp);
        }
        // What cannot be put together is as good as a datagram that did not come.
        let Ok(Some(whole)) = self.waiting.process_sliced_packet(&sliced, now, ()) else { return Ok(()) };
        let handed_over = match UdpSlice::from_slice(&whole.payload) {
            Ok(udp) if whole.ip_number == IpNumber::UDP => hand_over(&udp),
            _ => Ok(()),
        };
        self.waiting.return_buf(whole);
        handed_over
    }
}
