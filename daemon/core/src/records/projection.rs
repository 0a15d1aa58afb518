//! A value that is worked out from the records of one space and kept in memory. The space's epoch
//! says when it is out of date.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Records;
use crate::error::Error;
use crate::ports::store::Revision;

/// The latest value that was read, and the epoch at which it was read.
#[derive(Debug)]
pub(crate) struct Projection<T> {
    latest: Mutex<Option<(Option<Revision>, Arc<T>)>>,
    /// Held while a value is read, so that it is read once for all callers that wait for it.
    reading: tokio::sync::Mutex<()>,
}

impl<T> Default for Projection<T> {
    fn default() -> Self {
        Self { latest: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }
}

impl<T> Projection<T> {
    /// The value as of now: the latest one while the epoch of `space` has not moved, else what
    /// `read` makes of the records. `read` gets the epoch, and the latest value to reuse what did
    /// not change.
    ///
    /// # Errors
    /// Those of `read`; `Internal` when the store fails.
    pub(crate) async fn current<F: Future<Output = Result<T, Error>>>(
        &self,
        records: &Records,
        space: &str,
        read: impl FnOnce(Option<Revision>, Option<Arc<T>>) -> F,
    ) -> Result<Arc<T>, Error> {
        if let Some(latest) = self.latest_at(records.epoch(space).await?) {
            return Ok(latest);
        }
        let _only_reader = self.reading.lock().await;
        // The epoch is read before the records: a change that comes while they are read moves it,
        // and the next call reads again.
        let epoch = records.epoch(space).await?;
        if let Some(latest) = self.latest_at(epoch) {
            return Ok(latest);
        }
        let latest = self.latest.lock().as_ref().map(|(_, latest)| Arc::clone(latest));
        let value = Arc::new(read(epoch, latest).await?);
        *self.latest.lock() = Some((epoch, Arc::clone(&value)));
        Ok(value)
    }

    fn latest_at(&self, epoch: Option<Revision>) -> Option<Arc<T>> {
        let latest = self.latest.lock();
        latest.as_ref().filter(|(read_at, _)| *read_at == epoch).map(|(_, value)| Arc::clone(value))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::doubles::{ManualClock, MemoryStore, TestTasks, ground};

    const SPACE: &str = "numbers";

    async fn write(records: &Records) {
        let mut writing = records.writing();
        writing.put(&crate::ports::store::Key::new("number"), "number", b"1").await.unwrap();
        writing.bump(SPACE);
        writing.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_value_is_read_once_until_its_space_changes() {
        let tasks = Arc::new(TestTasks::new());
        let ground = ground(&ManualClock::default(), &MemoryStore::new(), tasks, 1).await;
        let (projection, reads) = (Projection::default(), Cell::new(0));
        let read = |_, latest: Option<Arc<i32>>| {
            reads.update(|count| count + 1);
            async move {
                tokio::task::yield_now().await;
                Ok(latest.map_or(1, |latest| *latest + 1))
            }
        };
        let current = async || *projection.current(&ground.records, SPACE, read).await.unwrap();
        assert_eq!(tokio::join!(current(), current(), current()), (1, 1, 1));
        write(&ground.records).await;
        assert_eq!((current().await, current().await, reads.get()), (2, 2, 2));
    }

    #[tokio::test]
    async fn a_change_that_comes_while_the_records_are_read_is_read_by_the_next_call() {
        let tasks = Arc::new(TestTasks::new());
        let ground = ground(&ManualClock::default(), &MemoryStore::new(), tasks, 1).await;
        let projection = Projection::default();
        let early = projection.current(&ground.records, SPACE, async |_, _| {
            write(&ground.records).await;
            Ok("early")
        });
        assert_eq!(*early.await.unwrap(), "early");
        let late = projection.current(&ground.records, SPACE, async |_, _| Ok("late"));
        assert_eq!(*late.await.unwrap(), "late");
    }
}
