//! The ledger when the daemon is killed, and when a target is down: the real program, its store on
//! disk, a plugin with effects, and a target that remembers everything.
//!
//! `promises` says what has to hold at the end, whatever happened: start reading there. `at_random`
//! kills at any moment, `at_steps` at each step of a lease's life, `outage` takes the target away.
//! `vault` does the like with what companies keep.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where, and at once"
)]

mod at_random;
mod at_steps;
mod client;
mod dice;
mod outage;
mod promises;
mod site;
mod vault;
mod world;
