//! Digests of what is filed for a case, window by window, as the probe makes them of what it delivered
//! ([`writ_digests`]). Made anew each time from the files, so they say what is kept now.
//!
//! PDUs come from `content.pcapng` and `cmii.jsonl` of a collector, or from `cmc.ber` and `cmii.ber` that a probe wrote on its
//! own machine. What a collector files beside a PDU's octets must say what they say: else it is a fault, and not in a window.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use serde_json::Value;
use writ_digests::{Kept, Stream, WINDOW_NUMBERS, Window};
use writ_encoder::{
    stream::StreamDecoder,
    t1_ias::{Cmcc, OptionalModule, decode_cmcc, module_of},
};

use crate::{
    digest::octets,
    formats::{Format, Item, name_source, read_message},
    pcapng::{Packet, PacketFileError, Source, read_packets},
};

/// The file of digests in a case's directory.
pub const DIGESTS: &str = "digests.jsonl";

/// What is filed for a case, in digests.
#[derive(Debug, Default)]
pub struct Digests {
    /// The windows, by stream, source and number.
    pub lines: Vec<Kept>,
    /// What is filed and is no PDU as it arrived, in words.
    pub faults: Vec<String>,
    /// Formats that something is filed of, and of which no digests are made.
    pub left_out: BTreeSet<Format>,
}

impl Digests {
    /// A JSON object a line.
    pub fn text(&self) -> String {
        let lines = self.lines.iter().filter_map(|line| serde_json::to_string(line).ok());
        lines.map(|line| line + "\n").collect()
    }
}

/// Makes the digests of a case's directory.
///
/// # Errors
/// What the system says to reading it, or that it has no files of a case.
pub fn of_case(folder: &Path) -> io::Result<Digests> {
    let mut course = Course::default();
    let mut faults = Vec::new();
    if !read_case(folder, &mut course, &mut faults)? {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "no content.pcapng, cmii.jsonl, cmc.ber or cmii.ber in it",
        ));
    }
    let late = course.late();
    if !late.is_empty() {
        // Once more: of the windows in which something came late, every PDU is put into its place.
        course = Course { late, ..Course::default() };
        read_case(folder, &mut course, &mut Vec::new())?;
    }
    Ok(Digests { left_out: std::mem::take(&mut course.left_out), lines: course.lines(), faults })
}

/// Whose numbers they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    stream: Stream,
    case_id: String,
    iap: String,
    content_identifier: Option<String>,
}

/// All windows as far as they have come.
#[derive(Default)]
struct Course {
    numberings: BTreeMap<Key, Numbering>,
    /// Windows whose PDUs are to be put in order first.
    late: BTreeSet<(Key, u32, u64)>,
    /// Formats of which no digests are made.
    left_out: BTreeSet<Format>,
}

#[derive(Default)]
struct Numbering {
    run: u32,
    windows: BTreeMap<(u32, u64), Filled>,
    /// Of identifying information: how many messages came.
    messages: u64,
}

struct Filled {
    window: Window,
    /// Numbers that came behind higher ones.
    late: BTreeSet<u64>,
    /// All PDUs, where they are to be put in order.
    pdus: Option<BTreeMap<u64, Vec<u8>>>,
}

impl Course {
    fn take(&mut self, key: Key, number: Option<u64>, pdu: &[u8]) {
        let late = &self.late;
        let numbering = self.numberings.entry(key.clone()).or_default();
        let number = number.unwrap_or(numbering.messages);
        numbering.messages += 1;
        let index = number / WINDOW_NUMBERS;
        let has = |filled: &Filled| filled.window.has(number) || filled.late.contains(&number);
        if numbering.windows.get(&(numbering.run, index)).is_some_and(has) {
            // The number belongs to another PDU already: the sender counts anew.
            numbering.run += 1;
        }
        let run = numbering.run;
        let filled = numbering.windows.entry((run, index)).or_insert_with(|| Filled {
            window: Window::of(key.stream, number),
            late: BTreeSet::new(),
            pdus: late.contains(&(key.clone(), run, index)).then(BTreeMap::new),
        });
        if let Some(pdus) = &mut filled.pdus {
            pdus.insert(number, pdu.to_owned());
        }
        if !filled.window.take(number, pdu) {
            filled.late.insert(number);
        }
    }

    fn late(&self) -> BTreeSet<(Key, u32, u64)> {
        let windows = self.numberings.iter().flat_map(|(key, it)| it.windows.iter().map(move |it| (key, it)));
        let late = windows.filter(|(_, (_, filled))| !filled.late.is_empty());
        late.map(|(key, ((run, window), _))| (key.clone(), *run, *window)).collect()
    }

    fn lines(self) -> Vec<Kept> {
        let mut lines = Vec::new();
        for (key, numbering) in self.numberings {
            for ((run, index), filled) in numbering.windows {
                let window = filled.pdus.map_or(filled.window, |pdus| {
                    let mut window = Window::of(key.stream, index * WINDOW_NUMBERS);
                    for (number, pdu) in &pdus {
                        window.take(*number, pdu);
                    }
                    window
                });
                let Some(line) = window.line(key.stream) else { continue };
                let Key { case_id, iap, content_identifier, .. } = key.clone();
                lines.push(Kept { case_id, iap, content_identifier, run, line });
            }
        }
        lines
    }
}

/// Reads every file of a case that is there. False: there is none.
fn read_case(folder: &Path, course: &mut Course, faults: &mut Vec<String>) -> io::Result<bool> {
    let mut any = false;
    let mut read = |name: &str, read: fn(&Path, &mut Course, &mut Vec<String>) -> io::Result<()>| {
        let file = folder.join(name);
        if file.try_exists()? {
            any = true;
            read(&file, course, faults)?;
        }
        Ok::<_, io::Error>(())
    };
    read("cmii.jsonl", read_messages)?;
    read("content.pcapng", read_content)?;
    read("cmii.ber", read_cmii_stream)?;
    read("cmc.ber", read_cmc_stream)?;
    Ok(any)
}

fn read_messages(file: &Path, course: &mut Course, faults: &mut Vec<String>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(file)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            break;
        }
        let value: Value = serde_json::from_slice(&line).unwrap_or_default();
        let other = value.get("handover").and_then(Value::as_str).and_then(Format::named);
        if let Some(format) = other {
            course.left_out.insert(format);
            continue;
        }
        match message(value).filter(|pdu| take_cmii(course, pdu)) {
            Some(_) => {}
            None => faults.push(format!("{}: line {number} is not what arrived: left out", file.display())),
        }
    }
    Ok(())
}

/// The PDU of a line, if the line says what the PDU says.
fn message(mut value: Value) -> Option<Vec<u8>> {
    let text = value.as_object_mut()?.remove("pdu")?;
    let pdu = octets(text.as_str()?)?;
    let told = value.get("optional_module").and_then(Value::as_str).and_then(|text| OptionalModule::new(text).ok());
    let said = read_message(&pdu, told.as_ref()).ok()?;
    (serde_json::to_value(&said).ok()? == value).then_some(pdu)
}

fn take_cmii(course: &mut Course, pdu: &[u8]) -> bool {
    // A message of another module than the standard's own is read as if that were the one that was told.
    let module = module_of(pdu).ok();
    let Ok(said) = read_message(pdu, module.as_ref()).or_else(|_| read_message(pdu, None)) else { return false };
    said.items(pdu, &mut |item| {
        if let Item::Message { case, source, .. } = item {
            let (case_id, iap) = (case.unwrap_or_default(), source.iap);
            course.take(Key { stream: Stream::Cmii, case_id, iap, content_identifier: None }, None, pdu);
        }
        Ok::<_, Infallible>(())
    })
    .is_ok()
}

fn read_content(file: &Path, course: &mut Course, faults: &mut Vec<String>) -> io::Result<()> {
    let mut place = 0u64;
    let mut pdu = Vec::new();
    let read = read_packets(file, |source, packet| {
        place += 1;
        if source.format != Format::T1Ias {
            course.left_out.insert(source.format);
            return;
        }
        pdu.clear();
        pdu.extend_from_slice(packet.around.before);
        pdu.extend_from_slice(packet.bytes);
        pdu.extend_from_slice(packet.around.behind);
        let content = decode_cmcc(&pdu).ok().map(|(content, _)| content);
        match content.filter(|content| says(content, source, packet)) {
            Some(content) => take_cmc(course, content, &pdu),
            None => faults.push(format!("{}: packet {place} is not what arrived: left out", file.display())),
        }
    });
    match read {
        Ok(()) => Ok(()),
        Err(PacketFileError::Io(error)) => Err(error),
        Err(error @ PacketFileError::Damaged(_)) => {
            faults.push(format!("{}: {error}: what lies behind is left out", file.display()));
            Ok(())
        }
    }
}

/// Whether a packet is filed as its PDU has it. One without a time was given that of its arrival.
fn says(content: &Cmcc, source: &Source, packet: &Packet<'_>) -> bool {
    let time = content.timestamp.map(|time| time.unix_micros().unsigned_abs());
    name_source(content) == *source
        && time.is_none_or(|time| time == packet.time_us)
        && (content.direction, content.sequence) == (packet.direction, packet.sequence)
        && content.payload == packet.bytes
}

/// Content without a number is in no window.
fn take_cmc(course: &mut Course, content: Cmcc, pdu: &[u8]) {
    let Some(number) = content.sequence else { return };
    let Source { iap, content_identifier, .. } = name_source(&content);
    let case_id = content.case_id.unwrap_or_default();
    let key = Key { stream: Stream::Cmc, case_id, iap, content_identifier: Some(content_identifier) };
    course.take(key, Some(number), pdu);
}

fn read_cmii_stream(file: &Path, course: &mut Course, faults: &mut Vec<String>) -> io::Result<()> {
    read_stream(file, faults, |pdu| take_cmii(course, pdu))
}

fn read_cmc_stream(file: &Path, course: &mut Course, faults: &mut Vec<String>) -> io::Result<()> {
    read_stream(file, faults, |pdu| decode_cmcc(pdu).map(|(content, _)| take_cmc(course, content, pdu)).is_ok())
}

fn read_stream(file: &Path, faults: &mut Vec<String>, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut input = File::open(file)?;
    let mut decoder = StreamDecoder::default();
    let mut piece = vec![0; 1 << 18];
    loop {
        let length = input.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        decoder.push(piece.get(..length).unwrap_or_default());
        loop {
            match decoder.next_pdu() {
                Ok(Some(pdu)) if take(pdu.bytes) => {}
                Ok(Some(pdu)) => {
                    faults.push(format!("{}: no PDU at octet {}: left out", file.display(), pdu.offset));
                }
                Ok(None) => break,
                Err(error) => {
                    faults.push(format!("{}: {error}: what lies behind is left out", file.display()));
                    return Ok(());
                }
            }
        }
    }
}
