//! Plugins in the real host, without the daemon around it: hostile ones, those behind types of
//! credentials, certificates of `ssh-ca`, companies of `connectwise`.
//!
//! Start reading at [`issue`]: every way in which a call can misbehave, as a table. The tests run
//! one after the other, because some of them measure time or memory.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where, and at once"
)]

mod artefacts;
mod bundled_types;
mod connectwise;
mod crowd;
mod directories;
mod issue;
mod load;
mod log;
mod memory;
mod network;
mod peer;
mod revoke;
mod ssh_ca;
mod stage;
mod types;
