//! The file of digests of what was delivered: lines are appended by all sessions, and a disk that does not take them holds up
//! none of them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of lines that are kept for a disk that does not take them, at most.
const MOST_UNWRITTEN: usize = 4 << 20;

/// The file of lines, open for appending; all sessions share it.
pub struct DeliveredFile {
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    /// Lines that the disk has not taken yet.
    unwritten: Vec<u8>,
    is_synced: bool,
    /// That the disk does not take them was said.
    has_complained: bool,
    /// That there were too many for it was said.
    has_lost: bool,
}

impl DeliveredFile {
    /// Goes on in a file that was opened for reading and appending. A line that a crash cut short is ended.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let mut file = File::from(file);
        let mut unwritten = Vec::new();
        if file.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                unwritten.push(b'\n');
            }
        }
        Ok(Self {
            inner: Mutex::new(Inner { file, unwritten, is_synced: true, has_complained: false, has_lost: false }),
        })
    }

    /// Appends whole lines. What the disk does not take is kept for the next time; delivery does not wait for it.
    pub(crate) fn append(&self, lines: &[u8]) {
        let mut inner = self.lock();
        if inner.unwritten.len() + lines.len() <= MOST_UNWRITTEN {
            inner.unwritten.extend_from_slice(lines);
        } else if !std::mem::replace(&mut inner.has_lost, true) {
            tracing::error!("ALARM: digests of what was delivered are lost: the disk has not taken them for too long");
        }
        inner.write();
    }

    /// Waits until the disk has all lines, and says whether it has.
    pub fn sync(&self) -> bool {
        let mut inner = self.lock();
        inner.write();
        if inner.is_synced {
            return inner.unwritten.is_empty();
        }
        let Ok(file) = inner.file.try_clone() else { return false };
        inner.is_synced = true;
        // Sessions append meanwhile.
        drop(inner);
        let synced = file.sync_data();
        let mut inner = self.lock();
        if let Err(error) = &synced {
            inner.is_synced = false;
            inner.complain(error);
        }
        synced.is_ok() && inner.unwritten.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is written and what is not is known after every single write.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self) {
        while !self.unwritten.is_empty() {
            match self.file.write(&self.unwritten) {
                Ok(0) => return self.complain(&io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.unwritten.drain(..written);
                    (self.is_synced, self.has_complained, self.has_lost) = (false, false, false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.complain(&error),
            }
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_complained, true) {
            tracing::error!(%error, "ALARM: the file of digests of what was delivered takes no line; make room on its disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn a_line_that_was_cut_short_spoils_none_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("delivered.jsonl");
        std::fs::write(&path, "{\"warrant\":\"00").unwrap();
        for line in ["{}\n", "{}\n{}\n"] {
            let file = OpenOptions::new().read(true).append(true).open(&path).unwrap();
            let file = DeliveredFile::open(file.into()).unwrap();
            file.append(line.as_bytes());
            assert!(file.sync());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"warrant\":\"00\n{}\n{}\n{}\n");
    }
}
