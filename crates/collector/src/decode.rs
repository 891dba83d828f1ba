//! Prints what was kept: a JSON object a PDU, and the packets as a capture file.
//!
//! Streams are read as they are. Datagrams come from a capture file of them (pcap or pcapng), where the port tells the
//! format if nobody does; or one datagram is a file.

use std::{
    io::{self, BufRead, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use serde::Serialize;
use writ_encoder::{jmirror, opencalea, tzsp};

use crate::{
    Stream,
    capture_file::{self, CaptureFault, Datagram},
    config::Reading,
    cut::{Cutter, StreamFault, format_of},
    formats::{Format, Item, Reader, Said, Terms, Unreadable},
    is_test,
    pcapng::{PacketFile, PacketFileError, Source},
    tell_test,
};

/// Why something was not printed to its end.
#[derive(Debug, thiserror::Error)]
pub enum DecodeFault {
    /// The stream is no row of PDUs.
    #[error(transparent)]
    Stream(#[from] StreamFault),
    /// A PDU is none of this stream's.
    #[error("the PDU at octet {offset} of the stream: {error}")]
    Pdu {
        /// Octets of the stream before the PDU.
        offset: u64,
        /// What is wrong with it.
        error: Unreadable,
    },
    /// The last PDU is cut off.
    #[error("the stream ends within the PDU at octet {offset}")]
    CutOff {
        /// Octets of the stream before the PDU.
        offset: u64,
    },
    /// The file is no datagram of the format.
    #[error(transparent)]
    Datagram(#[from] Unreadable),
    /// Some datagrams of a capture file are none of the format. The others are printed.
    #[error("{count} datagrams are left out; the first is number {first}: {error}")]
    Datagrams {
        /// How many.
        count: u64,
        /// The first, by its number in the file.
        first: u64,
        /// What is wrong with it.
        error: Unreadable,
    },
    /// A capture file in which nothing is known.
    #[error("no datagram goes to a port of a known format: give --format")]
    NoDatagrams,
    /// The capture file is damaged.
    #[error(transparent)]
    Capture(#[from] CaptureFault),
    /// Reading or printing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The packets cannot be written.
    #[error("the file of packets: {0}")]
    Packets(io::Error),
}

/// What is told of the file.
#[derive(Debug)]
pub struct Telling {
    /// Its format; none: it is recognised.
    pub format: Option<Format>,
    /// Which of the two it is; none likewise.
    pub stream: Option<Stream>,
    /// What the formats need to know.
    pub reading: Reading,
}

/// A line of what is printed.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(flatten)]
    datagram: Option<Came>,
    stream: Stream,
    handover: Format,
    #[serde(flatten)]
    said: &'a Said<'a>,
}

/// How a datagram came.
#[derive(Clone, Copy, Serialize)]
struct Came {
    datagram: u64,
    time: writ_encoder::UtcMicros,
    sender: SocketAddr,
}

/// Reads `input` to its end and prints each PDU as a line on `out`, and its packets to a new file `packets`.
///
/// # Errors
/// The first fault, with its place. What comes before it is printed.
pub fn decode(
    mut input: impl BufRead,
    telling: &Telling,
    out: impl Write,
    packets: Option<&Path>,
) -> Result<(), DecodeFault> {
    let packets = packets.map(new_packet_file).transpose().map_err(DecodeFault::Packets)?;
    let terms = Terms::new(&telling.reading);
    let mut printer = Printer { out, packets, told: false };
    let begin = input.fill_buf()?;
    if capture_file::is_one(begin) {
        printer.datagrams(input, telling, &terms)?;
    } else if let Some(format) = telling.format.filter(|format| format.is_datagrams()) {
        let mut datagram = Vec::new();
        input.read_to_end(&mut datagram)?;
        let mut reader = Reader::new(format, telling.stream, nobody(), &terms);
        let said = reader.read(&datagram, nobody())?;
        printer.print(&said, &datagram, Some(0), None)?;
    } else {
        printer.stream(input, telling, &terms)?;
    }
    printer.packets.as_mut().map_or(Ok(()), PacketFile::sync).map_err(DecodeFault::Packets)
}

struct Printer<W> {
    out: W,
    packets: Option<PacketFile>,
    /// Whether it was said that something is a test.
    told: bool,
}

impl<W: Write> Printer<W> {
    fn stream(&mut self, mut input: impl BufRead, telling: &Telling, terms: &Terms) -> Result<(), DecodeFault> {
        let mut cutter = Cutter::new(telling.format);
        let make = |format| Reader::new(format, telling.stream, nobody(), terms);
        let mut reader = telling.format.map(make);
        let mut end = 0;
        loop {
            let piece = input.fill_buf()?;
            let length = piece.len();
            if length == 0 {
                return if cutter.pending() == 0 { Ok(()) } else { Err(DecodeFault::CutOff { offset: end }) };
            }
            cutter.push(piece);
            input.consume(length);
            while let Some(pdu) = cutter.next_pdu()? {
                let offset = pdu.offset;
                let reader = reader.get_or_insert_with(|| make(format_of(pdu.bytes)));
                let said = reader.read(pdu.bytes, nobody()).map_err(|error| DecodeFault::Pdu { offset, error })?;
                self.print(&said, pdu.bytes, Some(offset), None)?;
                end = offset + pdu.bytes.len() as u64;
            }
        }
    }

    fn datagrams(&mut self, input: impl Read, telling: &Telling, terms: &Terms) -> Result<(), DecodeFault> {
        let mut readers = Readers::new(telling, terms);
        let (mut printed, mut left_out) = (0u64, None);
        let mut number = 0u64;
        capture_file::read(input, |datagram: Datagram<'_>| {
            number += 1;
            let Some(reader) = readers.of(&datagram) else { return Ok(()) };
            match reader.read(datagram.payload, datagram.source) {
                Ok(said) => {
                    printed += 1;
                    let came = Came { datagram: number, time: datagram.time, sender: datagram.source };
                    self.print(&said, datagram.payload, None, Some(came))
                }
                Err(error) => {
                    let (count, _, _) = left_out.get_or_insert((0, number, error));
                    *count += 1;
                    Ok(())
                }
            }
        })?;
        match left_out {
            Some((count, first, error)) => Err(DecodeFault::Datagrams { count, first, error }),
            None if printed == 0 && number > 0 => Err(DecodeFault::NoDatagrams),
            None => Ok(()),
        }
    }

    fn print(
        &mut self,
        said: &Said<'_>,
        pdu: &[u8],
        offset: Option<u64>,
        datagram: Option<Came>,
    ) -> Result<(), DecodeFault> {
        said.items(pdu, &mut |item| self.item(item))?;
        let line = Line { offset, datagram, stream: said.stream(), handover: said.format(), said };
        serde_json::to_writer(&mut self.out, &line).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    fn item(&mut self, item: Item<'_>) -> Result<(), DecodeFault> {
        let case = match &item {
            Item::Packets { case, .. } | Item::Message { case, .. } => case.as_deref(),
            Item::Sealed { case, .. } | Item::Check { case, .. } => Some(case.as_str()),
            Item::Original { .. } | Item::Answer(_) => None,
        };
        if let Some(case) = case.filter(|case| !self.told && is_test(case)) {
            tell_test(case);
            self.told = true;
        }
        if let (Item::Packets { case, source, packets, .. }, Some(file)) = (&item, &mut self.packets) {
            // One file for all cases: its interfaces bear their names.
            let iap = format!("{} {}", case.as_deref().unwrap_or_default(), source.iap).trim().to_owned();
            let source = Source { iap, ..source.clone() };
            for packet in *packets {
                file.write(&source, packet).map_err(DecodeFault::Packets)?;
            }
        }
        Ok(())
    }
}

/// The readers of the datagrams of a capture file: one if the format is told, else one for each port that is known.
struct Readers {
    told: Option<Reader>,
    by_port: Vec<(u16, Reader)>,
}

impl Readers {
    fn new(telling: &Telling, terms: &Terms) -> Self {
        let make = |format, stream| Reader::new(format, stream, nobody(), terms);
        let known = [
            (opencalea::CMII_PORT, Format::Opencalea, Some(Stream::Cmii)),
            (opencalea::CMC_PORT, Format::Opencalea, Some(Stream::Cmc)),
            (jmirror::PORT, Format::Jmirror, None),
            (tzsp::PORT, Format::Tzsp, None),
        ];
        Self {
            told: telling.format.map(|format| make(format, telling.stream)),
            by_port: known.into_iter().map(|(port, format, stream)| (port, make(format, stream))).collect(),
        }
    }

    fn of(&mut self, datagram: &Datagram<'_>) -> Option<&mut Reader> {
        let port = datagram.destination.port();
        match &mut self.told {
            Some(reader) => Some(reader),
            None => self.by_port.iter_mut().find(|(known, _)| *known == port).map(|(_, reader)| reader),
        }
    }
}

fn new_packet_file(path: &Path) -> io::Result<PacketFile> {
    if path.try_exists()? {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there already", path.display())));
    }
    PacketFile::open(path, |_, _| {}).map_err(|error| match error {
        PacketFileError::Io(error) => error,
        PacketFileError::Damaged(_) => io::ErrorKind::InvalidData.into(),
    })
}

/// Stands for a sender that is not known.
fn nobody() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)
}
