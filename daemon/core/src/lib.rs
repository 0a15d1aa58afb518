//! The domain of Credsmith: who may have which credential, for how long, and what becomes of it.
//!
//! Start with the vocabulary ([`ids`], [`caller`], [`error`], [`secret`], [`time`]).
//! What the domain needs of the world stands in [`ports`].
//!
//! Never here: a status code, wire JSON, a path, a wasm or sled type, a socket, a file. Nothing is spawned and nobody sleeps but
//! through [`ports::Tasks`] and [`ports::Clock`].
#![warn(missing_docs)]

pub mod access;
pub mod caller;
pub mod catalogue;
#[cfg(feature = "doubles")]
pub mod doubles;
pub mod envelope;
pub mod error;
pub mod ids;
pub mod keyring;
pub mod ports;
pub mod secret;
pub mod time;

pub use error::{Error, FieldProblem, Kind};
