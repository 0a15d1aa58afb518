//! The worlds of the contract, as core uses them: one folder or file each, with how its plugins are
//! loaded and called.

pub(crate) mod credential_type;
pub(crate) mod directory;
pub(crate) mod service;
