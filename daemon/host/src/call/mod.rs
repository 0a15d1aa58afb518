//! One call of a plugin, of whichever world: what it is granted, its store, how it runs and ends,
//! its log, the checks of its answer.
//!
//! Never here: which plugin is called, and what its answer means to core.

pub(crate) mod grants;
pub(crate) mod journal;
pub(crate) mod outcome;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod state;
