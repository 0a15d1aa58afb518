//! `OidcProviders` against providers that a test scripts, over real connections.

#![cfg(test)]

mod browser;
mod client_auth;
mod discovery;
mod identify;
mod sign_in;
mod support;
mod tenants;
mod userinfo;
