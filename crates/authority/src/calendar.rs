//! Moments as documents write them, and the calendar in which an order counts its days: an offset to UTC, or a time zone
//! of the IANA data that is built in. What a zone means is pinned with the program, so a paper means tomorrow what it
//! meant when it was signed.

use crate::document::Wrong;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use std::sync::LazyLock;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

const EXAMPLE: &str = "such as \"2026-11-20T09:00:00-05:00\"";

/// A point in time with its offset to UTC.
pub(crate) fn moment(text: &str) -> Result<Timestamp, Wrong> {
    moment_in(text, None).map(|(moment, _)| moment)
}

/// A point in time, and the calendar it is written in: with its offset to UTC, or as the clocks of `zone` show it.
pub(crate) fn moment_in(text: &str, zone: Option<&TimeZone>) -> Result<(Timestamp, TimeZone), Wrong> {
    if text.contains('[') {
        // The zone would have to agree with the offset, and each moment could have another.
        let remedy = format!("give only the offset to UTC, {EXAMPLE}, or name the zone once with zone = \"...\"");
        return Err(Wrong::new("names a time zone", remedy));
    }
    let wrong = || Wrong::new("not a date and time", format!("write it as RFC 3339, {EXAMPLE}"));
    let offset = Pieces::parse(text).map_err(|_| wrong())?.to_numeric_offset();
    match (offset, zone) {
        (Some(offset), None) => Ok((text.parse().map_err(|_| wrong())?, TimeZone::fixed(offset))),
        (Some(offset), Some(zone)) => {
            let moment = text.parse().map_err(|_| wrong())?;
            let there = zone.to_offset(moment);
            if there != offset {
                let problem = format!("the clocks of the zone are at offset {there} then");
                return Err(Wrong::new(problem, format!("write the offset {there}, or leave it out")));
            }
            Ok((moment, zone.clone()))
        }
        (None, Some(zone)) => Ok((in_zone(text.parse().map_err(|_| wrong())?, zone)?, zone.clone())),
        (None, None) => {
            text.parse::<DateTime>().map_err(|_| wrong())?;
            let problem = "no offset to UTC, so no certain moment";
            Err(Wrong::new(problem, format!("add the offset, {EXAMPLE}")))
        }
    }
}

/// The one moment at which the clocks of `zone` show this.
pub(crate) fn in_zone(time: DateTime, zone: &TimeZone) -> Result<Timestamp, Wrong> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    let (problem, before, after) = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => {
            let out_of_range = |_| Wrong::new("out of range", "correct the year");
            return ambiguous.unambiguous().map_err(out_of_range);
        }
        AmbiguousOffset::Gap { before, after } => {
            (format!("{time} is no time in this zone: the clocks go forward over it"), before, after)
        }
        AmbiguousOffset::Fold { before, after } => {
            (format!("{time} is twice in this zone: the clocks go back over it"), before, after)
        }
    };
    Err(Wrong::new(
        problem,
        format!("write the moment with its offset, {before} before the change or {after} after it"),
    ))
}

/// A zone of the IANA data, in its one spelling.
pub(crate) fn zone(text: &str) -> Result<TimeZone, Wrong> {
    let wrong = || Wrong::new("not a time zone of the IANA data", "write one such as \"America/New_York\"");
    let zone = ZONES.get(text).map_err(|_| wrong())?;
    if zone.iana_name() == Some(text) { Ok(zone) } else { Err(wrong()) }
}

/// The moment so many calendar days later, by the clocks of `zone`.
pub(crate) fn days_later(moment: Timestamp, days: u32, zone: &TimeZone) -> Result<Timestamp, Wrong> {
    let days = jiff::Span::new().try_days(days);
    let later = days.and_then(|days| zone.to_datetime(moment).checked_add(days));
    in_zone(later.map_err(|_| Wrong::new("out of range", "write fewer days"))?, zone)
}

/// As a person reads it: with the offset that the calendar has then.
pub(crate) fn show(moment: Timestamp, zone: &TimeZone) -> String {
    moment.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
