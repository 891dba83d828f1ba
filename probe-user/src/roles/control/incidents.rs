//! Incidents at the control socket: a compromise, or an interception without authority, with the agencies that are to be
//! told of it. The register keeps them; until every agency is told, the probe's status says that there is something to do.

use super::Control;
use super::access::{Asker, Whose};
use super::authority::{entry, reply};
use super::cases;
use crate::ipc::{IncidentLine, IncidentReport, Reply};
use jiff::Timestamp;
use uuid::Uuid;
use writ_authority::{Act, Actor, Outcome, Register, Report, Reported, Telling, Warrant};

/// Whose an incident is: its compartment's, and that of whoever may see all cases that it concerns.
pub(super) fn whose(asker: &Asker, register: &Register, reported: &Reported) -> Whose {
    let incident = &reported.incident;
    let is_theirs = |uuid: &Uuid| cases::whose(asker, register.case(*uuid)) == Whose::Theirs;
    if asker.deals_with(incident.compartment()) && incident.cases().iter().all(is_theirs) {
        Whose::Theirs
    } else {
        Whose::NotTheirs
    }
}

impl Control {
    pub(super) fn report_incident(&mut self, report: IncidentReport, actor: Actor) -> Reply {
        let IncidentReport { breach, what, found, found_by, compartment, cases, agencies } = report;
        let register = self.authority.register_mut();
        let first = cases.first().and_then(|uuid| register.case(*uuid)?.warrant()).map(Warrant::compartment);
        let compartment = compartment.unwrap_or_else(|| first.cloned().unwrap_or_default().to_string());
        let report = Report { breach, what, found, found_by, compartment, cases, agencies };
        match register.report(&report, actor, Timestamp::now()) {
            Ok(reported) => {
                tracing::error!("ALARM: an incident is reported; see `writ incident list` for whom to tell");
                self.witnesses.hurry();
                Reply::Incident(Box::new(line(&reported)))
            }
            Err(error) => reply("the incident is not kept", error),
        }
    }

    pub(super) fn note_told(&mut self, uuid: Uuid, telling: Telling, actor: Actor) -> Reply {
        match self.authority.register_mut().tell(uuid, telling, actor, Timestamp::now()) {
            Ok(reported) => Reply::Incident(Box::new(line(&reported))),
            Err(error) => reply("it is not kept", error),
        }
    }

    pub(super) fn list_incidents(&mut self, asker: &Asker) -> Reply {
        if let Err(reply) = self.incidents_viewed(None, asker.actor.clone()) {
            return reply;
        }
        let register = self.authority.register();
        let incidents = register.incidents();
        let theirs = incidents.into_iter().filter(|incident| whose(asker, register, incident) == Whose::Theirs);
        Reply::Incidents(theirs.map(line).collect())
    }

    pub(super) fn show_incident(&mut self, uuid: Uuid, actor: Actor) -> Reply {
        if let Err(reply) = self.incidents_viewed(Some(uuid), actor) {
            return reply;
        }
        match self.authority.register().incident(uuid) {
            Some(reported) => Reply::Incident(Box::new(line(reported))),
            None => Reply::Refused { reasons: vec![format!("there is no incident {uuid}; see `writ incident list`")] },
        }
    }

    /// Incidents of which an agency is still to be told.
    pub(super) fn untold(&self) -> usize {
        let incidents = self.authority.register().incidents();
        incidents.iter().filter(|incident| incident.untold().next().is_some()).count()
    }

    fn incidents_viewed(&mut self, incident: Option<Uuid>, actor: Actor) -> Result<(), Reply> {
        let details = incident.map(|uuid| ("incident", uuid.to_string()));
        let record = entry(Act::IncidentView, Outcome::Done, actor, None, details);
        self.authority.record(record).map_err(|error| Reply::Failed { error: error.to_string() })
    }
}

fn line(reported: &Reported) -> IncidentLine {
    let incident = &reported.incident;
    IncidentLine {
        uuid: incident.uuid(),
        breach: incident.breach().as_str().to_owned(),
        what: incident.what().to_owned(),
        found: incident.found(),
        found_by: incident.found_by().to_owned(),
        compartment: incident.compartment().to_owned(),
        cases: incident.cases().to_vec(),
        reported: reported.at,
        sha256: incident.digest().to_string(),
        untold: reported.untold().map(str::to_owned).collect(),
        told: reported.told.clone(),
    }
}
