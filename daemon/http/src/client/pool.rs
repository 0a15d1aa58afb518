//! Idle connections, kept for the next request.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A connection to one target.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// How many idle connections are kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdleLimits {
    pub(super) connections: usize,
    pub(super) timeout: Duration,
}

/// The idle connections of one target of one client.
pub(super) struct Pool {
    limits: IdleLimits,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// A stack: the connection used most recently is the most likely to be alive.
    connections: Vec<(Instant, Connection)>,
    /// Whether a task is closing those that have been idle for too long.
    swept: bool,
}

impl Pool {
    pub(super) fn new(limits: IdleLimits) -> Arc<Self> {
        Arc::new(Self { limits, idle: Mutex::default() })
    }

    /// Takes a connection that was alive a moment ago, if there is one.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        while let Some((since, connection)) = idle.connections.pop() {
            if connection.is_ready() && since.elapsed() < self.limits.timeout {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection` once it is ready for another request, without waiting for that.
    pub(super) fn put(self: &Arc<Self>, mut connection: Connection) {
        if self.limits.connections == 0 {
            return;
        }
        if connection.is_ready() {
            return self.insert(connection);
        }
        let pool = Arc::clone(self);
        drop(tokio::spawn(async move {
            // It is ready at once, unless the server answered before it had read the request.
            if matches!(
                tokio::time::timeout(Duration::from_secs(1), connection.ready()).await,
                Ok(Ok(()))
            ) {
                pool.insert(connection);
            }
        }));
    }

    fn insert(self: &Arc<Self>, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.connections.len() >= self.limits.connections {
            return;
        }
        idle.connections.push((Instant::now(), connection));
        if !idle.swept {
            idle.swept = true;
            drop(tokio::spawn(sweep(Arc::downgrade(self), self.limits.timeout)));
        }
    }

    /// Closes the connections that have been idle for too long or that the server has closed.
    /// Returns whether any are left.
    fn expire(&self) -> bool {
        let mut idle = self.idle.lock();
        idle.connections.retain(|(since, connection)| {
            since.elapsed() < self.limits.timeout && !connection.is_closed()
        });
        idle.swept = !idle.connections.is_empty();
        idle.swept
    }
}

/// Runs as long as a connection is idle, so that an unused client holds neither connections nor a
/// task.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if !pool.upgrade().is_some_and(|pool| pool.expire()) {
            return;
        }
    }
}
