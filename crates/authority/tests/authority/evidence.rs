//! Witnesses: whatever is done to the log, it is found as far as somebody outside has seen it, and it is said how far
//! that is.

use crate::chain::rechained;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;
use writ_authority::{
    Act, Actor, AuditLog, CheckpointFault, CheckpointKey, CheckpointPublicKey, Checkpoints, Digest, Entry, Evidence,
    EvidenceFault, Findings, Outcome, ProbeIdentity, Record, Source, hash_of_record, read_records,
};

const RECORDS: u64 = 20;
/// The records at which checkpoints were made; what is behind the last one nobody has seen.
const SEEN: [u64; 5] = [1, 4, 5, 10, 16];
const LAST_SEEN: u64 = SEEN[SEEN.len() - 1];

fn start() -> Timestamp {
    "2026-11-20T14:00:00Z".parse().unwrap()
}

fn at(number: u64) -> Timestamp {
    start() + SignedDuration::from_secs(60 * number as i64)
}

fn entry(number: u64, word: &str) -> Entry {
    Entry {
        act: Act::WarrantSubmit,
        outcome: Outcome::Done,
        actor: Actor { who: "ada".to_owned(), uid: 1000, pid: 4711 },
        subject: None,
        details: BTreeMap::from([("note".to_owned(), format!("{word} {number}"))]),
    }
}

/// A log, and the file of a witness that saw some of it.
struct Scene {
    folder: TempDir,
    key: CheckpointPublicKey,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = CheckpointKey::open(&path("probe.key"), "probe1").unwrap();
        let public = key.public();
        let identity = ProbeIdentity { operator: "ExampleNet".to_owned(), probe: "probe1".to_owned() };
        let mut checkpoints = Checkpoints::open(&path("checkpoints.jsonl"), key, identity).unwrap();
        let mut log = AuditLog::open(&path("audit.jsonl"), start()).unwrap();
        for number in 1..=RECORDS {
            let head = log.append(at(number), &entry(number, "record")).unwrap();
            if SEEN.contains(&number) {
                let first = hash_of_record(&path("audit.jsonl"), 1).unwrap().unwrap();
                checkpoints.make(first, head, at(number)).unwrap();
            }
        }
        Self { key: public, folder }
    }

    /// One for all: nobody changes it.
    fn shared() -> &'static Self {
        static SCENE: OnceLock<Scene> = OnceLock::new();
        SCENE.get_or_init(Self::new)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::new();
        evidence.add_checkpoints(&self.path("checkpoints.jsonl"), std::slice::from_ref(&self.key)).unwrap();
        evidence
    }

    fn log(&self) -> Vec<u8> {
        std::fs::read(self.path("audit.jsonl")).unwrap()
    }

    fn records(&self) -> Vec<Record> {
        read_records(&self.path("audit.jsonl")).unwrap()
    }

    /// Where a record ends in the log.
    fn end_of(&self, record: u64) -> usize {
        self.log().split_inclusive(|byte| *byte == b'\n').take(record as usize).map(<[u8]>::len).sum()
    }
}

/// Holds a tampered log against the evidence.
fn hold(evidence: &Evidence, copy: &Path, log: &[u8]) -> Findings {
    std::fs::write(copy, log).unwrap();
    evidence.hold_against(copy).unwrap()
}

#[test]
fn a_log_that_nobody_touched_is_proved_up_to_the_last_checkpoint() {
    let scene = Scene::shared();
    let findings = scene.evidence().hold_against(&scene.path("audit.jsonl")).unwrap();
    assert_eq!((&findings.faults[..], &findings.gaps[..], findings.heads), (&[][..], &[][..], SEEN.len()));
    assert_eq!((findings.head.number, findings.last), (RECORDS, Some(at(RECORDS))));
    let reach = findings.reach.unwrap();
    assert_eq!((reach.record, reach.time), (LAST_SEEN, at(LAST_SEEN)));
    assert!(matches!(reach.by, Source::Checkpoint { line: 5, time, .. } if time == at(LAST_SEEN)), "{:?}", reach.by);
    assert_eq!(rechained(&scene.records()), scene.log(), "the tampering tests write what the log would");
    let nobody = Evidence::new().hold_against(&scene.path("audit.jsonl")).unwrap();
    assert_eq!((nobody.is_good(), nobody.reach), (true, None));
}

#[test]
fn every_byte_that_is_changed_or_cut_off_is_found() {
    let scene = Scene::shared();
    let (evidence, log) = (scene.evidence(), scene.log());
    let copy = scene.path("bytes.jsonl");
    let seen = scene.end_of(LAST_SEEN);
    for place in 0..log.len() {
        let mut changed = log.clone();
        changed[place] ^= 1 << (place % 8);
        assert!(!hold(&evidence, &copy, &changed).is_good(), "byte {place} changed");
    }
    for length in 0..seen {
        assert!(!hold(&evidence, &copy, &log[..length]).is_good(), "cut off at {length}");
    }
    // What nobody outside has seen can be cut off whole; then the proof says that it reaches no further.
    for record in LAST_SEEN..=RECORDS {
        let findings = hold(&evidence, &copy, &log[..scene.end_of(record)]);
        assert_eq!((findings.is_good(), findings.reach.unwrap().record), (true, LAST_SEEN), "cut off at {record}");
    }
}

#[test]
fn records_that_are_put_elsewhere_are_found_although_the_chain_is_reckoned_anew() {
    let scene = Scene::shared();
    let (evidence, records) = (scene.evidence(), scene.records());
    let copy = scene.path("records.jsonl");
    let mut tampered: Vec<(String, u64, Vec<Record>)> = Vec::new();
    for at in 0..LAST_SEEN as usize {
        let first = at as u64 + 1;
        let mut removed = records.clone();
        removed.remove(at);
        tampered.push((format!("{first} removed"), first, removed));
        if first < LAST_SEEN {
            let mut doubled = records.clone();
            doubled.insert(at, records[at].clone());
            tampered.push((format!("{first} doubled"), first + 1, doubled));
        }
        for field in ["time", "act", "outcome", "who", "pid", "details"] {
            let mut changed = records.clone();
            let record = &mut changed[at];
            match field {
                "time" => record.time += SignedDuration::from_nanos(1),
                "act" => record.act = "warrant-view".to_owned(),
                "outcome" => record.outcome = Outcome::Refused,
                "who" => record.actor.who.push('x'),
                "pid" => record.actor.pid += 1,
                _ => drop(record.details.insert("note".to_owned(), "another".to_owned())),
            }
            tampered.push((format!("{first}: {field}"), first, changed));
        }
        for other in at + 1..records.len() {
            let mut swapped = records.clone();
            swapped.swap(at, other);
            tampered.push((format!("{first} and {} swapped", other + 1), first, swapped));
        }
        let mut tail = records.clone();
        tail.iter_mut().skip(at).for_each(|record| record.actor.uid = 0);
        tampered.push((format!("all from {first}"), first, tail));
        // Longer than before: the end is beyond what was seen, and says nothing.
        let mut longer = records.clone();
        longer.truncate(at);
        longer.extend(records.iter().cloned().map(|record| Record { act: "replay".to_owned(), ..record }));
        tampered.push((format!("another log from {first}"), first, longer));
    }
    for (what, changed, records) in &tampered {
        let findings = hold(&evidence, &copy, &rechained(records));
        let first = findings.faults.iter().find_map(|fault| match fault {
            EvidenceFault::Exchanged { number, sound_to, .. } => Some((*sound_to, *number)),
            _ => None,
        });
        let (sound_to, number) = first.unwrap_or_else(|| panic!("{what}: {:?}", findings.faults));
        assert!(sound_to < *changed && *changed <= number, "{what}: between {sound_to} and {number}");
    }
    assert!(tampered.len() > 300, "{}", tampered.len());
}

#[test]
fn a_tampered_witness_is_found_too() {
    let scene = Scene::shared();
    let file = std::fs::read(scene.path("checkpoints.jsonl")).unwrap();
    let copy = scene.path("witness.jsonl");
    let keys = std::slice::from_ref(&scene.key);
    let judge = |bytes: &[u8], keys: &[CheckpointPublicKey]| {
        std::fs::write(&copy, bytes).unwrap();
        let mut evidence = Evidence::new();
        evidence.add_checkpoints(&copy, keys).unwrap();
        evidence.hold_against(&scene.path("audit.jsonl")).unwrap()
    };
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 1 << (place % 8);
        let findings = judge(&changed, keys);
        // The end of line behind the last one is no part of any.
        let text = String::from_utf8_lossy(&changed[..(place + 1).min(changed.len())]);
        assert!(!findings.is_good() || place + 1 == file.len(), "byte {place} changed: {text}");
    }
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    for missing in 0..lines.len() {
        let rest: Vec<&[u8]> =
            lines.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, line)| *line).collect();
        let findings = judge(&rest.concat(), keys);
        let shows = missing > 0 && missing + 1 < lines.len();
        assert_eq!((findings.is_good(), findings.gaps.len()), (true, usize::from(shows)), "line {missing} missing");
    }
    // A power cut at the witness, after which the line came again; and one after which it did not.
    for cut in 1..lines[2].len() - 1 {
        let torn = [lines[0], lines[1], &lines[2][..cut], b"\n", lines[2], lines[3]].concat();
        assert!(judge(&torn, keys).is_good(), "torn at {cut}");
        let torn = [lines[0], lines[1], &lines[2][..cut], b"\n", lines[3]].concat();
        let findings = judge(&torn, keys);
        // Where all lines begin alike, the next one passes for the same; then the gap shows.
        assert!(!findings.is_good() || findings.gaps.len() == 1, "torn at {cut}, and lost");
    }
    // Another's key, and none.
    let other = Scene::new();
    for keys in [std::slice::from_ref(&other.key), &[]] {
        let findings = judge(&file, keys);
        let unsigned =
            |fault: &EvidenceFault| matches!(fault, EvidenceFault::Checkpoint { what: CheckpointFault::Signature, .. });
        assert_eq!(findings.faults.iter().filter(|fault| unsigned(fault)).count(), SEEN.len());
        assert_eq!(findings.reach, None);
    }
    // A log of its own, signed anew with a key of its own: it fits itself, and neither the key nor the log fits ours.
    let both = [scene.key.clone(), other.key.clone()];
    assert!(judge(&std::fs::read(other.path("checkpoints.jsonl")).unwrap(), keys).reach.is_none());
    let findings = judge(&std::fs::read(other.path("checkpoints.jsonl")).unwrap(), &both);
    assert!(findings.is_good(), "the same acts at the same times are the same log");
}

#[test]
fn checkpoints_are_found_between_the_lines_of_a_syslog() {
    let scene = Scene::shared();
    let checkpoints = std::fs::read_to_string(scene.path("checkpoints.jsonl")).unwrap();
    let text: String = checkpoints
        .lines()
        .map(|line| {
            format!("Nov 20 14:00:01 probe1 sshd[77]: Accepted key\n2026-11-20T14:00:00Z probe1 writ 5 {line}\r\n")
        })
        .collect();
    let folder = scene.path("witness");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("messages"), text).unwrap();
    let mut evidence = Evidence::new();
    evidence.add_checkpoints(&folder, std::slice::from_ref(&scene.key)).unwrap();
    let findings = evidence.hold_against(&scene.path("audit.jsonl")).unwrap();
    assert_eq!((findings.faults, findings.heads, findings.gaps), (vec![], SEEN.len(), vec![]));
}

#[test]
fn heads_in_signed_documents_and_noted_by_hand_count_too() {
    let scene = Scene::shared();
    let hash = |number| hash_of_record(&scene.path("audit.jsonl"), number).unwrap().unwrap();
    let documents = scene.path("documents");
    std::fs::create_dir(&documents).unwrap();
    let seen = |record: u64, hash: Digest| format!("uuid = \"x\"\n[seen]\nrecord = {record}\nhash = \"{hash}\"\n");
    std::fs::write(documents.join("a"), seen(18, hash(18))).unwrap();
    std::fs::write(documents.join("b"), seen(0, Digest::ZERO)).unwrap();
    std::fs::write(documents.join("c"), "-----BEGIN SSH SIGNATURE-----").unwrap();
    let judged = |given: Digest| {
        let mut evidence = scene.evidence();
        evidence.add_documents(&documents).unwrap();
        evidence.add_head(given);
        evidence.hold_against(&scene.path("audit.jsonl")).unwrap()
    };
    let findings = judged(hash(17));
    assert_eq!((findings.is_good(), findings.heads), (true, SEEN.len() + 2));
    assert_eq!(findings.reach.map(|reach| (reach.record, reach.by)), Some((18, Source::Document(documents.join("a")))));
    let stranger = Digest::of(b"elsewhere");
    assert_eq!(judged(stranger).faults, [EvidenceFault::Nowhere(stranger)]);
    std::fs::write(documents.join("a"), seen(RECORDS + 3, hash(18))).unwrap();
    let by = Source::Document(documents.join("a"));
    assert_eq!(judged(hash(17)).faults, [EvidenceFault::CutOff { by, number: RECORDS + 3, last: RECORDS }]);
}

#[test]
fn checkpoints_go_on_after_a_restart_and_a_power_cut() {
    let scene = Scene::new();
    let path = scene.path("checkpoints.jsonl");
    let whole = std::fs::read(&path).unwrap();
    let identity = ProbeIdentity { operator: "ExampleNet".to_owned(), probe: "probe1".to_owned() };
    let open = || {
        let key = CheckpointKey::open(&scene.path("probe.key"), "probe1").unwrap();
        Checkpoints::open(&path, key, identity.clone()).unwrap()
    };
    std::fs::write(&path, [&whole[..], b"{\"format\":\"writ-check"].concat()).unwrap();
    let mut checkpoints = open();
    assert_eq!(checkpoints.public_key().to_string(), scene.key.to_string(), "the key is made once");
    assert_eq!((checkpoints.last().unwrap().number, checkpoints.end()), (LAST_SEEN, whole.len() as u64));
    let all = checkpoints.since(0, 100).unwrap();
    assert_eq!(all.iter().map(|kept| kept.number).collect::<Vec<_>>(), SEEN);
    let rest = checkpoints.since(all[1].end, 2).unwrap();
    assert_eq!(rest, all[2..4]);
    let log = hash_of_record(&scene.path("audit.jsonl"), 1).unwrap().unwrap();
    let head = AuditLog::open(&scene.path("audit.jsonl"), start()).unwrap().head();
    checkpoints.make(log, head, at(RECORDS)).unwrap();
    let findings = scene.evidence().hold_against(&scene.path("audit.jsonl")).unwrap();
    assert_eq!((findings.is_good(), findings.gaps.len(), findings.reach.unwrap().record), (true, 0, RECORDS));
}

#[test]
fn the_probes_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("probe.key");
    let key = CheckpointKey::open(&file, "probe1").unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let line = key.public().to_string();
    assert!(line.starts_with("ssh-ed25519 ") && line.ends_with(" writ probe probe1"), "{line}");
    assert_eq!(line.parse::<CheckpointPublicKey>().unwrap(), key.public());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = CheckpointKey::open(&file, "probe1").unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, "garbage").unwrap();
    assert!(CheckpointKey::open(&file, "probe1").unwrap_err().to_string().contains("restore the probe's key"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Several things at once, at random, each with or without a chain that is right again.
    #[test]
    fn random_tampering_is_found(
        steps in prop::collection::vec((0..5u8, 0..LAST_SEEN as usize, 0..RECORDS as usize, any::<u32>()), 1..4),
        number in 0..u32::MAX,
    ) {
        let scene = Scene::shared();
        let original = scene.records();
        let mut records = original.clone();
        for (kind, at, other, value) in steps {
            if records.is_empty() {
                break;
            }
            let (at, other) = (at % records.len(), other % records.len());
            match kind {
                0 => drop(records.remove(at)),
                1 => records.swap(at, other),
                2 => records.insert(at, Record { act: format!("act-{value}"), ..original[other].clone() }),
                3 => records[at].actor.pid ^= value,
                _ => records.truncate(at),
            }
        }
        let copy = scene.path(&format!("random-{number}.jsonl"));
        let tampered = rechained(&records);
        let same = tampered.get(..scene.end_of(LAST_SEEN)) == Some(&scene.log()[..scene.end_of(LAST_SEEN)]);
        let findings = hold(&scene.evidence(), &copy, &tampered);
        std::fs::remove_file(&copy).unwrap();
        prop_assert_eq!(findings.is_good(), same, "{:?}", findings.faults);
    }
}
