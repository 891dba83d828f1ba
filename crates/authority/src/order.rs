//! The order as it was received: what 47 CFR 1.20004 asks to be kept of each interception.

use crate::digest::Digest;
use crate::document::{Section, Wrong, date};
use crate::error::Fault;
use crate::grant::Authority;
use jiff::civil::Date;

/// The order as received. Court, judge, docket and date of entry are there unless the authority is one without an
/// order of a court (emergency, consent, trespasser).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The court that entered it.
    pub court: Option<String>,
    /// The judge.
    pub judge: Option<String>,
    /// Docket number.
    pub docket: Option<String>,
    /// Day on which it was entered.
    pub entered: Option<Date>,
    /// Day on which it was served on the operator.
    pub served: Date,
    /// The officer of the agency who presented it (47 CFR 1.20004(b)(1)(iii)).
    pub presented_by: String,
    /// Who signed the authorisation (47 CFR 1.20004(b)(1)(iv)).
    pub signed_by: String,
    /// The agency.
    pub agency: String,
    /// Where the scanned order is kept.
    pub reference: Option<String>,
    /// Digest of the scanned order.
    pub sha256: Option<Digest>,
}

impl Order {
    /// What cannot be read is in `faults` afterwards; the order is to be used only if there are none.
    pub(crate) fn read(mut section: Section, authority: Option<Authority>, faults: &mut Vec<Fault>) -> Option<Self> {
        let of_court = authority.is_none_or(Authority::has_court_order);
        let asked = |section: &Section, key: &str| of_court || section.has(key);
        let court = asked(&section, "court").then(|| section.text("court", "E.D. Example", faults));
        let judge = asked(&section, "judge").then(|| section.text("judge", "Hon. A. Judge", faults));
        let docket = asked(&section, "docket").then(|| section.text("docket", "26-mc-0117", faults));
        let entered = asked(&section, "entered").then(|| section.parsed("entered", "2026-11-18", faults, date));
        let served = section.parsed("served", "2026-11-19", faults, date);
        let presented_by = section.text("presented_by", "Special Agent B. Agent", faults);
        let signed_by = section.text("signed_by", "Hon. A. Judge", faults);
        let agency = section.text("agency", "FBI", faults);
        let reference = section.text_if_any("reference", "safe 2, folder 14", faults);
        let sha256 = section.has("sha256").then(|| {
            section.parsed("sha256", "64 hexadecimal digits", faults, |text| {
                text.parse::<Digest>()
                    .map_err(|error| Wrong::new(error.to_string(), "run sha256sum on the scanned order"))
            })
        });
        if let (Some(Some(entered)), Some(served)) = (entered, served)
            && served < entered
        {
            let remedy = "correct the dates: an order is served after it is entered";
            faults.push(Fault::new(section.path("served"), "before the day it was entered", remedy));
        }
        section.finish(faults);
        Some(Self {
            court: court.flatten(),
            judge: judge.flatten(),
            docket: docket.flatten(),
            entered: entered.flatten(),
            served: served?,
            presented_by: presented_by?,
            signed_by: signed_by?,
            agency: agency?,
            reference,
            sha256: sha256.flatten(),
        })
    }
}
