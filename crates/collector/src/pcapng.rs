//! The packets of a case as a pcapng file that standard tools open.
//!
//! Link type RAW where each packet begins with its IP header, as it does in most formats. One interface block stands for
//! each numbering: its name is the intercept access point, its description the content identifier, its comment the
//! format if that is not T1.IAS. A packet carries its direction in words
//! (comment) and in its flags (inbound is to the subject), and its sequence number as packet id. Time stamps are in
//! microseconds. The octets of its PDU that are not the packet stand in options of local use, which other programs pass
//! over: so what was delivered is there octet by octet, unless a PDU holds several packets or was sealed.
//!
//! All that the collector has to know after a restart is in the file, so the file is also its memory:
//! [`PacketFile::open`] reads what is there, cuts off a block that was being written when the machine stopped, and
//! goes on in a new section.

mod read;

use std::{collections::HashMap, io, path::Path};

use writ_encoder::{stream::StreamDecoder, t1_ias::Direction};

use crate::{appended::Appended, formats::Format};

pub(crate) use read::packets as read_packets;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION: u16 = 3;
const INTERFACE_TIME_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const PACKET_ID: u16 = 5;
/// Codes of local use (draft-ietf-opsawg-pcapng, 3.5): [`Around`].
const PDU_BEFORE: u16 = 0x8001;
const PDU_BEHIND: u16 = 0x8002;
/// Likewise: how many packets of its PDU come behind it, if there are any.
const PDU_FOLLOWING: u16 = 0x8003;

/// What numbers its packets on its own: one content identifier at one intercept access point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source {
    /// How it is handed over.
    pub format: Format,
    /// Intercept access point, as the probe names it; empty if it does not.
    pub iap: String,
    /// Content identifier in its text form.
    pub content_identifier: String,
}

impl Source {
    /// The numbers of `content_identifier` at `iap`.
    pub(crate) fn of(format: Format, iap: String, content_identifier: String) -> Self {
        Self { format, iap, content_identifier }
    }
}

/// What the octets of a packet begin with: link types of pcapng.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub(crate) enum Link {
    /// LINKTYPE_ETHERNET.
    Ethernet = 1,
    /// LINKTYPE_RAW: IPv4 or IPv6, told apart by the version field.
    Ip = 101,
    /// LINKTYPE_IEEE802_11.
    Wireless = 105,
    /// LINKTYPE_USER0: something that has no link type, as it came.
    Other = 147,
}

impl Link {
    fn of(number: u16) -> Option<Self> {
        [Self::Ethernet, Self::Ip, Self::Wireless, Self::Other].into_iter().find(|link| *link as u16 == number)
    }
}

/// One packet, as it is written and as it is read back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// UTC in microseconds since 1970.
    pub time_us: u64,
    /// What it begins with.
    pub link: Link,
    /// Which way it went, if the handover said so.
    pub direction: Option<Direction>,
    /// Its sequence number, if it bears one.
    pub sequence: Option<u64>,
    /// How many packets of its PDU come behind it.
    pub following: u16,
    /// Its octets.
    pub bytes: &'a [u8],
    /// How long it was, if its end was cut off.
    pub original_length: Option<u32>,
    /// The octets of its PDU around it.
    pub around: Around<'a>,
}

impl<'a> Packet<'a> {
    /// A packet of which nothing is told but when it was there.
    pub(crate) fn bare(time_us: u64, link: Link, bytes: &'a [u8]) -> Self {
        Self {
            time_us,
            link,
            direction: None,
            sequence: None,
            following: 0,
            bytes,
            original_length: None,
            around: Around::default(),
        }
    }
}

/// What of a PDU is not the packet: with it the PDU is there octet by octet, as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around<'a> {
    /// Octets in front of the packet; none at all if the packet does not lie in the PDU in one piece.
    pub before: &'a [u8],
    /// Octets behind it: the ends of values of indefinite length.
    pub behind: &'a [u8],
}

impl<'a> Around<'a> {
    /// What is around `packet`, which is the last member of `pdu`.
    pub(crate) fn of(pdu: &'a [u8], packet: &[u8]) -> Self {
        // Two zero octets end a value of indefinite length (X.690, 8.1.5).
        for ends in 0..=StreamDecoder::DEEPEST {
            let Some((rest, behind)) = pdu.len().checked_sub(2 * ends).and_then(|end| pdu.split_at_checked(end)) else {
                break;
            };
            if behind.iter().any(|octet| *octet != 0) {
                break;
            }
            match rest.strip_suffix(packet) {
                Some(before) if before.len() <= usize::from(u16::MAX) => return Self { before, behind },
                _ => {}
            }
        }
        Self::default()
    }
}

/// A file that cannot be gone on with as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PacketFileError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something else than what this module writes.
    #[error("damaged at byte {0}")]
    Damaged(u64),
}

/// A case's packets, open for appending.
#[derive(Debug)]
pub(crate) struct PacketFile {
    file: Appended,
    /// The interfaces of the present section; None before it is begun.
    interfaces: Option<Interfaces>,
}

/// Interfaces by what they stand for, with their numbers.
#[derive(Debug, Default)]
struct Interfaces {
    known: HashMap<Source, Vec<(Link, u32)>>,
    count: u32,
}

impl PacketFile {
    /// Opens or creates a file. `known` is told of each packet that it holds already.
    ///
    /// # Errors
    /// [`PacketFileError::Damaged`] when it holds what was not written here; it is then left as it is.
    pub(crate) fn open(path: &Path, mut known: impl FnMut(&Source, &Packet<'_>)) -> Result<Self, PacketFileError> {
        let (file, whole) = Appended::open(path, |file| read::blocks(file, &mut known))?;
        let mut packets = Self { file, interfaces: None };
        if whole == 0 {
            packets.begin_section()?;
            packets.flush()?;
        }
        Ok(packets)
    }

    /// Appends a packet. It is in the file after the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// What the system says to a write, for example that the disk is full.
    pub(crate) fn write(&mut self, source: &Source, packet: &Packet<'_>) -> io::Result<()> {
        let interface = self.interface(source, packet.link)?;
        let length = u32::try_from(packet.bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.append(PACKET, |body| {
            body.extend_from_slice(&interface.to_le_bytes());
            let [low, high] = [packet.time_us as u32, (packet.time_us >> 32) as u32];
            body.extend_from_slice(&high.to_le_bytes());
            body.extend_from_slice(&low.to_le_bytes());
            body.extend_from_slice(&length.to_le_bytes()); // captured
            let original = packet.original_length.map_or(length, |original| original.max(length));
            body.extend_from_slice(&original.to_le_bytes()); // on the line
            body.extend_from_slice(packet.bytes);
            pad(body);
            if let Some(direction) = packet.direction {
                option(body, OPTION_COMMENT, word(direction));
            }
            option(body, PACKET_FLAGS, &flags(packet.direction).to_le_bytes());
            if let Some(sequence) = packet.sequence {
                option(body, PACKET_ID, &sequence.to_le_bytes());
            }
            if packet.following > 0 {
                option(body, PDU_FOLLOWING, &packet.following.to_le_bytes());
            }
            for (code, octets) in [(PDU_BEFORE, packet.around.before), (PDU_BEHIND, packet.around.behind)] {
                if !octets.is_empty() {
                    option(body, code, octets);
                }
            }
            option(body, OPTION_END, &[]);
        })
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the system says to the write. The file may then end within a block; opening it anew mends that.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Writes out what is buffered and waits until the disk has it.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// Appends a block.
    fn append(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.file.add(|buffer| block(buffer, kind, body))
    }

    fn begin_section(&mut self) -> io::Result<()> {
        self.interfaces = Some(Interfaces::default());
        self.append(SECTION, |body| {
            body.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
            body.extend_from_slice(&1u16.to_le_bytes()); // version 1.0
            body.extend_from_slice(&0u16.to_le_bytes());
            body.extend_from_slice(&u64::MAX.to_le_bytes()); // length not known
        })
    }

    fn interface(&mut self, source: &Source, link: Link) -> io::Result<u32> {
        if self.interfaces.is_none() {
            self.begin_section()?;
        }
        let interfaces = self.interfaces.get_or_insert_default();
        let known = interfaces.known.get(source).and_then(|known| known.iter().find(|(of, _)| *of == link));
        if let Some((_, index)) = known {
            return Ok(*index);
        }
        let index = interfaces.count;
        interfaces.count = index.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
        interfaces.known.entry(source.clone()).or_default().push((link, index));
        self.append(INTERFACE, |body| {
            body.extend_from_slice(&(link as u16).to_le_bytes());
            body.extend_from_slice(&0u16.to_le_bytes());
            body.extend_from_slice(&0u32.to_le_bytes()); // no limit on length
            if source.format != Format::T1Ias {
                option(body, OPTION_COMMENT, source.format.name().as_bytes());
            }
            option(body, INTERFACE_NAME, source.iap.as_bytes());
            option(body, INTERFACE_DESCRIPTION, source.content_identifier.as_bytes());
            option(body, INTERFACE_TIME_RESOLUTION, &[6]);
            option(body, OPTION_END, &[]);
        })?;
        Ok(index)
    }
}

fn word(direction: Direction) -> &'static [u8] {
    match direction {
        Direction::FromSubject => b"fromSubject",
        Direction::ToSubject => b"toSubject",
    }
}

/// Bits 0-1 of the packet flags: 1 inbound, 2 outbound.
fn flags(direction: Option<Direction>) -> u32 {
    match direction {
        None => 0,
        Some(Direction::ToSubject) => 1,
        Some(Direction::FromSubject) => 2,
    }
}

/// Writes a block: type and length in front, the length once more behind.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    // Bodies are a packet of at most u32::MAX bytes minus its TLV head, and some options.
    let length = ((out.len() - start + 4) as u32).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out.extend_from_slice(&length);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    // A name longer than an option can be is cut; identifiers are some 50 bytes.
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad_by(out, value.len());
}

fn pad(out: &mut Vec<u8>) {
    // Blocks begin aligned, and so does everything within them before the packet's bytes.
    pad_by(out, out.len());
}

fn pad_by(out: &mut Vec<u8>, length: usize) {
    out.resize(out.len() + length.next_multiple_of(4) - length, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content identifier, sequence number, direction, octets.
    type Found = (String, Option<u64>, Option<Direction>, Vec<u8>);

    fn source(content_identifier: &str) -> Source {
        Source::of(Format::Etsi, "LAB-1".into(), content_identifier.into())
    }

    fn read(path: &Path) -> Result<(PacketFile, Vec<Found>), PacketFileError> {
        let mut found = Vec::new();
        let file = PacketFile::open(path, |source, packet| {
            let name = source.content_identifier.clone();
            found.push((name, packet.sequence, packet.direction, packet.bytes.to_vec()));
        })?;
        Ok((file, found))
    }

    #[test]
    fn what_was_written_is_read_back_whatever_byte_the_file_was_cut_at() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("content.pcapng");
        let (mut file, found) = read(&path).expect("new file");
        assert!(found.is_empty());
        let mut ends = Vec::new();
        let packets: Vec<Vec<u8>> = (0..9u8).map(|n| vec![n; 19 + usize::from(n)]).collect();
        for (number, bytes) in packets.iter().enumerate() {
            let direction = [None, Some(Direction::FromSubject), Some(Direction::ToSubject)][number % 3];
            let packet = Packet {
                direction,
                sequence: Some(number as u64),
                around: Around { before: b"0 ", behind: b"" },
                ..Packet::bare(u64::MAX - 5, Link::Ip, bytes)
            };
            file.write(&source(["a", "b"][number % 2]), &packet).expect("write");
            file.flush().expect("flush");
            ends.push(std::fs::metadata(&path).expect("metadata").len());
        }
        let whole = std::fs::read(&path).expect("read");
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("write");
            let (mut file, found) = read(&path).expect("recovered");
            let expected = ends.iter().filter(|end| **end <= cut as u64).count();
            assert_eq!(found.len(), expected, "cut at {cut}");
            for (number, (name, sequence, direction, bytes)) in found.iter().enumerate() {
                assert_eq!(name, ["a", "b"][number % 2]);
                assert_eq!(*sequence, Some(number as u64));
                assert_eq!(*direction, [None, Some(Direction::FromSubject), Some(Direction::ToSubject)][number % 3]);
                assert_eq!(bytes, &packets[number]);
            }
            let last = Packet::bare(1, Link::Ethernet, b"last");
            file.write(&source("c"), &last).expect("write");
            file.flush().expect("flush");
            let (_, found) = read(&path).expect("again");
            assert_eq!(found.len(), expected + 1, "cut at {cut}");
        }
    }

    #[test]
    fn damage_is_named_and_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("content.pcapng");
        drop(read(&path).expect("new file"));
        let mut bytes = std::fs::read(&path).expect("read");
        let section = bytes.len() as u64;
        bytes.extend_from_slice(&[0; 64]);
        std::fs::write(&path, &bytes).expect("write");
        assert!(matches!(read(&path), Err(PacketFileError::Damaged(at)) if at == section));
        assert_eq!(std::fs::read(&path).expect("read"), bytes);
    }
}
