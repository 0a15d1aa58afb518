//! Resolves names to addresses.

use std::io;
use std::net::IpAddr;

use futures_util::future::BoxFuture;

/// Resolves names to addresses. Every address is checked by the policy before it is dialled.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of `host`, best first.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system: hosts file, DNS and others as configured there.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            // The look-up takes a port and returns it; this one is not used.
            Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
        })
    }
}
