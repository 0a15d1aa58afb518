//! Resident memory of clients that wait for their tokens, beside that of as many connections to
//! hyper alone.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::yardstick;
use crate::Effort;
use crate::clients::expect;
use crate::connection::Connection;
use crate::load::Failure;
use crate::process::{Served, resident};
use crate::sign_in::{self, Begun};
use crate::site::Place;
use crate::table::{Row, Table, Target, kibibytes};

/// Connections and files besides those that wait.
const OTHERS: usize = 500;
/// Every so many-th client gets its tokens in the end.
const FINISHED: usize = 100;
const SETTLE: Duration = Duration::from_secs(2);
const MOST: f64 = 20.0 * 1024.0;

/// A ping without contents, as servers send it, and a pong, as clients do.
const PING: [u8; 2] = [0x89, 0];
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
/// The first byte of a text that is whole.
const TEXT: u8 = 0x81;

pub(super) fn measure(effort: &Effort, table: &mut Table) -> Result<(), Failure> {
    let count = effort.sockets;
    allow_files(count + OTHERS)?;
    let place = Place::vault(1, count + OTHERS);
    // Compiling takes memory that a daemon with its components at hand never needs.
    place.serve()?.stop()?;
    let daemon = place.serve()?;
    let [begun, waiting] = super::runtime()?.block_on(wait(&daemon, count))?;
    daemon.stop()?;
    let bare = yardstick::bare(&place, b"{}")?;
    let idle = super::runtime()?.block_on(stay_connected(&bare, count))?;
    bare.stop()?;

    let each = |bytes: u64| bytes as f64 / count as f64;
    table.0.push(Row {
        what: format!("resident memory of a client that waits, {count} of them"),
        measured: kibibytes(each(waiting)),
        detail: format!("{} of it for its sign-in", kibibytes(each(begun))),
        yardstick: format!("a connection to bare hyper {}", kibibytes(each(idle))),
        target: Target::at_most("20 KiB", each(waiting), MOST),
    });
    Ok(())
}

/// This process and those that it starts may have so many files open.
fn allow_files(count: usize) -> Result<(), Failure> {
    let count = u64::try_from(count)?;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < count) {
        return Err(format!("{count} open files are needed; see `ulimit -Hn`").into());
    }
    if limit.current.is_some_and(|now| now < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit })?;
    }
    Ok(())
}

/// Begins `count` sign-ins, waits for each, finishes some. Gives by how much the daemon had grown
/// with the sign-ins, and with the sockets.
async fn wait(daemon: &Served, count: usize) -> Result<[u64; 2], Failure> {
    let at = daemon.address();
    sign_in::ready(at).await?;
    // Whatever is there once is there now.
    sign_in::members(1, at).await?;
    Socket::open(at, &Begun::at(at, &mut Connection::open(at).await?).await?).await?;
    thread::sleep(SETTLE);
    let before = resident(daemon.id())?;

    let mut connection = Connection::open(at).await?;
    let mut begun = Vec::new();
    for _ in 0..count {
        begun.push(Begun::at(at, &mut connection).await?);
    }
    let with_sign_ins = resident(daemon.id())?;
    let mut sockets = Vec::new();
    for one in &begun {
        sockets.push(Socket::open(at, one).await?);
    }
    sockets.iter_mut().try_for_each(Socket::stay)?;
    thread::sleep(SETTLE);
    sockets.iter_mut().try_for_each(Socket::stay)?;
    let with_sockets = resident(daemon.id())?;

    for (number, (socket, begun)) in sockets.iter_mut().zip(&begun).enumerate().step_by(FINISHED) {
        if begun.finish(at, &format!("user-{number}")).await?.is_some() {
            return Err("tokens went to the browser although a client waited".into());
        }
        socket.tokens().await?;
    }
    Ok([with_sign_ins.saturating_sub(before), with_sockets.saturating_sub(before)])
}

/// A client that waits.
struct Socket(TcpStream);

impl Socket {
    async fn open(at: SocketAddr, begun: &Begun) -> Result<Self, Failure> {
        let request = format!(
            "GET /v1/auth/socket?callbackKey={} HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            begun.key
        );
        Ok(Self(Connection::open(at).await?.upgrade(request.as_bytes()).await?))
    }

    /// Says that it is still there; an error when the daemon said anything but to ask that.
    fn stay(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; PING.len()];
        loop {
            match self.0.try_read(&mut bytes) {
                Ok(2) if bytes == PING => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) => return Err("a client was told something before its time".into()),
                Err(error) => return Err(error.into()),
            }
        }
        if self.0.try_write(&PONG)? == PONG.len() {
            Ok(())
        } else {
            Err("a pong did not fit".into())
        }
    }

    /// Waits for what it waits for.
    async fn tokens(&mut self) -> Result<(), Failure> {
        let mut told = Vec::new();
        // The close that comes behind is answered by ours, which is that nobody reads on.
        while !told.windows(11).any(|part| part == b"accessToken") {
            if self.0.read_buf(&mut told).await? == 0 {
                return Err(format!("a client was told {} bytes without tokens", told.len()).into());
            }
        }
        while told.starts_with(&PING) {
            told.drain(..PING.len());
        }
        if told.first() == Some(&TEXT) { Ok(()) } else { Err("a client was told no text".into()) }
    }
}

/// By how much hyper alone grows with as many connections that were used once.
async fn stay_connected(bare: &Served, count: usize) -> Result<u64, Failure> {
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", bare.address()).into_bytes();
    expect(&Connection::open(bare.address()).await?.exchange(&request).await?, 200)?;
    let before = resident(bare.id())?;
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(bare.address()).await?;
        expect(&connection.exchange(&request).await?, 200)?;
        connections.push(connection);
    }
    Ok(resident(bare.id())?.saturating_sub(before))
}
