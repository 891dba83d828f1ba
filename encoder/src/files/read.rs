//! Reads a file of packets back, block by block.

use super::{
    BYTE_ORDER_MAGIC, CASE, COMMENT, CONTENT, DIRECTIONS, END, INTERFACE, LINK_TYPE_RAW, Names, PACKET, PACKET_FLAGS,
    PACKET_ID, PROBE, SECTION, padding,
};
use crate::layout::{Malformed, take};
use crate::t1_ias::Direction;
use crate::{UtcMicros, hexadecimal::hexadecimal};
use serde::Serialize;

/// No block of ours comes near this: a length beyond it is damage.
const LONGEST_BLOCK: usize = 16 << 20;

/// A block of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// A section begins.
    Section,
    /// An interface is described.
    Interface,
    /// A packet.
    Packet(Packet<'a>),
}

/// A packet read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packet<'a> {
    /// Whose it is.
    #[serde(flatten)]
    pub names: Names,
    /// When it was seen.
    pub timestamp: UtcMicros,
    /// Which way it went, if that is known.
    pub direction: Option<Direction>,
    /// Its number among the intercept's packets.
    pub sequence: u64,
    /// The packet, from its IP header.
    #[serde(serialize_with = "hexadecimal")]
    pub payload: &'a [u8],
}

/// Reads the block at the front of `bytes` and says how long it is; none if it does not end there.
pub fn decode_block(bytes: &[u8]) -> Result<Option<(Block<'_>, usize)>, Malformed> {
    let fault = |offset, fault| Malformed { format: "block of a file of packets", offset, fault };
    let mut rest = bytes;
    let (Some(kind), Some(length)) = (word(&mut rest), word(&mut rest)) else { return Ok(None) };
    let length = length as usize;
    if !(12..=LONGEST_BLOCK).contains(&length) || !length.is_multiple_of(4) {
        return Err(fault(4, "a length that no block has"));
    }
    let Some(block) = bytes.get(..length) else { return Ok(None) };
    if block[length - 4..] != block[4..8] {
        return Err(fault(length - 4, "another length behind the block than in front of it"));
    }
    let mut body = &block[8..length - 4];
    let block = match kind {
        SECTION if word(&mut body) == Some(BYTE_ORDER_MAGIC) => Block::Section,
        SECTION => return Err(fault(8, "another order of octets than little endian")),
        INTERFACE if take(&mut body).map(u16::from_le_bytes) == Some(LINK_TYPE_RAW) => Block::Interface,
        INTERFACE => return Err(fault(8, "another link type than RAW")),
        PACKET => Block::Packet(packet(body).map_err(|what| fault(8, what))?),
        _ => return Err(fault(0, "no section, interface or packet")),
    };
    Ok(Some((block, length)))
}

fn word(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn packet(mut body: &[u8]) -> Result<Packet<'_>, &'static str> {
    const CUT_OFF: &str = "a packet's block that ends too early";
    let mut next = || word(&mut body).ok_or(CUT_OFF);
    if next()? != 0 {
        return Err("a packet of another interface than the first");
    }
    let micros = u64::from(next()?) << 32 | u64::from(next()?);
    let timestamp = i64::try_from(micros).ok().and_then(|micros| UtcMicros::new(micros).ok());
    let (captured, original) = (next()? as usize, next()? as usize);
    if captured > original {
        return Err("more octets than the packet had");
    }
    let (payload, behind) = body.split_at_checked(captured).ok_or(CUT_OFF)?;
    let mut options = behind.get(padding(captured)..).ok_or(CUT_OFF)?;
    let (mut names, mut direction, mut sequence) = ([None, None, None], None, None);
    loop {
        let (Some(code), Some(length)) = (take(&mut options), take(&mut options)) else { return Err(CUT_OFF) };
        let (code, length) = (u16::from_le_bytes(code), usize::from(u16::from_le_bytes(length)));
        if code == END {
            break;
        }
        let (value, behind) = options.split_at_checked(length).ok_or(CUT_OFF)?;
        options = behind.get(padding(length)..).ok_or(CUT_OFF)?;
        match code {
            COMMENT => {
                let comment = str::from_utf8(value).map_err(|_| "a comment that is not UTF-8")?;
                for (name, what) in names.iter_mut().zip([CASE, CONTENT, PROBE]) {
                    if let Some(text) = comment.strip_prefix(what) {
                        *name = Some(text.to_owned());
                    }
                }
            }
            PACKET_FLAGS => {
                let flags = word(&mut &*value).ok_or("flags that are no word")?;
                direction = DIRECTIONS.iter().find(|(_, _, number)| flags & 3 == *number).map(|(it, _, _)| *it);
            }
            PACKET_ID => sequence = Some(take(&mut &*value).map(u64::from_le_bytes).ok_or("a number of another size")?),
            _ => {}
        }
    }
    let [Some(case_id), Some(content_id), Some(probe)] = names else {
        return Err("a packet that does not say whose it is");
    };
    Ok(Packet {
        names: Names { case_id, content_id, probe },
        timestamp: timestamp.ok_or("a time behind the year 9999")?,
        direction,
        sequence: sequence.ok_or("a packet without a number")?,
        payload,
    })
}
