//! IP packets out of capture files, and the comparison of two sets of them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::Path;

use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

use crate::LabError;

/// One IP packet, without the link layer and without padding behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpPacket {
    /// Nanoseconds since 1970, UTC, as the capturing program saw them.
    pub utc_ns: u64,
    /// From the first byte of the IP header to the end of the packet as the header states it.
    pub bytes: Vec<u8>,
}

/// The IP packets of a pcap or pcapng file, Ethernet or raw IP; frames that hold no IP are left out.
pub fn read_packets(file: &Path) -> Result<Vec<IpPacket>, LabError> {
    let open = || File::open(file).map(BufReader::new).map_err(LabError::io(file.display().to_string()));
    let malformed =
        |error: pcap_file::PcapError| LabError::Malformed { file: file.to_owned(), what: error.to_string() };
    let mut magic = [0; 4];
    open()?.read_exact(&mut magic).map_err(LabError::io(file.display().to_string()))?;
    let mut packets = Vec::new();
    let mut take = |link: DataLink, time: std::time::Duration, data: &[u8]| {
        if let Some(bytes) = ip_packet(link, data) {
            let utc_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            packets.push(IpPacket { utc_ns, bytes: bytes.to_vec() });
        }
    };
    if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        let mut reader = PcapNgReader::new(open()?).map_err(malformed)?;
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.map_err(malformed)? {
                let (id, time, data) = (packet.interface_id, packet.timestamp, packet.data.into_owned());
                let link =
                    reader.interfaces().get(id as usize).map(|interface| interface.linktype).ok_or_else(|| {
                        LabError::Malformed { file: file.to_owned(), what: format!("packet of unknown interface {id}") }
                    })?;
                take(link, time, &data);
            }
        }
    } else {
        let mut reader = PcapReader::new(open()?).map_err(malformed)?;
        let link = reader.header().datalink;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(malformed)?;
            take(link, packet.timestamp, &packet.data);
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

/// How two sets of packets differ, each packet counted as often as it occurs.
#[derive(Debug, Default)]
pub struct Comparison {
    /// In both.
    pub equal: usize,
    /// In the truth only.
    pub missing: Vec<IpPacket>,
    /// In what was delivered only.
    pub surplus: Vec<IpPacket>,
}

impl Comparison {
    /// Nothing missing, nothing too many, and there was something to compare.
    pub fn holds(&self) -> bool {
        self.equal > 0 && self.missing.is_empty() && self.surplus.is_empty()
    }
}

/// Compares by bytes; order and time do not matter.
pub fn compare(truth: &[IpPacket], delivered: &[IpPacket]) -> Comparison {
    let mut wanted: HashMap<&[u8], Vec<&IpPacket>> = HashMap::new();
    for packet in truth {
        wanted.entry(&packet.bytes).or_default().push(packet);
    }
    let mut comparison = Comparison::default();
    for packet in delivered {
        match wanted.get_mut(packet.bytes.as_slice()).and_then(Vec::pop) {
            Some(_) => comparison.equal += 1,
            None => comparison.surplus.push(packet.clone()),
        }
    }
    comparison.missing = wanted.into_values().flatten().cloned().collect();
    comparison.missing.sort_by_key(|packet| packet.utc_ns);
    comparison
}

/// Whether any file under `directory` (or that file itself) holds these bytes; gives its path.
pub fn contains(directory: &Path, marker: &[u8]) -> Result<Option<std::path::PathBuf>, LabError> {
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
fn holds(bytes: &[u8], marker: &[u8]) -> bool {
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
        assert!(compare(&truth, &[packet(b"b"), packet(b"a"), packet(b"a")]).holds());
        let once = compare(&truth, &[packet(b"a"), packet(b"c"), packet(b"b")]);
        assert_eq!((once.equal, once.missing.len(), once.surplus.len()), (2, 1, 1));
        assert!(!compare(&[], &[]).holds(), "nothing compared proves nothing");
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
