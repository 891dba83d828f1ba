//! Where everything lies in a stream's memory.
//!
//! A header, then K segments of equal size. In a segment PDUs lie back to back from the front, so that one write sends
//! many; an index of fixed-size entries grows from the back. What is committed is one word, [`Position`]: every segment
//! before it counts whole, of its own segment the records before it. A batch that runs over a segment's end is
//! therefore published by the same single store.
//!
//! Segments are numbered from the stream's beginning; which place of the memory one lies in, the producer chooses when it
//! begins it: the one that was released last. So an agency that keeps up is served from the few places that are still in
//! a cache, and not from all of them in turn.

/// First word of stream memory: "WRITSTRM".
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"WRITSTRM");
/// Raised with any change of this file.
pub(crate) const VERSION: u64 = 3;

/// Offsets of the header's words. The producer's, the consumer's and the constant ones keep to cache lines of their own.
pub(crate) const AT_MAGIC: usize = 0;
pub(crate) const AT_VERSION: usize = 8;
pub(crate) const AT_SEGMENTS: usize = 16;
pub(crate) const AT_SEGMENT_BYTES: usize = 24;
/// Producer: the committed [`Position`].
pub(crate) const AT_HEAD: usize = 64;
/// Producer: bytes used in the head's segment. For views only; the index is what counts.
pub(crate) const AT_HEAD_USED: usize = 72;
/// Both: not 0 while the consumer sleeps or is about to.
pub(crate) const AT_SLEEPING: usize = 128;
/// Consumer: the released [`Position`].
pub(crate) const AT_RELEASED: usize = 192;
/// Consumer: bytes released in that position's segment. For views only.
pub(crate) const AT_RELEASED_USED: usize = 200;
/// Words of each segment from the oldest that is not released to the head's, by number modulo the segments in all. Written
/// by the producer: its place when it begins one, its records and bytes when it seals it.
pub(crate) const AT_TABLE: usize = 256;
const TABLE_ENTRY: usize = 24;

/// Bytes of an index entry.
pub(crate) const ENTRY_BYTES: usize = 32;
/// Segments per stream: two, so that one can fill while the other drains, up to what the table has sensible room for.
pub(crate) const SEGMENTS: std::ops::RangeInclusive<usize> = 2..=65_536;
/// Segment sizes: lengths and offsets in a segment are 32 bits, record numbers 24.
pub(crate) const SEGMENT_BYTES: std::ops::RangeInclusive<usize> = 4096..=(256 << 20);

const PAGE: usize = 4096;

/// Sizes of one stream's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) segments: usize,
    pub(crate) segment_bytes: usize,
}

impl Geometry {
    /// Checked sizes; none if out of range, or if a segment is not whole pages.
    pub(crate) fn new(segments: usize, segment_bytes: usize) -> Option<Self> {
        let fits = SEGMENTS.contains(&segments)
            && SEGMENT_BYTES.contains(&segment_bytes)
            && segment_bytes.is_multiple_of(PAGE);
        fits.then_some(Self { segments, segment_bytes })
    }

    pub(crate) fn header_bytes(self) -> usize {
        (AT_TABLE + TABLE_ENTRY * self.segments).next_multiple_of(PAGE)
    }

    /// At most 65,536 x 256 MiB and a header: no overflow on the 64-bit machines that this runs on.
    pub(crate) fn total_bytes(self) -> usize {
        self.header_bytes() + self.segments * self.segment_bytes
    }

    /// Where a place for a segment starts in the map; none if there are not so many.
    pub(crate) fn place_start(self, place: u64) -> Option<usize> {
        (place < self.segments as u64).then(|| self.header_bytes() + place as usize * self.segment_bytes)
    }

    /// Where index entry `record` of the segment that starts at `start` lies in the map. `record` must be below
    /// [`Self::max_records`].
    pub(crate) fn entry(self, start: usize, record: u32) -> usize {
        start + self.segment_bytes - ENTRY_BYTES * (record as usize + 1)
    }

    /// No segment can hold more records than this.
    pub(crate) fn max_records(self) -> u32 {
        // At most 256 MiB / 32 = 2^23.
        (self.segment_bytes / ENTRY_BYTES) as u32
    }

    /// What a segment with so many records has left for PDUs. `records` must not exceed [`Self::max_records`].
    pub(crate) fn room(self, records: u32) -> usize {
        self.segment_bytes - ENTRY_BYTES * records as usize
    }

    fn table(self, segment: u64) -> usize {
        AT_TABLE + TABLE_ENTRY * (segment % self.segments as u64) as usize
    }

    /// Where the sealed record and byte counts of the segment lie.
    pub(crate) fn sealed(self, segment: u64) -> (usize, usize) {
        let at = self.table(segment);
        (at, at + 8)
    }

    /// Where the segment's place is noted.
    pub(crate) fn place(self, segment: u64) -> usize {
        self.table(segment) + 16
    }
}

/// A place between records: segment (counted from the stream's beginning, never wrapping) and record in it.
///
/// One word in memory: 40 bits of segment, which last 29 years at 1,200 segments a second, and 24 of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) record: u32,
}

impl Position {
    const RECORD_BITS: u32 = 24;

    pub(crate) fn from_word(word: u64) -> Self {
        Self { segment: word >> Self::RECORD_BITS, record: (word & ((1 << Self::RECORD_BITS) - 1)) as u32 }
    }

    pub(crate) fn to_word(self) -> u64 {
        (self.segment << Self::RECORD_BITS) | u64::from(self.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_their_word() {
        for position in [
            Position::default(),
            Position { segment: 1, record: 0 },
            Position { segment: (1 << 40) - 1, record: (1 << 24) - 1 },
        ] {
            assert_eq!(Position::from_word(position.to_word()), position);
        }
        assert!(Position { segment: 1, record: 0 }.to_word() > Position { segment: 0, record: 9 }.to_word());
    }

    #[test]
    fn entries_stay_in_their_segment() {
        let geometry = Geometry::new(3, 8192).unwrap();
        let start = geometry.place_start(2).unwrap();
        assert_eq!(geometry.entry(start, geometry.max_records() - 1), start);
        assert_eq!(geometry.entry(start, 0) + ENTRY_BYTES, start + 8192);
        assert_eq!(start + 8192, geometry.total_bytes());
        assert!(geometry.place_start(3).is_none());
        let (records, bytes) = geometry.sealed(5);
        assert!(records < bytes && bytes < geometry.place(5) && geometry.place(5) + 8 <= geometry.header_bytes());
        assert!(Geometry::new(1, 8192).is_none() && Geometry::new(2, 5000).is_none());
    }
}
