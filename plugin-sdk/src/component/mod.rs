//! The component's side of the contract: generated bindings, and the step from a plugin's typed
//! answers to them. Only exists in a component; nothing here is meant to be named by a plugin.

#[cfg(feature = "credential-type")]
pub mod credential_type;
#[cfg(feature = "directory")]
pub mod directory;
#[cfg(feature = "service")]
pub mod service;

mod convert;
pub(crate) mod imports;

#[cfg(any(
    all(feature = "service", feature = "credential-type"),
    all(feature = "service", feature = "directory"),
    all(feature = "credential-type", feature = "directory"),
))]
compile_error!(
    "a component has one world: choose one of the features `service`, `credential-type` and `directory`, without default features"
);
