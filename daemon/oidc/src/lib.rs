//! The client side of OpenID providers, and the signing of tokens.
//!
//! Start with [`OidcProviders`], which implements core's `Providers` port: it maps a bearer token
//! to an identity. Below it, in order: `cache` (read for every request), `single_flight` (one
//! look-up for all concurrent requests of a token), `lookup_queue` (whose turn it is), `lookup`
//! (userinfo, introspection, signed tokens), `discovery` (the endpoints, kept up to date in the
//! background by `provider`). The rules are pure functions: `claims`, `audience`, `answer`, `keys`,
//! `issuer`. `OidcProviders` implements core's `SignIn` port too: `sign_in` has the order of the
//! steps, `code_flow` the requests, `id_token` the rules. [`tokens`] (core's `Tokens` port) and
//! [`signing`] are independent of the rest.
//!
//! Never here: an authorization, a status code, a header of a client, a session. A provider's text
//! reaches neither a caller nor the log, and a token neither the log nor the cache.
#![warn(missing_docs)]

mod answer;
mod audience;
mod cache;
mod claims;
mod code_flow;
mod credentials;
mod discovery;
mod error;
mod id_token;
mod issuer;
mod keys;
mod lookup;
mod lookup_queue;
mod options;
mod provider;
mod provider_client;
mod providers;
mod sign_in;
pub mod signing;
mod single_flight;
pub mod tokens;

pub use audience::Audiences;
pub use options::{CodeFlow, Fault, Limits, ProviderOptions};
pub use providers::{OidcProviders, Ports};
