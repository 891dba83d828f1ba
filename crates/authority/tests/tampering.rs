//! Tampering with everything that is kept and everything that is handed in: the log, the documents, the keys of the
//! cases, the checkpoints, and signed papers. Each way of it is found when the register is opened, by the heads that a
//! witness has, when the thing is read, or by a refusal; or it is shown that all is as before.
//!
//! The table that the test prints says how many ways of which kind were tried and how they were found.

mod chain;
mod office;

use chain::rechained;
use jiff::{SignedDuration, Timestamp};
use office::{Office, Paper, actor, identity, minute, revocation};
use ssh_key::SshSig;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use uuid::Uuid;
use writ_authority::{
    AMEND, APPROVE, AUDIT_LOG, Activation, Authority, CERTIFY, Case, CheckpointKey, CheckpointPublicKey, Checkpoints,
    DOCUMENTS, Digest, Evidence, HandedIn, Namespace, Original, POLICY, REVOKE, Register, RegisterError,
    hash_of_record, read_records,
};

const CHECKPOINTS: &str = "checkpoints.jsonl";
const KEYS: &str = "keys";
/// At least so many ways are tried.
const WAYS: usize = 10_000;

/// The files of a state directory.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A state directory with cases in every state, and what others have who saw it grow.
struct Scene {
    folder: TempDir,
    office: Office,
    /// The state directory as it is, and as it was before each change.
    now: Files,
    before: Vec<Files>,
    key: CheckpointPublicKey,
    scans: Vec<(Uuid, Digest)>,
}

/// The state directory being filled.
struct Filling {
    office: Office,
    state: PathBuf,
    register: Register,
    checkpoints: Checkpoints,
    before: Vec<Files>,
}

impl Filling {
    fn now(&self) -> Timestamp {
        minute(self.register.head().number)
    }

    /// After each act: somebody outside gets to see the head, and what is on disk is noted.
    fn seen(&mut self) {
        let head = self.register.head();
        let first = hash_of_record(&self.state.join(AUDIT_LOG), 1).unwrap().unwrap();
        self.checkpoints.make(first, head, self.now()).unwrap();
        self.before.push(read(&self.state));
    }

    fn submit(&mut self, paper: &Paper, signers: &[usize]) {
        let text = paper.text(self.register.head());
        let handed = self.office.handed(&text, paper.namespace(), signers);
        let now = self.now();
        let proposal = self.register.submit(handed, actor(), now).unwrap();
        self.register.enact(&proposal, actor(), now).unwrap();
        self.seen();
    }

    fn next(&self, uuid: Uuid) -> Paper {
        Paper::after(self.register.case(uuid).unwrap().warrant().unwrap())
    }

    fn begin(&mut self, uuid: Uuid) {
        let (software, configuration) = ("writ".to_owned(), Digest::of(b"configuration"));
        let by = Activation { software, configuration, clock_doubt_ms: Some(1) };
        let now = self.now();
        self.register.armed(uuid, &by, Vec::new(), now).unwrap();
        self.register.begun(uuid, now, Vec::new(), now).unwrap();
        self.seen();
    }

    fn revoke(&mut self, uuid: Uuid) {
        let text = revocation(self.register.case(uuid).unwrap().warrant().unwrap(), "revoked", self.register.head());
        let handed = self.office.handed(&text, REVOKE, &[2]);
        let now = self.now();
        self.register.revoke(handed, actor(), now).unwrap().recorded.unwrap();
        self.seen();
    }

    fn install(&mut self, version: u32) {
        let handed = self.office.handed(&self.office.roster(version), POLICY, &[0, 1]);
        let now = self.now();
        self.register.install_roster(handed, actor(), now).unwrap();
        self.seen();
    }

    fn attach(&mut self, uuid: Uuid, number: u32) {
        let now = self.now();
        self.register.attach(uuid, &Original::new("order.pdf", scan(number)), actor(), now).unwrap();
        self.seen();
    }
}

fn scan(number: u32) -> Vec<u8> {
    format!("the scanned order {number}").into_bytes()
}

fn paper(number: u32, authority: Authority, hours: i64) -> Paper {
    Paper::first(number, authority, minute(0), SignedDuration::from_hours(hours), &scan(number))
}

/// A folder in memory, where there is one: what is tried ten thousand times need not wait for a disk.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// All files of a state directory. Copies of torn lines are none of its own.
fn read(state: &Path) -> Files {
    let mut files = Files::new();
    for folder in [state.to_owned(), state.join(DOCUMENTS), state.join(KEYS)] {
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                files.insert(file.strip_prefix(state).unwrap().to_owned(), fs::read(&file).unwrap());
            }
        }
    }
    files
}

impl Scene {
    fn new() -> Self {
        let folder = in_memory();
        let state = folder.path().join("state");
        let (register, _) = Register::open(&state, identity(), minute(0)).unwrap();
        let key = CheckpointKey::open(&folder.path().join("probe.key"), office::PROBE).unwrap();
        let public = key.public();
        let checkpoints = Checkpoints::open(&state.join(CHECKPOINTS), key, identity()).unwrap();
        let mut filling = Filling { office: Office::new(), state, register, checkpoints, before: Vec::new() };
        filling.install(1);
        let papers = [1, 2, 3, 5, 6].map(|number| paper(number, Authority::TitleIii, 400));
        let [running, _, closed, attached, revoked] = papers.clone().map(|paper| paper.uuid());
        filling.submit(&papers[0], &[0, 1]);
        filling.begin(running);
        filling.submit(&papers[1], &[0]);
        filling.submit(&papers[2], &[0, 1]);
        filling.begin(closed);
        filling.submit(&papers[3], &[1, 0]);
        filling.attach(attached, 5);
        filling.submit(&paper(4, Authority::Emergency2518, 40), &[2]);
        // Less, and then more again under another order.
        let mut narrower = filling.next(running);
        narrower.stop -= SignedDuration::from_hours(20);
        filling.submit(&narrower, &[0]);
        let mut longer = filling.next(running);
        (longer.docket, longer.stop) = (2, longer.stop + SignedDuration::from_hours(30));
        filling.submit(&longer, &[0, 1]);
        filling.install(2);
        let draft = filling.register.draft_certification(closed, "Ada", filling.now()).unwrap();
        let handed = filling.office.handed(&draft, CERTIFY, &[0]);
        let now = filling.now();
        filling.register.certify(handed, actor(), now).unwrap();
        filling.seen();
        filling.revoke(closed);
        let now = filling.now();
        filling.register.stopped(closed, now, [("matched".to_owned(), "7".to_owned())].into(), now).unwrap();
        filling.seen();
        filling.register.close(closed, Vec::new(), actor(), now).unwrap();
        filling.seen();
        filling.submit(&papers[4], &[0, 1]);
        filling.attach(revoked, 6);
        filling.revoke(revoked);
        let Filling { office, state, register, before, .. } = filling;
        drop(register);
        let scans = [(attached, 5), (revoked, 6)].map(|(uuid, number)| (uuid, Digest::of(&scan(number)))).to_vec();
        Self { now: read(&state), folder, office, before, key: public, scans }
    }

    /// What the witness has, where nobody at the probe gets at it.
    fn witness(&self) -> PathBuf {
        let witness = self.folder.path().join("witness.jsonl");
        fs::write(&witness, &self.now[Path::new(CHECKPOINTS)]).unwrap();
        witness
    }
}

/// How a way of tampering comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The register is not opened.
    Unopened,
    /// The register says what is damaged, or holds everything.
    Damage,
    /// The heads that a witness has are not those of the log, or the probe's own checkpoints are unsound.
    Verify,
    /// What is tampered with cannot be read.
    Read,
    /// It is refused.
    Refused,
    /// Everything is as before.
    Nothing,
}

/// One way: which files become what.
struct Way {
    kind: &'static str,
    of: &'static str,
    words: String,
    changes: Vec<(PathBuf, Option<Vec<u8>>)>,
}

/// A copy of the state directory that is tampered with.
struct Copy<'a> {
    scene: &'a Scene,
    folder: TempDir,
    witness: PathBuf,
    sound: (Vec<String>, Vec<Option<Vec<u8>>>),
}

fn summary(case: &Case) -> String {
    let revisions: Vec<_> =
        case.revisions().iter().map(|it| (it.warrant.warrant().digest(), it.provisional, it.approved)).collect();
    let waiting = case.waiting().map(|it| (it.warrant.digest(), it.signatures.len()));
    let ends = (case.ending(), case.begun(), case.stopped(), case.closed(), case.damage());
    format!("{} {revisions:?} {waiting:?} {ends:?} {:?} {:?}", case.uuid(), case.certified(), case.orders())
}

impl<'a> Copy<'a> {
    fn new(scene: &'a Scene, witness: PathBuf) -> Self {
        let folder = in_memory();
        let mut copy = Self { scene, folder, witness, sound: Default::default() };
        copy.restore();
        let register = copy.open().unwrap().0;
        copy.sound = copy.everything(&register);
        drop(register);
        let all: Vec<&Path> = scene.now.keys().map(PathBuf::as_path).collect();
        assert_eq!(copy.outcome(&all), Outcome::Nothing, "what nobody touched is sound");
        copy
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn open(&self) -> Result<(Register, bool), RegisterError> {
        let (register, findings) = Register::open(&self.state(), identity(), minute(1000))?;
        let is_damaged = !findings.is_empty() || register.held().is_some();
        Ok((register, is_damaged))
    }

    /// All that anybody could see, and all scans.
    fn everything(&self, register: &Register) -> (Vec<String>, Vec<Option<Vec<u8>>>) {
        let mut seen: Vec<_> = register.cases().map(summary).collect();
        let force = register.in_force(minute(100));
        seen.extend(force.iter().map(|it| format!("{} {} {:?}", it.uuid, it.warrant().digest(), it.window)));
        seen.push(format!("{:?} {:?}", register.head(), register.roster().map(|it| it.roster().version())));
        (seen, self.scene.scans.iter().map(|(uuid, scan)| register.order(*uuid, *scan).ok()).collect())
    }

    /// Puts everything back.
    fn restore(&self) {
        let state = self.state();
        for folder in [state.clone(), state.join(DOCUMENTS), state.join(KEYS)] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
            for entry in fs::read_dir(folder).unwrap() {
                let file = entry.unwrap().path();
                let is_known = self.scene.now.contains_key(file.strip_prefix(&state).unwrap());
                if file.is_file() && !is_known {
                    fs::remove_file(file).unwrap();
                }
            }
        }
        for (name, bytes) in &self.scene.now {
            let file = state.join(name);
            if fs::read(&file).ok().as_ref() != Some(bytes) {
                fs::write(&file, bytes).unwrap();
            }
        }
    }

    /// Whether the log is as these checkpoints have it, and none of them is missing.
    fn is_proved_by(&self, checkpoints: &Path) -> bool {
        let mut evidence = Evidence::new();
        if evidence.add_checkpoints(checkpoints, std::slice::from_ref(&self.scene.key)).is_err() {
            return false;
        }
        let findings = evidence.hold_against(&self.state().join(AUDIT_LOG));
        findings.is_ok_and(|findings| findings.is_good() && findings.gaps.is_empty())
    }

    /// What comes of a state in which these files are others. What a witness finds needs no look at all the rest.
    fn outcome(&self, changed: &[&Path]) -> Outcome {
        let (log, checkpoints) = (Path::new(AUDIT_LOG), Path::new(CHECKPOINTS));
        if changed.contains(&log) && !self.is_proved_by(&self.witness) {
            return Outcome::Verify;
        }
        if changed.contains(&checkpoints) && !self.is_proved_by(&self.state().join(CHECKPOINTS)) {
            return Outcome::Verify;
        }
        let Ok((register, is_damaged)) = self.open() else { return Outcome::Unopened };
        if is_damaged {
            return Outcome::Damage;
        }
        let (seen, scans) = self.everything(&register);
        assert_eq!(seen, self.sound.0, "something is another and nobody noticed");
        assert!(scans.iter().zip(&self.sound.1).all(|(is, was)| is.is_none() || is == was), "another scan");
        if scans == self.sound.1 { Outcome::Nothing } else { Outcome::Read }
    }

    fn try_out(&self, way: &Way) -> Outcome {
        for (file, bytes) in &way.changes {
            let file = self.state().join(file);
            match bytes {
                Some(bytes) => fs::write(file, bytes).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
        }
        let changed: Vec<&Path> = way.changes.iter().map(|(file, _)| file.as_path()).collect();
        let outcome = self.outcome(&changed);
        self.restore();
        outcome
    }
}

/// What can be done to bytes at a place; none where it would be the same bytes.
fn at_a_place(bytes: &[u8], place: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut ways = Vec::new();
    let mut flipped = bytes.to_vec();
    flipped[place] ^= 1 << (place % 8);
    ways.push(("bit flipped", flipped));
    let mut removed = bytes.to_vec();
    removed.remove(place);
    ways.push(("byte removed", removed));
    let mut inserted = bytes.to_vec();
    inserted.insert(place, bytes[place]);
    ways.push(("byte doubled", inserted));
    let mut swapped = bytes.to_vec();
    swapped.swap(place, (place + 1) % bytes.len());
    if swapped != bytes {
        ways.push(("bytes exchanged", swapped));
    }
    ways.push(("cut off", bytes[..place].to_vec()));
    ways
}

fn ways_with_the_log(scene: &Scene) -> Vec<Way> {
    let file = Path::new(AUDIT_LOG);
    let log = &scene.now[file];
    let mut ways = Vec::new();
    let mut add = |kind, words: String, bytes: Option<Vec<u8>>| {
        ways.push(Way { kind, of: "log", words, changes: vec![(file.to_owned(), bytes)] });
    };
    for place in (0..log.len()).step_by(61) {
        for (kind, bytes) in at_a_place(log, place) {
            add(kind, format!("at {place}"), Some(bytes));
        }
    }
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let records = read_records(&scene.folder.path().join("state").join(AUDIT_LOG)).unwrap();
    for at in 0..lines.len() {
        let without: Vec<_> = (0..lines.len()).filter(|other| *other != at).collect();
        let doubled: Vec<_> = (0..=at).chain(at..lines.len()).collect();
        let first: Vec<_> = std::iter::once(at).chain(without.clone()).collect();
        let last: Vec<_> = without.iter().copied().chain([at]).collect();
        for (kind, order) in
            [("record removed", without), ("record doubled", doubled), ("record moved", first), ("record moved", last)]
        {
            let moved: Vec<_> = order.iter().map(|at| records[*at].clone()).collect();
            if order.iter().enumerate().all(|(place, at)| place == *at) {
                continue;
            }
            add(kind, format!("{}", at + 1), Some(order.iter().flat_map(|at| lines[*at]).copied().collect()));
            add("the same, and the chain reckoned anew", format!("{kind} {}", at + 1), Some(rechained(&moved)));
        }
        let mut other = records.clone();
        other[at].actor.who = "nobody".to_owned();
        add("record altered, chain reckoned anew", format!("{}", at + 1), Some(rechained(&other)));
    }
    add("file removed", String::new(), None);
    add("file emptied", String::new(), Some(Vec::new()));
    // An older state put back, of the log alone or of everything but what a witness has.
    for (number, before) in scene.before[..scene.before.len() - 1].iter().enumerate() {
        let older = |name: &PathBuf| (name.clone(), before.get(name).cloned());
        ways.push(Way {
            kind: "older log put back",
            of: "log",
            words: format!("state {number}"),
            changes: vec![older(&file.to_owned())],
        });
        ways.push(Way {
            kind: "older state put back whole",
            of: "state",
            words: format!("state {number}"),
            changes: scene.now.keys().map(older).collect(),
        });
    }
    ways
}

fn ways_with_files(scene: &Scene) -> Vec<Way> {
    let mut ways = Vec::new();
    for (name, bytes) in scene.now.iter().filter(|(name, _)| **name != *AUDIT_LOG) {
        let of = match name.parent().and_then(Path::to_str) {
            Some(DOCUMENTS) if bytes.starts_with(b"-----BEGIN SSH") => "signature",
            Some(DOCUMENTS) if bytes.starts_with(b"version") => "roster",
            Some(DOCUMENTS) if bytes.is_ascii() => "document",
            Some(DOCUMENTS) => "sealed scan",
            Some(KEYS) => "case key",
            _ => "checkpoints",
        };
        let shown = name.display().to_string();
        let mut add = |kind, words: String, changes| ways.push(Way { kind, of, words, changes });
        let step = if of == "checkpoints" { 37 } else { (bytes.len() / 14).max(1) };
        for place in (0..bytes.len()).step_by(step) {
            for (kind, changed) in at_a_place(bytes, place) {
                add(kind, format!("{shown} at {place}"), vec![(name.clone(), Some(changed))]);
            }
        }
        add("file removed", shown.clone(), vec![(name.clone(), None)]);
        add("file emptied", shown.clone(), vec![(name.clone(), Some(Vec::new()))]);
        for (other, theirs) in
            scene.now.iter().filter(|(other, _)| other.parent() == name.parent() && **other != *AUDIT_LOG)
        {
            if other > name {
                let both = vec![(name.clone(), Some(theirs.clone())), (other.clone(), Some(bytes.clone()))];
                add("exchanged with another's", format!("{shown} and {}", other.display()), both);
            }
        }
        if of != "checkpoints" {
            let another = name.with_file_name(Digest::of(shown.as_bytes()).to_string());
            add("renamed", shown.clone(), vec![(name.clone(), None), (another, Some(bytes.clone()))]);
        }
    }
    ways
}

/// What is handed in, and by which door.
struct Door {
    of: &'static str,
    handed: HandedIn,
    try_in: fn(&mut Register, HandedIn) -> Result<(), RegisterError>,
}

fn doors(scene: &Scene, register: &Register) -> Vec<Door> {
    let head = register.head();
    let hand = |of, text: String, namespace: Namespace, signers: &[usize], try_in| Door {
        of,
        handed: scene.office.handed(&text, namespace, signers),
        try_in,
    };
    let submit: fn(&mut Register, HandedIn) -> Result<(), RegisterError> = |register, handed| {
        let proposal = register.submit(handed, actor(), minute(1000))?;
        // With a signature less it would wait for that one, and take nothing.
        proposal.case().waiting().map_or(Ok(()), |it| Err(RegisterError::Refused(vec![it.missing.clone()])))
    };
    let running = register.case(paper(1, Authority::TitleIii, 1).uuid()).unwrap().warrant().unwrap();
    let mut narrower = Paper::after(running);
    narrower.stop -= SignedDuration::from_hours(1);
    let closing = revocation(running, "revoked", head);
    let certificate = register.draft_certification(running.uuid(), "Ada", minute(1000)).unwrap();
    vec![
        hand("warrant handed in", paper(7, Authority::TitleIii, 400).text(head), APPROVE, &[0, 1], submit),
        hand("revision handed in", narrower.text(head), AMEND, &[0], submit),
        hand("revocation handed in", closing, REVOKE, &[1], |register, handed| {
            register.revoke(handed, actor(), minute(1000)).map(drop)
        }),
        hand("certification handed in", certificate, CERTIFY, &[0], |register, handed| {
            register.certify(handed, actor(), minute(1000)).map(drop)
        }),
        hand("roster handed in", scene.office.roster(3), POLICY, &[0, 1], |register, handed| {
            register.install_roster(handed, actor(), minute(1000)).map(drop)
        }),
    ]
}

/// How often each way of each kind came out how.
type Table = BTreeMap<(&'static str, &'static str), BTreeMap<Outcome, usize>>;

#[expect(clippy::print_stdout, reason = "which ways change nothing is worth reading")]
fn try_all(scene: &Scene, ways: &[Way]) -> Table {
    let witness = scene.witness();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let tables: Vec<Table> = std::thread::scope(|scope| {
        let begin = |worker| {
            let witness = witness.clone();
            scope.spawn(move || {
                let copy = Copy::new(scene, witness);
                let mut table = Table::new();
                for way in ways.iter().skip(worker).step_by(workers) {
                    let outcome = copy.try_out(way);
                    if outcome == Outcome::Nothing {
                        println!("as before: {}, {}: {}", way.of, way.kind, way.words);
                    }
                    *table.entry((way.of, way.kind)).or_default().entry(outcome).or_default() += 1;
                }
                table
            })
        };
        let running: Vec<_> = (0..workers).map(begin).collect();
        running.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let mut all = Table::new();
    for (key, outcomes) in tables.into_iter().flatten() {
        for (outcome, count) in outcomes {
            *all.entry(key).or_default().entry(outcome).or_default() += count;
        }
    }
    all
}

/// The same with what is handed in: the document, or one of its signatures.
fn try_doors(scene: &Scene) -> Table {
    let copy = Copy::new(scene, scene.witness());
    let (mut register, _) = copy.open().unwrap();
    let mut table = Table::new();
    for Door { of, handed, try_in } in doors(scene, &register) {
        let papers: Vec<&Original> = std::iter::once(&handed.document).chain(&handed.signatures).collect();
        for (index, paper) in papers.iter().enumerate() {
            let step = (paper.bytes.len() / 90).max(1);
            let places = (0..paper.bytes.len()).step_by(step);
            let ways =
                places.flat_map(|place| at_a_place(&paper.bytes, place).into_iter().map(move |way| (place, way)));
            for (place, (kind, bytes)) in ways {
                // The same signature, written another way.
                let signature = |bytes: &[u8]| SshSig::from_pem(bytes).ok();
                if index > 0 && signature(&bytes) == signature(&paper.bytes) {
                    *table.entry((of, kind)).or_default().entry(Outcome::Nothing).or_default() += 1;
                    continue;
                }
                let mut tampered = handed.clone();
                match index {
                    0 => tampered.document.bytes = bytes,
                    _ => tampered.signatures[index - 1].bytes = bytes,
                }
                let outcome = match try_in(&mut register, tampered) {
                    Err(RegisterError::Refused(_)) => Outcome::Refused,
                    Err(error) => panic!("{of}, {kind} at {place}: {error}"),
                    Ok(()) => panic!("{of}, paper {index}, {kind} at {place}: it is taken"),
                };
                *table.entry((of, kind)).or_default().entry(outcome).or_default() += 1;
            }
        }
        // Signatures of another document, or for another purpose.
        for purpose in [APPROVE, AMEND, REVOKE, CERTIFY, POLICY] {
            let text = String::from_utf8(handed.document.bytes.clone()).unwrap();
            for (kind, text) in [("signed for another purpose", text.clone()), ("signed over another", text + "\n")] {
                let signatures = [0, 1, 2].map(|signer| scene.office.signature(&text, purpose, signer)).to_vec();
                let right = handed.signatures.iter().any(|it| signatures.iter().any(|other| it.bytes == other.bytes));
                if right {
                    continue;
                }
                let tampered = HandedIn { signatures, ..handed.clone() };
                assert!(matches!(try_in(&mut register, tampered), Err(RegisterError::Refused(_))), "{of}: {kind}");
                *table.entry((of, kind)).or_default().entry(Outcome::Refused).or_default() += 1;
            }
        }
        // And as it is, it is taken.
        try_in(&mut register, handed).unwrap_or_else(|error| panic!("{of}: {error}"));
    }
    table
}

#[test]
#[expect(clippy::print_stdout, reason = "what was tried and how it was found is worth reading")]
fn every_way_of_tampering_is_found_or_changes_nothing() {
    let scene = Scene::new();
    let ways: Vec<_> = ways_with_the_log(&scene).into_iter().chain(ways_with_files(&scene)).collect();
    let mut table = try_all(&scene, &ways);
    table.extend(try_doors(&scene));
    let count: usize = table.values().flat_map(BTreeMap::values).sum();
    for ((of, kind), outcomes) in &table {
        println!("{of:24} {kind:40} {outcomes:?}");
    }
    println!("{count} ways");
    let unnoticed: BTreeSet<_> =
        table.iter().filter(|(_, outcomes)| outcomes.contains_key(&Outcome::Nothing)).map(|(key, _)| *key).collect();
    println!("as before: {unnoticed:?}");
    assert!(count >= WAYS, "{count}");
}
