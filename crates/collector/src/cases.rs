//! The cases that are open in this run, each made when the first PDU for it arrives.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    STREAMS,
    case::{Case, CaseError},
    lines::Lines,
};

/// A case as the connections share it.
pub(crate) type SharedCase = Arc<Mutex<Case>>;

/// The folder of all cases.
pub(crate) struct Cases {
    root: PathBuf,
    limit: usize,
    open: Mutex<HashMap<Option<String>, SharedCase>>,
    /// Held locked, so that two collectors do not write the same files.
    _lock: File,
}

/// Why there is no case for a PDU.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CasesError {
    /// More than the setting allows.
    #[error("more than {0} cases: raise max_cases, and the limit of open files to four times that")]
    TooMany(usize),
    /// Its files cannot be opened.
    #[error(transparent)]
    Case(#[from] CaseError),
}

impl Cases {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// What the system says to it; `WouldBlock` when another collector has it.
    pub(crate) fn open(root: &Path, limit: usize, keep_streams: bool) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(root)?;
        if keep_streams {
            builder.create(root.join(STREAMS))?;
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(root.join(".lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(io::ErrorKind::WouldBlock, "another collector writes to it"),
            TryLockError::Error(error) => error,
        })?;
        Ok(Self { root: fs::canonicalize(root)?, limit, open: Mutex::default(), _lock: lock })
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The record of connections, opened for appending.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn connections(&self) -> io::Result<Lines> {
        Lines::open(&self.root.join(crate::CONNECTIONS), |_| {})
    }

    /// The case with this id, opened if it is not.
    ///
    /// # Errors
    /// Too many cases, or files that cannot be opened.
    pub(crate) fn get(&self, case_id: Option<&str>) -> Result<SharedCase, CasesError> {
        let mut open = lock(&self.open);
        let key = case_id.map(str::to_owned);
        if let Some(case) = open.get(&key) {
            if !lock(case).is_closed() {
                return Ok(Arc::clone(case));
            }
            open.remove(&key);
        }
        if open.len() == self.limit {
            return Err(CasesError::TooMany(self.limit));
        }
        let case = Arc::new(Mutex::new(Case::open(&self.root, case_id)?));
        open.insert(key, Arc::clone(&case));
        Ok(case)
    }

    /// All that are open, in no order.
    pub(crate) fn all(&self) -> Vec<SharedCase> {
        lock(&self.open).values().cloned().collect()
    }
}

/// A lock that outlives a panic of its holder: what it guards is mended by [`Case`]'s own closing, not by poison.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
