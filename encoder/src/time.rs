//! Time as the handover carries it: UTC to the microsecond, printed as a GeneralizedTime.
//!
//! Kernel time becomes UTC in the capture role; here it only changes its form.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// The last microsecond that a GeneralizedTime can hold: 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_799_999_999;

const MICROS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

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

    /// The moment in the proleptic Gregorian calendar.
    const fn civil(self) -> Civil {
        let micros = self.0 as u64; // never negative
        let seconds = micros / MICROS_PER_SECOND;
        // Days are counted from 0000-03-01, so that the leap day is the last of its year, and the divisions of a
        // calendar become those of Neri and Schneider, "Euclidean affine functions" (2022): no branch, no division by
        // a variable. `LAST` bounds all of them far below where they stop being exact.
        let day = (seconds / SECONDS_PER_DAY) as u32 + 719_468;
        let quarter_day = 4 * day + 3;
        let century = quarter_day / 146_097;
        let scaled_year = 2_939_745 * ((quarter_day % 146_097) | 3) as u64;
        let day_of_year = scaled_year as u32 / 2_939_745 / 4;
        let scaled_month = 2141 * day_of_year + 197_913;
        let january_on = (day_of_year >= 306) as u32;
        Civil {
            year: 100 * century + (scaled_year >> 32) as u32 + january_on,
            month: (scaled_month >> 16) - 12 * january_on,
            day: (scaled_month & 0xffff) / 2141 + 1,
            second_of_day: (seconds % SECONDS_PER_DAY) as u32,
            micros: (micros % MICROS_PER_SECOND) as u32,
        }
    }

    /// RFC 3339, always with six digits of the fraction, so that a column of times sorts as text.
    pub(crate) const fn rfc3339(self) -> [u8; 27] {
        let Civil { year, month, day, second_of_day, micros } = self.civil();
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        let [y0, y1, y2, y3, o0, o1, d0, d1] = digits(year * 10_000 + month * 100 + day);
        let [_, _, h0, h1, m0, m1, s0, s1] = digits(hour * 10_000 + minute * 100 + second);
        let [_, _, f0, f1, f2, f3, f4, f5] = digits(micros);
        [
            y0, y1, y2, y3, b'-', o0, o1, b'-', d0, d1, b'T', h0, h1, b':', m0, m1, b':', s0, s1, b'.', f0, f1, f2, f3,
            f4, f5, b'Z',
        ]
    }

    /// `YYYY-MM-DDThh:mm:ss.mmm`, cut to the millisecond.
    pub(crate) const fn iso_milliseconds(self) -> [u8; 23] {
        let [text @ .., _, _, _, _] = self.rfc3339();
        text
    }

    /// `YYYYMMDDThhmmssZ`, cut to the second, as the name of a file has it.
    pub fn iso_basic(self) -> String {
        let text = self.rfc3339().into_iter().take(19).filter(|octet| !matches!(octet, b'-' | b':'));
        text.chain(*b"Z").map(char::from).collect()
    }

    /// The other way round; none if it is another form, or no day of the calendar.
    pub(crate) fn from_iso_milliseconds(text: &[u8; 23]) -> Option<Self> {
        let number = |from, to| {
            let digits = text.get(from..to)?;
            digits.iter().try_fold(0, |number, digit| match digit {
                b'0'..=b'9' => Some(number * 10 + u32::from(digit - b'0')),
                _ => None,
            })
        };
        let date = chrono::NaiveDate::from_ymd_opt(number(0, 4)?.try_into().ok()?, number(5, 7)?, number(8, 10)?)?;
        let time = date.and_hms_milli_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?)?;
        let time = Self::new(time.and_utc().timestamp_micros()).ok()?;
        // What stands between the digits, and a leap second, which `time` has no room for.
        (time.iso_milliseconds() == *text).then_some(time)
    }

    /// The GeneralizedTime of DER (X.690, 11.7): to the second, a fraction only if it is not zero and without trailing
    /// zeros, then `Z`.
    #[cfg(test)]
    fn generalized(self) -> Stamp {
        self.into()
    }

    /// The same to the second, in the first two words of a [`Stamp`].
    fn to_the_second(self) -> [u64; 2] {
        let Civil { year, month, day, second_of_day, .. } = self.civil();
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        let date = u64::from_le_bytes(digits(year * 10_000 + month * 100 + day));
        let time = u64::from_le_bytes(digits(hour * 10_000 + minute * 100 + second));
        [date << 16, date >> 48 | time & !0xffff]
    }
}

/// A moment as NTP has it (RFC 5905 section 6): seconds since 1900 above, 2^-32 of them below. Its seconds begin anew in
/// 2036; a number without the top bit is of the time after that (RFC 4330 section 3), so that 1968 to 2104 can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ntp(pub(crate) u64);

impl Ntp {
    /// Seconds from 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;
}

impl From<UtcMicros> for Ntp {
    fn from(time: UtcMicros) -> Self {
        let micros = time.0 as u64; // never negative
        let seconds = micros / MICROS_PER_SECOND + Self::EPOCH;
        // Rounded up, so that the reader, who rounds down, comes back to the microsecond.
        let fraction = ((micros % MICROS_PER_SECOND) << 32).div_ceil(MICROS_PER_SECOND);
        Self(seconds << 32 | fraction)
    }
}

impl From<Ntp> for UtcMicros {
    /// A time before 1970, which no probe sends, is told as 1970.
    fn from(Ntp(number): Ntp) -> Self {
        let era = if number >> 63 == 0 { 1 << 32 } else { 0 };
        let seconds = (era + (number >> 32)).saturating_sub(Ntp::EPOCH);
        let micros = ((number & 0xffff_ffff) * MICROS_PER_SECOND) >> 32;
        #[expect(clippy::cast_possible_wrap, reason = "fewer than 2^33 seconds")]
        Self((seconds * MICROS_PER_SECOND + micros) as i64)
    }
}

/// A moment as the handover prints it: a GeneralizedTime in DER, 15 characters without a fraction, up to 22 with
/// microseconds. With identifier and length in front of them these are three words: `..YYYYMM`, `DDHHMMSS`, `.ffffffZ`.
///
/// In words, the first octet in the lowest place: pieces that are put together in memory are read back before they have
/// left the store buffer, and the processor then waits for every store of the PDU before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The lowest octet, the identifier's, is zero.
    pub(crate) words: [u64; 3],
    /// Identifier and length included.
    pub(crate) octets: usize,
}

impl Stamp {
    #[inline(always)]
    fn new([year, time]: [u64; 2], micros: u32) -> Self {
        let digits = u64::from_le_bytes(digits(micros)) >> 16;
        // The highest octets of six that are '0' are left out, and with the last of them the point.
        let kept = 6 - ((digits ^ 0x3030_3030_3030) << 16 | 0x8000).leading_zeros() / 8;
        let kept = if kept == 0 { 0 } else { 1 + kept };
        let fraction = (digits << 8 | u64::from(b'.')) & ((1 << (8 * kept)) - 1) | u64::from(b'Z') << (8 * kept);
        let octets = 17 + kept as usize;
        Self { words: [year | (octets as u64 - 2) << 8, time, fraction], octets }
    }
}

impl Stamp {
    /// The characters alone, written to the front of `room`.
    pub(crate) fn text(self, room: &mut [u8; 24]) -> &[u8] {
        room.copy_from_slice(self.words.map(u64::to_le_bytes).as_flattened());
        room.get(2..self.octets).unwrap_or_default()
    }
}

impl From<UtcMicros> for Stamp {
    fn from(time: UtcMicros) -> Self {
        Self::new(time.to_the_second(), (time.0 as u64 % MICROS_PER_SECOND) as u32)
    }
}

/// Prints moments that follow each other closely: all up to the millisecond is kept from the last one, and the digits behind
/// it are looked up.
#[derive(Clone, Debug)]
pub struct Stamper {
    /// The millisecond's first microsecond.
    begun: u64,
    /// As in a [`Stamp`] up to the millisecond's digits, without the length.
    text: [u64; 3],
}

impl Default for Stamper {
    fn default() -> Self {
        let [year, time] = UtcMicros(0).to_the_second();
        Self { begun: 0, text: [year, time, thousandths(0)] }
    }
}

impl Stamper {
    /// Prints a moment.
    #[inline]
    pub fn stamp(&mut self, time: UtcMicros) -> Stamp {
        let since = (time.0 as u64).wrapping_sub(self.begun);
        match TAILS.get(since as usize) {
            Some(&tail) if tail != 0 => {
                let [year, time, fraction] = self.text;
                // The end of the millisecond's digits, and the octets of the tail.
                let octets = 20 + 4 - tail.leading_zeros() as usize / 8;
                let words = [year | (octets as u64 - 2) << 8, time, fraction | u64::from(tail) << 32];
                Stamp { words, octets }
            }
            _ => {
                // In registers, as above: what the call leaves in memory is not handed on there.
                let Stamp { words: [year, time, fraction], octets } = self.turn_to(time);
                Stamp { words: [year, time, fraction], octets }
            }
        }
    }

    /// Prints a moment of another millisecond, or its very beginning, where digits of the millisecond may be left out too.
    #[cold]
    fn turn_to(&mut self, time: UtcMicros) -> Stamp {
        let micros = time.0 as u64; // never negative
        self.begun = micros - micros % 1000;
        let [year, second] = time.to_the_second();
        self.text = [year, second, thousandths((micros % MICROS_PER_SECOND / 1000) as u32)];
        time.into()
    }
}

/// The point and three digits.
const fn thousandths(number: u32) -> u64 {
    let [.., a, b, c] = digits(number);
    u32::from_le_bytes([b'.', a, b, c]) as u64
}

/// What follows the three digits of the millisecond, for each of its microseconds: as many digits as are not trailing zeros,
/// and `Z`. Zero of the first, of which more is left out. A page, of which a few lines are in use at a time.
static TAILS: [u32; 1000] = {
    let mut tails = [0; 1000];
    let mut number = 1;
    while number < tails.len() {
        let [.., a, b, c] = digits(number as u32);
        tails[number] = u32::from_le_bytes(if c != b'0' {
            [a, b, c, b'Z']
        } else if b != b'0' {
            [a, b, b'Z', 0]
        } else {
            [a, b'Z', 0, 0]
        });
        number += 1;
    }
    tails
};

struct Civil {
    year: u32,
    month: u32,
    day: u32,
    second_of_day: u32,
    micros: u32,
}

/// A number below 10^8 as eight decimal digits, all at once: each step splits every lane of the word in two, the
/// quotient in the lower half, so that the most significant digit comes to lie in the lowest octet.
pub(crate) const fn digits(number: u32) -> [u8; 8] {
    let number = number as u64;
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f; // x / 100 for x below 10^4
    let pairs = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((pairs * 103) >> 10) & 0xf_000f_000f_000f; // x / 10 for x below 100
    let ones = tens | ((pairs - 10 * tens) << 8);
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

/// RFC 3339, always with six digits of the fraction, so that a column of times sorts as text.
/// What a clock says; before 1970 that is 1970.
impl From<SystemTime> for UtcMicros {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.rfc3339()).unwrap_or_default()) // digits and signs
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
        let time = UtcMicros::new(micros).unwrap().generalized();
        let octets = &time.words.map(u64::to_le_bytes).concat()[..time.octets];
        assert_eq!(
            (octets[0], usize::from(octets[1])),
            (0, octets.len() - 2),
            "room for the identifier, and the length"
        );
        String::from_utf8(octets[2..].to_vec()).unwrap()
    }

    #[test]
    fn fraction_has_no_trailing_zeros() {
        assert_eq!(generalized(0), "19700101000000Z");
        assert_eq!(generalized(1), "19700101000000.000001Z");
        assert_eq!(generalized(1_030_200), "19700101000001.0302Z");
        assert_eq!(generalized(100_000), "19700101000000.1Z");
        assert_eq!(generalized(1_177_003_588_406_000), "20070419172628.406Z");
        assert_eq!(generalized(LAST), "99991231235959.999999Z");
        assert_eq!(generalized(10_000_000), "19700101000010Z");
    }

    #[test]
    fn a_stamper_says_what_each_moment_says_itself() {
        let mut stamper = Stamper::default();
        let moments =
            [0, 5, 999_999, 1_000_000, 1_177_003_588_406_000, 1_177_003_588_406_001, 1_177_003_588_000_000, 7];
        for micros in moments.into_iter().chain(0..3000).chain((0..3_000_000).rev().step_by(7)) {
            let time = UtcMicros::new(micros).unwrap();
            assert_eq!(stamper.stamp(time), time.into());
        }
    }

    #[test]
    fn leap_days() {
        assert_eq!(generalized(951_782_400_000_000), "20000229000000Z");
        assert_eq!(generalized(951_868_800_000_000), "20000301000000Z");
        assert_eq!(generalized(4_107_542_400_000_000), "21000301000000Z");
    }

    /// Every day from 1970 to 9999 by counting, and every number of the fraction.
    #[test]
    fn the_calendar_and_the_digits() {
        let mut micros = 0;
        for year in 1970..=9999 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (month, days) in (1..).zip([31, 28 + u32::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
                for day in 1..=days {
                    let civil = UtcMicros::new(micros).unwrap().civil();
                    assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
                    micros += 86_400_000_000;
                }
            }
        }
        assert_eq!(micros - 1, LAST);
        for number in (0..1_000_000).chain(99_990_000..100_000_000).chain((0..100_000_000).step_by(997)) {
            assert_eq!(digits(number), format!("{number:08}").as_bytes());
        }
    }

    #[test]
    fn iso_in_its_forms() {
        let time = UtcMicros::new(1_177_003_588_406_009).unwrap();
        assert_eq!(time.to_string(), "2007-04-19T17:26:28.406009Z");
        assert_eq!(time.iso_basic(), "20070419T172628Z");
    }

    #[test]
    fn iso_there_and_back() {
        let text = UtcMicros::new(1_177_003_588_406_999).unwrap().iso_milliseconds();
        assert_eq!(&text, b"2007-04-19T17:26:28.406");
        assert_eq!(UtcMicros::from_iso_milliseconds(&text), UtcMicros::new(1_177_003_588_406_000).ok());
        for text in [
            b"2007-02-29T17:26:28.406",
            b"2007-04-19 17:26:28.406",
            b"2007-04-19T24:00:00.000",
            b"1969-12-31T23:59:59.999",
            b"2007-04-19T17:26:60.000",
            b"2007-04-19T17:26:2x.000",
        ] {
            assert_eq!(UtcMicros::from_iso_milliseconds(text), None);
        }
    }

    #[test]
    fn ntp_there_and_back() {
        // RFC 4330: 2036-02-07T06:28:16Z is where the seconds begin anew.
        for micros in
            [0, 1, 999_999, 1_177_003_588_406_123, 2_085_978_495_999_999, 2_085_978_496_000_000, 4_294_967_296]
        {
            let time = UtcMicros::new(micros).unwrap();
            assert_eq!(UtcMicros::from(Ntp::from(time)), time);
        }
        assert_eq!(Ntp::from(UtcMicros::new(2_085_978_496_000_000).unwrap()), Ntp(0));
        assert_eq!(Ntp::from(UtcMicros::new(500_000).unwrap()), Ntp(0x83aa_7e80_8000_0000));
        for number in [0x8000_0000_0000_0000, u64::MAX, 0x7fff_ffff_ffff_ffff] {
            assert!(UtcMicros::from(Ntp(number)).0 <= LAST);
        }
    }

    #[test]
    fn out_of_range_is_refused() {
        assert_eq!(UtcMicros::new(-1), Err(TimeOutOfRange { micros: -1 }));
        assert!(UtcMicros::new(LAST + 1).is_err());
        assert_eq!(UtcMicros::from_unix_nanos(u64::MAX).to_string(), "2554-07-21T23:34:33.709551Z");
    }
}
