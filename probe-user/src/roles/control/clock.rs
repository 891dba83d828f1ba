//! What the control role knows of time: the mark in the state directory, the measured doubt of the clock, and whether
//! anything new may be armed in view of both. Orders in force run on in any case: their stops lie in the kernel, by a clock
//! that nobody can set. What the mark shows of the log's past is told to the register, which holds everything.

use super::authority::{entry, own_actor};
use crate::config::Config;
use crate::ipc::{ClockStatus, Held};
use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, Instant};
use writ_authority::{Act, Checkpoint, Head, Mark, MarkError, MarkFile, Outcome, Register};
use writ_capture::{ClockSettings, ClockState};

/// How often the clock is measured, and how old the mark may get while nothing happens.
const EVERY: Duration = Duration::from_secs(10);
/// A clock that is behind the mark by no more was slewed or stepped by its keeper.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// See the module.
pub(super) struct ClockWatch {
    file: MarkFile,
    mark: Mark,
    settings: ClockSettings,
    state: Option<ClockState>,
    looked: Instant,
    /// The clock is behind the mark, by so much when last looked.
    behind: Option<SignedDuration>,
    /// Whether anything was in the way when last asked.
    was_held: bool,
}

impl ClockWatch {
    /// Reads the mark, and holds the clock against it, and the log against it and the newest of the probe's own checkpoints.
    pub(super) fn open(
        config: &Config,
        register: &mut Register,
        newest: Option<&Checkpoint>,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let file = MarkFile::new(&config.probe.state.join("mark"));
        let mut has_doubt = false;
        let mark = match file.read() {
            Ok(mark) => mark,
            Err(error @ MarkError::Unreadable(_)) => {
                // Without the file's name: the words are for everybody.
                register.hold_without_mark("the mark of clock and audit log is unreadable".to_owned(), now)?;
                has_doubt = true;
                tracing::error!(%error, "ALARM: the audit log is in doubt: nothing is in force");
                None
            }
            Err(error) => return Err(error.into()),
        };
        if mark.is_none() && !has_doubt && newest.is_some() {
            tracing::warn!("the mark of the clock and the audit log is missing: a new one is made");
            let details = [("what", "the mark is missing".to_owned())];
            register.record(&entry(Act::LogDoubt, Outcome::Done, own_actor(), None, details), now)?;
        }
        for seen in mark.iter().map(|mark| mark.head).chain(newest.map(Checkpoint::head)) {
            if let Some(doubt) = register.hold_against(seen, now)? {
                tracing::error!(%doubt, "ALARM: the audit log is in doubt: nothing is in force");
            }
        }
        let mark = mark.unwrap_or(Mark { time: now, head: register.head() });
        let mut watch = Self {
            file,
            mark,
            settings: config.clock,
            state: None,
            looked: Instant::now(),
            behind: None,
            was_held: false,
        };
        watch.look(now);
        if let Some(behind) = watch.behind {
            let details = [("behind_the_mark_seconds", behind.as_secs().to_string())];
            register.record(&entry(Act::ClockDoubt, Outcome::Done, own_actor(), None, details), now)?;
        }
        watch.was_held = watch.is_held();
        Ok(watch)
    }

    fn look(&mut self, now: Timestamp) {
        self.looked = Instant::now();
        self.state =
            ClockState::measure().inspect_err(|error| tracing::warn!(%error, "the clock cannot be asked")).ok();
        let behind = self.mark.clock_behind(now, TOLERANCE);
        match (self.behind, behind) {
            (None, Some(by)) => tracing::error!(
                seconds = by.as_secs(),
                "ALARM: the clock is behind what it was: nothing new is armed until it has caught up"
            ),
            (Some(_), None) => tracing::info!("the clock has caught up"),
            _ => {}
        }
        self.behind = behind;
    }

    /// Keeps the mark. True when what was in the way of arming is gone.
    pub(super) fn tick(&mut self, head: Head, now: Timestamp) -> bool {
        let due = self.looked.elapsed() >= EVERY;
        if due || self.behind.is_some() {
            self.look(now);
        }
        if due || head != self.mark.head {
            let mark = Mark { time: self.mark.no_earlier(now), head };
            if mark != self.mark {
                match self.file.write(&mark) {
                    Ok(()) => self.mark = mark,
                    Err(error) if due => tracing::error!(%error, "the mark cannot be written"),
                    Err(_) => {}
                }
            }
        }
        let is_held = self.is_held();
        std::mem::replace(&mut self.was_held, is_held) && !is_held
    }

    /// The earliest that it can be: by this moment is judged what has run out.
    pub(super) fn no_earlier(&self, now: Timestamp) -> Timestamp {
        self.mark.no_earlier(now)
    }

    pub(super) fn is_held(&self) -> bool {
        self.behind.is_some() || self.settings.objection(self.state).is_some()
    }

    /// What of the clock stands in the way of arming anything new.
    pub(super) fn held(&self) -> Vec<Held> {
        let behind = self.behind.map(|by| Held::ClockBehind { seconds: by.as_secs() });
        let unsure = self.settings.objection(self.state).map(|why| Held::ClockUnsure { why });
        behind.into_iter().chain(unsure).collect()
    }

    /// For the audit record of an act that rests on the clock.
    pub(super) fn details(&mut self) -> Vec<(&'static str, String)> {
        self.look(Timestamp::now());
        let status = self.status();
        vec![
            ("clock_synchronised", status.synchronised.to_string()),
            ("clock_offset_us", status.offset_us.to_string()),
            ("clock_estimated_error_us", status.estimated_error_us.to_string()),
            ("clock_maximum_error_us", status.maximum_error_us.to_string()),
            ("clock_doubt_us", status.doubt_us.to_string()),
        ]
    }

    /// How far the clock may be off, in milliseconds; what a certification says of it.
    pub(super) fn doubt_ms(&self) -> Option<u32> {
        self.state?;
        u32::try_from(self.settings.doubt_ns(self.state).div_ceil(1_000_000)).ok()
    }

    pub(super) fn status(&self) -> ClockStatus {
        let state = self.state.unwrap_or_default();
        ClockStatus {
            synchronised: state.synchronised,
            offset_us: state.offset_us,
            estimated_error_us: state.estimated_error_us,
            maximum_error_us: state.maximum_error_us,
            doubt_us: self.settings.doubt_ns(self.state) / 1000,
        }
    }
}
