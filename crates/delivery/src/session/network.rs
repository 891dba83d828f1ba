//! A stream that goes to an agency's endpoint: one connection after the other.

use super::hold::Hold;
use super::{Broken, IDLE, Notice, Session, gives_up};
use crate::connect::{NotConnected, connect, wait_for};
use crate::credentials::Transport;
use crate::destination::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::link::{CHUNK, Heard, Link};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Chunks between two looks at acknowledgements and at the agency's side.
pub(super) const BURST: usize = 16;
/// Acknowledgements wake nobody; so often they are asked for while some are due.
pub(super) const ASK: Duration = Duration::from_millis(10);

impl Session {
    /// One connection, from the first SYN to its end. Without an error, that end was asked for.
    pub(super) fn connect_and_serve(
        &mut self,
        endpoint: &Endpoint,
        transport: &Transport,
        sent_any: &mut bool,
    ) -> Result<(), Broken> {
        match self.open_link(endpoint, transport, false)? {
            Some(mut link) => self.serve(&mut link, sent_any),
            None => Ok(()),
        }
    }

    /// A connection on which PDUs can go; none: told to stop meanwhile. `listens` says whether what the agency sends is kept.
    pub(super) fn open_link(
        &mut self,
        endpoint: &Endpoint,
        transport: &Transport,
        listens: bool,
    ) -> Result<Option<Link>, Broken> {
        let begun = Instant::now();
        let deadline = begun + self.setup.timing.connect;
        let consumer = &self.setup.consumer;
        // Damaged memory shows again, and is dealt with, as soon as there is a connection or none.
        let stopped = || gives_up(&self.stop, consumer).unwrap_or(true);
        let socket = match connect(endpoint, deadline, consumer.wake(), &stopped) {
            Ok(socket) => socket,
            Err(NotConnected::Stopped) => return Ok(None),
            Err(NotConnected::Failed(failure)) => {
                self.account(|account| account.attempt_failed());
                return Err(failure.into());
            }
        };
        let mut link = Link::new(socket, transport)?;
        if listens {
            link.listen();
        }
        let accepted = self.wait_for_acceptance(&mut link, deadline);
        match accepted {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(broken) => {
                self.account(|account| account.attempt_failed());
                return Err(broken);
            }
        }
        self.note_open();
        tracing::info!(stream = %self.setup.label, "session with the agency is open");
        self.tell(|| Notice::Open(Some(link.peer())));
        Ok(Some(link))
    }

    /// The TLS handshake, and the agency's sign that it takes our certificate. False: told to stop meanwhile.
    fn wait_for_acceptance(&mut self, link: &mut Link, deadline: Instant) -> Result<bool, Broken> {
        const SLICE: Duration = Duration::from_millis(100);
        let mut handshaken = None;
        loop {
            link.flush()?;
            if link.is_accepted() {
                return Ok(true);
            }
            if link.hear()? == Heard::Closed {
                return Err(Failure::new(FailureKind::Closed, "in the handshake").into());
            }
            link.flush()?;
            let now = Instant::now();
            if link.is_handshaken() {
                let silent_until = *handshaken.get_or_insert(now + self.setup.timing.acceptance);
                if link.is_accepted() || now >= silent_until {
                    return Ok(true);
                }
            } else if now >= deadline {
                return Err(Failure::new(FailureKind::Timeout, "no end of the TLS handshake").into());
            }
            if self.gives_up()? {
                return Ok(false);
            }
            wait_for(&*link, link.is_blocked(), self.setup.consumer.wake(), SLICE).map_err(io::Error::from)?;
            self.setup.consumer.wake().clear();
        }
    }

    /// Sends until the connection breaks or a stop is carried out.
    fn serve(&mut self, link: &mut Link, sent_any: &mut bool) -> Result<(), Broken> {
        let mut hold = Hold::new(self.setup.timing.hold, &self.setup.timing, self.setup.consumer.capacity_bytes());
        let mut finishing = false;
        let mut last_sent: Option<Instant> = None;
        loop {
            let heard = link.hear()?;
            let mut blocked = !link.flush()?;
            let sent_before = self.setup.consumer.sent_bytes();
            for _ in 0..BURST {
                if blocked || finishing {
                    break;
                }
                let Some(bytes) = self.setup.consumer.unsent(CHUNK)? else { break };
                let taken = link.send(bytes)?;
                self.setup.consumer.sent(taken);
                self.account(|account| account.sent(taken as u64));
                *sent_any |= taken > 0;
                blocked = taken == 0 || link.is_blocked();
            }

            let now = Instant::now();
            if self.setup.consumer.sent_bytes() > sent_before {
                last_sent = Some(now);
            }
            let acknowledged = link.acknowledged()?;
            hold.acknowledged(acknowledged, now);
            self.release(hold.due(now))?;

            let stop = self.stop.get().copied();
            if finishing && heard == Heard::Closed {
                // The agency read up to our end, and said so with its own.
                self.release(acknowledged)?;
                return Ok(());
            }
            if heard == Heard::Closed {
                return Err(Failure::new(FailureKind::Closed, "in order").into());
            }
            if let Some(deadline) = stop {
                let all_sent = !blocked && self.setup.consumer.unsent(1)?.is_none();
                if all_sent && !finishing && link.finish()? {
                    finishing = true;
                }
                if now >= deadline || (finishing && self.setup.consumer.is_empty()?) {
                    self.release(acknowledged)?;
                    return Ok(());
                }
            }

            if !blocked && !finishing && !self.setup.consumer.may_sleep()? {
                continue;
            }
            let mut timeout = match hold.next_due() {
                _ if acknowledged < self.setup.consumer.sent_bytes() => ASK,
                Some(due) => due.saturating_duration_since(now).max(Duration::from_millis(1)),
                None => IDLE,
            };
            if let Some(deadline) = stop {
                timeout = timeout.min(deadline.saturating_duration_since(now)).min(ASK);
            }
            self.rest(link, blocked, timeout, last_sent)?;
        }
    }

    /// Waits for the agency, for PDUs, or until `timeout` is over.
    pub(super) fn rest(
        &mut self,
        link: &Link,
        blocked: bool,
        timeout: Duration,
        last_sent: Option<Instant>,
    ) -> Result<(), Broken> {
        let waited = wait_for(link, blocked, self.setup.consumer.wake(), timeout);
        self.setup.consumer.awake()?;
        waited.map_err(io::Error::from)?;
        let gather = self.setup.timing.gather;
        let is_busy = last_sent.is_some_and(|sent| sent.elapsed() < gather / 2);
        if is_busy && !blocked && self.stop.get().is_none() && self.setup.consumer.unsent(1)?.is_some() {
            thread::sleep(gather);
        }
        Ok(())
    }
}
