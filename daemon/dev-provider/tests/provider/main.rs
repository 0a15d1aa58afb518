//! The demo provider over real connections: driven by the crate openidconnect, as any client would,
//! and asked by `credsmith-oidc`, as the daemon does.

#![cfg(test)]

mod daemon;
mod endpoints;
mod sign_in;
mod support;
