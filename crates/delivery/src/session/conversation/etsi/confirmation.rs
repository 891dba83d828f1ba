//! PDU acknowledgement (clause 6.3.6): the agency's program says what it has, so that delivered means confirmed.

use super::super::pulse::check_answer;
use super::nonsense;
use crate::failure::Failure;
use crate::manner::KeepAlive;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The agency is asked after so many PDUs at the latest.
const PDUS: u32 = 1000;
/// And so long after the first of them.
const AFTER: Duration = Duration::from_secs(1);

/// What the agency has confirmed of one connection's records.
pub(super) struct Confirmation {
    keep_alive: KeepAlive,
    /// Bytes of records so far.
    records: u64,
    /// Up to here the agency has them.
    confirmed: u64,
    /// Requests that are not answered: bytes of records up to each, and bytes of the connection.
    requests: VecDeque<(u64, u64)>,
    /// PDUs that no request is about, and when the first of them came.
    unasked: Option<(u32, Instant)>,
    /// Since when the agency has the oldest request and has answered nothing. It does not begin before its TCP has the
    /// request: what is slow to arrive is not an answer that is late.
    silent_since: Option<Instant>,
}

impl Confirmation {
    pub(super) fn new(keep_alive: KeepAlive) -> Self {
        Self { keep_alive, records: 0, confirmed: 0, requests: VecDeque::new(), unasked: None, silent_since: None }
    }

    /// A record of so many bytes goes out. Whether it is time for a request.
    pub(super) fn record(&mut self, bytes: usize, now: Instant) -> bool {
        self.records += bytes as u64;
        let (pdus, _) = self.unasked.get_or_insert((0, now));
        *pdus += 1;
        *pdus >= PDUS
    }

    /// A request went out; the connection has so many bytes with it.
    pub(super) fn asked(&mut self, end: u64) {
        self.unasked = None;
        self.requests.push_back((self.records, end));
    }

    pub(super) fn answered(&mut self) -> Result<(), Failure> {
        let (records, _) =
            self.requests.pop_front().ok_or_else(|| nonsense("an acknowledgement that was not asked for"))?;
        self.confirmed = records;
        self.silent_since = None;
        Ok(())
    }

    /// Whether it is time for a request. It is a failure that the oldest one has no answer.
    pub(super) fn look(&mut self, arrived: u64, now: Instant) -> Result<bool, Failure> {
        if self.requests.front().is_some_and(|(_, end)| *end <= arrived) {
            let since = *self.silent_since.get_or_insert(now);
            check_answer(since, self.keep_alive, now, "a request to acknowledge")?;
        }
        Ok(self.unasked.is_some_and(|(_, since)| now.saturating_duration_since(since) >= AFTER))
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let request = self.unasked.map(|(_, since)| since + AFTER);
        let answer = self.silent_since.map(|since| since + self.keep_alive.answer);
        [request, answer].into_iter().flatten().min()
    }

    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    pub(super) fn has_unasked(&self) -> bool {
        self.unasked.is_some()
    }
}
