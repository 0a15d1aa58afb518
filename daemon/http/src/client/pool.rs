//! Connections that wait for their next request.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

/// A connection to one target.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    pub(super) connections: usize,
    pub(super) timeout: Duration,
}

/// The waiting connections of one target of one client.
pub(super) struct Pool {
    keep: Keep,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Last in, last: the one used most recently is the one most likely to be alive.
    connections: Vec<(Instant, Connection)>,
    /// Whether a task is closing those that have waited for too long.
    swept: bool,
}

impl Pool {
    pub(super) fn new(keep: Keep) -> Arc<Self> {
        Arc::new(Self { keep, waiting: Mutex::default() })
    }

    /// A connection that was alive a moment ago, if there is one.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut waiting = self.lock();
        while let Some((since, connection)) = waiting.connections.pop() {
            if connection.is_ready() && since.elapsed() < self.keep.timeout {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection` once it is ready for another request; nobody waits for that here.
    pub(super) fn put(self: &Arc<Self>, mut connection: Connection) {
        if self.keep.connections == 0 {
            return;
        }
        if connection.is_ready() {
            return self.insert(connection);
        }
        let pool = Arc::clone(self);
        drop(tokio::spawn(async move {
            // Ready within moments, unless the server answered before it had read the request.
            if matches!(
                tokio::time::timeout(Duration::from_secs(1), connection.ready()).await,
                Ok(Ok(()))
            ) {
                pool.insert(connection);
            }
        }));
    }

    fn insert(self: &Arc<Self>, connection: Connection) {
        let mut waiting = self.lock();
        if waiting.connections.len() >= self.keep.connections {
            return;
        }
        waiting.connections.push((Instant::now(), connection));
        if !waiting.swept {
            waiting.swept = true;
            drop(tokio::spawn(sweep(Arc::downgrade(self), self.keep.timeout)));
        }
    }

    /// Closes what has waited for too long, or is closed by the other side. Whether anything still
    /// waits.
    fn expire(&self) -> bool {
        let mut waiting = self.lock();
        waiting.connections.retain(|(since, connection)| {
            since.elapsed() < self.keep.timeout && !connection.is_closed()
        });
        waiting.swept = !waiting.connections.is_empty();
        waiting.swept
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs for as long as something waits, so that a client at rest holds neither connections nor a
/// task.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if !pool.upgrade().is_some_and(|pool| pool.expire()) {
            return;
        }
    }
}
