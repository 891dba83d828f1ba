//! Whether the clock is good enough to begin an interception by it.

use super::Check;
use crate::synchronisation::{ClockSettings, ClockState};

/// The system's clock, as the kernel knows it.
pub fn clock(settings: &ClockSettings) -> Check {
    let state = ClockState::measure().ok();
    let found = match state {
        Some(state) if state.synchronised => {
            format!(
                "kept; within {} ms, by its keeper's estimate {} us",
                state.maximum_error_us / 1000,
                state.estimated_error_us
            )
        }
        Some(_) => "nothing keeps it".to_owned(),
        None => "the kernel does not say".to_owned(),
    };
    match settings.objection(state) {
        Some(why) => Check::fail("clock", found, why),
        None if state.is_some_and(|state| state.synchronised) => Check::ok("clock", found),
        None => {
            Check::warn("clock", found, "start chrony or systemd-timesyncd; clock.require_sync = false lets it pass")
        }
    }
}
