//! What tests of the whole daemon stand on: the real program as a process, a provider in this
//! process, and a client that sends exactly the given bytes.
//!
//! Start with [`Site`], a configuration in a directory of its own; [`Site::serve`] starts a
//! [`Daemon`] of it. [`Provider`] vouches for users and can go down. [`Request`] is what clients
//! send, well-formed or not; a [`Session`] is a user who is signed in to the vault. Everything here
//! blocks and fails loudly: a test has one thread and nothing better to do.
//!
//! Never here: a part of the daemon. What a test knows, it knows from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails should say where, and at once"
)]
#![warn(missing_docs)]

mod answer;
mod binary;
mod daemon;
mod provider;
mod request;
mod shared;
mod site;
mod socket;
mod target;
mod vault;
mod wait;
mod written;

pub use answer::Answer;
pub use binary::{credsmith, fixture};
pub use daemon::{Daemon, Ended};
pub use provider::{CLIENT_ID, CLIENT_SECRET, Provider};
pub use request::{Connection, Request};
pub use shared::Shared;
pub use site::Site;
pub use socket::{Frame, Socket};
pub use target::{Received, Target};
pub use vault::{Session, SignIn};
pub use wait::{PATIENCE, eventually, wait_for};
pub use written::Written;
