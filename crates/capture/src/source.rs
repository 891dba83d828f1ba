//! Where frames come from, whatever they come from: a ring of a live interface or a capture file. A worker asks a
//! [`Source`] for a batch, works through it, and asks for the next one.

use crate::busy_poll::Polling;
use crate::frames::FramePool;
use crate::pieces::Pieces;
use crate::prefetch::{HEAD, prefetch};
use std::io;
use std::time::Duration;
use thiserror::Error;
use writ_abi::{ABI_VERSION, FrameFlags, FrameHeader};
use xsk_rs::Umem;
use zerocopy::FromBytes;

/// That of IPv6. Behind one of IPv4 in a frame of several pieces there are as many bytes.
const LONGEST_BASE_HEADER: usize = 40;

/// When the packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameTime {
    /// By the kernel: `CLOCK_BOOTTIME`, nanoseconds. The kernel has judged it by the window of each slot.
    Boot(u64),
    /// By whoever wrote the capture file: UTC, nanoseconds since 1970. The kernel has judged it by the time of the
    /// replay, so the reader has to compare it with the order's window itself.
    Utc(u64),
}

/// A frame that the kernel handed over.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What the kernel said of it.
    pub header: &'a FrameHeader,
    /// The frame from its first byte on, as long as it was left. The offsets in `header` are inside it. Of a jumbo frame
    /// this is the first piece, in which at least the base IP header lies whole.
    pub bytes: &'a [u8],
    /// What of a jumbo frame comes behind `bytes`. [`Frame::part`] and [`Frame::read`] see it as one.
    pub rest: Pieces<'a>,
    /// When the packet was seen. Use this and not `header.time_ns`.
    pub time: FrameTime,
}

/// Why a source cannot go on.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The socket failed, or the kernel broke the rules of the ring.
    #[error("queue {queue} of {interface}")]
    Ring {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The capture file cannot be read.
    #[error("{file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The XDP program cannot be run.
    #[error(transparent)]
    Kernel(#[from] crate::kernel::KernelError),
}

/// Where a source's frames were lost, and how many came. All count from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceStatistics {
    /// Frames handed to the worker.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that the kernel numbered and that never came: the loss between program and worker, whatever its reason.
    pub missing: u64,
    /// Frames whose header was not what it should be: destroyed.
    pub malformed: u64,
    /// Of the missing, as the socket counts: the receive ring was full.
    pub ring_full: u64,
    /// Times the kernel found no frame in the fill ring.
    pub fill_ring_empty: u64,
    /// Of the missing, as the socket counts: dropped for another reason, such as a frame that is too long.
    pub dropped: u64,
    /// Descriptors that the kernel refused.
    pub invalid_descriptors: u64,
    /// Whether the worker runs the queue's receive routine itself.
    pub polling: Polling,
    /// Packets of a capture file that are too short or too long to be a frame: not looked at.
    pub unusable: u64,
}

/// The frames of one [`Source::receive`].
pub struct Batch<'a> {
    located: &'a [Located],
    memory: Memory<'a>,
    after: After,
}

/// What was left behind a batch when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Perhaps more.
    Unknown,
    /// Nothing, at that moment.
    Empty,
    /// Nothing ever again.
    End,
}

/// A frame whose header has been checked, and where its bytes are.
#[derive(Clone, Copy)]
pub(crate) struct Located {
    header: FrameHeader,
    time: FrameTime,
    /// Index into the pool's batch, or start of the header in a buffer.
    place: usize,
    /// How many of the pool's frames it takes; in a buffer always one.
    pieces: usize,
    length: usize,
}

#[derive(Clone, Copy)]
pub(crate) enum Memory<'a> {
    Ring(&'a Umem, &'a FramePool),
    Buffer(&'a [u8]),
}

impl<'a> Batch<'a> {
    pub(crate) fn new(located: &'a [Located], memory: Memory<'a>, after: After) -> Self {
        Self { located, memory, after }
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.located.len()
    }

    /// Whether none came in time.
    pub fn is_empty(&self) -> bool {
        self.located.is_empty()
    }

    /// Whether this is the last batch there will ever be. A ring never ends.
    pub fn is_last(&self) -> bool {
        self.after == After::End
    }

    /// Whether the source was empty once this batch was taken out of it: all that the program handed over before is in
    /// this batch or was in one before it. A slot that was disarmed before can be given away after this batch.
    pub fn is_drained(&self) -> bool {
        self.after != After::Unknown
    }

    /// One of them, by its place in the order in which they were seen.
    #[inline]
    pub fn frame(&self, place: usize) -> Option<Frame<'a>> {
        let located = self.located.get(place)?;
        let (first, rest) = self.memory.bytes(located)?;
        Some(Frame { header: &located.header, bytes: first.get(FrameHeader::SIZE..)?, rest, time: located.time })
    }

    /// Asks for what is behind the beginning of a frame that will be worked on soon.
    #[inline]
    pub fn prefetch(&self, place: usize) {
        if let Some(located) = self.located.get(place)
            && let Some((first, _)) = self.memory.bytes(located)
            && let Some(behind) = first.get(HEAD..)
        {
            prefetch(behind);
        }
    }

    /// The frames, in the order in which they were seen. Can be walked more than once.
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = Frame<'a>> + '_ {
        (0..self.len()).filter_map(|place| self.frame(place))
    }
}

impl<'a> Memory<'a> {
    /// The first piece with the header in front, and the others.
    #[inline]
    fn bytes(self, located: &Located) -> Option<(&'a [u8], Pieces<'a>)> {
        match self {
            Memory::Ring(umem, pool) => {
                let (first, rest) = pool.batch().get(located.place..)?.get(..located.pieces)?.split_first()?;
                // SAFETY: the frames belong to this memory and are in the pool's batch, so the kernel does not have them;
                // the pool is borrowed for 'a, so it cannot give them back before the bytes are let go. The pool has
                // checked that no descriptor leaves its frame.
                let first = unsafe { umem.data(first) }.contents();
                // SAFETY: as above.
                Some((first, unsafe { Pieces::new(umem, rest) }))
            }
            Memory::Buffer(buffer) => {
                let bytes = buffer.get(located.place..located.place.checked_add(located.length)?)?;
                Some((bytes, Pieces::default()))
            }
        }
    }
}

/// Two MAC addresses and a type: the least that an Ethernet header has.
const ETHERNET: usize = 14;

impl Located {
    /// Checks what stands in front of a frame. `None` if it is not what the program writes. A `time` that is given
    /// replaces that of the kernel.
    pub(crate) fn check(bytes: &[u8], place: usize, time: Option<FrameTime>) -> Option<Self> {
        let (header, frame) = FrameHeader::read_from_prefix(bytes).ok()?;
        let time = time.unwrap_or(FrameTime::Boot(header.time_ns));
        Self::is_sound(&header, frame.len()).then_some(Self { header, time, place, pieces: 1, length: bytes.len() })
    }

    /// [`Located::check`] of a frame in several pieces, `length` bytes in all.
    pub(crate) fn check_pieces(first: &[u8], pieces: usize, length: usize, place: usize) -> Option<Self> {
        let (header, bytes) = FrameHeader::read_from_prefix(first).ok()?;
        let frame = length.checked_sub(FrameHeader::SIZE)?;
        // All pieces are there, and what the second look reads is in the first.
        let left = if header.flags & FrameFlags::CUT == 0 { header.wire_length } else { header.header_end.into() };
        let sound = Self::is_sound(&header, frame)
            && u32::try_from(frame) == Ok(left)
            && usize::from(header.ip_offset) + LONGEST_BASE_HEADER <= bytes.len();
        sound.then_some(Self { header, time: FrameTime::Boot(header.time_ns), place, pieces, length })
    }

    fn is_sound(header: &FrameHeader, length: usize) -> bool {
        let [ip_offset, header_end, ip_end] = [header.ip_offset, header.header_end, header.ip_end].map(usize::from);
        let link = usize::from(header.link_offset);
        // The cut may fall before the end of the IP packet; nothing else may lie outside the frame.
        header.abi == ABI_VERSION
            && (link + ETHERNET <= ip_offset || header.link_offset == FrameHeader::NO_LINK)
            && ip_offset < header_end
            && header_end <= length
            && header_end <= ip_end
            && (ip_end <= length || header.flags & FrameFlags::CUT != 0)
            && usize::from(header.transport_offset) <= header_end
            && header
                .options
                .iter()
                .all(|span| span.length == 0 || usize::from(span.offset) + usize::from(span.length) <= header_end)
    }

    /// Puts right what the program could not know of a packet that the file holds a part of only.
    pub(crate) fn set_wire_length(&mut self, bytes: u32) {
        self.header.wire_length = bytes;
    }

    pub(crate) fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Bytes of the frame, without the header in front.
    pub(crate) fn frame_length(&self) -> usize {
        self.length - FrameHeader::SIZE
    }
}

/// A place where frames come from. One worker owns it.
pub trait Source: Send {
    /// Gives back the batch before and takes the next one, waiting for up to `wait` if there is none yet. A batch can
    /// be empty before its time: a signal, or frames that were all malformed.
    fn receive(&mut self, wait: Duration) -> Result<Batch<'_>, SourceError>;

    /// What came and what was lost, up to now.
    fn statistics(&self) -> SourceStatistics;
}

#[cfg(test)]
mod tests {
    use super::*;
    use writ_abi::OptionSpan;
    use zerocopy::{FromZeros, IntoBytes};

    fn checked(change: impl FnOnce(&mut FrameHeader)) -> Option<Located> {
        let mut header = FrameHeader::new_zeroed();
        header.abi = ABI_VERSION;
        (header.ip_offset, header.header_end, header.ip_end) = (14, 42, 50);
        header.time_ns = 77;
        change(&mut header);
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([0; 60]);
        Located::check(&bytes, 0, None)
    }

    #[test]
    fn what_the_program_would_not_write_is_malformed() {
        let sound = checked(|_| ()).unwrap();
        assert_eq!((sound.frame_length(), sound.time), (60, FrameTime::Boot(77)));
        assert!(checked(|header| header.abi = ABI_VERSION + 1).is_none());
        assert!(checked(|header| header.ip_offset = 42).is_none());
        assert!(checked(|header| header.header_end = 51).is_none());
        assert!(checked(|header| header.ip_end = 61).is_none());
        assert!(checked(|header| (header.ip_end, header.flags) = (1500, FrameFlags::CUT)).is_some());
        assert!(checked(|header| (header.header_end, header.ip_end) = (61, 1500)).is_none());
        assert!(checked(|header| header.transport_offset = 43).is_none());
        assert!(checked(|header| header.options[3] = OptionSpan { offset: 40, length: 3 }).is_none());
        assert!(checked(|header| header.link_offset = 1).is_none());
        assert!(checked(|header| header.link_offset = FrameHeader::NO_LINK).is_some());
        assert!(Located::check(&[0; FrameHeader::SIZE - 1], 0, None).is_none());
    }

    #[test]
    fn pieces_that_are_not_all_of_the_frame_are_malformed() {
        let checked = |first: usize, length: usize, change: fn(&mut FrameHeader)| {
            let mut header = FrameHeader::new_zeroed();
            header.abi = ABI_VERSION;
            (header.ip_offset, header.header_end, header.ip_end, header.wire_length) = (14, 42, 9014, 9014);
            change(&mut header);
            let mut bytes = header.as_bytes().to_vec();
            bytes.resize(first, 0);
            Located::check_pieces(&bytes, 6, length, 0)
        };
        assert_eq!(checked(1792, FrameHeader::SIZE + 9014, |_| ()).unwrap().frame_length(), 9014);
        for length in [0, FrameHeader::SIZE + 9013, FrameHeader::SIZE + 9015] {
            assert!(checked(1792, length, |_| ()).is_none());
        }
        // The FrameHeader, and the packet's base header, in the first piece.
        assert!(checked(FrameHeader::SIZE - 1, FrameHeader::SIZE + 9014, |_| ()).is_none());
        assert!(checked(FrameHeader::SIZE + 53, FrameHeader::SIZE + 9014, |_| ()).is_none());
        // Nothing is behind a cut.
        let cut = |header: &mut FrameHeader| (header.flags, header.header_end) = (FrameFlags::CUT, 2000);
        assert!(checked(1792, FrameHeader::SIZE + 2000, cut).is_some());
        assert!(checked(1792, FrameHeader::SIZE + 9014, cut).is_none());
    }
}
