//! Runs guests: the engine with its threads and its pool of instances, the queues in front of
//! it, the clock that interrupts guests, the limits of an instance.
//!
//! Never here: components, and the content of a call.

pub(crate) mod guest_engine;
pub(crate) mod lane;
pub(crate) mod limits;
pub(crate) mod ticker;
