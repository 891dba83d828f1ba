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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Both have the same numbers of these windows, and not the same octets.
    Differs {
        /// The stream.
        stream: Stream,
        /// Windows.
        windows: Range,
    },
    /// Delivered from here, and not kept there. The rest of the window cannot be compared.
    MissingThere {
        /// The stream.
        stream: Stream,
        /// Numbers.
        numbers: Range,
    },
    /// Kept there, and not known here as delivered. The rest of the window cannot be compared.
    MissingHere {
        /// The stream.
        stream: Stream,
        /// Numbers.
        numbers: Range,
        /// This side was interrupted in that window: they may have been delivered.
        is_explained: bool,
    },
    /// What is there ends before what is here: lost, or kept after that file was made.
    EndsThere {
        /// The stream.
        stream: Stream,
        /// Numbers that are here alone.
        numbers: Range,
    },
    /// What is here ends before what is there: the last window is written when it is over, or the interception is.
    EndsHere {
        /// The stream.
        stream: Stream,
        /// Numbers that are there alone.
        numbers: Range,
    },
}

impl Comparison {
    /// Whether nothing speaks against the two being the same.
    pub fn is_equal(&self) -> bool {
        let harmless = |finding: &Finding| {
            matches!(finding, Finding::EndsHere { .. } | Finding::MissingHere { is_explained: true, .. })
        };
        self.findings.iter().all(harmless)
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
        let mut course = Course { stream, equal: 0, up_to: None, unbroken: true, findings: &mut comparison.findings };
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
    findings: &'a mut Vec<Finding>,
}

impl Course<'_> {
    fn compare(&mut self, here: &[Line], there: &[Line], ends: (Option<u64>, Option<u64>)) {
        let equal = here.first().filter(|mine| there.iter().any(|theirs| theirs.sha256 == mine.sha256));
        if let Some(line) = equal {
            self.equal += line.count;
            if self.unbroken {
                self.up_to = Some(line.last);
            }
            return;
        }
        let stream = self.stream;
        let (mine, theirs) = (numbers(here.first()), numbers(there.first()));
        if mine == theirs {
            self.unbroken = false;
            let window = here.first().map_or(0, |line| line.window);
            match self.findings.last_mut() {
                Some(Finding::Differs { stream: of, windows }) if *of == stream && windows.last + 1 == window => {
                    windows.last = window;
                }
                _ => self.findings.push(Finding::Differs { stream, windows: Range { first: window, last: window } }),
            }
            return;
        }
        let (end_here, end_there) = ends;
        let is_explained = here.first().is_some_and(|line| line.is_broken);
        for numbers in ranges(mine.difference(&theirs).copied()) {
            self.unbroken = false;
            let at_end = end_there.is_none_or(|end| numbers.first > end);
            self.add(if at_end {
                Finding::EndsThere { stream, numbers }
            } else {
                Finding::MissingThere { stream, numbers }
            });
        }
        for numbers in ranges(theirs.difference(&mine).copied()) {
            self.unbroken = false;
            let at_end = end_here.is_none_or(|end| numbers.first > end) && !is_explained;
            self.add(if at_end {
                Finding::EndsHere { stream, numbers }
            } else {
                Finding::MissingHere { stream, numbers, is_explained }
            });
        }
    }

    /// Adds a finding; one that goes on where the one before ends is one with it.
    fn add(&mut self, finding: Finding) {
        use Finding::{EndsHere, EndsThere, MissingHere, MissingThere};
        let joined = match (self.findings.last_mut(), &finding) {
            (Some(MissingThere { stream: a, numbers }), MissingThere { stream: b, numbers: more })
            | (Some(EndsThere { stream: a, numbers }), EndsThere { stream: b, numbers: more })
            | (Some(EndsHere { stream: a, numbers }), EndsHere { stream: b, numbers: more })
            | (
                Some(MissingHere { stream: a, numbers, is_explained: false }),
                MissingHere { stream: b, numbers: more, is_explained: false },
            ) if a == b && numbers.last.checked_add(1) == Some(more.first) => {
                numbers.last = more.last;
                true
            }
            _ => false,
        };
        if !joined {
            self.findings.push(finding);
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
        match self {
            Self::Differs { stream, windows } => {
                let numbers = Range {
                    first: windows.first.saturating_mul(WINDOW_NUMBERS),
                    last: windows.last.saturating_mul(WINDOW_NUMBERS).saturating_add(WINDOW_NUMBERS - 1),
                };
                write!(f, "{}: window {windows} differs: not the same octets, numbers {numbers}", stream.name())?;
                if *stream == Stream::Cmii {
                    f.write_str(
                        "; its messages bear no number of their own, so behind one that is missing or too many all windows \
                         differ",
                    )?;
                }
                Ok(())
            }
            Self::MissingThere { stream, numbers } => {
                write!(f, "{}: missing there: {numbers}; the rest of the window cannot be compared", stream.name())
            }
            Self::MissingHere { stream, numbers, is_explained: false } => {
                write!(f, "{}: missing here: {numbers}; the rest of the window cannot be compared", stream.name())
            }
            Self::MissingHere { stream, numbers, is_explained: true } => write!(
                f,
                "{}: not known here: {numbers}: they were on their way when the probe ended, and are there; the rest of the \
                 window cannot be compared",
                stream.name()
            ),
            Self::EndsThere { stream, numbers } => write!(
                f,
                "{}: not there: {numbers}: what is there ends before; have the agency make its file anew",
                stream.name()
            ),
            Self::EndsHere { stream, numbers } => {
                write!(f, "{}: not written down here yet: {numbers}, which are there", stream.name())
            }
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
