//! What figures stand beside: hyper alone, the store alone.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::load::Failure;
use crate::process::{Served, beside, printed};
use crate::site::Place;

/// Megabytes of the daemon's cache, where nothing else is configured.
const CACHE: &str = "16";

/// Serves `body` by hyper alone.
pub(super) fn bare(place: &Place, body: &[u8]) -> Result<Served, Failure> {
    let file = place.data().join("body");
    std::fs::write(&file, body)?;
    let mut command = Command::new(beside("examples/bare")?);
    command.arg("--body").arg(&file);
    Served::start(command, &place.data().join("bare.log"))
}

/// What the store alone commits.
pub(super) struct Commits(String);

impl Commits {
    /// Measures, in a store of its own below `data`, each of `waiters` with batches of so many
    /// keys, for so long.
    pub(super) fn measure(
        data: &Path,
        length: Duration,
        waiters: &[usize],
        keys: usize,
    ) -> Result<Self, Failure> {
        let waiters: Vec<_> = waiters.iter().map(usize::to_string).collect();
        let mut command = Command::new(beside("examples/commits")?);
        command.arg(data.join(format!("bare-{keys}"))).arg(length.as_secs_f64().to_string());
        printed(command.arg(CACHE).arg(waiters.join(",")).arg(keys.to_string())).map(Self)
    }

    /// How many a second with so many waiters.
    pub(super) fn rate(&self, waiters: usize) -> Result<f64, Failure> {
        let waiters = waiters.to_string();
        let mut lines = self.0.lines().map(str::split_whitespace);
        let mut words = lines.find_map(|mut words| (words.next()? == waiters).then_some(words));
        let rate = words.as_mut().and_then(|words| words.nth(1)?.parse().ok());
        Ok(rate.ok_or("the example `commits` printed no such row")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_as_many_waiters_is_taken() {
        let text = "waiters  keys  commits/s  p50\n 64     4      12345  1ms\n 8 4 7 1us\n";
        let commits = Commits(text.to_owned());
        assert_eq!((commits.rate(64).unwrap(), commits.rate(8).unwrap()), (12345.0, 7.0));
        assert!(commits.rate(1).is_err());
    }
}
