//! A client that costs little: bytes that were put together beforehand over a connection that stays
//! open, and answers of which only status, length and the asked-for parts are read. One thread
//! drives all clients, so that most of the machine is left to the server.
//!
//! Never here: a library for HTTP. What is measured is not to share its costs with what measures.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest answer.
const MOST: usize = 1 << 20;
const ROOM: usize = 8 * 1024;

/// A connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, as it lies in the connection's buffer.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(ROOM) })
    }

    /// Sends `request` and waits for the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read_some().await?;
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let shape = Shape::of(self.buffer.get(..head).unwrap_or_default())
            .ok_or_else(|| strange("head"))?;
        let whole = head + shape.length;
        while self.buffer.len() < whole {
            self.read_some().await?;
        }
        if self.buffer.len() > whole {
            return Err(strange("bytes behind an answer"));
        }
        let (head, body) = self.buffer.split_at(head);
        Ok(Answer { status: shape.status, head, body })
    }

    /// Sends `request` and waits for a 101: from then on the stream speaks something else. Nothing
    /// of that may have come yet.
    pub(crate) async fn upgrade(mut self, request: &[u8]) -> io::Result<TcpStream> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        while find(&self.buffer, b"\r\n\r\n").is_none() {
            self.read_some().await?;
        }
        if self.buffer.starts_with(b"HTTP/1.1 101 ") && self.buffer.ends_with(b"\r\n\r\n") {
            Ok(self.stream)
        } else {
            Err(strange(&format!("upgrade: {}", String::from_utf8_lossy(&self.buffer))))
        }
    }

    async fn read_some(&mut self) -> io::Result<()> {
        if self.buffer.len() > MOST {
            return Err(strange("length"));
        }
        self.buffer.reserve(ROOM);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Answer<'_> {
    /// A header's value; its name in lower case, as servers write it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(value_of(self.head, name.as_bytes())?).ok()
    }

    /// The value of the first `"key":"..."` in the body, which is compact JSON without escapes in
    /// what is looked for.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let body = std::str::from_utf8(self.body).ok()?;
        let (_, rest) = body.split_once(&format!("\"{key}\":\""))?;
        rest.split_once('"').map(|(value, _)| value)
    }
}

struct Shape {
    status: u16,
    length: usize,
}

impl Shape {
    fn of(head: &[u8]) -> Option<Self> {
        let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
        let length = std::str::from_utf8(value_of(head, b"content-length")?).ok()?.parse().ok()?;
        Some(Self { status, length })
    }
}

fn value_of<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(b":")).map(<[u8]>::trim_ascii)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer has a strange {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_answer_are_found() {
        let head = b"HTTP/1.1 303 See Other\r\nlocation: http://x/y\r\ncontent-length: 12\r\n\r\n";
        let shape = Shape::of(head).unwrap();
        assert_eq!((shape.status, shape.length), (303, 12));
        let answer =
            Answer { status: 303, head, body: br#"{"id":"one","entries":[{"value":"two"}]}"# };
        assert_eq!(answer.header("location"), Some("http://x/y"));
        assert_eq!(
            (answer.text("id"), answer.text("value"), answer.text("no")),
            (Some("one"), Some("two"), None)
        );
        assert!(Shape::of(b"HTTP/1.1 200 OK\r\n\r\n").is_none());
    }
}
