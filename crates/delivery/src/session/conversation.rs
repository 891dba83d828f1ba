//! A stream that goes to an agency that talks: whole PDUs, and between them what the two sides say to each other.
//!
//! Records are copied from the segment into an [`Outbox`], sealed where that is agreed on, and what the probe has to say goes
//! between them. So the bytes of the connection are not those of the stream: marks in the outbox tell which is which.

mod etsi;
mod outbox;
mod pulse;
mod x3;

use super::hold::Hold;
use super::network::{ASK, BURST};
use super::{Broken, IDLE, Session};
use crate::credentials::Transport;
use crate::destination::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::link::{Heard, Link};
use crate::manner::Manner;
use etsi::EtsiConversation;
use outbox::Outbox;
use std::time::{Duration, Instant};
use writ_spool::Record;
use x3::X3Conversation;

/// What is said on one connection beside the records, and what is heard. Everything that it says goes into the outbox.
trait Conversation {
    /// Whether records may go: not before what has to be agreed on is.
    fn is_ready(&self) -> bool;
    /// Puts the PDU of a record into the outbox, as it is to go, and what is due behind it.
    fn record(&mut self, record: &Record, pdu: &[u8], out: &mut Outbox, now: Instant) -> Result<Taken, Failure>;
    /// The agency said this.
    fn heard(&mut self, bytes: &[u8], out: &mut Outbox) -> Result<(), Failure>;
    /// Bytes went out.
    fn sent(&mut self, now: Instant);
    /// Says what is due by the clock. The agency's TCP has the first `arrived` bytes of the connection.
    fn look(&mut self, arrived: u64, out: &mut Outbox, now: Instant) -> Result<(), Failure>;
    /// When to look again at the latest.
    fn due(&self) -> Option<Instant>;
    /// Up to which byte of the stream the agency's program has confirmed; none where the word of its TCP counts.
    fn confirmed(&self) -> Option<u64>;
    /// No record comes any more: says what is still to be said. Whether that was all.
    fn last_words(&mut self, out: &mut Outbox, now: Instant) -> Result<bool, Failure>;
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It is in the outbox.
    Yes,
    /// It has to be sealed, and there is no key for it.
    NoKey,
}

/// Where one connection stands.
#[derive(Default)]
struct Course {
    out: Outbox,
    /// Bytes of records in the outbox that have not gone out yet.
    unaccounted: u64,
    /// A record waits for a key that does not come.
    lacks_key: bool,
    said_last_words: bool,
    finishing: bool,
    last_sent: Option<Instant>,
}

impl Session {
    /// One connection, from the first SYN to its end. Without an error, that end was asked for.
    pub(super) fn connect_and_talk(
        &mut self,
        endpoint: &Endpoint,
        transport: &Transport,
        manner: &Manner,
        sent_any: &mut bool,
    ) -> Result<(), Broken> {
        let Some(mut link) = self.open_link(endpoint, transport, true)? else { return Ok(()) };
        let now = Instant::now();
        match manner {
            Manner::Etsi(manner) => {
                let label = self.setup.label.clone();
                let mut conversation = EtsiConversation::new(manner.clone(), label, &self.setup.ledger, now);
                self.converse(&mut link, &mut conversation, sent_any)
            }
            Manner::X3(keep_alive) => self.converse(&mut link, &mut X3Conversation::new(*keep_alive, now), sent_any),
        }
    }

    fn converse(
        &mut self,
        link: &mut Link,
        conversation: &mut impl Conversation,
        sent_any: &mut bool,
    ) -> Result<(), Broken> {
        let mut hold = Hold::new(self.setup.timing.hold, &self.setup.timing, self.setup.consumer.capacity_bytes());
        let mut course = Course::default();
        loop {
            let heard = link.hear()?;
            conversation.heard(&link.take_heard(), &mut course.out)?;
            let now = Instant::now();
            let arrived = link.acknowledged()?;
            conversation.look(arrived, &mut course.out, now)?;
            let blocked = self.send(link, conversation, &mut course)?;

            hold.acknowledged(course.out.records_in(arrived), now);
            let deliverable = |due| conversation.confirmed().unwrap_or(due);
            *sent_any |= self.release(deliverable(hold.due(now)))? > 0;

            let delivered = deliverable(course.out.records_in(arrived));
            if heard == Heard::Closed {
                if course.finishing {
                    // The agency read up to our end, and said so with its own.
                    self.release(delivered)?;
                    return Ok(());
                }
                return Err(Failure::new(FailureKind::Closed, "in order").into());
            }
            let stop = self.stop.get().copied();
            if let Some(deadline) = stop {
                self.take_leave(link, conversation, &mut course, blocked)?;
                if now >= deadline || (course.finishing && self.setup.consumer.is_empty()?) {
                    self.release(delivered)?;
                    return Ok(());
                }
            }

            let waits = blocked || course.finishing || course.lacks_key || !conversation.is_ready();
            if !waits && (!course.out.is_empty() || !self.setup.consumer.may_sleep()?) {
                continue;
            }
            let by_tcp = conversation.confirmed().is_none();
            let hold_due = hold.next_due().filter(|_| by_tcp);
            let due = [hold_due, conversation.due(), stop].into_iter().flatten().min();
            let until = |due: Instant| due.saturating_duration_since(now).max(Duration::from_millis(1));
            let mut timeout = due.map_or(IDLE, until).min(IDLE);
            if stop.is_some() || (by_tcp && delivered < self.setup.consumer.sent_bytes()) {
                timeout = timeout.min(ASK);
            }
            self.rest(link, blocked, timeout, course.last_sent)?;
        }
    }

    /// Sends what is in the outbox, and fills it anew from the stream. Whether the connection takes no more now.
    fn send(
        &mut self,
        link: &mut Link,
        conversation: &mut impl Conversation,
        course: &mut Course,
    ) -> Result<bool, Broken> {
        let mut blocked = !link.flush()?;
        for _ in 0..BURST {
            if course.out.is_empty() && conversation.is_ready() && !course.finishing {
                self.fill(conversation, course)?;
            }
            if blocked || course.out.is_empty() {
                break;
            }
            let taken = link.send(course.out.unsent())?;
            blocked = taken == 0 || link.is_blocked();
            if taken > 0 {
                let now = Instant::now();
                course.out.sent(taken);
                course.last_sent = Some(now);
                conversation.sent(now);
            }
            if course.out.is_empty() {
                let bytes = std::mem::take(&mut course.unaccounted);
                self.account(|account| account.sent(bytes));
            }
        }
        Ok(blocked)
    }

    /// Puts records that wait into the outbox.
    fn fill(&mut self, conversation: &mut impl Conversation, course: &mut Course) -> Result<(), Broken> {
        let now = Instant::now();
        let mut count = 0;
        let mut lacks_key = false;
        for record in self.setup.consumer.unsent_records()? {
            let (record, pdu) = record?;
            if conversation.record(&record, pdu, &mut course.out, now)? == Taken::NoKey {
                lacks_key = true;
                break;
            }
            count += 1;
            if course.out.is_full() {
                break;
            }
        }
        if count > 0 {
            course.unaccounted += self.setup.consumer.sent_records(count)?;
            course.out.mark(self.setup.consumer.sent_bytes());
        }
        if lacks_key && !std::mem::replace(&mut course.lacks_key, true) {
            self.note_failure(&Failure::new(FailureKind::NoKey, "nothing goes in the clear"));
        }
        Ok(())
    }

    /// A stop was asked for: once every record is out, and confirmed where the agency confirms, our end of the connection
    /// follows.
    fn take_leave(
        &mut self,
        link: &mut Link,
        conversation: &mut impl Conversation,
        course: &mut Course,
        blocked: bool,
    ) -> Result<(), Broken> {
        let waits = !course.lacks_key && self.setup.consumer.unsent(1)?.is_some();
        if course.finishing || blocked || waits || !course.out.is_empty() {
            return Ok(());
        }
        if !course.said_last_words {
            course.said_last_words = conversation.last_words(&mut course.out, Instant::now())?;
            return Ok(());
        }
        let all_confirmed = conversation.confirmed().is_none_or(|bytes| bytes >= self.setup.consumer.sent_bytes());
        course.finishing = all_confirmed && link.finish()?;
        Ok(())
    }
}
