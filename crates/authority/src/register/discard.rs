//! The end of what is kept: documents, sealed orders and notices of cases that were closed long ago are removed. The log
//! stays, and says which; so what is gone on purpose is not taken for missing at the next start.

use super::case::Case;
use super::fact::Fact;
use super::{NOTICES, Register, RegisterError};
use crate::durable;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use uuid::Uuid;

/// Most cases at a time: each is a record on disk, and whoever calls does nothing else meanwhile.
const AT_ONCE: usize = 16;

impl Register {
    /// Removes what was kept of some cases that were closed before a moment, and gives them; there may be more. Nothing while
    /// the log is held: a case may have been open in what it has forgotten. Nothing that another case or a roster needs.
    pub fn discard(&mut self, closed_before: Timestamp, now: Timestamp) -> Result<Vec<Uuid>, RegisterError> {
        if self.held().is_some() {
            return Ok(Vec::new());
        }
        let is_due = |case: &&Case| {
            case.discarded().is_none() && case.damage().is_none() && case.closed().is_some_and(|at| at < closed_before)
        };
        let due: Vec<_> = self.state.cases().filter(is_due).map(Case::uuid).take(AT_ONCE).collect();
        if due.is_empty() {
            return Ok(due);
        }
        let needed = self.state.named.papers_beside(&due);
        for uuid in &due {
            let papers: Vec<_> = self.state.named.papers_of(*uuid).filter(|paper| !needed.contains(paper)).collect();
            let notices = self.state.named.notices(*uuid);
            // The record first: what a crash leaves of the files goes at the next start.
            self.write_own(Fact::Discarded { uuid: *uuid, papers, notices }, Vec::new(), now)?;
        }
        self.remove_left_papers()?;
        Ok(due)
    }

    /// Removes what the log says is removed, as far as it is there.
    pub(super) fn remove_left_papers(&self) -> Result<(), RegisterError> {
        let gone = &self.state.discarded_papers;
        if !gone.is_empty() {
            let needed = self.state.named.papers();
            for paper in self.archive.digests()? {
                if gone.contains(&paper) && !needed.contains(&paper) {
                    self.archive.remove(paper)?;
                }
            }
        }
        let folder = self.folder.join(NOTICES);
        remove_listed(&folder, &self.state.discarded_notices)
            .map_err(|source| RegisterError::Notice { file: folder, source })
    }
}

/// Removes those files of a folder. One look at it, however many were removed long ago.
fn remove_listed(folder: &Path, names: &BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut removed = false;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            fs::remove_file(entry.path())?;
            removed = true;
        }
    }
    if removed { durable::sync_folder(folder) } else { Ok(()) }
}
