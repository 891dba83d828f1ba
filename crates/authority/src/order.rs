//! The order as it was received: what 47 CFR 1.20004 asks to be kept of each interception.

use crate::digest::Digest;
use crate::document::{self, Section, date};
use crate::error::Fault;
use crate::grant::Authority;
use jiff::civil::Date;

/// The order as received. Court, judge, docket and date of entry are there unless the authority is one without an
/// order of a court (emergency, consent, trespasser, test).
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
    /// Of an emergency under 18 USC 2518(7) or 3125: the day on which the agency applied for the order.
    pub applied: Option<Date>,
    /// Day on which it was served on the operator.
    pub served: Date,
    /// The officer of the agency who presented it (47 CFR 1.20004(b)(1)(iii)).
    pub presented_by: String,
    /// Who signed the authorisation (47 CFR 1.20004(b)(1)(iv)).
    pub signed_by: String,
    /// The agency.
    pub agency: String,
    /// How it came and how it was checked; `None` of a test alone, which nobody served.
    pub receipt: Option<Receipt>,
    /// Where the scanned order is kept.
    pub reference: Option<String>,
    /// Digest of the scanned order.
    pub sha256: Option<Digest>,
}

/// How an order came, and how the operator made sure that it is the agency's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who brought it.
    pub served_by: String,
    /// In what way.
    pub served_how: String,
    /// Whether it is under seal.
    pub sealed: bool,
    /// Whether it forbids to tell the subscriber.
    pub non_disclosure: bool,
    /// How to reach the officer who presented it.
    pub presented_contact: String,
    /// Who at the operator made sure that the order is genuine.
    pub verified_by: String,
    /// How: whom they called back, on which number, when.
    pub verified_how: String,
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
        let applied = section.has("applied").then(|| section.parsed("applied", "2026-11-19", faults, date)).flatten();
        if applied.is_some() && authority.is_some_and(|authority| !authority.is_emergency()) {
            let remedy = "remove it, or name the authority of the emergency";
            faults.push(Fault::new(section.path("applied"), "only an emergency has an order to come", remedy));
        }
        let served = section.parsed("served", "2026-11-19", faults, date);
        let is_test = authority.is_some_and(Authority::is_test);
        let receipt = (!is_test).then(|| Receipt::read(&mut section, faults));
        let presented_by = section.text("presented_by", "Special Agent B. Agent", faults);
        let signed_by = section.text("signed_by", "Hon. A. Judge", faults);
        let agency = section.text("agency", "FBI", faults);
        let reference = section.text_if_any("reference", "safe 2, folder 14", faults);
        let remedy = "run sha256sum on the scanned order";
        let sha256 = section
            .has("sha256")
            .then(|| section.parsed("sha256", "64 hexadecimal digits", faults, |it| document::digest(it, remedy)));
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
            applied,
            served: served?,
            presented_by: presented_by?,
            signed_by: signed_by?,
            agency: agency?,
            receipt: receipt.flatten(),
            reference,
            sha256: sha256.flatten(),
        })
    }

    /// Whether this is another order than `other`: another docket, or entered (without a court: served) later.
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        match (self.entered, other.entered) {
            (Some(entered), Some(before)) => self.docket != other.docket || entered > before,
            // The order of an emergency has come.
            (Some(_), None) => true,
            (None, _) => self.served > other.served,
        }
    }

    /// Whether both say the same, but for the day of the application, which may have become known.
    pub(crate) fn continues(&self, before: &Self) -> bool {
        before.applied.is_none_or(|applied| self.applied == Some(applied))
            && *self == Self { applied: self.applied, ..before.clone() }
    }
}

impl Receipt {
    fn read(section: &mut Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let served_by = section.text("served_by", "Special Agent B. Agent", faults);
        let served_how = section.text("served_how", "in person, on paper", faults);
        let sealed = section.flag("sealed", faults);
        let non_disclosure = section.flag("non_disclosure", faults);
        let presented_contact = section.text("presented_contact", "+1 202 555 0117, the agency's switchboard", faults);
        let verified_by = section.text("verified_by", "Ada Marsh", faults);
        let example = "called the field office back on its published number +1 202 555 0100, 2026-11-19 15:10";
        let verified_how = section.text("verified_how", example, faults);
        Some(Self {
            served_by: served_by?,
            served_how: served_how?,
            sealed: sealed?,
            non_disclosure: non_disclosure?,
            presented_contact: presented_contact?,
            verified_by: verified_by?,
            verified_how: verified_how?,
        })
    }
}
