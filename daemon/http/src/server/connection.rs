//! One connection, from its first request to its last.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::request;
use super::shared::Shared;
use crate::listener::Peer;
use crate::options::ServerOptions;
use crate::pace::{Pace, PacedStream};

/// The least size of hyper's buffer for a head. It is larger than our own limit, so that our limit
/// is the one that answers.
const LEAST_BUFFER: usize = 64 * 1024;

/// The most headers that hyper parses; up to here our own limit is the one that answers. hyper
/// clears room for all of them at each request: 512 would cost a microsecond.
const HEADERS: usize = 256;

/// hyper's settings for every connection.
pub(super) fn protocol(options: &ServerOptions) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(options.head_bytes.saturating_mul(4).max(LEAST_BUFFER))
        .max_headers(HEADERS)
        // `PacedStream` limits it, and distinguishes an idle connection from a slow head.
        .header_read_timeout(None);
    builder
}

/// Serves requests until either side closes the connection or the drain begins.
pub(super) async fn run<I>(io: I, peer: Peer, shared: Arc<Shared>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Arc::new(Pace::default());
    let draining = shared.drain.watch();
    let io = TokioIo::new(PacedStream::new(io, Arc::clone(&pace), &shared.options));
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
        // Clients disconnect, stall and send invalid requests all the time, which no operator can
        // prevent.
        tracing::debug!(%error, "a connection ended early");
    }
}
