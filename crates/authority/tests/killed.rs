//! `kill -9` while warrants change. A child process does one act after another on a register and says which it is about to
//! do and which is done; it is killed at random moments, and what is on the disk is held against what it had said: what
//! was acknowledged is there, the act in hand is there whole or not at all, and nothing that ended is in force.
//!
//! `WRIT_KILLS` says how often, `WRIT_SEED` where chance begins. The seed is printed.

mod office;

use jiff::{SignedDuration, Timestamp};
use office::{Office, Paper, actor, identity, minute, revocation, start};
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use uuid::Uuid;
use writ_authority::{
    AMEND, APPROVE, Activation, Authority, CERTIFY, Case, Digest, Head, Original, POLICY, Phase, Proposal, REVOKE,
    Register, RegisterError,
};

/// How often a child is killed where nobody says.
const KILLS: u64 = 200;
/// So often one state directory is killed over; then a new one is begun, so that reading it does not take ever longer.
const KILLS_OF_ONE: u64 = 20;
const STATE: &str = "WRIT_KILLED_STATE";
const SEED: &str = "WRIT_SEED";
const SCAN: &[u8] = b"the scanned order";

/// Chance that can be had again.
struct Chance(TestRng);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(TestRng::from_seed(RngAlgorithm::XorShift, &[seed.to_le_bytes(), (!seed).to_le_bytes()].concat()))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len() as u64) as usize])
    }
}

/// All that can be seen of a case.
fn summary(case: &Case) -> String {
    let revisions: Vec<_> = case
        .revisions()
        .iter()
        .map(|it| format!("{} until {:?} by {:?}", it.warrant.warrant().digest(), it.provisional, it.approved))
        .collect();
    let waiting = case.waiting().map(|it| (it.warrant.digest(), it.signatures.len()));
    format!(
        "{revisions:?} {waiting:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        case.ending(),
        case.enabled().map(|it| it.at),
        case.begun(),
        case.stopped(),
        case.certified(),
        case.orders(),
        case.closed()
    )
}

/// The child: acts until it is killed.
struct Child {
    office: Office,
    register: Register,
    chance: Chance,
}

impl Child {
    /// The time goes by with the records.
    fn now(&self) -> Timestamp {
        minute(self.register.head().number)
    }

    fn cases(&self, wanted: impl Fn(&Case, Phase) -> bool) -> Vec<Uuid> {
        let now = self.now();
        self.register.cases().filter(|case| wanted(case, case.phase(now))).map(Case::uuid).collect()
    }

    fn act(&mut self) {
        let now = self.now();
        let in_force = |_: &Case, phase| matches!(phase, Phase::Approved | Phase::Armed | Phase::Active);
        let (what, wanted): (_, Vec<Uuid>) = match self.chance.below(20) {
            0..=3 => ("submit", Vec::new()),
            4 => ("submit-whole", Vec::new()),
            5 => ("emergency", Vec::new()),
            6..=8 => ("approve", self.cases(|case, _| case.ending().is_none() && case.waiting().is_some())),
            9 => ("narrow", self.cases(in_force)),
            10 => ("extend", self.cases(in_force)),
            11..=12 => ("revoke", self.cases(|case, phase| in_force(case, phase) || phase == Phase::Submitted)),
            13 => ("arm", self.cases(|_, phase| phase == Phase::Approved)),
            14 => ("begin", self.cases(|case, phase| phase == Phase::Active && case.begun().is_none())),
            15 => ("stop", self.cases(|case, _| case.ending().is_some() && case.stopped().is_none())),
            16 => ("certify", self.cases(|case, _| case.begun().is_some() && case.certified().is_none())),
            17 => ("attach", self.cases(|case, _| case.closed().is_none() && case.orders().is_empty())),
            18 => ("close", self.cases(|case, _| case.ending().is_some() && case.closed().is_none())),
            _ => ("roster", Vec::new()),
        };
        // One at a time, so that one act is in hand.
        let over = self.cases(|case, phase| case.ending().is_none() && phase == Phase::Expired);
        for uuid in &over {
            match over.len() {
                1 => self.say("expire", Some(*uuid), |child| child.register.expire(now).map(drop)),
                _ => self.say("expire", Some(*uuid), |child| child.register.expired(*uuid, now, now)),
            }
        }
        match what {
            "roster" => self.say(what, None, |child| {
                let version = child.register.roster().map_or(1, |roster| roster.roster().version() + 1);
                let handed = child.office.handed(&child.office.roster(version), POLICY, &[0, 1]);
                child.register.install_roster(handed, actor(), now).map(drop)
            }),
            "submit" | "submit-whole" | "emergency" => {
                let paper = self.paper(what == "emergency");
                let signers: &[usize] = match what {
                    "submit" => &[0],
                    "emergency" => &[2],
                    _ => &[0, 1],
                };
                self.say(what, Some(paper.uuid()), |child| child.submit(&paper, signers));
            }
            _ => {
                let Some(uuid) = self.chance.of(&wanted) else { return };
                self.say(what, Some(uuid), |child| child.change(what, uuid));
            }
        }
    }

    fn paper(&mut self, is_emergency: bool) -> Paper {
        let number = self.register.cases().count() as u32 + 1;
        let authority = if is_emergency { Authority::Emergency2518 } else { Authority::TitleIii };
        let minutes = self.chance.below(200) as i64 + 5;
        let begin = self.now();
        Paper::first(number, authority, begin, SignedDuration::from_mins(minutes), SCAN)
    }

    fn submit(&mut self, paper: &Paper, signers: &[usize]) -> Result<(), RegisterError> {
        let text = paper.text(self.register.head());
        let handed = self.office.handed(&text, paper.namespace(), signers);
        let now = self.now();
        let proposal = self.register.submit(handed, actor(), now)?;
        self.enact(&proposal)
    }

    fn enact(&mut self, proposal: &Proposal) -> Result<(), RegisterError> {
        let now = self.now();
        self.register.enact(proposal, actor(), now)
    }

    fn change(&mut self, what: &str, uuid: Uuid) -> Result<(), RegisterError> {
        let (now, head) = (self.now(), self.register.head());
        let case = self.register.case(uuid).unwrap();
        // A case that ended before anybody approved it has no warrant any more.
        let next = case.warrant().map(Paper::after);
        match what {
            "approve" => {
                let text = case.waiting().unwrap().warrant.bytes().to_vec();
                let text = String::from_utf8(text).unwrap();
                let namespace = if text.contains("\nrevision = 1\n") { APPROVE } else { AMEND };
                let signatures = [0, 1].map(|signer| self.office.signature(&text, namespace, signer)).to_vec();
                let proposal = self.register.approve(uuid, signatures, actor(), now)?;
                self.enact(&proposal)
            }
            "narrow" => {
                let mut next = next.unwrap();
                next.stop -= SignedDuration::from_mins(1);
                self.submit(&next, &[0])
            }
            "extend" => {
                let mut next = next.unwrap();
                (next.docket, next.stop) = (next.docket + 1, next.stop + SignedDuration::from_mins(30));
                let signers: &[usize] = if self.chance.below(2) == 0 { &[0, 1] } else { &[1] };
                self.submit(&next, signers)
            }
            "revoke" => {
                let text = revocation(case.warrant().unwrap(), "revoked", head);
                let signer = self.chance.below(3) as usize;
                let handed = self.office.handed(&text, REVOKE, &[signer]);
                self.register.revoke(handed, actor(), now)?.recorded
            }
            "arm" => {
                let (software, configuration) = ("writ".to_owned(), Digest::of(b"configuration"));
                let by = Activation { software, configuration, clock_doubt_ms: Some(1) };
                self.register.armed(uuid, &by, Vec::new(), now)
            }
            "begin" => self.register.begun(uuid, now, Vec::new(), now),
            "stop" => self.register.stopped(uuid, now, [("matched".to_owned(), "7".to_owned())].into(), now),
            "certify" => {
                let draft = self.register.draft_certification(uuid, "Ada", now)?;
                let handed = self.office.handed(&draft, CERTIFY, &[0]);
                self.register.certify(handed, actor(), now).map(drop)
            }
            "attach" => self.register.attach(uuid, &Original::new("order.pdf", SCAN), actor(), now),
            "close" => self.register.close(uuid, Vec::new(), actor(), now),
            _ => unreachable!("no such act"),
        }
    }

    /// Says what is about to be done, does it, and says what is so.
    fn say(&mut self, what: &str, uuid: Option<Uuid>, act: impl FnOnce(&mut Self) -> Result<(), RegisterError>) {
        let name = uuid.map_or_else(|| "-".to_owned(), |uuid| uuid.to_string());
        let mut out = std::io::stdout();
        writeln!(out, "doing {what} {name}").unwrap();
        let done = match act(self) {
            Ok(()) => "done",
            Err(RegisterError::Refused(_)) => "refused",
            Err(error) => panic!("{what}: {error}"),
        };
        let Head { number, hash } = self.register.head();
        let seen = uuid.and_then(|uuid| self.register.case(uuid)).map(summary).unwrap_or_default();
        writeln!(out, "{done} {what} {name} {number} {hash} {seen}").unwrap();
    }
}

/// What the child has said so far, over all its lives.
#[derive(Default)]
struct Known {
    cases: BTreeMap<Uuid, String>,
    /// Whose end was acknowledged.
    ended: BTreeSet<Uuid>,
    /// What was said to be in force, and not ended.
    approved: BTreeSet<Uuid>,
    rosters: usize,
    head: Option<Head>,
    /// What it was about to do.
    in_hand: Option<(String, Option<Uuid>)>,
    acts: BTreeMap<String, u64>,
}

impl Known {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        let uuid = words.get(2).and_then(|word| word.parse::<Uuid>().ok());
        match words[..] {
            ["doing", what, _] => self.in_hand = Some((what.to_owned(), uuid)),
            [outcome @ ("done" | "refused"), what, _, number, hash, ref seen @ ..] => {
                self.in_hand = None;
                self.head = Some(Head { number: number.parse().unwrap(), hash: hash.parse().unwrap() });
                if let Some(uuid) = uuid {
                    self.cases.insert(uuid, seen.concat());
                }
                if outcome == "refused" {
                    return;
                }
                *self.acts.entry(what.to_owned()).or_default() += 1;
                match (what, uuid) {
                    // One that waits for its first approval is over, but ends only with `expire`.
                    ("expire", Some(_)) if !seen.concat().contains("Expired") && !seen.concat().contains("Unconf") => {}
                    ("revoke" | "expire", Some(uuid)) => {
                        self.approved.remove(&uuid);
                        self.ended.insert(uuid);
                    }
                    ("submit-whole" | "emergency" | "approve", Some(uuid)) => drop(self.approved.insert(uuid)),
                    ("roster", None) => self.rosters += 1,
                    _ => {}
                }
            }
            // What the test program says of itself.
            _ => {}
        }
    }

    /// Holds what is on the disk against what was said; takes up what the act in hand has become.
    fn hold(&mut self, state: &Path) {
        let (register, findings) = Register::open(state, identity(), start()).unwrap();
        assert_eq!(findings, [], "something is half there");
        assert!(register.held().is_none(), "{:?}", register.held());
        if let Some(head) = self.head {
            assert!(register.has(head), "an acknowledged record is lost: {head:?}");
        }
        let in_hand = self.in_hand.take();
        let unsure = in_hand.as_ref().and_then(|(_, uuid)| *uuid);
        for (uuid, said) in &self.cases {
            let case = register.case(*uuid).unwrap_or_else(|| panic!("{uuid} is lost"));
            assert!(summary(case) == *said || unsure == Some(*uuid), "{uuid}: {said}, and is {}", summary(case));
        }
        let unknown: Vec<_> = register.cases().map(Case::uuid).filter(|uuid| !self.cases.contains_key(uuid)).collect();
        assert!(unknown.iter().all(|uuid| unsure == Some(*uuid)), "nobody asked for {unknown:?}");
        let roster_in_hand = matches!(&in_hand, Some((what, _)) if what == "roster");
        let more = register.rosters().len() - self.rosters;
        assert!(more == 0 || more == 1 && roster_in_hand, "{more} rosters more than were said");

        let now = minute(register.head().number);
        let in_force: BTreeSet<_> = register.in_force(now).into_iter().map(|force| force.uuid).collect();
        assert!(in_force.is_disjoint(&self.ended), "what ended is in force again");
        for uuid in self.approved.iter().filter(|uuid| unsure != Some(**uuid)) {
            let is_over = register.case(*uuid).unwrap().latest().is_none_or(|latest| latest.stop() <= now);
            assert!(in_force.contains(uuid) != is_over, "{uuid} is in force and over, or neither: {is_over}");
        }
        for force in register.in_force(now) {
            let is_known = self.approved.contains(&force.uuid) || unsure == Some(force.uuid);
            assert!(is_known && now < force.window.stop(), "{} is in force by nobody's word", force.uuid);
        }
        for case in register.cases().filter(|case| case.closed().is_some()) {
            let key = state.join("keys").join(format!("{}.key", case.uuid()));
            assert!(!key.exists(), "the key of a closed case is there: {}", key.display());
        }

        // What was in hand is done or not, and from here on that is known.
        self.rosters += more;
        if let Some(case) = unsure.and_then(|uuid| register.case(uuid)) {
            let uuid = case.uuid();
            self.cases.insert(uuid, summary(case));
            if case.ending().is_some() {
                self.ended.insert(uuid);
                self.approved.remove(&uuid);
            } else if case.latest().is_some() {
                self.approved.insert(uuid);
            }
        }
    }
}

fn number_of(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// The child's life; as a test of its own, without a state directory to work on, it is nothing.
#[test]
fn child() {
    let Some(state) = std::env::var_os(STATE).map(PathBuf::from) else { return };
    let (register, findings) = Register::open(&state, identity(), start()).unwrap();
    assert_eq!(findings, []);
    let mut child = Child { office: Office::new(), register, chance: Chance::new(number_of(SEED, 0)) };
    if child.register.roster().is_none() {
        child.say("roster", None, |child| {
            let handed = child.office.handed(&child.office.roster(1), POLICY, &[0, 1]);
            child.register.install_roster(handed, actor(), start()).map(drop)
        });
    }
    loop {
        child.act();
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed has to be known to repeat a run")]
fn whenever_it_is_killed_what_was_acknowledged_is_there_and_nothing_is_half() {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number_of(SEED, clock.as_secs());
    let kills = number_of("WRIT_KILLS", KILLS);
    println!("{kills} kills from seed {seed}");
    let mut acts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut in_hand, mut torn) = (0, 0);
    let mut folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    for kill in 0..kills {
        let mut chance = Chance::new(seed.wrapping_add(kill));
        if kill % KILLS_OF_ONE == 0 {
            folder = tempfile::tempdir().unwrap();
            known = Known::default();
        }
        let state = folder.path().join("state");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(STATE, &state)
            .env(SEED, seed.wrapping_add(kill).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut patience = chance.below(24);
        for line in lines.by_ref() {
            known.hear(&line);
            patience = patience.saturating_sub(1);
            if patience == 0 {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(chance.below(6_000)));
        child.kill().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9), "kill {kill}");
        lines.for_each(|line| known.hear(&line));
        in_hand += u64::from(known.in_hand.is_some());
        known.hold(&state);
        let aside = std::fs::read_dir(&state)
            .unwrap()
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().contains(".torn-")));
        if (kill + 1) % KILLS_OF_ONE == 0 || kill + 1 == kills {
            torn += aside.count();
            for (what, count) in std::mem::take(&mut known.acts) {
                *acts.entry(what).or_default() += count;
            }
        }
    }
    println!("acts: {acts:?}; {in_hand} kills in the middle of one, {torn} of them in the middle of a line");
    assert!(in_hand * 4 > kills, "only {in_hand} of {kills} kills hit an act in hand");
}
