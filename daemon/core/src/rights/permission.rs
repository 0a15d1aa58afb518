//! Permissions of the vault: names that routes and types of credentials ask for, patterns that
//! roles grant.

use std::fmt;
use std::sync::Arc;

/// Longest permission, in bytes.
const MAX_LEN: usize = 128;

/// A pattern of permissions, as a role grants it: a name, `*`, or a name with `.*` behind it, which
/// covers everything below the name but not the name itself (`daemon/dialects/vault.md`, "Scopes,
/// permissions, roles").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPattern;

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a permission like `company.fetch`, `company.*` or `*`")
    }
}

impl std::error::Error for InvalidPattern {}

impl Pattern {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let name = text.strip_suffix(".*").unwrap_or(text);
        if text == "*" || (text.len() <= MAX_LEN && is_name(name)) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidPattern)
        }
    }

    /// Whether it grants `permission`, which is a name.
    pub fn covers(&self, permission: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some("") => true,
            Some(below) => permission.len() > below.len() && permission.starts_with(below),
            None => *self.0 == *permission,
        }
    }

    /// Whether it grants all that `other` grants.
    pub fn includes(&self, other: &Self) -> bool {
        match other.0.strip_suffix('*') {
            Some("") => *self.0 == *"*",
            Some(below) => self.0.strip_suffix('*').is_some_and(|own| below.starts_with(own)),
            None => self.covers(&other.0),
        }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({self})")
    }
}

/// Words of `[a-z0-9_]` with dots between them.
fn is_name(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_covers_what_is_below_it() {
        for (granted, asked, covered) in [
            ("*", "company.fetch", true),
            ("company.fetch", "company.fetch", true),
            ("company.fetch", "company.fetch.many", false),
            ("company.fetch", "company.fetch.configurations", false),
            ("company.*", "company", false),
            ("company.*", "company.", false),
            ("company.*", "company.fetch.many", true),
            ("company.*", "companyx.fetch", false),
            ("credential.*", "credential_type.fetch", false),
        ] {
            assert_eq!(pattern(granted).covers(asked), covered, "{granted} {asked}");
        }
    }

    #[test]
    fn inclusion_is_about_everything_granted() {
        for (wide, narrow, included) in [
            ("*", "*", true),
            ("*", "company.*", true),
            ("company.*", "*", false),
            ("company.*", "company.fetch.*", true),
            ("company.fetch.*", "company.*", false),
            ("company.*", "company.*", true),
            ("company.*", "company.fetch", true),
            ("company.*", "company", false),
            ("company.fetch", "company.fetch.*", false),
            ("company.fetch", "company.fetch", true),
        ] {
            assert_eq!(pattern(wide).includes(&pattern(narrow)), included, "{wide} {narrow}");
        }
    }

    #[test]
    fn only_names_and_final_stars_are_patterns() {
        for bad in
            ["", ".", "a.", ".a", "a..b", "A.b", "a.*.b", "**", ".*", "a*", "a b", &"x".repeat(129)]
        {
            assert_eq!(Pattern::parse(bad), Err(InvalidPattern), "{bad}");
        }
    }
}
