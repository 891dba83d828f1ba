//! Files that whole lines are appended to.

use std::{
    io::{self, BufRead, BufReader},
    path::Path,
};

use crate::appended::Appended;

/// A file that whole lines are appended to.
#[derive(Debug)]
pub(crate) struct Lines(Appended);

impl Lines {
    /// Opens or creates a file. A last line without an end is cut off; `known` is told of the others.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn open(path: &Path, mut known: impl FnMut(&[u8])) -> io::Result<Self> {
        let (file, _) = Appended::open(path, |file| {
            let mut reader = BufReader::with_capacity(1 << 20, file);
            let (mut whole, mut line) = (0, Vec::new());
            loop {
                line.clear();
                let length = reader.read_until(b'\n', &mut line)?;
                if line.pop() != Some(b'\n') {
                    return Ok::<u64, io::Error>(whole);
                }
                whole += length as u64;
                known(&line);
            }
        })?;
        Ok(Self(file))
    }

    /// Appends a line, which must not hold a line break. It is in the file after the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.add(|buffer| {
            buffer.extend_from_slice(line);
            buffer.push(b'\n');
        })
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    /// Writes out what is buffered and waits until the disk has it.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}
