//! A small OpenID provider on loopback, for trying Credsmith out and for its tests.
//!
//! It is a complete one: any OpenID client can discover it and sign in, with the code flow and PKCE
//! alone. It is only for the machine it runs on: there are no passwords, picking an account on its
//! page signs in, and `GET /dev/token?user=alice` issues an access token. All state is in memory,
//! and bounded.
//!
//! Start with [`DevProvider`]; it is a [`credsmith_http::Surface`]. Below it: `authorize`, `token`,
//! `resource` (userinfo and introspection), one per endpoint; `surface` has the routes, `ledger`
//! the issued tokens, `clients` the authentication of clients.
//!
//! Never here: a listener (the server of this surface binds to loopback and accepts no `Host` but
//! its own), a header that lets other origins read an answer.
#![warn(missing_docs)]

mod accounts;
mod authorize;
mod clients;
mod ledger;
mod page;
mod params;
mod provider;
mod reply;
mod resource;
mod surface;
mod token;

pub use accounts::Account;
pub use clients::{Client, ClientError};
pub use provider::{DevProvider, Now, Options, OptionsError, TokenSpec, UnknownUser};
