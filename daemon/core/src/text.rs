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
/// text around it and so has a name look like another (Unicode Technical Report 36, section 3.1).
pub fn is_unfit_for_names(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || turns || breaks
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
