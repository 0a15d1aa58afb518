//! The pace of a connection: time limits on silence, on heads and on unread replies.
//!
//! hyper's own header timeout begins with the wait for the next request, so that a connection could
//! not be idle for longer than a head may take; and nothing in it bounds a client that never reads.
//! Here one lazily re-armed timer for each direction does both; it costs a request one read of a
//! counter.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::options::ServerOptions;
use crate::shares::Place;

/// How long a closed connection is still read from, so that a client that is sending a body can
/// read the reply: closing over unread bytes resets the connection and discards the reply.
const LINGER: Duration = Duration::from_secs(2);

/// How long a client may take to read a reply: so long, and a second for each so many bytes.
const READING: Duration = Duration::from_secs(30);
const BYTES_A_SECOND: usize = 64 * 1024;

/// The state that a connection shares with the requests on it.
pub(crate) struct Pace {
    place: Arc<Place>,
    /// Until when the client has to have read the present reply.
    read_until: Mutex<Option<Instant>>,
    /// Odd while a request is being answered.
    turn: AtomicU32,
    upgraded: AtomicBool,
    body_abandoned: AtomicBool,
}

impl Pace {
    /// The pace of the connection of that place.
    pub(crate) fn new(place: Arc<Place>) -> Self {
        Self {
            place,
            read_until: Mutex::default(),
            turn: AtomicU32::default(),
            upgraded: AtomicBool::default(),
            body_abandoned: AtomicBool::default(),
        }
    }

    /// The place of its connection.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Marks the begin of a request; dropping the guard marks its answer.
    pub(crate) fn begin(self: &Arc<Self>) -> Turn {
        self.place.work();
        *self.read_until.lock() = None;
        self.turn.fetch_add(1, Ordering::Relaxed);
        Turn(Arc::clone(self))
    }

    /// Lifts the limit on silence: the connection was upgraded.
    pub(crate) fn mark_upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// Demands that a reply of so many bytes is read in time.
    pub(crate) fn limit_reading(&self, bytes: usize) {
        let seconds = u64::try_from(bytes / BYTES_A_SECOND).unwrap_or(u64::MAX);
        let time = READING.saturating_add(Duration::from_secs(seconds));
        *self.read_until.lock() = Instant::now().checked_add(time);
    }

    /// Notes that a body was dropped before its end: the client may still be sending it.
    pub(crate) fn abandon_body(&self) {
        self.body_abandoned.store(true, Ordering::Relaxed);
    }
}

/// A request being answered.
pub(crate) struct Turn(Arc<Pace>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turn.fetch_add(1, Ordering::Relaxed);
        self.0.place.wait();
    }
}

/// A byte stream under the time limits.
pub(crate) struct PacedStream<I> {
    io: I,
    pace: Arc<Pace>,
    limits: Limits,
    /// The value of `Pace::turn` at the last read.
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
    /// A request was being answered at the last read of the counter.
    New,
    /// The first byte of a head.
    Idle(Instant),
    /// The rest of a head.
    Head(Instant),
}

impl<I> PacedStream<I> {
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
            // A client opens a connection to send a request, so the limit of a head holds at once.
            wait: Wait::Head(Instant::now()),
            reading: Alarm::default(),
            writing: Alarm::default(),
            write_since: None,
            linger_until: None,
        }
    }

    /// Whether a request is being answered: then the deadline of the surface and the stall limit of
    /// the body apply, not these limits.
    fn is_busy(&mut self) -> bool {
        let turn = self.pace.turn.load(Ordering::Relaxed);
        if turn != self.turn {
            self.turn = turn;
            self.wait = Wait::New;
        }
        turn % 2 == 1 || self.pace.upgraded.load(Ordering::Relaxed)
    }

    fn on_bytes_read(&mut self) {
        if !self.is_busy() && !matches!(self.wait, Wait::Head(_)) {
            self.wait = Wait::Head(Instant::now());
        }
    }

    /// Called when no byte can be read. Ready with an error when the wait for the next request has
    /// been too long.
    fn on_read_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

    /// Called when bytes were written: a reply that is being sent is no silence. A flush does not
    /// count, since hyper flushes whenever it polls.
    fn on_bytes_written(&mut self) {
        if matches!(self.wait, Wait::Idle(_)) {
            self.wait = Wait::New;
        }
    }

    /// Called when no byte can be written. Ready with an error when the client has not read for too
    /// long.
    fn on_write_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let since = *self.write_since.get_or_insert_with(Instant::now);
        let stalled = since + self.limits.stall;
        // A client that reads byte by byte never stalls.
        let read_until = *self.pace.read_until.lock();
        let read_until = read_until.filter(|_| !self.pace.upgraded.load(Ordering::Relaxed));
        let deadline = read_until.map_or(stalled, |until| until.min(stalled));
        ready!(self.writing.poll(cx, deadline));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// Passes on the `outcome` of a write, or ends the connection when the client has not read for
    /// too long.
    fn timed<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Pending => self.on_write_pending(cx).map(Err),
            done => {
                self.write_since = None;
                done
            }
        }
    }
}

impl<I: AsyncRead + Unpin> PacedStream<I> {
    /// Discards what the client still sends: what has arrived in any case, and what is still to
    /// come only after an abandoned body.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.linger_until.get_or_insert_with(|| Instant::now() + LINGER);
        let mut scratch = [0; 4096];
        // Bounded, so that a client that sends without end cannot occupy the thread.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Pending if !self.pace.body_abandoned.load(Ordering::Relaxed) => {
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

impl<I: AsyncRead + Unpin> AsyncRead for PacedStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buffer) {
            Poll::Pending => self.on_read_pending(cx),
            done => {
                if buffer.filled().len() > before {
                    self.on_bytes_read();
                }
                done
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PacedStream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, bytes);
        if outcome.is_ready() {
            self.on_bytes_written();
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
            self.on_bytes_written();
        }
        self.timed(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        ready!(self.timed(cx, outcome))?;
        // The reply is sent. hyper polled for more input before that, and does not poll again until
        // it is woken, so the wait for the next request has to begin here.
        match self.on_read_pending(cx) {
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

/// A timer that is re-armed only when it fires too early, so that a new deadline costs nothing.
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
