//! `writ warrant new` at a terminal: every field is asked for and explained, and a wrong answer is asked for again.

use crate::scene::words;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use writ_lab::{Binaries, ready};

/// What is asked for, in this order, and what is answered; before some of it something that cannot be.
const ANSWERS: &[(&str, &str)] = &[
    ("operator", "ExampleNet"),
    ("probe", "lab-probe1"),
    ("compartment", ""),
    ("authority", "a-hunch"),
    ("authority", "title-iii"),
    ("scope", "everything"),
    ("scope", "content"),
    ("directions", "both"),
    ("order.court", ""),
    ("order.court", "E.D. Example"),
    ("order.judge", "Hon. A. Judge"),
    ("order.docket", "26-mc-0117"),
    ("order.entered", "yesterday"),
    ("order.entered", "2026-11-18"),
    ("order.served", "2026-11-19"),
    ("order.served_by", "Special Agent B. Agent"),
    ("order.served_how", "in person, on paper"),
    ("order.sealed", "perhaps"),
    ("order.sealed", "true"),
    ("order.non_disclosure", "no"),
    ("order.presented_by", "Special Agent B. Agent"),
    ("order.presented_contact", "+1 202 555 0117"),
    ("order.verified_by", "Ada Marsh"),
    ("order.verified_how", "called the field office back on its published number"),
    ("order.signed_by", "Hon. A. Judge"),
    ("order.agency", "FBI"),
    ("order.reference", "Legal, safe 2, folder 14"),
    ("window.zone", "America/Nowhere"),
    ("window.zone", "America/New_York"),
    ("window.start", "soon"),
    ("window.start", "2026-11-20T09:00:00"),
    ("window.stop", "2026-12-10T09:00:00"),
    ("target", "address=192.0.2.300; subscriber=account 20117; confirmed_by=F. Osei; confirmed_on=2026-11-19"),
    ("target", "address=192.0.2.7; subscriber=account 20117; confirmed_by=F. Osei; confirmed_on=2026-11-19"),
    ("delivery", "destination=fbi-lab; case_id=FBI-2026-0117; streams=voice"),
    ("delivery", "destination=fbi-lab; case_id=FBI-2026-0117; streams=cmii,cmc"),
];

#[test]
fn a_warrant_is_written_at_a_terminal_and_wrong_answers_are_asked_again() {
    if !ready(&["script"]).unwrap() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("0117.toml");
    let writ = Binaries::find().unwrap().writ;
    let head = format!("17 {}", "b1".repeat(32));
    let nowhere = folder.path().join("no-configuration");
    let command = format!(
        "stty -echo; exec {} warrant new {} --head '{head}' --config {}",
        writ.display(),
        file.display(),
        nowhere.display()
    );
    // A terminal between this test and the program.
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut terminal = script.stdin.take().unwrap();
    for (_, answer) in ANSWERS {
        writeln!(terminal, "{answer}").unwrap();
    }
    let output = script.wait_with_output().unwrap();
    drop(terminal);
    let said = words(&output);
    assert!(output.status.success(), "{said}");
    // Each question as often as there are answers to it, and in that order.
    let mut rest = &said[..];
    for (field, answer) in ANSWERS {
        let question = format!("{field}: ");
        let at = rest.find(&question).unwrap_or_else(|| panic!("{field} is not asked before {answer:?}: {said}"));
        rest = &rest[at + question.len()..];
    }
    assert_eq!(said.matches("Such as: ").count(), ANSWERS.len(), "nothing else is asked: {said}");
    for wrong in ["a-hunch", "everything", "yesterday", "perhaps", "America/Nowhere", "soon", "192.0.2.300", "voice"] {
        assert!(said.contains(wrong), "what is wrong with {wrong} is said: {said}");
    }
    let text = fs::read_to_string(&file).unwrap();
    for written in
        ["authority = \"title-iii\"", "2026-11-18", "zone = \"America/New_York\"", "192.0.2.7", "record = 17"]
    {
        assert!(text.contains(written), "{written}: {text}");
    }
    let check = Command::new(&writ).args(["warrant", "check"]).arg(&file).output().unwrap();
    assert!(check.status.success() && words(&check).contains("192.0.2.7"), "{}", words(&check));
}
