//! Incidents in the register: who reported what, which agencies that concerns by the cases named, and which of them
//! have been told. They put nothing in force and hold nothing, and so are taken while the probe is held.

use super::fact::Fact;
use super::state::{Moment, Objection, Originals, State};
use super::{Register, RegisterError};
use crate::archive::Original;
use crate::audit::{Act, Actor, Subject};
use crate::digest::Digest;
use crate::document;
use crate::incident::{Incident, Report, Telling};
use crate::register::case::Case;
use crate::register::lines;
use jiff::Timestamp;
use std::collections::BTreeSet;
use uuid::Uuid;

/// An incident, and what has been done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// What was reported.
    pub incident: Incident,
    /// Number of its record.
    pub record: u64,
    /// When it was reported.
    pub at: Timestamp,
    /// Who has been told, in that order.
    pub told: Vec<Telling>,
}

impl Reported {
    /// The agencies that are still to be told.
    pub fn untold(&self) -> impl Iterator<Item = &str> {
        let is_told = |agency: &&String| self.told.iter().any(|told| told.agency == **agency);
        self.incident.agencies().iter().filter(move |agency| !is_told(agency)).map(String::as_str)
    }
}

impl State {
    /// The incident that a report makes.
    pub(super) fn reported(
        &self,
        uuid: Uuid,
        document: Digest,
        moment: Moment,
        papers: &Originals<'_>,
    ) -> Result<Reported, Objection> {
        let paper = papers.get(document)?;
        let incident = Incident::parse(&paper.bytes, &paper.name)?;
        if incident.uuid() != uuid {
            return Err(Objection::new("the document is not the incident that its record names"));
        }
        if (incident.operator(), incident.probe()) != (&self.identity.operator, &self.identity.probe) {
            return Err(Objection::new("the incident is another probe's"));
        }
        if self.incidents.contains_key(&uuid) {
            return Err(Objection::new(format!("uuid: {uuid} is reported already; see `writ incident list`")));
        }
        if incident.found() > moment.at {
            return Err(Objection::new(format!("found: {} has not come yet; correct the date", incident.found())));
        }
        for case in incident.cases() {
            self.known(*case)?;
        }
        Ok(Reported { incident, record: moment.record, at: moment.at, told: Vec::new() })
    }

    /// The incident when another agency has been told.
    pub(super) fn told(&self, uuid: Uuid, telling: &Telling, moment: Moment) -> Result<Reported, Objection> {
        let Some(reported) = self.incidents.get(&uuid) else {
            return Err(Objection::new(format!("there is no incident {uuid}; see `writ incident list`")));
        };
        for (field, text) in [("by", &telling.by), ("how", &telling.how)] {
            document::check_value(text)
                .map_err(|it| Objection::new(format!("{field}: {}; {}", it.problem, it.remedy)))?;
        }
        if !reported.untold().any(|agency| agency == telling.agency) {
            let left: Vec<_> = reported.untold().collect();
            let left = if left.is_empty() { "nobody is".to_owned() } else { format!("still are: {}", left.join(", ")) };
            return Err(Objection::new(format!(
                "{:?} is not to be told of this incident, or has been; to be told {left}",
                telling.agency
            )));
        }
        if telling.at > moment.at {
            return Err(Objection::new(format!("at: {} has not come yet; correct the date", telling.at)));
        }
        let mut reported = reported.clone();
        reported.told.push(telling.clone());
        Ok(reported)
    }
}

impl Register {
    /// Keeps a report of an incident, and gives the incident with the agencies that are to be told.
    pub fn report(&mut self, report: &Report, actor: Actor, now: Timestamp) -> Result<Reported, RegisterError> {
        let uuid = Uuid::new_v4();
        let mut agencies: BTreeSet<_> = report.agencies.iter().cloned().collect();
        agencies.extend(report.cases.iter().filter_map(|uuid| self.case(*uuid)).flat_map(agencies_of));
        let agencies: Vec<_> = agencies.into_iter().collect();
        let identity = self.state.identity();
        let text = Incident::draft(uuid, &identity.operator, &identity.probe, report, &agencies);
        let paper = Original::new("incident", text);
        if let Err(error) = Incident::parse(&paper.bytes, &paper.name) {
            let subject = Subject { uuid: None, sha256: Some(paper.digest()) };
            return Err(self.refuse(Act::Incident, Some(subject), lines(&error), actor, now));
        }
        let fact = Fact::Incident { incident: uuid, document: paper.digest() };
        let papers = [paper];
        self.judge(&fact, &papers, actor.clone(), now)?;
        self.write(&fact, &papers, actor, [], now)?;
        self.incident(uuid).cloned().ok_or_else(|| RegisterError::Refused(vec!["it is not kept".to_owned()]))
    }

    /// Keeps that an agency was told of an incident.
    pub fn tell(
        &mut self,
        incident: Uuid,
        told: Telling,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Reported, RegisterError> {
        let fact = Fact::Told { incident, told };
        self.judge(&fact, &[], actor.clone(), now)?;
        self.write(&fact, &[], actor, [], now)?;
        self.incident(incident).cloned().ok_or_else(|| RegisterError::Refused(vec!["it is not kept".to_owned()]))
    }

    /// All incidents, in the order in which they were reported.
    pub fn incidents(&self) -> Vec<&Reported> {
        let mut incidents: Vec<_> = self.state.incidents.values().collect();
        incidents.sort_by_key(|reported| reported.record);
        incidents
    }

    /// An incident.
    pub fn incident(&self, uuid: Uuid) -> Option<&Reported> {
        self.state.incidents.get(&uuid)
    }
}

/// Whom an incident of this case concerns: the agencies of its orders, in all revisions. Where it is delivered to
/// several, the orders name one only, and the destinations stand for the others.
fn agencies_of(case: &Case) -> BTreeSet<String> {
    let approved = case.revisions().iter().map(|revision| revision.warrant.warrant());
    let warrants: Vec<_> = approved.chain(case.waiting().map(|waiting| &*waiting.warrant)).collect();
    let mut agencies: BTreeSet<_> = warrants.iter().map(|warrant| warrant.order().agency.clone()).collect();
    let deliveries = warrants.iter().flat_map(|warrant| warrant.deliveries());
    let destinations: BTreeSet<_> = deliveries.map(|delivery| delivery.destination.clone()).collect();
    if destinations.len() > 1 {
        agencies.extend(destinations);
    }
    agencies
}
