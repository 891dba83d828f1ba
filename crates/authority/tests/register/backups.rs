//! A backup: made while things go on, tampered with, restored, and believed only when it is shown to have forgotten nothing.

use crate::probe::{Probe, START, STOP, actor, at, before, hours, identity, refused};
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};
use uuid::Uuid;
use writ_authority::{
    AUDIT_LOG, BackupDraft, BackupError, CHECKPOINTS, DOCUMENTS, Digest, Head, LEDGER, Original, POLICY, Phase,
    ProbeIdentity, Saved, Unpacked,
};

impl Probe {
    fn backup(&mut self) -> PathBuf {
        self.office.path().join("probe.backup")
    }

    /// Makes a backup. `meanwhile` happens between its first part and its record.
    fn back_up(&mut self, meanwhile: impl FnOnce(&mut Self)) -> Saved {
        let file = self.backup();
        drop(fs::remove_file(&file));
        let draft = BackupDraft::begin(&self.folder(), &identity(), &file).unwrap();
        meanwhile(self);
        let entry = BackupDraft::entry(draft.manifest(), actor());
        self.register().record(&entry, before()).unwrap();
        let head = self.register().head();
        draft.finish(head).unwrap()
    }

    /// The machine is gone: its successor has what is in the backup.
    fn restore(&mut self, now: Timestamp) -> Result<Head, BackupError> {
        self.register = None;
        let gone = self.office.path().join("gone");
        drop(fs::remove_dir_all(&gone));
        fs::rename(self.folder(), gone).unwrap();
        let unpacked = Unpacked::open(&self.backup(), &self.folder(), &identity())?;
        let head = unpacked.head();
        unpacked.put_in_place(actor(), now)?;
        self.open(now);
        Ok(head)
    }
}

#[test]
fn what_comes_out_of_a_backup_is_held_until_it_is_shown_to_be_the_last_there_was() {
    let mut probe = Probe::new();
    for name in [CHECKPOINTS, LEDGER] {
        fs::write(probe.folder().join(name), name).unwrap();
    }
    let first = probe.warrant(1);
    let first = probe.submit(&first, &[0, 1], before()).unwrap();
    let ended = probe.warrant(2).replace("192.0.2.7", "192.0.2.12");
    let ended = probe.submit(&ended, &[0, 1], before()).unwrap();
    probe.revoke(ended, "revoked", &[0], before()).unwrap();
    probe.register().notify(ended, "Ada", "revocation", "It has ended.", before()).unwrap();
    let mut late = None;
    // A warrant that comes while the backup is made is in it.
    let saved = probe.back_up(|probe| {
        let text = probe.warrant(3).replace("192.0.2.7", "192.0.2.13");
        late = Some(probe.submit(&text, &[0, 1], before()).unwrap());
    });
    assert_eq!(saved.missing, 0);
    let head = probe.register().head();
    assert_eq!(saved.head, head);

    assert_eq!(probe.restore(before()).unwrap(), head);
    assert_eq!(probe.findings, []);
    let place = |name: &str| probe.office.path().join("state").join(name);
    assert!([CHECKPOINTS, LEDGER].iter().all(|name| fs::read_to_string(place(name)).unwrap() == *name));
    assert_eq!(fs::read_dir(place("notices")).unwrap().count(), 1);
    assert!(!place("probe.key").exists() && fs::read_dir(place("keys")).unwrap().count() == 0, "no key is in a backup");
    assert_eq!(probe.phase(ended, before()), Phase::Revoked);
    for _ in 0..2 {
        assert_eq!(probe.phase(first, before()), Phase::Held);
        assert!(probe.in_force(at(START)).is_empty());
        let wrong = Head { hash: Digest::of(b"?"), ..head };
        let wrong = refused(probe.register().release(wrong, "a head", actor(), before()));
        assert!(wrong.contains(&format!("which is a record {}", head.number)), "{wrong}");
        assert!(!wrong.contains(&head.hash.to_string()), "the answer is not in the refusal: {wrong}");
        probe.open(before());
    }
    probe.register().release(head, "a head", actor(), before()).unwrap();
    for _ in 0..2 {
        assert_eq!(probe.in_force(at(START)), [first, late.unwrap()]);
        assert!(probe.register().held().is_none());
        assert!(refused(probe.register().release(head, "a head", actor(), before())).contains("nothing is held"));
        probe.open(before());
    }
}

#[test]
fn without_that_each_case_needs_its_quorum_and_papers_of_before_do_not_count() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    let unused = probe.warrant(2).replace("192.0.2.7", "192.0.2.12");
    probe.back_up(|_| {});
    probe.revoke(uuid, "revoked", &[0], before()).unwrap();
    let last = probe.register().head();
    probe.restore(before()).unwrap();
    assert!(refused(probe.register().release(last, "a head", actor(), before())).contains("approve anew"));
    assert!(refused(probe.submit(&unused, &[0, 1], before())).contains("drafted before record"));
    // One officer narrows nothing that is held; the quorum puts it in force again.
    let narrower = probe.revision(&text, 2, STOP, "2026-12-10T14:00:00Z", "26-mc-0117");
    assert!(refused(probe.submit(&narrower, &[0], before())).contains("the probe is held"));
    assert!(probe.in_force(at(START)).is_empty());
    probe.submit(&narrower, &[0, 1], before()).unwrap();
    assert_eq!(probe.in_force(at(START)), [uuid]);
    // What is new needs officers who know of it.
    let new = probe.warrant(3).replace("192.0.2.7", "192.0.2.13");
    assert!(refused(probe.submit(&new, &[0, 1], before())).contains("the probe is held"));
    let roster = probe.roster(2, &[0, 1, 2]);
    let handed = probe.handed(&roster, POLICY, &[0, 1]);
    probe.register().install_roster(handed, actor(), before()).unwrap();
    probe.submit(&new, &[0, 1], before()).unwrap();
    probe.open(before());
    assert_eq!(probe.in_force(at(START)).len(), 2);
}

#[test]
fn a_hold_that_was_there_before_the_backup_outlives_its_release() {
    let mut probe = Probe::new();
    let text = probe.warrant(1);
    probe.submit(&text, &[0, 1], before()).unwrap();
    let hash = probe.register().head().hash.to_string();
    let future = probe.warrant(2).replace("192.0.2.7", "192.0.2.12").replace(&hash, &Digest::of(b"?").to_string());
    refused(probe.submit(&future, &[0], before()));
    let head = probe.back_up(|_| {}).head;
    probe.restore(before()).unwrap();
    probe.register().release(head, "a head", actor(), before()).unwrap();
    assert!(probe.in_force(at(START)).is_empty() && probe.register().held().is_some());
}

#[test]
fn a_document_that_was_missing_is_no_reason_against_a_backup() {
    let mut probe = Probe::new();
    let texts = [1, 2].map(|n| probe.warrant(n).replace("192.0.2.7", &format!("192.0.2.{}", 10 + n)));
    let [damaged, sound] = [0, 1].map(|i| probe.submit(&texts[i], &[0, 1], before()).unwrap());
    fs::remove_file(probe.folder().join(DOCUMENTS).join(Digest::of(texts[0].as_bytes()).to_string())).unwrap();
    let saved = probe.back_up(|_| {});
    assert_eq!(saved.missing, 1);
    probe.restore(before()).unwrap();
    probe.register().release(saved.head, "a head", actor(), before()).unwrap();
    assert_eq!(probe.phase(damaged, before()), Phase::Damaged);
    assert_eq!(probe.in_force(at(START)), [sound]);
}

#[test]
fn a_sealed_order_is_attached_again_from_its_original() {
    let mut probe = Probe::new();
    let order = Original::new("o.pdf", "scanned order");
    let text = probe.warrant(1);
    let line = text.lines().find(|line| line.starts_with("sha256 = ")).unwrap().to_owned();
    let text = text.replace(&line, &format!("sha256 = \"{}\"", order.digest()));
    let uuid = probe.submit(&text, &[0, 1], before()).unwrap();
    probe.register().attach(uuid, &order, actor(), before()).unwrap();
    probe.back_up(|_| {});
    probe.restore(before()).unwrap();
    assert!(probe.register().order(uuid, order.digest()).is_err(), "its key is in no backup");
    probe.register().attach(uuid, &order, actor(), before()).unwrap();
    assert_eq!(probe.register().order(uuid, order.digest()).unwrap(), order.bytes);
}

/// All files below a folder, with their bytes; the log without the record of its restoration.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(contents(&entry.path()));
        } else {
            let mut bytes = fs::read(entry.path()).unwrap();
            if entry.file_name() == AUDIT_LOG {
                let text = String::from_utf8(bytes).unwrap();
                let last = text[..text.len() - 1].rfind('\n').unwrap();
                bytes = text[..last].into();
            }
            files.insert(entry.path(), bytes);
        }
    }
    files
}

/// Restores other bytes than were backed up; gives why not, if they differ from what the backup was.
fn restore_bytes(probe: &mut Probe, bytes: &[u8], good: &BTreeMap<PathBuf, Vec<u8>>) -> Option<String> {
    fs::write(probe.backup(), bytes).unwrap();
    drop(fs::remove_dir_all(probe.folder()));
    let done = Unpacked::open(&probe.backup(), &probe.folder(), &identity())
        .and_then(|unpacked| unpacked.put_in_place(actor(), before()));
    match done {
        Ok(()) => {
            assert!(&contents(&probe.folder()) == good, "what is restored is not what was backed up");
            None
        }
        Err(error) => {
            let left = fs::read_dir(probe.folder()).map_or(0, Iterator::count);
            assert_eq!(left, 0, "nothing is left of what is refused");
            Some(error.to_string())
        }
    }
}

/// A probe that is in a backup, the backup's bytes, and what comes out of it.
fn backed_up() -> (Probe, Vec<u8>, BTreeMap<PathBuf, Vec<u8>>) {
    let mut probe = Probe::new();
    fs::write(probe.folder().join(LEDGER), "numbers").unwrap();
    let text = probe.warrant(1);
    probe.submit(&text, &[0, 1], before()).unwrap();
    probe.back_up(|_| {});
    let bytes = fs::read(probe.backup()).unwrap();
    probe.register = None;
    fs::remove_dir_all(probe.folder()).unwrap();
    Unpacked::open(&probe.backup(), &probe.folder(), &identity()).unwrap().put_in_place(actor(), before()).unwrap();
    let good = contents(&probe.folder());
    (probe, bytes, good)
}

#[test]
fn every_byte_of_a_backup_counts() {
    let (mut probe, bytes, good) = backed_up();
    let mut found = 0;
    for place in (0..bytes.len()).step_by(97) {
        let mut altered = bytes.clone();
        altered[place] ^= 0x10;
        found += usize::from(restore_bytes(&mut probe, &altered, &good).is_some());
    }
    assert!(found > bytes.len() / 97 / 3, "{found}: the rest is what fills a tar file up");
    for length in (0..bytes.len()).step_by(397) {
        // Only the zeros at the end can be missing.
        if restore_bytes(&mut probe, &bytes[..length], &good).is_none() {
            assert!(bytes[length..].iter().all(|byte| *byte == 0), "{length}");
        }
    }
    assert_eq!(restore_bytes(&mut probe, &bytes, &good), None);
}

#[test]
fn what_does_not_belong_in_a_backup_is_refused() {
    let (mut probe, bytes, good) = backed_up();
    let with = |path: &str, kind: EntryType| {
        let mut builder = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(if kind == EntryType::Regular { 1 } else { 0 });
        if kind != EntryType::Regular {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, &b"x"[..usize::from(kind == EntryType::Regular)]).unwrap();
        let mut archive = builder.into_inner().unwrap();
        // Without the end that the builder wrote, the backup follows.
        archive.truncate(archive.len() - 1024);
        [archive, bytes.clone()].concat()
    };
    let other = format!("{DOCUMENTS}/{}", Digest::of(b"x"));
    let misnamed = format!("{DOCUMENTS}/{}", Digest::of(b"y"));
    for (path, kind, said) in [
        ("../evil", EntryType::Regular, "which is no file of a backup"),
        ("/etc/evil", EntryType::Regular, "which is no file of a backup"),
        ("notices/../../evil.txt", EntryType::Regular, "which is no file of a backup"),
        ("probe.key", EntryType::Regular, "which is no file of a backup"),
        ("mark", EntryType::Regular, "which is no file of a backup"),
        (LEDGER, EntryType::Symlink, "which is no file of a backup"),
        (AUDIT_LOG, EntryType::Link, "which is no file of a backup"),
        (LEDGER, EntryType::Char, "which is no file of a backup"),
        (LEDGER, EntryType::Regular, "in it twice"),
        (CHECKPOINTS, EntryType::Regular, "missing, added or altered"),
        ("notices/000001-closing.txt", EntryType::Regular, "missing, added or altered"),
        (&other, EntryType::Regular, "the log does not name the document"),
        (&misnamed, EntryType::Regular, "its bytes are not those of its name"),
    ] {
        let said_of_it = restore_bytes(&mut probe, &with(path, kind), &good).expect(path);
        assert!(said_of_it.contains(said), "{path}: {said_of_it}");
    }
    assert!(!probe.office.path().join("evil").exists());

    fs::write(probe.backup(), &bytes).unwrap();
    drop(fs::remove_dir_all(probe.folder()));
    let refused = |identity: &ProbeIdentity, folder: &Path, file: &Path| {
        Unpacked::open(file, folder, identity).map(|_| ()).unwrap_err().to_string()
    };
    let other = ProbeIdentity { probe: "pop4-probe1".to_owned(), ..identity() };
    let (file, folder) = (probe.backup(), probe.folder());
    assert!(refused(&other, &folder, &file).contains("is a backup of probe \"pop3-probe1\""));
    fs::write(folder.join("something"), "").unwrap();
    assert!(refused(&identity(), &folder, &file).contains("is not empty"));
    assert!(matches!(BackupDraft::begin(&folder, &identity(), &file).map(|_| ()), Err(BackupError::Exists(_))));
}

/// What happens in the life of a probe.
#[derive(Clone, Debug)]
enum Step {
    Submit(u8, BTreeSet<usize>),
    Approve(u8, BTreeSet<usize>),
    Revoke(u8),
    Expire,
    Wait(i64),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let which = || 1u8..4;
    let signers = || prop::collection::btree_set(0usize..3, 1..3);
    let step = prop_oneof![
        4 => (which(), signers()).prop_map(|(which, signers)| Step::Submit(which, signers)),
        2 => (which(), signers()).prop_map(|(which, signers)| Step::Approve(which, signers)),
        2 => which().prop_map(Step::Revoke),
        1 => Just(Step::Expire),
        1 => (1i64..400).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..most)
}

/// Whatever head somebody names.
#[derive(Clone, Copy, Debug)]
enum Named {
    /// The last that there was.
    Last,
    /// One that there was before, so many records ago.
    Earlier(u64),
    /// One that there never was.
    Invented,
}

/// A plain model: who signed each paper, and what has ended.
#[derive(Default)]
struct Model {
    papers: BTreeMap<u8, String>,
    signers: BTreeMap<Uuid, BTreeSet<usize>>,
    ended: BTreeSet<Uuid>,
}

impl Model {
    fn live(&mut self, probe: &mut Probe, steps: &[Step], now: &mut Timestamp) {
        for step in steps {
            match step {
                Step::Submit(which, signers) | Step::Approve(which, signers) => {
                    let is_new = !self.papers.contains_key(which);
                    let text = match self.papers.get(which) {
                        Some(text) => text.clone(),
                        None => probe.warrant(*which).replace("192.0.2.7", &format!("192.0.2.{}", 10 + which)),
                    };
                    let who: Vec<_> = signers.iter().copied().collect();
                    let uuid = uuid_of(&text);
                    let done = if matches!(step, Step::Submit(..)) {
                        probe.submit(&text, &who, *now).is_ok()
                    } else {
                        !is_new && probe.approve(uuid, &text, &who, *now).is_ok()
                    };
                    if done {
                        self.papers.insert(*which, text);
                        self.signers.entry(uuid).or_default().extend(signers);
                    }
                }
                Step::Revoke(which) => {
                    let Some(uuid) = self.papers.get(which).map(|text| uuid_of(text)) else { continue };
                    if probe.revoke(uuid, "revoked", &[0], *now).is_ok() {
                        self.ended.insert(uuid);
                    }
                }
                Step::Expire => self.ended.extend(probe.register().expire(*now).unwrap()),
                Step::Wait(some) => *now = now.checked_add(hours(*some)).unwrap(),
            }
        }
    }

    fn in_force(&self, now: Timestamp) -> BTreeSet<Uuid> {
        let quorum = self.signers.iter().filter(|(_, signers)| signers.len() >= 2).map(|(uuid, _)| *uuid);
        quorum.filter(|uuid| now < at(STOP) && !self.ended.contains(uuid)).collect()
    }
}

fn uuid_of(text: &str) -> Uuid {
    text.lines().next().unwrap().trim_start_matches("uuid = ").trim_matches('"').parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened before a backup, after it, and when it is restored: nothing that had ended is in force again, and
    /// nothing is in force unless the backup is shown to have forgotten nothing, or its quorum says so anew.
    #[test]
    fn no_backup_brings_back_what_ended(before_it in steps(7), after_it in steps(4), waits in 0i64..100, named in prop_oneof![
        2 => Just(Named::Last), 1 => (1u64..4).prop_map(Named::Earlier), 1 => Just(Named::Invented)
    ]) {
        let (mut probe, mut model, mut now) = (Probe::new(), Model::default(), before());
        model.live(&mut probe, &before_it, &mut now);
        let saved = probe.back_up(|_| {});
        model.live(&mut probe, &after_it, &mut now);
        prop_assert_eq!(probe.in_force(now).into_iter().collect::<BTreeSet<_>>(), model.in_force(now));
        let last = probe.register().head();
        now = now.checked_add(hours(waits)).unwrap();
        let is_last = saved.head == last;
        probe.restore(now).unwrap();
        prop_assert_eq!(&probe.findings, &[]);
        prop_assert!(probe.in_force(now).is_empty());

        let head = match named {
            Named::Last => last,
            Named::Earlier(ago) => {
                let number = saved.head.number.saturating_sub(ago).max(1);
                Head { number, hash: writ_authority::hash_of_record(&probe.log(), number).unwrap().unwrap() }
            }
            Named::Invented => Head { number: saved.head.number, hash: Digest::of(b"invented") },
        };
        let released = probe.register().release(head, "a head", actor(), now).is_ok();
        prop_assert_eq!(released, is_last && matches!(named, Named::Last));
        for _ in 0..2 {
            let in_force: BTreeSet<_> = probe.in_force(now).into_iter().collect();
            prop_assert!(in_force.is_disjoint(&model.ended));
            prop_assert_eq!(in_force, if released { model.in_force(now) } else { BTreeSet::new() });
            probe.open(now);
        }
        // The papers of before are worth nothing while nobody knows what was forgotten.
        for text in model.papers.clone().into_values() {
            drop(probe.submit(&text, &[0, 1], now));
            drop(probe.approve(uuid_of(&text), &text, &[0, 1], now));
        }
        prop_assert!(released || probe.in_force(now).is_empty());
        prop_assert!(probe.in_force(now).iter().all(|uuid| !model.ended.contains(uuid)));
        // The quorum's new word is worth as much as ever, of what is held, and of that alone.
        let held: Vec<_> = probe.register().cases().filter(|case| case.is_held() && case.latest().is_some()).map(writ_authority::Case::uuid).collect();
        if let Some(uuid) = held.first().filter(|_| now < at("2026-12-09T00:00:00Z")) {
            let text = String::from_utf8(probe.last(&format!("uuid = \"{uuid}\""))).unwrap();
            let anew = probe.revision(&text, 2, STOP, "2026-12-10T14:00:00Z", "26-mc-0117");
            probe.submit(&anew, &[0, 1], now).unwrap();
            prop_assert_eq!(probe.in_force(now), vec![*uuid]);
        }
    }
}
