//! What is to go out on one connection, in order: records and what the probe says between them.

use std::collections::VecDeque;

/// See the module.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Of `bytes`, gone out.
    gone: usize,
    /// Bytes of the connection before `bytes`.
    before: u64,
    /// Bytes of the connection up to a place, and bytes of the stream that lie wholly in them; in order.
    marks: VecDeque<(u64, u64)>,
    /// Bytes of the stream up to the last mark that the agency's TCP has reached.
    arrived: u64,
}

/// From here on no more records are put in before what is there has gone out: one write.
const FULL: usize = 64 * 1024;
/// An agency that makes the probe say more than this without taking it is not answered any more.
const FLOODED: usize = 1 << 20;

impl Outbox {
    /// Octets to send next.
    pub(super) fn unsent(&self) -> &[u8] {
        self.bytes.get(self.gone..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone >= self.bytes.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.unsent().len() >= FULL
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.unsent().len() >= FLOODED
    }

    /// So many of the unsent octets went out.
    pub(super) fn sent(&mut self, octets: usize) {
        self.gone += octets;
        if self.is_empty() {
            self.before += self.bytes.len() as u64;
            self.bytes.clear();
            self.gone = 0;
        }
    }

    /// Bytes of the connection, all that is here included.
    pub(super) fn end(&self) -> u64 {
        self.before + self.bytes.len() as u64
    }

    /// Puts something at the end, and gives it.
    pub(super) fn put(&mut self, octets: &[u8]) -> &[u8] {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(octets);
        self.bytes.get(begin..).unwrap_or_default()
    }

    /// Lets `write` put something of at most `most` octets at the end, and say how many they are. Gives what was put.
    pub(super) fn put_with<E>(
        &mut self,
        most: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<&[u8], E> {
        let begin = self.bytes.len();
        self.bytes.resize(begin + most, 0);
        let written = write(self.bytes.get_mut(begin..).unwrap_or_default());
        self.bytes.truncate(begin + *written.as_ref().unwrap_or(&0));
        written.map(|_| self.bytes.get(begin..).unwrap_or_default())
    }

    /// All that is here belongs to the first `records` bytes of the stream.
    pub(super) fn mark(&mut self, records: u64) {
        self.marks.push_back((self.end(), records));
    }

    /// Bytes of the stream in the first `arrived` bytes of the connection. `arrived` never goes back.
    pub(super) fn records_in(&mut self, arrived: u64) -> u64 {
        while let Some((_, records)) = self.marks.pop_front_if(|(end, _)| *end <= arrived) {
            self.arrived = records;
        }
        self.arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_arrived_when_all_of_their_bytes_have() {
        let mut out = Outbox::default();
        out.put(b"question");
        out.put(b"record-1");
        out.mark(8);
        assert_eq!((out.end(), out.records_in(15), out.records_in(16)), (16, 0, 8));
        out.sent(10);
        assert_eq!(out.unsent(), b"cord-1");
        out.sent(6);
        assert!(out.is_empty());
        let sealed = out.put_with(100, |room| {
            room[..3].copy_from_slice(b"abc");
            Ok::<_, ()>(3)
        });
        assert_eq!(sealed, Ok(&b"abc"[..]));
        assert_eq!(out.put_with(100, |_| Err(())), Err(()));
        out.mark(20);
        assert_eq!((out.unsent(), out.end()), (&b"abc"[..], 19));
        assert_eq!((out.records_in(18), out.records_in(19)), (8, 20));
    }
}
