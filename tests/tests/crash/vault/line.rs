//! A connection that stays open: who asks ten thousand times does not dial each time.

use std::io;
use std::net::SocketAddr;

use credsmith_tests::{Answer, Connection, Request, Session};

/// A connection of somebody who is signed in.
pub(super) struct Line {
    connection: Connection,
    token: String,
}

impl Line {
    pub(super) fn open(to: SocketAddr, session: &Session) -> io::Result<Self> {
        Ok(Self { connection: Connection::open(to)?, token: session.access_token().to_owned() })
    }

    pub(super) fn ask(&mut self, request: Request) -> io::Result<Answer> {
        self.connection.send(&request.bearer(&self.token).bytes())?;
        self.connection.answer(false)
    }
}
