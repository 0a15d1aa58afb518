//! From a listener to connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Shared, converse};
use crate::listener::Arrival;
use crate::{Listener, Peer};

/// The pause after a failed accept, doubled with each one in a row. Out of file descriptors,
/// accepting would fail at once, for ever.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts until the drain begins; then the listener is closed.
pub(super) async fn run(listener: Listener, shared: Arc<Shared>) {
    let mut draining = shared.drain.watch();
    tokio::select! {
        () = draining.begun() => {}
        () = accept_all(&listener, &shared) => {}
    }
}

async fn accept_all(listener: &Listener, shared: &Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    while let Some(place) = place(&shared.connections).await {
        match listener.accept().await {
            Ok((arrival, peer)) => {
                pause = FIRST_PAUSE;
                shared.drain.spawn("connection", welcome(arrival, peer, Arc::clone(shared), place));
            }
            // The client's doing; the next one may be fine.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // One line for each run of failures, not one for each failure.
                if pause == FIRST_PAUSE {
                    tracing::error!(%error, listener = %listener, "cannot accept connections, trying again");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// A place for one more connection. It is taken before one is accepted: those without a place wait
/// in the kernel's queue.
async fn place(connections: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(connections).acquire_owned().await.ok()
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn welcome(arrival: Arrival, peer: Peer, shared: Arc<Shared>, place: OwnedSemaphorePermit) {
    match arrival {
        Arrival::Tcp(stream) => converse::run(stream, peer, shared).await,
        Arrival::Unix(stream) => converse::run(stream, peer, shared).await,
        Arrival::Tls(acceptor, stream) => {
            let limit = shared.options.head_timeout;
            // A failed handshake is the client's affair and would be one log line for each scan of
            // the port.
            match tokio::time::timeout(limit, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => converse::run(stream, peer, shared).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        }
    }
    drop(place);
}
