//! Messages that come a second time.
//!
//! Identifying information bears no sequence number. But a probe that reconnects sends again from the first message
//! that was not acknowledged, in the old order: its new connection begins with a tail of what was filed. So the first
//! messages of a connection are laid beside the [`History`] of their case; while they run along it they are repeats,
//! and from the first that does not they are new.

use std::collections::VecDeque;

/// Messages kept to be recognised: more than a probe's stream memory holds.
const WINDOW: usize = 1 << 20;
/// Places in the history that a beginning is tried at. Equal messages are rare: the time of each is to the microsecond.
const PLACES: usize = 16;

/// Digests of the last messages that were filed for one (case, intercept access point).
#[derive(Debug, Default)]
pub(crate) struct History {
    digests: VecDeque<u64>,
    /// How many older ones were forgotten.
    forgotten: u64,
}

/// How one connection stands to one history.
#[derive(Debug, Default)]
pub(crate) enum Replay {
    /// Nothing has come yet.
    #[default]
    Begins,
    /// Repeating; the next message is expected at one of these places.
    Repeats(Vec<u64>),
    /// Past everything old.
    Live,
}

impl History {
    /// Whether a message is a repeat. If not, it is remembered.
    pub(crate) fn repeats(&mut self, replay: &mut Replay, digest: u64) -> bool {
        let places = match replay {
            Replay::Begins => {
                let equal = self.digests.iter().enumerate().filter(|(_, known)| **known == digest);
                equal.map(|(index, _)| self.forgotten + index as u64).take(PLACES).collect()
            }
            Replay::Repeats(places) => {
                places.retain(|place| self.at(*place) == Some(digest));
                std::mem::take(places)
            }
            Replay::Live => Vec::new(),
        };
        if places.is_empty() {
            *replay = Replay::Live;
            self.remember(digest);
            return false;
        }
        *replay = Replay::Repeats(places.into_iter().map(|place| place + 1).collect());
        true
    }

    /// Adds a message that was filed.
    pub(crate) fn remember(&mut self, digest: u64) {
        if self.digests.len() == WINDOW {
            self.digests.pop_front();
            self.forgotten += 1;
        }
        self.digests.push_back(digest);
    }

    fn at(&self, place: u64) -> Option<u64> {
        let index = usize::try_from(place.checked_sub(self.forgotten)?).ok()?;
        self.digests.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(history: &mut History, replay: &mut Replay, digests: &[u64]) -> Vec<bool> {
        digests.iter().map(|digest| history.repeats(replay, *digest)).collect()
    }

    #[test]
    fn a_tail_that_is_sent_again_is_dropped() {
        let mut history = History::default();
        assert_eq!(take(&mut history, &mut Replay::default(), &[1, 2, 3, 4]), [false; 4]);
        assert_eq!(take(&mut history, &mut Replay::default(), &[3, 4, 5, 6]), [true, true, false, false]);
        assert_eq!(take(&mut history, &mut Replay::default(), &[6, 7]), [true, false]);
    }

    #[test]
    fn equal_messages_are_told_apart_by_what_follows() {
        let mut history = History::default();
        take(&mut history, &mut Replay::default(), &[1, 9, 1, 2]);
        assert_eq!(take(&mut history, &mut Replay::default(), &[1, 2, 3]), [true, true, false]);
    }

    #[test]
    fn within_a_connection_nothing_is_a_repeat() {
        let mut history = History::default();
        assert_eq!(take(&mut history, &mut Replay::default(), &[1, 1, 1, 2, 1]), [false; 5]);
    }

    #[test]
    fn a_window_that_moves_on_forgets() {
        let mut history = History::default();
        for digest in 0..WINDOW as u64 + 5 {
            history.remember(digest);
        }
        assert!(!history.repeats(&mut Replay::default(), 2));
        assert!(history.repeats(&mut Replay::default(), 9));
    }
}
