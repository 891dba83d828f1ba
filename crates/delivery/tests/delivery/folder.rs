//! A destination that is a folder of this machine: what is in its files is what was released, each PDU once.

use crate::rig::{FolderRig, PATIENCE, eventually, session_of};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use writ_delivery::{FailureKind, Predecessor, Trial};
use writ_encoder::UtcMicros;
use writ_encoder::stream::StreamDecoder;
use writ_encoder::t1_ias::{
    CaseId, ContentIdentifier, CorrelationId, IapSystemId, Intercept, SubscriberIdentity, decode_cmcc, decode_cmii,
};
use writ_spool::RecordKind;

const CASES: [&str; 2] = ["CASE/1", "CASE-2"];

/// T1.IAS for two cases.
fn t1_ias() -> FolderRig {
    let encoders = CASES.map(|case| {
        Intercept::new(
            &CaseId::new(case).unwrap(),
            &IapSystemId::new("probe").unwrap(),
            &ContentIdentifier::Correlation(CorrelationId::new("c").unwrap()),
            &SubscriberIdentity::new("line").unwrap(),
        )
    });
    FolderRig::new("format = \"t1-ias\"", 0o700, move |case, number, packet| {
        let mut pdu = vec![0; encoders[case].content_bound(packet.len())];
        let time = UtcMicros::from_unix_nanos(1);
        let length = encoders[case].content(&mut pdu, time, None, number, packet).unwrap();
        pdu.truncate(length);
        pdu
    })
}

fn file(rig: &FolderRig, case: usize) -> PathBuf {
    rig.folder.path().join(["CASE%2F1", "CASE-2"][case]).join("cmc.ber")
}

fn assert_exact(rig: &FolderRig) {
    for case in [0, 1] {
        assert_eq!(numbers(&file(rig, case)), rig.expected(case as u64), "case {case}");
    }
}

/// The sequence numbers in a file of content that is whole.
fn numbers(file: &Path) -> Vec<u64> {
    let bytes = fs::read(file).unwrap();
    let mut decoder = StreamDecoder::default();
    decoder.push(&bytes);
    let mut numbers = Vec::new();
    while let Some(pdu) = decoder.next_pdu().unwrap() {
        numbers.push(decode_cmcc(pdu.bytes).unwrap().0.sequence.unwrap());
    }
    assert_eq!(decoder.pending(), 0, "{} ends within a PDU", file.display());
    numbers
}

#[test]
fn each_case_has_a_file_of_its_own_that_goes_on_after_a_restart() {
    let mut rig = t1_ias();
    rig.feed(300);
    rig.write_all(Predecessor::FormerRun);
    assert_exact(&rig);
    rig.feed(100);
    rig.write_all(Predecessor::SameRun);
    assert_exact(&rig);
    let delivered: u64 = [0, 1]
        .map(|slot| rig.ledger.slot(slot).unwrap().snapshot().unwrap().deliveries[0].delivered(RecordKind::Content))
        .iter()
        .sum();
    assert_eq!(delivered, 400);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file(&rig, 0)), mode(file(&rig, 0).parent().unwrap())), (0o600, 0o700));
}

/// What a process leaves that is killed between writing and releasing: an undo file, whole PDUs and half a one.
fn leave_half_done(rig: &FolderRig, mark: u64) {
    for case in [0, 1] {
        let file = file(rig, case);
        let before = fs::read(&file).unwrap();
        fs::write(file.with_extension("undo"), [mark.to_le_bytes(), (before.len() as u64).to_le_bytes()].concat())
            .unwrap();
        let pdu = (rig.encode)(case, 9999, &[7; 60]);
        let torn = &pdu[..pdu.len() - 11];
        fs::write(&file, [&before[..], &pdu, torn].concat()).unwrap();
    }
}

#[test]
fn what_a_killed_process_wrote_and_did_not_release_is_written_once() {
    let mut rig = t1_ias();
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    leave_half_done(&rig, rig.consumer().released_mark());
    rig.feed(60);
    rig.write_all(Predecessor::SameRun);
    assert_exact(&rig);
}

#[test]
fn what_was_released_before_the_kill_stays() {
    let mut rig = t1_ias();
    rig.feed(60);
    let mark = rig.consumer().released_mark();
    rig.write_all(Predecessor::FormerRun);
    // The undo file of a round that is done: nothing is undone.
    for case in [0, 1] {
        let undo = fs::read(file(&rig, case).with_extension("undo")).unwrap();
        assert_eq!(undo[..8], mark.to_le_bytes(), "the first round began before anything was released");
    }
    rig.feed(60);
    rig.write_all(Predecessor::SameRun);
    assert_exact(&rig);
}

#[test]
fn after_a_power_cut_every_whole_pdu_stays() {
    let mut rig = t1_ias();
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    // The memory of that run is gone, and its mark says nothing in the new one.
    leave_half_done(&rig, rig.consumer().released_mark());
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    for case in [0, 1] {
        let mut expected = rig.expected(case as u64);
        expected.insert(30, 9999);
        assert_eq!(numbers(&file(&rig, case)), expected, "case {case}");
    }
}

#[test]
fn a_garbled_file_is_kept_beside_the_new_one() {
    let mut rig = t1_ias();
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    let garbled = [&fs::read(file(&rig, 0)).unwrap()[..], b"no PDU"].concat();
    fs::write(file(&rig, 0), &garbled).unwrap();
    fs::write(file(&rig, 0).with_extension("undo"), []).unwrap();
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    assert_eq!(fs::read(file(&rig, 0).with_extension("damaged-1.ber")).unwrap(), garbled);
    assert_eq!(numbers(&file(&rig, 0)), rig.expected(0)[30..]);
    assert_eq!(numbers(&file(&rig, 1)), rig.expected(1));
}

#[test]
fn a_file_that_was_removed_is_begun_anew() {
    let mut rig = t1_ias();
    let session = rig.session(Predecessor::FormerRun);
    rig.feed(60);
    rig.wait_for(60);
    fs::remove_dir_all(file(&rig, 0).parent().unwrap()).unwrap();
    rig.feed(60);
    rig.wait_for(120);
    assert_eq!(numbers(&file(&rig, 0)), rig.expected(0)[30..]);
    session.stop(PATIENCE);
    session.join().unwrap();
}

#[test]
fn two_probes_do_not_write_the_same_files() {
    let mut rig = t1_ias();
    let first = rig.session(Predecessor::FormerRun);
    rig.feed(6);
    rig.wait_for(6);
    let mut other = t1_ias();
    other.folder = tempfile::tempdir_in(rig.folder.path()).unwrap();
    let (own, shared) = (other.folder.path().to_owned(), rig.folder.path().to_owned());
    fs::remove_dir(&own).unwrap();
    std::os::unix::fs::symlink(&shared, &own).unwrap();
    // A folder that is a link is refused by itself.
    assert!(other.destination().load("d").unwrap_err().to_string().contains("no directory"));
    fs::remove_file(&own).unwrap();
    fs::create_dir(&own).unwrap();
    let second = session_of(rig.route(), Predecessor::FormerRun, other.consumer(), other.ledger.clone());
    other.feed(6);
    let failure = || FailureKind::from_code(other.ledger.stream(0).unwrap().snapshot().failure);
    eventually("the second one is kept away", || failure() == Some(FailureKind::Files));
    first.stop(PATIENCE);
    first.join().unwrap();
    other.wait_for(6);
    second.stop(PATIENCE);
    second.join().unwrap();
    assert_eq!(numbers(&file(&rig, 0)), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_folder_of_others_is_refused_by_name() {
    let rig = t1_ias();
    fs::set_permissions(rig.folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let error = rig.destination().load("destination[3]").unwrap_err();
    assert_eq!(error.field, "destination[3].folder");
    assert!(error.to_string().contains("0750") && error.remedy.contains("chmod 700"), "{error}");
    fs::remove_dir(rig.folder.path()).unwrap();
    let error = rig.destination().load("destination[3]").unwrap_err();
    assert!(error.remedy.contains("install -d -m 700"), "{error}");
}

#[test]
fn a_trial_writes_a_case_of_its_own() {
    let mut rig = t1_ias();
    let session = rig.session(Predecessor::FormerRun);
    rig.feed(60);
    let trial = Trial {
        destination: "here".to_owned(),
        routes: rig.destination().load("d").unwrap(),
        terms: rig.destination().terms().unwrap(),
        case_id: CaseId::new("TEST-7").unwrap(),
        iap: IapSystemId::new("probe").unwrap(),
        packets: 9,
    };
    for report in trial.run().unwrap() {
        assert_eq!(report.failure, None);
        assert_eq!((report.sent, report.acknowledged), (report.records, report.records));
    }
    rig.wait_for(60);
    session.stop(PATIENCE);
    session.join().unwrap();
    assert_exact(&rig);
    let folder = rig.folder.path().join("TEST-7");
    assert_eq!(numbers(&folder.join("cmc.ber")), (1..=9).collect::<Vec<_>>());
    let cmii = fs::read(folder.join("cmii.ber")).unwrap();
    assert_eq!(decode_cmii(&cmii).unwrap().0.case_id, "TEST-7");
}
