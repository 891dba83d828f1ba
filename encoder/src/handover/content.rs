//! Packets, as each format has them.

use crate::ccc::Connection;
use crate::jmirror::Mirror;
use crate::opencalea::Tap;
use crate::t1_ias::{self, Direction, HeaderSets};
use crate::tzsp::Sniffer;
use crate::x2x3::{self, Task};
use crate::{NoRoom, Stamper, UtcMicros, etsi, files};

/// What a worker keeps from packet to packet, so that what is the same for many is made once.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) stamper: Stamper,
    /// A packet whose end is missing.
    front: Vec<u8>,
    pub(super) header_sets: HeaderSets,
}

/// What a packet's PDU says of it.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// When it was seen.
    pub time: UtcMicros,
    /// Which way it went, if that is known.
    pub direction: Option<Direction>,
    /// Its number in the series.
    pub sequence: u64,
    /// How long the packet says that it is, where its end is missing.
    pub original_length: Option<u32>,
    /// Whether it is a packet of IPv6.
    pub is_ipv6: bool,
    /// The Ethernet header in front of it, or more, if there was one: formats with a link layer have its addresses.
    pub link: &'a [u8],
}

/// What writes the content of one intercept.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in Format; an APDU is T1.IAS's own form")]
pub enum Content {
    Apdu(Box<t1_ias::Intercept>),
    Etsi {
        intercept: Box<etsi::Intercept>,
        /// Packets in one PDU at most.
        packets_per_pdu: u16,
    },
    X3(Task),
    Ccc(Connection),
    Opencalea(Tap),
    Jmirror(Mirror),
    Tzsp(Sniffer),
    Files(files::Intercept),
}

/// Octets of UDP's payload in a datagram of IPv4 at most.
const LONGEST_DATAGRAM: usize = 65_507;

/// A packet, a PDU.
pub trait WriteContent {
    /// Octets of a PDU at most.
    const LONGEST: usize = usize::MAX;

    /// Octets of the buffer that a packet of `length` octets needs.
    fn bound(&self, length: usize) -> usize;

    /// Whether a packet of `length` octets, from its IP header, can be handed over.
    #[inline]
    fn has_room_for(&self, length: usize) -> bool {
        self.bound(length) <= Self::LONGEST
    }

    /// Writes the PDU of a packet to the front of `out` and says how long it is. `copy` writes the packet's `length` octets,
    /// from its IP header.
    fn write(
        &self,
        out: &mut [u8],
        scratch: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom>;
}

/// Whichever it is. For who writes few packets; in a loop over many each writer is better asked itself.
impl WriteContent for Content {
    fn bound(&self, length: usize) -> usize {
        match self {
            Self::Apdu(writer) => (**writer).bound(length),
            Self::Etsi { intercept, .. } => (**intercept).bound(length),
            Self::X3(writer) => writer.bound(length),
            Self::Ccc(writer) => writer.bound(length),
            Self::Opencalea(writer) => writer.bound(length),
            Self::Jmirror(writer) => writer.bound(length),
            Self::Tzsp(writer) => writer.bound(length),
            Self::Files(writer) => writer.bound(length),
        }
    }

    fn has_room_for(&self, length: usize) -> bool {
        match self {
            Self::Apdu(writer) => (**writer).has_room_for(length),
            Self::Etsi { intercept, .. } => (**intercept).has_room_for(length),
            Self::X3(writer) => writer.has_room_for(length),
            Self::Ccc(writer) => writer.has_room_for(length),
            Self::Opencalea(writer) => writer.has_room_for(length),
            Self::Jmirror(writer) => writer.has_room_for(length),
            Self::Tzsp(writer) => writer.has_room_for(length),
            Self::Files(writer) => writer.has_room_for(length),
        }
    }

    fn write(
        &self,
        out: &mut [u8],
        scratch: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        match self {
            Self::Apdu(writer) => (**writer).write(out, scratch, moment, length, copy),
            Self::Etsi { intercept, .. } => (**intercept).write(out, scratch, moment, length, copy),
            Self::X3(writer) => writer.write(out, scratch, moment, length, copy),
            Self::Ccc(writer) => writer.write(out, scratch, moment, length, copy),
            Self::Opencalea(writer) => writer.write(out, scratch, moment, length, copy),
            Self::Jmirror(writer) => writer.write(out, scratch, moment, length, copy),
            Self::Tzsp(writer) => writer.write(out, scratch, moment, length, copy),
            Self::Files(writer) => writer.write(out, scratch, moment, length, copy),
        }
    }
}

impl WriteContent for t1_ias::Intercept {
    #[inline]
    fn bound(&self, length: usize) -> usize {
        self.content_bound(length)
    }

    #[inline]
    fn write(
        &self,
        out: &mut [u8],
        scratch: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let time = scratch.stamper.stamp(moment.time);
        self.content_from(out, time, moment.direction, moment.sequence, length, copy)
    }
}

impl WriteContent for etsi::Intercept {
    #[inline]
    fn bound(&self, length: usize) -> usize {
        self.content_bound(length)
    }

    #[inline]
    fn write(
        &self,
        out: &mut [u8],
        scratch: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        if moment.original_length.is_some() {
            return cut_off(self, out, scratch, moment, length, copy);
        }
        // 32 bits, which begin anew behind the last (TS 102 232-1, 5.2.5).
        self.content_from(out, moment.time, moment.direction.into(), moment.sequence as u32, length, copy)
    }
}

/// iPTruncatedPacket: rare, and so of one piece.
#[cold]
fn cut_off(
    intercept: &etsi::Intercept,
    out: &mut [u8],
    scratch: &mut Scratch,
    moment: &Moment<'_>,
    length: usize,
    copy: impl FnOnce(&mut [u8]),
) -> Result<usize, NoRoom> {
    scratch.front.resize(length, 0);
    copy(&mut scratch.front);
    let packet = etsi::Packet { octets: &scratch.front, original_length: moment.original_length };
    intercept.content(out, moment.time, moment.direction.into(), moment.sequence as u32, packet)
}

impl WriteContent for Task {
    #[inline]
    fn bound(&self, length: usize) -> usize {
        self.overhead() + length
    }

    #[inline]
    fn write(
        &self,
        out: &mut [u8],
        _: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let format = if moment.is_ipv6 { x2x3::Format::IPV6 } else { x2x3::Format::IPV4 };
        self.content_from(out, moment.time, moment.direction.into(), moment.sequence, format, length, copy)
    }
}

impl WriteContent for Connection {
    const LONGEST: usize = LONGEST_DATAGRAM;

    #[inline]
    fn bound(&self, length: usize) -> usize {
        Self::LONGEST_HEADER + length
    }

    #[inline]
    fn write(
        &self,
        out: &mut [u8],
        _: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        self.content_from(out, moment.time, length, copy)
    }
}

impl WriteContent for Tap {
    const LONGEST: usize = LONGEST_DATAGRAM;

    #[inline]
    fn bound(&self, length: usize) -> usize {
        Self::CMC_HEADER + Ethernet::OCTETS + length
    }

    #[inline]
    fn write(
        &self,
        out: &mut [u8],
        _: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let ethernet = Ethernet::of(moment);
        self.cmc_from(out, moment.time, Ethernet::OCTETS + length, |frame| ethernet.around(frame, copy))
    }
}

impl WriteContent for Mirror {
    const LONGEST: usize = LONGEST_DATAGRAM;

    #[inline]
    fn bound(&self, length: usize) -> usize {
        Self::HEADER + length
    }

    #[inline]
    fn write(
        &self,
        out: &mut [u8],
        _: &mut Scratch,
        _: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        self.content_from(out, length, copy)
    }
}

impl WriteContent for Sniffer {
    const LONGEST: usize = LONGEST_DATAGRAM;

    #[inline]
    fn bound(&self, length: usize) -> usize {
        Self::HEADER + Ethernet::OCTETS + length
    }

    #[inline]
    fn write(
        &self,
        out: &mut [u8],
        _: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let ethernet = Ethernet::of(moment);
        self.content_from(out, moment.sequence, Ethernet::OCTETS + length, |frame| ethernet.around(frame, copy))
    }
}

impl WriteContent for files::Intercept {
    #[inline]
    fn bound(&self, length: usize) -> usize {
        self.content_bound(length)
    }

    #[inline]
    fn write(
        &self,
        out: &mut [u8],
        _: &mut Scratch,
        moment: &Moment<'_>,
        length: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<usize, NoRoom> {
        let length = (length, moment.original_length);
        self.content_from(out, moment.time, moment.direction, moment.sequence, length, copy)
    }
}

/// An Ethernet header for a packet that is handed over as a frame: the addresses of the frame that it came in, and nothing of
/// what stood between them and the packet. Tags and tunnels are the carrier's own.
#[derive(Clone, Copy, Debug)]
struct Ethernet([u8; Self::OCTETS]);

impl Ethernet {
    const OCTETS: usize = 14;

    fn of(moment: &Moment<'_>) -> Self {
        let addresses: [u8; 12] = moment.link.first_chunk().copied().unwrap_or_default();
        let mut header = [0; Self::OCTETS];
        let (front, ether_type) = header.split_at_mut(addresses.len());
        front.copy_from_slice(&addresses);
        ether_type.copy_from_slice(if moment.is_ipv6 { &[0x86, 0xdd] } else { &[0x08, 0x00] });
        Self(header)
    }

    /// Writes the header and, with `copy`, the packet behind it.
    fn around(self, frame: &mut [u8], copy: impl FnOnce(&mut [u8])) {
        if let Some((header, packet)) = frame.split_first_chunk_mut() {
            *header = self.0;
            copy(packet);
        }
    }
}

impl From<Option<Direction>> for etsi::Direction {
    fn from(direction: Option<Direction>) -> Self {
        match direction {
            Some(Direction::FromSubject) => Self::FromTarget,
            Some(Direction::ToSubject) => Self::ToTarget,
            None => Self::Indeterminate,
        }
    }
}

impl From<Option<Direction>> for x2x3::Direction {
    fn from(direction: Option<Direction>) -> Self {
        match direction {
            Some(Direction::FromSubject) => Self::FromTarget,
            Some(Direction::ToSubject) => Self::ToTarget,
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ccc::Form;
    use crate::jmirror::MirrorId;

    /// A packet that leaves no room for its header in a datagram is not handed over in part.
    #[test]
    fn what_a_datagram_cannot_hold_is_refused() {
        let mirror = Mirror::new(MirrorId::new(1).unwrap(), 1);
        for length in [0, 1500, LONGEST_DATAGRAM - Mirror::HEADER] {
            assert!(mirror.has_room_for(length) && Content::Jmirror(mirror).has_room_for(length), "{length}");
        }
        let longer = LONGEST_DATAGRAM - Mirror::HEADER + 1;
        assert!(!mirror.has_room_for(longer) && !Content::Jmirror(mirror).has_room_for(longer));
        let connection = Connection::new(1, Form::Channel);
        assert!(connection.has_room_for(1500) && !connection.has_room_for(LONGEST_DATAGRAM));
    }
}
