//! The deliver role: reads keys and certificates, gives up every capability, and runs one session for each stream of
//! each destination, to an agency's endpoint or into files of this machine. PDUs come from shared memory; what the agency
//! acknowledged is released there. It knows no target, no order and no kernel table. Beside its sessions it tries
//! destinations with made-up packets when the control role asks for it.

use crate::config::Config;
use crate::ipc::{Channel, ChannelError, FromDeliver, FromRole, ToDeliver};
use crate::roles::Inheritance;
use anyhow::Context;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use writ_capture::privileges;
use writ_delivery::{Ended, Predecessor, Route, Session, SessionHandle, SessionSetup, StreamKind, Timing, Trial};
use writ_encoder::t1_ias::{CaseId, IapSystemId};
use writ_spool::{Consumer, Ledger, Wake};

/// How often the role looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

/// The role's life.
pub(super) fn run(config: Config, life: u32, inheritance: Inheritance, stop: &AtomicBool) -> anyhow::Result<()> {
    let Inheritance { supervisor, channels, ledger, streams } = inheritance;
    let [control] = <[_; 1]>::try_from(channels).map_err(|_| anyhow::anyhow!("the channel to control is missing"))?;
    let ledger = Arc::new(Ledger::open(&ledger).context("the ledger's memory cannot be used")?);
    // The streams' memory is made anew with each run of the supervisor.
    let predecessor = if life == 0 { Predecessor::FormerRun } else { Predecessor::SameRun };
    let mut setups = Vec::new();
    let mut ways = Vec::new();
    let mut streams = streams.into_iter();
    for (index, destination) in config.destination.iter().enumerate() {
        let routes = destination.load(&format!("destination[{index}]"))?;
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
                notices: None,
            });
        }
        ways.push((destination.name.clone(), routes));
    }
    let trials = Trials { ways, iap: IapSystemId::new(&*config.probe.id)?, control };
    privileges::drop_all()?;
    let sessions = setups.into_iter().map(Session::spawn).collect::<Result<Vec<_>, _>>()?;
    supervisor.send(&FromRole::Ready, &[])?;

    while !stop.load(Ordering::Relaxed) {
        if sessions.iter().any(SessionHandle::is_finished) {
            anyhow::bail!("a session ended: the memory of its stream is damaged");
        }
        trials.listen(TICK)?;
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
    Ok(())
}

/// What trials of destinations take.
struct Trials {
    /// Name and routes, in the order of the configuration.
    ways: Vec<(String, [Route; 2])>,
    iap: IapSystemId,
    control: Channel,
}

impl Trials {
    /// Waits for a wish of the control role, and begins to carry it out.
    fn listen(&self, wait: Duration) -> Result<(), ChannelError> {
        let ToDeliver::Try { destination, case_id, packets } = match self.control.receive(wait) {
            Ok(Some((message, _))) => message,
            Ok(None) => return Ok(()),
            Err(ChannelError::Unreadable(error)) => {
                tracing::error!(%error, "a message is in no form that this version knows");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Err(error) = self.begin(destination, &case_id, packets) {
            tell(&self.control, case_id, Err(format!("{error:#}")));
        }
        Ok(())
    }

    /// Makes a trial in a thread of its own.
    fn begin(&self, destination: usize, case_id: &str, packets: u32) -> anyhow::Result<()> {
        let (destination, routes) = self.ways.get(destination).context("there is no such destination")?.clone();
        let trial = Trial { destination, routes, case_id: CaseId::new(case_id)?, iap: self.iap.clone(), packets };
        let (control, case_id) = (self.control.try_clone()?, case_id.to_owned());
        std::thread::Builder::new().name("trial".into()).spawn(move || {
            let outcome = trial.run().map_err(|error| error.to_string());
            tell(&control, case_id, outcome);
        })?;
        Ok(())
    }
}

fn tell(control: &Channel, case_id: String, outcome: Result<[writ_delivery::StreamTrial; 2], String>) {
    if let Err(error) = control.send(&FromDeliver::Tried { case_id, outcome }, &[]) {
        tracing::error!(%error, "the control role does not hear what became of a trial");
    }
}
