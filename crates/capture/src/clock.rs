//! Two clocks and what lies between them. The kernel stamps and judges packets by `CLOCK_BOOTTIME`, which nobody can
//! set; orders and handovers speak UTC. A [`ClockOffset`] is a sample of the difference, taken again from time to
//! time by whoever arms slots and encodes.

use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// The difference between UTC and `CLOCK_BOOTTIME` at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// UTC minus boot time, nanoseconds.
    offset_ns: i64,
    /// The sample is off by no more than this, nanoseconds.
    doubt_ns: u64,
}

/// How often a sample is tried: an interruption between the readings makes it wide, so the narrowest counts.
const TRIES: usize = 5;

impl ClockOffset {
    /// Reads both clocks.
    pub fn sample() -> Self {
        let mut best = Self::once();
        for _ in 1..TRIES {
            let next = Self::once();
            if next.doubt_ns < best.doubt_ns {
                best = next;
            }
        }
        best
    }

    fn once() -> Self {
        let before = boot_now_ns();
        let utc = utc_now_ns();
        let after = boot_now_ns();
        let half = after.saturating_sub(before) / 2;
        Self { offset_ns: utc.wrapping_sub(before + half) as i64, doubt_ns: half + 1 }
    }

    /// The offset that makes these two readings the same moment.
    pub const fn between(boot_ns: u64, utc_ns: u64) -> Self {
        Self { offset_ns: utc_ns.wrapping_sub(boot_ns) as i64, doubt_ns: 0 }
    }

    /// Boot time as UTC: nanoseconds since 1970.
    pub const fn utc_ns(self, boot_ns: u64) -> u64 {
        boot_ns.saturating_add_signed(self.offset_ns)
    }

    /// Boot time as UTC: microseconds since 1970, rounded down.
    pub const fn utc_us(self, boot_ns: u64) -> u64 {
        self.utc_ns(boot_ns) / 1000
    }

    /// UTC as boot time, in nanoseconds. 0 for a moment before the machine was started.
    pub const fn boot_ns(self, utc_ns: u64) -> u64 {
        let boot = utc_ns as i128 - self.offset_ns as i128;
        if boot < 0 {
            0
        } else if boot > u64::MAX as i128 {
            u64::MAX
        } else {
            boot as u64
        }
    }

    /// How far this sample can be from the truth, nanoseconds. Says nothing of whether UTC itself is right.
    pub const fn doubt_ns(self) -> u64 {
        self.doubt_ns
    }

    /// How far UTC was moved since `earlier`, nanoseconds; slewing is part of it. Positive: set forward.
    pub const fn step_since(self, earlier: Self) -> i64 {
        self.offset_ns.saturating_sub(earlier.offset_ns)
    }
}

/// The start of an order in boot time: never before the order's, whatever the doubt.
pub const fn start_boot_ns(offset: ClockOffset, utc_start_ns: u64, doubt_ns: u64) -> u64 {
    offset.boot_ns(utc_start_ns).saturating_add(doubt_ns).saturating_add(offset.doubt_ns)
}

/// The stop of an order in boot time: never after the order's, the doubt subtracted, and never after the stop that is
/// in force already (`current_ns`). A clock that is set back does not lengthen an order; one that is set forward
/// shortens it.
pub const fn stop_boot_ns(offset: ClockOffset, utc_stop_ns: u64, doubt_ns: u64, current_ns: Option<u64>) -> u64 {
    let stop = offset.boot_ns(utc_stop_ns).saturating_sub(doubt_ns).saturating_sub(offset.doubt_ns);
    match current_ns {
        Some(current) if current < stop => current,
        _ => stop,
    }
}

/// `CLOCK_BOOTTIME`, nanoseconds.
pub fn boot_now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// UTC by the system's clock, nanoseconds since 1970. Read through the C library like everywhere else in the probe, so
/// that a clock that is put in front of it, as the tests of stepped clocks do, is the clock of all of the probe.
pub fn utc_now_ns() -> u64 {
    // A system clock before 1970 reads as 1970: such a clock is in doubt anyway, and must not wrap around.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn microseconds_are_rounded_down() {
        let offset = ClockOffset::between(5 * SECOND, 1_700_000_000 * SECOND);
        assert_eq!(offset.utc_us(5 * SECOND + 1_999), 1_700_000_000_000_001);
        assert_eq!(offset.utc_us(4 * SECOND), 1_699_999_999_000_000);
    }

    #[test]
    fn a_moment_before_the_boot_is_zero() {
        let offset = ClockOffset::between(5 * SECOND, 1_700_000_000 * SECOND);
        assert_eq!(offset.boot_ns(1_600_000_000 * SECOND), 0);
        assert_eq!(offset.boot_ns(u64::MAX), u64::MAX - (1_700_000_000 - 5) * SECOND);
    }

    #[test]
    fn a_clock_set_back_does_not_lengthen_an_order() {
        let before = ClockOffset::between(100 * SECOND, 1_000 * SECOND);
        let stop = stop_boot_ns(before, 2_000 * SECOND, 0, None);
        assert_eq!(stop, 1_100 * SECOND);
        let set_back = ClockOffset::between(200 * SECOND, 500 * SECOND);
        assert_eq!(set_back.step_since(before), -600 * SECOND as i64);
        assert_eq!(stop_boot_ns(set_back, 2_000 * SECOND, 0, Some(stop)), stop);
        let set_forward = ClockOffset::between(200 * SECOND, 1_500 * SECOND);
        assert_eq!(stop_boot_ns(set_forward, 2_000 * SECOND, 0, Some(stop)), 700 * SECOND);
    }

    #[test]
    fn sampled_clocks_agree_with_the_system() {
        let offset = ClockOffset::sample();
        let boot = boot_now_ns();
        let utc = utc_now_ns();
        // utc was read after boot: the converted stamp lies before it, but for the doubt and a slewing clock.
        assert!(offset.utc_ns(boot) <= utc + offset.doubt_ns() + SECOND);
        assert!(offset.boot_ns(offset.utc_ns(boot)) == boot);
    }

    proptest! {
        #[test]
        fn stops_only_ever_get_earlier(
            steps in prop::collection::vec((0u64..1 << 40, 0u64..1 << 60, 0u64..1 << 32), 1..20),
            utc_stop in 0u64..1 << 60,
        ) {
            let mut current = None;
            for (boot, utc, doubt) in steps {
                let stop = stop_boot_ns(ClockOffset::between(boot, utc), utc_stop, doubt, current);
                prop_assert!(current.is_none_or(|before| stop <= before));
                current = Some(stop);
            }
        }

        #[test]
        fn doubt_narrows_the_window(boot in 0u64..1 << 40, utc in 1u64 << 50..1 << 60, stop in 1u64 << 50..1 << 60, doubt in 0u64..1 << 40) {
            let offset = ClockOffset::between(boot, utc);
            prop_assert!(stop_boot_ns(offset, stop, doubt, None) <= offset.boot_ns(stop));
            prop_assert!(start_boot_ns(offset, stop, doubt) >= offset.boot_ns(stop));
        }
    }
}
