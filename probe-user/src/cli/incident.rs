//! `writ incident ...`: a lawful interception that was compromised, or one without authority: what, when it was found and
//! by whom, which cases; and which agency was told by whom, when and how.

use super::{CommandError, Outcome, SocketArgs, output, reply};
use crate::ipc::{IncidentLine, IncidentReport, Reply, Request, ask};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use uuid::Uuid;
use writ_authority::Telling;

#[derive(Debug, Subcommand)]
pub(super) enum IncidentCommand {
    /// Report an incident; says which agencies are to be told.
    New(NewArgs),
    /// All incidents of your cases.
    List(SocketArgs),
    /// One incident.
    Show(ShowArgs),
    /// Note that an agency was told.
    Told(ToldArgs),
}

/// What has happened.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Breach {
    /// Somebody learned of an interception, or got at what it takes, who may not.
    Compromise,
    /// Something was intercepted without authority.
    UnlawfulInterception,
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// What it is.
    #[arg(long, value_enum)]
    breach: Breach,
    /// What has happened, in words.
    #[arg(long)]
    what: String,
    /// When it was found out, RFC 3339.
    #[arg(long)]
    found: Timestamp,
    /// Who found it.
    #[arg(long)]
    found_by: String,
    /// A case that it concerns; give the option once for each.
    #[arg(long = "case", value_name = "UUID")]
    cases: Vec<Uuid>,
    /// An agency to be told besides those of the cases; give the option once for each.
    #[arg(long = "agency", required_unless_present = "cases")]
    agencies: Vec<String>,
    /// Among whom it is known; else among those who know the first case.
    #[arg(long)]
    compartment: Option<String>,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The incident.
    uuid: Uuid,
    #[command(flatten)]
    socket: SocketArgs,
}

#[derive(Debug, Args)]
pub(super) struct ToldArgs {
    /// The incident.
    uuid: Uuid,
    /// The agency, as the incident names it.
    agency: String,
    /// Who told it.
    #[arg(long)]
    by: String,
    /// How: whom they spoke to, by what means.
    #[arg(long)]
    how: String,
    /// When, RFC 3339; else now.
    #[arg(long)]
    at: Option<Timestamp>,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(command: &IncidentCommand) -> Result<Outcome, CommandError> {
    let (socket, request) = match command {
        IncidentCommand::New(args) => {
            let breach = args.breach.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default();
            let report = IncidentReport {
                breach,
                what: args.what.clone(),
                found: args.found,
                found_by: args.found_by.clone(),
                compartment: args.compartment.clone(),
                cases: args.cases.clone(),
                agencies: args.agencies.clone(),
            };
            (&args.socket, Request::IncidentReport(Box::new(report)))
        }
        IncidentCommand::List(socket) => (socket, Request::IncidentList),
        IncidentCommand::Show(args) => (&args.socket, Request::IncidentShow { uuid: args.uuid }),
        IncidentCommand::Told(args) => {
            let (agency, by, how) = (args.agency.clone(), args.by.clone(), args.how.clone());
            let telling = Telling { agency, by, how, at: args.at.unwrap_or_else(Timestamp::now) };
            (&args.socket, Request::IncidentTold { uuid: args.uuid, telling: Box::new(telling) })
        }
    };
    reply::show(ask(&socket.path()?, &request).map_err(CommandError::failed)?, socket.json, say)
}

fn say(reply: Reply) {
    match reply {
        Reply::Incident(incident) => print(&incident),
        Reply::Incidents(incidents) => {
            let row = |it: &IncidentLine| {
                let untold = if it.untold.is_empty() { "nobody".to_owned() } else { it.untold.join(", ") };
                vec![it.uuid.to_string(), it.found.to_string(), it.breach.clone(), it.cases.len().to_string(), untold]
            };
            let rows: Vec<_> = incidents.iter().map(row).collect();
            output::table(&["incident", "found", "breach", "cases", "to be told"], &rows);
        }
        other => output::json(&other),
    }
}

fn print(incident: &IncidentLine) {
    let IncidentLine { uuid, breach, what, found, found_by, compartment, cases, reported, sha256, untold, told } =
        incident;
    output::line(&format!("incident {uuid}: {breach}"));
    output::line(&format!("what: {what}"));
    output::line(&format!("found {found} by {found_by}, reported {reported}, known to compartment {compartment}"));
    cases.iter().for_each(|case| output::line(&format!("case: {case}")));
    output::line(&format!("sha256 {sha256}"));
    for Telling { agency, by, how, at } in told {
        output::line(&format!("told: {agency}, {at}, by {by}: {how}"));
    }
    untold.iter().for_each(|agency| output::line(&format!("to be told: {agency}")));
}
