//! Loading: from a component and what an admin configured to a plugin that can be called.
//!
//! `loader` has the steps, the same for every world; `fields` and `settings` check what the plugin
//! describes and what the admin set; `configuration` makes the grants.

pub(crate) mod configuration;
pub(crate) mod fields;
pub(crate) mod loader;
pub(crate) mod settings;
