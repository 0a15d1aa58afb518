//! Connections that are upgraded to another protocol, for WebSockets.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::drain::Draining;

type Handler = Box<dyn FnOnce(Upgraded) -> BoxFuture<'static, ()> + Send>;

/// The handler of the connection after a `101 Switching Protocols`: put into the extensions of that
/// reply. The handler runs as a task of the server's [`Drain`](crate::Drain), so it has to
/// end when the drain begins.
#[derive(Clone)]
pub struct Upgrade(Arc<Mutex<Option<Handler>>>);

impl Upgrade {
    /// `handler` receives the connection once the reply has been sent.
    pub fn new(handler: impl FnOnce(Upgraded) -> BoxFuture<'static, ()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(handler)))))
    }

    pub(crate) fn take(&self) -> Option<Handler> {
        self.0.lock().take()
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}

/// A connection after its upgrade: bytes in both directions, including those that the client sent
/// before the upgrade.
pub struct Upgraded(TokioIo<hyper::upgrade::Upgraded>, Draining);

impl Upgraded {
    pub(crate) fn new(inner: hyper::upgrade::Upgraded, draining: Draining) -> Self {
        Self(TokioIo::new(inner), draining)
    }

    /// The drain that it belongs to.
    pub fn draining(&self) -> Draining {
        self.1.clone()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgraded")
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
