//! What the plugin contract says beside its WIT file: [`limits`] of what a plugin may answer, and
//! the [`duration`] grammar of settings.
//!
//! The daemon's host enforces it, the test kit of the plugin SDK checks it, and both read it here.
//! Never here: code that a component has to link; so the grammar is a feature.

#[cfg(feature = "duration")]
pub mod duration;
pub mod limits;
