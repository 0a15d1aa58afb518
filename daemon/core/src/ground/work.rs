//! Requests in work by user: one user has a share of them, in both dialects together.

use super::Ground;
use crate::caller::Subject;
use crate::error::{Error, Kind};
use crate::limits::KeyedPermit;

/// A request in work, counted for its user until it is dropped.
pub struct Work {
    _permit: KeyedPermit<Subject>,
}

impl Ground {
    /// Counts a request of `subject` as in work.
    ///
    /// # Errors
    /// `Busy` when the user has its share in work already.
    pub(crate) fn begin_work(&self, subject: &Subject) -> Result<Work, Error> {
        let permit = self.work.take(subject).ok_or_else(|| {
            Error::new(Kind::Busy, "You have too many requests in work; please wait for some.")
        })?;
        Ok(Work { _permit: permit })
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::caller::Subject;
    use crate::doubles::{ManualClock, MemoryStore, TestTasks, ground};
    use crate::error::Kind;
    use crate::ground::DEFAULT_REQUESTS_PER_USER;

    /// Attack: one user takes all requests in work.
    #[tokio::test]
    async fn one_user_has_a_share_of_the_requests_in_work() {
        let tasks = Arc::new(TestTasks::new());
        let ground = ground(&ManualClock::default(), &MemoryStore::new(), tasks, 1).await;
        let user = |name: &str| Subject { issuer: "https://op".into(), subject: name.into() };
        let held: Vec<_> = (0..DEFAULT_REQUESTS_PER_USER)
            .map(|_| ground.begin_work(&user("greedy")).unwrap())
            .collect();
        let refused = ground.begin_work(&user("greedy")).unwrap_err();
        assert_eq!(refused.kind(), Kind::Busy);
        assert!(ground.begin_work(&user("other")).is_ok());
        drop(held);
        assert!(ground.begin_work(&user("greedy")).is_ok());
    }
}
