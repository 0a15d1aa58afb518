//! A small OpenID provider on loopback, for trying Credsmith out and for its tests.
//!
//! It is a real one: any OpenID client can discover it and sign in, with the code flow and PKCE
//! alone. It is for nobody but its own machine: there are no passwords, whoever picks an account on
//! its page is signed in, and `GET /dev/token?user=alice` hands out an access token for the asking.
//! All state is in memory, and bounded.
//!
//! Start with [`DevProvider`]; it is a [`credsmith_http::Surface`]. Below it: `authorize`, `token`,
//! `resource` (userinfo and introspection), one per endpoint; `ledger` keeps what has been given
//! out; `clients` knows who is asking.
//!
//! Never here: a listener (whoever serves this one binds it to loopback and lets pass no `Host` but
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
mod token;

pub use accounts::Account;
pub use clients::{Client, ClientError};
pub use provider::{DevProvider, Now, Options, OptionsError, TokenSpec, UnknownUser};
