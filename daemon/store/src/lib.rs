//! The stores of Credsmith's state: [`Sled`] and [`Redb`] on disk, of which [`OnDisk`] is one,
//! [`Memory`] for tests, and (feature `suite`) the conformance suite that every implementation of
//! [`credsmith_core::ports::store::Store`] passes.
//!
//! Start with the port in core, which says what is promised; then `committer.rs`, the thread that
//! writes, and `on_sled/mod.rs` and `on_redb/mod.rs`, which say how an engine keeps the promises.
//! The README of this crate lists the facts found in sled's source and the remedies when a store
//! cannot be opened.
//!
//! Never here: the meaning of a key, the content of a value (values arrive sealed), a clock, a
//! configuration file.
#![warn(missing_docs)]

mod committer;
mod copy;
mod directory;
mod engine;
mod error;
mod fatal;
mod guard;
mod limits;
mod loss;
mod memory;
mod on_disk;
mod on_redb;
mod on_sled;
mod options;
#[cfg(test)]
mod power_cuts;
mod range;
mod revisions;
mod space;
#[cfg(feature = "suite")]
pub mod suite;

pub use copy::{Copied, CopyError, Stage, copy};
pub use engine::Engine;
pub use error::OpenError;
pub use fatal::{Fatal, OnFatal, Step};
pub use guard::{Copies, Safeguards};
pub use loss::Loss;
pub use memory::Memory;
pub use on_disk::{OnDisk, OnDiskOptions};
pub use on_redb::{Redb, RedbOptions};
pub use on_sled::{Sled, SledOptions};
pub use options::GroupLimits;
pub use space::{Disk, MIN_RESERVE, Reserve, ReserveOptions, WithReserve};
