//! The two header grammars that the dialects read: `Content-Type` and `Accept` (RFC 9110 sections
//! 8.3 and 12.5.1).

/// The meaning of a `Content-Type` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentType {
    Json,
    Other,
    /// Not a media type at all.
    Malformed,
}

/// Reads a `Content-Type`.
pub(crate) fn content_type(value: &[u8]) -> ContentType {
    match media_type(value) {
        Some((kind, subtype, _)) if is_json(kind, subtype) => ContentType::Json,
        Some(_) => ContentType::Other,
        None => ContentType::Malformed,
    }
}

/// The meaning of an `Accept` header for a JSON answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    Json,
    NotJson,
    Malformed,
}

/// Reads an `Accept`. The most specific range that covers `application/json` decides.
pub(crate) fn accept(value: &[u8]) -> Accept {
    let mut best: Option<(u8, bool)> = None;
    for range in split_outside_quotes(value, b',').filter(|part| !part.is_empty()) {
        let Some((kind, subtype, parameters)) = media_range(range) else {
            return Accept::Malformed;
        };
        let specificity = match (kind, subtype) {
            (b"*", b"*") => 0,
            (kind, b"*") if kind.eq_ignore_ascii_case(b"application") => 1,
            (kind, subtype) if is_json(kind, subtype) => 2,
            _ => continue,
        };
        let Some(wanted) = wanted(parameters) else { return Accept::Malformed };
        if best.is_none_or(|(known, _)| specificity >= known) {
            best = Some((specificity, wanted));
        }
    }
    match best {
        Some((_, true)) => Accept::Json,
        _ => Accept::NotJson,
    }
}

/// Whether an `Accept` header names `essence` itself, not by a wildcard, with a weight above zero.
pub(crate) fn names(value: &[u8], essence: &str) -> bool {
    split_outside_quotes(value, b',').filter_map(media_type).any(|(kind, subtype, parameters)| {
        let named = [kind, subtype].join(&b'/');
        named.eq_ignore_ascii_case(essence.as_bytes()) && wanted(parameters) == Some(true)
    })
}

/// Whether the weight among the parameters is more than zero; `None` if it is no weight.
fn wanted(parameters: &[u8]) -> Option<bool> {
    for parameter in split_outside_quotes(parameters, b';') {
        let Some(weight) = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))
        else {
            continue;
        };
        let weight: f32 = std::str::from_utf8(weight).ok()?.parse().ok()?;
        return (0.0..=1.0).contains(&weight).then_some(weight > 0.0);
    }
    Some(true)
}

fn is_json(kind: &[u8], subtype: &[u8]) -> bool {
    kind.eq_ignore_ascii_case(b"application") && subtype.eq_ignore_ascii_case(b"json")
}

/// A media range: as [`media_type`], or a bare `*` with or without parameters, which older Java
/// clients send for any type.
fn media_range(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let Some(parameters) = value.strip_prefix(b"*").map(<[u8]>::trim_ascii_start) else {
        return media_type(value);
    };
    match parameters.split_first() {
        None => Some((b"*", b"*", b"")),
        Some((b';', parameters)) if are_parameters(parameters) => Some((b"*", b"*", parameters)),
        _ => media_type(value),
    }
}

/// Type, subtype and everything behind the first semicolon.
fn media_type(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let value = value.trim_ascii();
    let (essence, parameters) = match value.iter().position(|b| *b == b';') {
        Some(at) => (value.get(..at)?, value.get(at + 1..)?),
        None => (value, &b""[..]),
    };
    let essence = essence.trim_ascii();
    let slash = essence.iter().position(|b| *b == b'/')?;
    let (kind, subtype) = (essence.get(..slash)?, essence.get(slash + 1..)?);
    let well_formed = is_token(kind) && is_token(subtype) && are_parameters(parameters);
    well_formed.then_some((kind, subtype, parameters))
}

fn are_parameters(text: &[u8]) -> bool {
    split_outside_quotes(text, b';').filter(|part| !part.is_empty()).all(is_parameter)
}

fn is_parameter(text: &[u8]) -> bool {
    let Some(equals) = text.iter().position(|b| *b == b'=') else { return is_token(text) };
    let (name, value) =
        (text.get(..equals).unwrap_or_default(), text.get(equals + 1..).unwrap_or_default());
    let quoted = value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"");
    is_token(name) && (quoted || is_token(value))
}

/// A token as RFC 9110 section 5.6.2 defines it.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// The trimmed parts between separators that stand outside quoted strings.
fn split_outside_quotes(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |b| {
        let was_escaped = std::mem::take(&mut escaped);
        match b {
            b'"' if !was_escaped => quoted = !quoted,
            b'\\' if quoted && !was_escaped => escaped = true,
            _ => {}
        }
        !quoted && *b == separator
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for json in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            " application/json ;a=\"b;c\" ",
        ] {
            assert_eq!(content_type(json.as_bytes()), ContentType::Json, "{json}");
        }
        for other in ["text/plain", "application/json-patch+json", "*/*"] {
            assert_eq!(content_type(other.as_bytes()), ContentType::Other, "{other}");
        }
        for malformed in [
            "",
            "garbage",
            "application/",
            "/json",
            "application/json; =",
            "a b/c",
            "application/json;a=b c",
        ] {
            assert_eq!(content_type(malformed.as_bytes()), ContentType::Malformed, "{malformed}");
        }
    }

    #[test]
    fn only_a_range_without_wildcards_names_a_type() {
        let value = b"text/*, Application/JSON;q=0.5, */*, text/plain;q=0";
        assert!(names(value, "application/json"));
        assert!(!names(value, "text/html") && !names(value, "text/plain"));
        assert!(!names(b"garbage", "application/json"));
    }

    #[test]
    fn accepts() {
        for json in [
            "*/*",
            "application/json",
            "application/*",
            "text/html, */*;q=0.1",
            "application/json;q=0.5, text/html",
            "text/html;q=1,application/json",
        ] {
            assert_eq!(accept(json.as_bytes()), Accept::Json, "{json}");
        }
        for not in [
            "text/html",
            "application/json;q=0",
            "*/*, application/json;q=0",
            "application/json;q=0, */*",
            "image/*",
            "",
        ] {
            assert_eq!(accept(not.as_bytes()), Accept::NotJson, "{not}");
        }
        for malformed in
            ["json", "application/json;q=x", "application/json;q=2", "a/b/c", "**", "*x", "* *"]
        {
            assert_eq!(accept(malformed.as_bytes()), Accept::Malformed, "{malformed}");
        }
    }

    #[test]
    fn a_bare_asterisk_is_any_type_with_or_without_parameters() {
        for json in [
            "*",
            " * ",
            "*;q=.2",
            "* ; q=.2",
            "*;",
            "text/html, *",
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            "*;q=1.0;level=1",
        ] {
            assert_eq!(accept(json.as_bytes()), Accept::Json, "{json}");
        }
        for not in ["*;q=0", "* ; q=0.0", "*, application/json;q=0", "text/html, *;q=.0"] {
            assert_eq!(accept(not.as_bytes()), Accept::NotJson, "{not}");
        }
        for malformed in ["*;q=x", "*;q=2", "*;q=-1", "*; =", "*a;q=1"] {
            assert_eq!(accept(malformed.as_bytes()), Accept::Malformed, "{malformed}");
        }
        assert_eq!(content_type(b"*"), ContentType::Malformed, "a range is no type");
    }
}
