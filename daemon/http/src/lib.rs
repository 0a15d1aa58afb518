//! HTTP for Credsmith: a server that knows no credential, and a guarded client.
//!
//! Start with [`Surface`], the one seam between the server and whoever answers requests, and with
//! [`Server`], which puts the connections, the limits and the three layers around it. [`Drain`]
//! owns everything that has to end in order. The way out is [`client`]: plugins and the OpenID
//! crate reach the network through it and through nothing else.
//!
//! Never here: a credential, a caller, a route, a meaning of JSON, a log line with a query, a
//! header value or a body in it. No router and no middleware stack: the layers are three small
//! functions, the surfaces know their own paths. hyper is used in this crate alone.
#![warn(missing_docs)]

mod body;
pub mod client;
mod drain;
mod escape;
mod fault;
mod hosts;
mod json;
mod layer;
mod listener;
pub mod local;
mod pem;
mod proxies;
mod reply;
mod request_id;
mod server;
mod slot;
mod surface;
mod upgrade;
mod websocket;

pub use body::{Body, BodyFault};
pub use drain::{Drain, Draining};
pub use fault::Fault;
pub use hosts::HostPolicy;
pub use json::StrictJson;
pub use listener::{Listener, ListenerError, Peer, TlsIdentity};
pub use pem::PemError;
pub use proxies::{NoNetwork, TrustedProxies};
pub use reply::{Quiet, ReplyBody, ReplyBodyError};
pub use request_id::RequestId;
pub use server::{Server, ServerOptions};
pub use slot::Slot;
pub use surface::{Reply, Request, Surface, Surfaces};
pub use upgrade::{Upgrade, Upgraded};
pub use websocket::{Delivery, Handshake, NoHandshake, WebSocket};

/// The types that every surface speaks, and the way bytes are held.
pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
