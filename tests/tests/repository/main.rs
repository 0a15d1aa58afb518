//! The repository as a reader finds it: what its root holds, how long lines of comments are, and
//! whether what is cited is there.
#![expect(clippy::unwrap_used, reason = "a test that fails should say where, and at once")]

mod citations;
mod columns;
mod files;
mod root;
