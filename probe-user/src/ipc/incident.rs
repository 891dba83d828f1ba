//! Incidents over the control socket: what is reported, and what has become of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use writ_authority::Telling;

/// `writ incident new`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentReport {
    /// `compromise` or `unlawful-interception`.
    pub breach: String,
    /// What has happened, in words.
    pub what: String,
    /// When it was found out.
    pub found: Timestamp,
    /// By whom.
    pub found_by: String,
    /// Among whom it is known; left out: those who know the first case, or without one `general`.
    pub compartment: Option<String>,
    /// The cases that it concerns.
    pub cases: Vec<Uuid>,
    /// Agencies to be told besides those of the cases.
    pub agencies: Vec<String>,
}

/// An incident as `writ incident` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IncidentLine {
    /// Which.
    pub uuid: Uuid,
    /// `compromise` or `unlawful-interception`.
    pub breach: String,
    /// What has happened, in words.
    pub what: String,
    /// When it was found out.
    pub found: Timestamp,
    /// By whom.
    pub found_by: String,
    /// Among whom it is known.
    pub compartment: String,
    /// The cases that it concerns.
    pub cases: Vec<Uuid>,
    /// When it was reported.
    pub reported: Timestamp,
    /// SHA-256 of its document, hexadecimal.
    pub sha256: String,
    /// Agencies that are still to be told.
    pub untold: Vec<String>,
    /// Those who have been.
    pub told: Vec<Telling>,
}
