//! The two streams: sentences for people on standard error, and the one line that says the daemon
//! serves on standard output.
//!
//! A stream that is closed is no reason to fail.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Says something on standard error.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a result on standard output.
pub(crate) fn print(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
