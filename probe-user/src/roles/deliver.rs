//! The deliver role: reads keys and certificates, gives up every capability, and runs one session for each stream of
//! each destination, to an agency's endpoint or into files of this machine. PDUs come from shared memory; what the agency
//! acknowledged is released there, and goes into digests. It knows no target, no order and no kernel table. Beside its sessions, and at the word of
//! the control role, it tries destinations with made-up packets and hands checkpoints of the audit log to witnesses.

mod sealed;
mod trials;
mod witnesses;

use crate::config::Config;
use crate::ipc::{ChannelError, FromRole, ToDeliver};
use crate::roles::Inheritance;
use anyhow::Context;
use sealed::Sealed;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use trials::Trials;
use witnesses::Witnesses;
use writ_capture::privileges;
use writ_delivery::{
    DeliveredFile, DigestSheet, Ended, Predecessor, Session, SessionHandle, SessionSetup, StreamKind, Timing,
    WitnessLine, close_windows,
};
use writ_spool::{Consumer, Ledger, Wake};

/// How often the role looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);
/// How often the digests of what was delivered are brought to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The role's life.
pub(super) fn run(config: Config, life: u32, inheritance: Inheritance, stop: &AtomicBool) -> anyhow::Result<()> {
    let Inheritance { supervisor, channels, ledger, delivered, streams } = inheritance;
    let [control] = <[_; 1]>::try_from(channels).map_err(|_| anyhow::anyhow!("the channel to control is missing"))?;
    let ledger = Arc::new(Ledger::open(&ledger).context("the ledger's memory cannot be used")?);
    let delivered = delivered.context("the file of what was delivered is missing")?;
    let delivered = Arc::new(DeliveredFile::open(delivered).context("the file of what was delivered cannot be read")?);
    // The streams' memory is made anew with each run of the supervisor.
    let predecessor = if life == 0 { Predecessor::FormerRun } else { Predecessor::SameRun };
    let mut setups = Vec::new();
    let mut ways = Vec::new();
    let mut sealed = Sealed::new(control.try_clone()?);
    let mut streams = streams.into_iter();
    for (index, destination) in config.destination.iter().enumerate() {
        let routes = destination.load(&format!("destination[{index}]"))?;
        sealed.note(index, &routes);
        for (kind, route) in StreamKind::ALL.into_iter().zip(routes.clone()) {
            let stream = streams.next().context("a stream's memory is missing")?;
            let consumer = Consumer::open(&stream.memory, Wake::from_fd(stream.wake), Arc::clone(&ledger))
                .context("a stream's memory cannot be used")?;
            setups.push(SessionSetup {
                label: format!("{} {}", destination.name, kind.name()),
                route,
                predecessor,
                consumer,
                ledger: Arc::clone(&ledger),
                stream: setups.len(),
                timing: Timing::default(),
                digests: Some(DigestSheet {
                    file: Arc::clone(&delivered),
                    stream: kind,
                    is_wanted: destination.keeps_digests(kind),
                }),
                notices: None,
            });
        }
        let terms = destination.terms().context("a destination's section lacks something; see writ check-config")?;
        ways.push((destination.name.clone(), terms, routes));
    }
    let trials = Trials::new(ways, &config.probe.id, control.try_clone()?)?;
    let witnesses = config.witness.load(&config.probe.id)?;
    privileges::drop_all()?;
    let mut witnesses = Witnesses::start(witnesses, control.try_clone()?)?;
    let sessions = setups.into_iter().map(Session::spawn).collect::<Result<Vec<_>, _>>()?;
    sealed.tell();
    supervisor.send(&FromRole::Ready, &[])?;

    let mut synced = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if sessions.iter().any(SessionHandle::is_finished) {
            anyhow::bail!("a session ended: the memory of its stream is damaged");
        }
        match control.receive(TICK) {
            Ok(Some((ToDeliver::Try { destination, case_id, packets }, _))) => {
                trials.begin(destination, case_id, packets);
            }
            Ok(Some((ToDeliver::Checkpoint { witness, place, time, line }, _))) => {
                witnesses.give(witness, WitnessLine { place, time, line });
            }
            Ok(Some((ToDeliver::TellSealed, _))) => sealed.tell(),
            Ok(None) => {}
            Err(error @ ChannelError::Unreadable(_)) => tracing::error!(%error, "a message of control is left"),
            Err(error) => return Err(error.into()),
        }
        witnesses.pass_on();
        sealed.pass_on();
        close_windows(&ledger, &delivered);
        if synced.elapsed() >= SYNC_EVERY {
            delivered.sync();
            synced = Instant::now();
        }
    }
    let limit = Duration::from_secs(config.spool.drain_seconds.into());
    for session in &sessions {
        session.stop(limit);
    }
    for session in sessions {
        match session.join() {
            Ok(Ended::Drained) => {}
            Ok(Ended::Undrained) => tracing::warn!("a destination did not take all that was queued for it"),
            Ok(Ended::Damaged(error)) => tracing::error!(%error, "a stream's memory is damaged"),
            Err(_) => tracing::error!("a session panicked"),
        }
    }
    // What has ended by now leaves its slot.
    close_windows(&ledger, &delivered);
    delivered.sync();
    witnesses.finish();
    Ok(())
}
