//! Trials of destinations: made-up packets over the real way, at the word of the control role, each in a thread of its own.

use crate::ipc::{Channel, FromDeliver};
use anyhow::Context;
use writ_delivery::{Route, StreamTrial, Trial};
use writ_encoder::handover::Terms;
use writ_encoder::t1_ias::{CaseId, IapSystemId};

/// What trials take.
pub(super) struct Trials {
    /// Names, terms and routes, in the order of the configuration.
    ways: Vec<(String, Terms, [Route; 2])>,
    iap: IapSystemId,
    control: Channel,
}

impl Trials {
    pub(super) fn new(ways: Vec<(String, Terms, [Route; 2])>, probe: &str, control: Channel) -> anyhow::Result<Self> {
        Ok(Self { ways, iap: IapSystemId::new(probe)?, control })
    }

    /// Makes a trial in a thread of its own, which tells control what became of it.
    pub(super) fn begin(&self, destination: usize, case_id: String, packets: u32) {
        if let Err(error) = self.spawn(destination, &case_id, packets) {
            tell(&self.control, case_id, Err(format!("{error:#}")));
        }
    }

    fn spawn(&self, destination: usize, case_id: &str, packets: u32) -> anyhow::Result<()> {
        let (destination, terms, routes) = self.ways.get(destination).context("there is no such destination")?.clone();
        let trial =
            Trial { destination, routes, terms, case_id: CaseId::new(case_id)?, iap: self.iap.clone(), packets };
        let (control, case_id) = (self.control.try_clone()?, case_id.to_owned());
        std::thread::Builder::new().name("trial".into()).spawn(move || {
            let outcome = trial.run().map(Box::new).map_err(|error| error.to_string());
            tell(&control, case_id, outcome);
        })?;
        Ok(())
    }
}

fn tell(control: &Channel, case_id: String, outcome: Result<Box<[StreamTrial; 2]>, String>) {
    if let Err(error) = control.send(&FromDeliver::Tried { case_id, outcome }, &[]) {
        tracing::error!(%error, "the control role does not hear what became of a trial");
    }
}
