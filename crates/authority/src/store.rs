//! The warrants of this probe, one file each in a folder of the state directory: the documents exactly as handed in,
//! with their signatures, and how they ended. Written by the control role alone.
//!
//! On opening, every warrant is parsed, and its signatures are checked again with the roster that it was approved
//! under, so an altered file is no warrant. A file that is damaged is named and keeps its UUID; it does not stop the
//! others. No file is ever removed: a UUID that was used once stays used.

use crate::approval::{ApprovedWarrant, ProbeIdentity, Standing, judge};
use crate::durable;
use crate::roster::RosterStore;
use crate::signature::Signature;
use crate::warrant::Warrant;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// How a warrant ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ending {
    /// Its window was over.
    Expired {
        /// When that was noted; nothing was taken after the window's stop.
        at: Timestamp,
    },
    /// Somebody revoked it, for good.
    Revoked {
        /// When.
        at: Timestamp,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

/// Where a warrant stands at a given moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Approved; its window has not begun.
    Armed,
    /// In its window.
    Active,
    /// Past its window.
    Expired,
    /// Revoked.
    Revoked,
}

impl Phase {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A warrant of this probe.
#[derive(Clone, Debug)]
pub struct StoredWarrant {
    approved: ApprovedWarrant,
    submitted: Timestamp,
    earlier: Vec<Submission>,
    ending: Option<Ending>,
}

impl StoredWarrant {
    /// The warrant in its latest revision, with its approval.
    pub fn approved(&self) -> &ApprovedWarrant {
        &self.approved
    }

    /// The warrant in its latest revision.
    pub fn warrant(&self) -> &Warrant {
        self.approved.warrant()
    }

    /// When the latest revision was handed in.
    pub fn submitted(&self) -> Timestamp {
        self.submitted
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Where it stands.
    pub fn phase(&self, now: Timestamp) -> Phase {
        let window = self.warrant().window();
        match self.ending {
            Some(Ending::Revoked { .. }) => Phase::Revoked,
            Some(Ending::Expired { .. }) => Phase::Expired,
            None if window.is_over(now) => Phase::Expired,
            None if window.is_ahead(now) => Phase::Armed,
            None => Phase::Active,
        }
    }
}

/// A file of the store that holds no sound warrant. Its UUID stays taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}; restore the file from a backup, nothing is taken under it meanwhile", file.display())]
pub struct Damaged {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// Why the store does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The UUID belongs to a warrant with this revision or a later one.
    #[error("uuid: {uuid} is known with revision {known}; write a higher revision, or a new uuid for another order")]
    Known {
        /// The UUID.
        uuid: Uuid,
        /// The revision in the store.
        known: u32,
    },
    /// The UUID belongs to a warrant that has ended.
    #[error("uuid: {0} has ended, and is never used again; write a new uuid")]
    Ended(Uuid),
    /// The UUID belongs to a damaged file.
    #[error("uuid: {0} belongs to a file of the store that is damaged; restore that file from a backup")]
    Damaged(Uuid),
    /// There is no such warrant.
    #[error("uuid: there is no warrant {0}; `writ warrant list` shows all")]
    Unknown(Uuid),
    /// The window is over.
    #[error("window.stop: was at {stop}, and it is {now}; hand in a warrant whose window is not over")]
    Over {
        /// The window's stop.
        stop: Timestamp,
        /// The time of the refusal.
        now: Timestamp,
    },
    /// The folder or a file in it cannot be read or written.
    #[error("{}: {source}; check the folder's owner, mode and free space", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A revision as it was handed in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    document: String,
    signatures: Vec<String>,
    roster_version: u32,
    at: Timestamp,
}

impl Submission {
    fn new(approved: &ApprovedWarrant, at: Timestamp) -> Self {
        Self {
            // A parsed document is UTF-8, so nothing is lost here.
            document: String::from_utf8_lossy(approved.warrant().bytes()).into_owned(),
            signatures: approved.signatures().iter().map(|signature| signature.armored().to_owned()).collect(),
            roster_version: approved.approval().roster_version,
            at,
        }
    }
}

/// A file of the store.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// All revisions, the latest last.
    submissions: Vec<Submission>,
    ending: Option<Ending>,
}

/// All warrants that this probe was ever given.
#[derive(Debug)]
pub struct WarrantStore {
    folder: PathBuf,
    warrants: BTreeMap<Uuid, StoredWarrant>,
    damaged: BTreeSet<Uuid>,
    /// Revoked, but the disk did not take it.
    unkept: BTreeSet<Uuid>,
}

impl WarrantStore {
    /// Reads all warrants; makes the folder if there is none. Gives the damaged files beside the store.
    pub fn open(
        folder: &Path,
        rosters: &RosterStore,
        probe: &ProbeIdentity,
    ) -> Result<(Self, Vec<Damaged>), StoreError> {
        let io = |file: &Path, source| StoreError::Io { file: file.to_owned(), source };
        durable::make_private_folder(folder).map_err(|source| io(folder, source))?;
        let mut store = Self {
            folder: folder.to_owned(),
            warrants: BTreeMap::new(),
            damaged: BTreeSet::new(),
            unkept: BTreeSet::new(),
        };
        let mut damaged = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|source| io(folder, source))? {
            let file = entry.map_err(|source| io(folder, source))?.path();
            // What a power cut left of a write that was never confirmed.
            if file.extension().is_some_and(|extension| extension == "new") {
                continue;
            }
            let uuid = file.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::try_parse(stem).ok());
            match (uuid, read_kept(&file, rosters, probe)) {
                (Some(uuid), Ok(stored)) if stored.warrant().uuid() == uuid => {
                    store.warrants.insert(uuid, stored);
                }
                (uuid, read) => {
                    store.damaged.extend(uuid);
                    let problem = read.err().unwrap_or_else(|| "its name is not its warrant's uuid".to_owned());
                    damaged.push(Damaged { file, problem });
                }
            }
        }
        Ok((store, damaged))
    }

    /// Takes in a warrant, new or in a higher revision. It is on disk when this returns.
    pub fn submit(&mut self, approved: ApprovedWarrant, now: Timestamp) -> Result<&StoredWarrant, StoreError> {
        self.check(&approved, now)?;
        let uuid = approved.warrant().uuid();
        let earlier = match self.warrants.get(&uuid) {
            None => Vec::new(),
            Some(known) => {
                let mut earlier = known.earlier.clone();
                earlier.push(Submission::new(&known.approved, known.submitted));
                earlier
            }
        };
        self.keep(uuid, StoredWarrant { approved, submitted: now, earlier, ending: None })
    }

    /// Whether [`WarrantStore::submit`] would take this warrant; changes nothing.
    pub fn check(&self, approved: &ApprovedWarrant, now: Timestamp) -> Result<(), StoreError> {
        let warrant = approved.warrant();
        let uuid = warrant.uuid();
        if self.damaged.contains(&uuid) {
            return Err(StoreError::Damaged(uuid));
        }
        match self.warrants.get(&uuid) {
            Some(known) if known.ending.is_some() || known.warrant().window().is_over(now) => {
                return Err(StoreError::Ended(uuid));
            }
            Some(known) if known.warrant().revision() >= warrant.revision() => {
                return Err(StoreError::Known { uuid, known: known.warrant().revision() });
            }
            _ => {}
        }
        if warrant.window().is_over(now) {
            return Err(StoreError::Over { stop: warrant.window().stop(), now });
        }
        Ok(())
    }

    /// Ends a warrant for good. It is on disk when this returns.
    ///
    /// [`StoreError::Io`]: it has ended all the same, but the disk did not take that, so a restart would find it in
    /// force. It can be revoked again, to get it on disk.
    pub fn revoke(&mut self, uuid: Uuid, by: &str, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        let ending = Ending::Revoked { at: now, by: by.to_owned(), reason: reason.to_owned() };
        let kept = self.end(uuid, ending.clone()).map(drop);
        if let Err(StoreError::Io { .. }) = kept
            && let Some(stored) = self.warrants.get_mut(&uuid)
        {
            stored.ending = Some(ending);
            self.unkept.insert(uuid);
        }
        kept
    }

    /// Ends every warrant whose window is over at `now`, and gives their UUIDs.
    pub fn expire(&mut self, now: Timestamp) -> Result<Vec<Uuid>, StoreError> {
        let over = |stored: &StoredWarrant| stored.ending.is_none() && stored.warrant().window().is_over(now);
        let uuids: Vec<_> = self.warrants.iter().filter(|(_, stored)| over(stored)).map(|(uuid, _)| *uuid).collect();
        for uuid in &uuids {
            self.end(*uuid, Ending::Expired { at: now })?;
        }
        Ok(uuids)
    }

    /// Ends a warrant whose window is over by another clock than that of `now`: one that was not set back since.
    pub fn expire_one(&mut self, uuid: Uuid, now: Timestamp) -> Result<&StoredWarrant, StoreError> {
        self.end(uuid, Ending::Expired { at: now })
    }

    /// A warrant.
    pub fn get(&self, uuid: Uuid) -> Option<&StoredWarrant> {
        self.warrants.get(&uuid)
    }

    /// All of them, ended ones too, by UUID.
    pub fn iter(&self) -> impl Iterator<Item = &StoredWarrant> {
        self.warrants.values()
    }

    /// Those that have not ended, their window open or ahead, in the order in which they were first handed in.
    pub fn in_force(&self, now: Timestamp) -> Vec<&StoredWarrant> {
        let mut in_force: Vec<_> =
            self.warrants.values().filter(|it| matches!(it.phase(now), Phase::Armed | Phase::Active)).collect();
        in_force.sort_by_key(|it| (it.earlier.first().map_or(it.submitted, |first| first.at), it.warrant().uuid()));
        in_force
    }

    fn end(&mut self, uuid: Uuid, ending: Ending) -> Result<&StoredWarrant, StoreError> {
        let known = self.warrants.get(&uuid).ok_or(StoreError::Unknown(uuid))?;
        if known.ending.is_some() && !self.unkept.contains(&uuid) {
            return Err(StoreError::Ended(uuid));
        }
        let ended = StoredWarrant { ending: Some(ending), ..known.clone() };
        self.keep(uuid, ended)
    }

    /// Disk first: what the memory says is never ahead of what a restart would find. A revocation alone is.
    fn keep(&mut self, uuid: Uuid, stored: StoredWarrant) -> Result<&StoredWarrant, StoreError> {
        let file = self.folder.join(format!("{uuid}.json"));
        let mut submissions = stored.earlier.clone();
        submissions.push(Submission::new(&stored.approved, stored.submitted));
        let kept = Kept { submissions, ending: stored.ending.clone() };
        durable::write_json(&file, &kept).map_err(|source| StoreError::Io { file, source })?;
        self.unkept.remove(&uuid);
        Ok(self.warrants.entry(uuid).insert_entry(stored).into_mut())
    }
}

fn read_kept(file: &Path, rosters: &RosterStore, probe: &ProbeIdentity) -> Result<StoredWarrant, String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let mut earlier = kept.submissions;
    let latest = earlier.pop().ok_or("it holds no document")?;
    let warrant = Warrant::parse(latest.document.as_bytes(), file).map_err(|error| error.to_string())?;
    let signatures: Result<Vec<_>, _> =
        latest.signatures.iter().map(|text| Signature::parse(text.as_bytes(), file)).collect();
    let signatures = signatures.map_err(|error| error.to_string())?;
    let roster = rosters
        .version(latest.roster_version)
        .ok_or_else(|| format!("approved under version {} of the roster, which is missing", latest.roster_version))?;
    let approved =
        match judge(warrant, None, signatures, roster, probe, latest.at).map_err(|error| error.to_string())? {
            Standing::Approved(approved) | Standing::Emergency(approved, _) => approved,
            Standing::Waiting(missing) => return Err(missing.to_string()),
        };
    Ok(StoredWarrant { approved, submitted: latest.at, earlier, ending: kept.ending })
}
