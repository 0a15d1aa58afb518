//! Foreign text on its way into the log: short and without control characters.

use std::any::Any;
use std::fmt::{self, Display, Write};

/// How much of a panic's text is logged.
const PANIC_CHARS: usize = 500;

/// Displays at most `limit` bytes of `text`. A byte that is not printable ASCII is written as
/// `\xNN`, and a cut is marked by `...`: a client can neither flood the log nor forge a line in it.
pub(crate) struct Escaped<'a> {
    pub(crate) text: &'a str,
    pub(crate) limit: usize,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.text.bytes().take(self.limit) {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        if self.text.len() > self.limit { f.write_str("...") } else { Ok(()) }
    }
}

/// The message of a panic, fit for the log.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    Escaped { text, limit: PANIC_CHARS }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_its_line() {
        for (text, shown) in [
            ("/a/b%0a", "/a/b%0a"),
            ("a\nINFO b", "a\\x0aINFO b"),
            ("\u{1b}[31m", "\\x1b[31m"),
            ("\u{e9}\\", "\\xc3\\xa9\\\\"),
            ("0123456789", "0123456789"),
            ("0123456789a", "0123456789..."),
        ] {
            assert_eq!(Escaped { text, limit: 10 }.to_string(), shown);
        }
    }
}
