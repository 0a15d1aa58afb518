//! The stores of Credsmith's state: [`Sled`] on disk, [`Memory`] for tests and for `dev` without
//! data, and (feature `suite`) the conformance suite that every implementation of
//! [`credsmith_core::ports::store::Store`] passes.
//!
//! Start with the port in core, which says what is promised; then `on_sled/mod.rs`, which says how
//! it is kept. The README of this crate lists the facts found in sled's source and the remedies
//! when a store cannot be opened.
//!
//! Never here: the meaning of a key, the content of a value (values arrive sealed), a clock, a
//! configuration file.
#![warn(missing_docs)]

mod limits;
mod memory;
mod on_sled;
mod range;
#[cfg(feature = "suite")]
pub mod suite;

pub use memory::Memory;
pub use on_sled::{Fatal, GroupLimits, OnFatal, OpenError, Sled, SledOptions, Step};
