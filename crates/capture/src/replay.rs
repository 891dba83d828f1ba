//! A capture file as a source: pcap or pcapng, Ethernet. Each packet goes through the real XDP program, by
//! `BPF_PROG_TEST_RUN`, so that there is no second program that decides what an intercept may take.
//!
//! The program judges by the time of the replay. Who replays arms the slots for that time, and compares
//! [`FrameTime::Utc`], the stamp from the file, with the order's window itself.

use crate::kernel::{Action, Kernel};
use crate::settings::OnMiss;
use crate::source::{After, Batch, FrameTime, Located, Memory, Source, SourceError, SourceStatistics};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, PcapError};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;
use writ_abi::FrameHeader;

/// What the kernel accepts for a trial: an Ethernet header, and at most a page less its own needs (256 bytes in front,
/// 320 behind, on 64 bits).
const SHORTEST: usize = 14;
const LONGEST: usize = 4096 - 256 - 320;

/// Packets of the file that are looked at for one batch, at most.
const BATCH: usize = 64;

/// The first four bytes of a pcapng file.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A capture file that is replayed through the kernel's program.
pub struct PcapSource {
    file: String,
    reader: Reader,
    kernel: Kernel,
    buffer: Vec<u8>,
    located: Vec<Located>,
    next_number: u64,
    counts: SourceStatistics,
    ended: bool,
    /// Damage found behind frames that are still to be handed out.
    damage: Option<SourceError>,
}

enum Reader {
    Pcap(PcapReader<BufReader<File>>),
    PcapNg(PcapNgReader<BufReader<File>>),
}

/// A packet of the file: when, how long it was on the wire, and what the file has of it.
struct Packet<'a> {
    utc_ns: u64,
    wire_length: u32,
    bytes: std::borrow::Cow<'a, [u8]>,
}

impl PcapSource {
    /// Opens a file. `kernel` should have its addresses and slots set already, and be attached to nothing.
    pub fn open(path: &Path, kernel: Kernel) -> Result<Self, SourceError> {
        let file = path.display().to_string();
        let wrong = |problem: String| SourceError::File { file: file.clone(), problem };
        let unreadable = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
        let mut handle = File::open(path).map_err(unreadable)?;
        let mut magic = [0; 4];
        handle
            .read_exact(&mut magic)
            .map_err(|_| wrong("is shorter than any capture file; give a pcap or pcapng file".to_owned()))?;
        handle.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let handle = BufReader::new(handle);
        let no_capture = |error: PcapError| wrong(format!("is no capture file ({error}); give a pcap or pcapng file"));
        let reader = if magic == PCAPNG_MAGIC {
            Reader::PcapNg(PcapNgReader::new(handle).map_err(no_capture)?)
        } else {
            let reader = PcapReader::new(handle).map_err(no_capture)?;
            check_link(reader.header().datalink).map_err(wrong)?;
            Reader::Pcap(reader)
        };
        Ok(Self {
            file,
            reader,
            kernel,
            buffer: Vec::new(),
            located: Vec::new(),
            next_number: 0,
            counts: SourceStatistics::default(),
            ended: false,
            damage: None,
        })
    }

    /// The kernel half, for its counters and tables.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    fn take(&mut self) -> Result<(), SourceError> {
        self.located.clear();
        self.buffer.clear();
        if let Some(damage) = self.damage.take() {
            self.ended = true;
            return Err(damage);
        }
        for _ in 0..BATCH {
            let next = match &mut self.reader {
                Reader::Pcap(reader) => next_pcap(reader),
                Reader::PcapNg(reader) => next_pcapng(reader),
            };
            let Packet { utc_ns, wire_length, bytes } = match next {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    self.ended = true;
                    return Ok(());
                }
                // What came before the damage is handed out first.
                Err(problem) => {
                    self.damage = Some(SourceError::File { file: self.file.clone(), problem });
                    return Ok(());
                }
            };
            if !(SHORTEST..=LONGEST).contains(&bytes.len()) {
                self.counts.unusable += 1;
                continue;
            }
            let verdict = self.kernel.try_frame(OnMiss::Drop, &bytes)?;
            if verdict.action != Action::Redirect {
                continue;
            }
            let place = self.buffer.len();
            match Located::check(verdict.data, place, Some(FrameTime::Utc(utc_ns))) {
                Some(mut located) => {
                    located.set_wire_length(wire_length);
                    let number = located.header().number;
                    self.counts.missing += number.saturating_sub(self.next_number);
                    self.next_number = number.saturating_add(1);
                    self.counts.frames += 1;
                    self.counts.bytes += (verdict.data.len() - FrameHeader::SIZE) as u64;
                    self.buffer.extend_from_slice(verdict.data);
                    self.located.push(located);
                }
                None => self.counts.malformed += 1,
            }
        }
        Ok(())
    }
}

impl Source for PcapSource {
    /// Never waits: a file is always ready.
    fn receive(&mut self, _wait: Duration) -> Result<Batch<'_>, SourceError> {
        if self.ended {
            self.located.clear();
        } else {
            self.take()?;
        }
        let after = if self.ended { After::End } else { After::Unknown };
        Ok(Batch::new(&self.located, Memory::Buffer(&self.buffer), after))
    }

    fn statistics(&self) -> SourceStatistics {
        self.counts
    }
}

fn next_pcap(reader: &mut PcapReader<BufReader<File>>) -> Result<Option<Packet<'_>>, String> {
    match reader.next_packet() {
        None => Ok(None),
        Some(Ok(packet)) => {
            Ok(Some(Packet { utc_ns: nanoseconds(packet.timestamp), wire_length: packet.orig_len, bytes: packet.data }))
        }
        Some(Err(error)) => Err(damaged(&error)),
    }
}

fn next_pcapng(reader: &mut PcapNgReader<BufReader<File>>) -> Result<Option<Packet<'static>>, String> {
    loop {
        // The stamp is in units of the packet's interface, which the reader is asked for after the block was let go.
        let (interface, units, wire_length, bytes) = match reader.next_block() {
            None => return Ok(None),
            Some(Err(error)) => return Err(damaged(&error)),
            Some(Ok(Block::EnhancedPacket(packet))) => {
                // The library calls the units nanoseconds, whatever they are.
                (packet.interface_id, packet.timestamp.as_nanos(), packet.original_len, packet.data.into_owned())
            }
            Some(Ok(Block::SimplePacket(_) | Block::Packet(_))) => {
                return Err("holds packets without a time stamp; convert it with `editcap -F pcapng`".to_owned());
            }
            Some(Ok(_)) => continue,
        };
        let interface = reader
            .interfaces()
            .get(interface as usize)
            .ok_or_else(|| format!("names an interface {interface} that it does not describe"))?;
        check_link(interface.linktype)?;
        let utc_ns = stamp_ns(interface, units).ok_or("holds a time stamp that is out of range")?;
        return Ok(Some(Packet { utc_ns, wire_length, bytes: bytes.into() }));
    }
}

/// A pcapng time stamp in nanoseconds, by `if_tsresol` (default: microseconds) and `if_tsoffset` of its interface.
fn stamp_ns(interface: &InterfaceDescriptionBlock<'_>, units: u128) -> Option<u64> {
    let mut resolution = 6;
    let mut offset_s: u64 = 0;
    for option in &interface.options {
        match option {
            InterfaceDescriptionOption::IfTsResol(value) => resolution = *value,
            InterfaceDescriptionOption::IfTsOffset(value) => offset_s = *value,
            _ => {}
        }
    }
    let exponent = u32::from(resolution & 0x7f);
    let units_a_second =
        if resolution & 0x80 == 0 { 10_u128.checked_pow(exponent)? } else { 1_u128.checked_shl(exponent)? };
    let nanoseconds = units.checked_mul(1_000_000_000)?.checked_div(units_a_second)?;
    // The offset is a signed number of seconds.
    let nanoseconds = i128::try_from(nanoseconds).ok()? + i128::from(offset_s.cast_signed()) * 1_000_000_000;
    u64::try_from(nanoseconds).ok()
}

fn nanoseconds(since_1970: Duration) -> u64 {
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

fn check_link(link: DataLink) -> Result<(), String> {
    if link == DataLink::ETHERNET {
        return Ok(());
    }
    Err(format!("holds {link:?} frames; only Ethernet can be replayed (capture on one interface, not on `any`)"))
}

fn damaged(error: &PcapError) -> String {
    format!("is damaged ({error}); what came before the damage was replayed")
}
