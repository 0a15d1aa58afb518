//! One call of a plugin, of whichever world: its grants, its store, its run and its end, its log,
//! the checks of its answer.
//!
//! Never here: the choice of a plugin, and the meaning of its answer to core.

pub(crate) mod grants;
pub(crate) mod journal;
pub(crate) mod outcome;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod state;
