//! What a plugin can do beyond computing: one file for each import of the contract, and `wasi` for
//! what its language's standard library asks.
//!
//! Each file implements the import's trait for [`State`](crate::call::state::State). A fault of the
//! plugin is an answer it can read; only a handle that does not exist ends the call. Never here:
//! who may call what, and what becomes of an answer.

pub(crate) mod call;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod settings;
pub(crate) mod wasi;
