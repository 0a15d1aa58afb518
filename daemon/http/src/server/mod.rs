//! The server: listeners in, replies out.

mod accept;
mod converse;
mod pace;
mod request;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::slot::Slots;
use crate::{Drain, HostPolicy, Listener, Surfaces};

pub(crate) use pace::Pace;

/// The limits of a server. Every one of them bounds what a client can make it hold.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Requests in work at once; one more is refused as [`Fault::Busy`](crate::Fault::Busy).
    pub in_work: usize,
    /// What a refused client is told to wait.
    pub retry_after: Duration,
    /// Connections open at once, on all listeners together; above it, accepting pauses.
    pub connections: usize,
    /// From the end of a request's head to its reply, reading the body included. Longer than any
    /// plugin may take.
    pub deadline: Duration,
    /// Bytes of a request's line and headers. hyper itself gives up, with an empty answer, at four
    /// times that and no less than 64 KiB.
    pub head_bytes: usize,
    /// From the first byte of a head to its end; for the first head, from the opening of the
    /// connection. Also for a TLS handshake.
    pub head_timeout: Duration,
    /// How long a connection may be silent after a reply.
    pub idle_timeout: Duration,
    /// How long the body of a request, or a client that reads its reply, may stall.
    pub stall_timeout: Duration,
    /// How long all of a body may take; below `deadline`, so that a slow client gets a 408 and not
    /// a 503.
    pub body_timeout: Duration,
    /// Which host names are answered.
    pub hosts: HostPolicy,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            in_work: 256,
            retry_after: Duration::from_secs(1),
            connections: 4096,
            deadline: Duration::from_secs(60),
            head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            hosts: HostPolicy::Any,
        }
    }
}

/// One set of surfaces and limits, behind any number of listeners. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

/// What connections share.
pub(crate) struct Shared {
    options: ServerOptions,
    surfaces: Surfaces,
    drain: Drain,
    slots: Slots,
    connections: Arc<Semaphore>,
    http: hyper::server::conn::http1::Builder,
}

impl Server {
    /// A server that listens nowhere yet. Its connections belong to `drain`.
    pub fn new(options: ServerOptions, surfaces: Surfaces, drain: Drain) -> Self {
        let shared = Shared {
            slots: Slots::new(options.in_work),
            connections: Arc::new(Semaphore::new(options.connections.min(Semaphore::MAX_PERMITS))),
            http: converse::protocol(&options),
            options,
            surfaces,
            drain,
        };
        Self(Arc::new(shared))
    }

    /// Accepts connections from `listener` until the drain begins, on the ambient tokio runtime.
    /// Returns at once.
    pub fn serve(&self, listener: Listener) {
        let shared = Arc::clone(&self.0);
        self.0.drain.spawn("listener", accept::run(listener, shared));
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.0.options)
            .field("surfaces", &self.0.surfaces)
            .finish()
    }
}
