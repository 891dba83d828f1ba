//! `writ explain SLOT`: where an intercept's packets stop, by slot and without an identity.

use super::{CommandError, Outcome, SocketArgs, output, reply};
use crate::ipc::{Reply, Request, ask};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The slot, as `writ status` and `writ warrant list` show it.
    slot: u16,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(args: &ExplainArgs) -> Result<Outcome, CommandError> {
    let answer = ask(&args.socket.path()?, &Request::SlotTrace { slot: args.slot }).map_err(CommandError::failed)?;
    reply::show(answer, args.socket.json, say)
}

fn say(reply: Reply) {
    let Reply::SlotTrace(trace) = reply else { return output::json(&reply) };
    output::line(&format!("slot {}, generation {}", trace.slot.slot, trace.slot.generation));
    let rows: Vec<_> = trace
        .stages
        .iter()
        .map(|stage| vec![stage.name.clone(), stage.state.word().to_owned(), stage.says.clone()])
        .collect();
    output::table(&["stage", "state", "what is there"], &rows);
    output::line("");
    output::line(&trace.verdict);
    let stopping = trace.stages.iter().find(|stage| Some(&stage.name) == trace.stops_at.as_ref());
    let figures =
        stopping.map(|stage| stage.figures.iter().map(|(name, it)| format!("{name} {it}")).collect::<Vec<_>>());
    if let Some(figures) = figures.filter(|figures| !figures.is_empty()) {
        output::line(&format!("  {}", figures.join(", ")));
    }
}
