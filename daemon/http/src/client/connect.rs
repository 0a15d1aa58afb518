//! From a target to a new connection: resolve, judge, dial, greet.

use std::io;
use std::net::{IpAddr, SocketAddr};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::Host;

use super::destination::Target;
use super::pool::Connection;
use super::{Failure, FailureCode, Inner, tls};

/// How many addresses of one name are tried.
const ATTEMPTS: usize = 4;

/// About the most that an answer's head may take: the buffer may grow past it by one read.
const HEAD_BYTES: usize = 64 * 1024;

/// A new connection to `target`.
pub(super) async fn connect(client: &Inner, target: &Target) -> Result<Connection, Failure> {
    let late = || {
        let text = format!("{} did not accept a connection in time", target.origin);
        Failure::unsent(FailureCode::Timeout, text)
    };
    timeout(client.connect_timeout, establish(client, target)).await.unwrap_or_else(|_| Err(late()))
}

async fn establish(client: &Inner, target: &Target) -> Result<Connection, Failure> {
    let addresses = judged(client, target).await?;
    let stream = dial(client, target, &addresses).await?;
    let Some(tls) = &target.tls else { return greet(target, stream).await };
    let handshake = TlsConnector::from(tls.config.clone()).connect(tls.name.clone(), stream).await;
    let stream = handshake.map_err(|error| {
        let cause = tls::inside(&error)
            .map_or("the connection broke during the TLS handshake", tls::explain);
        Failure::unsent(FailureCode::Tls, format!("{} cannot be trusted: {cause}", target.origin))
    })?;
    greet(target, stream).await
}

/// The addresses of the target that may be dialled, at least one.
async fn judged(client: &Inner, target: &Target) -> Result<Vec<IpAddr>, Failure> {
    let found = match &target.origin.host {
        Host::Ipv4(address) => vec![IpAddr::V4(*address)],
        Host::Ipv6(address) => vec![IpAddr::V6(*address)],
        Host::Domain(name) => client.resolver.resolve(name).await.unwrap_or_default(),
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

/// The first address that answers. Each gets its share of the time, so that one dead address does
/// not use up all of it.
async fn dial(client: &Inner, target: &Target, addresses: &[IpAddr]) -> Result<TcpStream, Failure> {
    let end = Instant::now() + client.connect_timeout;
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
    let code =
        if reason == io::ErrorKind::TimedOut { FailureCode::Timeout } else { FailureCode::Connect };
    Err(Failure::unsent(code, format!("cannot connect to {}: {reason}", target.origin)))
}

/// HTTP/1.1 over `stream`. The connection's own task ends when its handle is dropped or the server
/// closes.
async fn greet<S>(target: &Target, stream: S) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (connection, driver) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| {
            Failure::unsent(
                FailureCode::Connect,
                format!("{} closed the connection", target.origin),
            )
        })?;
    drop(tokio::spawn(async move {
        // Whoever waits for an answer on it hears of the error; an idle one may go.
        let _ = driver.await;
    }));
    Ok(connection)
}
