//! Calls a daemon on this machine over its Unix socket, for command-line tools.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// Sends `json` to the process that listens at `socket`, and waits for the whole answer: its status
/// and body.
///
/// # Errors
/// The path is invalid, no process listens at `socket`, or no readable answer arrives within
/// `deadline`.
pub async fn call(
    socket: &Path,
    method: Method,
    path: &str,
    json: Bytes,
    deadline: Duration,
) -> io::Result<(StatusCode, Bytes)> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(json))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let exchange = exchange(socket, request);
    timeout(deadline, exchange)
        .await
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

async fn exchange(socket: &Path, request: Request<Full<Bytes>>) -> io::Result<(StatusCode, Bytes)> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
    let answer = async move {
        let (parts, body) =
            sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(io::Error::other)?;
        Ok((parts.status, body.to_bytes()))
    };
    // The connection ends once the answer is complete; how it ended does not matter then.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Drain, Fault, Listener, Reply, ReplyBody, Server, ServerOptions, Surface, Surfaces,
    };
    use futures_util::future::BoxFuture;

    struct Echo;

    impl Surface for Echo {
        fn call(&self, mut request: crate::Request) -> BoxFuture<'_, Reply> {
            Box::pin(async move {
                let body = request.body_mut().read(100).await.unwrap();
                ReplyBody::text(
                    StatusCode::ACCEPTED,
                    [request.uri().path().as_bytes(), b" ", &body].concat(),
                )
            })
        }

        fn fault(&self, fault: Fault) -> Reply {
            ReplyBody::bare(fault.status())
        }
    }

    #[tokio::test]
    async fn a_call_gets_the_answer_of_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = Listener::unix(socket.clone()).await.unwrap();
        let drain = Drain::new();
        Server::new(ServerOptions::default(), Surfaces::new(Arc::new(Echo)), drain.clone())
            .serve(listener);
        let (body, deadline) = (Bytes::from("hello"), Duration::from_secs(5));
        let (status, body) = call(&socket, Method::POST, "/there", body, deadline).await.unwrap();
        assert_eq!((status, &body[..]), (StatusCode::ACCEPTED, &b"/there hello"[..]));
        let failed =
            call(&socket, Method::POST, "no path", Bytes::new(), deadline).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::InvalidInput);
        drain.stop();
    }

    #[tokio::test]
    async fn without_a_daemon_there_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let deadline = Duration::from_secs(5);
        let nowhere = dir.path().join("none");
        let failed = call(&nowhere, Method::GET, "/", Bytes::new(), deadline).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::NotFound);
    }
}
