//! From a target to a new connection: resolve, check the addresses, dial, handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::Host;

use super::failure::{Failure, FailureCode};
use super::pool::Connection;
use super::resolve::Resolver;
use super::target::Target;
use super::tls;

/// How many addresses of one name are tried.
const ATTEMPTS: usize = 4;

/// The limit of an answer's head; the buffer may exceed it by one read.
const HEAD_BYTES: usize = 64 * 1024;

/// Opens connections.
pub(super) struct Connector {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) timeout: Duration,
}

impl Connector {
    /// A new connection to `target`.
    pub(super) async fn connect(&self, target: &Target) -> Result<Connection, Failure> {
        let late = || {
            let text = format!("{} did not accept a connection in time", target.origin);
            Failure::unsent(FailureCode::Timeout, text)
        };
        timeout(self.timeout, self.establish(target)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn establish(&self, target: &Target) -> Result<Connection, Failure> {
        let addresses = self.permitted_addresses(target).await?;
        let stream = self.dial(target, &addresses).await?;
        let Some(tls) = &target.tls else { return handshake(target, stream).await };
        let connector = TlsConnector::from(tls.config.clone());
        let stream = connector.connect(tls.name.clone(), stream).await.map_err(|error| {
            let cause = tls::find_error(&error)
                .map_or("the connection broke during the TLS handshake", tls::describe);
            let text = format!("{} cannot be trusted: {cause}", target.origin);
            Failure::unsent(FailureCode::Tls, text)
        })?;
        handshake(target, stream).await
    }

    /// The addresses of the target that may be dialled, at least one.
    async fn permitted_addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Failure> {
        let found = match &target.origin.host {
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) => self.resolver.resolve(name).await.unwrap_or_default(),
        };
        if found.is_empty() {
            let text = format!("the name in {} has no address", target.origin);
            return Err(Failure::unsent(FailureCode::Resolve, text));
        }
        let mut permitted: Vec<_> =
            found.into_iter().filter(|address| target.addresses.permits(*address)).collect();
        permitted.truncate(ATTEMPTS);
        if permitted.is_empty() {
            let text =
                format!("{} leads to an address that is not public and not granted", target.origin);
            return Err(Failure::unsent(FailureCode::AddressRefused, text));
        }
        Ok(permitted)
    }

    /// Connects to the first address that accepts. Each gets its share of the time, so that one
    /// dead address does not use up all of it.
    async fn dial(&self, target: &Target, addresses: &[IpAddr]) -> Result<TcpStream, Failure> {
        let end = Instant::now() + self.timeout;
        let mut left = u32::try_from(addresses.len()).unwrap_or(1);
        let mut reason = io::ErrorKind::TimedOut;
        for address in addresses {
            let share = end.saturating_duration_since(Instant::now()) / left.max(1);
            left = left.saturating_sub(1);
            let address = SocketAddr::new(*address, target.origin.port);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Requests are written whole; if this fails, the first write will too.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => reason = error.kind(),
                Err(_) => reason = io::ErrorKind::TimedOut,
            }
        }
        let code = if reason == io::ErrorKind::TimedOut {
            FailureCode::Timeout
        } else {
            FailureCode::Connect
        };
        Err(Failure::unsent(code, format!("cannot connect to {}: {reason}", target.origin)))
    }
}

/// Begins HTTP/1.1 on `stream`. The task that drives the connection ends when its handle is dropped
/// or the server closes.
async fn handshake<S>(target: &Target, stream: S) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (connection, driver) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failure::closed(&target.origin))?;
    drop(tokio::spawn(async move {
        // A caller that waits for an answer gets the error from its own future; an idle connection
        // may end.
        let _ = driver.await;
    }));
    Ok(connection)
}
