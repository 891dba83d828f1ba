//! A stream that goes into files of this machine: in rounds, each on disk before its records are released.

use super::{Broken, Notice, Session};
use crate::files::Folder;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of one round at most: what a failed one has to write again.
const ROUND: u64 = 4 << 20;
/// Bytes of one write at most.
const RUN: usize = 256 << 10;
const IDLE: Duration = Duration::from_secs(1);

impl Session {
    /// Writes until that fails or a stop is carried out. Without an error, the stop was asked for.
    pub(super) fn write_files(&mut self, folder: &Folder, sent_any: &mut bool) -> Result<(), Broken> {
        match &mut self.files {
            Some(files) => files.roll_back()?,
            none => {
                let mark = self.setup.consumer.released_mark();
                *none = Some(folder.open(self.setup.predecessor, mark)?);
            }
        }
        let mut open = false;
        loop {
            let written = self.round()?;
            *sent_any |= written > 0;
            // A folder that takes nothing shows only when it is written to.
            if !std::mem::replace(&mut open, true) {
                self.note_open();
                tracing::info!(stream = %self.setup.label, "files are open");
                self.tell(|| Notice::Open(None));
            }
            if self.gives_up()? {
                return Ok(self.files.as_mut().map_or(Ok(()), |files| files.finish())?);
            }
            if written == 0 && self.setup.consumer.may_sleep()? {
                let waited = self.setup.consumer.wake().wait(IDLE);
                self.setup.consumer.awake()?;
                waited?;
                if self.stop.get().is_none() {
                    thread::sleep(self.setup.timing.gather);
                }
            }
        }
    }

    /// Writes what waits, at most a round of it, and releases it once it is on disk. Returns how many bytes.
    fn round(&mut self) -> Result<u64, Broken> {
        let Some(files) = &mut self.files else { return Ok(0) };
        let mark = self.setup.consumer.released_mark();
        let mut written = 0;
        while written < ROUND {
            let Some((first, pdus)) = self.setup.consumer.take_run(RUN)? else { break };
            files.append(mark, &first, pdus)?;
            written += pdus.len() as u64;
        }
        if written > 0 {
            files.sync()?;
            self.account(|account| account.sent(written));
            self.release(self.setup.consumer.sent_bytes())?;
        }
        if let Some(files) = &mut self.files {
            files.released(Instant::now(), &self.setup.ledger)?;
        }
        Ok(written)
    }
}
