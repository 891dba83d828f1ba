//! A destination as the capture role knows it: the format and what is agreed on for it. No address of an agency, no key.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;
use writ_delivery::Destination;
use writ_encoder::handover::{SummaryTerms, Terms};
use writ_flows::Settings;

/// See the module.
#[derive(Clone, Debug)]
pub struct Recipient {
    terms: Terms,
    summaries: Option<Settings>,
}

impl Recipient {
    /// One that takes these terms, and each packet told of.
    pub fn new(terms: Terms) -> Self {
        Self { terms, summaries: None }
    }

    /// All of a configuration, each in its place: orders name them by it. None if a section lacks something, which a check
    /// of the configuration tells.
    pub fn all(destinations: &[Destination]) -> Option<Vec<Self>> {
        destinations.iter().map(Self::of).collect()
    }

    fn of(destination: &Destination) -> Option<Self> {
        Some(Self { terms: destination.terms()?, summaries: destination.summaries.map(settings) })
    }

    /// What is agreed on.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// When flows are told of, where that stands in place of reports.
    pub fn summaries(&self) -> Option<&Settings> {
        self.summaries.as_ref()
    }
}

fn settings(terms: SummaryTerms) -> Settings {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Settings {
        at_start: terms.at_start,
        at_end: terms.at_end,
        idle_timeout: seconds(terms.idle_seconds),
        period: (terms.period_seconds > 0).then(|| seconds(terms.period_seconds)),
        packet_count: NonZeroU64::new(terms.packet_count),
        most_flows: NonZeroU32::new(terms.most_flows).unwrap_or(NonZeroU32::MIN),
    }
}
