//! The folder of documents: every document, signature and sealed order exactly as it was handed in, one file each, named
//! by its digest. The audit log names them by the same digests, so a file that was altered no longer fits its name, and
//! one that was exchanged is another one.
//!
//! A document is durable before [`Archive::put`] returns; the record that names it is written after that. What a crash
//! leaves between the two is a document that no record names, and means nothing.

use crate::digest::Digest;
use crate::durable;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
}

/// A document as it was handed in, or found in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// What messages call it: the file that it came from.
    pub name: PathBuf,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
}

impl Original {
    /// A paper from a file of this name.
    pub fn new(name: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }

    /// Its digest: its name in the archive.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

/// Why the archive does not give or take a document.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not there.
    #[error("{}: missing; restore the file from a backup", .0.display())]
    Missing(PathBuf),
    /// Its bytes are not those that it is named by.
    #[error("{}: altered, its bytes are not those of its name; restore the file from a backup", .0.display())]
    Altered(PathBuf),
    /// The folder or a file in it cannot be read or written.
    #[error("{}: {source}; check the folder's owner, mode and free space", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Archive {
    /// Takes the folder, or makes it. Nobody else may look into it.
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        durable::make_private_folder(folder).map_err(|source| ArchiveError::Io { file: folder.to_owned(), source })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The folder of somebody else, to be read.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Keeps a document. It is on disk when this returns. A file of that name that is altered is made good.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ArchiveError> {
        let digest = Digest::of(bytes);
        let file = self.file_of(digest);
        let io = |source| ArchiveError::Io { file: file.clone(), source };
        if fs::read(&file).is_ok_and(|found| found == bytes) {
            // It may be there from a crash that came before it was durable.
            let again = fs::File::open(&file).and_then(|file| file.sync_all());
            again.and_then(|()| durable::sync_folder(&self.folder)).map_err(io)?;
        } else {
            durable::write(&file, bytes).map_err(io)?;
        }
        Ok(digest)
    }

    /// A document, provided that its bytes are those that it is named by.
    pub fn get(&self, digest: Digest) -> Result<Original, ArchiveError> {
        let file = self.file_of(digest);
        match fs::read(&file) {
            Ok(bytes) if Digest::of(&bytes) == digest => Ok(Original { name: file, bytes }),
            Ok(_) => Err(ArchiveError::Altered(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ArchiveError::Missing(file)),
            Err(source) => Err(ArchiveError::Io { file, source }),
        }
    }

    /// Removes a document for good.
    pub(crate) fn remove(&self, digest: Digest) -> Result<(), ArchiveError> {
        let file = self.file_of(digest);
        let removed = fs::remove_file(&file).and_then(|()| durable::sync_folder(&self.folder));
        removed.map_err(|source| ArchiveError::Io { file, source })
    }

    /// The digests of all documents that are there, sound or not.
    pub fn digests(&self) -> Result<Vec<Digest>, ArchiveError> {
        let io = |source| ArchiveError::Io { file: self.folder.clone(), source };
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io)? {
            // Anything else is no document: what a power cut left of one, or somebody else's file.
            digests.extend(entry.map_err(io)?.file_name().to_str().and_then(|name| name.parse::<Digest>().ok()));
        }
        Ok(digests)
    }

    fn file_of(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }
}
