//! All numberings of one stream of a case, and what they say of it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Stream,
    pcapng::Source,
    sequence::{Arrival, Numbering},
};

/// Numberings of one stream that are remembered: a bound on what a sender can make the collector remember. Each session
/// of a target may have one; the one that was silent for longest is forgotten.
const MOST: usize = 256;

/// What numbers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event {
    /// The first of a source.
    Begins {
        /// Its number.
        first: u64,
    },
    /// These are missing.
    Gap {
        /// First that is missing.
        first: u64,
        /// Last that is missing.
        last: u64,
    },
    /// These had been missing.
    Filled {
        /// First that came.
        first: u64,
        /// Last that came.
        last: u64,
    },
    /// The sender counts anew.
    Restarted {
        /// The number it begins with.
        first: u64,
        /// The number that was expected.
        expected: u64,
    },
}

/// What is known of a PDU by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is filed already.
    Duplicate,
    /// It is new, in its order or not.
    New {
        /// Whether those behind it came before.
        is_late: bool,
        /// What is to be told.
        event: Option<Event>,
    },
}

/// The numberings of one stream.
#[derive(Debug, Default)]
pub(crate) struct Numberings {
    sources: BTreeMap<Source, Numbered>,
    /// Missing numbers of sources that were forgotten.
    missing_before: u64,
    taken: u64,
}

#[derive(Debug, Default)]
struct Numbered {
    numbering: Numbering,
    /// Late ones in a row that nobody was told of yet.
    filled: Option<(u64, u64)>,
    /// Of all that came, which was the last of it.
    last: u64,
}

impl Numberings {
    /// Takes the next PDU of a source; `digest` stands for everything in it.
    pub(crate) fn take(&mut self, source: &Source, sequence: u64, digest: u64) -> Known {
        self.taken += 1;
        if self.sources.len() >= MOST && !self.sources.contains_key(source) {
            self.forget_one();
        }
        // The name is copied for a new source alone.
        let numbered = match self.sources.get_mut(source) {
            Some(numbered) => numbered,
            None => self.sources.entry(source.clone()).or_default(),
        };
        numbered.last = self.taken;
        let new = |event| Known::New { is_late: false, event: Some(event) };
        match numbered.numbering.take(sequence, digest) {
            Arrival::InOrder => Known::New { is_late: false, event: None },
            Arrival::Duplicate => Known::Duplicate,
            Arrival::Late => {
                let event = match &mut numbered.filled {
                    Some((_, last)) if last.checked_add(1) == Some(sequence) => {
                        *last = sequence;
                        None
                    }
                    filled => filled.replace((sequence, sequence)).map(|(first, last)| Event::Filled { first, last }),
                };
                Known::New { is_late: true, event }
            }
            Arrival::First => new(Event::Begins { first: sequence }),
            Arrival::AfterGap { first, last } => new(Event::Gap { first, last }),
            Arrival::Restarted { expected } => new(Event::Restarted { first: sequence, expected }),
        }
    }

    /// Forgets the numbers of all sessions at `iap`: what comes begins anew.
    pub(crate) fn begin_anew(&mut self, source: &Source) {
        let (sources, missing_before) = (&mut self.sources, &mut self.missing_before);
        sources.retain(|known, numbered| {
            let stays = known.iap != source.iap || known.format != source.format;
            if !stays {
                *missing_before = missing_before.saturating_add(numbered.numbering.missing());
            }
            stays
        });
    }

    /// Late ones that nobody was told of yet.
    pub(crate) fn filled(&mut self) -> Vec<(Source, Event)> {
        let told = self.sources.iter_mut().filter_map(|(source, numbered)| {
            let (first, last) = numbered.filled.take()?;
            Some((source.clone(), Event::Filled { first, last }))
        });
        told.collect()
    }

    /// Numbers that are missing now, over all sources.
    pub(crate) fn missing(&self) -> u64 {
        let missing = self.sources.values().map(|numbered| numbered.numbering.missing());
        missing.fold(self.missing_before, u64::saturating_add)
    }

    /// Where each stands.
    pub(crate) fn stand(&self, stream: Stream) -> impl Iterator<Item = Value> {
        self.sources.iter().map(move |(source, Numbered { numbering, .. })| {
            json!({
                "stream": stream,
                "iap": source.iap,
                "content_identifier": source.content_identifier,
                "begun_at": numbering.begun_at(),
                "next": numbering.next(),
                "missing": numbering.missing(),
            })
        })
    }

    fn forget_one(&mut self) {
        let silent = self.sources.iter().min_by_key(|(_, numbered)| numbered.last).map(|(source, _)| source.clone());
        if let Some(forgotten) = silent.and_then(|source| self.sources.remove(&source)) {
            self.missing_before = self.missing_before.saturating_add(forgotten.numbering.missing());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Format;

    fn session(number: usize) -> Source {
        Source::of(Format::Etsi, "NE".to_owned(), format!("session {number}"))
    }

    #[test]
    fn the_source_that_was_silent_for_longest_is_forgotten_but_not_what_it_missed() {
        let mut numberings = Numberings::default();
        numberings.take(&session(0), 0, 1);
        numberings.take(&session(0), 5, 1);
        for number in 1..MOST {
            numberings.take(&session(number), 0, 1);
        }
        assert_eq!(numberings.take(&session(1), 0, 1), Known::Duplicate);
        numberings.take(&session(MOST), 0, 1);
        assert_eq!(numberings.missing(), 4);
        assert_eq!(numberings.take(&session(1), 0, 1), Known::Duplicate);
        let begins = Known::New { is_late: false, event: Some(Event::Begins { first: 6 }) };
        assert_eq!(numberings.take(&session(0), 6, 1), begins);
    }
}
