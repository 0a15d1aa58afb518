//! The domain of Credsmith: who may have which credential, for how long, and what becomes of it.
//!
//! Start with the vocabulary ([`ids`], [`caller`], [`error`], [`secret`], [`time`]). The traits
//! that the domain needs are in [`ports`]. The surfaces call [`leases::Leases`] for issuing, and
//! [`session`], [`user`], [`company`] and [`vault`] for the vault. The life of a lease is one
//! function with a table of tests in `model::lease`. [`access`] authorizes; records are sealed by
//! [`keyring`] in the format of [`envelope`].
//!
//! Never here: a status code, wire JSON, a path, a wasm or sled type, a socket, a file. Tasks are
//! spawned through [`ports::Tasks`] alone, and code sleeps through [`ports::Clock`] alone.
#![warn(missing_docs)]

pub mod access;
pub mod address;
pub mod audit;
pub mod caller;
pub mod catalogue;
pub mod company;
#[cfg(feature = "doubles")]
pub mod doubles;
pub mod envelope;
pub mod error;
pub mod field;
pub mod ground;
pub mod ids;
pub mod keyring;
pub mod leases;
mod limits;
pub mod link;
pub mod model;
pub mod paging;
pub mod ports;
mod records;
pub mod rights;
pub mod rules;
pub mod secret;
pub mod session;
#[cfg(test)]
mod testing;
pub mod text;
pub mod time;
pub mod user;
pub mod vault;

pub use error::{Error, FieldProblem, Kind};
