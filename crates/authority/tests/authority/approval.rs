//! Who can start an intercept: signatures of real keys by the real `ssh-keygen`, rosters and policy.

use crate::officers::{Key, Office, ROSTER_EXAMPLE, WARRANT, approvals, approve, probe, roster, roster_text, trusted};
use std::path::Path;
use writ_authority::{
    APPROVE, POLICY, ProbeIdentity, Refusal, Roster, RosterError, Signature, SignatureFault, TrustedRoster, Warrant,
};

fn warrant(text: &str) -> Warrant {
    Warrant::parse(text.as_bytes(), Path::new("w.toml")).unwrap()
}

struct Case {
    office: Office,
    ada: Key,
    ben: Key,
    roster: TrustedRoster,
}

fn case() -> Case {
    let office = Office::open();
    let (ada, ben) = (office.key("ada"), office.key("ben"));
    let roster = trusted(&roster_text(1, 2, &[("Ada Marsh", &[&ada]), ("Ben Okafor", &[&ben])]), &[&ada, &ben]);
    Case { office, ada, ben, roster }
}

#[test]
fn two_different_people_approve_a_warrant_and_are_named() {
    let case = case();
    let signatures = approvals(WARRANT, &[&case.ada, &case.ben]);
    let approved = approve(warrant(WARRANT), signatures, &case.roster, &probe()).unwrap();
    assert_eq!(approved.approval().officers, ["Ada Marsh", "Ben Okafor"]);
    assert_eq!(approved.approval().roster_version, 1);
}

#[test]
fn every_kind_of_key_signs() {
    let office = Office::open();
    let kinds: [&[&str]; 5] = [
        &["-t", "ed25519"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "3072"],
    ];
    let keys: Vec<_> = kinds.iter().enumerate().map(|(i, kind)| office.key_of(&format!("key{i}"), kind)).collect();
    let names: Vec<_> = (0..keys.len()).map(|i| format!("Officer {i}")).collect();
    let key_lists: Vec<_> = keys.iter().map(|key| [key]).collect();
    let people: Vec<_> = names.iter().zip(&key_lists).map(|(name, keys)| (name.as_str(), &keys[..])).collect();
    let text = roster_text(1, 5, &people);
    let all: Vec<_> = keys.iter().collect();
    let roster = trusted(&text, &all);
    let approved = approve(warrant(WARRANT), approvals(WARRANT, &all), &roster, &probe()).unwrap();
    assert_eq!(approved.approval().officers, names);
    for key in &keys {
        let error =
            roster.roster().signer(&key.sign(APPROVE, b"something else"), APPROVE, WARRANT.as_bytes()).unwrap_err();
        assert!(matches!(error.fault, SignatureFault::Altered(_)), "{error}");
    }
}

#[test]
fn one_person_is_not_enough_with_two_keys_neither() {
    let office = Office::open();
    let (ada, ada_too, ben) = (office.key("ada"), office.key("ada2"), office.key("ben"));
    let text = roster_text(1, 2, &[("Ada Marsh", &[&ada, &ada_too]), ("Ben Okafor", &[&ben])]);
    let roster = trusted(&text, &[&ada, &ben]);
    for signers in [&[&ada][..], &[&ada, &ada], &[&ada, &ada_too]] {
        let refusal = approve(warrant(WARRANT), approvals(WARRANT, signers), &roster, &probe()).unwrap_err();
        assert!(matches!(&refusal, Refusal::Missing(missing) if missing.signed_by == ["Ada Marsh"]));
        let message = refusal.to_string();
        assert!(message.starts_with("w.toml: signatures: only Ada Marsh signed"), "{message}");
        assert!(message.contains("ssh-keygen -Y sign -n writ-approve"), "{message}");
        let missing = "still missing: 1 more person, somebody of 1 more role(s) than legal;";
        assert!(message.contains(missing), "{message}");
    }
    let message = approve(warrant(WARRANT), Vec::new(), &roster, &probe()).unwrap_err().to_string();
    assert!(message.starts_with("w.toml: signatures: nobody signed"), "{message}");
}

#[test]
fn a_signature_that_is_not_good_refuses_the_warrant_and_says_why() {
    let case = case();
    let refuse = |second: Signature| {
        let signatures = vec![case.ada.sign(APPROVE, WARRANT.as_bytes()), second];
        approve(warrant(WARRANT), signatures, &case.roster, &probe()).unwrap_err().to_string()
    };
    let stranger = case.office.key("stranger");
    let message = refuse(stranger.sign(APPROVE, WARRANT.as_bytes()));
    assert!(message.starts_with("stranger.sig: the key SHA256:") && message.contains("no officer's"), "{message}");
    let message = refuse(case.ben.sign(POLICY, WARRANT.as_bytes()));
    assert!(message.contains("namespace \"writ-policy\"; sign with `ssh-keygen -Y sign -n writ-approve`"), "{message}");
    let message = refuse(case.ben.sign_as("file", WARRANT.as_bytes()));
    assert!(message.contains("namespace \"file\""), "{message}");
    let message = refuse(case.ben.sign(APPROVE, WARRANT.replace("192.0.2.7", "192.0.2.8").as_bytes()));
    assert!(message.starts_with("ben.sig: Ben Okafor's signature does not fit"), "{message}");
    let error = Signature::parse(b"hello", Path::new("x.sig")).unwrap_err();
    assert_eq!(error.to_string(), "x.sig: not a signature; hand in the .sig file that `ssh-keygen -Y sign` wrote");
}

/// A signature covers every byte of the document, and each of its own 64 bytes counts.
#[test]
fn any_changed_byte_is_found() {
    let case = case();
    let good = case.ada.sign(APPROVE, WARRANT.as_bytes());
    for at in (0..WARRANT.len()).step_by(7) {
        let mut bytes = WARRANT.as_bytes().to_vec();
        bytes[at] ^= 1;
        assert!(case.roster.roster().signer(&good, APPROVE, &bytes).is_err(), "byte {at} of the document");
    }
    // The signature proper is the end of the file: some 85 characters of base64 before the last line.
    let end = good.armored().find("-----END").unwrap();
    for at in end - 84..end - 4 {
        let mut bytes = good.armored().as_bytes().to_vec();
        bytes[at] = match bytes[at] {
            b'\n' => continue,
            b'A' => b'B',
            _ => b'A',
        };
        let read = Signature::parse(&bytes, Path::new("w.sig"));
        let counted =
            read.is_ok_and(|signature| case.roster.roster().signer(&signature, APPROVE, WARRANT.as_bytes()).is_ok());
        assert!(!counted, "byte {at} of the signature");
    }
}

#[test]
fn a_warrant_for_somebody_else_or_past_the_policy_is_refused() {
    let case = case();
    let refuse = |text: &str, probe: &ProbeIdentity| {
        let signatures = approvals(text, &[&case.ada, &case.ben]);
        approve(warrant(text), signatures, &case.roster, probe).unwrap_err().to_string()
    };
    let elsewhere = ProbeIdentity { probe: "pop4-probe1".to_owned(), ..probe() };
    let message = refuse(WARRANT, &elsewhere);
    assert_eq!(
        message,
        "w.toml: probe: the document is for \"pop3-probe1\", and this is \"pop4-probe1\"; hand it in where it belongs"
    );
    let other = ProbeIdentity { operator: "OtherNet".to_owned(), ..probe() };
    let message = refuse(WARRANT, &other);
    assert!(message.contains("w.toml: operator: the document is for \"ExampleNet\""), "{message}");
    let message = refuse(&WARRANT.replace("192.0.2.7", "198.51.96.0/23"), &probe());
    assert!(message.starts_with("w.toml: target[1].address: wider than /24"), "{message}");
    assert!(message.contains("policy.wide_prefix"), "{message}");
    let message = refuse(&WARRANT.replace("2001:db8:20:117::7", "2001:db8:10::/47"), &probe());
    assert!(message.starts_with("w.toml: target[2].address: wider than /48, and the policy"), "{message}");
    let message = refuse(&WARRANT.replace("address = \"192.0.2.7\"", "vlan = \"200.*\""), &probe());
    assert!(message.starts_with("w.toml: target[1].vlan: everything behind an outer tag"), "{message}");
    assert!(message.contains("policy.wide_vlan"), "{message}");
    // With an address it is that subscriber's again.
    let inside = WARRANT.replace("\"192.0.2.7\"", "\"192.0.2.7\"\nvlan = \"200.*\"");
    assert!(approve(warrant(&inside), approvals(&inside, &[&case.ada, &case.ben]), &case.roster, &probe()).is_ok());
    // One second more than 30 days.
    let message = refuse(&WARRANT.replace("12-20T09:00:00", "12-20T09:00:01"), &probe());
    assert!(message.starts_with("w.toml: window.stop: later than 30 days from the start, which is"), "{message}");
    assert!(message.contains("stop at 2026-12-20T09:00:00-05:00 at the latest"), "{message}");
    let emergency = WARRANT.replace("title-iii", "emergency-2518");
    let message = refuse(&emergency, &probe());
    assert!(message.contains("later than 48 hours from the start") && !message.contains("longer_window"), "{message}");
}

#[test]
fn the_policy_can_name_a_wide_prefix_a_whole_outer_vlan_and_a_longer_window() {
    let case = case();
    let policy = "[policy]\napprovals = 2\n\
        [[policy.wide_prefix]]\nprefix = \"198.51.96.0/20\"\nreason = \"one customer\"\n\
        [[policy.wide_prefix]]\nprefix = \"2001:db8:10::/44\"\nreason = \"the same\"\n\
        [[policy.wide_vlan]]\nvlan = \"200.*\"\nreason = \"a company's own service VLAN\"\n\
        [[policy.longer_window]]\nauthority = \"title-iii\"\ndays = 45\nreason = \"circuit order\"\n";
    let text = roster_text(1, 2, &[("Ada Marsh", &[&case.ada]), ("Ben Okafor", &[&case.ben])]);
    let roster = trusted(&text.replace("[policy]\napprovals = 2\n", policy), &[&case.ada, &case.ben]);
    let approve = |text: &str| approve(warrant(text), approvals(text, &[&case.ada, &case.ben]), &roster, &probe());
    let wide = approve(&WARRANT.replace("192.0.2.7", "198.51.96.0/23")).unwrap();
    assert_eq!(wide.warrant().targets()[0].criteria.to_string(), "198.51.96.0/23");
    approve(&WARRANT.replace("2001:db8:20:117::7", "2001:db8:18::/45")).unwrap();
    approve(&WARRANT.replace("2001:db8:20:117::7", "2001:db8::/43")).unwrap_err();
    approve(&WARRANT.replace("192.0.2.7", "198.51.112.0/23")).unwrap_err();
    let address = "address = \"192.0.2.7\"";
    approve(&WARRANT.replace(address, "vlan = \"200.*\"")).unwrap();
    approve(&WARRANT.replace(address, "vlan = \"201.*\"")).unwrap_err();
    approve(&WARRANT.replace("2026-12-20", "2027-01-04")).unwrap();
    approve(&WARRANT.replace("2026-12-20", "2027-01-05")).unwrap_err();
}

#[test]
fn the_example_roster_reads_and_names_its_officers() {
    let roster = roster(ROSTER_EXAMPLE);
    let names: Vec<_> = roster.officers().iter().map(|officer| officer.name.as_str()).collect();
    assert_eq!(names, ["Ada Marsh", "Ben Okafor", "Cleo Ruiz"]);
    assert!(roster.officers().iter().all(|officer| officer.fingerprints().all(|it| it.starts_with("SHA256:"))));
    assert_eq!((roster.version(), roster.policy().quorum.approvals, roster.policy().wide_prefixes.len()), (1, 2, 1));
}

#[test]
fn every_fault_of_a_roster_is_named() {
    let office = Office::open();
    let weak = office.key_of("weak", &["-t", "rsa", "-b", "1024"]);
    let other = office.key_of("p521", &["-t", "ecdsa", "-b", "521"]);
    let key_of = |line: &str| {
        let at = ROSTER_EXAMPLE.find("ssh-ed25519").unwrap();
        let end = at + ROSTER_EXAMPLE[at..].find('"').unwrap();
        format!("{}{line}{}", &ROSTER_EXAMPLE[..at], &ROSTER_EXAMPLE[end..])
    };
    let ben = ROSTER_EXAMPLE.lines().filter(|line| line.starts_with("keys")).nth(1).unwrap().split('"').nth(1).unwrap();
    let alone = &ROSTER_EXAMPLE[..ROSTER_EXAMPLE.find("[[officer]]\nname = \"Ben").unwrap()];
    let cases: &[(&str, String, &str, &str)] = &[
        (
            "one approval",
            ROSTER_EXAMPLE.replacen("approvals = 2", "approvals = 1", 1),
            "policy.approvals",
            "nobody starts",
        ),
        (
            "too few officers",
            ROSTER_EXAMPLE.replacen("approvals = 2", "approvals = 4", 1),
            "officer",
            "name more officers",
        ),
        ("one officer", alone.to_owned(), "officer", "name more officers"),
        ("no officer", alone[..alone.find("[[officer]]").unwrap()].to_owned(), "officer", "[[officer]]"),
        ("same name", ROSTER_EXAMPLE.replace("Ben Okafor", "ada marsh"), "officer[2].name", "list a person once"),
        ("same key", key_of(ben), "officer[2].keys[1]", "belongs to one person"),
        ("no key", key_of("AAAA"), "officer[1].keys[1]", "ssh-keygen -t ed25519"),
        ("weak key", key_of(&weak.public), "officer[1].keys[1]", "shorter than 2048 bits"),
        ("unknown kind", key_of(&other.public), "officer[1].keys[1]", "cannot be checked"),
        (
            "longer emergency",
            ROSTER_EXAMPLE.replace("\"state\"", "\"emergency-3125\""),
            "policy.longer_window[1].authority",
            "no policy can stretch",
        ),
        (
            "host bits",
            ROSTER_EXAMPLE.replace("198.51.96.0/20", "198.51.97.0/20"),
            "policy.wide_prefix[1].prefix",
            "\"198.51.96.0/20\"",
        ),
        (
            "one line as a wide VLAN",
            ROSTER_EXAMPLE.replace(
                "[[policy.wide_prefix]]\nprefix = \"198.51.96.0/20\"",
                "[[policy.wide_vlan]]\nvlan = \"200.100\"",
            ),
            "policy.wide_vlan[1].vlan",
            "\"200.*\"",
        ),
        ("unknown field", ROSTER_EXAMPLE.replacen("approvals", "aprovals", 1), "policy.aprovals", "unknown field"),
    ];
    for (what, document, field, says) in cases {
        let error = Roster::parse(document.as_bytes(), Path::new("roster.toml")).expect_err(what);
        let line = error
            .to_string()
            .lines()
            .find(|line| line.starts_with(&format!("roster.toml: {field}: ")))
            .map(str::to_owned);
        assert!(line.as_ref().is_some_and(|line| line.contains(says)), "{what}: {error}");
    }
}

#[test]
fn the_first_roster_is_signed_by_its_own_officers() {
    let office = Office::open();
    let (ada, ben, eve) = (office.key("ada"), office.key("ben"), office.key("eve"));
    let text = roster_text(1, 2, &[("Ada", &[&ada]), ("Ben", &[&ben])]);
    let first = |signers: &[&Key]| {
        let signatures = signers.iter().map(|key| key.sign(POLICY, text.as_bytes())).collect();
        TrustedRoster::first(roster(&text), signatures)
    };
    assert_eq!(first(&[&ada, &ben]).unwrap().signed_by(), ["Ada", "Ben"]);
    assert!(matches!(first(&[&ada]), Err(RosterError::Missing(_))));
    assert!(matches!(first(&[&ada, &ada]), Err(RosterError::Missing(_))));
    assert!(matches!(first(&[&ada, &eve]), Err(RosterError::Signature(_))));
    let second = roster_text(2, 2, &[("Ada", &[&ada]), ("Ben", &[&ben])]);
    let error = TrustedRoster::first(roster(&second), Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "roster.toml: version: is 2, and 1 is the next one; correct the number and sign again"
    );
}

#[test]
fn a_later_roster_is_signed_by_the_officers_before_it() {
    let office = Office::open();
    let (ada, ben, cleo, dan) = (office.key("ada"), office.key("ben"), office.key("cleo"), office.key("dan"));
    let first = roster_text(1, 2, &[("Ada", &[&ada]), ("Ben", &[&ben])]);
    let second = roster_text(2, 2, &[("Cleo", &[&cleo]), ("Dan", &[&dan])]);
    let sign = |text: &str, signers: &[&Key]| -> Vec<_> {
        signers.iter().map(|key| key.sign(POLICY, text.as_bytes())).collect()
    };
    let in_force = trusted(&first, &[&ada, &ben]);
    let next = |text: &str, signers: &[&Key]| in_force.successor(roster(text), sign(text, signers));
    // The new officers cannot put themselves in.
    assert!(matches!(next(&second, &[&cleo, &dan]), Err(RosterError::Signature(_))));
    assert!(matches!(next(&second, &[&ada]), Err(RosterError::Missing(_))));
    let in_force = next(&second, &[&ada, &ben]).unwrap();
    assert_eq!(in_force.roster().bytes(), second.as_bytes());
    // The version that was replaced cannot come back.
    let former = in_force.successor(roster(&first), sign(&first, &[&ada, &ben]));
    assert!(matches!(former, Err(RosterError::Version { .. })));
}
