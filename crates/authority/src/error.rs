//! What is wrong with a document: every fault that was found, each with its field and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field, such as `target[2].address`; `line 7` where the text itself is at fault.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What would make it right.
    pub remedy: String,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.problem, self.remedy)
    }
}

/// A document that is refused, with every fault found in it. Prints one line a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    file: PathBuf,
    faults: Vec<Fault>,
}

impl DocumentError {
    /// `faults` must hold at least one.
    pub(crate) fn new(file: &Path, faults: Vec<Fault>) -> Self {
        Self { file: file.to_owned(), faults }
    }

    /// The file they were found in.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All of them, in the order of the document's fields.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {fault}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentError {}
