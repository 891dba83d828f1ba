//! The witnesses of the audit log: a thread each, given checkpoints by the control role, which hears what they took.

use crate::ipc::{Channel, FromDeliver, Outbox, WitnessWord};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use writ_delivery::{Witness, WitnessHandle, WitnessLine, WitnessNews};

/// How long the witnesses may take for what is under way at the end.
const LAST_TRY: Duration = Duration::from_secs(1);

/// The threads, and what is to be told of them.
pub(super) struct Witnesses {
    control: Channel,
    threads: Vec<WitnessHandle>,
    news: Receiver<WitnessWord>,
    unsent: Outbox<FromDeliver>,
}

impl Witnesses {
    pub(super) fn start(witnesses: Vec<Witness>, control: Channel) -> std::io::Result<Self> {
        let (sender, news) = channel();
        let mut threads = Vec::new();
        for (witness, it) in witnesses.into_iter().enumerate() {
            let sender = sender.clone();
            threads.push(it.spawn(move |news| {
                let word = match news {
                    WitnessNews::Took(place) => WitnessWord::Witnessed { witness, place },
                    WitnessNews::Failed(what) => WitnessWord::Away { witness, what },
                };
                // The role ends: nobody needs it any more.
                drop(sender.send(word));
            })?);
        }
        let mut unsent = Outbox::new();
        unsent.push(FromDeliver::Witness(WitnessWord::Hello));
        Ok(Self { control, threads, news, unsent })
    }

    /// A checkpoint for a witness.
    pub(super) fn give(&self, witness: usize, line: WitnessLine) {
        if let Some(thread) = self.threads.get(witness) {
            thread.give(line);
        }
    }

    /// Tells control what the witnesses said.
    pub(super) fn pass_on(&mut self) {
        for word in self.news.try_iter() {
            self.unsent.push(FromDeliver::Witness(word));
        }
        self.unsent.flush(&self.control, |_| Vec::new());
    }

    /// Hands over what is under way, and ends.
    pub(super) fn finish(mut self) {
        let end = Instant::now() + LAST_TRY;
        for thread in std::mem::take(&mut self.threads) {
            thread.stop(end.saturating_duration_since(Instant::now()));
        }
        self.pass_on();
    }
}
