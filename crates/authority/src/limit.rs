//! The latest moment up to which an order can be carried out, computed from its authority, its dates and its window.
//!
//! Where the law leaves open from when a period runs, the earlier reading is taken: Writ may stop too early, never too
//! late. An order that says less is written with an earlier stop.

use crate::calendar;
use crate::grant::Authority;
use crate::policy::Policy;
use crate::warrant::Warrant;
use jiff::{SignedDuration, Timestamp};

/// Longest interception or installation without an order: 18 USC 2518(7) and 3125(a).
pub(crate) const LONGEST_EMERGENCY_HOURS: u32 = 48;
/// Longest test.
const LONGEST_TEST_HOURS: u32 = 24;
/// A Title III period begins so many days after entry at the latest (18 USC 2518(5)).
const BEGINS_WITHIN_DAYS: u32 = 10;

/// The latest lawful stop of a warrant, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The moment.
    pub stop: Timestamp,
    /// Where it comes from, in words.
    pub reason: String,
}

/// How long an authority lasts, and from when.
enum Period {
    /// From the start of the window on.
    Hours(u32),
    /// From the earlier of the first possible interception and ten days after entry.
    DaysOfInterception(u32),
    /// From the day of entry on.
    DaysOfEntry(u32),
}

impl Limit {
    /// The limit of `warrant` under this policy. Of an extension, whose `before` ran under an order of its own, the
    /// first interception is the one after the stop of that; under the order of `before` nothing lasts longer than that.
    pub fn of(warrant: &Warrant, before: Option<&Warrant>, policy: &Policy) -> Self {
        let authority = warrant.grant().authority();
        let longer = policy.longer_windows.iter().filter(|longer| longer.authority == authority);
        let longer = longer.map(|longer| longer.days).max();
        let (period, source) = period(authority);
        let source = if longer.is_some() { "the roster's policy.longer_window" } else { source };
        let (calendar, window) = (warrant.calendar(), warrant.window());
        let show = |moment| calendar::show(moment, calendar);
        // An emergency that became an order, and a first revision, are counted from their own start.
        let begins = match before {
            Some(before) if before.grant().authority() == authority => window.start().max(before.window().stop()),
            _ => window.start(),
        };
        let (from, days, reason) = match (period, warrant.order().entered) {
            (Period::Hours(hours), _) => {
                let stop = window.start().saturating_add(SignedDuration::from_hours(hours.into()));
                let reason = format!("{hours} hours from the start, {} ({source})", show(window.start()));
                return Self { stop: stop.unwrap_or(Timestamp::MAX), reason };
            }
            _ if before.is_some_and(|before| !warrant.order().is_newer_than(before.order())) => {
                let stop = before.map_or(window.stop(), |before| before.window().stop());
                return Self { stop, reason: "the stop of the revision before, whose order this still is".to_owned() };
            }
            (Period::DaysOfInterception(days), entered) => {
                let entered = entered.and_then(|day| day.to_zoned(calendar.clone()).ok());
                let at_the_latest =
                    entered.and_then(|day| calendar::days_later(day.timestamp(), BEGINS_WITHIN_DAYS, calendar).ok());
                let (from, what) = match at_the_latest {
                    Some(latest) if latest < begins => (latest, "ten days after entry, which is before the start"),
                    _ if begins > window.start() => (begins, "the stop of the order before"),
                    _ => (begins, "the start, which is the first possible interception"),
                };
                (from, longer.unwrap_or(days), what)
            }
            (Period::DaysOfEntry(days), entered) => {
                let entered = entered.and_then(|day| day.to_zoned(calendar.clone()).ok()).map(|day| day.timestamp());
                (entered.unwrap_or(begins), longer.unwrap_or(days), "the day of entry")
            }
        };
        // Only a day that the clocks skip over or repeat gives no moment of its own: then days of 24 hours.
        let stop = calendar::days_later(from, days, calendar).unwrap_or_else(|_| {
            from.saturating_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MAX)
        });
        Self { stop, reason: format!("{days} days from {reason}, {} ({source})", show(from)) }
    }

    /// Whether a policy can allow more. The limits of emergencies and tests are fixed.
    pub fn can_be_stretched(authority: Authority) -> bool {
        !matches!(period(authority).0, Period::Hours(_))
    }
}

fn period(authority: Authority) -> (Period, &'static str) {
    match authority {
        Authority::TitleIii => (Period::DaysOfInterception(30), "18 USC 2518(5)"),
        // 18 USC 2516(2) and 2518(5) bind the courts of the states as well.
        Authority::State => (Period::DaysOfInterception(30), "18 USC 2518(5), which binds the states"),
        // No law says; the shortest period of an order is taken.
        Authority::Consent | Authority::Trespasser => (Period::DaysOfInterception(30), "Writ's own limit"),
        Authority::PenTrap | Authority::Pen | Authority::Trap => (Period::DaysOfEntry(60), "18 USC 3123(c)"),
        Authority::FisaSurveillance => (Period::DaysOfEntry(90), "50 USC 1805(d)"),
        Authority::FisaPenTrap => (Period::DaysOfEntry(90), "50 USC 1842(e)"),
        Authority::Emergency2518 => (Period::Hours(LONGEST_EMERGENCY_HOURS), "18 USC 2518(7)"),
        Authority::Emergency3125 => (Period::Hours(LONGEST_EMERGENCY_HOURS), "18 USC 3125(a)"),
        Authority::Test => (Period::Hours(LONGEST_TEST_HOURS), "Writ's limit of a test"),
    }
}
