//! Reads a file of packets that this program wrote back, block by block.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use writ_encoder::t1_ias::Direction;

use super::{
    BYTE_ORDER_MAGIC, INTERFACE, INTERFACE_DESCRIPTION, INTERFACE_NAME, Link, OPTION_COMMENT, OPTION_END, PACKET,
    PACKET_FLAGS, PACKET_ID, PDU_BEFORE, PDU_BEHIND, PDU_FOLLOWING, Packet, PacketFileError, SECTION, Source,
};
use crate::formats::Format;

/// No block of ours comes near this: a length beyond it is damage.
const MAX_BLOCK: u32 = 16 << 20;

/// Reads the packets of a file without changing it. `known` is told of each; of what is being written at its end, of nothing.
///
/// # Errors
/// [`PacketFileError::Damaged`] when it holds what was not written here.
pub(crate) fn packets(path: &Path, mut known: impl FnMut(&Source, &Packet<'_>)) -> Result<(), PacketFileError> {
    blocks(&File::open(path)?, &mut known).map(drop)
}

/// Reads the blocks of a file that this module wrote. Returns where the last whole one ends.
pub(super) fn blocks(file: &File, known: &mut impl FnMut(&Source, &Packet<'_>)) -> Result<u64, PacketFileError> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut whole = 0;
    let mut sources: Option<Vec<(Source, Link)>> = None;
    let mut body = Vec::new();
    loop {
        let mut head = [0; 8];
        if !read_whole(&mut reader, &mut head)? {
            return Ok(whole);
        }
        let kind = u32_at(&head, 0).ok_or(PacketFileError::Damaged(whole))?;
        let length = u32_at(&head, 4).ok_or(PacketFileError::Damaged(whole))?;
        if !(12..=MAX_BLOCK).contains(&length) || length % 4 != 0 {
            return Err(PacketFileError::Damaged(whole));
        }
        body.resize(length as usize - 8, 0);
        if !read_whole(&mut reader, &mut body)? {
            return Ok(whole);
        }
        block(kind, length, &body, &mut sources, known).ok_or(PacketFileError::Damaged(whole))?;
        whole += u64::from(length);
    }
}

/// Reads one block; None if it is none of ours.
fn block(
    kind: u32,
    length: u32,
    body: &[u8],
    sources: &mut Option<Vec<(Source, Link)>>,
    known: &mut impl FnMut(&Source, &Packet<'_>),
) -> Option<()> {
    let (body, trailer) = body.split_at_checked(body.len().checked_sub(4)?)?;
    if u32_at(trailer, 0)? != length {
        return None;
    }
    match kind {
        SECTION => {
            if u32_at(body, 0)? != BYTE_ORDER_MAGIC {
                return None;
            }
            *sources = Some(Vec::new());
        }
        INTERFACE => {
            let link = Link::of(u16::from_le_bytes(*body.first_chunk()?))?;
            let mut source = Source::default();
            for (code, value) in options(body.get(8..)?) {
                match code {
                    OPTION_COMMENT => source.format = Format::named(str::from_utf8(value).ok()?)?,
                    INTERFACE_NAME => source.iap = String::from_utf8(value.to_vec()).ok()?,
                    INTERFACE_DESCRIPTION => source.content_identifier = String::from_utf8(value.to_vec()).ok()?,
                    _ => {}
                }
            }
            sources.as_mut()?.push((source, link));
        }
        PACKET => {
            let (source, link) = sources.as_ref()?.get(u32_at(body, 0)? as usize)?;
            let time_us = u64::from(u32_at(body, 4)?) << 32 | u64::from(u32_at(body, 8)?);
            let captured = u32_at(body, 12)? as usize;
            let bytes = body.get(20..)?.get(..captured)?;
            let original_length = Some(u32_at(body, 16)?).filter(|original| *original as usize != captured);
            let mut packet = Packet { original_length, ..Packet::bare(time_us, *link, bytes) };
            for (code, value) in options(body.get(20..)?.get(captured.next_multiple_of(4)..)?) {
                match code {
                    PACKET_FLAGS => packet.direction = direction(u32_at(value, 0)?),
                    PACKET_ID => packet.sequence = Some(u64::from_le_bytes(value.try_into().ok()?)),
                    PDU_FOLLOWING => packet.following = u16::from_le_bytes(value.try_into().ok()?),
                    PDU_BEFORE => packet.around.before = value,
                    PDU_BEHIND => packet.around.behind = value,
                    _ => {}
                }
            }
            known(source, &packet);
        }
        _ => return None,
    }
    Some(())
}

fn options(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(4)?;
        let code = u16::from_le_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let value = rest.get(..length)?;
        bytes = rest.get(length.next_multiple_of(4)..)?;
        (code != OPTION_END).then_some((code, value))
    })
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let four = bytes.get(offset..)?.get(..4)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

/// Fills `buffer`; false if the file ends first.
fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn direction(flags: u32) -> Option<Direction> {
    match flags & 3 {
        1 => Some(Direction::ToSubject),
        2 => Some(Direction::FromSubject),
        _ => None,
    }
}
