//! `[records]` of the configuration: how long what belongs to a closed case is kept. The law asks for the certification of
//! each interception for a reasonable time (47 CFR 1.20004); the log itself is kept for ever.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Fewest years.
const LEAST: u8 = 5;
/// Most years that are a number.
const MOST: u8 = 100;
const FOR_EVER: &str = "for ever";

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many years after a case was closed.
    Years(u8),
    /// Nothing is ever removed.
    ForEver,
}

/// `[records]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordSettings {
    /// A number of years, or `"for ever"`.
    pub keep_years: Keep,
}

impl Default for RecordSettings {
    fn default() -> Self {
        Self { keep_years: Keep::Years(10) }
    }
}

impl Keep {
    /// What was closed before this moment is kept no longer.
    pub fn closed_before(self, now: Timestamp) -> Option<Timestamp> {
        let Self::Years(years) = self else { return None };
        now.to_zoned(TimeZone::UTC).checked_sub(i64::from(years).years()).ok().map(|it| it.timestamp())
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Years(years) => write!(f, "{years} years"),
            Self::ForEver => f.write_str(FOR_EVER),
        }
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Word(String),
        }
        let wrong = || serde::de::Error::custom(format!("write {LEAST} to {MOST} years, or \"{FOR_EVER}\""));
        match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Number(years) => u8::try_from(years)
                .ok()
                .filter(|years| (LEAST..=MOST).contains(years))
                .map(Self::Years)
                .ok_or_else(wrong),
            Written::Word(word) if word == FOR_EVER => Ok(Self::ForEver),
            Written::Word(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_those_of_the_calendar() {
        let now = "2036-02-29T12:00:00Z".parse().unwrap();
        assert_eq!(Keep::Years(5).closed_before(now), Some("2031-02-28T12:00:00Z".parse().unwrap()));
        assert_eq!(Keep::Years(8).closed_before(now), Some("2028-02-29T12:00:00Z".parse().unwrap()));
        assert_eq!(Keep::ForEver.closed_before(now), None);
    }

    #[test]
    fn fewer_years_than_a_certification_is_kept_are_refused() {
        let read = |text: &str| toml::from_str::<RecordSettings>(text);
        assert_eq!(read("").unwrap().keep_years, Keep::Years(10));
        assert_eq!(read("keep_years = 5").unwrap().keep_years, Keep::Years(5));
        assert_eq!(read("keep_years = \"for ever\"").unwrap().keep_years, Keep::ForEver);
        for text in
            ["keep_years = 4", "keep_years = 101", "keep_years = -1", "keep_years = \"ten\"", "keep_years = 7.5"]
        {
            assert!(read(text).unwrap_err().to_string().contains("5 to 100 years, or \"for ever\""), "{text}");
        }
    }
}
