//! Warrants on the disk: kept as they were signed, never used twice, and one damaged file is no harm to the others.

use crate::officers::{Key, Office, WARRANT, approvals, approve, probe, roster, roster_text};
use jiff::Timestamp;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use writ_authority::{ApprovedWarrant, Damaged, Ending, POLICY, Phase, RosterStore, StoreError, Warrant, WarrantStore};

struct Probe {
    _office: Office,
    officers: [Key; 2],
    rosters: RosterStore,
    folder: PathBuf,
}

impl Probe {
    fn new() -> Self {
        let office = Office::open();
        let officers = [office.key("ada"), office.key("ben")];
        let text = roster_text(1, 2, &[("Ada", &[&officers[0]]), ("Ben", &[&officers[1]])]);
        let mut rosters = RosterStore::open(&office.path("roster")).unwrap();
        let signatures = officers.iter().map(|key| key.sign(POLICY, text.as_bytes())).collect();
        rosters.install(roster(&text), signatures).unwrap();
        let folder = office.path("warrants");
        Self { _office: office, officers, rosters, folder }
    }

    fn try_open(&self) -> Result<(WarrantStore, Vec<Damaged>), StoreError> {
        WarrantStore::open(&self.folder, &self.rosters, &probe())
    }

    fn open(&self) -> WarrantStore {
        let (store, damaged) = self.try_open().unwrap();
        assert_eq!(damaged, []);
        store
    }

    fn approved(&self, text: &str) -> ApprovedWarrant {
        let warrant = Warrant::parse(text.as_bytes(), Path::new("w.toml")).unwrap();
        let signatures = approvals(text, &[&self.officers[0], &self.officers[1]]);
        approve(warrant, signatures, self.rosters.current().unwrap(), &probe()).unwrap()
    }

    fn file(&self, text: &str) -> PathBuf {
        self.folder.join(format!("{}.json", self.approved(text).warrant().uuid()))
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn before() -> Timestamp {
    at("2026-11-19T18:00:00Z")
}

fn other() -> String {
    WARRANT.replace("1f0c6a52", "2f0c6a52").replace("192.0.2.7", "192.0.2.9")
}

#[test]
fn what_was_submitted_is_there_after_a_restart_byte_for_byte() {
    let probe = Probe::new();
    let approved = probe.approved(WARRANT);
    probe.open().submit(approved.clone(), before()).unwrap();
    let store = probe.open();
    let stored = store.get(approved.warrant().uuid()).unwrap();
    assert_eq!(stored.warrant().bytes(), WARRANT.as_bytes());
    assert_eq!(stored.approved().approval(), approved.approval());
    assert_eq!(stored.submitted(), before());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&probe.folder), mode(&probe.file(WARRANT))), (0o700, 0o600));
    // A folder that others can look into is refused.
    std::fs::set_permissions(&probe.folder, PermissionsExt::from_mode(0o755)).unwrap();
    let error = probe.try_open().unwrap_err().to_string();
    assert!(error.contains("chmod 700"), "{error}");
}

#[test]
fn a_warrant_goes_through_its_phases_and_ends_for_good() {
    let probe = Probe::new();
    let mut store = probe.open();
    let uuid = store.submit(probe.approved(WARRANT), before()).unwrap().warrant().uuid();
    let phase = |store: &WarrantStore, time| store.get(uuid).unwrap().phase(at(time));
    assert_eq!(phase(&store, "2026-11-20T13:59:59.999999999Z"), Phase::Armed);
    assert_eq!(phase(&store, "2026-11-20T14:00:00Z"), Phase::Active);
    assert_eq!(phase(&store, "2026-12-20T14:00:00Z"), Phase::Expired);
    assert!(store.expire(at("2026-12-20T13:59:59Z")).unwrap().is_empty());
    assert_eq!(store.in_force(at("2026-12-20T13:59:59Z")).len(), 1);
    assert_eq!(store.in_force(at("2026-12-20T14:00:00Z")).len(), 0);
    assert_eq!(store.expire(at("2026-12-20T14:00:00Z")).unwrap(), [uuid]);
    // The clock goes back, the warrant does not.
    let mut store = probe.open();
    assert_eq!(phase(&store, "2026-11-21T00:00:00Z"), Phase::Expired);
    assert!(store.in_force(before()).is_empty());
    let again = probe.approved(WARRANT);
    assert!(matches!(store.submit(again, before()), Err(StoreError::Ended(it)) if it == uuid));
}

#[test]
fn a_revoked_warrant_stays_revoked_and_the_others_stay_in_force() {
    let probe = Probe::new();
    let mut store = probe.open();
    let first = store.submit(probe.approved(WARRANT), before()).unwrap().warrant().uuid();
    let second = store.submit(probe.approved(&other()), before()).unwrap().warrant().uuid();
    store.revoke(first, "ada", "order withdrawn", before()).unwrap();
    let mut store = probe.open();
    let ending = Ending::Revoked { at: before(), by: "ada".to_owned(), reason: "order withdrawn".to_owned() };
    assert_eq!(store.get(first).unwrap().ending(), Some(&ending));
    let in_force: Vec<_> = store.in_force(before()).iter().map(|it| it.warrant().uuid()).collect();
    assert_eq!(in_force, [second]);
    assert!(matches!(store.revoke(first, "ada", "again", before()), Err(StoreError::Ended(_))));
    assert!(matches!(store.revoke(uuid::Uuid::max(), "ada", "?", before()), Err(StoreError::Unknown(_))));
    assert!(matches!(store.submit(probe.approved(WARRANT), before()), Err(StoreError::Ended(_))));
}

#[test]
fn a_known_uuid_and_a_closed_window_are_refused() {
    let probe = Probe::new();
    let mut store = probe.open();
    store.submit(probe.approved(WARRANT), before()).unwrap();
    let error = store.submit(probe.approved(WARRANT), before()).unwrap_err();
    assert!(matches!(error, StoreError::Known { known: 1, .. }), "{error}");
    let late = store.submit(probe.approved(&other()), at("2026-12-20T14:00:00Z")).unwrap_err();
    assert!(late.to_string().starts_with("window.stop: was at 2026-12-20T14:00:00Z"), "{late}");
    assert_eq!(store.iter().count(), 1);
}

#[test]
fn a_damaged_file_is_named_keeps_its_uuid_and_stops_no_other() {
    let probe = Probe::new();
    let mut store = probe.open();
    store.submit(probe.approved(WARRANT), before()).unwrap();
    let good = store.submit(probe.approved(&other()), before()).unwrap().warrant().uuid();
    let file = probe.file(WARRANT);
    let kept = std::fs::read_to_string(&file).unwrap();
    // Each way of damaging it, and what is said of it.
    let ways: [(&str, String, &str); 6] = [
        ("empty", String::new(), "EOF"),
        ("cut short", kept[..kept.len() / 2].to_owned(), "EOF"),
        ("another target", kept.replace("192.0.2.7", "192.0.2.8"), "does not fit the document"),
        ("a signature less", kept.replace(&signature(&kept, 1), &signature(&kept, 0)), "only Ada signed"),
        ("another roster", kept.replace("\"roster_version\": 1", "\"roster_version\": 2"), "version 2 of the roster"),
        ("another warrant's name", std::fs::read_to_string(probe.file(&other())).unwrap(), "not its warrant's uuid"),
    ];
    for (what, content, says) in ways {
        std::fs::write(&file, content).unwrap();
        let (mut store, damaged) = probe.try_open().unwrap();
        assert_eq!(damaged.len(), 1, "{what}");
        let message = damaged[0].to_string();
        assert!(message.starts_with(&file.display().to_string()) && message.contains(says), "{what}: {message}");
        assert!(message.contains("restore the file from a backup"), "{what}: {message}");
        assert_eq!(store.in_force(before()).iter().map(|it| it.warrant().uuid()).collect::<Vec<_>>(), [good], "{what}");
        assert!(matches!(store.submit(probe.approved(WARRANT), before()), Err(StoreError::Damaged(_))), "{what}");
    }
    // What a power cut leaves of a write that was never confirmed is no damage.
    std::fs::write(&file, kept).unwrap();
    std::fs::write(file.with_extension("new"), "{\"subm").unwrap();
    assert_eq!(probe.open().iter().count(), 2);
}

/// The text of a signature inside a kept file.
fn signature(kept: &str, which: usize) -> String {
    kept.split('"').filter(|piece| piece.starts_with("-----BEGIN SSH SIGNATURE")).nth(which).unwrap().to_owned()
}
