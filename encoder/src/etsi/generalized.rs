//! GeneralizedTime as others write it: BER allows more forms than DER, which is what Writ writes.

use chrono::{NaiveDate, TimeDelta};

use crate::UtcMicros;

/// Digits, then a fraction of the last unit given, then `Z` or an offset.
pub(super) fn generalized(octets: &[u8]) -> Option<UtcMicros> {
    let number = |digits: &[u8]| -> Option<u32> {
        digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
    };
    let clock = octets.iter().position(|octet| !octet.is_ascii_digit())?;
    let (clock, rest) = octets.split_at_checked(clock)?;
    let (date, clock) = clock.split_at_checked(8)?;
    let (year, month_day) = date.split_at_checked(4)?;
    let (month, day) = month_day.split_at_checked(2)?;
    let date = NaiveDate::from_ymd_opt(number(year)?.try_into().ok()?, number(month)?, number(day)?)?;
    let (hour, minute, second, unit) = match *clock {
        [_, _] => (number(clock)?, 0, 0, 3600),
        [a, b, c, d] => (number(&[a, b])?, number(&[c, d])?, 0, 60),
        [a, b, c, d, e, f] => (number(&[a, b])?, number(&[c, d])?, number(&[e, f])?, 1),
        _ => return None,
    };
    let mut time = date.and_hms_opt(hour, minute, second)?;
    let rest = match rest {
        [b'.' | b',', fraction @ ..] => {
            let end = fraction.iter().position(|octet| !octet.is_ascii_digit())?;
            let (digits, rest) = fraction.split_at_checked(end)?;
            // Twelve digits are more than a microsecond of an hour.
            let digits = digits.get(..digits.len().min(12)).filter(|digits| !digits.is_empty())?;
            let ten = 10_i128.pow(u32::try_from(digits.len()).ok()?);
            let parts = digits.iter().fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
            time += TimeDelta::microseconds(i64::try_from(parts * unit * 1_000_000 / ten).ok()?);
            rest
        }
        rest => rest,
    };
    let east = match *rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), a, b] => signed(sign, number(&[a, b])?, 0)?,
        [sign @ (b'+' | b'-'), a, b, c, d] => signed(sign, number(&[a, b])?, number(&[c, d])?)?,
        _ => return None,
    };
    UtcMicros::new(time.checked_sub_signed(TimeDelta::minutes(east))?.and_utc().timestamp_micros()).ok()
}

/// Minutes east of Greenwich.
fn signed(sign: u8, hours: u32, minutes: u32) -> Option<i64> {
    let total = i64::from(hours * 60 + minutes);
    (hours < 24 && minutes < 60).then_some(if sign == b'-' { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Option<String> {
        generalized(text.as_bytes()).map(|time| time.to_string())
    }

    #[test]
    fn times_in_all_forms() {
        let expected = Some("2023-11-14T23:00:00.000000Z".to_owned());
        for text in ["2023111423Z", "202311142300Z", "20231114230000Z", "20231114230000.0Z", "20231115003000+0130"] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(time("2023111422.5Z"), time("20231114223000Z"));
        assert_eq!(time("20231114223000,123456789Z"), Some("2023-11-14T22:30:00.123456Z".into()));
        assert_eq!(time("20231114223000.1-05"), Some("2023-11-15T03:30:00.100000Z".into()));
        for text in
            ["", "Z", "20231114223000", "20231314223000Z", "20231114253000Z", "20231114223000.Z", "19691231235959Z"]
        {
            assert_eq!(time(text), None, "{text}");
        }
        assert_eq!(time("20231114223000+2500"), None);
        assert_eq!(time("2023111422300Z"), None);
    }
}
