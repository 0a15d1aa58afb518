//! Plugins for credential types of the vault: one of them, and the set of all that are configured.

pub(crate) mod plugin;
pub(crate) mod set;
