//! Components: which world of the contract one belongs to, its compiled form in memory and on disk.
//!
//! Never here: settings and grants, and how a component is called.

pub(crate) mod artefacts;
pub(crate) mod cache;
pub(crate) mod compiler;
pub(crate) mod sources;
pub(crate) mod world;
