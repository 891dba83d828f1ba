//! The deliver role: reads keys and certificates, gives up every capability, and runs one session for each endpoint of
//! each destination. PDUs come from shared memory; what the agency acknowledged is released there. It knows no target,
//! no order and no kernel table.

use crate::config::Config;
use crate::ipc::FromRole;
use crate::roles::Inheritance;
use anyhow::Context;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use writ_capture::privileges;
use writ_delivery::{Ended, Session, SessionHandle, SessionSetup, Timing};
use writ_spool::{Consumer, Ledger, Wake};

/// How often the role looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

/// The role's life.
pub(super) fn run(config: Config, inheritance: Inheritance, stop: &AtomicBool) -> anyhow::Result<()> {
    let Inheritance { supervisor, ledger, streams, .. } = inheritance;
    let ledger = Arc::new(Ledger::open(&ledger).context("the ledger's memory cannot be used")?);
    let mut setups = Vec::new();
    let mut streams = streams.into_iter();
    for (index, destination) in config.destination.iter().enumerate() {
        let (cmii, cmc) = destination.load(&format!("destination[{index}]"))?;
        for (kind, endpoint, transport) in
            [("cmii", destination.cmii.clone(), cmii), ("cmc", destination.cmc.clone(), cmc)]
        {
            let stream = streams.next().context("a stream's memory is missing")?;
            let consumer = Consumer::open(&stream.memory, Wake::from_fd(stream.wake), Arc::clone(&ledger))
                .context("a stream's memory cannot be used")?;
            setups.push(SessionSetup {
                label: format!("{} {kind}", destination.name),
                endpoint,
                transport,
                consumer,
                ledger: Arc::clone(&ledger),
                stream: setups.len(),
                timing: Timing::default(),
            });
        }
    }
    privileges::drop_all()?;
    let sessions = setups.into_iter().map(Session::spawn).collect::<Result<Vec<_>, _>>()?;
    supervisor.send(&FromRole::Ready, &[])?;

    while !stop.load(Ordering::Relaxed) {
        if sessions.iter().any(SessionHandle::is_finished) {
            anyhow::bail!("a session ended: the memory of its stream is damaged");
        }
        std::thread::sleep(TICK);
    }
    let limit = Duration::from_secs(config.spool.drain_seconds.into());
    for session in &sessions {
        session.stop(limit);
    }
    for session in sessions {
        match session.join() {
            Ok(Ended::Drained) => {}
            Ok(Ended::Undrained) => tracing::warn!("an agency did not take all that was queued for it"),
            Ok(Ended::Damaged(error)) => tracing::error!(%error, "a stream's memory is damaged"),
            Err(_) => tracing::error!("a session panicked"),
        }
    }
    Ok(())
}
