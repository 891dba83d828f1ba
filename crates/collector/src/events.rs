//! The identifying information of a case: `cmii.jsonl`, a JSON object a line, and the same as a table, `cmii.csv`.
//!
//! The JSON lines are the record; the table is made of them, now line by line and anew from all of them when a restart
//! finds that rows are missing or that it has other columns.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{FLUSH_AT, lines::Lines};

/// The columns of the table, and where in the JSON object the value of each is found: the first place that has one.
const COLUMNS: [(&str, &[&str]); 22] = [
    ("timestamp", &["/timestamp"]),
    ("case_id", &["/case_id"]),
    ("iap_system_id", &["/iap_system_id"]),
    ("message", &["/message"]),
    ("subscriber_identity", &["/subscriber_identity/value"]),
    ("access_session_id", &["/access_session_id/value"]),
    ("session_id", &["/session_id/value"]),
    ("address", &["/address/address"]),
    ("allocation", &["/address/allocation"]),
    ("reason", &["/reason/value", "/status"]),
    ("content_identifier", &["/content_identifier/correlation", "/content_identifier/call/main"]),
    ("stream_id", &["/stream_id/value"]),
    ("source", &["/source/address"]),
    ("source_port", &["/source_port"]),
    ("destination", &["/destination/address"]),
    ("destination_port", &["/destination_port"]),
    ("flow_label", &["/source/flow_label"]),
    ("unsupported_number", &["/number"]),
    ("packet_count", &["/packet_count"]),
    ("handover", &["/handover"]),
    ("series", &["/series"]),
    ("sequence", &["/sequence"]),
];

/// The two files of one case.
#[derive(Debug)]
pub(crate) struct EventLog {
    lines: Lines,
    table: Lines,
}

impl EventLog {
    /// Opens or creates both files in `folder`. `known` is told of each message that is there already: its line, and
    /// what it says (null if the line is not JSON).
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn open(folder: &Path, mut known: impl FnMut(&[u8], &Value)) -> io::Result<Self> {
        let lines_path = folder.join("cmii.jsonl");
        let table_path = folder.join("cmii.csv");
        let mut messages = 0u64;
        let lines = Lines::open(&lines_path, |line| {
            messages += 1;
            known(line, &serde_json::from_slice(line).unwrap_or_default());
        })?;
        // No field holds a line break (see `columns`), so a row is a line.
        let (mut rows, mut is_ours) = (0u64, false);
        let heading = heading()?;
        drop(Lines::open(&table_path, |row| {
            is_ours |= rows == 0 && row == heading;
            rows += 1;
        })?);
        if !is_ours || rows != messages + 1 {
            make_table(&lines_path, &table_path)?;
        }
        Ok(Self { lines, table: Lines::open(&table_path, |_| {})? })
    }

    /// Files one message. `line` is `message` as JSON.
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn file(&mut self, line: &[u8], message: &Value) -> io::Result<()> {
        self.lines.append(line)?;
        self.table.append(&row(&columns(message))?)
    }

    /// Writes out what is buffered, the record first.
    ///
    /// # Errors
    /// What the system says to the write.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()?;
        self.table.flush()
    }

    /// Writes out what is buffered and waits until the disk has it.
    ///
    /// # Errors
    /// What the system says to it.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.lines.sync()?;
        self.table.sync()
    }
}

/// Makes the table anew from the record.
fn make_table(lines: &Path, table: &Path) -> io::Result<()> {
    let draft: PathBuf = table.with_extension("csv.new");
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let mut buffer = heading()?;
    buffer.push(b'\n');
    let mut failed = Ok(());
    drop(Lines::open(lines, |line| {
        let message = serde_json::from_slice(line).unwrap_or_default();
        let step = row(&columns(&message)).and_then(|row| {
            buffer.extend_from_slice(&row);
            buffer.push(b'\n');
            if buffer.len() >= FLUSH_AT {
                out.write_all(&buffer)?;
                buffer.clear();
            }
            Ok(())
        });
        if failed.is_ok() {
            failed = step;
        }
    })?);
    failed?;
    out.write_all(&buffer)?;
    out.sync_all()?;
    fs::rename(draft, table)
}

fn heading() -> io::Result<Vec<u8>> {
    row(&COLUMNS.map(|(name, _)| name.to_owned()))
}

fn columns(message: &Value) -> [String; COLUMNS.len()] {
    COLUMNS.map(|(_, places)| {
        let found = places.iter().find_map(|place| message.pointer(place).filter(|value| !value.is_null()));
        match found {
            None => String::new(),
            // A line break, which an unfriendly sender might put in, would make two rows of one.
            Some(Value::String(text)) => text.replace(['\n', '\r'], " "),
            Some(value) => value.to_string(),
        }
    })
}

fn row(fields: &[String]) -> io::Result<Vec<u8>> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).buffer_capacity(512).from_writer(Vec::new());
    writer.write_record(fields)?;
    let mut row = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    row.pop();
    Ok(row)
}
