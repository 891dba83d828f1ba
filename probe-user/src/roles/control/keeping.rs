//! What is kept, and for how long: backups are recorded here, what came out of one is released, and what belongs to cases
//! that were closed long ago is removed.

use super::Control;
use super::authority::reply;
use crate::ipc::Reply;
use jiff::Timestamp;
use std::time::{Duration, Instant};
use writ_authority::{Actor, BackupDraft, Digest, Head, Register};

/// How often it is looked for what is kept no longer.
const RETENTION: Duration = Duration::from_secs(24 * 3600);
/// And after something was found.
const SOON: Duration = Duration::from_secs(10);

/// Records that a backup is made. For the running probe and for one that does not run alike.
pub fn note_backup(register: &mut Register, manifest: Digest, actor: Actor) -> Reply {
    match register.record(&BackupDraft::entry(manifest, actor), Timestamp::now()) {
        Ok(()) => {
            let head = register.head();
            Reply::AuditHead { number: head.number, hash: head.hash.to_string() }
        }
        Err(error) => reply("no backup is made", error.into()),
    }
}

/// Puts in force again what is held for the log's sake. For the running probe and for one that does not run alike.
pub fn release(register: &mut Register, head: Head, shown_by: &str, actor: Actor) -> Reply {
    match register.release(head, shown_by, actor, Timestamp::now()) {
        Ok(()) => Reply::Released { in_force: register.in_force(Timestamp::now()).len() },
        Err(error) => reply("nothing is released", error),
    }
}

impl Control {
    /// The record of a backup is the last one in it: witnesses see it at once.
    pub(super) fn note_backup(&mut self, manifest: Digest, actor: Actor) -> Reply {
        let reply = note_backup(self.authority.register_mut(), manifest, actor);
        self.witnesses.hurry();
        reply
    }

    pub(super) fn release(&mut self, head: Head, shown_by: &str, actor: Actor) -> Reply {
        let reply = release(self.authority.register_mut(), head, shown_by, actor);
        self.reconcile();
        reply
    }

    /// Removes what is kept no longer. By a clock that is in doubt nothing is removed.
    pub(super) fn discard_old_records(&mut self) {
        self.next_retention = Instant::now() + RETENTION;
        let now = Timestamp::now();
        let Some(before) = self.config.records.keep_years.closed_before(now) else { return };
        if self.clock.is_held() {
            return;
        }
        match self.authority.register_mut().discard(before, now) {
            Ok(cases) if cases.is_empty() => {}
            Ok(cases) => {
                tracing::info!(cases = cases.len(), "documents of cases closed long ago are removed");
                // There may be more. Whoever wants something meanwhile does not wait for all of them.
                self.next_retention = Instant::now() + SOON;
            }
            Err(error) => tracing::error!(%error, "documents of cases closed long ago are not removed"),
        }
    }

    /// Those who approved a warrant whose end a crash had torn from the log are told of it now.
    pub(super) fn tell_of_late_ends(&mut self) {
        for uuid in self.authority.register().ended_at_opening().to_vec() {
            tracing::warn!("a revocation that was not on record when the probe ended is carried out");
            self.tell_cosigners(uuid);
        }
    }
}
