//! Accepts connections and hands each to a task of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::connection;
use super::shared::Shared;
use crate::listener::{Accepted, Listener, Peer};
use crate::shares::{Connection, Network};

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
    loop {
        match listener.accept().await {
            Ok((accepted, peer)) => {
                pause = FIRST_PAUSE;
                // Waits while all connections are in work: further ones wait in the kernel's queue.
                match shared.connections.enter(network(&peer, shared)).await {
                    Some(connection) => {
                        let serving = serve(accepted, peer, Arc::clone(shared), connection);
                        shared.drain.spawn("connection", serving);
                    }
                    None => tracing::debug!(%peer, "an address has all its connections in work"),
                }
            }
            // The client caused it; the next connection may succeed.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Most likely file descriptors have run out.
                shared.connections.cut_longest_idle();
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

/// Whose share of the connections one of `peer` is of; `None` for a peer that speaks for many
/// clients, or for none.
fn network(peer: &Peer, shared: &Shared) -> Option<Network> {
    match peer {
        Peer::Tcp(address) if !shared.options.trusted_proxies.is_proxy(peer) => {
            Some(address.ip().into())
        }
        Peer::Tcp(_) | Peer::Unix(_) => None,
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves one connection, after its TLS handshake where there is one.
async fn serve(accepted: Accepted, peer: Peer, shared: Arc<Shared>, own: Connection) {
    match accepted {
        Accepted::Tcp(stream) => connection::run(stream, peer, own, shared).await,
        Accepted::Unix(stream) => connection::run(stream, peer, own, shared).await,
        Accepted::Tls(acceptor, stream) => {
            let limit = shared.options.head_timeout;
            // Logged at debug level only: the client causes a failed handshake, and every scan of
            // the port would be a line.
            let handshake = tokio::time::timeout(limit, acceptor.accept(stream));
            let place = Arc::clone(own.place());
            let outcome = tokio::select! {
                outcome = handshake => outcome,
                () = place.until_cut() => return,
            };
            match outcome {
                Ok(Ok(stream)) => connection::run(stream, peer, own, shared).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        }
    }
}
