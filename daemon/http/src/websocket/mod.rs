//! WebSockets (RFC 6455) for one purpose: a client waits for one text and receives it. Frames that
//! it sends meanwhile are discarded.
//!
//! [`Handshake::read`] checks the head of a request, [`Handshake::accept`] makes the 101,
//! [`WebSocket::deliver`] waits and sends. Ten thousand of them may wait at a time, so a socket
//! keeps hardly any buffers.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use crate::drain::Draining;
use crate::reply::{Reply, ReplyBody};
use crate::upgrade::{Upgrade, Upgraded};

/// The longest frame, and message, that a client may send: the limit of a control frame. A larger
/// one closes the socket.
const MAX_INCOMING: usize = 125;

/// The size of one such frame with its head.
const READ_BUFFER: usize = 256;

/// The most bytes that wait to be sent, the text included. A client that pings and never reads
/// would otherwise fill the memory with pongs.
const MAX_OUTGOING: usize = 20 * 1024;

/// The only version of the protocol.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// How often a waiting client is pinged. A client that has sent nothing since the last ping is
/// disconnected.
const PING: Duration = Duration::from_secs(30);

/// How long a client may take to read what it is sent, and to answer a close frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// A valid handshake request.
#[derive(Debug)]
pub struct Handshake {
    accept: HeaderValue,
}

/// Why a request is no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// It requests no WebSocket, or another version: 426, with the headers of
    /// [`HandshakeError::headers`].
    UpgradeRequired,
    /// It requests one, but violates the RFC: 400.
    Malformed,
}

impl HandshakeError {
    /// The headers that the 426 must have.
    pub fn headers() -> [(HeaderName, HeaderValue); 3] {
        [
            (UPGRADE, HeaderValue::from_static("websocket")),
            (CONNECTION, HeaderValue::from_static("upgrade")),
            (SEC_WEBSOCKET_VERSION, VERSION),
        ]
    }
}

impl Handshake {
    /// Checks the head of a request (RFC 6455 section 4.2.1). Extensions and subprotocols that it
    /// offers are not used.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub fn read(parts: &Parts) -> Result<Self, HandshakeError> {
        let headers = &parts.headers;
        let requested = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && has_token(headers, &CONNECTION, "upgrade")
            && has_token(headers, &UPGRADE, "websocket");
        if !requested
            || headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version != VERSION)
        {
            return Err(HandshakeError::UpgradeRequired);
        }
        let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
        let key = keys.next().filter(|key| is_key(key.as_bytes()) && keys.next().is_none());
        let (Some(key), Some(_)) = (key, headers.get(SEC_WEBSOCKET_VERSION)) else {
            return Err(HandshakeError::Malformed);
        };
        let accept = derive_accept_key(key.as_bytes());
        HeaderValue::try_from(accept)
            .map(|accept| Self { accept })
            .map_err(|_| HandshakeError::Malformed)
    }

    /// The 101 for this handshake. `run` receives the socket once that is sent, and runs as a task
    /// of the server's [`Drain`](crate::Drain).
    pub fn accept(
        self,
        run: impl FnOnce(WebSocket) -> BoxFuture<'static, ()> + Send + 'static,
    ) -> Reply {
        let mut reply = ReplyBody::bare(StatusCode::SWITCHING_PROTOCOLS);
        let headers = reply.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        reply.extensions_mut().insert(Upgrade::new(|connection| {
            Box::pin(async move {
                let draining = connection.draining();
                // A future of its own, so that the memory for opening is freed before the wait.
                let socket = Box::pin(WebSocket::new(connection, draining)).await;
                run(socket).await;
            })
        }));
        reply
    }
}

/// Whether `token` is among the comma-separated tokens of a header.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether `key` is sixteen bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==") else { return false };
    digits.len() == 22
        && digits.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The text was sent, and the socket closed with 1000. Whether the client read it is unknown.
    Sent,
    /// The client disconnected, fell silent or violated the protocol before the text was there.
    Gone,
    /// The daemon is shutting down; the socket was closed with 1001.
    Drained,
}

/// An open WebSocket.
pub struct WebSocket<S = Upgraded> {
    // Boxed, since every future that it is moved through reserves room for it.
    stream: Box<WebSocketStream<S>>,
    draining: Draining,
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebSocket")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    async fn new(stream: S, draining: Draining) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // Every frame is sent at once.
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_OUTGOING)
            .max_message_size(Some(MAX_INCOMING))
            .max_frame_size(Some(MAX_INCOMING));
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { stream: Box::new(stream), draining }
    }

    /// Waits for `text`, sends it and closes. Meanwhile the client is pinged, and what it sends is
    /// discarded; a frame of more than 125 bytes closes the socket with 1009. A text over 20 KiB is
    /// not sent. Ends early, and drops `text`, when the client disconnects or the drain begins.
    /// Dropping the future closes the connection.
    pub async fn deliver(mut self, text: impl Future<Output = String>) -> Delivery {
        match self.wait(text).await {
            Ok(text) => {
                let sent = self.send(Message::text(text)).await;
                self.close(CloseCode::Normal).await;
                if sent { Delivery::Sent } else { Delivery::Gone }
            }
            Err(Interruption::Drain) => {
                self.close(CloseCode::Away).await;
                Delivery::Drained
            }
            Err(Interruption::Violation(code)) => {
                self.close(code).await;
                Delivery::Gone
            }
            Err(Interruption::Closed) => {
                self.disconnect().await;
                Delivery::Gone
            }
            Err(Interruption::Unresponsive) => Delivery::Gone,
        }
    }

    async fn wait<T>(&mut self, event: impl Future<Output = T>) -> Result<T, Interruption> {
        let mut event = pin!(event);
        let mut pings = interval_at(Instant::now() + PING, PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut received_something = true;
        loop {
            tokio::select! {
                outcome = &mut event => return Ok(outcome),
                () = self.draining.begun() => return Err(Interruption::Drain),
                received = self.stream.next() => {
                    check_received(received)?;
                    received_something = true;
                }
                _ = pings.tick() => {
                    if !received_something || !self.send(Message::Ping(Vec::new().into())).await {
                        return Err(Interruption::Unresponsive);
                    }
                    received_something = false;
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> bool {
        matches!(timeout(PATIENCE, self.stream.send(message)).await, Ok(Ok(())))
    }

    /// Sends a close frame with `code` and waits for the client's: closing over bytes that the
    /// client is still sending would reset the connection and discard what was just sent to it.
    async fn close(&mut self, code: CloseCode) {
        let frame = CloseFrame { code, reason: "".into() };
        if self.send(Message::Close(Some(frame))).await {
            self.disconnect().await;
        }
    }

    /// Answers the client's close frame, if it sent one, and waits for the end of the connection.
    async fn disconnect(&mut self) {
        // An error ends the connection as well.
        let rest = async { while let Some(Ok(_)) = self.stream.next().await {} };
        let _ = timeout(PATIENCE, rest).await;
    }
}

/// Why waiting ended before the text was there.
#[derive(Debug, PartialEq)]
enum Interruption {
    Drain,
    /// The client sent a close frame or closed the connection.
    Closed,
    /// The client violated the protocol or its limits.
    Violation(CloseCode),
    /// The client neither sends nor reads.
    Unresponsive,
}

fn check_received(received: Option<Result<Message, Error>>) -> Result<(), Interruption> {
    match received {
        None | Some(Ok(Message::Close(_))) => Err(Interruption::Closed),
        Some(Ok(_)) => Ok(()),
        Some(Err(Error::Capacity(_))) => Err(Interruption::Violation(CloseCode::Size)),
        Some(Err(Error::Protocol(_))) => Err(Interruption::Violation(CloseCode::Protocol)),
        Some(Err(Error::Utf8(_))) => Err(Interruption::Violation(CloseCode::Invalid)),
        Some(Err(_)) => Err(Interruption::Unresponsive),
    }
}

#[cfg(test)]
mod tests;
