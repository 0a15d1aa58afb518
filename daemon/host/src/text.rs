//! Handles text of plugins: escapes it for logs, cleans it for people, masks secrets in it.
//!
//! What people can read is core's to say ([`credsmith_core::text`]). Never here: the meaning of a
//! text.

use credsmith_contract::limits::SHORTEST_SEARCHED;
use credsmith_core::secret::Secret;
pub(crate) use credsmith_core::text::{is_lines, is_one_line};
use credsmith_core::text::{is_unfit_for_names, on_one_line};

/// Replaces a secret in a text.
pub(crate) const MASK: &str = "[masked]";
/// Shortest word that looks like a key, in bytes.
const SHORTEST_KEY: usize = 20;

/// `text` for a field of a log line: one line, nothing in it that a terminal obeys, and no two
/// texts alike.
pub(crate) fn escaped(text: &str) -> String {
    on_one_line(&text.replace('\\', "\\\\")).into_owned()
}

/// `text` for a person: unruly characters become spaces, and it ends after `longest` characters.
pub(crate) fn cleaned(text: &str, longest: usize) -> String {
    let spaced: String =
        text.chars().map(|c| if is_unfit_for_names(c) { ' ' } else { c }).take(longest).collect();
    spaced.trim().to_owned()
}

/// `text` without words that look like a key: long, of letters and digits.
pub(crate) fn without_keys(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '_' | '-' | '=');
    let is_key = |word: &str| {
        word.len() >= SHORTEST_KEY
            && word.bytes().any(|b| b.is_ascii_digit())
            && word.bytes().any(|b| b.is_ascii_alphabetic())
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, more) = rest.split_at(end);
        out.push_str(if is_key(word) { MASK } else { word });
        let next = more.find(is_part).unwrap_or(more.len());
        let (between, after) = more.split_at(next);
        out.push_str(between);
        rest = after;
    }
    out
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

    /// The test kit of the SDK has the rules of core once more.
    #[test]
    fn the_rules_of_the_contract_are_those_of_core() {
        use credsmith_contract::text as contract;
        use credsmith_core::text as core;
        for c in '\0'..=char::MAX {
            assert_eq!(contract::is_unruly(c), core::is_unfit_for_names(c), "{c:?}");
            for text in [format!("a{c}b"), format!("{c}"), format!("a{c}\nb"), format!("a{c}")] {
                if u32::from(c) > 0x3000 && !core::is_unfit_for_names(c) {
                    break;
                }
                assert_eq!(contract::is_one_line(&text), core::is_one_line(&text), "{text:?}");
                assert_eq!(contract::is_lines(&text), core::is_lines(&text), "{text:?}");
                assert_eq!(contract::is_file_name(&text), core::is_file_name(&text), "{text:?}");
            }
        }
        for name in ["con", "NUL.txt", "com1", "lpt9.log", "common", "aux .x", "x.con", "lpt10"] {
            assert_eq!(contract::is_file_name(name), core::is_file_name(name), "{name}");
        }
    }

    #[test]
    fn words_that_look_like_keys_are_masked() {
        for (given, expected) in [
            ("got t0kenT0kenT0kenT0kenT0ken.", "got [masked]."),
            ("key=AKIAIOSFODNN7EXAMPLE1234, next", "[masked], next"),
            ("at https://api.example/v1/tokens/7", "at https://api.example/v1/tokens/7"),
            ("https://api.example/0123456789abcdef0123456789", "https://api.example/[masked]"),
            ("an-ordinary-word-with-hyphens", "an-ordinary-word-with-hyphens"),
            ("ä", "ä"),
            ("", ""),
        ] {
            assert_eq!(without_keys(given), expected);
        }
    }
}
