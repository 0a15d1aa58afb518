//! One connection, from its first request to its last.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::pace::{Pace, Paced};
use super::{ServerOptions, Shared, request};
use crate::Peer;

/// hyper's least buffer for a head: with more room than our own limit, ours is the one that
/// answers.
const LEAST_BUFFER: usize = 64 * 1024;

/// Up to this many headers, ours is the limit that answers. hyper clears room for all of them at
/// each request: 512 cost it a microsecond.
const HEADERS: usize = 256;

/// How hyper speaks on every connection.
pub(super) fn protocol(options: &ServerOptions) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(options.head_bytes.saturating_mul(4).max(LEAST_BUFFER))
        .max_headers(HEADERS)
        // `Paced` does it, and knows an idle connection from a slow head.
        .header_read_timeout(None);
    builder
}

/// Serves requests until one side has had enough or the drain begins.
pub(super) async fn run<I>(io: I, peer: Peer, shared: Arc<Shared>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Arc::new(Pace::default());
    let mut draining = shared.drain.watch();
    let io = TokioIo::new(Paced::new(io, Arc::clone(&pace), &shared.options));
    let peer = Arc::new(peer);
    let http = shared.http.clone();
    let service = service_fn(move |incoming| {
        let (shared, pace, peer) = (Arc::clone(&shared), Arc::clone(&pace), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(request::answer(incoming, &peer, &pace, &shared).await) }
    });
    let mut connection = std::pin::pin!(http.serve_connection(io, service).with_upgrades());
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = draining.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        // Clients hang up, dawdle and talk nonsense all day: nothing that an operator could do
        // about it.
        tracing::debug!(%error, "a connection ended early");
    }
}
