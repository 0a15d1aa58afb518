//! What the command line can ask for besides running the daemon: one file per group of commands.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod key;
pub(crate) mod plugin;
pub(crate) mod running;
pub(crate) mod store;
pub(crate) mod store_copy;
