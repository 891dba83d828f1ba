//! Sequence numbers: what is in order, missing, late or there twice.
//!
//! One [`Numbering`] follows one run of numbers, that of a (case, intercept access point, content identifier). Most formats
//! tell the lower 32 bits of a number: what comes behind the last of them goes on from there. A probe
//! that lost a connection sends again what was not acknowledged, so old numbers come back. A packet is dropped as a
//! duplicate only when its number AND its digest are those of a packet that is filed already: a probe that lost its
//! memory begins to number anew, and what it sends then must not be thrown away.

use std::collections::VecDeque;

/// How many numbers back a packet is still recognised. More than a probe's stream memory holds of small packets.
const WINDOW: usize = 1 << 20;
/// How many numbers there are of 32 bits.
const TURN: u64 = 1 << 32;
/// Stands in the window for a number that has not come.
const MISSING: u64 = 0;

/// One run of sequence numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    begun_at: Option<u64>,
    next: u64,
    /// Digests of the packets numbered `next - recent.len() .. next`.
    recent: VecDeque<u64>,
    missing: u64,
}

/// What a packet is to its numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The first one seen.
    First,
    /// The one expected.
    InOrder,
    /// Numbers `first..=last` were jumped over.
    AfterGap {
        /// First number that is missing.
        first: u64,
        /// Last number that is missing.
        last: u64,
    },
    /// It had been missing.
    Late,
    /// It is filed already.
    Duplicate,
    /// It bears a number that is gone by or belongs to another packet: the sender counts anew.
    Restarted {
        /// The number that was expected.
        expected: u64,
    },
}

impl Numbering {
    /// Takes the next packet; `digest` stands for everything in it.
    pub(crate) fn take(&mut self, sequence: u64, digest: u64) -> Arrival {
        let digest = if digest == MISSING { 1 } else { digest };
        if self.begun_at.is_none() {
            self.begin(sequence, digest);
            return Arrival::First;
        }
        let sequence = self.turned(sequence);
        if sequence >= self.next {
            let first = self.next;
            let jumped = sequence - first;
            if usize::try_from(jumped).is_ok_and(|jumped| jumped < WINDOW) {
                for _ in 0..jumped {
                    self.push(MISSING);
                }
            } else {
                self.recent.clear();
            }
            self.push(digest);
            self.next = sequence.saturating_add(1);
            self.missing = self.missing.saturating_add(jumped);
            return if jumped == 0 { Arrival::InOrder } else { Arrival::AfterGap { first, last: sequence - 1 } };
        }
        let back = usize::try_from(self.next - sequence).unwrap_or(usize::MAX);
        let place = self.recent.len().checked_sub(back).and_then(|index| self.recent.get_mut(index));
        match place {
            Some(place) if *place == MISSING => {
                *place = digest;
                self.missing = self.missing.saturating_sub(1);
                Arrival::Late
            }
            Some(place) if *place == digest => Arrival::Duplicate,
            _ => {
                let expected = self.next;
                self.begin(sequence, digest);
                Arrival::Restarted { expected }
            }
        }
    }

    /// A number of 32 bits that is near the one expected once its upper bits are put back.
    fn turned(&self, sequence: u64) -> u64 {
        let near = |number: &u64| number.abs_diff(self.next) < WINDOW as u64;
        if sequence >= TURN || near(&sequence) {
            return sequence;
        }
        let begin = self.next - self.next % TURN;
        let turns = [begin.checked_sub(TURN), Some(begin), begin.checked_add(TURN)];
        turns.into_iter().flatten().filter_map(|begin| begin.checked_add(sequence)).find(near).unwrap_or(sequence)
    }

    /// First number of the present run, if any came.
    pub(crate) fn begun_at(&self) -> Option<u64> {
        self.begun_at
    }

    /// The number that is expected next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Numbers that were jumped over and have not come since, over all runs.
    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    fn begin(&mut self, sequence: u64, digest: u64) {
        self.begun_at = Some(sequence);
        self.next = sequence.saturating_add(1);
        self.recent.clear();
        self.recent.push_back(digest);
    }

    fn push(&mut self, digest: u64) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_reported_and_filled() {
        let mut numbering = Numbering::default();
        assert_eq!(numbering.take(7, 70), Arrival::First);
        assert_eq!(numbering.take(8, 80), Arrival::InOrder);
        assert_eq!(numbering.take(12, 120), Arrival::AfterGap { first: 9, last: 11 });
        assert_eq!(numbering.missing(), 3);
        assert_eq!(numbering.take(10, 100), Arrival::Late);
        assert_eq!(numbering.take(10, 100), Arrival::Duplicate);
        assert_eq!(numbering.missing(), 2);
        assert_eq!(numbering.take(13, 130), Arrival::InOrder);
    }

    #[test]
    fn what_is_sent_again_is_a_duplicate_and_what_is_numbered_anew_is_not() {
        let mut numbering = Numbering::default();
        for sequence in 1..100 {
            numbering.take(sequence, sequence * 3);
        }
        for sequence in 50..100 {
            assert_eq!(numbering.take(sequence, sequence * 3), Arrival::Duplicate);
        }
        assert_eq!(numbering.take(100, 300), Arrival::InOrder);
        assert_eq!(numbering.take(1, 4), Arrival::Restarted { expected: 101 });
        assert_eq!(numbering.take(2, 6), Arrival::InOrder);
    }

    #[test]
    fn no_number_is_too_large() {
        let mut numbering = Numbering::default();
        numbering.take(0, 0);
        assert_eq!(numbering.take(u64::MAX, 1), Arrival::AfterGap { first: 1, last: u64::MAX - 1 });
        numbering.take(u64::MAX, 1);
        numbering.take(0, 2);
        numbering.take(u64::MAX - 1, 1);
    }

    #[test]
    fn numbers_of_32_bits_go_on_behind_the_last() {
        let mut numbering = Numbering::default();
        numbering.take(TURN - 2, 1);
        assert_eq!(numbering.take(TURN - 1, 2), Arrival::InOrder);
        assert_eq!(numbering.take(1, 4), Arrival::AfterGap { first: TURN, last: TURN });
        assert_eq!(numbering.take(TURN - 1, 2), Arrival::Duplicate);
        assert_eq!(numbering.take(0, 3), Arrival::Late);
        assert_eq!(numbering.take(2, 5), Arrival::InOrder);
        assert_eq!(numbering.take(1 << 30, 6), Arrival::Restarted { expected: TURN + 3 });
    }

    #[test]
    fn what_is_older_than_the_window_is_kept() {
        let mut numbering = Numbering::default();
        for sequence in 0..WINDOW as u64 + 10 {
            numbering.take(sequence, sequence + 1);
        }
        assert_eq!(numbering.take(10, 11), Arrival::Duplicate);
        assert!(matches!(numbering.take(9, 10), Arrival::Restarted { .. }));
    }
}
