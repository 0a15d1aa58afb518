//! The way out: a client that reaches what it was granted and nothing else.
//!
//! One [`Client`] per service or provider: it owns its connections, since a connection that shows a
//! client certificate would lend that identity to whoever shares it. Requests go to the configured
//! [`Destination`]s alone; the name is resolved for each new connection, every address judged by
//! the [`AddressPolicy`], and exactly the judged address dialled.
//!
//! Never here: redirects, proxies, cookies, decompression, HTTP/2. An answer is what the server
//! said, once.

mod address;
mod connect;
mod destination;
mod failure;
mod outgoing;
mod pool;
mod resolve;
mod send;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::address::AddressPolicy;
use self::destination::Target;
pub use self::destination::{ClientIdentity, Destination, Scheme};
pub use self::failure::{Failure, FailureCode};
pub use self::resolve::{Resolver, SystemResolver};
use crate::pem::PemError;

pub use ipnet::IpNet;

/// What a client may do.
#[derive(Clone)]
pub struct ClientOptions {
    /// The only places that it talks to.
    pub destinations: Vec<Destination>,
    /// Sent as `user-agent` where a request has none.
    pub user_agent: String,
    /// For finding, dialling and greeting a server, TLS included; within the deadline of the call.
    pub connect_timeout: Duration,
    /// Connections kept open for later, at each destination.
    pub idle_connections: usize,
    /// For how long they are kept.
    pub idle_timeout: Duration,
    /// Requests under way at once; one more fails with `too-many`. `None`: as many as come.
    pub in_flight: Option<usize>,
    /// Who turns names into addresses.
    pub resolver: Arc<dyn Resolver>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            destinations: Vec::new(),
            user_agent: concat!("credsmith/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            idle_connections: 4,
            // Below the five seconds after which common servers close: a request on a connection
            // that is being closed is lost.
            idle_timeout: Duration::from_secs(4),
            in_flight: None,
            resolver: Arc::new(SystemResolver),
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}

/// The limits of one call.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// From the call to the last byte of the answer.
    pub deadline: Duration,
    /// Bytes of the answer's body.
    pub max_response_bytes: usize,
}

/// Why a client cannot be made. Each names the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// The host is no name and no address.
    Host(String),
    /// Two destinations have the same host and port: which policy would hold? With two schemes, a
    /// secret bound to that place for TLS could leave in the clear.
    Repeated(String),
    /// The extra roots cannot be read.
    Roots(String, PemError),
    /// The client certificate or its key cannot be read or used.
    Identity(String, PemError),
    /// TLS settings at a destination without TLS.
    Needless(String),
    /// The roots of this system cannot be read, or there are none, and the destination brings none
    /// of its own.
    SystemRoots(String, String),
    /// The `user-agent` is no header value.
    UserAgent,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(place) => write!(f, "{place:?} is no host name or address"),
            Self::Repeated(place) => write!(f, "{place} is listed twice"),
            Self::Roots(place, cause) => {
                write!(f, "the extra roots of {place} cannot be used: {cause}")
            }
            Self::Identity(place, cause) => {
                write!(f, "the client certificate for {place} cannot be used: {cause}")
            }
            Self::Needless(place) => {
                write!(f, "{place} has roots or a client certificate, but no TLS to use them with")
            }
            Self::SystemRoots(place, cause) => write!(
                f,
                "{place} cannot be verified: this system has no readable root certificates ({cause}); install \
                 them (package ca-certificates), or give the destination roots of its own"
            ),
            Self::UserAgent => {
                f.write_str("the user agent contains characters that a header cannot hold")
            }
        }
    }
}

impl std::error::Error for ClientError {}

/// A client with its own connections. Clones share them.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    targets: Vec<Target>,
    user_agent: http::HeaderValue,
    connect_timeout: Duration,
    in_flight: Option<Arc<Semaphore>>,
    resolver: Arc<dyn Resolver>,
}

impl Client {
    /// A client for these destinations. Dials nothing yet.
    ///
    /// # Errors
    /// The first thing that is wrong with the options.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let keep =
            pool::Keep { connections: options.idle_connections, timeout: options.idle_timeout };
        let mut targets: Vec<Target> = Vec::new();
        for destination in &options.destinations {
            let target = Target::new(destination, keep)?;
            if targets.iter().any(|other| other.origin.same_place(&target.origin)) {
                return Err(ClientError::Repeated(target.origin.to_string()));
            }
            targets.push(target);
        }
        Ok(Self(Arc::new(Inner {
            targets,
            user_agent: options.user_agent.try_into().map_err(|_| ClientError::UserAgent)?,
            connect_timeout: options.connect_timeout,
            in_flight: options
                .in_flight
                .map(|count| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))),
            resolver: options.resolver,
        })))
    }

    /// Sends `request`, whose URI is absolute, and reads the whole answer. A redirect is an answer
    /// like any other. Dropping the future closes the connection; the server may have acted by
    /// then.
    ///
    /// # Errors
    /// See [`FailureCode`]. A status is never a failure.
    pub async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
        limits: CallLimits,
    ) -> Result<http::Response<bytes::Bytes>, Failure> {
        send::send(&self.0, request, limits).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.targets.iter().map(|target| target.origin.to_string()))
            .finish()
    }
}
