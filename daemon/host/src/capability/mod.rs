//! The functions that a plugin can call: one file for each import of the contract, and `wasi` for
//! those that its language's standard library needs.
//!
//! Each file implements the import's trait for [`State`](crate::call::state::State). A fault of the
//! plugin is an answer it can read; only a handle that does not exist ends the call. Never here:
//! authorization, and the meaning of an answer.

pub(crate) mod call;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod settings;
pub(crate) mod wasi;
