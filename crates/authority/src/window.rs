//! The time in which an order may be carried out: from its start up to, and not including, its stop.

use jiff::Timestamp;

/// A window with a start before its stop, both between 1970 and 2262, so that they count as nanoseconds in 63 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    start_utc_ns: u64,
    stop_utc_ns: u64,
}

/// Why two moments make no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The stop is not after the start.
    #[error("the stop is not after the start")]
    Empty,
    /// A moment before 1970 or after 2262.
    #[error("out of range: years 1970 to 2262 only")]
    OutOfRange,
}

impl Window {
    /// From `start` on, up to `stop`.
    pub fn new(start: Timestamp, stop: Timestamp) -> Result<Self, WindowError> {
        let nanoseconds = |time: Timestamp| match i64::try_from(time.as_nanosecond()) {
            Ok(ns) => u64::try_from(ns).map_err(|_| WindowError::OutOfRange),
            Err(_) => Err(WindowError::OutOfRange),
        };
        let (start_utc_ns, stop_utc_ns) = (nanoseconds(start)?, nanoseconds(stop)?);
        if stop_utc_ns <= start_utc_ns {
            return Err(WindowError::Empty);
        }
        Ok(Self { start_utc_ns, stop_utc_ns })
    }

    /// First moment at which a packet may be taken: UTC, nanoseconds since 1970.
    pub fn start_utc_ns(&self) -> u64 {
        self.start_utc_ns
    }

    /// First moment at which none may be taken any more: UTC, nanoseconds since 1970.
    pub fn stop_utc_ns(&self) -> u64 {
        self.stop_utc_ns
    }

    /// The start as a point in time.
    pub fn start(&self) -> Timestamp {
        timestamp(self.start_utc_ns)
    }

    /// The stop as a point in time.
    pub fn stop(&self) -> Timestamp {
        timestamp(self.stop_utc_ns)
    }

    /// Whether `now` is past the stop, or at it.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.stop()
    }

    /// Whether `now` is before the start.
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        now < self.start()
    }
}

fn timestamp(utc_ns: u64) -> Timestamp {
    // In range by construction: below 2^63 ns, and a Timestamp reaches to the year 9999.
    Timestamp::from_nanosecond(i128::from(utc_ns)).unwrap_or(Timestamp::MAX)
}
