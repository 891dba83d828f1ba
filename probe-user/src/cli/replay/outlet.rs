//! A stream of a replay and the file that takes the agency's place: octets that would have gone over TCP as they are,
//! datagrams in a capture file, a file drop's packets and lines as it has them.

use anyhow::Context;
use etherparse::PacketBuilder;
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use writ_delivery::{Destination, StreamKind};
use writ_encoder::files::{Names, section};
use writ_encoder::handover::Format;
use writ_spool::Consumer;

/// Of the datagrams in a capture file: nobody sent them.
const NOBODY: [u8; 4] = [127, 0, 0, 1];
const TIME_TO_LIVE: u8 = 64;

/// See the module.
pub(super) struct Outlet {
    pub(super) path: PathBuf,
    consumer: Consumer,
    file: Content,
}

enum Content {
    Octets(File),
    Datagrams { writer: Box<PcapWriter<File>>, port: u16 },
}

impl Outlet {
    /// Begins the file in a directory. `names` are those of the intercept.
    pub(super) fn create(
        directory: &Path,
        destination: &Destination,
        stream: StreamKind,
        consumer: Consumer,
        names: &Names,
    ) -> anyhow::Result<Self> {
        let is_datagrams = destination.goes_in_datagrams(stream);
        let extension = match (destination.format, stream) {
            _ if is_datagrams => "pcap",
            (Format::Files, StreamKind::Cmii) => "jsonl",
            (Format::Files, StreamKind::Cmc) => "pcapng",
            (Format::X3, _) => "bin",
            _ => "ber",
        };
        let path = directory.join(format!("{}-{}.{extension}", destination.name, stream.name()));
        let named = || path.display().to_string();
        let mut file = File::create(&path).with_context(named)?;
        let file = if is_datagrams {
            let endpoint = match stream {
                StreamKind::Cmii => &destination.cmii,
                StreamKind::Cmc => &destination.cmc,
            };
            let port = endpoint.as_ref().map_or(0, |endpoint| endpoint.port);
            let header = PcapHeader { datalink: DataLink::RAW, ..PcapHeader::default() };
            Content::Datagrams { writer: Box::new(PcapWriter::with_header(file, header).with_context(named)?), port }
        } else {
            if extension == "pcapng" {
                file.write_all(&section(names)).with_context(named)?;
            }
            Content::Octets(file)
        };
        Ok(Self { path, consumer, file })
    }

    /// Writes what waits.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        match &mut self.file {
            Content::Octets(file) => {
                while let Some(bytes) = self.consumer.unsent(usize::MAX)? {
                    let length = bytes.len();
                    file.write_all(bytes).with_context(|| self.path.display().to_string())?;
                    self.consumer.sent(length);
                }
            }
            Content::Datagrams { writer, port } => {
                let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                let mut count = 0;
                for record in self.consumer.unsent_records()? {
                    let (_, datagram) = record?;
                    let mut packet = Vec::with_capacity(datagram.len() + 28);
                    PacketBuilder::ipv4(NOBODY, NOBODY, TIME_TO_LIVE).udp(*port, *port).write(&mut packet, datagram)?;
                    let length = u32::try_from(packet.len())?;
                    let packet = PcapPacket::new_owned(time, length, packet);
                    writer.write_packet(&packet).with_context(|| self.path.display().to_string())?;
                    count += 1;
                }
                self.consumer.sent_records(count)?;
            }
        }
        self.consumer.acknowledged(self.consumer.sent_bytes())?;
        Ok(())
    }
}
