//! The incident: a lawful interception that was compromised, or an interception without authority, as 47 CFR 1.20003 to
//! 1.20005 want it reported to the agencies that it concerns. The probe writes the document from what somebody reports
//! and from the cases that they name; nobody signs it, the audit log says who reported it and when.

use crate::calendar;
use crate::digest::Digest;
use crate::document::{self, Wrong};
use crate::draft::Draft;
use crate::error::{DocumentError, Fault};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;
use uuid::Uuid;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Somebody learned of a lawful interception, or got at what it takes, who may not.
    Compromise,
    /// Something was intercepted without authority.
    Unlawful,
}

impl Breach {
    const ALL: &'static [Self] = &[Self::Compromise, Self::Unlawful];

    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compromise => "compromise",
            Self::Unlawful => "unlawful-interception",
        }
    }
}

/// An incident as it was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    digest: Digest,
    uuid: Uuid,
    operator: String,
    probe: String,
    compartment: String,
    breach: Breach,
    what: String,
    found: Timestamp,
    found_by: String,
    cases: Vec<Uuid>,
    agencies: Vec<String>,
}

/// That an agency was told of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telling {
    /// Which agency, as the incident names it.
    pub agency: String,
    /// Who told it.
    pub by: String,
    /// How: whom they spoke to, by what means.
    pub how: String,
    /// When.
    pub at: Timestamp,
}

/// What somebody reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `compromise` or `unlawful-interception`.
    pub breach: String,
    /// What has happened, in words.
    pub what: String,
    /// When it was found out.
    pub found: Timestamp,
    /// By whom.
    pub found_by: String,
    /// Among whom of the operator's people it is known.
    pub compartment: String,
    /// The cases that it concerns.
    pub cases: Vec<Uuid>,
    /// Agencies that it concerns besides those of the cases.
    pub agencies: Vec<String>,
}

impl Incident {
    /// Writes an incident. `agencies` are all that are to be told.
    pub(crate) fn draft(uuid: Uuid, operator: &str, probe: &str, report: &Report, agencies: &[String]) -> String {
        let cases: Vec<_> = report.cases.iter().map(Uuid::to_string).collect();
        let mut draft = Draft::new();
        draft
            .text("uuid", &uuid.to_string())
            .text("operator", operator)
            .text("probe", probe)
            .text("compartment", &report.compartment)
            .text("breach", &report.breach)
            .text("what", &report.what)
            .text("found", &report.found.to_string())
            .text("found_by", &report.found_by);
        if !cases.is_empty() {
            draft.texts("cases", &cases);
        }
        draft.texts("agencies", agencies);
        draft.to_string()
    }

    /// Reads an incident and validates it whole. The error names every fault found.
    ///
    /// `file` only names the document in messages.
    pub fn parse(bytes: &[u8], file: &Path) -> Result<Self, DocumentError> {
        let mut root = document::read(bytes, file)?;
        let mut faults = Vec::new();
        let example = "1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11";
        let uuid = root.parsed("uuid", example, &mut faults, document::uuid);
        let operator = root.text("operator", "ExampleNet", &mut faults);
        let probe = root.text("probe", "pop3-probe1", &mut faults);
        let compartment = root.parsed("compartment", "general", &mut faults, document::name);
        let breach =
            root.parsed("breach", "compromise", &mut faults, |text| document::word(text, Breach::ALL, Breach::as_str));
        let what = root.text("what", "a list of targets lay open on the file server", &mut faults);
        let found = root.parsed("found", "2026-11-20T14:00:00Z", &mut faults, calendar::moment);
        let found_by = root.text("found_by", "Ada Marsh", &mut faults);
        let named = root.has("cases").then(|| root.texts("cases", &format!("[\"{example}\"]"), &mut faults)).flatten();
        let mut cases = Vec::new();
        for (place, text) in named.unwrap_or_default().iter().enumerate() {
            match document::uuid(text) {
                Ok(uuid) => cases.push(uuid),
                Err(Wrong { problem, remedy }) => {
                    faults.push(Fault::new(format!("cases[{}]", place + 1), problem, remedy));
                }
            }
        }
        let agencies = root.texts("agencies", "[\"FBI\"]", &mut faults);
        root.finish(&mut faults);
        match (uuid, operator, probe, compartment, breach, what, found, found_by, agencies) {
            (
                Some(uuid),
                Some(operator),
                Some(probe),
                Some(compartment),
                Some(breach),
                Some(what),
                Some(found),
                Some(found_by),
                Some(agencies),
            ) if faults.is_empty() => {
                let digest = Digest::of(bytes);
                Ok(Self { digest, uuid, operator, probe, compartment, breach, what, found, found_by, cases, agencies })
            }
            _ => Err(DocumentError::new(file, faults)),
        }
    }

    /// Digest of the document's exact bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its name, for good.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The carrier.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// The probe.
    pub fn probe(&self) -> &str {
        &self.probe
    }

    /// Among whom of the operator's people it is known.
    pub fn compartment(&self) -> &str {
        &self.compartment
    }

    /// What it is.
    pub fn breach(&self) -> Breach {
        self.breach
    }

    /// What has happened, in words.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// When it was found out.
    pub fn found(&self) -> Timestamp {
        self.found
    }

    /// By whom.
    pub fn found_by(&self) -> &str {
        &self.found_by
    }

    /// The cases that it concerns; none of an interception for which there is no case.
    pub fn cases(&self) -> &[Uuid] {
        &self.cases
    }

    /// All agencies that are to be told.
    pub fn agencies(&self) -> &[String] {
        &self.agencies
    }
}
