//! The stores of Credsmith's state: [`Sled`] on disk, [`Memory`] for tests, and (feature `suite`) the conformance suite that every implementation of
//! [`credsmith_core::ports::store::Store`] passes.
//!
//! Start with the port in core, which says what is promised; then `committer.rs`, the thread that
//! writes, and `on_sled/mod.rs`, which says how an engine keeps the promises.
//! The README of this crate lists the facts found in sled's source and the remedies when a store
//! cannot be opened.
//!
//! Never here: the meaning of a key, the content of a value (values arrive sealed), a clock, a
//! configuration file.
#![warn(missing_docs)]

mod committer;
mod directory;
mod error;
mod fatal;
mod guard;
mod limits;
mod memory;
mod on_sled;
mod options;
mod range;
mod revisions;
#[cfg(feature = "suite")]
pub mod suite;

pub use error::OpenError;
pub use fatal::{Fatal, OnFatal, Step};
pub use guard::{Copies, Loss, Safeguards};
pub use memory::Memory;
pub use on_sled::{Sled, SledOptions};
pub use options::GroupLimits;
