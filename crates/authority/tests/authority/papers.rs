//! Revocations, certifications and test warrants: what they need, and what is said of those that lack it.

use crate::officers::{Key, Office, ROSTER_EXAMPLE, WARRANT, probe, roster_text, signing_day, trusted};
use std::path::Path;
use writ_authority::{
    APPROVE, CERTIFY, Certification, Digest, Draft, Measured, Paper, REVOKE, Refusal, Revocation, Roster, Standing,
    TrustedRoster, Warrant, judge,
};

fn warrant(text: &str) -> Warrant {
    Warrant::parse(text.as_bytes(), Path::new("w.toml")).unwrap_or_else(|error| panic!("{error}"))
}

struct Case {
    _office: Office,
    ada: Key,
    ben: Key,
    roster: TrustedRoster,
}

fn case() -> Case {
    let office = Office::open();
    let (ada, ben) = (office.key("ada"), office.key("ben"));
    let text = roster_text(1, 2, &[("Ada Marsh", &[&ada]), ("Ben Okafor", &[&ben])]);
    let roster = trusted(&text, &[&ada, &ben]);
    Case { _office: office, ada, ben, roster }
}

fn revocation(of: &Warrant) -> String {
    let mut draft = Draft::new();
    draft
        .text("uuid", &of.uuid().to_string())
        .count("revision", of.revision().into())
        .text("warrant", &of.digest().to_string())
        .heading(of.heading())
        .text("kind", "revoked")
        .text("reason", "the agency has what it sought");
    draft.to_string()
}

#[test]
fn any_one_officer_ends_the_revision_in_force() {
    let case = case();
    let warrant = warrant(WARRANT);
    let text = revocation(&warrant);
    let check = |text: &str, signers: &[(&Key, writ_authority::Namespace)]| {
        let revocation = Revocation::parse(text.as_bytes(), Path::new("r.toml")).unwrap();
        let signatures: Vec<_> = signers.iter().map(|(key, space)| key.sign(*space, text.as_bytes())).collect();
        revocation.check(&warrant, &signatures, case.roster.roster(), &probe(), signing_day())
    };
    assert_eq!(check(&text, &[(&case.ben, REVOKE)]).unwrap(), ["Ben Okafor"]);
    let nobody = check(&text, &[]).unwrap_err().to_string();
    assert!(
        nobody.starts_with("r.toml: signatures: nobody signed, and the policy asks for any one officer"),
        "{nobody}"
    );
    assert!(matches!(check(&text, &[(&case.ben, APPROVE)]), Err(Refusal::Signature(_))));
    for (old, new, wanted) in [
        ("revision = 1", "revision = 2", "revision: is not the revision in force, which is 1"),
        ("uuid = \"1f0c", "uuid = \"2f0c", "uuid: is not that of the warrant"),
        ("\"pop3-probe1\"", "\"pop4-probe1\"", "probe: the document is for \"pop4-probe1\""),
        ("kind = \"revoked\"", "kind = \"denied\"", "kind: only the application that follows an emergency"),
    ] {
        let text = text.replacen(old, new, 1);
        let refused = check(&text, &[(&case.ben, REVOKE)]).unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
    for (old, new, wanted) in [
        (
            "kind = \"revoked\"",
            "kind = \"ended\"",
            "r.toml: kind: not one of the words that mean something here; write one of \"revoked\", \"denied\"",
        ),
        ("reason = ", "ground = ", "r.toml: reason: missing"),
        ("[seen]", "[saw]", "r.toml: seen: missing"),
        ("record = 17", "record = 0", "r.toml: seen.hash: does not belong to this record"),
        ("record = 17", "record = -1", "r.toml: seen.record: -1 is out of range"),
    ] {
        let error =
            Revocation::parse(text.replacen(old, new, 1).as_bytes(), Path::new("r.toml")).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

fn measured() -> Measured {
    Measured {
        enabled: "2026-11-20T13:58:00Z".parse().unwrap(),
        began: "2026-11-20T14:00:00.000004Z".parse().unwrap(),
        ended: None,
        clock_doubt_ms: Some(3),
        software: "writ 0.1.0".to_owned(),
        configuration: Digest::of(b"configuration"),
    }
}

#[test]
fn the_overseer_certifies_what_was_measured_and_nobody_else_something_else() {
    let case = case();
    let warrant = warrant(WARRANT);
    let text = Certification::draft(&warrant, &measured(), "Ada Marsh", warrant.heading());
    let check = |text: &str, measured: &Measured, signer: &Key| {
        let certification =
            Certification::parse(text.as_bytes(), Path::new("c.toml")).unwrap_or_else(|it| panic!("{it}"));
        let signatures = [signer.sign(CERTIFY, text.as_bytes())];
        certification.check(&warrant, measured, &signatures, case.roster.roster(), &probe(), signing_day())
    };
    check(&text, &measured(), &case.ada).unwrap();
    // It has ended since the draft: that takes nothing away from what the draft says.
    let ended = Measured { ended: Some("2026-12-20T14:00:00Z".parse().unwrap()), ..measured() };
    check(&text, &ended, &case.ada).unwrap();
    let other = check(&text, &measured(), &case.ben).unwrap_err().to_string();
    assert!(other.contains("only Ben Okafor signed, and the policy asks for the overseer, Ada Marsh"), "{other}");
    for (old, new, wanted) in [
        ("14:00:00.000004Z", "14:00:01Z", "measured: is not what was measured"),
        ("clock_doubt_ms = 3", "clock_doubt_ms = 2", "measured: is not what was measured"),
        ("Special Agent Dana Brook", "Special Agent Ed Cole", "record: does not say what the warrant says"),
        ("192.0.2.7", "192.0.2.8", "record: does not say what the warrant says"),
        ("Ada Marsh", "Eve Stone", "overseer: the roster has no officer \"Eve Stone\""),
        ("revision = 1", "revision = 2", "warrant: is not the revision in force"),
    ] {
        assert!(text.contains(old), "{old} in {text}");
        let refused = check(&text.replacen(old, new, 1), &measured(), &case.ada).unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
}

const CONTENT_ID: &str = "content_identifier = \"FBI-2026-0117-C\"\n";

/// A test of the example roster's line.
fn test_warrant() -> String {
    let (from, to) = (WARRANT.find("[order]").unwrap(), WARRANT.find("[window]").unwrap());
    let order = "[order]\nserved = \"2026-11-19\"\npresented_by = \"Greta Lind\"\nsigned_by = \"Ada Marsh\"\n\
                 agency = \"ExampleNet\"\n\n";
    format!("{}{order}{}", &WARRANT[..from], &WARRANT[to..])
        .replace("title-iii", "test")
        .replace("2026-12-20T09", "2026-11-21T09")
        .replace("\"192.0.2.7\"", "\"203.0.113.65\"")
        .replace("\"2001:db8:20:117::7\"", "\"203.0.113.66\"")
        .replace(CONTENT_ID, "")
        .replace("\"FBI-2026-0117\"", "\"TEST-0001\"")
}

#[test]
fn a_test_warrant_stays_on_the_test_lines_for_a_day() {
    let case = case();
    let example = ROSTER_EXAMPLE[ROSTER_EXAMPLE.find("[[test_line]]").unwrap()..].to_owned();
    let text = format!("{}\n{example}", roster_text(1, 2, &[("Ada", &[&case.ada]), ("Ben", &[&case.ben])]));
    let roster = trusted(&text, &[&case.ada, &case.ben]);
    let judge = |text: &str| {
        let signatures = [&case.ada, &case.ben].map(|key| key.sign(APPROVE, text.as_bytes())).to_vec();
        match judge(warrant(text), None, signatures, &roster, &probe(), signing_day()) {
            Ok(Standing::Approved(_)) => Ok(()),
            Ok(standing) => panic!("{standing:?}"),
            Err(refusal) => Err(refusal.to_string()),
        }
    };
    judge(&test_warrant()).unwrap();
    for (old, new, wanted) in [
        ("203.0.113.65", "192.0.2.7", "target[1].address: not on a test line of the roster"),
        ("\"203.0.113.65\"", "\"203.0.113.80/30\"", "target[1].address: not on a test line"),
        ("address = \"203.0.113.65\"", "vlan = \"100\"", "target[1].vlan: not on a test line"),
        (
            "stop = \"2026-11-21T09:00:00",
            "stop = \"2026-11-21T09:00:01",
            "window.stop: later than 24 hours from the start",
        ),
    ] {
        let refused = judge(&test_warrant().replacen(old, new, 1)).unwrap_err();
        assert!(refused.contains(wanted), "{refused}");
    }
    let renewed = test_warrant()
        .replace("2026-11-20T09:00:00-05:00", "2027-07-01T09:00:00-04:00")
        .replace("2026-11-21T09:00:00-05:00\"\nauth", "2027-07-01T09:00:00-05:00\"\nauth")
        .replace("stop = \"2026-11-21T09:00:00-05:00", "stop = \"2027-07-01T19:00:00-04:00");
    let refused = judge(&renewed).unwrap_err();
    assert!(refused.contains("the consent of the test line's user ends before the window does"), "{refused}");
    // Tests are marked, and nothing else is.
    for (text, wanted) in [
        (test_warrant().replace("TEST-0001", "FBI-2026"), "delivery[1].case_id: a test's identifiers begin with TEST-"),
        (
            WARRANT.replace("\"FBI-2026-0117\"", "\"TEST-7\""),
            "delivery[1].case_id: TEST- marks tests, and this is none",
        ),
    ] {
        let error = Warrant::parse(text.as_bytes(), Path::new("w.toml")).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

/// Every example of the documentation is what its name says, and can be put into words.
#[test]
fn the_examples_are_told_apart_and_read_in_words() {
    let read = |text: &str| Paper::parse(text.as_bytes(), Path::new("paper.toml")).unwrap_or_else(|it| panic!("{it}"));
    let warrant = warrant(WARRANT);
    let certification = Certification::draft(&warrant, &measured(), "Ada Marsh", warrant.heading());
    for (text, first, namespace) in [
        (
            WARRANT,
            "warrant 1f0c6a52-8a8e-4c39-9d5e-5a3f7f0f6f11, revision 1, for pop3-probe1 at ExampleNet",
            "writ-approve",
        ),
        (ROSTER_EXAMPLE, "roster version 1 of ExampleNet", "writ-policy"),
        (&revocation(&warrant), "revocation of warrant 1f0c6a52", "writ-revoke"),
        (&certification, "certification of warrant 1f0c6a52", "writ-certify"),
    ] {
        let paper = read(text);
        assert!(paper.reading()[0].starts_with(first), "{:?}", paper.reading());
        assert_eq!((paper.namespace().as_str(), paper.bytes()), (namespace, text.as_bytes()));
    }
    let lines = read(WARRANT).reading().join("\n");
    for words in [
        "takes: content of what the subject sends and what comes to the subject",
        "of: 192.0.2.7; 2001:db8:20:117::7 (account 20117)",
        "from 2026-11-20T09:00:00-05:00 to 2026-12-20T09:00:00-05:00",
        "latest lawful stop: 2026-12-20T09:00:00-05:00, 30 days from the start",
        "under: title-iii, United States District Court, Eastern District of Example, Hon. Alma Reyes, docket 26-mc-0117",
        "under seal, not to be disclosed to the subscriber",
        "verified by: Ada Marsh, called the field office back",
        "to: fbi-lab as FBI-2026-0117, content as FBI-2026-0117-C: identifying information and content",
    ] {
        assert!(lines.contains(words), "{words:?} is not in:\n{lines}");
    }
    let roster = Roster::parse(ROSTER_EXAMPLE.as_bytes(), Path::new("roster.toml")).unwrap();
    assert_eq!((roster.probes().len(), roster.test_lines().len()), (1, 1));
}
