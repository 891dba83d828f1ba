//! A witness that is a folder: a file of the probe's for each day, to which each checkpoint is appended and made durable.
//!
//! The folder is never made: where another machine's disk is to be mounted and is not, nothing must seem well.

use super::{NotTaken, WitnessLine};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// How file names begin.
    probe: String,
}

impl Folder {
    pub(super) fn new(path: &Path, probe: &str) -> Self {
        let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
        Self { path: path.to_owned(), probe: probe.chars().map(safe).collect() }
    }

    pub(super) fn take(&self, lines: &[WitnessLine]) -> Result<(), NotTaken> {
        for day in lines.chunk_by(|one, next| day_of(one) == day_of(next)) {
            self.append(day).map_err(|error| NotTaken::Failed(words(&error)))?;
        }
        Ok(())
    }

    /// Appends lines of one day.
    fn append(&self, lines: &[WitnessLine]) -> io::Result<()> {
        let Some(first) = lines.first() else { return Ok(()) };
        let file = self.path.join(format!("{}-{}.jsonl", self.probe, day_of(first)));
        let is_new = !file.try_exists()?;
        // Readable for whoever checks: a checkpoint names nobody.
        let mut open = OpenOptions::new().read(true).append(true).create(true).mode(0o644).open(&file)?;
        let mut text = String::new();
        if is_torn(&mut open)? {
            text.push('\n');
        }
        for line in lines {
            text.push_str(&line.line);
            text.push('\n');
        }
        open.write_all(text.as_bytes())?;
        open.sync_data()?;
        if is_new {
            File::open(&self.path)?.sync_all()?;
        }
        Ok(())
    }
}

fn day_of(line: &WitnessLine) -> &str {
    line.time.get(..10).unwrap_or("undated")
}

/// Whether the last line has no end: the power failed while it was written.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "the folder is not there; is it mounted?".to_owned(),
        io::ErrorKind::PermissionDenied => "the folder may not be written; check its owner and mode".to_owned(),
        io::ErrorKind::StorageFull => "the folder's disk is full".to_owned(),
        _ => format!("the folder cannot be written: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(place: u64, time: &str) -> WitnessLine {
        WitnessLine { place, time: time.to_owned(), line: format!("checkpoint {place}") }
    }

    #[test]
    fn lines_are_appended_to_a_file_of_their_day() {
        let folder = tempfile::tempdir().unwrap();
        let witness = Folder::new(folder.path(), "pop/3 probe");
        let lines =
            [line(1, "2026-11-20T23:59:59Z"), line(2, "2026-11-20T23:59:59.9Z"), line(3, "2026-11-21T00:00:00Z")];
        assert!(witness.take(&lines[..1]).is_ok());
        assert!(witness.take(&lines[1..]).is_ok());
        let read = |day: &str| std::fs::read_to_string(folder.path().join(format!("pop_3_probe-{day}.jsonl"))).unwrap();
        assert_eq!(read("2026-11-20"), "checkpoint 1\ncheckpoint 2\n");
        assert_eq!(read("2026-11-21"), "checkpoint 3\n");
    }

    #[test]
    fn a_line_that_was_torn_comes_again_on_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p-2026-11-20.jsonl");
        std::fs::write(&file, "checkpoint 1\ncheckp").unwrap();
        assert!(Folder::new(folder.path(), "p").take(&[line(2, "2026-11-20T14:00:00Z")]).is_ok());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "checkpoint 1\ncheckp\ncheckpoint 2\n");
    }

    #[test]
    fn a_folder_that_is_away_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let away = folder.path().join("away");
        let taken = Folder::new(&away, "p").take(&[line(1, "2026-11-20T14:00:00Z")]);
        assert!(matches!(taken, Err(NotTaken::Failed(what)) if what.contains("mounted")));
        assert!(!away.exists());
    }
}
