//! Frames in memory as a source, over and over again: for benches and tests of what works behind a source. They are
//! checked as those of a ring are.

use crate::source::{After, Batch, Located, Memory, Source, SourceError, SourceStatistics};
use std::time::Duration;
use writ_abi::FrameHeader;
use zerocopy::IntoBytes;

/// Where a frame starts is a multiple of this: two frames never share a cache line.
const ALIGNMENT: usize = 64;

/// An endless source of the same frames.
pub struct MemorySource {
    buffer: Vec<u8>,
    /// Start and length of each frame with its header.
    frames: Vec<(usize, usize)>,
    batch: usize,
    next: usize,
    located: Vec<Located>,
    counts: SourceStatistics,
}

impl MemorySource {
    /// Hands the frames out in batches of up to `batch`, the first again after the last. A batch does not run over the
    /// last frame's end.
    pub fn new<F: AsRef<[u8]>>(frames: impl IntoIterator<Item = (FrameHeader, F)>, batch: usize) -> Self {
        let mut buffer = Vec::new();
        let mut places = Vec::new();
        for (header, frame) in frames {
            let start = buffer.len();
            buffer.extend_from_slice(header.as_bytes());
            buffer.extend_from_slice(frame.as_ref());
            places.push((start, buffer.len() - start));
            buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
        }
        let located = Vec::with_capacity(batch);
        Self { buffer, frames: places, batch, next: 0, located, counts: SourceStatistics::default() }
    }
}

impl Source for MemorySource {
    /// Never waits.
    fn receive(&mut self, _wait: Duration) -> Result<Batch<'_>, SourceError> {
        self.located.clear();
        if self.next >= self.frames.len() {
            self.next = 0;
        }
        let end = self.frames.len().min(self.next.saturating_add(self.batch));
        for &(start, length) in self.frames.get(self.next..end).unwrap_or_default() {
            let bytes = self.buffer.get(start..start + length).unwrap_or_default();
            match Located::check(bytes, start, None) {
                Some(located) => {
                    self.counts.frames += 1;
                    self.counts.bytes += located.frame_length() as u64;
                    self.located.push(located);
                }
                None => self.counts.malformed += 1,
            }
        }
        self.next = end;
        Ok(Batch::new(&self.located, Memory::Buffer(&self.buffer), After::Unknown))
    }

    fn statistics(&self) -> SourceStatistics {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use writ_abi::ABI_VERSION;
    use zerocopy::FromZeros;

    #[test]
    fn frames_come_again_and_malformed_ones_do_not_come() {
        let mut header = FrameHeader::new_zeroed();
        header.abi = ABI_VERSION;
        (header.ip_offset, header.header_end, header.ip_end) = (14, 34, 34);
        let malformed = FrameHeader { abi: ABI_VERSION + 1, ..header };
        let frames = [(header, [1; 60]), (malformed, [2; 60]), (header, [3; 60])];
        let mut source = MemorySource::new(frames, 2);
        let mut received = Vec::new();
        for _ in 0..4 {
            let batch = source.receive(Duration::ZERO).unwrap();
            received.push(batch.frames().map(|frame| frame.bytes[0]).collect::<Vec<_>>());
        }
        assert_eq!(received, [[1], [3], [1], [3]]);
        assert_eq!((source.statistics().frames, source.statistics().malformed), (4, 2));
    }
}
