//! Sentences for standard error: a capital letter first, a full stop last.

use std::error::Error;

/// Formats an error with its causes as one sentence.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        // Some errors name their cause in their own text.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    as_sentence(&text)
}

/// Formats a text as a sentence. The first word gets its capital only if it is a plain word: a
/// path, a key of the configuration or a name like `bundled:info` stays as it is spelled.
pub(crate) fn as_sentence(text: &impl ToString) -> String {
    let text = text.to_string();
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_word = first.trim_end_matches([':', ',', ';']).chars().all(char::is_alphabetic);
    let mut letters = text.chars();
    let mut sentence: String = match letters.next() {
        Some(letter) if is_word => letter.to_uppercase().collect(),
        Some(letter) => letter.to_string(),
        None => String::new(),
    };
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '!', '?', ':']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_sentences_with_their_causes() {
        let error = std::io::Error::other("disk is full");
        assert_eq!(sentence(&error), "Disk is full.");
        let error =
            credsmith_core::Error::new(credsmith_core::Kind::Internal, "no luck").because(error);
        assert_eq!(sentence(&error), "Internal: no luck: disk is full.");
        assert_eq!(as_sentence(&"Done."), "Done.");
        assert_eq!(as_sentence(&""), ".");
    }

    #[test]
    fn a_path_or_a_name_is_never_capitalised() {
        for (text, expected) in [
            ("plugins/x.wasm cannot be read", "plugins/x.wasm cannot be read."),
            ("x.wasm: no such file", "x.wasm: no such file."),
            ("bundled:info has no world", "bundled:info has no world."),
            ("max_lifetime is too long", "max_lifetime is too long."),
            ("the file x.wasm is empty", "The file x.wasm is empty."),
        ] {
            assert_eq!(as_sentence(&text), expected);
        }
    }
}
