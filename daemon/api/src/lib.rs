//! The REST dialects of Credsmith, each a translation of one core: decode, one core call, encode.
//!
//! | dialect | paths | start reading at |
//! |---|---|---|
//! | [`watts`] | `/api/v1`, `/api/v2` | [`watts::Watts`] |
//! | [`vault`] | `/v1`, `/.well-known/jwks.json` | [`vault::Vault`] |
//! | [`openapi`] | `/openapi.json`, which describes the two | [`openapi::OpenApi`] |
//! | [`ops`] | the admin socket | [`ops::Ops`] |
//!
//! Never here: a decision about rights, or about the next state of a lease. A handler that grows
//! past some fifteen lines hides a use-case that belongs in `credsmith-core`.

mod bearer;
mod client;
mod docs;
mod log;
mod negotiate;
pub mod openapi;
pub mod ops;
pub mod vault;
pub mod watts;
