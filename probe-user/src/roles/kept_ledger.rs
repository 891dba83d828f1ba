//! The supervisor's care for the ledger: it opens what former runs left, and brings the copy on disk up to date every second,
//! in a thread of its own: a disk that hangs holds up nobody.

use crate::config::Config;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use uuid::Uuid;
use writ_capture::utc_now_ns;
use writ_spool::{KeepError, Kept, LedgerFiles, Origin};

const SAVE_EVERY: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);
/// How often it is said that the disk does not take the copy.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// A ledger that is being kept.
pub(super) struct KeptLedger {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Kept>,
}

impl KeptLedger {
    /// Opens the ledger of this configuration's directories; its memory is for the roles.
    pub(super) fn open(config: &Config) -> Result<(Self, OwnedFd), KeepError> {
        let files = LedgerFiles::new(&config.probe.runtime, &config.probe.state);
        let (slots, streams) = (usize::from(config.tables.slots), config.destination.len() * 2);
        let io = |source| KeepError::Io { file: BOOT_ID.into(), source };
        let boot = boot_id().map_err(io)?;
        let now = u128::from(utc_now_ns()) << 32 | u128::from(std::process::id());
        let kept = files.open(slots, streams, boot, now)?;
        let restart = kept.restart();
        match restart.origin {
            Origin::New => tracing::info!("the ledger begins"),
            Origin::Continued => tracing::info!(undelivered = restart.undelivered, "the ledger goes on"),
            Origin::Recovered => tracing::error!(
                undelivered = restart.undelivered,
                "ALARM: the ledger's copy may be old: the machine went down while the probe ran; all numbers jump ahead"
            ),
        }
        let memory = kept.memory().try_clone().map_err(io)?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || keep(kept, &told)).map_err(io)?;
        Ok((Self { stop, thread }, memory))
    }

    /// The end of the run: no role is left.
    pub(super) fn close(self) {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join().map(Kept::close) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the ledger's copy is not whole"),
            Err(_) => tracing::error!("the ledger's thread panicked"),
        }
    }
}

fn keep(mut kept: Kept, stop: &AtomicBool) -> Kept {
    let mut saved = Instant::now();
    let mut complained: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(TICK);
        if saved.elapsed() < SAVE_EVERY {
            continue;
        }
        saved = Instant::now();
        match kept.save() {
            Ok(()) => complained = None,
            Err(error) if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) => {
                complained = Some(Instant::now());
                tracing::error!(%error, "ALARM: the ledger's copy is not up to date");
            }
            Err(_) => {}
        }
    }
    kept
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's name for the time since the machine was started.
fn boot_id() -> std::io::Result<u128> {
    let text = std::fs::read_to_string(BOOT_ID)?;
    Uuid::try_parse(text.trim()).map(|boot| boot.as_u128()).map_err(|_| std::io::ErrorKind::InvalidData.into())
}
