//! The server: accepts connections and answers their requests.

mod accept;
mod connection;
mod request;
mod shared;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use self::shared::Shared;
use crate::drain::Drain;
use crate::listener::Listener;
use crate::options::ServerOptions;
use crate::shares::{Budget, Connections, Rate};
use crate::slot::Slots;
use crate::surface::Surfaces;

/// One set of surfaces and limits, behind any number of listeners. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

impl Server {
    /// A server without listeners. Its connections belong to `drain`.
    pub fn new(options: ServerOptions, surfaces: Surfaces, drain: Drain) -> Self {
        let shared = Shared {
            slots: Slots::new(options.in_work, options.retry_after),
            connections: Connections::new(options.connections),
            bodies: Budget::new(bytes(options.unfinished_bodies)),
            replies: Budget::new(bytes(options.unread_replies)),
            rate: u32::try_from(options.requests_per_second)
                .ok()
                .filter(|most| *most > 0)
                .map(Rate::new),
            http: connection::protocol(&options),
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

fn bytes(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.0.options)
            .field("surfaces", &self.0.surfaces)
            .finish()
    }
}
