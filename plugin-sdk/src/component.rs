//! The component's side of the contract: generated bindings, and the step from a plugin's typed answers to them. Only exists in a
//! component; nothing here is meant to be named by a plugin.

#[cfg(feature = "credential-type")]
pub mod credential_type;
#[cfg(feature = "service")]
pub mod service;

pub(crate) mod imports;

#[cfg(all(feature = "service", feature = "credential-type"))]
compile_error!(
    "a component has one world: choose the feature `service` or `credential-type`, without default features"
);
