//! Shares of a server: what one client address may take of connections, bytes and requests, so that
//! no client shuts the others out and nothing grows without a bound.
//!
//! [`Connections`] bounds open connections and closes the longest idle one when they run out.
//! [`Budget`] bounds the bytes of unfinished bodies and of unread replies, [`Rate`] the requests in
//! a second. All of them count by [`Network`].
//!
//! Never here: a queue. A share is there, or another holder of the same share loses its own.

mod budget;
mod connections;
mod network;
mod rate;

pub(crate) use budget::{Budget, Held};
pub(crate) use connections::{Connection, Connections, Place};
pub(crate) use network::Network;
pub(crate) use rate::{BURST, Rate};
