//! IP packets out of capture files, and the comparison of two sets of them.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::hash::Hash;
use std::io::{BufReader, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{Block, PcapNgReader};

use crate::LabError;

/// Who sends to whom: addresses, and ports where the packet shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Source and destination port of TCP or UDP.
    pub ports: Option<(u16, u16)>,
}

/// One IP packet, without the link layer and without padding behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpPacket {
    /// Nanoseconds since 1970, UTC, as the capturing program saw them.
    pub utc_ns: u64,
    /// From the first byte of the IP header to the end of the packet as the header states it.
    pub bytes: Vec<u8>,
}

impl IpPacket {
    /// Its ends; none if it is no IP packet in a form that etherparse reads.
    pub fn ends(&self) -> Option<Ends> {
        let sliced = SlicedPacket::from_ip(&self.bytes).ok()?;
        let (source, destination) = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            Some(NetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            _ => return None,
        };
        let ports = match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => Some((tcp.source_port(), tcp.destination_port())),
            Some(TransportSlice::Udp(udp)) => Some((udp.source_port(), udp.destination_port())),
            _ => None,
        };
        Some(Ends { source, destination, ports })
    }
}

/// The IP packets of a pcap or pcapng file, Ethernet or raw IP; frames that hold no IP are left out.
pub fn read_packets(file: &Path) -> Result<Vec<IpPacket>, LabError> {
    let open = || File::open(file).map(BufReader::new).map_err(LabError::io(file.display().to_string()));
    let malformed =
        |error: pcap_file::PcapError| LabError::Malformed { file: file.to_owned(), what: error.to_string() };
    let mut magic = [0; 4];
    open()?.read_exact(&mut magic).map_err(LabError::io(file.display().to_string()))?;
    let mut packets = Vec::new();
    let mut take = |link: DataLink, utc_ns: u128, data: &[u8]| {
        if let Some(bytes) = ip_packet(link, data) {
            packets.push(IpPacket { utc_ns: u64::try_from(utc_ns).unwrap_or(u64::MAX), bytes: bytes.to_vec() });
        }
    };
    if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        let mut reader = PcapNgReader::new(open()?).map_err(malformed)?;
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.map_err(malformed)? {
                // pcap-file hands the stamp out as it stands in the file, in units of the interface.
                let (id, units, data) = (packet.interface_id, packet.timestamp.as_nanos(), packet.data.into_owned());
                let interface = reader.interfaces().get(id as usize).ok_or_else(|| LabError::Malformed {
                    file: file.to_owned(),
                    what: format!("packet of unknown interface {id}"),
                })?;
                take(interface.linktype, nanoseconds(units, interface), &data);
            }
        }
    } else {
        let mut reader = PcapReader::new(open()?).map_err(malformed)?;
        let link = reader.header().datalink;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(malformed)?;
            take(link, packet.timestamp.as_nanos(), &packet.data);
        }
    }
    Ok(packets)
}

/// The IP packet in a frame: behind the Ethernet header and its tags if there is one, cut to the length it states.
fn ip_packet(link: DataLink, frame: &[u8]) -> Option<&[u8]> {
    let ip = match link {
        DataLink::ETHERNET => {
            let mut at = 12;
            while matches!(frame.get(at..at + 2)?, [0x81, 0x00] | [0x88, 0xa8]) {
                at += 4;
            }
            matches!(frame.get(at..at + 2)?, [0x08, 0x00] | [0x86, 0xdd]).then(|| frame.get(at + 2..))??
        }
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => frame,
        _ => return None,
    };
    let length = match ip.first()? >> 4 {
        4 => usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?])),
        6 => 40 + usize::from(u16::from_be_bytes([*ip.get(4)?, *ip.get(5)?])),
        _ => return None,
    };
    Some(ip.get(..length).unwrap_or(ip))
}

/// A stamp of a pcapng interface in nanoseconds. Without the option if_tsresol the unit is a microsecond.
fn nanoseconds(units: u128, interface: &InterfaceDescriptionBlock<'_>) -> u128 {
    let resolution = interface.options.iter().find_map(|option| match option {
        InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
        _ => None,
    });
    match resolution.unwrap_or(6) {
        binary @ 0x80.. => units.saturating_mul(1_000_000_000) >> (binary & 0x7f),
        decimal @ 0..=9 => units.saturating_mul(10u128.pow(u32::from(9 - decimal))),
        decimal => units / 10u128.saturating_pow(u32::from(decimal - 9)),
    }
}

/// How two sets of things that happened differ, each counted as often as it occurs.
#[derive(Debug, Default)]
pub struct Comparison {
    /// In both.
    pub equal: usize,
    /// In the truth only: when each happened, UTC in nanoseconds.
    pub missing: Vec<u64>,
    /// In what was delivered only: when each happened, UTC in nanoseconds.
    pub surplus: Vec<u64>,
}

impl Comparison {
    /// Nothing missing, nothing too many, and there was something to compare.
    pub fn holds(&self) -> bool {
        self.equal > 0 && self.missing.is_empty() && self.surplus.is_empty()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} equal, {} missing, {} too many", self.equal, self.missing.len(), self.surplus.len())
    }
}

/// Compares two lists of (time, thing) by the things alone; order and time do not matter.
pub fn compare<K: Eq + Hash>(
    truth: impl IntoIterator<Item = (u64, K)>,
    delivered: impl IntoIterator<Item = (u64, K)>,
) -> Comparison {
    let mut wanted: HashMap<K, Vec<u64>> = HashMap::new();
    for (time, thing) in truth {
        wanted.entry(thing).or_default().push(time);
    }
    let mut comparison = Comparison::default();
    for (time, thing) in delivered {
        match wanted.get_mut(&thing).and_then(Vec::pop) {
            Some(_) => comparison.equal += 1,
            None => comparison.surplus.push(time),
        }
    }
    comparison.missing = wanted.into_values().flatten().collect();
    comparison.missing.sort_unstable();
    comparison
}

/// Compares packets byte for byte.
pub fn compare_packets(truth: &[IpPacket], delivered: &[IpPacket]) -> Comparison {
    fn list(packets: &[IpPacket]) -> impl Iterator<Item = (u64, &[u8])> {
        packets.iter().map(|packet| (packet.utc_ns, packet.bytes.as_slice()))
    }
    compare(list(truth), list(delivered))
}

/// Whether any file under `directory` (or that file itself) holds these bytes; gives its path.
pub fn contains(directory: &Path, marker: &[u8]) -> Result<Option<PathBuf>, LabError> {
    let named = || LabError::io(directory.display().to_string());
    if directory.is_dir() {
        for entry in fs::read_dir(directory).map_err(named())? {
            let path = entry.map_err(named())?.path();
            if let Some(found) = contains(&path, marker)? {
                return Ok(Some(found));
            }
        }
        return Ok(None);
    }
    if !directory.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(directory).map_err(named())?;
    Ok(holds(&bytes, marker).then(|| directory.to_owned()))
}

/// Whether the bytes hold the marker.
pub(crate) fn holds(bytes: &[u8], marker: &[u8]) -> bool {
    let Some(&first) = marker.first() else { return true };
    bytes.iter().enumerate().filter(|(_, byte)| **byte == first).any(|(at, _)| bytes[at..].starts_with(marker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: &[u8]) -> IpPacket {
        IpPacket { utc_ns: 0, bytes: bytes.to_vec() }
    }

    #[test]
    fn comparison_counts_repeats() {
        let truth = [packet(b"a"), packet(b"a"), packet(b"b")];
        assert!(compare_packets(&truth, &[packet(b"b"), packet(b"a"), packet(b"a")]).holds());
        let once = compare_packets(&truth, &[packet(b"a"), packet(b"c"), packet(b"b")]);
        assert_eq!((once.equal, once.missing.len(), once.surplus.len()), (2, 1, 1));
        assert!(!compare_packets(&[], &[]).holds(), "nothing compared proves nothing");
    }

    #[test]
    fn ethernet_padding_and_tags_are_cut_off() {
        let mut ip = vec![0u8; 28];
        ip[0] = 0x45;
        ip[3] = 28;
        let mut frame = vec![0u8; 12];
        frame.extend([0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 9, 0x08, 0x00]);
        frame.extend(&ip);
        frame.extend([0xee; 18]);
        assert_eq!(ip_packet(DataLink::ETHERNET, &frame), Some(ip.as_slice()));
        assert_eq!(ip_packet(DataLink::RAW, &ip), Some(ip.as_slice()));
        assert_eq!(ip_packet(DataLink::ETHERNET, &frame[..14]), None);
    }

    #[test]
    fn marker_is_found_anywhere() {
        assert!(holds(b"xxmarkermark", b"mark"));
        assert!(holds(b"xmamark", b"mark"));
        assert!(!holds(b"xmar", b"mark"));
    }
}
