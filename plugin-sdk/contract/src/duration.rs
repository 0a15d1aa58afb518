//! Durations as admins write them, in the configuration and in the settings of plugins, and as a
//! plugin gets them.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

static PARSER: SpanParser = SpanParser::new();

/// The expected form, for messages.
pub const EXPECTED: &str = "a duration like `500ms`, `15m`, `1h30m` or `2w`";

/// The text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotADuration;

impl fmt::Display for NotADuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {EXPECTED}: whole numbers with their units, the largest unit first")
    }
}

impl Error for NotADuration {}

/// Reads a duration: one or more whole numbers, each with its unit, from weeks down, the largest
/// unit first. A day has 24 hours. It is jiff's friendly format without spaces, signs and
/// fractions, and without months and years, whose length depends on the calendar.
///
/// A bare number is no duration, not even `0`: its unit would be a guess.
///
/// # Errors
/// [`NotADuration`], also when it is longer than some twenty thousand years.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(NotADuration);
    }
    let span = PARSER.parse_span(text).map_err(|_| NotADuration)?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| NotADuration)?;
    exact.try_into().map_err(|_| NotADuration)
}

/// A duration as a plugin gets it: in seconds, with a fraction where it is not whole (`90`, `0.5`).
pub fn in_seconds(duration: Duration) -> String {
    let (whole, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos == 0 {
        return whole.to_string();
    }
    format!("{whole}.{nanos:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("1m500ms", 60_500),
            ("15m", 900_000),
            ("90m", 5_400_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("2w", 1_209_600_000),
            ("1w1d1h1m1s1ms", 694_861_001),
            ("3650d", 315_360_000_000),
            ("100000h", 360_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_and_the_message_says_what_is_expected() {
        for bad in [
            "",
            "0",
            "15",
            "1h30",
            "m",
            "1.5h",
            "1h 30m",
            " 1h",
            "-1s",
            "+1s",
            "1sago",
            "1M",
            "1mo",
            "1y",
            "P1D",
            "p1d",
            "1:30:00",
            "30m1h",
            "1h1h",
            "hunter2",
            "99999999999999999999s",
            "400000000000000w",
        ] {
            assert_eq!(parse(bad), Err(NotADuration), "{bad}");
        }
        assert!(NotADuration.to_string().starts_with("expected a duration like `500ms`"));
    }

    #[test]
    fn a_plugin_gets_seconds() {
        for (text, seconds) in
            [("0s", "0"), ("1h30m", "5400"), ("500ms", "0.5"), ("1s50ms", "1.05"), ("1ms", "0.001")]
        {
            assert_eq!(in_seconds(parse(text).unwrap()), seconds, "{text}");
        }
    }
}
