//! What the records of a log name of the archive and of the notices: what must be kept, and whose it is.

use super::fact::Fact;
use crate::audit::{AuditError, each_record_until};
use crate::digest::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use uuid::Uuid;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// By case; what belongs to none (rosters, incidents, configurations), under none.
    papers: BTreeMap<Option<Uuid>, BTreeSet<Digest>>,
    notices: BTreeMap<Uuid, BTreeSet<String>>,
}

impl Named {
    /// Notes what a fact names, whether it stands or not: it is of its case.
    pub(super) fn note(&mut self, fact: &Fact) {
        if let Fact::Noticed { uuid, file } = fact {
            self.notices.entry(*uuid).or_default().insert(file.clone());
        }
        // A configuration outlives the case that first came under it.
        let of = fact.uuid().filter(|_| !matches!(fact, Fact::Armed { .. }));
        self.papers.entry(of).or_default().extend(fact.papers());
    }

    /// What was kept of a case is needed no more.
    pub(super) fn forget(&mut self, uuid: Uuid) {
        self.papers.remove(&Some(uuid));
        self.notices.remove(&uuid);
    }

    /// What must be in the archive.
    pub(super) fn papers(&self) -> BTreeSet<Digest> {
        self.papers.values().flatten().copied().collect()
    }

    /// What the records of a case name.
    pub(super) fn papers_of(&self, uuid: Uuid) -> impl Iterator<Item = Digest> {
        self.papers.get(&Some(uuid)).into_iter().flatten().copied()
    }

    /// What all but these cases name.
    pub(super) fn papers_beside(&self, cases: &[Uuid]) -> BTreeSet<Digest> {
        let is_beside = |of: &Option<Uuid>| of.is_none_or(|uuid| !cases.contains(&uuid));
        self.papers.iter().filter(|(of, _)| is_beside(of)).flat_map(|(_, papers)| papers).copied().collect()
    }

    /// The notices about a case.
    pub(super) fn notices(&self, uuid: Uuid) -> Vec<String> {
        self.notices.get(&uuid).into_iter().flatten().cloned().collect()
    }
}

/// What must be in the archive by the records of a log up to this one. The log may be growing.
pub(crate) fn named_papers(log: &Path, last: u64) -> Result<BTreeSet<Digest>, AuditError> {
    let mut named = Named::default();
    each_record_until(log, last, |record| match Fact::read(record) {
        Ok(Some(Fact::Discarded { uuid, .. })) => named.forget(uuid),
        Ok(Some(fact)) => named.note(&fact),
        // No fact, or none that is believed.
        Ok(None) | Err(_) => {}
    })?;
    Ok(named.papers())
}
