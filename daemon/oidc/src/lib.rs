//! OpenID providers as Credsmith sees them, and the signing of tokens.
//!
//! Start with [`OidcProviders`], which implements core's `Providers` port: a bearer token goes in,
//! an identity comes out. Below it, in order: `cache` (asked for every request), `flights` (one
//! look-up for all who ask at once), `look_up` (userinfo, introspection, signed tokens),
//! `discovery` (where the endpoints are, kept up to date in the background by `provider`). The
//! rules are pure functions: `claims`, `audience`, `answer`, `keys`, `issuer` (whose word a token
//! is). They implement core's `SignIn` port as well: `sign_in` has the order of things, `code_flow`
//! the requests, `id_token` the rules. [`tokens`] (core's `Tokens` port) and [`signing`] are things
//! of their own.
//!
//! Never here: who may do what, a status code, a header of a client, a session. A provider's text
//! reaches neither a caller nor the log, and a token neither the log nor the cache.
#![warn(missing_docs)]

mod answer;
mod audience;
mod cache;
mod claims;
mod code_flow;
mod credentials;
mod discovery;
mod flights;
mod id_token;
mod issuer;
mod keys;
mod look_up;
mod options;
mod provider;
mod providers;
mod sign_in;
pub mod signing;
pub mod tokens;
mod trouble;
mod wire;

pub use audience::Audiences;
pub use options::{CodeFlow, Fault, Limits, ProviderOptions};
pub use providers::{OidcProviders, World};
