//! Checkpoints of the audit log, and their way to the witnesses: made here, kept in a file of the state directory, and
//! given to the deliver role, which has the network. Each witness has a place in that file up to which it has everything;
//! what lies behind it waits there, however long a witness is away.

use crate::config::Config;
use crate::ipc::{Channel, Outbox, ToDeliver, WitnessStatus, WitnessWord};
use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use writ_authority::{
    CHECKPOINTS, Checkpoint, CheckpointKey, Checkpoints, Digest, Head, KeptCheckpoint, ProbeIdentity, hash_of_record,
};

/// Most checkpoints that are under way to one witness.
const UNDER_WAY: usize = 64;
/// How often the places are written down, and how long to wait after a disk that takes no checkpoint.
const PAUSE: Duration = Duration::from_secs(10);

/// The probe's private key.
pub fn key_file(config: &Config) -> PathBuf {
    config.probe.state.join("probe.key")
}

/// The probe's own checkpoints.
pub(super) fn checkpoints_file(config: &Config) -> PathBuf {
    config.probe.state.join("checkpoints.jsonl")
}

/// Up to where a witness has everything, as it is written down.
#[derive(Serialize, Deserialize)]
struct Taken {
    place: u64,
    /// The checkpoint that ends there: the number that it covers.
    number: u64,
    /// When it was made.
    time: Timestamp,
}

/// Where one witness stands.
struct Place {
    name: String,
    /// It has everything up to here.
    taken: u64,
    /// The checkpoint that ends there: the number that it covers, and when it was made.
    last: Option<(u64, Timestamp)>,
    /// Given to deliver, not confirmed.
    under_way: VecDeque<KeptCheckpoint>,
    /// How many wait, with those under way.
    waiting: u64,
    problem: Option<String>,
    alarm: bool,
}

impl Place {
    /// Up to where everything has been given to deliver.
    fn given(&self) -> u64 {
        self.under_way.back().map_or(self.taken, |kept| kept.end)
    }
}

/// See the module.
pub(super) struct Witnesses {
    checkpoints: Checkpoints,
    audit: PathBuf,
    /// Hash of the log's first record, once there is one.
    log: Option<Digest>,
    every: Duration,
    alarm_after: Duration,
    places: Vec<Place>,
    places_file: PathBuf,
    saved: Instant,
    changed: bool,
    channel: Channel,
    outbox: Outbox<ToDeliver>,
    /// When the next checkpoint is made if the log has grown.
    due: Instant,
    /// Not before this moment: the disk took none.
    not_before: Instant,
    /// Before that no witness could take anything.
    opened: Instant,
}

impl Witnesses {
    /// Reads what is there; makes the key at the first start.
    pub(super) fn open(config: &Config, audit: &Path, channel: Channel) -> anyhow::Result<Self> {
        let state = &config.probe.state;
        let identity = ProbeIdentity { operator: config.probe.operator.clone(), probe: config.probe.id.clone() };
        let key = CheckpointKey::open(&key_file(config), &config.probe.id)?;
        let mut checkpoints = Checkpoints::open(&state.join(CHECKPOINTS), key, identity)?;
        let places_file = state.join("witnesses.json");
        let known: BTreeMap<String, Taken> = match std::fs::read(&places_file) {
            // What is lost here is only handed over again.
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| places_file.display().to_string()),
        };
        let mut places = Vec::new();
        for name in config.witness.names() {
            let known = known.get(&name).filter(|known| known.place <= checkpoints.end());
            let (taken, last) = known.map_or((0, None), |known| (known.place, Some((known.number, known.time))));
            let (mut waiting, mut end) = (0, taken);
            while let Some(last) = {
                let some = checkpoints.since(end, 1000)?;
                waiting += some.len() as u64;
                some.into_iter().last()
            } {
                end = last.end;
            }
            let under_way = VecDeque::new();
            places.push(Place { name, taken, last, under_way, waiting, problem: None, alarm: false });
        }
        let now = Instant::now();
        Ok(Self {
            checkpoints,
            audit: audit.to_owned(),
            log: None,
            every: Duration::from_secs(config.witness.every_seconds.into()),
            alarm_after: Duration::from_secs(config.witness.alarm_after_seconds.into()),
            places,
            places_file,
            saved: now,
            changed: false,
            channel,
            outbox: Outbox::new(),
            due: now,
            not_before: now,
            opened: now,
        })
    }

    /// The newest checkpoint.
    pub(super) fn newest(&self) -> Option<&Checkpoint> {
        self.checkpoints.last()
    }

    /// The public key's fingerprint, for the record of a start.
    pub(super) fn fingerprint(&self) -> String {
        self.checkpoints.public_key().fingerprint()
    }

    /// What was just recorded is to be seen outside at once.
    pub(super) fn hurry(&mut self) {
        self.due = Instant::now();
    }

    /// Makes a checkpoint if one is due, and gives on what the witnesses have room for.
    pub(super) fn tick(&mut self, head: Head, now: Timestamp) {
        if self.newest().map_or(0, |newest| newest.number) != head.number
            && Instant::now() >= self.due.max(self.not_before)
        {
            self.make(head, now);
        }
        for (witness, place) in self.places.iter_mut().enumerate() {
            let room = UNDER_WAY.saturating_sub(place.under_way.len());
            if room > UNDER_WAY / 2 && place.given() < self.checkpoints.end() {
                match self.checkpoints.since(place.given(), room) {
                    Ok(some) => {
                        for kept in &some {
                            self.outbox.push(to_deliver(witness, kept));
                        }
                        place.under_way.extend(some);
                    }
                    Err(error) => tracing::error!(%error, "checkpoints that wait cannot be read"),
                }
            }
            let late = waited(place, now).min(self.opened.elapsed()) > self.alarm_after;
            if late && !place.alarm {
                let witness = &place.name;
                tracing::error!(
                    witness,
                    waiting = place.waiting,
                    "ALARM: a witness has taken no checkpoint for too long"
                );
            }
            place.alarm = late;
        }
        self.outbox.flush(&self.channel, |_| Vec::new());
        if self.changed && self.saved.elapsed() >= PAUSE {
            self.save();
        }
    }

    /// Makes a checkpoint now, if the log has grown.
    pub(super) fn cover(&mut self, head: Head, now: Timestamp) {
        if self.newest().map_or(0, |newest| newest.number) != head.number {
            self.make(head, now);
        }
    }

    /// The last checkpoint of this run.
    pub(super) fn finish(&mut self, head: Head, now: Timestamp) {
        self.cover(head, now);
        self.save();
    }

    fn make(&mut self, head: Head, now: Timestamp) {
        let made = self.log_id().and_then(|log| match log {
            Some(log) => self.checkpoints.make(log, head, now).map(|()| true).map_err(Into::into),
            None => Ok(false),
        });
        match made {
            Ok(true) => {
                self.places.iter_mut().for_each(|place| place.waiting += 1);
                self.due = Instant::now() + self.every;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "no checkpoint of the audit log is made");
                self.not_before = Instant::now() + PAUSE;
            }
        }
    }

    fn log_id(&mut self) -> anyhow::Result<Option<Digest>> {
        if self.log.is_none() {
            self.log = hash_of_record(&self.audit, 1)?;
        }
        Ok(self.log)
    }

    pub(super) fn hear(&mut self, word: WitnessWord) {
        match word {
            WitnessWord::Hello => {
                self.outbox = Outbox::new();
                self.places.iter_mut().for_each(|place| place.under_way.clear());
            }
            WitnessWord::Witnessed { witness, place: taken } => {
                let Some(place) = self.places.get_mut(witness) else { return };
                place.problem = None;
                while let Some(kept) = place.under_way.pop_front_if(|kept| kept.end <= taken) {
                    place.taken = kept.end;
                    place.last = Some((kept.number, kept.time));
                    place.waiting = place.waiting.saturating_sub(1);
                    self.changed = true;
                }
            }
            WitnessWord::Away { witness, what } => {
                if let Some(place) = self.places.get_mut(witness) {
                    place.problem = Some(what);
                }
            }
        }
    }

    pub(super) fn status(&self, now: Timestamp) -> Vec<WitnessStatus> {
        self.places
            .iter()
            .map(|place| WitnessStatus {
                name: place.name.clone(),
                number: place.last.map_or(0, |(number, _)| number),
                at: place.last.map(|(_, at)| at.to_string()),
                waiting: place.waiting,
                waiting_seconds: waited(place, now).as_secs(),
                alarm: place.alarm,
                problem: place.problem.clone(),
            })
            .collect()
    }

    fn save(&mut self) {
        self.saved = Instant::now();
        let taken = |place: &Place| {
            let (number, time) = place.last?;
            Some((place.name.clone(), Taken { place: place.taken, number, time }))
        };
        let places: BTreeMap<String, Taken> = self.places.iter().filter_map(taken).collect();
        let unfinished = self.places_file.with_extension("new");
        let written = serde_json::to_vec(&places)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&unfinished, text))
            .and_then(|()| std::fs::rename(&unfinished, &self.places_file));
        match written {
            Ok(()) => self.changed = false,
            // They are handed over once more after the next start: no harm.
            Err(error) => tracing::warn!(%error, "up to where witnesses have seen the log is not written down"),
        }
    }
}

/// For how long the oldest checkpoint has waited.
fn waited(place: &Place, now: Timestamp) -> Duration {
    let oldest = place.under_way.front().map(|kept| now.duration_since(kept.time));
    oldest.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
}

fn to_deliver(witness: usize, kept: &KeptCheckpoint) -> ToDeliver {
    ToDeliver::Checkpoint {
        witness,
        place: kept.end,
        time: kept.time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        line: kept.line.clone(),
    }
}
