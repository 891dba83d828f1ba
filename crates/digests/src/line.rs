//! What is written down of a window: a JSON object a line, on either side.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which of the two streams of the handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Identifying information.
    Cmii,
    /// Content.
    Cmc,
}

impl Stream {
    /// Both, in the order in which a destination's streams are numbered.
    pub const ALL: [Self; 2] = [Self::Cmii, Self::Cmc];

    /// Its name in settings, files and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cmii => "cmii",
            Self::Cmc => "cmc",
        }
    }
}

/// Numbers that follow each other. `[first, last]` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 2]", into = "[u64; 2]")]
pub struct Range {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}

impl From<[u64; 2]> for Range {
    fn from([first, last]: [u64; 2]) -> Self {
        Self { first, last }
    }
}

impl From<Range> for [u64; 2] {
    fn from(range: Range) -> Self {
        [range.first, range.last]
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first} to {last}") }
    }
}

/// A window in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Of which stream.
    pub stream: Stream,
    /// The window: number of a PDU divided by [`WINDOW_NUMBERS`](crate::WINDOW_NUMBERS).
    pub window: u64,
    /// Lowest number that came.
    pub first: u64,
    /// Highest number that came.
    pub last: u64,
    /// How many came.
    pub count: u64,
    /// Numbers between the window's begin and `last` that did not come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Range>,
    /// The digest of those that came, hexadecimal.
    pub sha256: String,
    /// Whoever kept this was interrupted: numbers that are missing here may have been delivered all the same.
    #[serde(rename = "broken", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_broken: bool,
}

/// A line of the probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The warrant, as the probe counts its owner: a UUID.
    pub warrant: String,
    /// Which of the warrant's deliveries, from 0.
    pub delivery: u8,
    /// The window.
    #[serde(flatten)]
    pub line: Line,
}

/// A line of the agency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The agency's name for the case, as the PDUs have it.
    pub case_id: String,
    /// The probe, as the PDUs have it.
    pub iap: String,
    /// Of content: its content identifier, in hexadecimal if it is a correlation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_identifier: Option<String>,
    /// How often numbers had begun anew before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub run: u32,
    /// The window.
    #[serde(flatten)]
    pub line: Line,
}

fn is_zero(run: &u32) -> bool {
    *run == 0
}

/// Reads a file of lines: those that are such lines, and the numbers (from 1) of those that are not. A crash can leave one
/// that is not whole.
pub fn read_lines<T: DeserializeOwned>(text: &str) -> (Vec<T>, Vec<usize>) {
    let mut lines = Vec::new();
    let mut unreadable = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            Err(_) => unreadable.push(number),
        }
    }
    (lines, unreadable)
}
