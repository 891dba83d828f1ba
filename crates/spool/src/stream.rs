//! What both ends of a stream share: its memory, its records, its errors, and a view for who only looks.

use crate::layout::{
    AT_HEAD, AT_HEAD_USED, AT_MAGIC, AT_RELEASED, AT_RELEASED_USED, AT_SEGMENT_BYTES, AT_SEGMENTS, AT_VERSION,
    ENTRY_BYTES, Geometry, MAGIC, Position, SEGMENT_BYTES, SEGMENTS, VERSION,
};
use crate::map::{Map, MapError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a PDU in a stream is to the ledger.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// One packet with its content (CmCC).
    Content = 0,
    /// One packet's headers (Packet-Data-Header-Report).
    HeaderReport = 1,
    /// An event of the intercept itself: session start, end, already established.
    Event = 2,
}

impl RecordKind {
    /// All of them, in order of their index.
    pub const ALL: [Self; 3] = [Self::Content, Self::HeaderReport, Self::Event];
}

/// What is kept of a PDU beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The intercept.
    pub slot: u16,
    /// Which of the slot's owners.
    pub generation: u16,
    /// Which of the intercept's deliveries: its n-th destination.
    pub delivery: u8,
    /// What the PDU is.
    pub kind: RecordKind,
    /// The sequence number that the agency sees, where the handover has one; else of no meaning.
    pub sequence: u64,
}

impl Record {
    /// The account of the ledger that it is in, as one word of its index entry.
    #[inline]
    pub(crate) fn account(&self) -> u64 {
        u64::from(self.slot)
            | u64::from(self.generation) << 16
            | (self.kind as u64) << 32
            | u64::from(self.delivery) << 40
    }

    /// Whether two records are in one account of the ledger.
    #[inline]
    pub(crate) fn shares_account(&self, other: &Self) -> bool {
        self.account() == other.account()
    }

    /// Whether two records are of one delivery of one intercept.
    pub(crate) fn shares_delivery(&self, other: &Self) -> bool {
        (self.slot, self.generation, self.delivery) == (other.slot, other.generation, other.delivery)
    }
}

/// Why a stream's memory could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It could not be mapped.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The memory contradicts itself. The stream cannot go on; the supervisor has to make a new one.
    #[error("stream memory is damaged: {0}")]
    Corrupt(&'static str),
}

/// New memory for one stream: `segments` (at least 2) of `segment_bytes` (whole pages, 4 KiB to 256 MiB).
///
/// All of it is allocated at once. A PDU has to fit into one segment. `name` shows in /proc only; give it no name of a person or case.
pub fn create_stream(name: &str, segments: usize, segment_bytes: usize) -> io::Result<OwnedFd> {
    let geometry = Geometry::new(segments, segment_bytes).ok_or_else(|| {
        let message = format!(
            "stream of {segments} segments of {segment_bytes} bytes: segments must be {} to {}, their size whole pages \
             of 4096 bytes, {} to {}",
            SEGMENTS.start(),
            SEGMENTS.end(),
            SEGMENT_BYTES.start(),
            SEGMENT_BYTES.end(),
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    let (fd, map) = Map::create(name, geometry.total_bytes() as u64)?;
    for (at, value) in [
        (AT_VERSION, VERSION),
        (AT_SEGMENTS, segments as u64),
        (AT_SEGMENT_BYTES, segment_bytes as u64),
        (AT_MAGIC, MAGIC),
    ] {
        map.word(at).ok_or(io::ErrorKind::InvalidData)?.store(value, Ordering::Release);
    }
    Ok(fd)
}

/// The mapped memory of a stream, as either end uses it.
pub(crate) struct StreamMap {
    pub(crate) map: Map,
    pub(crate) geometry: Geometry,
}

impl StreamMap {
    pub(crate) fn open(fd: impl AsFd) -> Result<Self, MapError> {
        const WRONG: MapError = MapError::WrongLayout { expected: "stream" };
        let map = Map::open(fd)?;
        let load = |at| map.word(at).map(|word| word.load(Ordering::Acquire)).ok_or(WRONG);
        if load(AT_MAGIC)? != MAGIC || load(AT_VERSION)? != VERSION {
            return Err(WRONG);
        }
        let segments = usize::try_from(load(AT_SEGMENTS)?).map_err(|_| WRONG)?;
        let segment_bytes = usize::try_from(load(AT_SEGMENT_BYTES)?).map_err(|_| WRONG)?;
        let geometry = Geometry::new(segments, segment_bytes).ok_or(WRONG)?;
        if map.len() != geometry.total_bytes() {
            return Err(WRONG);
        }
        Ok(Self { map, geometry })
    }

    pub(crate) fn word(&self, at: usize) -> Result<&AtomicU64, StreamError> {
        self.map.word(at).ok_or(StreamError::Corrupt("a control word lies outside"))
    }

    /// The released and the committed position, checked against each other. For the two ends: each knows one of them
    /// to stand still. To anybody else they may seem too far apart while both move.
    pub(crate) fn bounds(&self) -> Result<(Position, Position), StreamError> {
        // Released first: it never passes a head that is read after it.
        let released = Position::from_word(self.word(AT_RELEASED)?.load(Ordering::Acquire));
        let head = Position::from_word(self.word(AT_HEAD)?.load(Ordering::Acquire));
        let records = self.geometry.max_records();
        let apart = head.segment.saturating_sub(released.segment);
        if released > head
            || apart >= self.geometry.segments as u64
            || head.record > records
            || released.record > records
        {
            return Err(StreamError::Corrupt("positions are out of order"));
        }
        Ok((released, head))
    }

    /// Which place of the memory `segment` lies in.
    pub(crate) fn place(&self, segment: u64) -> Result<u64, StreamError> {
        Ok(self.word(self.geometry.place(segment))?.load(Ordering::Relaxed))
    }

    /// Where `segment` starts in the map.
    pub(crate) fn segment_start(&self, segment: u64) -> Result<usize, StreamError> {
        self.geometry.place_start(self.place(segment)?).ok_or(StreamError::Corrupt("a segment lies outside"))
    }

    /// How many records of `segment` are committed, given the head.
    pub(crate) fn records_in(&self, segment: u64, head: Position) -> Result<u32, StreamError> {
        if segment == head.segment {
            return Ok(head.record);
        }
        let sealed = self.word(self.geometry.sealed(segment).0)?.load(Ordering::Relaxed);
        u32::try_from(sealed)
            .ok()
            .filter(|records| (1..=self.geometry.max_records()).contains(records))
            .ok_or(StreamError::Corrupt("a sealed segment has an impossible number of records"))
    }

    /// Reads index entry `record` of `segment`. The caller has checked that it is committed, so below the maximum.
    pub(crate) fn entry(&self, segment: u64, record: u32) -> Result<Entry, StreamError> {
        self.entry_at(self.segment_start(segment)?, record)
    }

    /// The same of the segment that starts at `start`.
    pub(crate) fn entry_at(&self, start: usize, record: u32) -> Result<Entry, StreamError> {
        let at = self.geometry.entry(start, record);
        let [place, what, sequence, counted] =
            self.entry_words(at)?.each_ref().map(|word| word.load(Ordering::Relaxed));
        let (offset, length) = (place as u32 as usize, (place >> 32) as usize);
        let room = self.geometry.room(record + 1);
        if length == 0 || offset.checked_add(length).is_none_or(|end| end > room) {
            return Err(StreamError::Corrupt("a record lies outside its segment"));
        }
        let kind = RecordKind::ALL
            .get((what >> 32) as u8 as usize)
            .copied()
            .ok_or(StreamError::Corrupt("a record is of no known kind"))?;
        let record =
            Record { slot: what as u16, generation: (what >> 16) as u16, delivery: (what >> 40) as u8, kind, sequence };
        Ok(Entry { offset, length, record, counted })
    }

    /// Writes index entry `number` of the segment that starts at `start`.
    ///
    /// Inlined, so that the entry stays in registers: as an argument in memory it is read back before it has left the store
    /// buffer, in other pieces than it was written in, and the processor then waits for every store of the PDU before it.
    #[inline(always)]
    pub(crate) fn store_entry(&self, start: usize, number: u32, entry: &Entry) -> Result<(), StreamError> {
        let at = self.geometry.entry(start, number);
        let Record { sequence, .. } = entry.record;
        let place = entry.offset as u64 | (entry.length as u64) << 32;
        for (word, value) in self.entry_words(at)?.iter().zip([place, entry.record.account(), sequence, entry.counted])
        {
            word.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    #[inline(always)]
    fn entry_words(&self, at: usize) -> Result<&[AtomicU64; ENTRY_BYTES / 8], StreamError> {
        self.map.words(at).ok_or(StreamError::Corrupt("an index entry lies outside"))
    }

    /// Every record between released and committed, oldest first.
    pub(crate) fn waiting_entries(&self) -> impl Iterator<Item = Result<Entry, StreamError>> + '_ {
        let mut bounds = Some(self.bounds());
        let mut at = Position::default();
        let mut head = Position::default();
        std::iter::from_fn(move || {
            match bounds.take() {
                Some(Ok((released, committed))) => (at, head) = (released, committed),
                Some(Err(error)) => return Some(Err(error)),
                None => {}
            }
            while at < head {
                let records = match self.records_in(at.segment, head) {
                    Ok(records) => records,
                    Err(error) => {
                        at = head;
                        return Some(Err(error));
                    }
                };
                if at.record < records {
                    let entry = self.entry(at.segment, at.record);
                    at.record += 1;
                    if entry.is_err() {
                        at = head;
                    }
                    return Some(entry);
                }
                at = Position { segment: at.segment + 1, record: 0 };
            }
            None
        })
    }
}

/// One index entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// From the segment's start.
    pub(crate) offset: usize,
    pub(crate) length: usize,
    pub(crate) record: Record,
    /// What its account (slot, delivery, kind) counts with it: packets, or events.
    pub(crate) counted: u64,
}

/// What lies in a stream between capture and the agency's acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// PDUs.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments that are not free.
    pub segments_used: usize,
    /// Segments in all.
    pub segments: usize,
}

/// Looks at a stream without being an end of it.
pub struct StreamView {
    stream: StreamMap,
}

impl StreamView {
    /// Maps the stream.
    pub fn open(fd: impl AsFd) -> Result<Self, StreamError> {
        Ok(Self { stream: StreamMap::open(fd)? })
    }

    /// What waits now. Exact when both ends rest; in motion it may be off by what moved meanwhile.
    pub fn waiting(&self) -> Result<Waiting, StreamError> {
        let stream = &self.stream;
        const TRIES: usize = 16;
        let mut bounds = stream.bounds();
        for _ in 1..TRIES {
            if bounds.is_err() {
                bounds = stream.bounds();
            }
        }
        let (released, head) = bounds?;
        let load = |at| stream.word(at).map(|word| word.load(Ordering::Relaxed));
        let mut records = u64::from(head.record);
        let mut bytes = load(AT_HEAD_USED)?;
        // A consumer that rests behind a sealed segment's end has not stepped over it yet, so the loop starts there.
        for segment in released.segment..head.segment {
            let (at_records, at_bytes) = stream.geometry.sealed(segment);
            records += load(at_records)?.min(u64::from(stream.geometry.max_records()));
            bytes += load(at_bytes)?.min(stream.geometry.segment_bytes as u64);
        }
        Ok(Waiting {
            records: records.saturating_sub(u64::from(released.record)),
            bytes: bytes.saturating_sub(load(AT_RELEASED_USED)?),
            // Bounded by the number of segments, see `bounds`.
            segments_used: (head.segment - released.segment) as usize + 1,
            segments: stream.geometry.segments,
        })
    }
}
