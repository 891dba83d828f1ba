//! What every signed document but the roster begins with: which probe it is for, until when it may be handed in, and
//! the end of the audit log that its author saw. So a paper is good for one probe, for some days, and for a log that
//! still has what was in it then.

use crate::approval::ProbeIdentity;
use crate::audit::Head;
use crate::calendar;
use crate::digest::Digest;
use crate::document::{self, Section};
use crate::error::Fault;
use jiff::Timestamp;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The operator it is addressed to.
    pub operator: String,
    /// The probe it is addressed to.
    pub probe: String,
    /// Signatures handed in later than this are refused.
    pub sign_by: Timestamp,
    /// The end of the probe's audit log when the document was drafted. The log must have this record.
    pub seen: Head,
}

impl Heading {
    pub(crate) fn read(root: &mut Section, faults: &mut Vec<Fault>) -> Option<Self> {
        let operator = root.text("operator", "ExampleNet", faults);
        let probe = root.text("probe", "pop3-probe1", faults);
        let sign_by = root.parsed("sign_by", "2026-11-21T09:00:00-05:00", faults, calendar::moment);
        let seen = root.section("seen", faults).and_then(|section| read_seen(section, faults));
        Some(Self { operator: operator?, probe: probe?, sign_by: sign_by?, seen: seen? })
    }

    /// Why the document is not for this probe, or too late.
    pub(crate) fn faults(&self, identity: &ProbeIdentity, now: Timestamp) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (field, found, ours) in
            [("operator", &self.operator, &identity.operator), ("probe", &self.probe, &identity.probe)]
        {
            if found != ours {
                let problem = format!("the document is for {found:?}, and this is {ours:?}");
                faults.push(Fault::new(field, problem, "hand it in where it belongs"));
            }
        }
        if now > self.sign_by {
            let problem = format!("it was to be signed and handed in by {}, and it is {now}", self.sign_by);
            faults.push(Fault::new("sign_by", problem, "draft it again with a later sign_by and have it signed again"));
        }
        faults
    }
}

fn read_seen(mut section: Section, faults: &mut Vec<Fault>) -> Option<Head> {
    let number = section.number("record", 0..=i64::MAX, "17", faults);
    let remedy = "copy record and hash from `writ audit head`; record 0 has 64 zeros";
    let hash = section.parsed("hash", "64 hexadecimal digits", faults, |text| document::digest(text, remedy));
    if let (Some(number), Some(hash)) = (number, hash)
        && (number == 0) != (hash == Digest::ZERO)
    {
        faults.push(Fault::new(section.path("hash"), "does not belong to this record", remedy));
    }
    section.finish(faults);
    Some(Head { number: number?, hash: hash? })
}
