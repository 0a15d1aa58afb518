//! HTTP for Credsmith: a server that knows no credential, and a guarded client.
//!
//! Start with [`Surface`], the interface between the server and the dialects, and with [`Server`],
//! which adds the connections, the limits and the three layers. [`Drain`] owns all tasks that have
//! to end in order. Plugins and the OpenID crate reach the network through [`client`] alone.
//!
//! Never here: a credential, a caller, a route, a meaning of JSON, a log line with a query, a
//! header value or a body in it. No router and no middleware stack: the layers are three small
//! functions, the surfaces route their own paths. hyper is used in this crate alone.
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
mod options;
mod pace;
mod pem;
mod proxies;
mod reply;
mod request_id;
mod server;
mod shares;
mod slot;
mod surface;
mod upgrade;
mod websocket;

pub use body::{Body, BodyFault};
pub use drain::{Drain, Draining};
pub use fault::Fault;
pub use hosts::HostPolicy;
pub use json::{StrictJson, encoding_fault};
pub use listener::{Listener, ListenerError, Peer, TlsIdentity};
pub use options::ServerOptions;
pub use pem::PemError;
pub use proxies::{InvalidNetwork, Source, TrustedProxies};
pub use reply::{Quiet, Reply, ReplyBody, ReplyBodyError};
pub use request_id::RequestId;
pub use server::Server;
pub use slot::Slot;
pub use surface::{Request, Surface, Surfaces};
pub use upgrade::{Upgrade, Upgraded};
pub use websocket::{Delivery, Handshake, HandshakeError, WebSocket};

/// The types in the interface of every surface.
pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
