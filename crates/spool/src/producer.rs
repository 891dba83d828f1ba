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

const OUTSIDE: StreamError = StreamError::Corrupt("a segment lies outside");

/// Appends PDUs. One a stream, in one process; threads share it under a lock that they take once a batch.
pub struct Producer {
    pub(crate) stream: StreamMap,
    ledger: Arc<Ledger>,
    wake: Wake,
    /// Behind the last record appended, committed or not.
    next: Position,
    /// Where `next.segment` starts in the map.
    start: usize,
    /// Bytes used in `next.segment`.
    used: usize,
    committed: Position,
    places: Places,
    run: Option<Run>,
}

/// Records of one account, appended one after the other and not entered in the ledger yet.
#[derive(Clone, Copy)]
struct Run {
    /// Any of them.
    record: Record,
    /// How many the account has with them.
    appended: u64,
}

/// Places of the memory that no segment lies in.
struct Places {
    /// The one that was released last comes last.
    free: Vec<u64>,
    /// First segment whose place is not in `free`.
    taken_from: u64,
}

impl Places {
    fn new(stream: &StreamMap, released: u64, head: u64) -> Result<Self, StreamError> {
        let taken = (released..=head).map(|segment| stream.place(segment)).collect::<Result<Vec<_>, _>>()?;
        let all = stream.geometry.segments;
        let mut free = Vec::with_capacity(all);
        // In reverse, so that the first places are taken first.
        free.extend((0..all as u64).rev().filter(|place| !taken.contains(place)));
        Ok(Self { free, taken_from: released })
    }

    /// Takes back the places of the segments that were released since the last time; never that of `head`, whatever the
    /// memory says. The entries in the table are still theirs: what would overwrite one needs a free place first.
    fn reclaim(&mut self, stream: &StreamMap, head: u64) -> Result<(), StreamError> {
        // Acquire: what the consumer read from a segment that is reused, it has read.
        let released = Position::from_word(stream.word(AT_RELEASED)?.load(Ordering::Acquire)).segment;
        while self.taken_from < released.min(head) {
            self.free.push(stream.place(self.taken_from)?);
            self.taken_from += 1;
        }
        Ok(())
    }
}

impl Producer {
    /// Goes on behind the last committed record; what a predecessor left uncommitted is gone.
    ///
    /// After a predecessor died, call [`Ledger::settle`] with all producers before the first append.
    pub fn open(memory: impl AsFd, wake: Wake, ledger: Arc<Ledger>) -> Result<Self, StreamError> {
        let stream = StreamMap::open(memory)?;
        let (released, head) = stream.bounds()?;
        let places = Places::new(&stream, released.segment, head.segment)?;
        let start = stream.segment_start(head.segment)?;
        let used = match head.record.checked_sub(1) {
            Some(last) => {
                let entry = stream.entry(head.segment, last)?;
                entry.offset + entry.length
            }
            None => 0,
        };
        Ok(Self { stream, ledger, wake, next: head, start, used, committed: head, places, run: None })
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
        self.append_for(1, bound, record, write)
    }

    /// The same of a PDU that stands for so many packets: what the ledger counts it for.
    #[inline]
    pub fn append_for<E>(
        &mut self,
        packets: u64,
        bound: usize,
        record: Record,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, AppendError<E>> {
        let before = match self.run {
            Some(run) if run.record.shares_account(&record) => run.appended,
            _ => {
                self.enter_run();
                self.ledger.appended(&record).ok_or(AppendError::Stale)?.load(Ordering::Relaxed)
            }
        };
        let geometry = self.stream.geometry;
        let fits = |record: u32, used: usize| {
            record < geometry.max_records() && bound <= geometry.room(record + 1).saturating_sub(used)
        };
        let (mut at, mut start, mut used) = (self.next, self.start, self.used);
        if !fits(at.record, used) {
            if !fits(0, 0) {
                return Err(AppendError::TooLarge { bound });
            }
            self.places.reclaim(&self.stream, at.segment).map_err(AppendError::Stream)?;
            let place = self.places.free.last().copied().ok_or(AppendError::Full)?;
            at = Position { segment: at.segment + 1, record: 0 };
            start = geometry.place_start(place).ok_or(AppendError::Stream(OUTSIDE))?;
            used = 0;
        }
        let begin = start + used;
        let room = self.stream.map.bytes_mut(begin..begin + bound).ok_or(AppendError::Stream(OUTSIDE))?;
        let length = write(room).map_err(AppendError::Encode)?;
        if length == 0 || length > bound {
            return Err(AppendError::Length { claimed: length, bound });
        }
        if at.segment != self.next.segment {
            let place = self.places.free.pop().ok_or(AppendError::Stream(OUTSIDE))?;
            self.seal(at.segment, place).map_err(AppendError::Stream)?;
        }
        let entry = Entry { offset: used, length, record, counted: before + packets };
        self.stream.store_entry(start, at.record, &entry).map_err(AppendError::Stream)?;
        self.run = Some(Run { record, appended: before + packets });
        self.next = Position { segment: at.segment, record: at.record + 1 };
        self.start = start;
        self.used = used + length;
        Ok(length)
    }

    /// Enters the run in the ledger: with its end, and before any of it is published, so that nothing is delivered that was
    /// not appended. A load before it and this store, not one locked instruction for each record: an account has one stream
    /// and so, at a time, one writer.
    fn enter_run(&mut self) {
        if let Some(run) = self.run.take()
            && let Some(account) = self.ledger.appended(&run.record)
        {
            account.store(run.appended, Ordering::Relaxed);
        }
    }

    /// Writes down what the full segment holds, and in which place `segment` lies, which comes next. Published, like all else,
    /// by the store of the head.
    fn seal(&self, segment: u64, place: u64) -> Result<(), StreamError> {
        self.stream.word(self.stream.geometry.place(segment))?.store(place, Ordering::Relaxed);
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
        self.enter_run();
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
