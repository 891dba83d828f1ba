//! A file that is appended to: what is added is gathered, and written in large pieces.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::FLUSH_AT;

/// See the module.
#[derive(Debug)]
pub(crate) struct Appended {
    file: File,
    buffer: Vec<u8>,
}

impl Appended {
    /// Opens or creates a file, and gives its length. `read` says how much of it is whole: what is behind that was being
    /// written when the machine stopped, and is cut off.
    ///
    /// # Errors
    /// What the system says to it, or what `read` does; the file is then left as it is.
    pub(crate) fn open<E: From<io::Error>>(
        path: &Path,
        read: impl FnOnce(&File) -> Result<u64, E>,
    ) -> Result<(Self, u64), E> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let whole = read(&file)?;
        if whole < file.metadata()?.len() {
            file.set_len(whole)?;
        }
        Ok((Self { file, buffer: Vec::new() }, whole))
    }

    /// Lets `write` append. It is in the file after the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// What the system says to the write, for example that the disk is full.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        write(&mut self.buffer);
        if self.buffer.len() >= FLUSH_AT { self.flush() } else { Ok(()) }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the system says to the write. The file may then end anywhere; opening it anew mends that.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes out what is buffered and waits until the disk has it.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_all()
    }
}
