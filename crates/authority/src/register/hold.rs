//! What holds everything: something has shown that the log has forgotten what happened, or may have. What was in force may
//! have ended in what is forgotten, so nothing is taken under it until the officers say so anew, or until it is shown that
//! nothing is missing.

use super::fact::Fact;
use super::{Finding, Register, RegisterError};
use crate::audit::{Actor, AuditError, Head, each_record_until};
use crate::digest::Digest;
use crate::mark::{LogDoubt, judge_log};
use jiff::Timestamp;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// By what it came to light that the log has forgotten something, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// A signed document that was drafted when the log went further.
    Document,
    /// The probe's own mark, or the last of its checkpoints.
    Mark,
    /// The log came out of a backup.
    Restore,
}

impl Doubt {
    const ALL: [Self; 3] = [Self::Document, Self::Mark, Self::Restore];

    /// The word for it in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Mark => "mark",
            Self::Restore => "restore",
        }
    }

    /// Whether it is settled by the last head that anybody saw, if the log ended there when it was found. What an officer
    /// has signed says by itself that there was more.
    pub const fn yields_to_a_head(self) -> bool {
        !matches!(self, Self::Document)
    }
}

impl FromStr for Doubt {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|doubt| doubt.as_str() == word).ok_or(())
    }
}

/// Nothing new is put in force, and nothing that was when this was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Number of the record that says so.
    pub record: u64,
    /// What showed it.
    pub doubt: Doubt,
    /// What is wrong. It names nobody.
    pub why: String,
    /// The end of the log as it was found.
    pub found: Head,
    /// The quorum has looked at it: what is new can be put in force, what is held stays so.
    pub(super) is_known: bool,
}

impl Hold {
    /// What ends it.
    pub fn remedy(&self) -> String {
        let quorum = "the officers install a new version of the roster, by which they say that they know, and approve what \
                      is to go on with a new revision each, signed by the quorum";
        if self.doubt.yields_to_a_head() {
            let number = self.found.number;
            format!(
                "if record {number} is the last that anybody saw of the log, show that with `writ backup release`; else \
                 {quorum}"
            )
        } else {
            format!("put the whole log back, if there is one; else {quorum}")
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held since record {}: {}; {}", self.record, self.why, self.remedy())
    }
}

impl Register {
    /// Why nothing is in force but what the quorum approved since, if so.
    pub fn held(&self) -> Option<&Hold> {
        self.holds().next()
    }

    /// All of that, the last first. Each has to end for itself.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.state.holds()
    }

    /// Holds the log against an end of it that was seen once, by the probe's mark or in a checkpoint, and holds everything
    /// if the log is not what was seen. Gives what is wrong, if that is news.
    pub fn hold_against(&mut self, seen: Head, now: Timestamp) -> Result<Option<LogDoubt>, RegisterError> {
        if self.state.knows_lost(seen) {
            return Ok(None);
        }
        let doubt = judge_log(seen, self.head(), self.state.hash(seen.number));
        if let Some(doubt) = &doubt {
            self.hold(Doubt::Mark, doubt.to_string(), vec![seen], self.audit.own_actor(), now)?;
        }
        Ok(doubt)
    }

    /// What would show whether the log is whole cannot be read: everything is held.
    pub fn hold_without_mark(&mut self, why: String, now: Timestamp) -> Result<(), RegisterError> {
        self.hold(Doubt::Mark, why, Vec::new(), self.audit.own_actor(), now)
    }

    /// This log came out of a backup: everything is held. `manifest` is the digest by which the log knows the backup.
    pub(crate) fn restored(&mut self, manifest: Digest, actor: Actor, now: Timestamp) -> Result<(), RegisterError> {
        let why = format!("the probe's state came out of a backup of record {}", self.found.number);
        let fact = Fact::Held { doubt: Doubt::Restore, why, found: self.found, lost: Vec::new() };
        self.write(&fact, &[], actor, [("manifest", manifest.to_string())], now)
    }

    /// Somebody showed that `last` is the last that anybody saw of the log. If the log ended there when it was found, what
    /// was held for that is in force again. `by` says how it was shown.
    pub fn release(&mut self, last: Head, by: &str, actor: Actor, now: Timestamp) -> Result<(), RegisterError> {
        let fact = Fact::Released { found: last };
        self.judge(&fact, &[], actor.clone(), now)?;
        self.write(&fact, &[], actor, [("shown_by", by.to_owned())], now)
    }

    /// An officer has signed a paper whose author saw an end of the log that it does not have.
    pub(super) fn hold_for_paper(&mut self, lost: Head, actor: Actor, now: Timestamp) -> Result<(), RegisterError> {
        let why = format!(
            "an officer signed a document that was drafted when the audit log had a record {} that it does not have: it was \
             cut off or written anew",
            lost.number
        );
        self.hold(Doubt::Document, why, vec![lost], actor, now)
    }

    /// Holds everything if the author of a paper in the archive saw an end of the log that it does not have.
    pub(super) fn hold_if_papers_saw_more(&mut self, now: Timestamp) -> Result<Option<Finding>, RegisterError> {
        let mut lost = Vec::new();
        for digest in self.archive.digests()? {
            // A document that is altered is no witness; the cases that need it are damaged already.
            let Ok(paper) = self.archive.get(digest) else { continue };
            if let Some(head) = seen_by(&paper.bytes)
                && !self.state.has(head)
                && !self.state.knows_lost(head)
                && !lost.contains(&head)
            {
                lost.push(head);
            }
        }
        let Some(last) = lost.iter().map(|head| head.number).max() else { return Ok(None) };
        let why = format!(
            "a document that is here was drafted when the audit log had {last} records or more, and it does not have them: \
             it was cut off, or put back from an older copy"
        );
        self.hold(Doubt::Document, why.clone(), lost, self.audit.own_actor(), now)?;
        Ok(Some(Finding { case: None, problem: why }))
    }

    fn hold(
        &mut self,
        doubt: Doubt,
        why: String,
        lost: Vec<Head>,
        actor: Actor,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let found = self.found;
        self.write(&Fact::Held { doubt, why, found, lost }, &[], actor, [], now)
    }
}

/// The end at which a log was found by which it can be released, if it is held so. The log may be growing.
pub fn releasable(log: &Path) -> Result<Option<Head>, AuditError> {
    let mut last = None;
    each_record_until(log, u64::MAX, |record| match Fact::read(record) {
        Ok(Some(Fact::Held { doubt, found, .. })) if doubt.yields_to_a_head() => last = Some(found),
        Ok(Some(Fact::Released { found })) if last == Some(found) => last = None,
        _ => {}
    })?;
    Ok(last)
}

/// The end of the log that the author of a document saw, if the document says so.
fn seen_by(bytes: &[u8]) -> Option<Head> {
    let table: toml::Table = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    let seen = table.get("seen")?;
    let number = u64::try_from(seen.get("record")?.as_integer()?).ok()?;
    Some(Head { number, hash: seen.get("hash")?.as_str()?.parse().ok()? })
}
