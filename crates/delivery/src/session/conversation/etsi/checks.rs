//! Integrity checks (annex J): a hash PDU over the PDUs of each series as they are sent, a signature PDU over the hashes.
//!
//! Series begin anew with each connection: what is sent again is hashed again, and no check is over PDUs of two connections.

use super::super::outbox::Outbox;
use super::utc_now;
use crate::failure::{Failure, FailureKind};
use crate::manner::Checks;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use writ_encoder::UtcMicros;
use writ_encoder::etsi::{DataType, Due, Glance, Integrity, KeyError, Messenger};

/// Checks that are due within this are made together, rather than a look at all series for each of them.
const GRAIN: Duration = Duration::from_millis(50);
/// A series without a PDU for so long is forgotten. If it goes on, its checks are numbered from 0 again.
const FORGET: Duration = Duration::from_secs(3600);

/// The series of one connection.
pub(super) struct Checking {
    checks: Checks,
    /// Content and IRI, by what their PDUs have in common.
    series: [HashMap<Box<[u8]>, Series>; 2],
    /// When something may be due.
    due: Option<Instant>,
    /// Cadences are kept by this clock, which nobody sets back.
    begun: Instant,
}

struct Series {
    /// In whose name its checks are.
    messenger: Messenger,
    integrity: Integrity,
    last: Instant,
}

impl Checking {
    pub(super) fn new(checks: Checks, now: Instant) -> Self {
        Self { checks, series: Default::default(), due: None, begun: now }
    }

    /// A PDU goes out as `sent`. Gives the checks that are to follow it.
    pub(super) fn sent(
        &mut self,
        glance: &Glance<'_>,
        pdu: &[u8],
        sent: &[u8],
        now: Instant,
    ) -> Result<Vec<u8>, Failure> {
        let (Some(data), [content, iri]) = (glance.data, &mut self.series) else { return Ok(Vec::new()) };
        let all = if data == DataType::Cc { content } else { iri };
        let series = match all.get_mut(glance.series) {
            Some(series) => series,
            None => {
                let messenger =
                    Messenger::of(pdu).map_err(|error| Failure::new(FailureKind::Unsendable, error.to_string()))?;
                let integrity = Integrity::new(data, self.checks.cadence, self.checks.key.clone());
                all.entry(glance.series.into()).or_insert(Series { messenger, integrity, last: now })
            }
        };
        series.last = now;
        let micros = micros(self.begun, now);
        series.integrity.sent(micros, glance.sequence, sent);
        let mut due = Vec::new();
        while let Some(check) = series.integrity.due(micros).map_err(unsigned)? {
            due.extend(series.write(&check));
        }
        let deadline = series.deadline(self.begun);
        self.due = [self.due, deadline].into_iter().flatten().min();
        Ok(due)
    }

    /// Makes the checks that are due by the clock.
    pub(super) fn look(&mut self, out: &mut Outbox, now: Instant) -> Result<(), Failure> {
        if self.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let begun = self.begun;
        let soon = micros(begun, now + GRAIN);
        self.due = None;
        for series in self.series.iter_mut().flat_map(HashMap::values_mut) {
            while !out.is_full() {
                let Some(check) = series.integrity.due(soon).map_err(unsigned)? else { break };
                out.put(&series.write(&check));
            }
            self.due = [self.due, series.deadline(begun)].into_iter().flatten().min();
        }
        for all in &mut self.series {
            all.retain(|_, series| {
                series.integrity.deadline().is_some() || now.saturating_duration_since(series.last) < FORGET
            });
        }
        Ok(())
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Makes the checks over all that no check is over yet. Whether those were all: there is a limit to the outbox.
    pub(super) fn last_words(&mut self, out: &mut Outbox, now: Instant) -> Result<bool, Failure> {
        let micros = micros(self.begun, now);
        for series in self.series.iter_mut().flat_map(HashMap::values_mut) {
            while let Some(check) = series.integrity.last(micros).map_err(unsigned)? {
                out.put(&series.write(&check));
                if out.is_full() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl Series {
    fn write(&self, due: &Due) -> Vec<u8> {
        self.messenger.tri(utc_now(), due.sequence, &due.check)
    }

    fn deadline(&self, begun: Instant) -> Option<Instant> {
        let micros = u64::try_from(self.integrity.deadline()?).ok()?;
        Some(begun + Duration::from_micros(micros))
    }
}

/// What the connection's clock shows.
fn micros(begun: Instant, now: Instant) -> UtcMicros {
    let nanos = now.saturating_duration_since(begun).as_nanos();
    UtcMicros::from_unix_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn unsigned(error: KeyError) -> Failure {
    Failure::new(FailureKind::System, error.to_string())
}
