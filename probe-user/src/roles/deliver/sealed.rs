//! Which cases can be sealed, told to the control role, so that it takes no warrant whose records would wait for a key.

use crate::ipc::{Channel, FromDeliver, Outbox, SealedCases};
use writ_delivery::Route;
use writ_encoder::etsi::CaseKeys;

/// LIIDs in one message: each has 25 characters at most.
const CHUNK: usize = 2000;

/// What control is told.
pub(super) struct Sealed {
    control: Channel,
    /// By destination.
    words: Vec<(usize, SealedCases)>,
    unsent: Outbox<FromDeliver>,
}

impl Sealed {
    pub(super) fn new(control: Channel) -> Self {
        Self { control, words: Vec::new(), unsent: Outbox::new() }
    }

    /// A destination has these ways.
    pub(super) fn note(&mut self, destination: usize, routes: &[Route]) {
        if let Some(keys) = routes.iter().find_map(Route::case_keys) {
            self.words.extend(words(keys).into_iter().map(|cases| (destination, cases)));
        }
    }

    /// Tells everything, from the beginning.
    pub(super) fn tell(&mut self) {
        for (destination, cases) in &self.words {
            self.unsent.push(FromDeliver::Sealed { destination: *destination, cases: cases.clone() });
        }
    }

    /// Sends what control has room for.
    pub(super) fn pass_on(&mut self) {
        self.unsent.flush(&self.control, |_| Vec::new());
    }
}

fn words(keys: &CaseKeys) -> Vec<SealedCases> {
    let Some(liids) = keys.liids() else { return vec![SealedCases::All] };
    let chunks = liids.chunks(CHUNK).map(<[String]>::to_vec);
    chunks
        .enumerate()
        .map(|(place, chunk)| if place == 0 { SealedCases::These(chunk) } else { SealedCases::Also(chunk) })
        .collect()
}
