//! Handles text of plugins: escapes it for logs, cleans it for people, searches it for secrets.
//!
//! Never here: the meaning of a text.

use credsmith_contract::limits::SHORTEST_SEARCHED;
use credsmith_core::secret::Secret;

/// Replaces a secret in a text.
pub(crate) const MASK: &str = "[masked]";

/// Whether a character may change how a terminal or a reader shows the rest: controls, line
/// separators, direction marks.
fn is_unruly(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` for a field of a log line: one line, nothing in it that a terminal obeys.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if is_unruly(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// `text` for a person: unruly characters become spaces, and it ends after `longest` characters.
pub(crate) fn cleaned(text: &str, longest: usize) -> String {
    let spaced: String =
        text.chars().map(|c| if is_unruly(c) { ' ' } else { c }).take(longest).collect();
    spaced.trim().to_owned()
}

/// Whether `text` is one line without controls. Direction marks are part of some people's names.
pub(crate) fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Whether `text` is lines without controls but tabs and line ends.
pub(crate) fn is_lines(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

/// Whether `hay` contains `needle`. A needle too short to be searched for is never found.
pub(crate) fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.len() >= SHORTEST_SEARCHED && memchr::memmem::find(hay, needle).is_some()
}

/// `secret` inside a JSON string, without the quotes, where that differs from the secret itself.
fn as_json(secret: &str) -> Option<String> {
    let quoted = serde_json::Value::from(secret).to_string();
    let inner = quoted.get(1..quoted.len().saturating_sub(1))?;
    (inner != secret).then(|| inner.to_owned())
}

/// How `secret` may be spelled in a line of log: plainly, inside a JSON string, or one of its
/// lines. Spellings that are too short to search for are left out.
pub(crate) fn spellings(secret: &Secret) -> Vec<String> {
    let Some(text) = secret.expose_str() else { return Vec::new() };
    let whole = [Some(text.to_owned()), as_json(text)];
    let lines = text.lines().map(|line| Some(line.trim().to_owned()));
    whole
        .into_iter()
        .chain(lines)
        .flatten()
        .filter(|spelling| spelling.len() >= SHORTEST_SEARCHED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_field_is_one_harmless_line() {
        for (given, expected) in [
            ("plain ä", "plain ä"),
            ("a\nb\r\t", "a\\nb\\r\\t"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("a\\nb", "a\\\\nb"),
            ("x\u{2028}y\u{202e}z", "x\\u{2028}y\\u{202e}z"),
            ("\0\u{7f}\u{85}", "\\u{0}\\u{7f}\\u{85}"),
        ] {
            assert_eq!(escaped(given), expected);
        }
    }

    #[test]
    fn a_text_for_people_is_bounded() {
        assert_eq!(cleaned("a\nb\u{1b}c", 500), "a b c");
        assert_eq!(cleaned(&"ä".repeat(600), 500).chars().count(), 500);
    }

    #[test]
    fn a_secret_has_several_spellings() {
        let of = |secret: &str| spellings(&Secret::new(secret));
        assert_eq!(of("hunter22"), ["hunter22", "hunter22"]);
        assert_eq!(of("abc"), [""; 0]);
        assert_eq!(
            of("x\"yz\nlong line"),
            ["x\"yz\nlong line", "x\\\"yz\\nlong line", "x\"yz", "long line"]
        );
    }

    #[test]
    fn searching_finds_what_is_there() {
        assert!(contains(b"xxhunter2yy", b"hunter2"));
        assert!(!contains(b"xxhunter3yy", b"hunter2"));
        assert!(!contains(b"", b"hunter2"));
        assert!(!contains(b"abc", b"abc"), "three bytes are not searched for");
    }
}
