//! A connection that may not dawdle: time limits on silence, on heads and on unread replies.
//!
//! hyper's own header timeout begins with the wait for the next request, so that a connection could
//! not be idle for longer than a head may take; and nothing in it bounds a client that never reads.
//! Here one lazily re-armed timer for each direction does both, and costs a request nothing but a
//! look at a counter.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::ServerOptions;

/// How long a closed connection is still read from, so that a client that is sending a body gets to
/// see the reply: closing over unread bytes resets the connection, and with it the reply.
const LINGER: Duration = Duration::from_secs(2);

/// What the connection and the requests on it tell each other.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Odd while a request is being answered.
    turn: AtomicU32,
    upgraded: AtomicBool,
    body_left: AtomicBool,
}

impl Pace {
    /// A request begins; its answer is there when the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Turn {
        self.turn.fetch_add(1, Ordering::Relaxed);
        Turn(Arc::clone(self))
    }

    /// From now on the connection may be silent for as long as it likes.
    pub(crate) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// A body was dropped before its end: the client may still be sending it.
    pub(crate) fn body_left(&self) {
        self.body_left.store(true, Ordering::Relaxed);
    }
}

/// A request being answered.
pub(crate) struct Turn(Arc<Pace>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turn.fetch_add(1, Ordering::Relaxed);
    }
}

/// A byte stream under the time limits.
pub(crate) struct Paced<I> {
    io: I,
    pace: Arc<Pace>,
    limits: Limits,
    /// The turn at the last look.
    turn: u32,
    wait: Wait,
    reading: Alarm,
    writing: Alarm,
    write_since: Option<Instant>,
    linger_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    idle: Duration,
    head: Duration,
    stall: Duration,
}

/// What the connection is waiting for while no request is being answered.
#[derive(Debug, Clone, Copy)]
enum Wait {
    /// It was busy at the last look.
    New,
    /// The first byte of a head.
    Idle(Instant),
    /// The rest of one.
    Head(Instant),
}

impl<I> Paced<I> {
    pub(crate) fn new(io: I, pace: Arc<Pace>, options: &ServerOptions) -> Self {
        let limits = Limits {
            idle: options.idle_timeout,
            head: options.head_timeout,
            stall: options.stall_timeout,
        };
        Self {
            io,
            pace,
            limits,
            turn: 0,
            // A connection that is opened is opened for a request.
            wait: Wait::Head(Instant::now()),
            reading: Alarm::default(),
            writing: Alarm::default(),
            write_since: None,
            linger_until: None,
        }
    }

    /// Whether a request is being answered: then the surface's deadline and the body's stall limit
    /// rule, not these.
    fn is_busy(&mut self) -> bool {
        let turn = self.pace.turn.load(Ordering::Relaxed);
        if turn != self.turn {
            self.turn = turn;
            self.wait = Wait::New;
        }
        turn % 2 == 1 || self.pace.upgraded.load(Ordering::Relaxed)
    }

    fn bytes_came(&mut self) {
        if !self.is_busy() && !matches!(self.wait, Wait::Head(_)) {
            self.wait = Wait::Head(Instant::now());
        }
    }

    /// Ready, and with an error, when the wait for the next request has been too long.
    fn nothing_came(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_busy() {
            return Poll::Pending;
        }
        let deadline = match self.wait {
            Wait::New => {
                let now = Instant::now();
                self.wait = Wait::Idle(now);
                now + self.limits.idle
            }
            Wait::Idle(since) => since + self.limits.idle,
            Wait::Head(since) => since + self.limits.head,
        };
        ready!(self.reading.poll(cx, deadline));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Bytes have gone out: a reply on its way is no silence. A flush does not count, since hyper
    /// flushes whenever it looks.
    fn wrote(&mut self) {
        if matches!(self.wait, Wait::Idle(_)) {
            self.wait = Wait::New;
        }
    }

    fn nothing_went(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let since = *self.write_since.get_or_insert_with(Instant::now);
        ready!(self.writing.poll(cx, since + self.limits.stall));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// Passes `outcome` of a write on, or ends the connection when the client has not read for too
    /// long.
    fn timed<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Pending => self.nothing_went(cx).map(Err),
            done => {
                self.write_since = None;
                done
            }
        }
    }
}

impl<I: AsyncRead + Unpin> Paced<I> {
    /// Throws away what the client still sends: what is there already in any case, what is to come
    /// only while a body is.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.linger_until.get_or_insert_with(|| Instant::now() + LINGER);
        let mut scratch = [0; 4096];
        // Bounded, so that a client that sends without end cannot hold the thread.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending if !self.pace.body_left.load(Ordering::Relaxed) => {
                    return Poll::Ready(());
                }
                Poll::Pending => return self.reading.poll(cx, until),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        if Instant::now() >= until {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Paced<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buffer) {
            Poll::Pending => self.nothing_came(cx),
            done => {
                if buffer.filled().len() > before {
                    self.bytes_came();
                }
                done
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        if outcome.is_ready() {
            self.wrote();
        }
        self.timed(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        if outcome.is_ready() {
            self.wrote();
        }
        self.timed(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        ready!(self.timed(cx, outcome))?;
        // The reply is out. hyper looked for more input before that, and does not look again until
        // it is woken: the wait for the next request has to begin here.
        match self.nothing_came(cx) {
            Poll::Ready(late) => Poll::Ready(late),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger_until.is_none() {
            let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
            ready!(self.timed(cx, outcome))?;
        }
        self.poll_linger(cx).map(Ok)
    }
}

/// A timer that is moved only when it rings too early, so that ever new deadlines cost nothing.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
