//! The header that Juniper routers put in front of mirrored packets: 8 octets, then the IP packet, over UDP to port 30030.
//!
//! Content alone: no time, no direction, no number. The mirror id names the intercept, the session id the subscriber's
//! session.

use serde::Serialize;

use crate::NoRoom;
use crate::hexadecimal::hexadecimal;
use crate::layout::{CUT_OFF, Malformed, put, take};

/// The port that receivers listen on unless they are told otherwise.
pub const PORT: u16 = 30_030;

/// The name of an intercept: 30 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct MirrorId(u32);

/// A mirror id of more than 30 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mirror id has more than 30 bits: give at most {}", MirrorId::LAST)]
pub struct MirrorIdTooLarge;

impl MirrorId {
    /// The largest.
    pub const LAST: u32 = (1 << 30) - 1;

    /// Checks that `id` has 30 bits.
    pub const fn new(id: u32) -> Result<Self, MirrorIdTooLarge> {
        if id > Self::LAST { Err(MirrorIdTooLarge) } else { Ok(Self(id)) }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Writes the datagrams of one intercept.
#[derive(Clone, Copy, Debug)]
pub struct Mirror {
    /// The upper two bits say which header follows: zero, the one of 8 octets.
    header: [u8; Self::HEADER],
}

impl Mirror {
    /// Octets of the header.
    pub const HEADER: usize = 8;

    /// The mirror of an intercept, and a session of its subject.
    pub fn new(mirror_id: MirrorId, session_id: u32) -> Self {
        Self { header: (u64::from(mirror_id.0) << 32 | u64::from(session_id)).to_be_bytes() }
    }

    /// Writes the datagram of `packet`, which begins with its IP header, and says how long it is.
    pub fn content(&self, out: &mut [u8], packet: &[u8]) -> Result<usize, NoRoom> {
        self.content_from(out, packet.len(), |payload| payload.copy_from_slice(packet))
    }

    /// [`content`](Self::content) of a packet that does not lie in one piece: `copy` writes its `length` octets.
    #[inline]
    pub fn content_from(&self, out: &mut [u8], length: usize, copy: impl FnOnce(&mut [u8])) -> Result<usize, NoRoom> {
        put(out, &[&self.header], length, copy)
    }
}

/// A datagram read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Content<'a> {
    /// The intercept.
    pub mirror_id: MirrorId,
    /// The session.
    pub session_id: u32,
    /// The packet, from its IP header.
    #[serde(serialize_with = "hexadecimal")]
    pub payload: &'a [u8],
}

/// Reads a datagram whole.
pub fn decode(datagram: &[u8]) -> Result<Content<'_>, Malformed> {
    let mut payload = datagram;
    let fault = |offset, fault| Malformed { format: "Juniper mirror datagram", offset, fault };
    let header: [u8; Mirror::HEADER] = take(&mut payload).ok_or(fault(datagram.len(), CUT_OFF))?;
    let header = u64::from_be_bytes(header);
    let mirror_id = MirrorId::new((header >> 32) as u32).map_err(|_| fault(0, "another form of header than 0"))?;
    Ok(Content { mirror_id, session_id: header as u32, payload })
}
