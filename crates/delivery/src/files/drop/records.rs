//! What stands in the files that an agency fetches: whose the next record is, and where the last whole one ends.

use std::io::{self, Read};
use writ_digests::Stream as StreamKind;
use writ_encoder::files::{Block, Names, decode_block};

/// Whose the first record is. What does not say so goes to the case without a name, where somebody will see it.
pub(super) fn names(kind: StreamKind, records: &[u8]) -> Names {
    let front = front(kind, records).ok().flatten();
    front.and_then(|front| front.names).unwrap_or_default()
}

/// What a file begins with.
struct Front {
    length: usize,
    /// Whose it is, if it is a record; none of what stands in front of records.
    names: Option<Names>,
}

/// What is at the front of `bytes`; none if it does not end there, an error if it is nothing that a probe writes.
fn front(kind: StreamKind, bytes: &[u8]) -> Result<Option<Front>, String> {
    match kind {
        StreamKind::Cmc => {
            let block = decode_block(bytes).map_err(|error| error.to_string())?;
            Ok(block.map(|(block, length)| {
                let names = if let Block::Packet(packet) = block { Some(packet.names) } else { None };
                Front { length, names }
            }))
        }
        StreamKind::Cmii => {
            let Some(end) = bytes.iter().position(|octet| *octet == b'\n') else { return Ok(None) };
            // Of the error only where it is: its words could quote the line.
            let names = serde_json::from_slice(&bytes[..end])
                .map_err(|error| format!("no line of an event: column {}", error.column()))?;
            Ok(Some(Front { length: end + 1, names: Some(names) }))
        }
    }
}

/// What a file holds.
#[derive(Default)]
pub(super) struct Found {
    pub(super) has_records: bool,
    /// Where the last whole record ends.
    pub(super) whole: u64,
    /// What is wrong behind that.
    pub(super) garbled: Option<String>,
}

/// Reads a file to its end, or to where it is garbled.
pub(super) fn read_whole(kind: StreamKind, file: &mut impl Read) -> io::Result<Found> {
    let mut found = Found::default();
    let (mut piece, mut pending) = (vec![0; 1 << 18], Vec::new());
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(found);
        }
        pending.extend_from_slice(&piece[..length]);
        let mut taken = 0;
        loop {
            match front(kind, &pending[taken..]) {
                Ok(None) => break,
                Ok(Some(front)) => {
                    taken += front.length;
                    found.whole += front.length as u64;
                    found.has_records |= front.names.is_some();
                }
                Err(error) => return Ok(Found { garbled: Some(error), ..found }),
            }
        }
        pending.drain(..taken);
    }
}
