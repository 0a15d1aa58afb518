//! One connection, from its first request to its last.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::request::{self, On};
use super::shared::Shared;
use crate::listener::Peer;
use crate::options::ServerOptions;
use crate::pace::{Pace, PacedStream};
use crate::shares::Connection;

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

/// Serves requests until either side closes the connection, the drain begins, or the connection has
/// to make room for another one.
pub(super) async fn run<I>(io: I, peer: Peer, own: Connection, shared: Arc<Shared>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let own = Arc::new(own);
    let pace = Arc::new(Pace::new(Arc::clone(own.place())));
    let draining = shared.drain.watch();
    let io = TokioIo::new(PacedStream::new(io, Arc::clone(&pace), &shared.options));
    let peer = Arc::new(peer);
    let http = shared.http.clone();
    let place = Arc::clone(own.place());
    let service = service_fn(move |incoming| {
        let on = On {
            peer: Arc::clone(&peer),
            pace: Arc::clone(&pace),
            connection: Arc::clone(&own),
            shared: Arc::clone(&shared),
        };
        async move { Ok::<_, Infallible>(request::answer(incoming, &on).await) }
    });
    let mut connection = std::pin::pin!(http.serve_connection(io, service).with_upgrades());
    let served = async {
        tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = draining.begun() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        }
    };
    let outcome = tokio::select! {
        outcome = served => outcome,
        () = place.until_cut() => {
            tracing::debug!("a connection was closed to make room");
            return;
        }
    };
    if let Err(error) = outcome {
        // Clients disconnect, stall and send invalid requests all the time, which no operator can
        // prevent.
        tracing::debug!(%error, "a connection ended early");
    }
}
