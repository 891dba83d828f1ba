//! When: moments in time zones, days of the calendar, and the latest stop that each authority allows.

use crate::officers::WARRANT;
use std::path::Path;
use writ_authority::{Fault, Limit, Policy, Warrant};

fn parse(text: &str) -> Result<Warrant, Vec<Fault>> {
    Warrant::parse(text.as_bytes(), Path::new("w.toml")).map_err(|error| error.faults().to_vec())
}

/// The example with this window.
fn with_window(window: &str) -> String {
    let (from, to) = (WARRANT.find("[window]").unwrap(), WARRANT.find("[[target]]").unwrap());
    format!("{}[window]\n{window}\n\n{}", &WARRANT[..from], &WARRANT[to..])
}

fn utc(window: &str) -> (String, String) {
    let warrant = parse(&with_window(window)).unwrap_or_else(|faults| panic!("{window}: {faults:?}"));
    (warrant.window().start().to_string(), warrant.window().stop().to_string())
}

const NEW_YORK: &str = "zone = \"America/New_York\"\n";

#[test]
fn a_zone_gives_moments_and_counts_days_by_its_own_clocks() {
    for (window, start, stop) in [
        // Winter, and a stop in summer.
        (
            "start = \"2027-03-01T09:00:00\"\nstop = \"2027-03-20T09:00:00\"",
            "2027-03-01T14:00:00Z",
            "2027-03-20T13:00:00Z",
        ),
        // Thirty days over the change of March are an hour shorter, over that of November an hour longer.
        ("start = \"2027-03-01T09:00:00\"\ndays = 30", "2027-03-01T14:00:00Z", "2027-03-31T13:00:00Z"),
        ("start = \"2026-10-20T09:00:00\"\ndays = 30", "2026-10-20T13:00:00Z", "2026-11-19T14:00:00Z"),
        // Over a leap day and over none.
        ("start = \"2028-02-15T09:00:00\"\ndays = 30", "2028-02-15T14:00:00Z", "2028-03-16T13:00:00Z"),
        ("start = \"2027-02-15T09:00:00\"\ndays = 14", "2027-02-15T14:00:00Z", "2027-03-01T14:00:00Z"),
        // An offset that is the zone's own.
        ("start = \"2026-11-01T01:30:00-04:00\"\ndays = 1", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"),
        ("start = \"2026-11-01T01:30:00-05:00\"\ndays = 1", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"),
    ] {
        assert_eq!(utc(&format!("{NEW_YORK}{window}")), (start.to_owned(), stop.to_owned()), "{window}");
    }
    // Without a zone, days are those of the start's offset.
    let window = "start = \"2027-03-01T09:00:00-05:00\"\ndays = 30";
    assert_eq!(utc(window), ("2027-03-01T14:00:00Z".to_owned(), "2027-03-31T14:00:00Z".to_owned()));
}

#[test]
fn a_moment_that_is_not_or_is_twice_is_refused_with_both_readings() {
    let of = |zone: &str, window: &str| format!("zone = \"{zone}\"\n{window}");
    for (window, field, problem, remedy) in [
        (
            of("America/New_York", "start = \"2026-11-01T01:30:00\"\ndays = 1"),
            "window.start",
            "2026-11-01T01:30:00 is twice in this zone",
            "-04 before the change or -05 after it",
        ),
        (
            of("America/New_York", "start = \"2027-03-14T02:30:00\"\ndays = 1"),
            "window.start",
            "2027-03-14T02:30:00 is no time in this zone",
            "with its offset",
        ),
        (
            of("America/New_York", "start = \"2027-03-01T09:00:00\"\nstop = \"2027-03-14T02:00:00\""),
            "window.stop",
            "is no time in this zone",
            "with its offset",
        ),
        (
            of("America/New_York", "start = \"2026-10-02T01:30:00\"\ndays = 30"),
            "window.days",
            "2026-11-01T01:30:00 is twice in this zone",
            "write stop instead of days",
        ),
        (
            of("America/New_York", "start = \"2026-12-01T09:00:00-04:00\"\ndays = 1"),
            "window.start",
            "at offset -05 then",
            "write the offset -05",
        ),
        (
            of("Amerika/New_York", "start = \"2026-12-01T09:00:00\"\ndays = 1"),
            "window.zone",
            "not a time zone",
            "New_York",
        ),
        (
            of("america/new_york", "start = \"2026-12-01T09:00:00\"\ndays = 1"),
            "window.zone",
            "not a time zone",
            "New_York",
        ),
        ("start = \"2026-12-01T09:00:00\"\ndays = 1".to_owned(), "window.start", "no offset", "add the offset"),
        (
            "start = \"2026-12-01T09:00:00Z\"\nstop = \"2026-12-02T09:00:00Z\"\ndays = 1".to_owned(),
            "window.days",
            "stop is written as well",
            "not both",
        ),
        ("start = \"2026-12-01T09:00:00Z\"\ndays = 0".to_owned(), "window.days", "out of range", "days = 30"),
        ("start = \"2026-12-01T09:00:00Z\"\ndays = 4000000000".to_owned(), "window.days", "out of range", "fewer days"),
        ("start = \"2026-12-01T09:00:00Z\"".to_owned(), "window.stop", "missing", "days = 30"),
    ] {
        let faults = parse(&with_window(&window)).expect_err(&window);
        let fault = faults.iter().find(|fault| fault.field == field);
        let fault = fault.unwrap_or_else(|| panic!("{window}: no fault of {field}: {faults:?}"));
        assert!(fault.problem.contains(problem) && fault.remedy.contains(remedy), "{window}: {fault}");
    }
}

#[test]
fn the_latest_stop_follows_from_the_authority_and_the_dates() {
    let headers =
        |text: String| text.replace("\"content\"", "\"headers\"").replace("[\"cmii\", \"cmc\"]", "[\"cmii\"]");
    let late_start = "start = \"2026-12-05T09:00:00-05:00\"\nstop = \"2026-12-06T09:00:00-05:00\"";
    let in_zone = "zone = \"America/New_York\"\nstart = \"2027-03-01T09:00:00\"\ndays = 1";
    let of = |authority: &str, window: Option<&str>| {
        let text = window.map_or_else(|| WARRANT.to_owned(), with_window);
        let text = text.replace("\"title-iii\"", &format!("\"{authority}\""));
        let only_headers = ["pen-trap", "pen", "trap", "fisa-pen-trap", "emergency-3125"].contains(&authority);
        let text = if only_headers { headers(text) } else { text };
        let text = match authority {
            "pen" => text.replace("\"both\"", "\"from\""),
            "trap" => text.replace("\"both\"", "\"to\""),
            _ => text,
        };
        let warrant = parse(&text).unwrap_or_else(|faults| panic!("{authority}: {faults:?}"));
        let limit = Limit::of(&warrant, None, &Policy::default());
        (limit.stop.to_string(), limit.reason)
    };
    for (authority, window, stop, reason) in [
        ("title-iii", None, "2026-12-20T14:00:00Z", "30 days from the start"),
        // Entered on the 18th, so it runs from the 28th of November at the latest.
        ("title-iii", Some(late_start), "2026-12-28T05:00:00Z", "30 days from ten days after entry"),
        ("state", None, "2026-12-20T14:00:00Z", "18 USC 2518(5), which binds the states"),
        (
            "pen-trap",
            None,
            "2027-01-17T05:00:00Z",
            "60 days from the day of entry, 2026-11-18T00:00:00-05:00 (18 USC 3123(c))",
        ),
        ("pen", None, "2027-01-17T05:00:00Z", "60 days from the day of entry"),
        ("trap", None, "2027-01-17T05:00:00Z", "60 days from the day of entry"),
        ("fisa-surveillance", None, "2027-02-16T05:00:00Z", "50 USC 1805(d)"),
        ("fisa-pen-trap", None, "2027-02-16T05:00:00Z", "50 USC 1842(e)"),
        (
            "emergency-2518",
            None,
            "2026-11-22T14:00:00Z",
            "48 hours from the start, 2026-11-20T09:00:00-05:00 (18 USC 2518(7))",
        ),
        ("emergency-3125", None, "2026-11-22T14:00:00Z", "18 USC 3125(a)"),
        // By the clocks of the zone, which have gone forward meanwhile: entered long ago, though.
        ("consent", Some(in_zone), "2026-12-28T05:00:00Z", "30 days from ten days after entry"),
    ] {
        let (found, why) = of(authority, window);
        assert_eq!(found, stop, "{authority}: {why}");
        assert!(why.contains(reason), "{authority}: {why}");
    }
}

#[test]
fn days_of_a_limit_are_days_of_the_zone() {
    let text = with_window("zone = \"America/New_York\"\nstart = \"2027-03-01T09:00:00\"\ndays = 30");
    let text = text.replace("2026-11-18", "2027-02-25").replace("2026-11-19", "2027-02-26");
    let warrant = parse(&text).unwrap();
    let limit = Limit::of(&warrant, None, &Policy::default());
    assert_eq!(limit.stop, warrant.window().stop());
    assert_eq!(Policy::default().faults(&warrant, None), []);
}
