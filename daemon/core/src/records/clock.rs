//! The last wall time that was trusted, and the runs of the daemon until then: what the next start
//! compares its clock with, and whose claims it takes for void.

use serde::{Deserialize, Serialize};

use super::{CommitError, Records, encoding, keys};
use crate::error::Error;
use crate::model::lease::Boot;
use crate::ports::store::Expected;
use crate::time::Timestamp;

const CLOCK: &str = "clock";

/// How many earlier runs are remembered. A claim lasts no longer than one call of a plugin, so that
/// those of older runs have run out.
const BOOTS: usize = 16;

/// What is kept of the clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockMark {
    /// The last wall time that was trusted.
    #[serde(rename = "at", skip_serializing_if = "Option::is_none", default)]
    pub(crate) wall: Option<Timestamp>,
    /// The runs so far, oldest first.
    #[serde(default)]
    pub(crate) boots: Vec<Boot>,
}

impl ClockMark {
    /// The mark of the run `boot`, which trusts `wall`, or nothing newer than this mark.
    pub(crate) fn next(&self, boot: Boot, wall: Option<Timestamp>) -> Self {
        let mut boots: Vec<_> =
            self.boots.iter().copied().filter(|earlier| *earlier != boot).collect();
        boots.push(boot);
        boots.drain(..boots.len().saturating_sub(BOOTS));
        Self { wall: wall.or(self.wall), boots }
    }
}

impl Records {
    /// The mark, and what a commit has to expect of it.
    ///
    /// # Errors
    /// `Internal` when the store fails or the mark cannot be read.
    pub(crate) async fn clock_mark(&self) -> Result<(ClockMark, Expected), Error> {
        let Some((plain, revision)) = self.get(&keys::clock(), CLOCK).await? else {
            return Ok((ClockMark::default(), Expected::Absent));
        };
        let mark = encoding::decode(&plain).map_err(Error::internal)?;
        Ok((mark, Expected::At(revision)))
    }

    /// Writes the mark that was read as `expected`, on a disk that is almost full too: without it
    /// no start could revoke anything.
    ///
    /// # Errors
    /// `Conflict` when it changed meanwhile.
    pub(crate) async fn put_clock_mark(
        &self,
        expected: Expected,
        mark: &ClockMark,
    ) -> Result<(), CommitError> {
        let key = keys::clock();
        let plain = encoding::encode(mark).map_err(Error::internal)?;
        let mut writing = self.writing();
        writing.is_urgent();
        writing.expect(&key, expected);
        writing.put(&key, CLOCK, &plain).await?;
        writing.commit().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_remembers_the_latest_runs_and_the_last_trusted_time() {
        let at = Timestamp::from_secs(1_000);
        let mut mark = ClockMark::default().next(Boot(1), Some(at));
        mark = mark.next(Boot(1), None);
        assert_eq!(mark, ClockMark { wall: Some(at), boots: vec![Boot(1)] });
        for boot in 2..40 {
            mark = mark.next(Boot(boot), None);
        }
        assert_eq!((mark.wall, mark.boots.len()), (Some(at), BOOTS));
        assert_eq!(mark.boots.last(), Some(&Boot(39)));
    }
}
