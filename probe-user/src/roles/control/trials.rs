//! Trials of destinations: who asked for one and what became of it is recorded; the deliver role makes it, for it has the
//! keys. Where no probe runs, the one who asks makes it himself, under the same records.

use super::Control;
use super::authority::{Files, entry};
use crate::config::Config;
use crate::ipc::{Channel, Reply, ToDeliver, TrialReport};
use crossbeam::channel::Sender;
use jiff::Timestamp;
use std::time::{Duration, Instant};
use uuid::Uuid;
use writ_authority::{Act, Actor, AuditError, AuditLog, Entry, Outcome};
use writ_delivery::{StreamTrial, TRIAL_LIMIT, Trial};
use writ_encoder::t1_ias::{CaseId, IapSystemId, TEST_CASE_PREFIX};

/// How much longer than a trial its answer may take.
const GRACE: Duration = Duration::from_secs(4);

/// What the role knows of trials.
pub(super) struct Trials {
    deliver: Channel,
    running: Option<Running>,
}

struct Running {
    order: Order,
    asked: Sender<Reply>,
    deadline: Instant,
}

/// A trial that somebody asked for.
struct Order {
    destination: String,
    index: usize,
    case_id: String,
    packets: u32,
    actor: Actor,
}

impl Order {
    /// # Errors
    /// Why there is nothing to try.
    fn new(config: &Config, destination: &str, packets: u32, actor: Actor) -> Result<Self, String> {
        let index = config.destination_index(destination).ok_or_else(|| {
            let known: Vec<_> = config.destination.iter().map(|it| it.name.as_str()).collect();
            format!("the probe has no destination {destination:?}; it has {}", known.join(", "))
        })?;
        if !(1..=writ_delivery::MOST_PACKETS).contains(&packets) {
            return Err(format!("{packets} packets; ask for 1 to {}", writ_delivery::MOST_PACKETS));
        }
        let chance = Uuid::new_v4().simple().to_string().to_uppercase();
        let case_id = format!("{TEST_CASE_PREFIX}{}", &chance[..12]);
        Ok(Self { destination: destination.to_owned(), index, case_id, packets, actor })
    }

    fn entry(&self, outcome: Outcome, result: impl IntoIterator<Item = (&'static str, String)>) -> Entry {
        let what = [
            ("destination", self.destination.clone()),
            ("case_id", self.case_id.clone()),
            ("packets", self.packets.to_string()),
        ];
        entry(Act::DestinationTest, outcome, self.actor.clone(), None, what.into_iter().chain(result))
    }

    fn begun(&self) -> Entry {
        self.entry(Outcome::Done, [("step", "begun".to_owned())])
    }

    /// The record of what became of it, and the answer.
    fn ended(&self, outcome: Result<[StreamTrial; 2], String>) -> (Entry, Reply) {
        let step = ("step", "ended".to_owned());
        match outcome {
            Ok(streams) => {
                let result = streams.each_ref().map(|stream| (stream.stream.name(), in_short(stream)));
                let report = TrialReport {
                    destination: self.destination.clone(),
                    case_id: self.case_id.clone(),
                    packets: self.packets,
                    streams,
                };
                let outcome = if report.is_good() { Outcome::Done } else { Outcome::Failed };
                let entry = self.entry(outcome, result.into_iter().chain([step]));
                (entry, Reply::DestinationTested(Box::new(report)))
            }
            Err(error) => (self.entry(Outcome::Failed, [step, ("error", error.clone())]), Reply::Failed { error }),
        }
    }
}

fn in_short(stream: &StreamTrial) -> String {
    let arrived = format!("{} of {} records acknowledged", stream.acknowledged, stream.records);
    match &stream.failure {
        Some(failure) => format!("{arrived}: {}", failure.reason),
        None => arrived,
    }
}

fn unrecorded(error: &AuditError) -> Reply {
    Reply::Failed { error: format!("nothing is sent, because that cannot be recorded: {error}") }
}

impl Trials {
    pub(super) fn new(deliver: Channel) -> Self {
        Self { deliver, running: None }
    }
}

impl Control {
    /// Has a destination tried; the answer comes later.
    pub(super) fn begin_trial(
        &mut self,
        destination: &str,
        packets: u32,
        actor: Actor,
        asked: &Sender<Reply>,
    ) -> Result<(), Reply> {
        let order =
            Order::new(&self.config, destination, packets, actor.clone()).and_then(|order| match self.trials.running {
                Some(_) => Err("another test runs; try again in half a minute".to_owned()),
                None => Ok(order),
            });
        let order = order.map_err(|reason| {
            let details = [("destination", destination.to_owned()), ("reasons", reason.clone())];
            self.authority.record_or_log(entry(Act::DestinationTest, Outcome::Refused, actor, None, details));
            Reply::Refused { reasons: vec![reason] }
        })?;
        self.authority.record(order.begun()).map_err(|error| unrecorded(&error))?;
        let message =
            ToDeliver::Try { destination: order.index, case_id: order.case_id.clone(), packets: order.packets };
        if let Err(error) = self.trials.deliver.send(&message, &[]) {
            let (entry, reply) = order.ended(Err(format!("the deliver role cannot be asked: {error}")));
            self.authority.record_or_log(entry);
            return Err(reply);
        }
        let deadline = Instant::now() + TRIAL_LIMIT + GRACE;
        self.trials.running = Some(Running { order, asked: asked.clone(), deadline });
        Ok(())
    }

    /// A trial has come to its end.
    pub(super) fn tried(&mut self, case_id: &str, outcome: Result<[StreamTrial; 2], String>) {
        match self.trials.running.take_if(|running| running.order.case_id == case_id) {
            Some(running) => self.end_trial(running, outcome),
            None => tracing::warn!("the result of a destination's test came too late and is not kept"),
        }
    }

    /// Answers for a deliver role that has died meanwhile.
    pub(super) fn give_up_trial(&mut self, now: Instant) {
        if let Some(running) = self.trials.running.take_if(|running| running.deadline <= now) {
            self.end_trial(running, Err("the deliver role does not answer; see `writ status`".to_owned()));
        }
    }

    fn end_trial(&mut self, running: Running, outcome: Result<[StreamTrial; 2], String>) {
        let (entry, reply) = running.order.ended(outcome);
        self.authority.record_or_log(entry);
        super::answer(&running.asked, reply);
    }
}

/// Tries a destination where no probe runs. The audit log's own lock keeps it apart from one that does.
///
/// # Errors
/// When the log cannot be opened: a probe runs, or the disk does not take it.
pub fn test_alone(config: &Config, destination: &str, packets: u32, actor: Actor) -> Result<Reply, AuditError> {
    let mut audit = AuditLog::open(&Files::of(config).audit, Timestamp::now())?;
    let order = match Order::new(config, destination, packets, actor.clone()) {
        Ok(order) => order,
        Err(reason) => {
            let details = [("destination", destination.to_owned()), ("reasons", reason.clone())];
            let refusal = entry(Act::DestinationTest, Outcome::Refused, actor, None, details);
            audit.append(Timestamp::now(), &refusal)?;
            return Ok(Reply::Refused { reasons: vec![reason] });
        }
    };
    if let Err(error) = audit.append(Timestamp::now(), &order.begun()) {
        return Ok(unrecorded(&error));
    }
    let outcome = trial(config, order.index, &order.case_id, order.packets)
        .and_then(|trial| trial.run().map_err(|error| error.to_string()));
    let (entry, reply) = order.ended(outcome);
    audit.append(Timestamp::now(), &entry)?;
    Ok(reply)
}

fn trial(config: &Config, index: usize, case_id: &str, packets: u32) -> Result<Trial, String> {
    let destination = config.destination.get(index).ok_or("there is no such destination")?;
    let routes = destination.load(&format!("destination[{index}]")).map_err(|error| error.to_string())?;
    Ok(Trial {
        destination: destination.name.clone(),
        routes,
        terms: destination.terms().ok_or("the destination's section lacks something; see writ check-config")?,
        case_id: CaseId::new(case_id).map_err(|error| error.to_string())?,
        iap: IapSystemId::new(&*config.probe.id).map_err(|error| error.to_string())?,
        packets,
    })
}
