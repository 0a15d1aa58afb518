//! When two texts are the same to people. Unicode knows several answers; here are the two that the
//! vault needs, and one rule for what may stand in a name at all.

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;

/// `text` as it is searched, ordered, and compared where case is ignored: full case folding,
/// canonically composed (Unicode, definition D145). `STRASSE` and `Straße` are the same, and so are
/// two spellings of `é`; `ﬁ` and `fi` in one glyph or two are not.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let decomposed = DecomposingNormalizer::new_nfd().normalize(text);
    ComposingNormalizer::new_nfc().normalize(&case_folded(&decomposed)).into_owned()
}

/// `text` as names are compared that have to be unique: compatibility caseless, without invisible
/// characters (Unicode, definitions D146 and D147). A name that differs from another by width,
/// ligature, case, or an invisible character is the same name.
pub fn unique_fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let visible: String = text.chars().filter(|c| !ignorable.contains(*c)).collect();
    let decomposed = DecomposingNormalizer::new_nfd().normalize(&visible);
    // What a compatibility decomposition brings to light may have a case of its own.
    let once = compatible(&case_folded(&decomposed));
    compatible(&case_folded(&once))
}

fn case_folded(text: &str) -> String {
    CaseMapper::new().fold_string(text).into_owned()
}

fn compatible(text: &str) -> String {
    ComposingNormalizer::new_nfkc().normalize(text).into_owned()
}

/// Whether `c` may not stand in a name: a control character, or one that turns the direction of the
/// text around it and so has a name look like another (Unicode Technical Report 36, section 3.1),
/// or one that ends a line or is never seen.
pub fn is_unfit_for_names(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
    );
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    let hides = matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    c.is_control() || turns || breaks || hides
}

/// Whether people can read `text` as the one line that it is: nothing in it is unfit for a name.
pub fn is_one_line(text: &str) -> bool {
    !text.contains(is_unfit_for_names)
}

/// Whether people can read `text` as the lines that it is: nothing in it is unfit for a name, but
/// for tabs and line ends. A carriage return is one only before a line feed: alone it has a
/// terminal write over what stands there.
pub fn is_lines(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let fits = match c {
            '\t' | '\n' => true,
            '\r' => rest.peek() == Some(&'\n'),
            c => !is_unfit_for_names(c),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// `text` from outside, for one line that people read: what is unfit for a name is escaped as Rust
/// escapes it (`\u{202e}`, `\n`), and everything else stays.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    if is_one_line(text) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unfit_for_names(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    Cow::Owned(line)
}

/// Characters that no plain file name has: those that separate parts of a path, and those that
/// Windows or a shell gives a meaning.
const NOT_IN_FILE_NAMES: [char; 9] = ['/', '\\', ':', '*', '?', '"', '<', '>', '|'];
/// Names of devices, which Windows opens whatever stands after a dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Whether `name` is a plain file name: saved into any directory it makes one file there, which is
/// neither hidden nor an option of a command, and is no device. At most 255 bytes, as file systems
/// have it.
pub fn is_file_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = ["com", "lpt"].iter().any(|port| {
        let number = stem.strip_prefix(port).unwrap_or_default();
        let mut digits = number.chars();
        digits.next().is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'))
            && digits.next().is_none()
    });
    (1..=255).contains(&name.len())
        && is_one_line(name)
        && !name.contains(NOT_IN_FILE_NAMES)
        && !name.starts_with(['.', '-', '~'])
        && !name.starts_with(char::is_whitespace)
        && !name.ends_with('.')
        && !name.ends_with(char::is_whitespace)
        && !numbered
        && !DEVICES.contains(&stem.as_str())
}

/// Longest text of an event, in bytes.
const LONGEST_TEXT: usize = 1000;

/// `text`, or its beginning.
pub(crate) fn short(text: &str) -> Cow<'_, str> {
    const MORE: &str = "…";
    if text.len() <= LONGEST_TEXT {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(LONGEST_TEXT - MORE.len());
    Cow::Owned(format!("{}{MORE}", text.get(..end).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_is_folded_as_unicode_says() {
        for (one, other) in [
            ("ACME", "acme"),
            ("Straße", "STRASSE"),
            ("ΌΣΟΣ", "όσος"),
            ("Ａｃｍｅ", "ａｃｍｅ"),
            ("cafe\u{301}", "CAFÉ"),
            ("K\u{212a}", "kk"),
            ("ﬃ", "FFI"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        for (one, other) in [("cafe", "café"), ("Acme", "Ａｃｍｅ"), ("a", "ａ"), ("ı", "i")]
        {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    /// Attack: a second name that looks like one that is taken.
    #[test]
    fn a_name_that_looks_the_same_is_the_same() {
        for (taken, twin) in [
            ("Acme", "ａｃｍｅ"),
            ("Acme", "Ac\u{200b}me"),
            ("Acme", "Ac\u{ad}me"),
            ("Acme", "\u{2060}ACME\u{fe0f}"),
            ("office", "oﬃce"),
            ("IV", "Ⅳ"),
            ("Å", "A\u{30a}"),
            ("kg", "㎏"),
            ("straße", "STRASSE"),
        ] {
            assert_eq!(unique_fold(taken), unique_fold(twin), "{taken} {twin}");
        }
        assert_ne!(unique_fold("Acme"), unique_fold("Acne"));
        // Another script is another name: a Cyrillic А.
        assert_ne!(unique_fold("Acme"), unique_fold("Аcme"));
    }

    #[test]
    fn what_turns_text_around_is_unfit() {
        for bad in
            ['\0', '\n', '\t', '\u{7f}', '\u{85}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{2028}']
        {
            assert!(is_unfit_for_names(bad), "{bad:?}");
        }
        for good in [' ', 'a', 'é', '漢', '👩', '\u{200d}'] {
            assert!(!is_unfit_for_names(good), "{good:?}");
        }
    }

    #[test]
    fn a_lone_carriage_return_ends_no_line() {
        for good in ["", "a\tb", "a\nb\n", "a\r\nb\r\n", "ä 漢"] {
            assert!(is_lines(good), "{good:?}");
        }
        for bad in ["a\rb", "a\r", "\r\r\n", "a\u{2028}b", "\u{202e}a", "\u{1b}[2J", "a\u{85}b"] {
            assert!(!is_lines(bad), "{bad:?}");
        }
        assert!(is_one_line("a b") && !is_one_line("a\tb") && !is_one_line("a\u{2066}b"));
    }

    #[test]
    fn foreign_text_is_escaped_to_one_line() {
        assert_eq!(on_one_line("as it is \\n"), "as it is \\n");
        assert_eq!(on_one_line("a\r\u{202e}b\n\u{2029}"), "a\\r\\u{202e}b\\n\\u{2029}");
        assert_eq!(on_one_line("\u{1b}[31m\u{feff}"), "\\u{1b}[31m\\u{feff}");
    }

    #[test]
    fn a_plain_file_name_is_one_file_where_it_is_saved() {
        for good in ["id_ed25519-cert.pub", "key", "mein Schlüssel (2).txt", "a..b", "common.txt"]
        {
            assert!(is_file_name(good), "{good:?}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "c:x",
            ".bashrc",
            "-rf",
            "~root",
            " a",
            "a ",
            "a.",
            "a\rb",
            "a\nb",
            "a\u{202e}gpj.exe",
            "a\u{2028}b",
            "con",
            "NUL.txt",
            "Com1",
            "lpt9.log",
            "a*",
            "a?",
            "a|b",
            "a<b",
            "a\"b",
            "aux .txt",
        ] {
            assert!(!is_file_name(bad), "{bad:?}");
        }
        assert!(!is_file_name(&"x".repeat(256)) && is_file_name(&"x".repeat(255)));
    }

    proptest! {
        /// The short cut for ASCII says what the long way would.
        #[test]
        fn ascii_folds_the_same_by_either_way(text in "[ -~]{0,40}") {
            let long = ComposingNormalizer::new_nfc().normalize(&case_folded(&text)).into_owned();
            prop_assert_eq!(fold(&text), long);
            prop_assert_eq!(unique_fold(&text), compatible(&case_folded(&text)));
        }

        /// Folded text stays as it is: else a stored key would not be found again.
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,40}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
            prop_assert_eq!(unique_fold(&unique_fold(&text)), unique_fold(&text));
        }
    }
}
