//! A destination that is a folder of this machine: what is in its files is what was released, each PDU once.

use crate::rig::{PATIENCE, eventually};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use writ_delivery::{Destination, Ended, FailureKind, Predecessor, Route, Session, SessionHandle, SessionSetup, Trial};
use writ_encoder::UtcMicros;
use writ_encoder::stream::StreamDecoder;
use writ_encoder::t1_ias::{
    CaseId, ContentIdentifier, CorrelationId, IapSystemId, Intercept, SubscriberIdentity, decode_cmcc, decode_cmii,
};
use writ_spool::{Consumer, Ledger, Producer, Record, RecordKind, Wake, create_stream};

const CASES: [&str; 2] = ["CASE/1", "CASE-2"];

/// A stream of content for two cases by turns, and the folder that it goes to.
struct Rig {
    folder: tempfile::TempDir,
    memory: OwnedFd,
    wake: Wake,
    ledger: Arc<Ledger>,
    producer: Producer,
    encoders: Vec<Intercept>,
    next: u64,
}

impl Rig {
    fn new() -> Self {
        let ledger = Arc::new(Ledger::open(Ledger::create(2, 1).unwrap()).unwrap());
        let memory = create_stream("test", 4, 1 << 18).unwrap();
        let wake = Wake::create().unwrap();
        let producer = Producer::open(&memory, wake.try_clone().unwrap(), ledger.clone()).unwrap();
        let encoders = CASES.map(|case| {
            Intercept::new(
                &CaseId::new(case).unwrap(),
                &IapSystemId::new("probe").unwrap(),
                &ContentIdentifier::Correlation(CorrelationId::new("c").unwrap()),
                &SubscriberIdentity::new("line").unwrap(),
            )
        });
        for slot in [0, 1] {
            ledger.slot(slot).unwrap().reset(1, 1);
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder, memory, wake, ledger, producer, encoders: encoders.into(), next: 0 }
    }

    /// Appends numbered packets, in runs of three for each case.
    fn feed(&mut self, count: u64) {
        for _ in 0..count {
            let (number, slot) = (self.next, (self.next / 3 % 2) as u16);
            self.next += 1;
            let encoder = &self.encoders[usize::from(slot)];
            let record = Record { slot, generation: 1, delivery: 0, kind: RecordKind::Content, sequence: number };
            let packet = vec![number as u8; 40 + (number * 131 % 1300) as usize];
            let write = |room: &mut [u8]| encoder.content(room, UtcMicros::from_unix_nanos(1), None, number, &packet);
            self.producer.append(encoder.content_bound(packet.len()), record, write).unwrap();
        }
        self.producer.commit().unwrap();
    }

    fn destination(&self) -> Destination {
        let folder = self.folder.path();
        toml::from_str(&format!("name = \"here\"\nformat = \"t1-ias\"\nfolder = {folder:?}")).unwrap()
    }

    fn route(&self) -> Route {
        let [_, cmc] = self.destination().load("destination[0]").unwrap();
        cmc
    }

    fn consumer(&self) -> Consumer {
        Consumer::open(&self.memory, self.wake.try_clone().unwrap(), self.ledger.clone()).unwrap()
    }

    fn session(&self, predecessor: Predecessor) -> SessionHandle {
        Session::spawn(SessionSetup {
            label: "here cmc".to_owned(),
            route: self.route(),
            predecessor,
            consumer: self.consumer(),
            ledger: self.ledger.clone(),
            stream: 0,
            timing: crate::rig::timing(),
            digests: None,
            notices: None,
        })
        .unwrap()
    }

    /// A session that writes everything there is and ends.
    fn write_all(&self, predecessor: Predecessor) {
        let session = self.session(predecessor);
        session.stop(PATIENCE);
        assert!(matches!(session.join().unwrap(), Ended::Drained));
    }

    fn file(&self, case: usize) -> PathBuf {
        self.folder.path().join(["CASE%2F1", "CASE-2"][case]).join("cmc.ber")
    }

    /// The numbers that must be in the file of a case.
    fn expected(&self, case: u64) -> Vec<u64> {
        (0..self.next).filter(|number| number / 3 % 2 == case).collect()
    }

    fn assert_exact(&self) {
        for case in [0, 1] {
            assert_eq!(numbers(&self.file(case)), self.expected(case as u64), "case {case}");
        }
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
    let mut rig = Rig::new();
    rig.feed(300);
    rig.write_all(Predecessor::FormerRun);
    rig.assert_exact();
    rig.feed(100);
    rig.write_all(Predecessor::SameRun);
    rig.assert_exact();
    let delivered: u64 = [0, 1]
        .map(|slot| rig.ledger.slot(slot).unwrap().snapshot().unwrap().deliveries[0].delivered(RecordKind::Content))
        .iter()
        .sum();
    assert_eq!(delivered, 400);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&rig.file(0)), mode(rig.file(0).parent().unwrap())), (0o600, 0o700));
}

/// What a process leaves that is killed between writing and releasing: an undo file, whole PDUs and half a one.
fn leave_half_done(rig: &Rig, mark: u64) {
    for case in [0, 1] {
        let file = rig.file(case);
        let before = fs::read(&file).unwrap();
        fs::write(file.with_extension("undo"), [mark.to_le_bytes(), (before.len() as u64).to_le_bytes()].concat())
            .unwrap();
        let mut pdu = vec![0; 4096];
        let written =
            rig.encoders[case].content(&mut pdu, UtcMicros::from_unix_nanos(1), None, 9999, &[7; 60]).unwrap();
        let torn = &pdu[..written - 11];
        fs::write(&file, [&before[..], &pdu[..written], torn].concat()).unwrap();
    }
}

#[test]
fn what_a_killed_process_wrote_and_did_not_release_is_written_once() {
    let mut rig = Rig::new();
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    leave_half_done(&rig, rig.consumer().released_mark());
    rig.feed(60);
    rig.write_all(Predecessor::SameRun);
    rig.assert_exact();
}

#[test]
fn what_was_released_before_the_kill_stays() {
    let mut rig = Rig::new();
    rig.feed(60);
    let mark = rig.consumer().released_mark();
    rig.write_all(Predecessor::FormerRun);
    // The undo file of a round that is done: nothing is undone.
    for case in [0, 1] {
        let undo = fs::read(rig.file(case).with_extension("undo")).unwrap();
        assert_eq!(undo[..8], mark.to_le_bytes(), "the first round began before anything was released");
    }
    rig.feed(60);
    rig.write_all(Predecessor::SameRun);
    rig.assert_exact();
}

#[test]
fn after_a_power_cut_every_whole_pdu_stays() {
    let mut rig = Rig::new();
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    // The memory of that run is gone, and its mark says nothing in the new one.
    leave_half_done(&rig, rig.consumer().released_mark());
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    for case in [0, 1] {
        let mut expected = rig.expected(case as u64);
        expected.insert(30, 9999);
        assert_eq!(numbers(&rig.file(case)), expected, "case {case}");
    }
}

#[test]
fn a_garbled_file_is_kept_beside_the_new_one() {
    let mut rig = Rig::new();
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    let garbled = [&fs::read(rig.file(0)).unwrap()[..], b"no PDU"].concat();
    fs::write(rig.file(0), &garbled).unwrap();
    fs::write(rig.file(0).with_extension("undo"), []).unwrap();
    rig.feed(60);
    rig.write_all(Predecessor::FormerRun);
    assert_eq!(fs::read(rig.file(0).with_extension("damaged-1.ber")).unwrap(), garbled);
    assert_eq!(numbers(&rig.file(0)), rig.expected(0)[30..]);
    assert_eq!(numbers(&rig.file(1)), rig.expected(1));
}

#[test]
fn a_file_that_was_removed_is_begun_anew() {
    let mut rig = Rig::new();
    let session = rig.session(Predecessor::FormerRun);
    let delivered = |rig: &Rig| rig.ledger.stream(0).unwrap().snapshot().delivered_records;
    rig.feed(60);
    eventually("all on disk", || delivered(&rig) == 60);
    fs::remove_dir_all(rig.file(0).parent().unwrap()).unwrap();
    rig.feed(60);
    eventually("all on disk", || delivered(&rig) == 120);
    assert_eq!(numbers(&rig.file(0)), rig.expected(0)[30..]);
    session.stop(PATIENCE);
    session.join().unwrap();
}

#[test]
fn two_probes_do_not_write_the_same_files() {
    let mut rig = Rig::new();
    let first = rig.session(Predecessor::FormerRun);
    rig.feed(6);
    eventually("all on disk", || rig.ledger.stream(0).unwrap().snapshot().delivered_records == 6);
    let mut other = Rig::new();
    other.folder = tempfile::tempdir_in(rig.folder.path()).unwrap();
    let (own, shared) = (other.folder.path().to_owned(), rig.folder.path().to_owned());
    fs::remove_dir(&own).unwrap();
    std::os::unix::fs::symlink(&shared, &own).unwrap();
    // A folder that is a link is refused by itself.
    assert!(other.destination().load("d").unwrap_err().to_string().contains("no directory"));
    fs::remove_file(&own).unwrap();
    fs::create_dir(&own).unwrap();
    let second = Session::spawn(SessionSetup {
        label: "here cmc".to_owned(),
        route: rig.route(),
        predecessor: Predecessor::FormerRun,
        consumer: other.consumer(),
        ledger: other.ledger.clone(),
        stream: 0,
        timing: crate::rig::timing(),
        digests: None,
        notices: None,
    })
    .unwrap();
    other.feed(6);
    let failure = || FailureKind::from_code(other.ledger.stream(0).unwrap().snapshot().failure);
    eventually("the second one is kept away", || failure() == Some(FailureKind::Files));
    first.stop(PATIENCE);
    first.join().unwrap();
    eventually("its turn", || other.ledger.stream(0).unwrap().snapshot().delivered_records == 6);
    second.stop(PATIENCE);
    second.join().unwrap();
    assert_eq!(numbers(&rig.file(0)), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_folder_of_others_is_refused_by_name() {
    let rig = Rig::new();
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
    let mut rig = Rig::new();
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
    eventually("all on disk", || rig.ledger.stream(0).unwrap().snapshot().delivered_records == 60);
    session.stop(PATIENCE);
    session.join().unwrap();
    rig.assert_exact();
    let folder = rig.folder.path().join("TEST-7");
    assert_eq!(numbers(&folder.join("cmc.ber")), (1..=9).collect::<Vec<_>>());
    let cmii = fs::read(folder.join("cmii.ber")).unwrap();
    assert_eq!(decode_cmii(&cmii).unwrap().0.case_id, "TEST-7");
}
