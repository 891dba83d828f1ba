//! How far the system's clock can be from UTC, as the kernel has it from whoever keeps the clock (chrony, ntpd,
//! systemd-timesyncd), and what the probe makes of that: stops are earlier by the doubt, and where it is too large
//! nothing new begins.

use serde::{Deserialize, Serialize};
use std::io;
use std::mem::MaybeUninit;

/// `[clock]`: when the clock is good enough to begin an interception by it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSettings {
    /// Above this doubt no interception is begun, in milliseconds.
    pub max_doubt_ms: u32,
    /// No interception is begun either while nothing keeps the clock. Where this is false, such a clock is taken to be
    /// off by no more than `max_doubt_ms`.
    pub require_sync: bool,
}

impl Default for ClockSettings {
    fn default() -> Self {
        Self { max_doubt_ms: 200, require_sync: true }
    }
}

/// What the kernel knows of its clock: `adjtimex(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// Whether something keeps it.
    pub synchronised: bool,
    /// What is still to be slewed, microseconds; positive: the clock is to go forward.
    pub offset_us: i64,
    /// The keeper's own estimate of the error, microseconds.
    pub estimated_error_us: u64,
    /// The error is no larger, microseconds: the kernel adds 500 a second until the keeper has looked again.
    pub maximum_error_us: u64,
}

impl ClockState {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When it does not answer, as in a sandbox that forbids the call.
    pub fn measure() -> io::Result<Self> {
        // SAFETY: the struct is made of integers alone, for which zero is a value.
        let mut timex: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: the pointer is to a whole struct of the kernel's; with modes 0 the call changes nothing of the clock.
        let state = unsafe { libc::adjtimex(&raw mut timex) };
        if state < 0 {
            return Err(io::Error::last_os_error());
        }
        let offset = timex.offset;
        let offset_us = if timex.status & libc::STA_NANO != 0 { offset / 1000 } else { offset };
        Ok(Self {
            synchronised: state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0,
            offset_us,
            estimated_error_us: u64::try_from(timex.esterror).unwrap_or(0),
            maximum_error_us: u64::try_from(timex.maxerror).unwrap_or(0),
        })
    }
}

impl ClockSettings {
    /// By how much a stop is to be earlier, nanoseconds.
    pub fn doubt_ns(&self, state: Option<ClockState>) -> u64 {
        match state {
            Some(state) if state.synchronised => state.maximum_error_us.saturating_mul(1000),
            _ => u64::from(self.max_doubt_ms) * 1_000_000,
        }
    }

    /// Why no interception may begin by this clock.
    pub fn objection(&self, state: Option<ClockState>) -> Option<String> {
        match state {
            Some(state) if state.synchronised => {
                let doubt_ms = state.maximum_error_us / 1000;
                (doubt_ms > u64::from(self.max_doubt_ms)).then(|| {
                    format!(
                        "the clock may be off by {doubt_ms} ms, and clock.max_doubt_ms is {}; let chrony keep it, with \
                         servers that are near",
                        self.max_doubt_ms
                    )
                })
            }
            _ if !self.require_sync => None,
            _ => Some(
                "nothing keeps the clock (`timedatectl`): start chrony or systemd-timesyncd; only where the clock is kept \
                 by other means, write require_sync = false into [clock]"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: ClockState =
        ClockState { synchronised: true, offset_us: 12, estimated_error_us: 40, maximum_error_us: 31_500 };

    #[test]
    fn the_kernel_knows_something_of_its_clock() {
        let state = ClockState::measure().unwrap();
        assert!(state.maximum_error_us <= 16_000_000 && state.estimated_error_us <= 16_000_000, "{state:?}");
    }

    #[test]
    fn a_clock_that_may_be_too_far_off_begins_nothing() {
        let settings = ClockSettings::default();
        let adrift = ClockState { maximum_error_us: 201_000, ..KEPT };
        let alone = ClockState { synchronised: false, ..KEPT };
        for (state, objection) in [
            (Some(KEPT), None),
            (Some(adrift), Some("off by 201 ms")),
            (Some(alone), Some("start chrony")),
            (None, Some("start chrony")),
        ] {
            let said = settings.objection(state);
            assert_eq!(said.is_some(), objection.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(objection.unwrap_or_default()));
        }
        let lenient = ClockSettings { require_sync: false, ..settings };
        assert_eq!(lenient.objection(Some(alone)), None);
        assert!(lenient.objection(Some(adrift)).is_some());
    }

    #[test]
    fn stops_are_earlier_by_what_the_clock_may_be_off() {
        let settings = ClockSettings::default();
        assert_eq!(settings.doubt_ns(Some(KEPT)), 31_500_000);
        assert_eq!(settings.doubt_ns(Some(ClockState { synchronised: false, ..KEPT })), 200_000_000);
        assert_eq!(settings.doubt_ns(None), 200_000_000);
    }
}
