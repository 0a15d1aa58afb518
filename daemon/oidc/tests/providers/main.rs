//! `OidcProviders` against providers that a test scripts, over real connections.

#![cfg(test)]

mod discovery;
mod identify;
mod support;
