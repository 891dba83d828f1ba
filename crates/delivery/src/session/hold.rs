//! What an agency's kernel has taken and its program may not have read yet: held for a while before it is released.

use super::Timing;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Acknowledged bytes that are not released yet; see [`Timing::hold`].
pub(super) struct Hold {
    time: Duration,
    bytes: u64,
    /// Acknowledged up to here by then, one mark a grain of time, oldest first.
    marks: VecDeque<(u64, Instant)>,
    acknowledged: u64,
    due: u64,
}

impl Hold {
    /// So many marks cover the time.
    const GRAINS: u32 = 16;

    pub(super) fn new(time: Duration, timing: &Timing, capacity: u64) -> Self {
        let bytes = timing.hold_bytes.min(capacity / 4);
        Self { time, bytes, marks: VecDeque::new(), acknowledged: 0, due: 0 }
    }

    pub(super) fn acknowledged(&mut self, bytes: u64, now: Instant) {
        if bytes == self.acknowledged {
            return;
        }
        self.acknowledged = bytes;
        match self.marks.back_mut() {
            Some((mark, begun)) if now.saturating_duration_since(*begun) < self.time / Self::GRAINS => *mark = bytes,
            _ => self.marks.push_back((bytes, now)),
        }
    }

    /// Bytes that may be released now.
    pub(super) fn due(&mut self, now: Instant) -> u64 {
        // A mark's last bytes are up to one grain younger than the mark.
        let old = self.time + self.time / Self::GRAINS;
        while let Some((bytes, _)) = self.marks.pop_front_if(|(_, begun)| now.saturating_duration_since(*begun) >= old)
        {
            self.due = bytes;
        }
        self.due = self.due.max(self.acknowledged.saturating_sub(self.bytes));
        self.due
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.marks.front().map(|(_, begun)| *begun + self.time + self.time / Self::GRAINS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_bytes_are_released_when_old_or_too_many() {
        let timing = Timing { hold: Duration::from_secs(1), hold_bytes: 100, ..Timing::default() };
        let mut hold = Hold::new(timing.hold, &timing, 1 << 20);
        let begun = Instant::now();
        hold.acknowledged(80, begun);
        assert_eq!(hold.due(begun), 0);
        hold.acknowledged(150, begun + Duration::from_millis(500));
        assert_eq!(hold.due(begun + Duration::from_millis(500)), 50, "all but the last hundred");
        assert_eq!(hold.due(begun + Duration::from_millis(1100)), 80, "the first ones are old enough");
        assert_eq!(hold.due(begun + Duration::from_millis(1600)), 150);
        assert!(hold.next_due().is_none());
        assert_eq!(Hold::new(timing.hold, &timing, 40).bytes, 10, "never more than a quarter of the memory");
    }
}
