//! The whole daemon from outside: one binary, so that it is linked once.
//!
//! `golden` replays answers of the original WaTTS, `wattson` speaks as its command line client
//! does, `surface` goes through what the recordings leave out, `anything` throws arbitrary requests
//! at it, `operation` looks at the process: start, log, signals, files, `audit` at its audit log,
//! `losses` at a store that has lost something, `store` at the engines of a store.
//! `vault` is about the other dialect.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where, and at once"
)]

mod anything;
mod audit;
mod canaries;
mod golden;
mod losses;
mod operation;
mod shares;
mod store;
mod surface;
mod vault;
mod wattson;
mod world;
