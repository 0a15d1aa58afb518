//! The client side of OpenID providers, and the signing of tokens.
//!
//! Start with [`OidcProviders`], which implements core's `Providers` port: it maps a bearer token
//! to an identity. Below it, in order: `cache` (read for every request), `single_flight` (one
//! look-up for all concurrent requests of a token), `waiting_requests` (how many may wait for it),
//! `lookup_queue` (whose turn it is), `lookup` (introspection, signed tokens) and `userinfo`,
//! `discovery` (the endpoints, kept up to date in the background by `provider`). What a provider
//! publishes is read by `metadata` and `keys`, and JWTs by `jwt`; `credentials` and `client_key`
//! are how the daemon proves itself. The rules are pure functions: `claims`, `audience`, `answer`,
//! `keys`, `issuer`. `OidcProviders` implements core's `SignIn` port too: `sign_in` has the order
//! of the steps, `code_flow` the requests, `id_token` the rules. [`tokens`] (core's `Tokens` port)
//! and [`signing`] are independent of the rest.
//!
//! Never here: an authorization, a status code, a header of a client, a session. A provider's text
//! reaches no caller; what it says when it refuses is kept as data beside the error, bounded and
//! escaped (`ProviderRefusal` of core). A token reaches neither the log nor the cache.
#![warn(missing_docs)]

mod answer;
mod audience;
mod cache;
mod claims;
mod client_key;
mod code_flow;
mod credentials;
mod discovery;
mod error;
mod id_token;
mod issuer;
mod jwt;
mod keys;
mod lookup;
mod lookup_queue;
mod metadata;
mod options;
mod ports;
mod provider;
mod provider_client;
mod providers;
mod sign_in;
pub mod signing;
mod single_flight;
pub mod tokens;
mod userinfo;
mod waiting_requests;

pub use audience::Audiences;
pub use client_key::{ClientKey, ClientKeyError};
pub use options::{AskUserinfo, ClientAuth, CodeFlow, Fault, Limits, ProviderOptions};
pub use ports::Ports;
pub use providers::OidcProviders;
