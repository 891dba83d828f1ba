//! The operator's own lines on which the interception may be tried: in the roster, so signed by its officers. A test
//! warrant reaches nothing else.

use crate::calendar;
use crate::digest::Digest;
use crate::document::{self, Section};
use crate::error::Fault;
use crate::target::Criteria;
use crate::warrant::Warrant;
use jiff::Timestamp;

/// A line whose user agreed in writing to tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestLine {
    /// The line's name.
    pub name: String,
    /// Which packets are the line's.
    pub criteria: Criteria,
    /// Who uses it.
    pub user: String,
    /// Where the user's written consent is kept.
    pub consent: String,
    /// Digest of the scanned consent.
    pub consent_sha256: Digest,
    /// The consent's end; no test runs past it.
    pub until: Timestamp,
}

impl TestLine {
    pub(crate) fn read(mut section: Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let name = section.text("name", "lab line 1", faults);
        let criteria = Criteria::read(&mut section, faults);
        let user = section.text("user", "Greta Lind, network operations", faults);
        let consent = section.text("consent", "Legal, safe 2, folder 3", faults);
        let remedy = "run sha256sum on the scanned consent";
        let consent_sha256 =
            section.parsed("consent_sha256", "64 hexadecimal digits", faults, |it| document::digest(it, remedy));
        let until = section.parsed("until", "2027-06-30T00:00:00-04:00", faults, calendar::moment);
        section.finish(faults);
        Some(Self {
            name: name?,
            criteria: criteria?,
            user: user?,
            consent: consent?,
            consent_sha256: consent_sha256?,
            until: until?,
        })
    }
}

/// What in a test warrant is outside of the test lines.
pub(crate) fn faults(warrant: &Warrant, lines: &[TestLine]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, target) in warrant.targets().iter().enumerate() {
        let field = format!("target[{}].{}", i + 1, target.criteria.field());
        let mut around = lines.iter().filter(|line| target.criteria.lies_in(&line.criteria)).peekable();
        if around.peek().is_none() {
            let problem = "not on a test line of the roster";
            faults.push(Fault::new(field, problem, "test on a line that the roster names under [[test_line]]"));
        } else if !around.any(|line| warrant.window().stop() <= line.until) {
            let problem = "the consent of the test line's user ends before the window does";
            faults.push(Fault::new(field, problem, "stop earlier, or have the consent renewed in the roster"));
        }
    }
    faults
}
