//! The writing end of a stream: the capture role's.

use crate::layout::{AT_HEAD, AT_HEAD_USED, AT_RELEASED, AT_SLEEPING, Position};
use crate::ledger::Ledger;
use crate::stream::{Entry, Record, StreamError, StreamMap};
use crate::wake::Wake;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// Why a PDU was not appended. Nothing of it is in the stream then, and counting the loss is the caller's.
#[derive(Debug, thiserror::Error)]
pub enum AppendError<E> {
    /// No free segment: the agency takes less than is captured, or nothing at all.
    #[error("the stream is full")]
    Full,
    /// The PDU could never fit into a segment.
    #[error("a PDU of up to {bound} bytes does not fit into a segment")]
    TooLarge {
        /// The bound that was asked for.
        bound: usize,
    },
    /// The record names a slot, delivery or generation that the ledger does not know.
    #[error("the record belongs to no intercept in force")]
    Stale,
    /// Writing the PDU failed.
    #[error("encoding failed: {0}")]
    Encode(E),
    /// The writer claims to have written nothing, or more than its bound.
    #[error("the encoder claims {claimed} bytes of at most {bound}")]
    Length {
        /// What it claims.
        claimed: usize,
        /// What it was given.
        bound: usize,
    },
    /// The stream's memory is damaged.
    #[error(transparent)]
    Stream(StreamError),
}

/// Appends PDUs. One a stream, in one process; threads share it under a lock that they take once a batch.
pub struct Producer {
    pub(crate) stream: StreamMap,
    ledger: Arc<Ledger>,
    wake: Wake,
    /// Behind the last record appended, committed or not.
    next: Position,
    /// Bytes used in `next.segment`.
    used: usize,
    committed: Position,
}

impl Producer {
    /// Goes on behind the last committed record; what a predecessor left uncommitted is gone.
    ///
    /// After a predecessor died, call [`Ledger::settle`] with all producers before the first append.
    pub fn open(memory: impl AsFd, wake: Wake, ledger: Arc<Ledger>) -> Result<Self, StreamError> {
        let stream = StreamMap::open(memory)?;
        let (_, head) = stream.bounds()?;
        let used = match head.record.checked_sub(1) {
            Some(last) => {
                let entry = stream.entry(head.segment, last)?;
                entry.offset + entry.length
            }
            None => 0,
        };
        Ok(Self { stream, ledger, wake, next: head, used, committed: head })
    }

    /// Gives `write` room for `bound` bytes in the stream itself and appends as many as it says that it wrote.
    ///
    /// Visible to the consumer from the next [`Producer::commit`] on. No copy, no allocation, no system call.
    #[inline]
    pub fn append<E>(
        &mut self,
        bound: usize,
        record: Record,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, AppendError<E>> {
        let ledger = Arc::as_ref(&self.ledger);
        let account = ledger
            .slot(record.slot)
            .filter(|slot| slot.is_owned_by(record.generation))
            .and_then(|slot| slot.appended(record.delivery, record.kind))
            .ok_or(AppendError::Stale)?;
        let geometry = self.stream.geometry;
        let mut place = (self.next, self.used);
        let fits = |(at, used): (Position, usize)| {
            at.record < geometry.max_records() && bound <= geometry.room(at.record + 1).saturating_sub(used)
        };
        if !fits(place) {
            place = (Position { segment: self.next.segment + 1, record: 0 }, 0);
            if !fits(place) {
                return Err(AppendError::TooLarge { bound });
            }
            // Acquire: what the consumer read from the segment that is reused, it has read.
            let released = self.stream.word(AT_RELEASED).map_err(AppendError::Stream)?.load(Ordering::Acquire);
            let oldest = Position::from_word(released).segment;
            if place.0.segment.saturating_sub(oldest) >= geometry.segments as u64 {
                return Err(AppendError::Full);
            }
        }
        let (at, used) = place;
        let start = geometry.segment_start(at.segment) + used;
        let damaged = StreamError::Corrupt("a segment lies outside");
        let room = self.stream.map.bytes_mut(start..start + bound).ok_or(AppendError::Stream(damaged))?;
        let length = write(room).map_err(AppendError::Encode)?;
        if length == 0 || length > bound {
            return Err(AppendError::Length { claimed: length, bound });
        }
        if at.segment != self.next.segment {
            self.seal().map_err(AppendError::Stream)?;
        }
        // A load and a store, not one locked instruction: an account has one stream and so, at a time, one writer.
        let ordinal = account.load(Ordering::Relaxed);
        account.store(ordinal + 1, Ordering::Relaxed);
        let entry = Entry { offset: used, length, record, ordinal };
        self.stream.store_entry(at.segment, at.record, &entry).map_err(AppendError::Stream)?;
        self.next = Position { segment: at.segment, record: at.record + 1 };
        self.used = used + length;
        Ok(length)
    }

    /// Writes down what the full segment holds. Published, like all else, by the store of the head.
    fn seal(&self) -> Result<(), StreamError> {
        let (records, bytes) = self.stream.geometry.sealed(self.next.segment);
        self.stream.word(records)?.store(u64::from(self.next.record), Ordering::Relaxed);
        self.stream.word(bytes)?.store(self.used as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Publishes everything appended so far with one store, and wakes the consumer if it sleeps.
    pub fn commit(&mut self) -> Result<(), StreamError> {
        if self.next == self.committed {
            return Ok(());
        }
        self.stream.word(AT_HEAD_USED)?.store(self.used as u64, Ordering::Relaxed);
        self.stream.word(AT_HEAD)?.store(self.next.to_word(), Ordering::Release);
        self.committed = self.next;
        // Between our store and our load, as in `Consumer::may_sleep`: one of the two sees the other.
        fence(Ordering::SeqCst);
        let sleeping = self.stream.word(AT_SLEEPING)?;
        if sleeping.load(Ordering::Relaxed) != 0 && sleeping.swap(0, Ordering::Relaxed) != 0 {
            self.wake.wake();
        }
        Ok(())
    }
}
