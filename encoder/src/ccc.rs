//! Call content connections of PacketCable over UDP: a short header in front of each IP packet, a datagram a packet.
//!
//! Three headers are in use: the channel alone (ESP I01), with the time (ESP 1.5), with the time and a case (ES-DCI of
//! PacketCable 2.0, SCTE 24-13). Routers speak it as well: MikroTik's `sniff-pc`, CISCO-TAP's `udp`. A datagram does not
//! say which of the three it bears, nor does it have a number: what gets lost on the way is not noticed.

use serde::{Deserialize, Serialize};

use crate::hexadecimal::hexadecimal;
use crate::layout::{CUT_OFF, Malformed, put, take};
use crate::time::Ntp;
use crate::{NoRoom, UtcMicros};

/// Which header stands in front of the packets; the agency says which it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// 4 octets: the channel (ESP I01).
    Channel,
    /// 12 octets: the channel and the time (ESP 1.5).
    Timed,
    /// 20 octets: the channel, the time and this case (ES-DCI, SCTE 24-13).
    Case(u64),
}

/// The header of a datagram without what is in it, for the reader; in settings its octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "u8")]
pub enum Layout {
    /// 4 octets.
    Channel,
    /// 12 octets.
    Timed,
    /// 20 octets.
    #[default]
    Case,
}

impl TryFrom<u8> for Layout {
    type Error = &'static str;

    fn try_from(octets: u8) -> Result<Self, Self::Error> {
        match octets {
            4 => Ok(Self::Channel),
            12 => Ok(Self::Timed),
            20 => Ok(Self::Case),
            _ => Err("no such header: give 4, 12 or 20 octets"),
        }
    }
}

/// A call content connection: writes the datagrams of one intercept.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    channel: [u8; 4],
    form: Form,
}

impl Connection {
    /// Octets of the longest header.
    pub const LONGEST_HEADER: usize = 20;

    /// The connection with this number (CCC-ID).
    pub fn new(ccc_id: u32, form: Form) -> Self {
        Self { channel: ccc_id.to_be_bytes(), form }
    }

    /// Writes the datagram of `packet`, which begins with its IP header, and says how long it is.
    pub fn content(&self, out: &mut [u8], time: UtcMicros, packet: &[u8]) -> Result<usize, NoRoom> {
        self.content_from(out, time, packet.len(), |payload| payload.copy_from_slice(packet))
    }

    /// [`content`](Self::content) of a packet that does not lie in one piece: `copy` writes its `length` octets.
    #[inline]
    pub fn content_from(
        &self,
        out: &mut [u8],
        time: UtcMicros,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        // A header of one length each, so that it is written in place and not in pieces.
        let time = || Ntp::from(time).0.to_be_bytes();
        match self.form {
            Form::Channel => put(out, &[&self.channel], length, copy),
            Form::Timed => put(out, &[&self.channel, &time()], length, copy),
            Form::Case(case) => put(out, &[&self.channel, &time(), &case.to_be_bytes()], length, copy),
        }
    }
}

/// A datagram read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Content<'a> {
    /// The connection (CCC-ID).
    pub ccc_id: u32,
    /// When the packet was seen.
    pub timestamp: Option<UtcMicros>,
    /// The case.
    pub case_id: Option<u64>,
    /// The packet, from its IP header.
    #[serde(serialize_with = "hexadecimal")]
    pub payload: &'a [u8],
}

/// Reads a datagram whole.
pub fn decode(layout: Layout, datagram: &[u8]) -> Result<Content<'_>, Malformed> {
    let mut rest = datagram;
    let cut_off = Malformed { format: "CCC datagram", offset: datagram.len(), fault: CUT_OFF };
    let ccc_id = u32::from_be_bytes(take(&mut rest).ok_or(cut_off)?);
    let mut word = || take(&mut rest).map(u64::from_be_bytes).ok_or(cut_off);
    let (timestamp, case_id) = match layout {
        Layout::Channel => (None, None),
        Layout::Timed => (Some(word()?), None),
        Layout::Case => (Some(word()?), Some(word()?)),
    };
    Ok(Content { ccc_id, timestamp: timestamp.map(|time| Ntp(time).into()), case_id, payload: rest })
}
