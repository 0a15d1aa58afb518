//! The crate from outside, over loopback: one binary, so that it is linked once.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where, and at once"
)]

mod client;
mod drain;
mod hostile;
mod log;
mod server;
mod shares;
mod support;
mod websocket;
