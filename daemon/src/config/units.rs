//! Sizes as text, and durations and sizes in messages. `credsmith_contract::duration` reads
//! durations.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];
const SIZE_UNITS: [(&str, u64); 4] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A whole number of `B`, `KiB`, `MiB` or `GiB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A duration as `credsmith_contract::duration` reads it.
pub(crate) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
}

/// A size as [`size`] reads it.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS)
}

/// In the largest unit that leaves no rest.
fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let fitting =
        units.iter().rev().find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor));
    let (unit, factor) = fitting.or_else(|| units.first()).copied().unwrap_or(("", 1));
    format!("{}{unit}", amount / factor)
}

#[cfg(test)]
mod tests {
    use credsmith_contract::duration::{NotADuration, parse};

    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1m500ms", 60_500),
            ("2w", 1_209_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "15",
            "m",
            "1.5h",
            "1h 30m",
            "-1s",
            "1M",
            "1y",
            "1h30",
            "30m1h",
            "99999999999999999999s",
            "400000000000000w",
        ] {
            assert_eq!(parse(bad), Err(NotADuration), "{bad}");
        }
    }

    #[test]
    fn sizes_are_numbers_with_units() {
        for (text, bytes) in
            [("512B", 512), ("64KiB", 65_536), ("1MiB", 1_048_576), ("2GiB", 2_147_483_648)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "64", "64kb", "KiB", "1.5MiB", "64 KiB", "99999999999GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for millis in [0, 1, 500, 1000, 90_000, 3_600_000, 86_400_000, 604_800_000] {
            let shown = Duration::from_millis(millis);
            assert_eq!(parse(&show_duration(shown)), Ok(shown));
        }
        for bytes in [0, 1, 1023, 1024, 1 << 20, 3 << 30] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
    }
}
