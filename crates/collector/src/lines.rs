//! Files that whole lines are appended to.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::FLUSH_AT;

/// A file that whole lines are appended to.
#[derive(Debug)]
pub(crate) struct Lines {
    file: File,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens or creates a file. A last line without an end is cut off; `known` is told of the others.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn open(path: &Path, mut known: impl FnMut(&[u8])) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let mut whole = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                if length > 0 {
                    file.set_len(whole)?;
                }
                return Ok(Self { file, buffer: Vec::new() });
            }
            whole += length as u64;
            known(&line);
        }
    }

    /// Appends a line, which must not hold a line break. It is in the file after the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        if self.buffer.len() >= FLUSH_AT { self.flush() } else { Ok(()) }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the system says to the write. The file may then end within a line; opening it anew mends that.
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
