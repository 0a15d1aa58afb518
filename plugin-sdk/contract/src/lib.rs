//! The part of the plugin contract that its WIT file does not state: the [`limits`] of a plugin's
//! answers, the characters that a [`text`] may have, the grammar of durations (`duration`) in
//! settings, and the forms in which keys are pasted ([`pem`]).
//!
//! The daemon's host enforces it, the test kit of the plugin SDK checks it, and both read it here.
//! Never here: a dependency that a component has to link; so the grammar is a feature.

#[cfg(feature = "duration")]
pub mod duration;
pub mod limits;
pub mod pem;
pub mod text;
