//! Both sides beside each other: up to where they are equal, and of every window where they are not, in what way.

use crate::line::{Line, Range, Stream};
use crate::window::WINDOW_NUMBERS;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What both sides' lines of one delivery say, seen from the probe: here is the probe, there the agency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Of each stream that either side has anything of: the PDUs in windows that are equal, and the number up to which
    /// everything is equal.
    pub equal: BTreeMap<Stream, (u64, Option<u64>)>,
    /// In order of streams and numbers.
    pub findings: Vec<Finding>,
}

/// A difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The stream.
    pub stream: Stream,
    /// What it is.
    pub what: Difference,
    /// Windows, where octets differ or nothing can be said; else numbers of PDUs.
    pub range: Range,
}

/// In what the two sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Both have the same numbers of these windows, and not the same octets.
    Octets,
    /// Windows of messages behind an interruption of this side: what arrived of those that were on their way counts there,
    /// and messages bear no number of their own. Nothing can be said of them.
    Uncomparable,
    /// Delivered from here, and not kept there. The rest of the window cannot be compared.
    MissingThere,
    /// Kept there, and not delivered by what is known here. The rest of the window cannot be compared.
    MissingHere,
    /// As that, but this side was interrupted: they may have been delivered.
    UnknownHere,
    /// What is there ends before what is here: lost, or kept after that file was made.
    EndsThere,
    /// What is here ends before what is there: a window is written down when it is over, or the interception is.
    EndsHere,
}

impl Comparison {
    /// Whether nothing speaks against the two being the same.
    pub fn is_equal(&self) -> bool {
        let harmless = [Difference::EndsHere, Difference::UnknownHere];
        self.findings.iter().all(|finding| harmless.contains(&finding.what))
    }
}

/// Compares the lines of one delivery. Of a window that is there more than once the fullest line counts; of the other side's,
/// where numbers began anew, one that is equal.
pub fn compare(here: &[Line], there: &[Line]) -> Comparison {
    let mut comparison = Comparison::default();
    for stream in Stream::ALL {
        let (here, there) = (windows(here, stream), windows(there, stream));
        if here.is_empty() && there.is_empty() {
            continue;
        }
        let mut course = Course {
            stream,
            equal: 0,
            up_to: None,
            unbroken: true,
            interrupted: false,
            findings: &mut comparison.findings,
        };
        let ends = (last(&here), last(&there));
        let all: BTreeSet<u64> = here.keys().chain(there.keys()).copied().collect();
        for window in all {
            let of = |side: &BTreeMap<u64, Vec<Line>>| side.get(&window).cloned().unwrap_or_default();
            course.compare(&of(&here), &of(&there), ends);
        }
        let (equal, up_to) = (course.equal, course.up_to);
        comparison.equal.insert(stream, (equal, up_to));
    }
    comparison
}

/// The sound lines of a stream by window, the fullest first.
fn windows(lines: &[Line], stream: Stream) -> BTreeMap<u64, Vec<Line>> {
    let mut windows: BTreeMap<u64, Vec<Line>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.stream == stream && line.is_sound()) {
        windows.entry(line.window).or_default().push(line.clone());
    }
    for lines in windows.values_mut() {
        lines.sort_by_key(|line| std::cmp::Reverse(line.count));
    }
    windows
}

fn last(side: &BTreeMap<u64, Vec<Line>>) -> Option<u64> {
    side.values().next_back()?.iter().map(|line| line.last).max()
}

/// The comparison of one stream, window by window.
struct Course<'a> {
    stream: Stream,
    equal: u64,
    up_to: Option<u64>,
    /// Everything so far was equal.
    unbroken: bool,
    /// This side was interrupted in its window before this one, or in any before where messages are only counted.
    interrupted: bool,
    findings: &'a mut Vec<Finding>,
}

impl Course<'_> {
    fn compare(&mut self, here: &[Line], there: &[Line], ends: (Option<u64>, Option<u64>)) {
        if let Some(line) = here.first() {
            self.interrupted = line.is_broken || (self.interrupted && self.stream == Stream::Cmii);
        }
        let equal = here.first().filter(|mine| there.iter().any(|theirs| theirs.sha256 == mine.sha256));
        if let Some(line) = equal {
            self.equal += line.count;
            if self.unbroken {
                self.up_to = Some(line.last);
            }
            return;
        }
        let (mine, theirs) = (numbers(here.first()), numbers(there.first()));
        if mine == theirs {
            let window = here.first().map_or(0, |line| line.window);
            let counted = self.interrupted && self.stream == Stream::Cmii;
            let what = if counted { Difference::Uncomparable } else { Difference::Octets };
            return self.add(what, Range { first: window, last: window });
        }
        let (end_here, end_there) = ends;
        let is_behind = |end: Option<u64>, range: &Range| end.is_none_or(|end| range.first > end);
        for range in ranges(mine.difference(&theirs).copied()) {
            let at_end = is_behind(end_there, &range);
            self.add(if at_end { Difference::EndsThere } else { Difference::MissingThere }, range);
        }
        for range in ranges(theirs.difference(&mine).copied()) {
            let what = match is_behind(end_here, &range) {
                _ if self.interrupted => Difference::UnknownHere,
                true => Difference::EndsHere,
                false => Difference::MissingHere,
            };
            self.add(what, range);
        }
    }

    /// Adds a finding; one that goes on where the one before ends is one with it.
    fn add(&mut self, what: Difference, range: Range) {
        self.unbroken = false;
        let stream = self.stream;
        match self.findings.last_mut() {
            Some(before)
                if (before.stream, before.what) == (stream, what)
                    && before.range.last.checked_add(1) == Some(range.first) =>
            {
                before.range.last = range.last;
            }
            _ => self.findings.push(Finding { stream, what, range }),
        }
    }
}

/// The numbers that a line says have come: at most as many as a window has.
fn numbers(line: Option<&Line>) -> BTreeSet<u64> {
    let Some(line) = line else { return BTreeSet::new() };
    let is_missing = |number: &u64| line.missing.iter().any(|range| (range.first..=range.last).contains(number));
    (line.first..=line.last).filter(|number| !is_missing(number)).collect()
}

fn ranges(numbers: impl Iterator<Item = u64>) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(range) if range.last.checked_add(1) == Some(number) => range.last = number,
            _ => ranges.push(Range { first: number, last: number }),
        }
    }
    ranges
}

impl Line {
    /// Whether its figures can be those of a window: the other side's file is another's.
    pub(crate) fn is_sound(&self) -> bool {
        let holds = |number: u64| number / WINDOW_NUMBERS == self.window;
        self.first <= self.last && holds(self.first) && holds(self.last) && self.missing.len() as u64 <= WINDOW_NUMBERS
    }
}

/// In words, for people on the probe's side.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REST: &str = "the rest of the window cannot be compared";
        let Self { stream, what, range } = self;
        write!(f, "{}: ", stream.name())?;
        match what {
            Difference::Octets => {
                let numbers = Range {
                    first: range.first.saturating_mul(WINDOW_NUMBERS),
                    last: range.last.saturating_mul(WINDOW_NUMBERS).saturating_add(WINDOW_NUMBERS - 1),
                };
                write!(f, "window {range} differs: not the same octets, numbers {numbers}")?;
                match stream {
                    Stream::Cmii => f.write_str(
                        "; its messages bear no number of their own, so behind one that is missing or too many all \
                         windows differ",
                    ),
                    Stream::Cmc => Ok(()),
                }
            }
            Difference::Uncomparable => write!(
                f,
                "window {range} cannot be compared: the probe ended before with messages on their way, and those that \
                 arrived count there"
            ),
            Difference::MissingThere => write!(f, "missing there: {range}; {REST}"),
            Difference::MissingHere => write!(f, "missing here: {range}; {REST}"),
            Difference::UnknownHere => {
                write!(f, "not known here: {range}: they were on their way when the probe ended, and are there; {REST}")
            }
            Difference::EndsThere => {
                write!(f, "not there: {range}: what is there ends before; have the agency make its file anew")
            }
            Difference::EndsHere => write!(f, "not written down here yet: {range}, which are there"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stream, (equal, up_to)) in &self.equal {
            match up_to {
                Some(up_to) => writeln!(f, "{}: equal up to number {up_to}; {equal} PDUs are equal", stream.name())?,
                None => writeln!(f, "{}: not equal from the first number on; {equal} PDUs are equal", stream.name())?,
            }
        }
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}
