//! The guarded client: it reaches the destinations that it was granted and no others.
//!
//! One [`Client`] per service or provider: it owns its connections, since a connection with a
//! client certificate would lend that identity to every user of the connection. Requests go to the
//! configured [`Destination`]s alone; the name is resolved for each new connection, every address
//! checked by the [`AddressPolicy`], and exactly the checked address dialled.
//!
//! Never here: redirects, proxies, cookies, decompression, HTTP/2. An answer is returned
//! as the server sent it, without repetition.

mod address;
mod connect;
mod destination;
mod error;
mod failure;
mod outgoing;
mod pool;
mod resolve;
mod send;
mod target;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::address::AddressPolicy;
use self::connect::Connector;
pub use self::destination::{ClientIdentity, Destination, Scheme};
pub use self::error::ClientError;
pub use self::failure::{Failure, FailureCode};
use self::pool::IdleLimits;
pub use self::resolve::{Resolver, SystemResolver};
use self::send::Inner;
pub use self::send::{CallLimits, SentMark};
use self::target::Target;

pub use ipnet::IpNet;

/// The destinations and limits of a client.
#[derive(Clone)]
pub struct ClientOptions {
    /// The only places that it reaches.
    pub destinations: Vec<Destination>,
    /// Sent as `user-agent` where a request has none.
    pub user_agent: String,
    /// For resolving, dialling and the handshakes, TLS included; within the deadline of the call.
    pub connect_timeout: Duration,
    /// Idle connections kept at each destination.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Requests under way at once; one more fails with `too-many`. `None`: unlimited.
    pub in_flight: Option<usize>,
    /// Resolves names to addresses.
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

/// A client with its own connections. Clones share them.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl Client {
    /// A client for these destinations. Opens no connection yet.
    ///
    /// # Errors
    /// The first fault of the options.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let idle =
            IdleLimits { connections: options.idle_connections, timeout: options.idle_timeout };
        let mut targets: Vec<Target> = Vec::new();
        for destination in &options.destinations {
            let target = Target::new(destination, idle)?;
            if targets.iter().any(|other| other.origin.same_place(&target.origin)) {
                return Err(ClientError::Repeated(target.origin.to_string()));
            }
            targets.push(target);
        }
        Ok(Self(Arc::new(Inner {
            targets,
            user_agent: options.user_agent.try_into().map_err(|_| ClientError::UserAgent)?,
            connector: Connector { resolver: options.resolver, timeout: options.connect_timeout },
            in_flight: options
                .in_flight
                .map(|count| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))),
        })))
    }

    /// Sends `request`, whose URI is absolute, and reads the whole answer. A redirect is an answer
    /// like any other. Dropping the future closes the connection; the request may have taken
    /// effect by then.
    ///
    /// # Errors
    /// See [`FailureCode`]. A status is never a failure.
    pub async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
        limits: CallLimits,
    ) -> Result<http::Response<bytes::Bytes>, Failure> {
        self.0.send(request, limits).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.targets.iter().map(|target| target.origin.to_string()))
            .finish()
    }
}
