//! Octets of a stream that have arrived and were not given out yet, and where in the stream they stand.

/// Takes a stream in pieces of any size; gives out what stands at its front.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    buffer: Vec<u8>,
    /// Octets of the stream before `buffer`.
    offset: u64,
    /// Octets of `buffer` that were given out.
    start: usize,
}

impl Backlog {
    pub(crate) const fn new() -> Self {
        Self { buffer: Vec::new(), offset: 0, start: 0 }
    }

    /// Takes the next octets of the stream, and lets go of those that were given out.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.offset += self.start as u64;
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// What has not been given out.
    pub(crate) fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Octets of the stream before [`rest`](Self::rest).
    pub(crate) fn offset(&self) -> u64 {
        self.offset + self.start as u64
    }

    /// Gives out the first `length` octets of the rest, or all if there are fewer.
    pub(crate) fn give(&mut self, length: usize) -> &[u8] {
        let start = self.start;
        self.start = self.buffer.len().min(start + length);
        self.buffer.get(start..self.start).unwrap_or_default()
    }
}
