//! The table that is printed: each row beside its yardstick of the same run.

use std::fmt;
use std::time::Duration;

/// One line.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) measured: String,
    /// What else is worth knowing of it.
    pub(crate) detail: String,
    pub(crate) yardstick: String,
    pub(crate) target: Option<Target>,
}

/// What is to be reached.
pub(crate) struct Target {
    pub(crate) words: String,
    pub(crate) met: bool,
}

impl Target {
    pub(crate) fn at_least(words: impl Into<String>, measured: f64, least: f64) -> Option<Self> {
        Some(Self { words: words.into(), met: measured >= least })
    }

    pub(crate) fn at_most(words: impl Into<String>, measured: f64, most: f64) -> Option<Self> {
        Some(Self { words: words.into(), met: measured <= most })
    }
}

/// All lines so far.
#[derive(Default)]
pub(crate) struct Table(pub(crate) Vec<Row>);

impl Table {
    /// Targets that were missed.
    pub(crate) fn missed(&self) -> usize {
        self.0.iter().filter(|row| row.target.as_ref().is_some_and(|target| !target.met)).count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "measured", "", "yardstick", "target"].map(str::to_owned);
        let lines: Vec<[String; 5]> =
            std::iter::once(head).chain(self.0.iter().map(cells)).collect();
        let mut widths = [0; 5];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in &lines {
            let mut text = String::new();
            for (width, cell) in widths.iter().zip(line) {
                text.push_str(&format!("{cell:width$}  ", width = *width));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

fn cells(row: &Row) -> [String; 5] {
    let target = row.target.as_ref().map_or_else(String::new, |target| {
        let verdict = if target.met { "met" } else { "MISSED" };
        format!("{}: {verdict}", target.words)
    });
    [row.what.clone(), row.measured.clone(), row.detail.clone(), row.yardstick.clone(), target]
}

/// A time in the unit that suits it.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.001 => format!("{:.0} us", s * 1e6),
        s if s < 0.1 => format!("{:.2} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// Bytes in mebibytes.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Bytes in kibibytes.
pub(crate) fn kibibytes(bytes: f64) -> String {
    format!("{:.1} KiB", bytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_misses_are_counted() {
        let row = |what: &str, target| Row {
            what: what.into(),
            measured: "1".into(),
            detail: String::new(),
            yardstick: "2".into(),
            target,
        };
        let table = Table(vec![
            row("short", Target::at_least("9", 1.0, 9.0)),
            row("a longer one", Target::at_most("9", 1.0, 9.0)),
            row("neither", None),
        ]);
        let text = table.to_string();
        let at: Vec<_> = text.lines().skip(1).map(|line| line.find('2')).collect();
        assert!(at.iter().all(|place| *place == at[0] && place.is_some()), "{text}");
        assert!(text.contains("9: MISSED") && text.contains("9: met"), "{text}");
        assert_eq!(table.missed(), 1);
    }

    #[test]
    fn times_have_a_fitting_unit() {
        let of = |micros| time(Duration::from_micros(micros));
        assert_eq!(
            [of(72), of(1_500), of(250_000), of(2_000_000)],
            ["72 us", "1.50 ms", "250 ms", "2.00 s"]
        );
    }
}
