//! The imports of a language's standard library: WASI preview 2 with an empty context.
//!
//! A plugin gets the clock and randomness. Files, environment, arguments and sockets exist as
//! imports, since standard libraries link them, and grant nothing. Standard output and error go to
//! the call's journal.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use crate::call::journal::{Journal, Stream};
use crate::call::state::State;

/// Most random bytes that one request may ask for.
const MAX_RANDOM: u64 = 1 << 20;
/// Most bytes of one write to a stream.
const WRITE_PERMIT: usize = 64 * 1024;

/// The clock that a call sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PluginClock {
    /// The daemon's.
    #[default]
    True,
    /// None: it is always the same time, as Unix time.
    Standing(Duration),
}

/// A time of day that does not pass.
struct Standing(Duration);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// A monotonic clock that begins at a given time and passes: a guest that waits comes to an end.
struct Running {
    begun: Duration,
    since: Instant,
}

impl HostMonotonicClock for Running {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let time = self.begun.saturating_add(self.since.elapsed());
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The context of one call.
pub(crate) fn context(journal: &Arc<Journal>, clock: PluginClock) -> WasiCtx {
    let mut context = WasiCtx::builder();
    if let PluginClock::Standing(time) = clock {
        context.wall_clock(Standing(time));
        context.monotonic_clock(Running { begun: time, since: Instant::now() });
    }
    context
        .stdout(Captured { journal: journal.clone(), stream: Stream::Out })
        .stderr(Captured { journal: journal.clone(), stream: Stream::Err })
        .allow_tcp(false)
        .allow_udp(false)
        .max_random_size(MAX_RANDOM)
        .build()
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A stream whose bytes become lines of the journal.
#[derive(Clone)]
struct Captured {
    journal: Arc<Journal>,
    stream: Stream,
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Captured {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = self.journal.write(self.stream, bytes).map_err(std::io::Error::other);
        Poll::Ready(written.map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait::async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.journal.write(self.stream, &bytes).map_err(|flood| StreamError::Trap(flood.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_PERMIT)
    }
}
