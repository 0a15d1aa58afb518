//! What is kept: the values that records hold, and what follows from them alone.
//!
//! Never here: a key or a byte of the store (they are `records`'), a decision about a caller, a
//! clock.

pub(crate) mod companies;
pub mod company;
pub(crate) mod credential;
pub(crate) mod credential_type;
pub(crate) mod lease;
pub(crate) mod mark;
pub mod profile;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod session;
pub(crate) mod user;
pub mod values;
