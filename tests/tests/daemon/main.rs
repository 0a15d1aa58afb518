//! The whole daemon from outside: one binary, so that it is linked once.
//!
//! `golden` replays answers of the original WaTTS, `wattson` speaks as its command line client
//! does, `surface` goes through what the recordings leave out, `anything` throws arbitrary requests
//! at it, `operation` looks at the process: start, log, signals, files, `audit` at its audit log.
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
mod operation;
mod shares;
mod surface;
mod vault;
mod wattson;
mod world;
