//! A thread that carries one stream to one endpoint, from start to stop.

mod conversation;
mod datagrams;
mod folder;
mod hold;
mod network;

use crate::digests::{DigestSheet, Windows};
use crate::failure::{Failure, FailureKind};
use crate::files::{Files, Predecessor};
use crate::peer::Peer;
use crate::route::Route;
use ring::rand::SecureRandom;
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use writ_spool::{Consumer, Ledger, SessionState, StreamAccount, StreamError, Wake};

/// What a session is to do.
pub struct SessionSetup {
    /// What logs call it: the destination's name and the stream, such as `fbi-lab cmc`. Never a case or a person.
    pub label: String,
    /// Where to.
    pub route: Route,
    /// Who was on that way before: what it left in files half done has to be put right.
    pub predecessor: Predecessor,
    /// What to send.
    pub consumer: Consumer,
    /// Where to account for it.
    pub ledger: Arc<Ledger>,
    /// The stream's index in the ledger.
    pub stream: usize,
    /// How long to wait for what.
    pub timing: Timing,
    /// The digests to keep of what is released; none for a trial.
    pub digests: Option<DigestSheet>,
    /// Who is told how the way opens, beside the ledger; for a trial.
    pub notices: Option<Sender<Notice>>,
}

/// What a session tells whoever asked to be told.
#[derive(Debug)]
pub enum Notice {
    /// The way is open: PDUs can go. With whom, if there is a connection.
    Open(Option<Peer>),
    /// It could not be opened, or is no more.
    Failed {
        /// Why.
        kind: FailureKind,
        /// In the words of whoever reported it.
        detail: String,
    },
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
    /// The same for datagrams: how long nobody must have said that he does not take them. Linux says so of a closed port once
    /// a second (net.ipv4.icmp_ratelimit).
    pub datagram_hold: Duration,
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
            datagram_hold: Duration::from_millis(1250),
            // A receive buffer's usual limit (net.ipv4.tcp_rmem is 6 MiB, with the kernel's own overhead).
            hold_bytes: 4 << 20,
            gather: Duration::from_millis(1),
            retry_first: Duration::from_millis(250),
            retry_most: Duration::from_secs(30),
        }
    }
}

/// How long a session sleeps at most when nothing is due.
const IDLE: Duration = Duration::from_secs(1);

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

/// One stream on its way: to an agency's endpoint, or into files of this machine.
pub struct Session {
    setup: SessionSetup,
    /// The files, once they are open. They outlive a failure: what it left half done is put right by the next attempt.
    files: Option<Box<dyn Files>>,
    windows: Option<Windows>,
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
    pub fn spawn(mut setup: SessionSetup) -> io::Result<SessionHandle> {
        if setup.ledger.stream(setup.stream).is_none() {
            let message = format!("the ledger has no stream {}", setup.stream);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let stop = Arc::new(OnceLock::new());
        let wake = setup.consumer.wake().try_clone()?;
        let windows = setup.digests.take().map(|sheet| Windows::new(sheet, Arc::clone(&setup.ledger)));
        let session = Self { setup, files: None, windows, stop: stop.clone(), said: None };
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
            let served = match &self.setup.route {
                Route::Endpoint { endpoint, transport } => {
                    let (endpoint, transport) = (endpoint.clone(), transport.clone());
                    self.connect_and_serve(&endpoint, &transport, &mut sent_any)
                }
                Route::Conversation { endpoint, transport, manner } => {
                    let (endpoint, transport, manner) = (endpoint.clone(), transport.clone(), manner.clone());
                    self.connect_and_talk(&endpoint, &transport, &manner, &mut sent_any)
                }
                Route::Datagrams(endpoint) => {
                    let endpoint = endpoint.clone();
                    self.send_datagrams(&endpoint, &mut sent_any)
                }
                Route::Nowhere => self.stay(),
                Route::Files(folder) => {
                    let folder = folder.clone();
                    self.write_files(&folder, &mut sent_any)
                }
            };
            let failure = match served {
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

    /// There is no such stream: waits for the stop.
    fn stay(&mut self) -> Result<(), Broken> {
        self.note_open();
        while !self.gives_up()? {
            self.setup.consumer.wake().wait(IDLE).map_err(writ_spool::MapError::from).map_err(StreamError::from)?;
        }
        Ok(())
    }

    /// Releases the records that lie in the first `bytes` sent since the last rewind; says how many were.
    fn release(&mut self, bytes: u64) -> Result<u64, StreamError> {
        let (records, bytes) = match &mut self.windows {
            Some(windows) => self.setup.consumer.release(bytes, windows)?,
            None => self.setup.consumer.acknowledged(bytes)?,
        };
        if records > 0 {
            self.account(|account| account.delivered(records, bytes));
        }
        Ok(records)
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
        self.tell(|| Notice::Failed { kind: failure.kind, detail: failure.detail.clone() });
        if self.said != Some(failure.kind) {
            self.said = Some(failure.kind);
            let (stream, reason, detail) = (&self.setup.label, failure.kind.label(), &failure.detail);
            if failure.kind.is_local() {
                tracing::error!(%stream, reason, %detail, "ALARM: {}", failure.kind.message());
            } else {
                tracing::warn!(%stream, reason, %detail, "{}", failure.kind.message());
            }
        }
    }

    /// The way is open.
    fn note_open(&mut self) {
        self.set_state(SessionState::Connected);
        self.account(|account| {
            account.opened();
            account.set_failure(0);
        });
        self.said = None;
    }

    fn tell(&self, notice: impl FnOnce() -> Notice) {
        if let Some(notices) = &self.setup.notices {
            // Whoever has heard enough does not hear the rest.
            let _unheard = notices.send(notice());
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
