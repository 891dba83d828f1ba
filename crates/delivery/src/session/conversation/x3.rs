//! What is said on a connection of X2 or X3 (TS 103 221-2) beside the PDUs: keep-alives, both ways.

use super::outbox::Outbox;
use super::pulse::Pulse;
use super::{Conversation, Taken};
use crate::failure::{Failure, FailureKind};
use crate::manner::KeepAlive;
use std::time::Instant;
use writ_encoder::NoRoom;
use writ_encoder::x2x3::{self, Kind, PduStream};
use writ_spool::Record;

/// Octets that a keep-alive has at most.
const KEEP_ALIVE: usize = 64;
/// Octets of a PDU of the agency's at most: it has nothing to send but keep-alives.
const LONGEST_HEARD: usize = 4096;

pub(super) struct X3Conversation {
    pulse: Pulse,
    /// Number of the last keep-alive.
    number: u32,
    ear: PduStream,
}

impl X3Conversation {
    pub(super) fn new(keep_alive: KeepAlive, now: Instant) -> Self {
        Self { pulse: Pulse::new(keep_alive, now), number: 0, ear: PduStream::new(LONGEST_HEARD) }
    }
}

impl Conversation for X3Conversation {
    fn is_ready(&self) -> bool {
        true
    }

    fn record(&mut self, _: &Record, pdu: &[u8], out: &mut Outbox, _: Instant) -> Result<Taken, Failure> {
        out.put(pdu);
        Ok(Taken::Yes)
    }

    fn heard(&mut self, bytes: &[u8], out: &mut Outbox) -> Result<(), Failure> {
        let nonsense = |detail: String| Failure::new(FailureKind::Nonsense, detail);
        self.ear.push(bytes);
        while let Some(pdu) = self.ear.next_pdu().map_err(|error| nonsense(error.to_string()))? {
            let (pdu, _) = x2x3::decode(pdu.bytes).map_err(|error| nonsense(error.to_string()))?;
            let number = pdu.attributes.sequence_number().unwrap_or(0);
            match pdu.kind {
                Kind::KeepAlive => say(out, |room| x2x3::keep_alive_answer(room, number))?,
                Kind::KeepAliveAnswer if number == self.number => self.pulse.answered(),
                Kind::KeepAliveAnswer => {
                    return Err(nonsense("an answer to a keep-alive that was not asked".to_owned()));
                }
                Kind::X2 | Kind::X3 => return Err(nonsense("a PDU that only a probe sends".to_owned())),
            }
            if out.is_flooded() {
                return Err(nonsense("more questions than it takes answers".to_owned()));
            }
        }
        Ok(())
    }

    fn sent(&mut self, now: Instant) {
        self.pulse.sent(now);
    }

    fn look(&mut self, _: u64, out: &mut Outbox, now: Instant) -> Result<(), Failure> {
        if self.pulse.beats(now)? {
            self.number = self.number.wrapping_add(1);
            let number = self.number;
            say(out, |room| x2x3::keep_alive(room, number))?;
        }
        Ok(())
    }

    fn due(&self) -> Option<Instant> {
        self.pulse.due()
    }

    fn confirmed(&self) -> Option<u64> {
        None
    }

    fn last_words(&mut self, _: &mut Outbox, _: Instant) -> Result<bool, Failure> {
        Ok(true)
    }
}

fn say(out: &mut Outbox, write: impl FnOnce(&mut [u8]) -> Result<usize, NoRoom>) -> Result<(), Failure> {
    match out.put_with(KEEP_ALIVE, write) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(FailureKind::Unsendable, error.to_string())),
    }
}
