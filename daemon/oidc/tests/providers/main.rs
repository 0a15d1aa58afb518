//! `OidcProviders` against providers that a test scripts, over real connections.

#![cfg(test)]

mod browser;
mod discovery;
mod identify;
mod sign_in;
mod support;
mod tenants;
