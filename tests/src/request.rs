//! The requests of clients. Nothing is corrected: a path, a header, a body are sent as given.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::answer::Answer;
use crate::wait::PATIENCE;

/// A request of HTTP/1.1, well-formed or not.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: Vec<u8>,
    host: Option<String>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request for `target`: the path as it is to stand in the request line.
    pub fn new(method: impl Into<String>, target: impl Into<Vec<u8>>) -> Self {
        let host = Some("localhost".to_owned());
        Self { method: method.into(), target: target.into(), host, headers: Vec::new(), body: None }
    }

    /// A GET.
    pub fn get(target: impl Into<Vec<u8>>) -> Self {
        Self::new("GET", target)
    }

    /// A DELETE.
    pub fn delete(target: impl Into<Vec<u8>>) -> Self {
        Self::new("DELETE", target)
    }

    /// A POST of JSON.
    pub fn post(target: impl Into<Vec<u8>>, body: &Value) -> Self {
        Self::json("POST", target, body)
    }

    /// Any method with JSON.
    pub fn json(method: &str, target: impl Into<Vec<u8>>, body: &Value) -> Self {
        Self::new(method, target).header("Content-Type", "application/json").body(body.to_string())
    }

    /// The value of `Host`; by default `localhost`.
    #[must_use]
    pub fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    /// One more header, whatever is there already.
    #[must_use]
    pub fn header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `Authorization: Bearer ...`
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// A body, with its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The bytes that go out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} ", self.method).into_bytes();
        bytes.extend_from_slice(&self.target);
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        let mut line = |name: &[u8], value: &[u8]| {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        if let Some(host) = &self.host {
            line(b"Host", host.as_bytes());
        }
        self.headers.iter().for_each(|(name, value)| line(name, value));
        if let Some(body) = &self.body {
            line(b"Content-Length", body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// Sends it on a connection of its own, which has to end after the answer, without a byte more.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn send(&self, to: SocketAddr) -> Answer {
        self.try_send(to).unwrap_or_else(|error| panic!("no answer to {self}: {error}"))
    }

    /// The same; an error where there is no answer.
    ///
    /// # Errors
    /// Of the connection.
    pub fn try_send(&self, to: SocketAddr) -> io::Result<Answer> {
        let mut connection = Connection::open(to)?;
        let request = self.clone().header("Connection", "close");
        connection.send(&request.bytes())?;
        let answer = connection.answer(self.method == "HEAD")?;
        let rest = connection.rest()?;
        if rest.is_empty() { Ok(answer) } else { Err(unexpected("bytes behind the answer")) }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes()))
    }
}

/// A connection, for what is not one whole request.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors There is no listener.
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::on(stream))
    }

    /// Ends our half: nothing more will be sent.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }
}

impl<S: Read + Write> Connection<S> {
    /// Speaks HTTP on `stream`.
    pub fn on(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes. A peer that has answered already and does not read them is no error.
    ///
    /// # Errors
    /// Of the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stream.write_all(bytes) {
            Err(error) if gone(&error) => Ok(()),
            other => other,
        }
    }

    /// The next answer; `to_head` when the request was a HEAD.
    ///
    /// # Errors
    /// Of the connection, its end included.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Answer> {
        let mut ended = false;
        loop {
            if let Some((answer, length)) = Answer::parse(&self.buffer, to_head, ended) {
                self.buffer.drain(..length);
                return Ok(answer);
            }
            if ended {
                let text =
                    format!("the connection ended: {:?}", String::from_utf8_lossy(&self.buffer));
                return Err(unexpected(&text));
            }
            ended = self.read()?;
        }
    }

    /// The next `count` bytes, whatever they are.
    ///
    /// # Errors
    /// Of the connection, its end included.
    pub(crate) fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.read()? {
                return Err(unexpected("the connection ended"));
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Everything up to the end of the connection.
    ///
    /// # Errors
    /// Of the connection.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        while !self.read()? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads more. `true`: there is no more.
    fn read(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 8192];
        match self.stream.read(&mut chunk) {
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(read == 0)
            }
            Err(error) if gone(&error) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A peer that refuses a body closes with bytes unread, which TCP reports as a reset; what it sent
/// before has arrived.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}
