//! Foreign text on its way into the log: short and without control characters.

use std::fmt::{self, Display, Write};

/// Shows at most `limit` characters of `text`. Whatever is not printable ASCII is written as
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
