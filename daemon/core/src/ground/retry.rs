//! Repeating a change that lost a race.

use crate::error::{Error, Kind};
use crate::limits::COMMIT_ATTEMPTS;
use crate::records::CommitError;

/// Runs `attempt` until it does not lose against a concurrent change. Each attempt reads what it
/// decides on anew.
///
/// # Errors
/// `Busy` when it lost [`COMMIT_ATTEMPTS`] times; else the error of the attempt.
pub(crate) async fn retry<T, F: Future<Output = Result<T, CommitError>>>(
    attempt: impl Fn() -> F,
) -> Result<T, Error> {
    for _ in 0..COMMIT_ATTEMPTS {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(CommitError::Conflict) => {}
            Err(CommitError::Failed(error)) => return Err(error),
        }
    }
    Err(too_contended())
}

/// The refusal of a change that lost every race.
pub(crate) fn too_contended() -> Error {
    Error::new(Kind::Busy, "Too much happens at once; please try again.")
        .because(format!("a change lost against others {COMMIT_ATTEMPTS} times"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_lost_race_is_repeated_and_a_failure_is_not() {
        let attempts = Cell::new(0);
        let won = retry(|| async {
            attempts.update(|count| count + 1);
            if attempts.get() < 3 { Err(CommitError::Conflict) } else { Ok(attempts.get()) }
        });
        assert_eq!(won.await.unwrap(), 3);

        let attempts = Cell::new(0);
        let failed = retry(|| async {
            attempts.update(|count| count + 1);
            Err::<(), _>(CommitError::Failed(Error::internal("the disk is gone")))
        });
        assert_eq!(failed.await.unwrap_err().kind(), Kind::Internal);
        assert_eq!(attempts.get(), 1);
    }

    #[tokio::test]
    async fn there_is_an_end_to_repeating() {
        let lost = retry(|| async { Err::<(), _>(CommitError::Conflict) }).await.unwrap_err();
        assert_eq!(lost.kind(), Kind::Busy);
    }
}
