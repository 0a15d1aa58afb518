//! Accepts connections and hands each to a task of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection;
use super::shared::Shared;
use crate::listener::{Accepted, Listener, Peer};

/// The pause after a failed accept, doubled with each failure in a row. Without file descriptors
/// every accept fails at once, which would loop without a pause.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts until the drain begins; then the listener is closed.
pub(super) async fn run(mut listener: Listener, shared: Arc<Shared>) {
    let draining = shared.drain.watch();
    tokio::select! {
        () = draining.begun() => {}
        () = accept_all(&mut listener, &shared) => {}
    }
}

async fn accept_all(listener: &mut Listener, shared: &Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    while let Some(permit) = permit(&shared.connections).await {
        match listener.accept().await {
            Ok((accepted, peer)) => {
                pause = FIRST_PAUSE;
                let serving = serve(accepted, peer, Arc::clone(shared), permit);
                shared.drain.spawn("connection", serving);
            }
            // The client caused it; the next connection may succeed.
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

/// Takes the permit of one more connection, before that is accepted: connections without a permit
/// wait in the kernel's queue.
async fn permit(connections: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(connections).acquire_owned().await.ok()
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves one connection, after its TLS handshake where there is one, and then frees its permit.
async fn serve(accepted: Accepted, peer: Peer, shared: Arc<Shared>, permit: OwnedSemaphorePermit) {
    match accepted {
        Accepted::Tcp(stream) => connection::run(stream, peer, shared).await,
        Accepted::Unix(stream) => connection::run(stream, peer, shared).await,
        Accepted::Tls(acceptor, stream) => {
            let limit = shared.options.head_timeout;
            // Logged at debug level only: the client causes a failed handshake, and every scan of
            // the port would be a line.
            match tokio::time::timeout(limit, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => connection::run(stream, peer, shared).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        }
    }
    drop(permit);
}
