//! The bytes of a frame that lies in several places: a jumbo frame comes in as many pieces of a ring's memory as it
//! needs. They are put together only where they are going, in the handover's PDU.

use crate::source::Frame;
use std::ops::Range;
use xsk_rs::{FrameDesc, Umem};

/// The pieces of a frame behind its first one. Of nearly every frame there are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pieces<'a> {
    ring: Option<(&'a Umem, &'a [FrameDesc])>,
}

impl<'a> Pieces<'a> {
    /// # Safety
    /// The descriptors must be of this memory, not leave their frames, and be nobody else's during `'a`.
    pub(crate) unsafe fn new(memory: &'a Umem, descriptors: &'a [FrameDesc]) -> Self {
        Self { ring: Some((memory, descriptors)) }
    }

    /// Piece by piece, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.ring.into_iter().flat_map(|(memory, descriptors)| {
            // SAFETY: `new` asks for descriptors of this memory that nobody else has.
            descriptors.iter().map(|descriptor| unsafe { memory.data(descriptor) }.contents())
        })
    }

    #[inline]
    fn length(self) -> usize {
        self.ring.map_or(0, |(_, descriptors)| descriptors.iter().map(|piece| piece.lengths().data()).sum())
    }
}

impl<'a> Frame<'a> {
    /// Bytes of the frame, over all its pieces.
    #[inline]
    pub fn length(&self) -> usize {
        self.bytes.len() + self.rest.length()
    }

    /// A stretch of the frame; `None` if it does not lie within.
    #[inline]
    pub fn part(&self, range: Range<usize>) -> Option<Part<'a>> {
        let length = range.end.checked_sub(range.start)?;
        if let Some(first) = self.bytes.get(range.clone()) {
            return Some(Part { length, first, before: 0, rest: Pieces::default() });
        }
        let first = self.bytes.get(range.start..).unwrap_or_default();
        let before = range.start.saturating_sub(self.bytes.len());
        (range.end <= self.length()).then_some(Part { length, first, before, rest: self.rest })
    }

    /// A few bytes of the frame; `None` if they do not lie within.
    #[inline]
    pub fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if let Some(bytes) = self.bytes.get(offset..).and_then(<[u8]>::first_chunk) {
            return Some(*bytes);
        }
        let mut bytes = [0; N];
        self.part(offset..offset.checked_add(N)?)?.copy_to(&mut bytes);
        Some(bytes)
    }
}

/// A stretch of a frame, wherever its pieces lie.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    length: usize,
    /// What of it is in the frame's first piece.
    first: &'a [u8],
    /// Bytes of `rest` before the stretch.
    before: usize,
    rest: Pieces<'a>,
}

impl Part<'_> {
    /// How long it is, in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Copies the stretch to the front of `out`, or as much of it as there is room for.
    #[inline]
    pub fn copy_to(&self, out: &mut [u8]) {
        if self.first.len() == out.len() {
            return out.copy_from_slice(self.first);
        }
        let room = self.length.min(out.len());
        let mut left = fill(out.split_at_mut(room).0, self.first);
        let mut before = self.before;
        for piece in self.rest.iter() {
            let skipped = before.min(piece.len());
            before -= skipped;
            left = fill(left, piece.split_at(skipped).1);
        }
    }
}

/// Copies as much as there is room for, and gives the room that is left.
#[inline]
fn fill<'a>(room: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let count = bytes.len().min(room.len());
    let (here, left) = room.split_at_mut(count);
    here.copy_from_slice(bytes.split_at(count).0);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FrameTime;
    use std::io::Write;
    use std::num::NonZeroU32;
    use writ_abi::FrameHeader;
    use xsk_rs::config::UmemConfig;
    use zerocopy::FromZeros;

    /// Every stretch of a frame of three pieces is what it is of the frame in one.
    #[test]
    fn a_part_is_the_same_however_the_frame_lies() {
        let whole: Vec<u8> = (0..30).collect();
        let (umem, mut descriptors) = Umem::new(UmemConfig::default(), NonZeroU32::new(2).unwrap(), false).unwrap();
        for (descriptor, bytes) in descriptors.iter_mut().zip(whole[10..].chunks(10)) {
            // SAFETY: the memory is this test's alone, and no ring has it.
            unsafe { umem.data_mut(descriptor) }.cursor().write_all(bytes).unwrap();
        }
        // SAFETY: as above; nobody writes from here on.
        let rest = unsafe { Pieces::new(&umem, &descriptors) };
        let header = FrameHeader::new_zeroed();
        let frame = Frame { header: &header, bytes: &whole[..10], rest, time: FrameTime::Boot(0) };
        assert_eq!(frame.length(), 30);
        for start in 0..=31 {
            for end in 0..=31 {
                let copied = frame.part(start..end).map(|part| {
                    let mut bytes = vec![0xff; part.length()];
                    part.copy_to(&mut bytes);
                    bytes
                });
                assert_eq!(copied.as_deref(), whole.get(start..end), "{start}..{end}");
            }
        }
        assert_eq!((frame.read(8), frame.read::<4>(27)), (Some([8, 9, 10, 11]), None));
    }
}
