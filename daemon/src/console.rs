//! The two streams: sentences for people on standard error, and results and the line `ready` on
//! standard output.
//!
//! A closed stream is not an error.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints a sentence on standard error.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a result on standard output.
pub(crate) fn print(text: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
