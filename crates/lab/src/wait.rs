//! Waiting for a condition instead of for a time, and giving up early when the user presses Ctrl-C.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::LabError;

/// Set by a signal handler; every wait of the lab then ends with [`LabError::Interrupted`], so that guards clean up.
pub static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Ends every wait of the lab with [`LabError::Interrupted`].
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Asks `condition` every 20 ms until it gives a value; `what` names it when that does not happen within `limit`.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>, LabError>,
) -> Result<T, LabError> {
    let started = Instant::now();
    loop {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err(LabError::Interrupted);
        }
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if started.elapsed() >= limit {
            return Err(LabError::TimedOut { what: what.into(), limit });
        }
        sleep(Duration::from_millis(20));
    }
}
