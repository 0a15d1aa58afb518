//! The REST dialects of Credsmith, each a translation of one core: decode, one core call, encode.
//!
//! | dialect | paths | start reading at |
//! |---|---|---|
//! | [`watts`] | `/api/v1`, `/api/v2` | [`watts::Watts`] |
//! | [`vault`] | `/v1`, `/.well-known/jwks.json` | [`vault::Vault`] |
//! | [`ops`] | the admin socket | [`ops::Ops`] |
//!
//! Never here: a decision about who may do what, or about what becomes of a lease. A handler that grows past some fifteen lines hides
//! a use-case that belongs in `credsmith-core`.

mod negotiate;
pub mod ops;
mod told;
pub mod vault;
pub mod watts;
