//! Documents that are missing or altered, a disk that takes nothing, and what a crash leaves without a record.

use crate::probe::{Probe, START, actor, at, before, refused};
use std::fs;
use writ_authority::{DOCUMENTS, Digest, Ending, Phase, REVOKE, RegisterError};

#[test]
fn a_revocation_that_the_disk_does_not_take_holds_until_it_does() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    let revocation = probe.revocation(uuid, "revoked");
    let documents = probe.folder().join(DOCUMENTS);
    let aside = probe.folder().join("aside");
    fs::rename(&documents, &aside).unwrap();
    let handed = probe.handed(&revocation, REVOKE, &[0]);
    let revoked = probe.register().revoke(handed.clone(), actor(), before()).unwrap();
    assert!(matches!(revoked.recorded, Err(RegisterError::Archive(_))), "{revoked:?}");
    assert!(probe.in_force(at(START)).is_empty(), "it has ended all the same");
    assert_eq!(probe.phase(uuid, before()), Phase::Revoked);
    fs::rename(&aside, &documents).unwrap();
    probe.register().revoke(handed, actor(), before()).unwrap().recorded.unwrap();
    probe.open(before());
    assert!(probe.in_force(at(START)).is_empty());
}

#[test]
fn a_damaged_document_holds_its_case_and_no_other() {
    let mut probe = Probe::new();
    let texts = [1, 2].map(|n| probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n)));
    let [first, second] = [0, 1].map(|i| probe.submit(&texts[i], &[0, 1], before()).unwrap());
    let file = probe.folder().join(DOCUMENTS).join(Digest::of(texts[0].as_bytes()).to_string());
    let good = fs::read(&file).unwrap();
    // A wider warrant behind the signatures, or none at all.
    for bad in [Some(texts[0].replace("192.0.2.11", "192.0.2.0/28")), None] {
        match &bad {
            Some(bad) => fs::write(&file, bad).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        probe.open(before());
        let [finding] = &probe.findings[..] else { panic!("{:?}", probe.findings) };
        assert!(finding.case == Some(first) && finding.problem.contains("restore the file"), "{finding:?}");
        assert_eq!(probe.phase(first, before()), Phase::Damaged);
        assert_eq!(probe.in_force(at(START)), [second]);
        assert!(refused(probe.submit(&texts[0], &[0, 1], before())).contains("restore that file"));
    }
    fs::write(&file, good).unwrap();
    probe.open(before());
    assert_eq!(probe.in_force(at(START)), [first, second]);
}

#[test]
fn a_damaged_case_is_revoked_all_the_same() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    let revocation = probe.revocation(uuid, "revoked");
    let file = probe.folder().join(DOCUMENTS).join(Digest::of(text.as_bytes()).to_string());
    let good = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    probe.open(before());
    assert_eq!(probe.phase(uuid, before()), Phase::Damaged);
    let nobody = probe.handed(&revocation, REVOKE, &[]);
    assert!(refused(probe.register().revoke(nobody, actor(), before())).contains("any one officer"));
    let handed = probe.handed(&revocation, REVOKE, &[2]);
    probe.register().revoke(handed, actor(), before()).unwrap().recorded.unwrap();
    assert_eq!(probe.phase(uuid, before()), Phase::Revoked);
    // The document comes back, the warrant does not.
    fs::write(&file, good).unwrap();
    probe.open(before());
    assert_eq!((probe.findings.len(), probe.phase(uuid, before())), (0, Phase::Revoked));
    assert!(probe.in_force(at(START)).is_empty());
}

#[test]
fn a_revocation_that_a_crash_tore_from_the_log_is_carried_out_at_the_next_start() {
    for is_signed in [true, false] {
        let mut probe = Probe::new();
        let text = probe.warrant(1);
        let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
        let log = fs::read(probe.log()).unwrap();
        let revocation = probe.revocation(uuid, "revoked");
        let handed = probe.handed(&revocation, REVOKE, &[2]);
        let signature = probe.folder().join(DOCUMENTS).join(handed.signatures[0].digest().to_string());
        probe.register().revoke(handed, actor(), before()).unwrap().recorded.unwrap();
        probe.register = None;
        // The papers are on disk, and of the record there is a part, or nothing.
        fs::write(probe.log(), [&log[..], if is_signed { b"{\"number\":3" } else { b"" }].concat()).unwrap();
        if !is_signed {
            fs::remove_file(signature).unwrap();
        }
        probe.open(before());
        if is_signed {
            assert_eq!((probe.findings.len(), probe.register().ended_at_opening()), (0, &[uuid][..]));
            assert!(probe.in_force(at(START)).is_empty());
            probe.open(before());
            assert!(
                matches!(probe.register().case(uuid).unwrap().ending(), Some(Ending::Revoked { by, .. }) if by == "Cleo")
            );
            assert!(probe.register().ended_at_opening().is_empty());
        } else {
            // Nobody is to believe that it has ended.
            let [finding] = &probe.findings[..] else { panic!("{:?}", probe.findings) };
            assert!(finding.case == Some(uuid) && finding.problem.contains("is NOT revoked"), "{finding:?}");
            assert_eq!(probe.in_force(at(START)), [uuid]);
        }
    }
}
