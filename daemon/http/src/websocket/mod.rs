//! WebSockets (RFC 6455) for one purpose: a client waits for one text and gets it. What it says
//! meanwhile does not matter.
//!
//! [`Handshake::read`] looks at the head of a request, [`Handshake::accept`] makes the 101,
//! [`WebSocket::deliver`] does the rest. Ten thousand of them may wait at a time, so a socket keeps
//! next to no buffers.

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

use crate::{Draining, Reply, ReplyBody, Upgrade, Upgraded};

/// Longest frame, and message, that a client may send: what a control frame may hold. Larger ones
/// close the socket.
const MAX_INCOMING: usize = 125;

/// Room for one such frame with its head.
const READ_BUFFER: usize = 256;

/// Most that waits to be sent, the text included. A client that pings and never reads would
/// otherwise have all our answers kept.
const MAX_OUTGOING: usize = 20 * 1024;

/// The one version of the protocol.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// How often a waiting client is pinged. One that has said nothing since the last ping is gone.
const PING: Duration = Duration::from_secs(30);

/// How long a client may take to read what it is sent, and to answer a close.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request that asks for a WebSocket as it should.
#[derive(Debug)]
pub struct Handshake {
    accept: HeaderValue,
}

/// Why a request is no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHandshake {
    /// It asks for no WebSocket, or for another version: 426, with the headers of
    /// [`NoHandshake::headers`].
    Required,
    /// It asks for one, but not as the RFC says: 400.
    Malformed,
}

impl NoHandshake {
    /// What the 426 has to carry.
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
    /// offers are not taken up.
    ///
    /// # Errors
    /// See [`NoHandshake`].
    pub fn read(parts: &Parts) -> Result<Self, NoHandshake> {
        let headers = &parts.headers;
        let asks = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && names(headers, &CONNECTION, "upgrade")
            && names(headers, &UPGRADE, "websocket");
        if !asks || headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version != VERSION) {
            return Err(NoHandshake::Required);
        }
        let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
        let key = keys.next().filter(|key| is_key(key.as_bytes()) && keys.next().is_none());
        let (Some(key), Some(_)) = (key, headers.get(SEC_WEBSOCKET_VERSION)) else {
            return Err(NoHandshake::Malformed);
        };
        let accept = derive_accept_key(key.as_bytes());
        HeaderValue::try_from(accept)
            .map(|accept| Self { accept })
            .map_err(|_| NoHandshake::Malformed)
    }

    /// The 101 that goes with it. `run` gets the socket once that is on its way; it runs as a task
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
                // Apart from the task that waits: what opening needs is given back before.
                let socket = Box::pin(WebSocket::new(connection, draining)).await;
                run(socket).await;
            })
        }));
        reply
    }
}

/// Whether `token` is among the comma-separated tokens of a header.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Sixteen bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==") else { return false };
    digits.len() == 22
        && digits.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The text was sent, and the socket closed with 1000. Whether anybody read it, nobody can
    /// know.
    Sent,
    /// The client left, fell silent or broke the rules before there was anything to send.
    Gone,
    /// The daemon is ending; the socket was closed with 1001.
    Drained,
}

/// An open WebSocket.
pub struct WebSocket<S = Upgraded> {
    // Boxed, since futures keep room for what is moved into them at every step of the way.
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

    /// Waits for `text`, sends it, closes. Meanwhile the client is pinged, and what it says is
    /// dropped; a frame of more than 125 bytes closes the socket with 1009. A text over 20 KiB is
    /// not sent. Ends early, and drops `text`, when the client is gone or the drain begins.
    /// Dropping the future cuts the connection.
    pub async fn deliver(mut self, text: impl Future<Output = String>) -> Delivery {
        match self.wait(text).await {
            Ok(text) => {
                let sent = self.send(Message::text(text)).await;
                self.close(CloseCode::Normal).await;
                if sent { Delivery::Sent } else { Delivery::Gone }
            }
            Err(End::Drain) => {
                self.close(CloseCode::Away).await;
                Delivery::Drained
            }
            Err(End::Broke(code)) => {
                self.close(code).await;
                Delivery::Gone
            }
            Err(End::Left) => {
                self.hang_up().await;
                Delivery::Gone
            }
            Err(End::Silent) => Delivery::Gone,
        }
    }

    async fn wait<T>(&mut self, event: impl Future<Output = T>) -> Result<T, End> {
        let mut event = pin!(event);
        let mut pings = interval_at(Instant::now() + PING, PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_something = true;
        loop {
            tokio::select! {
                outcome = &mut event => return Ok(outcome),
                () = self.draining.begun() => return Err(End::Drain),
                heard = self.stream.next() => {
                    end_of(heard)?;
                    heard_something = true;
                }
                _ = pings.tick() => {
                    if !heard_something || !self.send(Message::Ping(Vec::new().into())).await {
                        return Err(End::Silent);
                    }
                    heard_something = false;
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> bool {
        matches!(timeout(PATIENCE, self.stream.send(message)).await, Ok(Ok(())))
    }

    /// Says why, and waits for the client to say so too: closing over what it is still sending
    /// would reset the connection, and with it what it was just sent.
    async fn close(&mut self, code: CloseCode) {
        let frame = CloseFrame { code, reason: "".into() };
        if self.send(Message::Close(Some(frame))).await {
            self.hang_up().await;
        }
    }

    /// Answers the client's close, if it sent one, and ends the connection.
    async fn hang_up(&mut self) {
        // An error ends the connection as well.
        let goodbye = async { while let Some(Ok(_)) = self.stream.next().await {} };
        let _ = timeout(PATIENCE, goodbye).await;
    }
}

/// Why waiting ended without anything to send.
#[derive(Debug, PartialEq)]
enum End {
    Drain,
    /// The client said goodbye or closed the connection.
    Left,
    /// The client did what it may not.
    Broke(CloseCode),
    /// Nothing comes from the client, nor goes there.
    Silent,
}

fn end_of(heard: Option<Result<Message, Error>>) -> Result<(), End> {
    match heard {
        None | Some(Ok(Message::Close(_))) => Err(End::Left),
        Some(Ok(_)) => Ok(()),
        Some(Err(Error::Capacity(_))) => Err(End::Broke(CloseCode::Size)),
        Some(Err(Error::Protocol(_))) => Err(End::Broke(CloseCode::Protocol)),
        Some(Err(Error::Utf8(_))) => Err(End::Broke(CloseCode::Invalid)),
        Some(Err(_)) => Err(End::Silent),
    }
}

#[cfg(test)]
mod tests;
