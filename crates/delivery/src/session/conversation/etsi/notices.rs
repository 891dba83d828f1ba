//! The agency is told of losses (operatorLeaMessage): what the ledger counts as lost of a delivery whose PDUs go over this
//! connection.
//!
//! A message is kept nowhere. What the ledger counted before the connection is told once on each: whether an earlier one got it
//! through nobody knows.

use super::super::outbox::Outbox;
use super::utc_now;
use crate::failure::{Failure, FailureKind};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use writ_encoder::UtcMicros;
use writ_encoder::etsi::{DecodeError, Glance, Label, Messenger, NoticePriority, Tri};
use writ_spool::{DeliverySnapshot, Ledger, LossReason, Record};

/// Octets of a message at most.
const LONGEST: usize = 255;

/// What the agency knows of the losses of each delivery.
pub(super) struct Notices {
    ledger: Arc<Ledger>,
    /// Between two messages about a delivery.
    every: Duration,
    deliveries: HashMap<Delivery, Told>,
    /// That of the last PDU: they come in runs.
    latest: Option<Delivery>,
    /// When the ledger is looked at next.
    due: Instant,
}

/// A delivery, as the ledger has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Delivery {
    slot: u16,
    generation: u16,
    delivery: u8,
}

struct Told {
    /// In whose name messages are.
    messenger: Messenger,
    lost: [u64; LossReason::ALL.len()],
    /// When the agency last was told; none: not on this connection.
    at: Option<UtcMicros>,
    /// The number of the next message.
    next: u32,
}

impl Notices {
    pub(super) fn new(ledger: Arc<Ledger>, every: Duration, now: Instant) -> Self {
        Self { ledger, every, deliveries: HashMap::new(), latest: None, due: now + every }
    }

    /// A PDU of this delivery goes out.
    pub(super) fn sent(&mut self, record: &Record, pdu: &[u8]) -> Result<(), Failure> {
        let delivery = Delivery { slot: record.slot, generation: record.generation, delivery: record.delivery };
        if self.latest.replace(delivery) == Some(delivery) || self.deliveries.contains_key(&delivery) {
            return Ok(());
        }
        let unsendable = |error: DecodeError| Failure::new(FailureKind::Unsendable, error.to_string());
        // What is about the intercept as a whole names no session of the target.
        if Glance::at(pdu).map_err(unsendable)?.data.is_some() {
            let messenger = Messenger::of(pdu).map_err(unsendable)?;
            self.deliveries.insert(delivery, Told { messenger, lost: Default::default(), at: None, next: 0 });
        } else {
            self.latest = None;
        }
        Ok(())
    }

    /// Tells what is due by the clock.
    pub(super) fn look(&mut self, out: &mut Outbox, now: Instant) {
        if now >= self.due {
            self.due = now + self.every;
            self.tell(out);
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Tells of everything that was lost and is not told.
    pub(super) fn tell(&mut self, out: &mut Outbox) {
        let Self { ledger, deliveries, latest, .. } = self;
        deliveries.retain(|delivery, told| {
            let books = delivery.books(ledger);
            if let Some(books) = &books {
                told.tell(books, out);
            }
            // Its slot has another owner, and the figures are gone.
            books.is_some()
        });
        *latest = None;
    }
}

impl Delivery {
    fn books(self, ledger: &Ledger) -> Option<DeliverySnapshot> {
        let slot = ledger.slot(self.slot)?.snapshot().filter(|slot| slot.generation == self.generation)?;
        slot.deliveries.get(usize::from(self.delivery)).copied()
    }
}

impl Told {
    fn tell(&mut self, books: &DeliverySnapshot, out: &mut Outbox) {
        let now = utc_now();
        if let Some(message) = message(&self.lost, books, self.at, now) {
            self.lost = books.lost;
            let notice = Tri::OperatorMessage { priority: NoticePriority::Error, message: Label(message.into_bytes()) };
            out.put(&self.messenger.tri(now, self.next, &notice));
            self.next = self.next.wrapping_add(1);
        }
        self.at = Some(now);
    }
}

/// What is to be said of losses since `since`; none if there are none. Numbers and reasons alone.
fn message(
    before: &[u64; LossReason::ALL.len()],
    books: &DeliverySnapshot,
    since: Option<UtcMicros>,
    now: UtcMicros,
) -> Option<String> {
    let mut by_reason = String::new();
    let (mut lost, mut in_all) = (0u64, 0u64);
    for reason in LossReason::ALL {
        // The agency has that packet.
        if *reason == LossReason::Duplicate {
            continue;
        }
        let count = books.lost(*reason);
        in_all = in_all.saturating_add(count);
        let more = count.saturating_sub(before[*reason as usize]);
        if more > 0 {
            lost = lost.saturating_add(more);
            let comma = if by_reason.is_empty() { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(by_reason, "{comma} {} {more}", reason.label());
        }
    }
    let when = match since {
        None => format!("before {now}"),
        Some(since) => format!("between {since} and {now}"),
    };
    let mut message = format!("{lost} packets lost {when}, {in_all} in all:{by_reason}");
    // ASCII, so that any octet is the end of a character.
    message.truncate(LONGEST);
    (lost > 0).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_fits_and_says_what_is_new() {
        let (then, now) = (UtcMicros::from_unix_nanos(1 << 60), UtcMicros::from_unix_nanos((1 << 60) + 1_000_000_000));
        let none = [0; LossReason::ALL.len()];
        let mut books = DeliverySnapshot::default();
        books.lost[LossReason::Duplicate as usize] = 7;
        assert_eq!(message(&none, &books, None, now), None);
        books.lost[LossReason::SpoolFull as usize] = 5;
        let first = message(&none, &books, None, now).unwrap();
        assert_eq!(first, format!("5 packets lost before {now}, 5 in all: spool_full 5"));
        let before = books.lost;
        assert_eq!(message(&before, &books, Some(then), now), None);
        books.lost[LossReason::SpoolFull as usize] = 9;
        books.lost[LossReason::Stale as usize] = 1;
        let second = message(&before, &books, Some(then), now).unwrap();
        assert_eq!(second, format!("5 packets lost between {then} and {now}, 10 in all: spool_full 4, stale 1"));
        books.lost = [u64::MAX; LossReason::ALL.len()];
        assert_eq!(message(&none, &books, Some(then), now).unwrap().len(), LONGEST);
    }
}
