//! What a warrant file says, and what is said of one that is not right: file, field and remedy of every fault.

use crate::officers::WARRANT;
use proptest::prelude::*;
use std::path::Path;
use writ_authority::{Authority, Criteria, Directions, DocumentError, Grant, Scope, Streams, Surveillance, Warrant};

fn parse(text: &str) -> Result<Warrant, DocumentError> {
    Warrant::parse(text.as_bytes(), Path::new("w.toml"))
}

/// The example with one piece exchanged.
fn with(old: &str, new: &str) -> String {
    assert!(WARRANT.contains(old), "the example no longer has {old:?}");
    WARRANT.replacen(old, new, 1)
}

#[test]
fn the_example_says_what_its_text_says() {
    let warrant = parse(WARRANT).unwrap();
    assert_eq!(warrant.uuid().to_string(), "1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11");
    assert_eq!((warrant.revision(), warrant.operator(), warrant.probe()), (1, "ExampleNet", "pop3-probe1"));
    let grant =
        Grant::Surveillance { authority: Surveillance::TitleIii, scope: Scope::Content, directions: Directions::Both };
    assert_eq!(warrant.grant(), grant);
    assert_eq!(warrant.order().docket.as_deref(), Some("26-mc-0117"));
    assert_eq!(warrant.order().presented_by, "Special Agent Dana Brook");
    assert_eq!(warrant.order().served.to_string(), "2026-11-19");
    let targets: Vec<_> = warrant.targets().iter().map(|target| target.criteria.to_string()).collect();
    assert_eq!(targets, ["192.0.2.7", "2001:db8:20:117::7"]);
    // 09:00 at five hours behind UTC.
    assert_eq!(warrant.window().start_utc_ns(), 1_795_183_200_000_000_000);
    assert_eq!(warrant.window().stop().to_string(), "2026-12-20T14:00:00Z");
    let [delivery] = warrant.deliveries() else { panic!("one delivery") };
    assert_eq!((delivery.destination.as_str(), delivery.case_id.as_str()), ("fbi-lab", "FBI-2026-0117"));
    assert_eq!(
        (delivery.content_identifier.as_ref().unwrap().as_str(), delivery.streams),
        ("FBI-2026-0117-C", Streams::Both)
    );
    assert_eq!(warrant.bytes(), WARRANT.as_bytes());
}

#[test]
fn a_target_is_an_address_or_a_prefix() {
    for (text, prefix) in [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/28", "192.0.2.0/28"),
        ("198.51.0.0/16", "198.51.0.0/16"),
        ("2001:db8:7::", "2001:db8:7::/128"),
        ("2001:db8:7::/127", "2001:db8:7::/127"),
        ("2001:db8::/32", "2001:db8::/32"),
    ] {
        let warrant = parse(&with("192.0.2.7", text).replace("2001:db8:20:117::7", "2001:db9::7")).unwrap();
        let Criteria::Address { prefix: read, .. } = warrant.targets()[0].criteria else { panic!("{text}") };
        assert_eq!(read.to_string(), prefix);
    }
}

#[test]
fn every_fault_is_named_with_file_field_and_remedy() {
    let headers = |authority: &str| {
        with("title-iii", authority).replace("\"content\"", "\"headers\"").replace("[\"cmii\", \"cmc\"]", "[\"cmii\"]")
    };
    // {what, document, field, part of the problem, part of the remedy}
    let cases: &[(&str, String, &str, &str, &str)] = &[
        ("no uuid", with("uuid = \"1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11\"\n", ""), "uuid", "missing", "write uuid ="),
        ("bad uuid", with("1f0c6a52", "1f0c6a5"), "uuid", "not a UUID", "uuidgen"),
        ("upper-case uuid", with("1f0c6a52", "1F0C6A52"), "uuid", "lower case", "uuidgen"),
        (
            "nil uuid",
            with("1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11", &uuid::Uuid::nil().to_string()),
            "uuid",
            "not a UUID",
            "uuidgen",
        ),
        ("revision 0", with("revision = 1", "revision = 0"), "revision", "out of range", "from 1"),
        (
            "revision as text",
            with("revision = 1", "revision = \"1\""),
            "revision",
            "a text where a whole number",
            "revision = 1",
        ),
        ("unknown field", with("revision = 1", "revision = 1\nurgent = true"), "urgent", "unknown field", "remove it"),
        (
            "unknown field inside",
            with("judge =", "judgement = \"x\"\njudge ="),
            "order.judgement",
            "unknown field",
            "correct its name",
        ),
        ("unknown authority", with("title-iii", "title-3"), "authority", "not one of the words", "\"title-iii\""),
        (
            "pen register with content",
            with("title-iii", "pen-trap"),
            "scope",
            "pen-trap takes no contents",
            "\"headers\"",
        ),
        (
            "emergency pen register with content",
            with("title-iii", "emergency-3125"),
            "scope",
            "takes no contents",
            "\"headers\"",
        ),
        (
            "pen register of both directions",
            headers("pen"),
            "directions",
            "only the direction \"from\"",
            "directions = \"from\"",
        ),
        (
            "trap and trace of both directions",
            headers("trap"),
            "directions",
            "only the direction \"to\"",
            "directions = \"to\"",
        ),
        (
            "no court",
            with("court = \"United States District Court, Eastern District of Example\"\n", ""),
            "order.court",
            "missing",
            "write court =",
        ),
        (
            "entered after served",
            with("entered = \"2026-11-18\"", "entered = \"2026-11-20\""),
            "order.served",
            "before the day",
            "correct the dates",
        ),
        ("no date", with("\"2026-11-18\"", "\"last week\""), "order.entered", "not a date", "year-month-day"),
        (
            "date and time",
            with("\"2026-11-18\"", "\"2026-11-18T10:00:00Z\""),
            "order.entered",
            "not a date",
            "year-month-day",
        ),
        ("short digest", with("9f86d0", ""), "order.sha256", "64 lower-case", "sha256sum"),
        ("no order", with("[order]", "[ordre]"), "order", "missing", "add a section [order]"),
        (
            "no offset",
            with("start = \"2026-11-20T09:00:00-05:00", "start = \"2026-11-20T09:00:00"),
            "window.start",
            "no offset to UTC",
            "add the offset",
        ),
        (
            "zone",
            with("11-20T09:00:00-05:00", "11-20T09:00:00-05:00[America/New_York]"),
            "window.start",
            "names a time zone",
            "give only the offset",
        ),
        ("no time", with("2026-11-20T09:00:00-05:00", "tomorrow"), "window.start", "not a date and time", "RFC 3339"),
        ("stop before start", with("2026-12-20", "2026-10-20"), "window.stop", "not after the start", "a stop after"),
        ("year 1969", with("2026-11-20T", "1969-11-20T"), "window.stop", "out of range", "year"),
        ("no address", with("192.0.2.7", "subscriber 7"), "target[1].address", "not an IP address", "\"192.0.2.7\""),
        ("host bits", with("192.0.2.7", "192.0.2.7/28"), "target[1].address", "bits set outside", "\"192.0.2.0/28\""),
        ("far too wide", with("192.0.2.7", "192.0.0.0/15"), "target[1].address", "wider than /16", "narrower"),
        (
            "everybody",
            with("192.0.2.7", "0.0.0.0/0"),
            "target[1].address",
            "belong to no subscriber",
            "the subscriber has",
        ),
        (
            "far too wide, v6",
            with("2001:db8:20:117::7", "2001:da0::/29"),
            "target[2].address",
            "wider than /32",
            "narrower",
        ),
        (
            "host bits, v6",
            with("2001:db8:20:117::7", "2001:db8:20:117::7/64"),
            "target[2].address",
            "bits set outside",
            "\"2001:db8:20:117::/64\"",
        ),
        (
            "prefix of multicast v6",
            with("2001:db8:20:117::7", "ff05::/48"),
            "target[2].address",
            "multicast",
            "the subscriber has",
        ),
        (
            "prefix of the loopback",
            with("2001:db8:20:117::7", "::/64"),
            "target[2].address",
            "unspecified and reserved",
            "the subscriber has",
        ),
        ("loopback v6", with("2001:db8:20:117::7", "::1"), "target[2].address", "loopback", "the subscriber has"),
        ("multicast", with("192.0.2.7", "224.0.0.9"), "target[1].address", "multicast", "the subscriber has"),
        ("multicast v6", with("2001:db8:20:117::7", "ff02::1"), "target[2].address", "multicast", "the subscriber has"),
        ("loopback", with("192.0.2.7", "127.0.0.1"), "target[1].address", "loopback", "the subscriber has"),
        ("unspecified", with("2001:db8:20:117::7", "::"), "target[2].address", "unspecified", "the subscriber has"),
        ("broadcast", with("192.0.2.7", "255.255.255.255"), "target[1].address", "broadcast", "the subscriber has"),
        (
            "v4 in v6",
            with("2001:db8:20:117::7", "::ffff:192.0.2.7"),
            "target[2].address",
            "IPv4 address in IPv6",
            "\"192.0.2.7\"",
        ),
        ("overlap", with("2001:db8:20:117::7", "192.0.2.0/24"), "target[2].address", "overlaps", "once"),
        ("the other way round", with("192.0.2.7", "2001:db8:20:100::/56"), "target[2].address", "overlaps", "once"),
        ("twice", with("192.0.2.7", "2001:db8:20:117::7"), "target[2].address", "overlaps", "once"),
        (
            "unconfirmed",
            with("confirmed_by = \"Finn Osei, provisioning\"\n", ""),
            "target[1].confirmed_by",
            "missing",
            "write confirmed_by",
        ),
        (
            "long case id",
            with("\"FBI-2026-0117\"", "\"FBI-2026-0117-0123456789ABC\""),
            "delivery[1].case_id",
            "1 to 25",
            "the agency gave",
        ),
        (
            "content identifier longer than a UUID",
            with("\"FBI-2026-0117-C\"", "\"5b0f8c7e-3a49-4b7c-9f1d-0c8e8e7a2200-\""),
            "delivery[1].content_identifier",
            "1 to 36",
            "the agency gave",
        ),
        (
            "case id with umlaut",
            with("\"FBI-2026-0117\"", "\"FBI-2026-ä\""),
            "delivery[1].case_id",
            "ASCII",
            "the agency gave",
        ),
        (
            "no such stream",
            with("\"cmc\"", "\"cc\""),
            "delivery[1].streams",
            "each at most once",
            "[\"cmii\", \"cmc\"]",
        ),
        ("no stream", with("[\"cmii\", \"cmc\"]", "[]"), "delivery[1].streams", "empty", "streams ="),
        (
            "content to nobody",
            with("[\"cmii\", \"cmc\"]", "[\"cmii\"]"),
            "delivery",
            "no delivery takes the content",
            "\"cmc\"",
        ),
        (
            "content stream of headers",
            with("\"content\"", "\"headers\""),
            "delivery[1].streams",
            "no content stream",
            "[\"cmii\"]",
        ),
        (
            "stream twice",
            format!("{WARRANT}\n[[delivery]]\ndestination = \"fbi-lab\"\ncase_id = \"X\"\nstreams = [\"cmc\"]\n"),
            "delivery[2].destination",
            "same stream",
            "once",
        ),
        ("no target", WARRANT.replace("[[target]]", "[[cible]]"), "target", "missing", "[[target]]"),
        ("target as one section", with("[[delivery]]", "[delivery]"), "delivery", "a list of sections", "[[delivery]]"),
        ("space around", with("\"ExampleNet\"", "\"ExampleNet \""), "operator", "space around", "without space"),
        (
            "hidden by an escape",
            with("\"ExampleNet\"", "\"Example\\u202ENet\""),
            "operator",
            "reading direction",
            "what is signed",
        ),
        (
            "new line in a value",
            with("\"ExampleNet\"", "\"Example\\nNet\""),
            "operator",
            "control character",
            "what is signed",
        ),
        ("comment", with("revision = 1", "revision = 1 # urgent"), "line 2", "a comment", "remove it"),
        ("tab", with("revision = 1", "revision =\t1"), "line 2", "column 11: control character U+0009", "spaces"),
        ("carriage return", WARRANT.replace('\n', "\r\n"), "line 1", "U+000D", "Unix line ends"),
        (
            "reading direction",
            with("Alma Reyes", "Alma\u{202e}Reyes"),
            "line 16",
            "reading direction U+202E",
            "what is seen",
        ),
        ("invisible", with("Alma Reyes", "Alma\u{200b}Reyes"), "line 16", "invisible character U+200B", "what is seen"),
        ("byte order mark", format!("\u{feff}{WARRANT}"), "line 1", "invisible character U+FEFF", "what is seen"),
        ("not TOML", with("revision = 1", "revision 1"), "line 2", "not TOML", "correct the line"),
        ("twice", with("revision = 1", "revision = 1\nrevision = 2"), "line 3", "not TOML", "correct the line"),
    ];
    for (what, document, field, problem, remedy) in cases {
        let error = parse(document).expect_err(what);
        let fault = error.faults().iter().find(|fault| fault.field == *field);
        let fault = fault.unwrap_or_else(|| panic!("{what}: no fault of {field} in:\n{error}"));
        assert!(fault.problem.contains(problem), "{what}: {fault}");
        assert!(fault.remedy.contains(remedy), "{what}: {fault}");
        assert!(
            error.to_string().lines().any(|line| line.starts_with(&format!("w.toml: {field}: "))),
            "{what}: {error}"
        );
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let document = with("192.0.2.7", "::1").replacen("revision = 1", "revision = 0", 1).replacen("cmii", "x", 1);
    let error = parse(&document).unwrap_err();
    let fields: Vec<_> = error.faults().iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["revision", "target[1].address", "delivery[1].streams"]);
    assert_eq!(error.to_string().lines().count(), 3);
}

#[test]
fn without_an_order_of_a_court_no_court_is_asked_for() {
    let document = with("title-iii", "emergency-2518")
        .replace("court = \"United States District Court, Eastern District of Example\"\n", "")
        .replace("judge = \"Hon. Alma Reyes\"\n", "")
        .replace("docket = \"26-mc-0117\"\n", "")
        .replace("entered = \"2026-11-18\"\n", "");
    let warrant = parse(&document).unwrap();
    assert_eq!((warrant.order().court.as_deref(), warrant.order().entered), (None, None));
}

#[test]
fn dates_and_times_may_stand_without_quotes() {
    let document =
        with("\"2026-11-20T09:00:00-05:00\"", "2026-11-20T09:00:00-05:00").replace("\"2026-11-18\"", "2026-11-18");
    assert_eq!(parse(&document).unwrap().window(), parse(WARRANT).unwrap().window());
}

#[test]
fn a_document_that_is_no_text_or_far_too_long_is_refused() {
    let error = Warrant::parse(b"revision = 1\n\xff", Path::new("w.toml")).unwrap_err();
    assert_eq!(error.to_string(), "w.toml: line 2: not UTF-8; save the file as UTF-8");
    let long = parse(&" ".repeat(5_000_000)).unwrap_err();
    assert!(long.to_string().contains("5000000 bytes long"), "{long}");
}

/// No authority that takes no contents has a grant that does, and each reaches just the directions of its law.
#[test]
fn the_authority_bounds_the_scope() {
    let no_contents = [Authority::PenTrap, Authority::FisaPenTrap, Authority::Emergency3125];
    for authority in Authority::ALL.iter().copied() {
        for scope in Scope::ALL.iter().copied() {
            for directions in Directions::ALL.iter().copied() {
                let allowed = match authority {
                    Authority::Pen => (scope, directions) == (Scope::Headers, Directions::From),
                    Authority::Trap => (scope, directions) == (Scope::Headers, Directions::To),
                    other => scope == Scope::Headers || !no_contents.contains(&other),
                };
                let grant = Grant::new(authority, scope, directions);
                assert_eq!(grant.is_ok(), allowed, "{authority} {scope} {directions}");
                if let Ok(grant) = grant {
                    assert_eq!((grant.authority(), grant.scope(), grant.directions()), (authority, scope, directions));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_input_brings_the_parser_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Warrant::parse(&bytes, Path::new("w.toml"));
    }

    #[test]
    fn no_damage_to_a_warrant_goes_unsaid(at in 0..WARRANT.len(), byte in any::<u8>()) {
        let mut bytes = WARRANT.as_bytes().to_vec();
        bytes[at] = byte;
        match Warrant::parse(&bytes, Path::new("w.toml")) {
            Ok(warrant) => prop_assert_eq!(warrant.bytes(), bytes),
            Err(error) => {
                prop_assert!(!error.faults().is_empty());
                prop_assert!(error.faults().iter().all(|it| !it.field.is_empty() && !it.remedy.is_empty()));
            }
        }
    }
}
