//! The reading end of a stream: a deliver thread's.
//!
//! Two positions: `sent`, which dies with the connection, and `released`, which lives in the stream's memory. Whatever
//! happens, sending starts again at the first record that is not released, on a PDU's boundary.

use crate::layout::{AT_RELEASED, AT_RELEASED_USED, AT_SLEEPING, Position};
use crate::ledger::Ledger;
use crate::stream::{Entry, Record, StreamError, StreamMap};
use crate::wake::Wake;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// Who looks at every record that is released, before it is given back.
pub trait Release {
    /// A record and its bytes. `place` stands for it in this stream: higher than that of any record before it, and never 0.
    fn record(&mut self, record: &Record, place: u64, pdu: &[u8]);
    /// The records so far are about to be given back. If the process is killed before it has come to that, they come again.
    fn give_back(&mut self);
}

/// Nobody.
impl Release for () {
    fn record(&mut self, _: &Record, _: u64, _: &[u8]) {}
    fn give_back(&mut self) {}
}

/// Reads PDUs and releases them. One a stream at a time.
pub struct Consumer {
    stream: StreamMap,
    ledger: Arc<Ledger>,
    wake: Wake,
    /// First record that is not released, and where it starts in its segment.
    released: (Position, usize),
    /// Bytes of whole records released since the last rewind.
    released_bytes: u64,
    /// Next byte to send: segment, offset in it.
    sent: (u64, usize),
    /// Bytes sent since the last rewind.
    sent_bytes: u64,
    /// First record that [`Consumer::take_run`] has not given out.
    taken: Position,
    /// The last record of each run of one account that is being released: it says what all of them would.
    runs: Vec<Entry>,
}

impl Consumer {
    /// Starts at the first record that is not released.
    pub fn open(memory: impl AsFd, wake: Wake, ledger: Arc<Ledger>) -> Result<Self, StreamError> {
        let stream = StreamMap::open(memory)?;
        let (released, _) = stream.bounds()?;
        let used = match released.record.checked_sub(1) {
            Some(last) => {
                let entry = stream.entry(released.segment, last)?;
                entry.offset + entry.length
            }
            None => 0,
        };
        Ok(Self {
            stream,
            ledger,
            wake,
            released: (released, used),
            released_bytes: 0,
            sent: (released.segment, used),
            sent_bytes: 0,
            taken: released,
            runs: Vec::new(),
        })
    }

    /// The next bytes to send: PDUs back to back, at most `limit` bytes, none if all committed ones are sent.
    ///
    /// They lie in the shared memory and stay there; say with [`Consumer::sent`] how many went out.
    pub fn unsent(&mut self, limit: usize) -> Result<Option<&[u8]>, StreamError> {
        let (_, head) = self.stream.bounds()?;
        loop {
            let (segment, offset) = self.sent;
            let records = self.stream.records_in(segment, head)?;
            let used = match records.checked_sub(1) {
                Some(last) => {
                    let entry = self.stream.entry(segment, last)?;
                    entry.offset + entry.length
                }
                None => 0,
            };
            if offset < used {
                let start = self.stream.segment_start(segment)?;
                let end = used.min(offset.saturating_add(limit));
                let bytes = self.stream.map.bytes(start + offset..start + end);
                return bytes.map(Some).ok_or(StreamError::Corrupt("a segment lies outside"));
            }
            if segment >= head.segment {
                return Ok(None);
            }
            self.sent = (segment + 1, 0);
        }
    }

    /// `bytes` of what [`Consumer::unsent`] last gave went out.
    pub fn sent(&mut self, bytes: usize) {
        self.sent.1 += bytes;
        self.sent_bytes += bytes as u64;
    }

    /// The next records to send that lie back to back and belong to one delivery of one intercept: whole PDUs, as many as
    /// `limit` bytes hold and at least one, behind what is kept of the first of them; none if all committed ones are sent. They
    /// count as sent with this call.
    ///
    /// For a way out that has to know whose a PDU is. Not to be mixed with [`Consumer::unsent`], which cuts anywhere.
    pub fn take_run(&mut self, limit: usize) -> Result<Option<(Record, &[u8])>, StreamError> {
        let (_, head) = self.stream.bounds()?;
        let mut at = self.taken;
        let records = loop {
            let records = self.stream.records_in(at.segment, head)?;
            if at.record < records {
                break records;
            }
            if at.segment >= head.segment {
                return Ok(None);
            }
            at = Position { segment: at.segment + 1, record: 0 };
        };
        let start = self.stream.segment_start(at.segment)?;
        let first = self.stream.entry_at(start, at.record)?;
        let mut end = first.offset + first.length;
        at.record += 1;
        while at.record < records {
            let next = self.stream.entry_at(start, at.record)?;
            let fits = next.offset == end && next.offset + next.length - first.offset <= limit;
            if !fits || !next.record.shares_delivery(&first.record) {
                break;
            }
            end += next.length;
            at.record += 1;
        }
        self.taken = at;
        self.sent = (at.segment, end);
        self.sent_bytes += (end - first.offset) as u64;
        let bytes = self.stream.map.bytes(start + first.offset..start + end);
        bytes.map(|bytes| Some((first.record, bytes))).ok_or(StreamError::Corrupt("a segment lies outside"))
    }

    /// The records that were not sent yet, each whole and with whose it is. Say with [`Consumer::sent_records`] how many of
    /// them went out.
    ///
    /// For a way out that has to know where a PDU ends. Not to be mixed with [`Consumer::unsent`], which cuts anywhere.
    pub fn unsent_records(&self) -> Result<UnsentRecords<'_>, StreamError> {
        let (_, head) = self.stream.bounds()?;
        Ok(UnsentRecords { stream: &self.stream, head, at: self.taken, here: None })
    }

    /// The first `count` of what [`Consumer::unsent_records`] gives went out. Returns how many bytes they are.
    pub fn sent_records(&mut self, count: usize) -> Result<u64, StreamError> {
        let mut records = self.unsent_records()?;
        let mut bytes = 0;
        let mut end = 0;
        for _ in 0..count {
            let Some(entry) = records.next_entry()? else { break };
            bytes += entry.length as u64;
            end = entry.offset + entry.length;
        }
        let at = records.at;
        if bytes > 0 {
            self.taken = at;
            self.sent = (at.segment, end);
            self.sent_bytes += bytes;
        }
        Ok(bytes)
    }

    /// A number that stands for the first record that is not released. It changes with every release, never goes back,
    /// and is the same for a successor on the same memory.
    pub fn released_mark(&self) -> u64 {
        self.released.0.to_word()
    }

    /// Bytes sent since the last rewind.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Whether something was sent that is not released yet. Half a record at the end of the sent bytes counts.
    pub fn in_flight(&self) -> bool {
        self.released_bytes < self.sent_bytes
    }

    /// The agency has acknowledged the first `bytes` that were sent since the last rewind: releases the records that
    /// lie wholly in them and counts them delivered. Returns how many records and bytes were released by this call.
    pub fn acknowledged(&mut self, bytes: u64) -> Result<(u64, u64), StreamError> {
        self.release(bytes, &mut ())
    }

    /// The same, under somebody's eyes.
    pub fn release(&mut self, bytes: u64, witness: &mut impl Release) -> Result<(u64, u64), StreamError> {
        let bytes = bytes.min(self.sent_bytes);
        if bytes == self.released_bytes {
            return Ok((0, 0));
        }
        let (_, head) = self.stream.bounds()?;
        let (mut at, mut used) = self.released;
        let before = self.released_bytes;
        let mut records = 0;
        let mut start = self.stream.segment_start(at.segment)?;
        let mut end = self.stream.records_in(at.segment, head)?;
        self.runs.clear();
        loop {
            if at.record == end {
                if at.segment == head.segment {
                    break;
                }
                at = Position { segment: at.segment + 1, record: 0 };
                used = 0;
                start = self.stream.segment_start(at.segment)?;
                end = self.stream.records_in(at.segment, head)?;
                continue;
            }
            let entry = self.stream.entry_at(start, at.record)?;
            if entry.offset != used {
                return Err(StreamError::Corrupt("records do not lie back to back"));
            }
            if self.released_bytes + entry.length as u64 > bytes {
                break;
            }
            match self.runs.last_mut() {
                Some(run) if run.record.shares_account(&entry.record) => *run = entry,
                _ => self.runs.push(entry),
            }
            at.record += 1;
            let pdu = self.stream.map.bytes(start + used..start + used + entry.length);
            witness.record(&entry.record, at.to_word(), pdu.ok_or(StreamError::Corrupt("a segment lies outside"))?);
            self.released_bytes += entry.length as u64;
            used += entry.length;
            records += 1;
        }
        if records > 0 {
            witness.give_back();
        }
        for last in &self.runs {
            self.ledger.delivered(last);
        }
        if at != self.released.0 {
            self.released = (at, used);
            // All of a segment sent and released: the producer may take it again, so `sent` must not stay at its end.
            self.sent = self.sent.max((at.segment, used));
            self.taken = self.taken.max(at);
            // The ledger first: a kill in between makes the successor count the same records to the same figures.
            self.stream.word(AT_RELEASED_USED)?.store(used as u64, Ordering::Relaxed);
            self.stream.word(AT_RELEASED)?.store(at.to_word(), Ordering::Release);
        }
        Ok((records, self.released_bytes - before))
    }

    /// Whether every committed record is released.
    pub fn is_empty(&self) -> Result<bool, StreamError> {
        let (_, head) = self.stream.bounds()?;
        // A head behind the first segment has at least one record in its own, so there is one word for "all".
        Ok(self.released.0 == head)
    }

    /// The stream's segments in all, in bytes.
    pub fn capacity_bytes(&self) -> u64 {
        (self.stream.geometry.segments * self.stream.geometry.segment_bytes) as u64
    }

    /// The connection is gone: sending starts again at the first record that is not released. Returns how many
    /// records will go out a second time, begun ones included.
    pub fn rewind(&mut self) -> Result<u64, StreamError> {
        let mut again = 0;
        let mut bytes = self.sent_bytes - self.released_bytes;
        for entry in self.stream.waiting_entries() {
            if bytes == 0 {
                break;
            }
            bytes = bytes.saturating_sub(entry?.length as u64);
            again += 1;
        }
        self.sent = (self.released.0.segment, self.released.1);
        self.taken = self.released.0;
        self.sent_bytes = 0;
        self.released_bytes = 0;
        Ok(again)
    }

    /// Announces sleep, and says whether there is really nothing to send. To be called before polling [`Consumer::wake`]
    /// together with other descriptors; [`Consumer::awake`] afterwards.
    pub fn may_sleep(&mut self) -> Result<bool, StreamError> {
        self.stream.word(AT_SLEEPING)?.store(1, Ordering::Relaxed);
        // Between our store and our load, as in `Producer::commit`: one of the two sees the other.
        fence(Ordering::SeqCst);
        let idle = self.unsent(1)?.is_none();
        if !idle {
            self.awake()?;
        }
        Ok(idle)
    }

    /// Takes the announcement of sleep back, and whatever wakes it brought.
    pub fn awake(&mut self) -> Result<(), StreamError> {
        self.stream.word(AT_SLEEPING)?.store(0, Ordering::Relaxed);
        self.wake.clear();
        Ok(())
    }

    /// What the producer wakes.
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// Sleeps until there is something to send, somebody wakes, or `timeout` is over.
    pub fn wait(&mut self, timeout: Duration) -> Result<(), StreamError> {
        if self.may_sleep()? {
            self.wake.wait(timeout).map_err(crate::map::MapError::from)?;
            self.awake()?;
        }
        Ok(())
    }
}

/// See [`Consumer::unsent_records`]. After an error there are no more.
pub struct UnsentRecords<'a> {
    stream: &'a StreamMap,
    head: Position,
    at: Position,
    /// Where the segment that `at` is in starts, and its records.
    here: Option<(usize, u32)>,
}

impl<'a> UnsentRecords<'a> {
    fn next_entry(&mut self) -> Result<Option<Entry>, StreamError> {
        loop {
            let (start, records) = match self.here {
                Some(here) => here,
                None => {
                    let records = self.stream.records_in(self.at.segment, self.head)?;
                    *self.here.insert((self.stream.segment_start(self.at.segment)?, records))
                }
            };
            if self.at.record < records {
                let entry = self.stream.entry_at(start, self.at.record)?;
                self.at.record += 1;
                return Ok(Some(entry));
            }
            if self.at.segment >= self.head.segment {
                return Ok(None);
            }
            self.at = Position { segment: self.at.segment + 1, record: 0 };
            self.here = None;
        }
    }

    fn next_record(&mut self) -> Result<Option<(Record, &'a [u8])>, StreamError> {
        let Some(entry) = self.next_entry()? else { return Ok(None) };
        let start = self.stream.segment_start(self.at.segment)? + entry.offset;
        let pdu = self.stream.map.bytes(start..start + entry.length);
        Ok(Some((entry.record, pdu.ok_or(StreamError::Corrupt("a segment lies outside"))?)))
    }
}

impl<'a> Iterator for UnsentRecords<'a> {
    type Item = Result<(Record, &'a [u8]), StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_record().transpose();
        if matches!(next, Some(Err(_))) {
            // Nowhere to go on from.
            self.at = self.head;
            self.here = Some((0, 0));
        }
        next
    }
}
