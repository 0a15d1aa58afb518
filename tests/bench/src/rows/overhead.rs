//! What a plugin call costs through the port of the host, each in a fresh instance, beside a call
//! on an instance that is kept.

use std::process::Command;

use crate::Effort;
use crate::load::Failure;
use crate::process::{beside, printed};
use crate::table::{Row, Table, Target};

pub(super) fn measure(effort: &Effort, table: &mut Table) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let component = credsmith_tests::fixture("unique", directory.path());
    let text = printed(
        Command::new(beside("examples/overhead")?).arg(component).arg(effort.calls.to_string()),
    )?;
    let find = |name| percentiles(&text, name).ok_or("the example `overhead` printed no such row");
    let (fresh, kept) = (find("issue through the port")?, find("issue on a kept instance")?);
    table.0.push(Row {
        what: "plugin call, fresh instance".to_owned(),
        measured: format!("p50 {:.0} us", fresh.0),
        detail: format!("p99 {:.0} us", fresh.1),
        yardstick: format!("kept instance p50 {:.1} us, p99 {:.1} us", kept.0, kept.1),
        target: Target::at_most("p50 80 us", fresh.0, 80.0),
    });
    Ok(())
}

/// p50 and p99 in microseconds, from the line `name p50 X us p99 Y us`.
fn percentiles(printed: &str, name: &str) -> Option<(f64, f64)> {
    let line = printed.lines().find_map(|line| line.strip_prefix(name))?;
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read() {
        let text = "unique 0.1.0, 9 calls\nissue through the port       p50     61.5 us   p99    101.0 us\n";
        assert_eq!(percentiles(text, "issue through the port"), Some((61.5, 101.0)));
        assert_eq!(percentiles(text, "issue on a kept instance"), None);
    }
}
