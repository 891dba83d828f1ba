//! The deliver role: reads keys and certificates, gives up every capability, and runs one session for each endpoint of
//! each destination. PDUs come from shared memory; what the agency acknowledged is released there. Beside that it hands
//! the audit log's checkpoints, which control gives it, to the witnesses. It knows no target, no order and no kernel table.

use crate::config::Config;
use crate::ipc::{Channel, ChannelError, FromDeliver, FromRole, Outbox, ToDeliver};
use crate::roles::Inheritance;
use anyhow::Context;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use writ_capture::privileges;
use writ_delivery::{
    Ended, Session, SessionHandle, SessionSetup, Timing, Witness, WitnessHandle, WitnessLine, WitnessNews,
};
use writ_spool::{Consumer, Ledger, Wake};

/// How often the role looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);
/// How long the witnesses may take for what is under way at the end.
const LAST_TRY: Duration = Duration::from_secs(1);

/// The role's life.
pub(super) fn run(config: Config, inheritance: Inheritance, stop: &AtomicBool) -> anyhow::Result<()> {
    let Inheritance { supervisor, channels, ledger, streams } = inheritance;
    let [control] = <[_; 1]>::try_from(channels).map_err(|_| anyhow::anyhow!("the channel to control is missing"))?;
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
    let witnesses = config.witness.load(&config.probe.id)?;
    privileges::drop_all()?;
    let mut witnesses = Witnesses::start(witnesses, control)?;
    let sessions = setups.into_iter().map(Session::spawn).collect::<Result<Vec<_>, _>>()?;
    supervisor.send(&FromRole::Ready, &[])?;

    while !stop.load(Ordering::Relaxed) {
        if sessions.iter().any(SessionHandle::is_finished) {
            anyhow::bail!("a session ended: the memory of its stream is damaged");
        }
        witnesses.serve(TICK)?;
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
    witnesses.finish();
    Ok(())
}

/// The witnesses' threads, and what is to be told of them.
struct Witnesses {
    control: Channel,
    threads: Vec<WitnessHandle>,
    news: Receiver<FromDeliver>,
    unsent: Outbox<FromDeliver>,
}

impl Witnesses {
    fn start(witnesses: Vec<Witness>, control: Channel) -> std::io::Result<Self> {
        let (sender, news) = channel();
        let mut threads = Vec::new();
        for (witness, it) in witnesses.into_iter().enumerate() {
            let sender = sender.clone();
            threads.push(it.spawn(move |news| {
                let message = match news {
                    WitnessNews::Took(place) => FromDeliver::Witnessed { witness, place },
                    WitnessNews::Failed(what) => FromDeliver::WitnessAway { witness, what },
                };
                // The role ends: nobody needs it any more.
                drop(sender.send(message));
            })?);
        }
        let mut unsent = Outbox::new();
        unsent.push(FromDeliver::Hello);
        Ok(Self { control, threads, news, unsent })
    }

    /// Waits for a message of control, and passes on what came from either side.
    fn serve(&mut self, wait: Duration) -> Result<(), ChannelError> {
        match self.control.receive::<ToDeliver>(wait) {
            Ok(Some((ToDeliver::Checkpoint { witness, place, time, line }, _))) => {
                if let Some(thread) = self.threads.get(witness) {
                    thread.give(WitnessLine { place, time, line });
                }
            }
            Ok(None) => {}
            Err(error @ ChannelError::Unreadable(_)) => tracing::error!(%error, "a message of control is left"),
            Err(error) => return Err(error),
        }
        self.pass_on();
        Ok(())
    }

    fn pass_on(&mut self) {
        for message in self.news.try_iter() {
            self.unsent.push(message);
        }
        self.unsent.flush(&self.control, |_| Vec::new());
    }

    /// Hands over what is under way, and ends.
    fn finish(mut self) {
        let end = Instant::now() + LAST_TRY;
        for thread in std::mem::take(&mut self.threads) {
            thread.stop(end.saturating_duration_since(Instant::now()));
        }
        self.pass_on();
    }
}
