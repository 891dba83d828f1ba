//! Time as the handover carries it: UTC to the microsecond, printed as a GeneralizedTime.
//!
//! Kernel time becomes UTC in the capture role; here it only changes its form.

use std::fmt;

use serde::{Serialize, Serializer};

/// The last microsecond that a GeneralizedTime can hold: 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_799_999_999;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A moment, in microseconds of UTC since 1970, not later than the year 9999 and not before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcMicros(i64);

/// A time that is before 1970 or after the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is {micros} microseconds from 1970: only 1970 to 9999 can be handed over, check the clock")]
pub struct TimeOutOfRange {
    /// Microseconds of UTC since 1970.
    pub micros: i64,
}

impl UtcMicros {
    /// The moment that is `micros` microseconds of UTC after 1970-01-01T00:00:00Z.
    pub const fn new(micros: i64) -> Result<Self, TimeOutOfRange> {
        if micros < 0 || micros > LAST { Err(TimeOutOfRange { micros }) } else { Ok(Self(micros)) }
    }

    /// The moment that is `nanos` nanoseconds of UTC after 1970, cut to the microsecond. Every `u64` is in range: it
    /// ends in the year 2554.
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        #[expect(clippy::cast_possible_wrap, reason = "u64::MAX / 1000 is far below i64::MAX")]
        Self((nanos / 1000) as i64)
    }

    /// Microseconds of UTC since 1970.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Year, month, day, second of the day, microsecond of the second.
    const fn civil(self) -> Civil {
        let seconds = self.0 / MICROS_PER_SECOND;
        // Days are counted from 0000-03-01, so that the leap day is the last of its year (proleptic Gregorian).
        let days = seconds / SECONDS_PER_DAY + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil {
            year: (era * 400 + year_of_era + if month <= 2 { 1 } else { 0 }) as u32,
            month: month as u32,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32,
            second_of_day: (seconds % SECONDS_PER_DAY) as u32,
            micros: (self.0 % MICROS_PER_SECOND) as u32,
        }
    }

    /// The GeneralizedTime of DER (X.690, 11.7): to the second, a fraction only if it is not zero and without trailing
    /// zeros, then `Z`.
    pub(crate) const fn generalized(self) -> GeneralizedTime {
        let civil = self.civil();
        let mut text = *b"YYYYMMDDHHMMSS.ffffffZ";
        put_pair(&mut text, 0, civil.year / 100);
        put_pair(&mut text, 2, civil.year % 100);
        put_pair(&mut text, 4, civil.month);
        put_pair(&mut text, 6, civil.day);
        put_pair(&mut text, 8, civil.second_of_day / 3600);
        put_pair(&mut text, 10, civil.second_of_day / 60 % 60);
        put_pair(&mut text, 12, civil.second_of_day % 60);
        put_pair(&mut text, 15, civil.micros / 10_000);
        put_pair(&mut text, 17, civil.micros / 100 % 100);
        put_pair(&mut text, 19, civil.micros % 100);
        let mut end = 21;
        while text[end - 1] == b'0' && end > 15 {
            end -= 1;
        }
        if end == 15 {
            end = 14; // nothing left behind the point
        }
        text[end] = b'Z';
        GeneralizedTime { text, length: end + 1 }
    }
}

struct Civil {
    year: u32,
    month: u32,
    day: u32,
    second_of_day: u32,
    micros: u32,
}

const fn put_pair(text: &mut [u8; 22], at: usize, number: u32) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

/// The characters of a GeneralizedTime: 15 without a fraction, up to 22 with microseconds.
pub(crate) struct GeneralizedTime {
    text: [u8; GeneralizedTime::LONGEST],
    length: usize,
}

impl GeneralizedTime {
    /// `YYYYMMDDHHMMSS.ffffffZ`
    pub(crate) const LONGEST: usize = 22;

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or(&self.text)
    }
}

/// RFC 3339, always with six digits of the fraction, so that a column of times sorts as text.
impl fmt::Display for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, second_of_day, micros } = self.civil();
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// As the text of [`Display`](fmt::Display).
impl Serialize for UtcMicros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generalized(micros: i64) -> String {
        String::from_utf8(UtcMicros::new(micros).unwrap().generalized().as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn fraction_has_no_trailing_zeros() {
        assert_eq!(generalized(0), "19700101000000Z");
        assert_eq!(generalized(1), "19700101000000.000001Z");
        assert_eq!(generalized(100_000), "19700101000000.1Z");
        assert_eq!(generalized(1_177_003_588_406_000), "20070419172628.406Z");
        assert_eq!(generalized(LAST), "99991231235959.999999Z");
        assert_eq!(generalized(10_000_000), "19700101000010Z");
    }

    #[test]
    fn leap_days() {
        assert_eq!(generalized(951_782_400_000_000), "20000229000000Z");
        assert_eq!(generalized(951_868_800_000_000), "20000301000000Z");
        assert_eq!(generalized(4_107_542_400_000_000), "21000301000000Z");
    }

    #[test]
    fn out_of_range_is_refused() {
        assert_eq!(UtcMicros::new(-1), Err(TimeOutOfRange { micros: -1 }));
        assert!(UtcMicros::new(LAST + 1).is_err());
        assert_eq!(UtcMicros::from_unix_nanos(u64::MAX).to_string(), "2554-07-21T23:34:33.709551Z");
    }
}
