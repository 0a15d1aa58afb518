//! The limits of a server.

use std::time::Duration;

use crate::hosts::HostPolicy;
use crate::proxies::TrustedProxies;

/// The limits of a server. Each of them bounds what a client can make it hold.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Requests in work at once; one more is refused with [`Fault::Busy`](crate::Fault::Busy).
    pub in_work: usize,
    /// The `retry-after` of such a refusal.
    pub retry_after: Duration,
    /// Connections open at once, on all listeners together; above it, the longest idle one is
    /// closed. One client address has a quarter of them at most, a trusted proxy any number.
    pub connections: usize,
    /// Requests that one client address may send in a second, in the long run; ten times as many at
    /// once. One more is refused with [`Fault::TooManyRequests`](crate::Fault::TooManyRequests).
    /// Zero: any number.
    pub requests_per_second: usize,
    /// Whether that limit holds for clients on a loopback address too: a proxy on this machine that
    /// is not listed as trusted makes all clients appear under one.
    pub limit_loopback: bool,
    /// Bytes of bodies that have not arrived whole, of all clients; one address has a quarter. The
    /// first 16 KiB of a body do not count. Above it, the oldest are cut.
    pub unfinished_bodies: u64,
    /// The same of replies that clients have not read; replies of up to 16 KiB do not count.
    pub unread_replies: u64,
    /// From the end of a request's head to its reply, reading the body included. Longer than any
    /// plugin may take.
    pub deadline: Duration,
    /// Bytes of a request's line and headers. hyper itself gives up, with an empty answer, at four
    /// times that and no less than 64 KiB.
    pub head_bytes: usize,
    /// From the first byte of a head to its end; for the first head, from the opening of the
    /// connection. Also the limit of a TLS handshake.
    pub head_timeout: Duration,
    /// How long a connection may be silent after a reply.
    pub idle_timeout: Duration,
    /// How long the body of a request, or a client that reads its reply, may stall. A reply has to
    /// be read within 30 s and a second for each 64 KiB, besides.
    pub stall_timeout: Duration,
    /// How long a whole body may take; below `deadline`, so that a slow client gets a 408 and not
    /// a 503.
    pub body_timeout: Duration,
    /// The path below which everything lies for clients, such as `/watts`, and which a proxy may or
    /// may not take off; empty: none.
    pub base_path: String,
    /// The host names that are served.
    pub hosts: HostPolicy,
    /// Whether browsers are told to come back over TLS alone (RFC 6797): where clients reach the
    /// server at an `https` address.
    pub strict_transport: bool,
    /// The proxies that are trusted to name the address of their client.
    pub trusted_proxies: TrustedProxies,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            in_work: 256,
            retry_after: Duration::from_secs(1),
            connections: 4096,
            requests_per_second: 200,
            limit_loopback: false,
            unfinished_bodies: 128 << 20,
            unread_replies: 256 << 20,
            deadline: Duration::from_secs(60),
            head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            base_path: String::new(),
            hosts: HostPolicy::Any,
            strict_transport: false,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}
