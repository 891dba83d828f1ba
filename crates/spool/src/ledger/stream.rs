//! The account of one stream, of all intercepts together: written by its deliver thread.

use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const STREAM_WORDS: usize = 32;

/// State of a session with an agency's endpoint.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// No deliver role has touched it yet.
    #[default]
    Idle = 0,
    /// Resolving, connecting or in the TLS handshake.
    Connecting = 1,
    /// Open: PDUs flow.
    Connected = 2,
    /// Waiting to try again.
    BackingOff = 3,
    /// Ended by the operator.
    Stopped = 4,
}

impl SessionState {
    const ALL: [Self; 5] = [Self::Idle, Self::Connecting, Self::Connected, Self::BackingOff, Self::Stopped];

    /// The name that `status` and metrics use.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::BackingOff => "backing_off",
            Self::Stopped => "stopped",
        }
    }
}

/// The account of one stream: written by its deliver thread.
#[derive(Clone, Copy)]
pub struct StreamAccount<'a> {
    pub(super) words: &'a [AtomicU64; STREAM_WORDS],
}

const STATE: usize = 0;
const STATE_SINCE: usize = 1;
const SESSIONS: usize = 2;
const ATTEMPTS_FAILED: usize = 3;
const FAILURE: usize = 4;
const SENT_BYTES: usize = 5;
const DELIVERED_RECORDS: usize = 6;
const DELIVERED_BYTES: usize = 7;
const RESENT_RECORDS: usize = 8;

impl StreamAccount<'_> {
    /// Notes a change of state; `since` in microseconds of UTC since 1970.
    pub fn set_state(&self, state: SessionState, since: u64) {
        self.words[STATE].store(state as u64, Ordering::Relaxed);
        self.words[STATE_SINCE].store(since, Ordering::Relaxed);
    }

    /// A session was opened.
    pub fn opened(&self) {
        self.words[SESSIONS].fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt to open a session failed.
    pub fn attempt_failed(&self) {
        self.words[ATTEMPTS_FAILED].fetch_add(1, Ordering::Relaxed);
    }

    /// Why the last attempt or session ended: a code of the delivery crate's, 0 for none.
    pub fn set_failure(&self, code: u64) {
        self.words[FAILURE].store(code, Ordering::Relaxed);
    }

    /// Bytes of PDUs handed to the connection.
    pub fn sent(&self, bytes: u64) {
        self.words[SENT_BYTES].fetch_add(bytes, Ordering::Relaxed);
    }

    /// PDUs acknowledged.
    pub fn delivered(&self, records: u64, bytes: u64) {
        self.words[DELIVERED_RECORDS].fetch_add(records, Ordering::Relaxed);
        self.words[DELIVERED_BYTES].fetch_add(bytes, Ordering::Relaxed);
    }

    /// PDUs that go out again after a connection was lost.
    pub fn resent(&self, records: u64) {
        self.words[RESENT_RECORDS].fetch_add(records, Ordering::Relaxed);
    }

    /// All figures, read one after the other.
    pub fn snapshot(&self) -> StreamSnapshot {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let state = usize::try_from(load(&self.words[STATE])).ok();
        StreamSnapshot {
            state: state.and_then(|state| SessionState::ALL.get(state)).copied().unwrap_or_default(),
            state_since: load(&self.words[STATE_SINCE]),
            sessions: load(&self.words[SESSIONS]),
            attempts_failed: load(&self.words[ATTEMPTS_FAILED]),
            failure: load(&self.words[FAILURE]),
            sent_bytes: load(&self.words[SENT_BYTES]),
            delivered_records: load(&self.words[DELIVERED_RECORDS]),
            delivered_bytes: load(&self.words[DELIVERED_BYTES]),
            resent_records: load(&self.words[RESENT_RECORDS]),
        }
    }
}

/// Figures of one stream, of all slots together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamSnapshot {
    /// State of the session.
    pub state: SessionState,
    /// When it took that state: microseconds of UTC since 1970.
    pub state_since: u64,
    /// Sessions opened. All but the first were reconnects.
    pub sessions: u64,
    /// Attempts to open one that failed.
    pub attempts_failed: u64,
    /// Why the last attempt or session ended: a code of the delivery crate's, 0 for none.
    pub failure: u64,
    /// Bytes of PDUs handed to connections, repeats included.
    pub sent_bytes: u64,
    /// PDUs acknowledged. A kill of the deliver role can make it fall short by one batch; the slots' figures cannot.
    pub delivered_records: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// PDUs that went out again after a connection was lost.
    pub resent_records: u64,
}
