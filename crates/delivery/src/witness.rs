//! Witnesses: who keeps the audit log's checkpoints outside the machine. The control role makes them; a thread for each
//! witness hands them over, in order, and says up to where that is done. What a witness cannot take now is tried again
//! and again, and waits with the control role meanwhile.
//!
//! A line that was handed over when something broke may be handed over twice: who checks it takes no notice.

mod folder;
mod settings;
mod syslog;

pub use settings::{SyslogSettings, WitnessSettings};

use folder::Folder;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use syslog::Syslog;

/// Most lines that are handed over at once.
const MOST_AT_ONCE: usize = 64;
/// How often a thread looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);
/// Waits before a witness is tried again: the first, doubling up to the last.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// A checkpoint on its way to a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessLine {
    /// Its place among all checkpoints: given back when it has been handed over.
    pub place: u64,
    /// When it was made: RFC 3339 in UTC, no finer than microseconds (RFC 5424, 6.2.3).
    pub time: String,
    /// The checkpoint: one line, without its end.
    pub line: String,
}

/// What a witness's thread has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessNews {
    /// Everything up to this place has been handed over.
    Took(u64),
    /// It does not work at present; it is tried again.
    Failed(String),
}

/// Where checkpoints go.
#[derive(Debug)]
enum Place {
    Folder(Folder),
    Syslog(Box<Syslog>),
}

/// A witness, configured and not yet at work.
#[derive(Debug)]
pub struct Witness {
    name: String,
    place: Place,
}

/// A witness at work. Dropping it ends the thread, without waiting: a folder that hangs would hang whoever waits.
#[derive(Debug)]
pub struct WitnessHandle {
    lines: Sender<WitnessLine>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl WitnessHandle {
    /// Gives it a line to hand over. Whoever gives is not to have more than a bounded number of lines under way: they
    /// are kept here until the witness takes them.
    pub fn give(&self, line: WitnessLine) {
        // The thread ends after this sender, so somebody is there to take it.
        drop(self.lines.send(line));
    }

    /// Asks it to hand over what it was given, and to end. Returns when it has, or after `limit`.
    pub fn stop(self, limit: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.lines);
        let end = Instant::now() + limit;
        while !self.thread.is_finished() && Instant::now() < end {
            std::thread::sleep(TICK);
        }
    }
}

/// Why lines were not handed over.
pub(crate) enum NotTaken {
    /// The thread is to end.
    Stopped,
    /// In words.
    Failed(String),
}

impl Witness {
    /// What status and log call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the thread that serves it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(mut self, news: impl Fn(WitnessNews) + Send + 'static) -> io::Result<WitnessHandle> {
        let (lines, receiver) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("witness".to_owned())
            .spawn(move || self.serve(&receiver, &stopped, news))?;
        Ok(WitnessHandle { lines, stop, thread })
    }

    fn serve(&mut self, lines: &Receiver<WitnessLine>, stopped: &AtomicBool, news: impl Fn(WitnessNews)) {
        let stop = || stopped.load(Ordering::Relaxed);
        let mut wait = WAITS.0;
        let mut said: Option<String> = None;
        loop {
            let first = match lines.recv_timeout(TICK) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    self.idle();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let batch: Vec<WitnessLine> =
                std::iter::once(first).chain(lines.try_iter().take(MOST_AT_ONCE - 1)).collect();
            let mut tried_to_the_last = false;
            loop {
                let taken = match &mut self.place {
                    Place::Folder(folder) => folder.take(&batch),
                    Place::Syslog(syslog) => syslog.take(&batch, &stop),
                };
                match taken {
                    Ok(()) => break,
                    Err(NotTaken::Stopped) => return,
                    Err(NotTaken::Failed(what)) => {
                        if said.as_ref() != Some(&what) {
                            tracing::warn!(witness = %self.name, problem = %what, "a witness takes no checkpoints");
                        }
                        said = Some(what.clone());
                        news(WitnessNews::Failed(what));
                    }
                }
                // One more try after the stop, and no waiting for another.
                if std::mem::replace(&mut tried_to_the_last, stop()) {
                    return;
                }
                let until = Instant::now() + wait;
                wait = (wait * 2).min(WAITS.1);
                while Instant::now() < until && !stop() {
                    std::thread::sleep(TICK);
                }
            }
            if said.take().is_some() {
                tracing::info!(witness = %self.name, "a witness takes checkpoints again");
            }
            wait = WAITS.0;
            if let Some(last) = batch.last() {
                news(WitnessNews::Took(last.place));
            }
        }
    }

    fn idle(&mut self) {
        if let Place::Syslog(syslog) = &mut self.place {
            syslog.idle();
        }
    }
}
