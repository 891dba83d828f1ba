//! All that stands between the header of a PDU and the octets of its one packet, put together in registers and written
//! at once: seven lengths that differ by constants, as long as all of them have the same width. That is so for nearly
//! every packet; around the lengths where one of them grows `fast` writes header by header.

use super::terms::Direction;

/// payload \[2\] up to the first octet of iPPackets \[0\].
#[derive(Clone, Copy)]
pub(super) struct Front {
    /// The first octet in the lowest place of the first word.
    pub(super) words: [u64; 5],
    /// How many octets of the words.
    pub(super) octets: usize,
}

impl Front {
    /// Longest packet of which all lengths have one octet.
    const SHORT: usize = 127 - 21;
    /// Packets of which all lengths have three octets.
    const LONG: std::ops::RangeInclusive<usize> = 256..=65_535 - 33;

    /// For a packet of `length` octets; `object` is iPCCObjId whole.
    #[inline(always)]
    pub(super) fn new(length: usize, direction: Direction, object: u64) -> Option<Self> {
        if Self::LONG.contains(&length) {
            Some(Self::long(length as u64, direction, object))
        } else if length <= Self::SHORT {
            Some(Self::short(length as u64, direction, object))
        } else {
            None
        }
    }

    #[inline(always)]
    fn long(length: u64, direction: Direction, object: u64) -> Self {
        // The two octets of a length, the higher one first.
        let more = |octets: u64| u64::from(((length + octets) as u16).swap_bytes());
        let (payload, payloads, cc) = (more(33), more(29), more(25));
        let (contents, ip_cc, choice, packet) = (more(18), more(14), more(4), more(0));
        let words = [
            0x82a2 | payload << 16 | 0x82a1 << 32 | payloads << 48,
            0x8230 | cc << 16 | 0x0180 << 32 | (direction as u64) << 48 | 0xa2 << 56,
            0x82 | contents << 8 | 0x82a2 << 24 | ip_cc << 40 | object << 56,
            object >> 8 & 0xff_ffff_ffff | 0x82a1 << 40 | choice << 56,
            choice >> 8 | 0x8280 << 8 | packet << 24,
        ];
        Self { words, octets: 37 }
    }

    #[inline(always)]
    fn short(length: u64, direction: Direction, object: u64) -> Self {
        let words = [
            0xa2 | (length + 21) << 8
                | 0xa1 << 16
                | (length + 19) << 24
                | 0x30 << 32
                | (length + 17) << 40
                | 0x0180 << 48,
            direction as u64 | 0xa2 << 8 | (length + 12) << 16 | 0xa2 << 24 | (length + 10) << 32 | object << 40,
            object >> 24 & 0xff_ffff | 0xa1 << 24 | (length + 2) << 32 | 0x80 << 40 | length << 48,
            0,
            0,
        ];
        Self { words, octets: 23 }
    }
}
