//! Messages to a role that may not be reading: kept in order until its channel has room.

use super::channel::{Channel, ChannelError};
use serde::Serialize;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

/// See the module.
#[derive(Debug)]
pub struct Outbox<T> {
    waiting: VecDeque<T>,
}

impl<T: Serialize> Outbox<T> {
    /// Nothing to say.
    pub fn new() -> Self {
        Self { waiting: VecDeque::new() }
    }

    /// Notes a message.
    pub fn push(&mut self, message: T) {
        self.waiting.push_back(message);
    }

    /// Whether everything has been sent.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes back the messages for which `keep` says no.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.waiting.retain(keep);
    }

    /// Sends what the other end has room for, each message with the descriptors that `beside` names. A reader that
    /// stands still loses nothing but time.
    pub fn flush<'fd>(&mut self, channel: &Channel, beside: impl Fn(&T) -> Vec<BorrowedFd<'fd>>) {
        while let Some(message) = self.waiting.front() {
            match channel.send(message, &beside(message)) {
                Ok(()) => {}
                Err(ChannelError::Full) => return,
                // One that can never be sent must not hold up the others.
                Err(error) => tracing::error!(%error, "a message to another role is lost"),
            }
            self.waiting.pop_front();
        }
    }
}

impl<T: Serialize> Default for Outbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_reader_that_stands_still_gets_everything_in_order_later() {
        let (here, there) = Channel::pair().unwrap();
        let mut outbox = Outbox::new();
        for number in 0..50u8 {
            outbox.push((number, "x".repeat(50_000)));
        }
        outbox.flush(&here, |_| Vec::new());
        assert!(!outbox.is_empty());
        for expected in 0..50 {
            let ((number, _), _): ((u8, String), _) = there.receive(Duration::ZERO).unwrap().unwrap();
            assert_eq!(number, expected);
            outbox.flush(&here, |_| Vec::new());
        }
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_can_never_be_sent_holds_up_nobody() {
        let (here, there) = Channel::pair().unwrap();
        let mut outbox = Outbox::new();
        outbox.push("x".repeat(1 << 20));
        outbox.push("after".to_owned());
        outbox.flush(&here, |_| Vec::new());
        assert_eq!(there.receive::<String>(Duration::ZERO).unwrap().unwrap().0, "after");
    }
}
