//! A client that waits at the WebSocket of a sign-in (RFC 6455), down to its frames.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::answer::Answer;
use crate::request::{Connection, Request};

/// The key of the handshake that RFC 6455 section 1.3 shows, and what a server makes of it.
const KEY: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// A socket that is open.
#[derive(Debug)]
pub struct Socket(Connection);

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A text.
    Text(String),
    /// Its last word, by the number that goes with it.
    Close(u16),
}

impl Socket {
    /// The request that opens a socket for that callback key.
    pub fn request(key: &str) -> Request {
        Request::get(format!("/v1/auth/socket?callbackKey={key}"))
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY.0)
    }

    /// Opens a socket for that callback key.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn open(at: SocketAddr, key: &str) -> Self {
        Self::try_open(at, &Self::request(key))
            .unwrap_or_else(|answer| panic!("no socket: {answer:?}"))
    }

    /// Sends what should open a socket.
    ///
    /// # Errors
    /// The answer, where it is another than the switch.
    ///
    /// # Panics
    /// There is none, or it is no switch to what was asked for.
    #[track_caller]
    pub fn try_open(at: SocketAddr, request: &Request) -> Result<Self, Answer> {
        let mut connection = Connection::open(at).unwrap();
        connection.send(&request.clone().host(Some(&at.to_string())).bytes()).unwrap();
        let answer = connection.answer(false).unwrap();
        if answer.status != 101 {
            return Err(answer);
        }
        assert_eq!(answer.header("sec-websocket-accept"), Some(KEY.1), "{answer:?}");
        Ok(Self(connection))
    }

    /// Sends a text, in one frame of fewer than 64 KiB. A server that is gone is no error.
    ///
    /// # Panics
    /// The connection fails.
    pub fn say(&mut self, text: &str) {
        let mut frame = vec![0x80 | TEXT];
        match u16::try_from(text.len()).unwrap() {
            short @ ..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
            long => {
                frame.push(0x80 | 126);
                frame.extend(long.to_be_bytes());
            }
        }
        // A mask of zeros is one, too.
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.send(&frame).unwrap();
    }

    /// The next frame that is no ping.
    ///
    /// # Errors
    /// Of the connection, its end included.
    ///
    /// # Panics
    /// It is none that a server sends here.
    pub fn frame(&mut self) -> io::Result<Frame> {
        loop {
            let head = self.0.take(2)?;
            assert!(head[0] & 0x80 != 0 && head[1] & 0x80 == 0, "in parts, or masked: {head:?}");
            let length = match head[1] {
                126 => usize::from(u16::from_be_bytes(self.0.take(2)?.try_into().unwrap())),
                127 => panic!("a frame of more than 64 KiB"),
                short => usize::from(short),
            };
            let payload = self.0.take(length)?;
            match head[0] & 0x0f {
                TEXT => return Ok(Frame::Text(String::from_utf8(payload).unwrap())),
                CLOSE => return Ok(Frame::Close(u16::from_be_bytes([payload[0], payload[1]]))),
                PING => {}
                other => panic!("a frame of kind {other}: {payload:?}"),
            }
        }
    }

    /// The one message that comes, as JSON, and then the orderly end of the socket.
    ///
    /// # Panics
    /// It is not so.
    #[track_caller]
    pub fn message(mut self) -> Value {
        let Frame::Text(text) = self.frame().unwrap() else { panic!("no message") };
        assert_eq!(self.frame().unwrap(), Frame::Close(1000), "behind {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}
