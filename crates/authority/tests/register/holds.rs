//! A log that has forgotten something, or may have: everything is held, and what releases it.

use crate::probe::{Probe, START, STOP, actor, at, before, refused};
use std::fs;
use writ_authority::{Digest, Head, POLICY, Phase};

#[test]
fn a_log_that_somebody_saw_further_is_held_until_the_officers_know() {
    let mut probe = Probe::new();
    let old = probe.warrant(1);
    let uuid = probe.submit(&old, &[0, 1], before()).unwrap();
    let ended = probe.warrant(4).replace("192.0.2.7", "192.0.2.14");
    let ended = probe.submit(&ended, &[0, 1], before()).unwrap();
    let log = fs::read(probe.log()).unwrap();
    let lost = probe.warrant(2).replace("192.0.2.7", "192.0.2.12");
    let lost_uuid = probe.submit(&lost, &[0, 1], before()).unwrap();
    probe.revoke(lost_uuid, "revoked", &[0], before()).unwrap();
    probe.revoke(ended, "revoked", &[0], before()).unwrap();
    // Somebody puts the log back to where two warrants were in force, and forgets the documents.
    probe.register = None;
    fs::write(probe.log(), &log).unwrap();
    probe.open(before());
    assert!(probe.findings.iter().any(|it| it.problem.contains("put back from an older copy")), "{:?}", probe.findings);
    for _ in 0..2 {
        assert!(probe.register().held().is_some());
        assert!(probe.in_force(at(START)).is_empty(), "a warrant that had ended does not come back");
        assert_eq!(probe.phase(uuid, before()), Phase::Held);
        assert_eq!(probe.phase(ended, before()), Phase::Revoked, "its revocation is among the documents");
        let words = refused(probe.submit(&lost, &[0, 1], before()));
        assert!(words.contains("draft"), "{words}");
        probe.open(before());
        assert_eq!(probe.findings, [], "it is said once");
    }
    let new = probe.warrant(3).replace("192.0.2.7", "192.0.2.13");
    assert!(refused(probe.submit(&new, &[0, 1], before())).contains("the probe is held since record"));
    // The quorum says that it knows, and approves what is to go on anew.
    let roster = probe.roster(2, &[0, 1, 2]);
    let handed = probe.handed(&roster, POLICY, &[0, 1]);
    probe.register().install_roster(handed, actor(), before()).unwrap();
    assert!(probe.in_force(at(START)).is_empty());
    let narrower = probe.revision(&old, 2, STOP, "2026-12-10T14:00:00Z", "26-mc-0117");
    probe.submit(&narrower, &[0, 1], before()).unwrap();
    assert_eq!(probe.in_force(at(START)), [uuid]);
    let new = probe.warrant(3).replace("192.0.2.7", "192.0.2.13");
    probe.submit(&new, &[0, 1], before()).unwrap();
}

#[test]
fn a_paper_from_the_future_of_the_log_holds_everything_if_an_officer_signed_it() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    let hash = probe.register().head().hash.to_string();
    let future = probe.warrant(2).replace("192.0.2.7", "192.0.2.12").replace(&hash, &Digest::of(b"?").to_string());
    assert!(refused(probe.submit(&future, &[], before())).contains("has no record"));
    assert_eq!(probe.in_force(at(START)), [uuid], "anybody can write a number");
    assert!(refused(probe.submit(&future, &[0], before())).contains("has no record"));
    assert!(probe.in_force(at(START)).is_empty());
    probe.open(before());
    assert!(probe.in_force(at(START)).is_empty() && probe.register().held().is_some());
}

#[test]
fn a_log_behind_its_mark_is_held_until_a_head_from_outside_shows_that_it_is_whole() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    probe.open(before());
    let end = probe.register().head();
    assert_eq!(probe.register().hold_against(end, before()).unwrap(), None);
    assert_eq!(probe.in_force(at(START)), [uuid]);
    let mark = Head { number: end.number + 2, hash: Digest::of(b"lost") };
    assert!(probe.register().hold_against(mark, before()).unwrap().is_some());
    assert!(probe.in_force(at(START)).is_empty());
    // The next start knows it, and says it no more; nor does it forget it.
    probe.open(before());
    assert_eq!(probe.register().hold_against(mark, before()).unwrap(), None);
    assert!(probe.in_force(at(START)).is_empty());
    assert!(refused(probe.register().release(mark, "a head", actor(), before())).contains("approve anew"));
    let now_its_end = probe.register().head();
    assert!(refused(probe.register().release(now_its_end, "a head", actor(), before())).contains("head:"));
    probe.register().release(end, "a head", actor(), before()).unwrap();
    assert_eq!(probe.in_force(at(START)), [uuid]);
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [uuid]);
    assert_eq!(probe.register().hold_against(mark, before()).unwrap(), None, "that it is lost is known");
}

#[test]
fn no_head_releases_what_an_officer_saw() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    probe.submit(&text, &[0, 1], before()).unwrap();
    let end = probe.register().head();
    let future = probe.warrant(2).replace("192.0.2.7", "192.0.2.12");
    let future = future.replace(&end.hash.to_string(), &Digest::of(b"?").to_string());
    refused(probe.submit(&future, &[0], before()));
    let held = probe.register().held().unwrap().clone();
    assert!(!held.remedy().contains("backup release"), "{held}");
    assert!(
        refused(probe.register().release(end, "a head", actor(), before())).contains("nothing is held that a head")
    );
}
