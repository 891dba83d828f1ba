//! What OpenCALEA's own collector writes, for whoever has tools for that: `cmii.txt`, a line a datagram, and `cmc.pcap`.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use writ_encoder::opencalea::Cmc;

use crate::{appended::Appended, lines::Lines};

const TEXT: &str = "cmii.txt";
const CAPTURE: &str = "cmc.pcap";

/// What one datagram adds.
#[derive(Clone, Debug)]
pub(crate) enum Original {
    /// A line of `cmii.txt`.
    Line(String),
    /// A record of `cmc.pcap`, with its header.
    Record(Vec<u8>),
}

impl Original {
    /// The file it belongs to.
    pub(crate) fn file(&self) -> &'static str {
        match self {
            Self::Line(_) => TEXT,
            Self::Record(_) => CAPTURE,
        }
    }
}

/// Both files of a case, each made when there is something for it.
#[derive(Debug, Default)]
pub(crate) struct Originals {
    text: Option<Lines>,
    capture: Option<Appended>,
}

impl Originals {
    /// Appends to the files in `folder`. It is there after the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn append(&mut self, folder: &Path, original: &Original) -> io::Result<()> {
        match original {
            Original::Line(line) => {
                let text = match &mut self.text {
                    Some(text) => text,
                    text => text.insert(Lines::open(&folder.join(TEXT), |_| {})?),
                };
                text.append(line.as_bytes())
            }
            Original::Record(record) => {
                let capture = match &mut self.capture {
                    Some(capture) => capture,
                    capture => capture.insert(open_capture(&folder.join(CAPTURE))?),
                };
                capture.add(|buffer| buffer.extend_from_slice(record))
            }
        }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.text.as_mut().map_or(Ok(()), Lines::flush)?;
        self.capture.as_mut().map_or(Ok(()), Appended::flush)
    }

    /// Writes out what is buffered and waits until the disk has it.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.text.as_mut().map_or(Ok(()), Lines::sync)?;
        self.capture.as_mut().map_or(Ok(()), Appended::sync)
    }
}

/// Opens or creates `cmc.pcap`. A last record that is cut off is taken away.
fn open_capture(path: &Path) -> io::Result<Appended> {
    let (mut capture, whole) = Appended::open(path, whole_records)?;
    if whole == 0 {
        capture.add(|buffer| buffer.extend_from_slice(&Cmc::PCAP_HEADER))?;
    }
    Ok(capture)
}

/// Where the last whole record ends: each says its length at its third word.
fn whole_records(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut whole = Cmc::PCAP_HEADER.len() as u64;
    if length < whole {
        return Ok(0);
    }
    reader.seek(SeekFrom::Start(whole))?;
    loop {
        let mut header = [0; 16];
        if let Err(error) = reader.read_exact(&mut header) {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(whole) } else { Err(error) };
        }
        let [_, _, octets, _] = header.as_chunks::<4>().0 else { return Ok(whole) };
        let octets = u32::from_le_bytes(*octets);
        let end = whole + header.len() as u64 + u64::from(octets);
        if end > length {
            return Ok(whole);
        }
        reader.seek_relative(octets.into())?;
        whole = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_record_that_was_cut_off_is_taken_away_and_no_other() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(CAPTURE);
        let record = |octet: u8| {
            let length = 5u32.to_le_bytes();
            Original::Record([&[0; 8][..], &length, &length, &[octet; 5]].concat())
        };
        let write = |octets: &[u8]| {
            let mut originals = Originals::default();
            octets.iter().for_each(|octet| originals.append(folder.path(), &record(*octet)).expect("written"));
            originals.flush().expect("written");
        };
        write(&[1, 2]);
        let two = fs::read(&path).expect("file");
        assert_eq!(two.len(), 24 + 2 * 21);
        for cut in 0..=two.len() {
            fs::write(&path, &two[..cut]).expect("cut");
            write(&[3]);
            let kept = cut.saturating_sub(24) / 21;
            let found = fs::read(&path).expect("file");
            assert_eq!(found.len(), 24 + (kept + 1) * 21, "cut at {cut}");
            assert_eq!(found.last(), Some(&3));
        }
    }
}
