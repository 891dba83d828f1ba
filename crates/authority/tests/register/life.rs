//! A case from its first signature to its closing.

use crate::probe::{Probe, START, STOP, actor, at, before, emergency, hours, refused};
use writ_authority::{Activation, CERTIFY, Digest, Ending, Original, POLICY, Phase, RegisterError};

#[test]
fn a_warrant_waits_for_its_signatures_and_is_in_force_with_the_last_one() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0], before()).unwrap();
    assert_eq!(probe.phase(uuid, before()), Phase::Submitted);
    assert!(probe.in_force(at(START)).is_empty());
    probe.open(before());
    assert_eq!(probe.findings, []);
    let missing = probe.register().case(uuid).unwrap().waiting().unwrap().missing.clone();
    assert!(missing.contains("only Ada signed"), "{missing}");
    probe.approve(uuid, &text, &[1], before()).unwrap();
    assert_eq!(probe.phase(uuid, before()), Phase::Approved);
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [uuid]);
    let words = refused(probe.submit(&text, &[0, 1], before()));
    assert!(words.contains("known with revision 1; the next is 2"), "{words}");
    assert!(probe.in_force(at(STOP)).is_empty());
    assert_eq!(probe.register().expire(at(STOP)).unwrap(), [uuid]);
    // The clock goes back, the warrant does not; nor does its name.
    probe.open(before());
    assert!(probe.in_force(at(START)).is_empty());
    assert_eq!(probe.phase(uuid, before()), Phase::Expired);
    let words = refused(probe.submit(&text, &[0, 1], before()));
    assert!(words.contains("has ended, and is never used again"), "{words}");
}

#[test]
fn one_officer_ends_a_warrant_and_the_others_stay_in_force() {
    let mut probe = Probe::new();
    let [first, second] = [1, 2].map(|n| {
        let text = probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n));
        probe.submit(&text, &[0, 1], before()).unwrap()
    });
    let words = refused(probe.revoke(first, "revoked", &[], before()));
    assert!(words.contains("any one officer"), "{words}");
    let words = refused(probe.revoke(first, "denied", &[2], before()));
    assert!(words.contains("only the application that follows an emergency"), "{words}");
    probe.revoke(first, "revoked", &[2], before()).unwrap();
    assert_eq!(probe.in_force(at(START)), [second]);
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [second]);
    let ending = probe.register().case(first).unwrap().ending().cloned();
    assert!(matches!(&ending, Some(Ending::Revoked { by, reason, .. }) if by == "Cleo" && reason == "order withdrawn"));
    assert!(refused(probe.revoke(first, "revoked", &[2], before())).contains("has ended"));
}

#[test]
fn a_revision_takes_the_place_of_the_one_before_and_an_extension_leaves_no_gap() {
    let mut probe = Probe::new();
    let first = probe.warrant(1);
    let uuid = probe.submit(&first, &[0, 1], before()).unwrap();
    // Less: one signature of legal, at once.
    let earlier = "2026-12-15T14:00:00Z";
    let second = probe.revision(&first, 2, STOP, earlier, "26-mc-0117");
    let words = refused(probe.submit(&second.replace("revision = 2", "revision = 3"), &[0], before()));
    assert!(words.contains("the next is 2"), "{words}");
    probe.submit(&second, &[0], before()).unwrap();
    assert!(probe.in_force(at("2026-12-15T13:59:59Z")) == [uuid] && probe.in_force(at(earlier)).is_empty());
    // More: one signature waits, and the one before stays in force.
    let later = "2026-12-19T14:00:00Z";
    let third = probe.revision(&second, 3, earlier, later, "26-mc-0118");
    let third = third.replace("entered = \"2026-11-18\"", "entered = \"2026-11-19\"");
    probe.submit(&third, &[0], before()).unwrap();
    assert!(probe.in_force(at(earlier)).is_empty());
    probe.approve(uuid, &third, &[1], before()).unwrap();
    assert_eq!(probe.in_force(at(earlier)), [uuid]);
    // An extension that begins only later is one time with the one before it.
    let fourth = probe.revision(&third, 4, later, "2027-01-10T00:00:00Z", "26-mc-0119");
    let fourth =
        fourth.replace(START, "2026-12-19T00:00:00Z").replace("entered = \"2026-11-19\"", "entered = \"2026-12-18\"");
    let fourth = fourth.replace("served = \"2026-11-19\"", "served = \"2026-12-18\"");
    let now = at("2026-12-18T12:00:00Z");
    probe.submit(&fourth, &[0, 1], now).unwrap();
    for reopened in [false, true] {
        if reopened {
            probe.open(now);
        }
        let [force] = &probe.register().in_force(now)[..] else { panic!("one is in force") };
        assert_eq!(force.warrant().revision(), 3);
        assert_eq!((force.window.start(), force.window.stop()), (at(START), at("2027-01-10T00:00:00Z")));
        // A moment before, what both terms allow goes on alone.
        let lead = probe.register().next_succession(now).unwrap();
        assert_eq!(lead, at("2026-12-18T23:59:59Z"));
        let next = probe.register().next_succession(lead).unwrap();
        assert_eq!(next, at("2026-12-19T00:00:00Z"));
        let [force] = &probe.register().in_force(next)[..] else { panic!("one is in force") };
        assert_eq!(force.warrant().revision(), 4);
    }
}

#[test]
fn an_emergency_begins_on_call_and_stops_unless_the_others_sign() {
    for signs in [false, true] {
        let mut probe = Probe::new();
        let text = emergency(&mut probe);
        let now = at(START);
        let uuid = probe.submit(&text, &[2], now).unwrap();
        probe.open(now);
        assert_eq!(probe.in_force(now), [uuid]);
        let until = now + hours(4);
        assert_eq!(probe.register().in_force(now)[0].window.stop(), until);
        if signs {
            probe.approve(uuid, &text, &[0], now + hours(3)).unwrap();
            assert_eq!(probe.in_force(until), [uuid]);
            assert_eq!(probe.register().in_force(until)[0].window.stop(), at("2026-11-22T14:00:00Z"));
            probe.revoke(uuid, "denied", &[0], until).unwrap();
            assert_eq!(probe.phase(uuid, until), Phase::Denied);
        } else {
            assert!(probe.in_force(until).is_empty());
            assert!(refused(probe.approve(uuid, &text, &[0], until)).contains("has ended"), "too late");
            assert_eq!(probe.register().expire(until).unwrap(), [uuid]);
            assert!(matches!(probe.register().case(uuid).unwrap().ending(), Some(Ending::Unconfirmed { .. })));
        }
    }
}

#[test]
fn a_roster_that_takes_a_key_away_ends_what_hung_on_it() {
    let mut probe = Probe::new();
    let [by_ben, by_cleo] = [(1, [0, 1]), (2, [0, 2])].map(|(n, signers)| {
        let text = probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n));
        probe.submit(&text, &signers, before()).unwrap()
    });
    let text = probe.roster(2, &[0, 2]);
    let handed = probe.handed(&text, POLICY, &[0, 1]);
    let change = probe.register().install_roster(handed, actor(), before()).unwrap();
    assert_eq!((change.version, &change.ended[..]), (2, &[by_ben][..]));
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [by_cleo]);
    assert!(matches!(probe.register().case(by_ben).unwrap().ending(), Some(Ending::Unvouched { version: 2, .. })));
}

#[test]
fn what_was_measured_is_certified_by_its_overseer_and_the_case_closed_with_its_key() {
    let mut probe = Probe::new();
    let order = b"scanned order".to_vec();
    let text = probe.warrant(1);
    let line = text.lines().find(|line| line.starts_with("sha256 = ")).unwrap().to_owned();
    let text = text.replace(&line, &format!("sha256 = \"{}\"", Digest::of(&order)));
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    let words = refused(probe.register().attach(uuid, &Original::new("o.pdf", "another"), actor(), before()));
    assert!(words.contains("attach the scan that the warrant names"), "{words}");
    probe.register().attach(uuid, &Original::new("o.pdf", order.clone()), actor(), before()).unwrap();
    assert!(refused(probe.register().draft_certification(uuid, "Ada", before())).contains("nothing to certify yet"));
    let by = Activation { software: "writ 1".into(), configuration: Digest::of(b"config"), clock_doubt_ms: Some(3) };
    let now = at(START);
    probe.register().armed(uuid, &by, vec![("slot", "1.1".to_owned())], before()).unwrap();
    probe.register().begun(uuid, now, Vec::new(), now).unwrap();
    assert!(probe.register().overdue(now + hours(7 * 24 - 1)).is_empty());
    assert_eq!(probe.register().overdue(now + hours(7 * 24)), [uuid]);
    assert_eq!(probe.register().note_overdue(now + hours(7 * 24)).unwrap(), [uuid]);
    assert!(probe.register().note_overdue(now + hours(7 * 24)).unwrap().is_empty(), "said once");
    probe.open(now);
    assert_eq!(probe.phase(uuid, now), Phase::Active);
    let draft = probe.register().draft_certification(uuid, "Ada", now).unwrap();
    for (document, signer, said) in [
        (draft.clone(), 1, "the overseer, Ada"),
        (draft.replace(START, "2026-11-20T15:00:00Z"), 0, "is not what was measured"),
    ] {
        let handed = probe.handed(&document, CERTIFY, &[signer]);
        let words = refused(probe.register().certify(handed, actor(), now));
        assert!(words.contains(said), "{words}");
    }
    let handed = probe.handed(&draft, CERTIFY, &[0]);
    probe.register().certify(handed, actor(), now).unwrap();
    assert!(probe.register().overdue(now + hours(7 * 24)).is_empty());
    assert!(refused(probe.register().close(uuid, Vec::new(), actor(), now)).contains("revoke it first"));
    probe.revoke(uuid, "revoked", &[0], now).unwrap();
    let figures = [("matched".to_owned(), "7".to_owned())].into();
    probe.register().stopped(uuid, now + hours(1), figures, now).unwrap();
    assert_eq!(probe.phase(uuid, now), Phase::Certified);
    assert_eq!(probe.register().order(uuid, Digest::of(&order)).unwrap(), order);
    probe.register().close(uuid, Vec::new(), actor(), now).unwrap();
    probe.open(now);
    assert_eq!(probe.phase(uuid, now), Phase::Closed);
    assert_eq!(probe.register().case(uuid).unwrap().figures()["matched"], "7");
    assert!(matches!(probe.register().order(uuid, Digest::of(&order)), Err(RegisterError::Seal(_))));
}
