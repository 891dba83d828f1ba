//! The application that has to follow an interception begun as an emergency: within 48 hours after it began (18 USC
//! 2518(7)). It is watched until it is made, the order is there or denied, or the case is closed.

use super::Register;
use super::case::{Case, Ending};
use crate::grant::Authority;
use crate::limit::LONGEST_EMERGENCY_HOURS;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

/// An application for an order that there was no time to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application {
    /// It must be made by then.
    pub due: Timestamp,
    /// The day on which it was, as the warrant says (`order.applied`).
    pub made: Option<Date>,
}

/// How many applications have not been made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplicationsDue {
    /// Due within the hours that the policy names.
    pub soon: usize,
    /// Due before now.
    pub overdue: usize,
}

impl Case {
    /// The application that this case waits for, or waited for; none if no interception began under 18 USC 2518(7), if
    /// the order came or was denied, or if the case is closed.
    pub fn application(&self) -> Option<Application> {
        let warrant = self.latest().map(|latest| latest.warrant.warrant())?;
        let is_settled = matches!(self.ending(), Some(Ending::Denied { .. })) || self.closed().is_some();
        if warrant.grant().authority() != Authority::Emergency2518 || is_settled {
            return None;
        }
        let due = self.begun()?.saturating_add(SignedDuration::from_hours(LONGEST_EMERGENCY_HOURS.into()));
        Some(Application { due: due.unwrap_or(Timestamp::MAX), made: warrant.order().applied })
    }
}

impl Register {
    /// The applications that have not been made and are due soon, or were due.
    pub fn applications_due(&self, now: Timestamp) -> ApplicationsDue {
        let hours = self.roster().map(|roster| roster.roster().policy().application_warning_hours).unwrap_or_default();
        let (at, warning) = (self.clock(now), SignedDuration::from_hours(hours.into()));
        let mut found = ApplicationsDue::default();
        let open = self.cases().filter_map(Case::application).filter(|application| application.made.is_none());
        for Application { due, .. } in open {
            if at >= due {
                found.overdue += 1;
            } else if due.duration_since(at) <= warning {
                found.soon += 1;
            }
        }
        found
    }
}
