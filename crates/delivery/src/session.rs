//! A thread that carries one stream to one endpoint, from start to stop.

use crate::connect::{NotConnected, connect, wait_for};
use crate::credentials::Transport;
use crate::destination::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::link::{CHUNK, Heard, Link};
use ring::rand::SecureRandom;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use writ_spool::{Consumer, Ledger, SessionState, StreamAccount, StreamError, Wake};

/// What a session is to do.
pub struct SessionSetup {
    /// What logs call it: the destination's name and the stream, such as `fbi-lab cmc`. Never a case or a person.
    pub label: String,
    /// Where to.
    pub endpoint: Endpoint,
    /// Protected how.
    pub transport: Transport,
    /// What to send.
    pub consumer: Consumer,
    /// Where to account for it.
    pub ledger: Arc<Ledger>,
    /// The stream's index in the ledger.
    pub stream: usize,
    /// How long to wait for what.
    pub timing: Timing,
}

/// How long a session waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For a connection, TLS handshake included.
    pub connect: Duration,
    /// For an agency that has not shown that it takes our certificate, before PDUs are sent all the same.
    pub acceptance: Duration,
    /// How long a connection must outlive an acknowledgement before the PDUs are released. An acknowledgement is the
    /// word of the agency's kernel; should its program die, what it had not read yet is thus sent again.
    pub hold: Duration,
    /// At most so many acknowledged bytes are held (and never more than a quarter of the stream's memory).
    pub hold_bytes: u64,
    /// How long a PDU waits for others to go with it, if the last ones went out less than half of that ago. Without it a
    /// session is woken for every batch of a busy worker, and the wake-ups cost more than the PDUs. After a longer silence
    /// a PDU leaves at once.
    pub gather: Duration,
    /// Before the second attempt; doubles from then on.
    pub retry_first: Duration,
    /// At most, between attempts.
    pub retry_most: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            acceptance: Duration::from_secs(2),
            hold: Duration::from_millis(500),
            // A receive buffer's usual limit (net.ipv4.tcp_rmem is 6 MiB, with the kernel's own overhead).
            hold_bytes: 4 << 20,
            gather: Duration::from_millis(1),
            retry_first: Duration::from_millis(250),
            retry_most: Duration::from_secs(30),
        }
    }
}

/// How a session's thread came to its end.
#[derive(Debug)]
pub enum Ended {
    /// Stopped; everything committed was delivered.
    Drained,
    /// Stopped; the limit was over before everything was delivered. What waits stays in the stream's memory.
    Undrained,
    /// The stream's memory is damaged.
    Damaged(StreamError),
}

/// Controls a running session. Dropping it leaves the session running.
pub struct SessionHandle {
    stop: Arc<OnceLock<Instant>>,
    wake: Wake,
    thread: JoinHandle<Ended>,
}

impl SessionHandle {
    /// Asks for the end: what is committed by now is sent if the agency takes it within `drain`. Returns at once.
    pub fn stop(&self, drain: Duration) {
        let now = Instant::now();
        let _first_stop_counts = self.stop.set(now.checked_add(drain).unwrap_or(now));
        self.wake.wake();
    }

    /// Whether the thread has ended. Without a stop it ends only if the stream's memory is damaged.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end: at most the limit given to [`SessionHandle::stop`] and a moment.
    pub fn join(self) -> thread::Result<Ended> {
        self.thread.join()
    }
}

/// A session with one endpoint of an agency.
pub struct Session {
    setup: SessionSetup,
    stop: Arc<OnceLock<Instant>>,
    /// What was last logged, so that a state is said once and not at every attempt.
    said: Option<FailureKind>,
}

/// Why serving a connection came to its end.
enum Broken {
    /// Try again.
    Connection(Failure),
    /// No use in trying again.
    Stream(StreamError),
}

impl<F: Into<Failure>> From<F> for Broken {
    fn from(failure: F) -> Self {
        Self::Connection(failure.into())
    }
}

impl From<StreamError> for Broken {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl Session {
    /// Starts the session's thread.
    pub fn spawn(setup: SessionSetup) -> io::Result<SessionHandle> {
        if setup.ledger.stream(setup.stream).is_none() {
            let message = format!("the ledger has no stream {}", setup.stream);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let stop = Arc::new(OnceLock::new());
        let wake = setup.consumer.wake().try_clone()?;
        let session = Self { setup, stop: stop.clone(), said: None };
        let name = format!("deliver-{}", session.setup.stream);
        let thread = thread::Builder::new().name(name).spawn(move || session.run())?;
        Ok(SessionHandle { stop, wake, thread })
    }

    fn run(mut self) -> Ended {
        let ended = self.keep_trying().unwrap_or_else(Ended::Damaged);
        match &ended {
            Ended::Damaged(error) => tracing::error!(stream = %self.setup.label, %error, "delivery ended"),
            Ended::Drained => tracing::info!(stream = %self.setup.label, "delivery ended, everything delivered"),
            Ended::Undrained => tracing::warn!(stream = %self.setup.label, "delivery ended, PDUs are waiting"),
        }
        self.set_state(SessionState::Stopped);
        ended
    }

    fn keep_trying(&mut self) -> Result<Ended, StreamError> {
        let mut failures = 0;
        loop {
            self.set_state(SessionState::Connecting);
            let mut sent_any = false;
            let failure = match self.connect_and_serve(&mut sent_any) {
                Ok(()) => None,
                Err(Broken::Connection(failure)) => Some(failure),
                Err(Broken::Stream(error)) => return Err(error),
            };
            if let Some(failure) = failure {
                self.note_failure(&failure);
            }
            self.setup.consumer.awake()?;
            let again = self.setup.consumer.rewind()?;
            if again > 0 {
                self.account(|account| account.resent(again));
            }
            failures = if sent_any { 0 } else { failures + 1 };
            self.set_state(SessionState::BackingOff);
            self.back_off(failures)?;
            if self.gives_up()? {
                let drained = self.setup.consumer.is_empty()?;
                return Ok(if drained { Ended::Drained } else { Ended::Undrained });
            }
        }
    }

    /// One connection, from the first SYN to its end. Without an error, that end was asked for.
    fn connect_and_serve(&mut self, sent_any: &mut bool) -> Result<(), Broken> {
        let begun = Instant::now();
        let deadline = begun + self.setup.timing.connect;
        let SessionSetup { endpoint, transport, consumer, .. } = &self.setup;
        // Damaged memory shows again, and is dealt with, as soon as there is a connection or none.
        let stopped = || gives_up(&self.stop, consumer).unwrap_or(true);
        let socket = match connect(endpoint, deadline, consumer.wake(), &stopped) {
            Ok(socket) => socket,
            Err(NotConnected::Stopped) => return Ok(()),
            Err(NotConnected::Failed(failure)) => {
                self.account(|account| account.attempt_failed());
                return Err(failure.into());
            }
        };
        let mut link = Link::new(socket, transport)?;
        let accepted = self.wait_for_acceptance(&mut link, deadline);
        match accepted {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(broken) => {
                self.account(|account| account.attempt_failed());
                return Err(broken);
            }
        }
        self.set_state(SessionState::Connected);
        self.account(|account| {
            account.opened();
            account.set_failure(0);
        });
        self.said = None;
        tracing::info!(stream = %self.setup.label, "session with the agency is open");
        self.serve(&mut link, sent_any)
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
        /// Chunks between two looks at acknowledgements and at the agency's side.
        const BURST: usize = 16;
        /// Acknowledgements wake nobody; so often they are asked for while some are due.
        const ASK: Duration = Duration::from_millis(10);
        const IDLE: Duration = Duration::from_secs(1);
        let mut hold = Hold::new(&self.setup.timing, self.setup.consumer.capacity_bytes());
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
            let waited = wait_for(&*link, blocked, self.setup.consumer.wake(), timeout);
            self.setup.consumer.awake()?;
            waited.map_err(io::Error::from)?;
            let gather = self.setup.timing.gather;
            let is_busy = last_sent.is_some_and(|sent| sent.elapsed() < gather / 2);
            if is_busy && !blocked && stop.is_none() && self.setup.consumer.unsent(1)?.is_some() {
                thread::sleep(gather);
            }
        }
    }

    fn release(&mut self, bytes: u64) -> Result<(), StreamError> {
        let (records, bytes) = self.setup.consumer.acknowledged(bytes)?;
        if records > 0 {
            self.account(|account| account.delivered(records, bytes));
        }
        Ok(())
    }

    /// Whether a stop was asked for and is due: nothing waits, or the time is over.
    fn gives_up(&self) -> Result<bool, StreamError> {
        gives_up(&self.stop, &self.setup.consumer)
    }

    /// Waits before the next attempt, half of the time fixed and half by chance, so that after an outage not every
    /// probe comes back at once.
    fn back_off(&self, failures: u32) -> Result<(), StreamError> {
        let Timing { retry_first, retry_most, .. } = self.setup.timing;
        let whole = retry_first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(retry_most);
        let mut chance = [0; 2];
        let _without_chance = ring::rand::SystemRandom::new().fill(&mut chance);
        let until = Instant::now() + whole / 2 + whole / 2 * u32::from(u16::from_ne_bytes(chance)) / (1 << 16);
        while !self.gives_up()? {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Once stopping, the limit may end before the wait does.
            let slice = if self.stop.get().is_some() { left.min(Duration::from_millis(50)) } else { left };
            self.setup.consumer.wake().wait(slice).map_err(writ_spool::MapError::from)?;
        }
        Ok(())
    }

    fn note_failure(&mut self, failure: &Failure) {
        self.account(|account| account.set_failure(failure.kind.code()));
        if self.said != Some(failure.kind) {
            self.said = Some(failure.kind);
            let reason = failure.kind.label();
            tracing::warn!(
                stream = %self.setup.label, reason, detail = %failure.detail, "{}", failure.kind.message()
            );
        }
    }

    fn set_state(&self, state: SessionState) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.account(|account| account.set_state(state, u64::try_from(since.as_micros()).unwrap_or(u64::MAX)));
    }

    fn account(&self, enter: impl FnOnce(StreamAccount<'_>)) {
        // There is one: checked by `spawn`.
        if let Some(account) = self.setup.ledger.stream(self.setup.stream) {
            enter(account);
        }
    }
}

fn gives_up(stop: &OnceLock<Instant>, consumer: &Consumer) -> Result<bool, StreamError> {
    match stop.get() {
        None => Ok(false),
        Some(deadline) => Ok(Instant::now() >= *deadline || consumer.is_empty()?),
    }
}

/// Acknowledged bytes that are not released yet; see [`Timing::hold`].
struct Hold {
    time: Duration,
    bytes: u64,
    /// Acknowledged up to here by then, one mark a grain of time, oldest first.
    marks: VecDeque<(u64, Instant)>,
    acknowledged: u64,
    due: u64,
}

impl Hold {
    /// So many marks cover the time.
    const GRAINS: u32 = 16;

    fn new(timing: &Timing, capacity: u64) -> Self {
        let bytes = timing.hold_bytes.min(capacity / 4);
        Self { time: timing.hold, bytes, marks: VecDeque::new(), acknowledged: 0, due: 0 }
    }

    fn acknowledged(&mut self, bytes: u64, now: Instant) {
        if bytes == self.acknowledged {
            return;
        }
        self.acknowledged = bytes;
        match self.marks.back_mut() {
            Some((mark, begun)) if now.saturating_duration_since(*begun) < self.time / Self::GRAINS => *mark = bytes,
            _ => self.marks.push_back((bytes, now)),
        }
    }

    /// Bytes that may be released now.
    fn due(&mut self, now: Instant) -> u64 {
        // A mark's last bytes are up to one grain younger than the mark.
        let old = self.time + self.time / Self::GRAINS;
        while let Some((bytes, _)) = self.marks.pop_front_if(|(_, begun)| now.saturating_duration_since(*begun) >= old)
        {
            self.due = bytes;
        }
        self.due = self.due.max(self.acknowledged.saturating_sub(self.bytes));
        self.due
    }

    fn next_due(&self) -> Option<Instant> {
        self.marks.front().map(|(_, begun)| *begun + self.time + self.time / Self::GRAINS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_bytes_are_released_when_old_or_too_many() {
        let timing = Timing { hold: Duration::from_secs(1), hold_bytes: 100, ..Timing::default() };
        let mut hold = Hold::new(&timing, 1 << 20);
        let begun = Instant::now();
        hold.acknowledged(80, begun);
        assert_eq!(hold.due(begun), 0);
        hold.acknowledged(150, begun + Duration::from_millis(500));
        assert_eq!(hold.due(begun + Duration::from_millis(500)), 50, "all but the last hundred");
        assert_eq!(hold.due(begun + Duration::from_millis(1100)), 80, "the first ones are old enough");
        assert_eq!(hold.due(begun + Duration::from_millis(1600)), 150);
        assert!(hold.next_due().is_none());
        assert_eq!(Hold::new(&timing, 40).bytes, 10, "never more than a quarter of the memory");
    }
}
