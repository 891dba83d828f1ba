//! The audit log: what is written is there, and whatever is done to it afterwards is found and named.

use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use writ_authority::{
    Act, Actor, AuditError, AuditFault, AuditLog, Digest, Entry, Head, Outcome, Subject, Tampering, read_records,
    verify,
};

fn now() -> Timestamp {
    "2026-11-20T14:00:00Z".parse().unwrap()
}

fn entry(i: u64) -> Entry {
    Entry {
        act: Act::WarrantSubmit,
        outcome: if i.is_multiple_of(2) { Outcome::Done } else { Outcome::Refused },
        actor: Actor { who: "ada".to_owned(), uid: 1000, pid: 4711 },
        subject: Some(Subject { uuid: Some(uuid::Uuid::from_u128(u128::from(i))), sha256: Some(Digest::of(b"w")) }),
        details: BTreeMap::from([("reason".to_owned(), format!("line {i}\nwith \"quotes\" and ä"))]),
    }
}

struct Log {
    folder: TempDir,
    heads: Vec<Head>,
}

impl Log {
    fn of(records: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut log = AuditLog::open(&folder.path().join("audit.log"), now()).unwrap();
        let heads = (0..records).map(|i| log.append(now(), &entry(i)).unwrap()).collect();
        Self { folder, heads }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.bytes()).unwrap().split_inclusive('\n').map(str::to_owned).collect()
    }

    fn fault_of(&self, bytes: impl AsRef<[u8]>, head: Option<Digest>) -> AuditFault {
        let copy = self.folder.path().join("copy.log");
        std::fs::write(&copy, bytes).unwrap();
        match verify(&copy, head) {
            Err(AuditError::Fault(fault)) => fault,
            other => panic!("no fault found: {other:?}"),
        }
    }
}

#[test]
fn what_was_recorded_can_be_read_and_goes_on_after_a_restart() {
    let log = Log::of(3);
    let mut again = AuditLog::open(&log.path(), now()).unwrap();
    assert_eq!(again.head(), log.heads[2]);
    let head = again.append(now(), &entry(3)).unwrap();
    drop(again);
    let records = read_records(&log.path()).unwrap();
    assert_eq!(records.iter().map(|it| it.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(records[1].details["reason"], "line 1\nwith \"quotes\" and ä");
    assert_eq!((records[1].act.as_str(), records[1].outcome), ("warrant-submit", Outcome::Refused));
    assert_eq!(records[1].previous, log.heads[0].hash);
    let summary = verify(&log.path(), Some(log.heads[1].hash)).unwrap();
    assert_eq!((summary.head, summary.proven_to, summary.first), (head, Some(2), Some(now())));
    assert_eq!(verify(&log.path(), None).unwrap().proven_to, None);
}

/// Anybody can check the chain with sha256sum alone: a line's hash is that of its bytes up to the hash.
#[test]
fn the_hash_is_that_of_the_line_before_it() {
    let log = Log::of(2);
    for (line, head) in log.lines().iter().zip(&log.heads) {
        let (body, rest) = line.split_once(",\"hash\":").unwrap();
        assert_eq!(Digest::of(body.as_bytes()), head.hash);
        assert_eq!(rest, format!("\"{}\"}}\n", head.hash));
    }
}

#[test]
fn any_changed_byte_names_its_record() {
    let log = Log::of(4);
    let bytes = log.bytes();
    let record_at = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
    let copy = log.folder.path().join("copy.log");
    std::fs::write(&copy, &bytes).unwrap();
    let file = OpenOptions::new().write(true).open(&copy).unwrap();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80] {
            file.write_all_at(&[bytes[at] ^ flip], at as u64).unwrap();
            match verify(&copy, None) {
                Err(AuditError::Fault(fault)) => assert_eq!(fault.number, record_at(at), "byte {at} ^ {flip}: {fault}"),
                other => panic!("byte {at} ^ {flip} not found: {other:?}"),
            }
        }
        file.write_all_at(&bytes[at..=at], at as u64).unwrap();
    }
    verify(&copy, None).unwrap();
}

#[test]
fn every_way_of_tampering_is_found_and_named() {
    let log = Log::of(5);
    let lines = log.lines();
    let join = |order: &[usize]| order.iter().map(|i| lines[i - 1].as_str()).collect::<String>();
    let other = Log::of(5);
    let foreign = {
        let mut writer = AuditLog::open(&other.folder.path().join("other.log"), now()).unwrap();
        for i in 10..15 {
            writer.append(now(), &entry(i)).unwrap();
        }
        let text = std::fs::read_to_string(other.folder.path().join("other.log")).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>()
    };
    let last = Some(log.heads[4].hash);
    let third = Some(log.heads[2].hash);
    let with_foreign = |at: usize| {
        let mut mixed = lines.clone();
        mixed[at - 1].clone_from(&foreign[at - 1]);
        mixed.concat()
    };
    let replaced = |found| Tampering::Replaced { found };
    // {what, log, head from outside, record, fault}
    let ways: Vec<(&str, String, Option<Digest>, u64, Tampering)> = vec![
        ("first removed", join(&[2, 3, 4, 5]), None, 1, replaced(2)),
        ("one removed", join(&[1, 2, 4, 5]), None, 3, replaced(4)),
        ("two removed", join(&[1, 4, 5]), None, 2, replaced(4)),
        ("two exchanged", join(&[1, 3, 2, 4, 5]), None, 2, replaced(3)),
        ("one repeated", join(&[1, 2, 2, 3, 4, 5]), None, 3, replaced(2)),
        ("an old one at the end", join(&[1, 2, 3, 4, 5, 1]), None, 6, replaced(1)),
        ("one of another log", with_foreign(3), None, 3, Tampering::Unchained),
        ("the first of another log", with_foreign(1), None, 2, Tampering::Unchained),
        ("an empty line", join(&[1, 2]) + "\n" + &join(&[3, 4, 5]), None, 3, Tampering::Changed),
        ("a line of nonsense", join(&[1, 2]) + "{}\n" + &join(&[3]), None, 3, Tampering::Changed),
        ("two lines made one", join(&[1, 2]).trim_end().to_owned() + &join(&[3]), None, 2, Tampering::Changed),
        ("end of the last line gone", join(&[1, 2, 3]).trim_end().to_owned(), None, 3, Tampering::Unfinished),
        ("bytes at the end", join(&[1, 2, 3]) + "{\"number\":4", None, 4, Tampering::Unfinished),
        ("cut off behind the second", join(&[1, 2]), third, 3, Tampering::Missing),
        ("cut off before the last", join(&[1, 2, 3, 4]), last, 5, Tampering::Missing),
        ("emptied", String::new(), last, 1, Tampering::Missing),
        ("written anew", foreign.concat(), last, 6, Tampering::Missing),
    ];
    for (what, bytes, head, number, tampering) in ways {
        let fault = log.fault_of(bytes, head);
        assert_eq!((fault.number, &fault.what), (number, &tampering), "{what}: {fault}");
        assert!(fault.to_string().contains(&format!("copy.log: record {number}: ")), "{what}: {fault}");
    }
    // As far as the head reaches, and no further: what came after the third can be cut off unseen.
    let copy = log.folder.path().join("copy.log");
    std::fs::write(&copy, join(&[1, 2, 3])).unwrap();
    assert_eq!(verify(&copy, third).unwrap().proven_to, Some(3));
}

#[test]
fn a_tampered_log_is_not_opened_and_not_touched() {
    let log = Log::of(3);
    let mut bytes = log.bytes();
    bytes[10] ^= 1;
    std::fs::write(log.path(), &bytes).unwrap();
    assert!(matches!(AuditLog::open(&log.path(), now()), Err(AuditError::Fault(AuditFault { number: 1, .. }))));
    assert_eq!(log.bytes(), bytes);
}

#[test]
fn a_line_torn_by_a_power_cut_is_put_aside_and_recorded() {
    let whole = Log::of(3);
    let third = whole.lines()[2].clone();
    // From the first byte of the line to the last one before its end; some file systems leave zeros.
    let tears = [1, 17, third.len() / 2, third.len() - 1].map(|at| third.as_bytes()[..at].to_vec());
    for torn in tears.into_iter().chain([vec![0; 100]]) {
        let log = Log::of(2);
        OpenOptions::new().append(true).open(log.path()).unwrap().write_all(&torn).unwrap();
        let mut opened = AuditLog::open(&log.path(), now()).unwrap();
        opened.append(now(), &entry(9)).unwrap();
        drop(opened);
        let records = read_records(&log.path()).unwrap();
        assert_eq!(records.len(), 4);
        assert_eq!(records[2].act, "log-recover");
        assert_eq!(records[2].details["bytes"], torn.len().to_string());
        assert_eq!(records[2].details["sha256"], Digest::of(&torn).to_string());
        assert_eq!(std::fs::read(Path::new(&records[2].details["file"])).unwrap(), torn);
    }
}

#[test]
fn only_one_process_writes() {
    let log = Log::of(1);
    let _first = AuditLog::open(&log.path(), now()).unwrap();
    let error = AuditLog::open(&log.path(), now()).unwrap_err();
    assert!(matches!(&error, AuditError::InUse(_)), "{error}");
    assert!(error.to_string().contains("only one probe"), "{error}");
    verify(&log.path(), None).unwrap();
}

#[test]
fn a_log_that_is_not_there_is_named() {
    let error = verify(Path::new("/nowhere/audit.log"), None).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/audit.log: ") && error.contains("check its owner"), "{error}");
}
