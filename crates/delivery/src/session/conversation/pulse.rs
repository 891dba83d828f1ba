//! Keep-alives: when to ask whether the agency is there, and when it has not answered.

use crate::failure::{Failure, FailureKind};
use crate::manner::KeepAlive;
use std::time::Instant;

pub(super) struct Pulse {
    keep_alive: KeepAlive,
    last_sent: Instant,
    asked: Option<Instant>,
}

impl Pulse {
    pub(super) fn new(keep_alive: KeepAlive, now: Instant) -> Self {
        Self { keep_alive, last_sent: now, asked: None }
    }

    /// Bytes went out: the connection is not idle.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// Whether to ask now. It is a failure that the last question has no answer.
    pub(super) fn beats(&mut self, now: Instant) -> Result<bool, Failure> {
        if let Some(asked) = self.asked {
            check_answer(asked, self.keep_alive, now, "a keep-alive")?;
            return Ok(false);
        }
        let idle = now.saturating_duration_since(self.last_sent);
        let beats = self.keep_alive.idle.is_some_and(|most| idle >= most);
        if beats {
            self.asked = Some(now);
        }
        Ok(beats)
    }

    /// The agency is there. An answer to no question says no more than that.
    pub(super) fn answered(&mut self) {
        self.asked = None;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.asked {
            Some(asked) => Some(asked + self.keep_alive.answer),
            None => self.keep_alive.idle.map(|idle| self.last_sent + idle),
        }
    }
}

/// Whether the answer to what was asked at `asked` may still come.
pub(super) fn check_answer(asked: Instant, keep_alive: KeepAlive, now: Instant, what: &str) -> Result<(), Failure> {
    if now.saturating_duration_since(asked) < keep_alive.answer {
        return Ok(());
    }
    Err(Failure::new(FailureKind::NoAnswer, format!("to {what} within {} s", keep_alive.answer.as_secs())))
}
