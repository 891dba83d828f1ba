//! A change to a tap port that `writ doctor` proposes and `writ doctor --fix` makes. It is a command that a person could
//! type: what is shown is what is run, and so is the way back.

use serde::{Serialize, Serializer};
use std::fmt;
use std::fs;
use std::io;
use std::process::{Command, Stdio};

/// One setting, and how to change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The setting, for example `eth0: NIC ring`.
    pub what: String,
    /// What it is now.
    pub from: String,
    /// What it will be.
    pub to: String,
    /// Ways to do it, the best first: what one driver or version of ethtool refuses, another may take.
    pub ways: Vec<Way>,
}

/// A way to make a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// What is done.
    pub step: Step,
    /// What undoes it.
    pub undo: Step,
}

/// Something that can be done to a port, shown as a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `ethtool` with these arguments.
    Ethtool(Vec<String>),
    /// A file of `/proc` or `/sys` is written.
    Write {
        /// The file.
        path: String,
        /// Its new content.
        value: String,
    },
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made, in this way.
    Made(Way),
    /// Every way was refused: what was said of each, in one line.
    Refused(String),
}

impl Change {
    /// The way that is tried first, as a command.
    pub fn command(&self) -> String {
        self.ways.first().map(|way| way.step.to_string()).unwrap_or_default()
    }

    /// Makes the change, in the first way that is not refused.
    pub(crate) fn make(&self) -> Outcome {
        let mut refusals = Vec::new();
        for way in &self.ways {
            match way.step.run() {
                Ok(()) => return Outcome::Made(way.clone()),
                Err(said) => refusals.push(format!("`{}`: {said}", way.step)),
            }
        }
        Outcome::Refused(refusals.join("; "))
    }
}

impl Step {
    /// `ethtool` with an option, an interface and what follows.
    pub(crate) fn ethtool(option: &str, interface: &str, rest: &str) -> Self {
        let rest = rest.split_whitespace();
        Self::Ethtool([option, interface].into_iter().chain(rest).map(str::to_owned).collect())
    }

    /// Does it in the network namespace of this thread. An error is what the tool or the kernel said, in one line.
    fn run(&self) -> Result<(), String> {
        match self {
            Self::Write { path, value } => fs::write(path, value).map_err(|error| error.to_string()),
            Self::Ethtool(arguments) => {
                let mut command = Command::new("ethtool");
                let output =
                    command.args(arguments).stdin(Stdio::null()).output().map_err(|error| match error.kind() {
                        io::ErrorKind::NotFound => "the program ethtool is missing: install its package".to_owned(),
                        _ => error.to_string(),
                    })?;
                if output.status.success() {
                    return Ok(());
                }
                let said = [output.stderr, output.stdout].concat();
                let said = String::from_utf8_lossy(&said);
                let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                Err(if lines.is_empty() { output.status.to_string() } else { lines.join("; ") })
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ethtool(arguments) => write!(f, "ethtool {}", arguments.join(" ")),
            Self::Write { path, value } => write!(f, "echo {value} > {path}"),
        }
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(path: &str) -> Way {
        let write = |value: &str| Step::Write { path: path.to_owned(), value: value.to_owned() };
        Way { step: write("2"), undo: write("0-3") }
    }

    fn change(ways: Vec<Way>) -> Change {
        Change { what: "tap: interrupt".into(), from: "CPU 0-3".into(), to: "CPU 2".into(), ways }
    }

    #[test]
    fn the_second_way_is_taken_where_the_first_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let good = way(path);
        assert_eq!(change(vec![way("/nowhere/1"), good.clone()]).make(), Outcome::Made(good));
        assert_eq!(fs::read_to_string(path).unwrap(), "2");
    }

    #[test]
    fn a_refusal_says_of_each_way_what_was_said_in_one_line() {
        let ethtool = Step::ethtool("-L", "nosuch", "combined 2");
        let ways = vec![Way { step: ethtool.clone(), undo: ethtool }, way("/nowhere/1")];
        let Outcome::Refused(said) = change(ways).make() else { panic!("it was made") };
        assert!(
            said.contains("`ethtool -L nosuch combined 2`: ") && said.contains("`echo 2 > /nowhere/1`: "),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
