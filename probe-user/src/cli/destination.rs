//! `writ destination ...`: the way to an agency, tried before the day on which it is needed.

use super::{CommandError, Outcome, SocketArgs, output, reply};
use crate::config::Config;
use crate::ipc::{Reply, Request, RequestError, TrialReport, ask};
use crate::roles::control::{caller, test_alone};
use clap::{Args, Subcommand};
use writ_delivery::StreamTrial;

#[derive(Debug, Subcommand)]
pub(super) enum DestinationCommand {
    /// Send made-up packets, marked as a test in every record, the way that an intercept's would go. Needs no warrant and
    /// takes nothing from a tap.
    Test(TestArgs),
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The destination, as the configuration names it.
    destination: String,
    /// How many packets.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(writ_delivery::MOST_PACKETS)))]
    count: u32,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(command: &DestinationCommand) -> Result<Outcome, CommandError> {
    let DestinationCommand::Test(args) = command;
    let request = Request::DestinationTest { destination: args.destination.clone(), packets: args.count };
    let answer = match ask(&args.socket.path()?, &request) {
        Ok(answer) => answer,
        // No probe runs: the same is done here, under the audit log's own lock.
        Err(RequestError::Connect { .. }) if args.socket.socket.is_none() => {
            let config = Config::load(&args.socket.config.config).map_err(CommandError::input)?;
            std::fs::create_dir_all(&config.probe.state)
                .map_err(|error| CommandError::Failed(anyhow::anyhow!("{}: {error}", config.probe.state.display())))?;
            test_alone(&config, &args.destination, args.count, caller()).map_err(CommandError::failed)?
        }
        Err(error) => return Err(CommandError::failed(error)),
    };
    let good = !matches!(&answer, Reply::DestinationTested(report) if !report.is_good());
    let outcome = reply::show(answer, args.socket.json, say)?;
    Ok(if good { outcome } else { Outcome::Negative })
}

fn say(reply: Reply) {
    match reply {
        Reply::DestinationTested(report) => print(&report),
        other => output::json(&other),
    }
}

fn print(report: &TrialReport) {
    output::line(&format!(
        "TEST of destination {}: {} made-up packets, case {}; no interception",
        report.destination, report.packets, report.case_id
    ));
    for stream in &report.streams {
        print_stream(stream);
    }
}

fn print_stream(stream: &StreamTrial) {
    let name = stream.stream.name();
    if stream.records == 0 && stream.failure.is_none() {
        return output::line(&format!("{name} to {}: the format has none", stream.to));
    }
    if let (Some(peer), Some(after)) = (&stream.peer, stream.open_ms) {
        let way = match &peer.tls {
            Some(tls) => format!(
                "{}, certificate of {}, issued by {}, good until {}, sha256 {}",
                tls.version, tls.subject, tls.issuer, tls.until, tls.sha256
            ),
            None => "unprotected".to_owned(),
        };
        output::line(&format!(
            "{name} to {}: {} {} after {after} ms, {way}",
            stream.to,
            if stream.in_datagrams { "sending to" } else { "connected to" },
            peer.address
        ));
    } else {
        output::line(&format!("{name} to {}", stream.to));
    }
    let outcome = if stream.in_datagrams { "not refused (nothing confirms a datagram)" } else { "acknowledged" };
    output::line(&format!(
        "{name}: {} of {} records sent, {} {outcome}, after {} ms",
        stream.sent, stream.records, stream.acknowledged, stream.done_ms
    ));
    match &stream.failure {
        Some(failure) => output::line(&format!("{name}: FAILED: {} ({})", failure.message, failure.detail)),
        None => output::line(&format!("{name}: good")),
    }
}
