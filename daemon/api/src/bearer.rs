//! The bearer token of a request (RFC 6750 section 2.1, RFC 9110 section 11.4), as every dialect
//! reads it. What an unreadable header is answered with is the dialect's.

use credsmith_core::secret::Secret;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// What the `Authorization` headers of a request hold.
#[derive(Debug)]
pub(crate) enum Bearer {
    /// There is none.
    Absent,
    /// Another scheme, no token, or several headers.
    Unreadable,
    /// The token of the only one.
    Token(Secret),
}

/// Reads the only `Authorization` header: the scheme in any case, and one or more blanks before the
/// token.
pub(crate) fn read(headers: &HeaderMap) -> Bearer {
    const SCHEME: &[u8] = b"Bearer";
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Bearer::Absent };
    let (scheme, rest) = value.as_bytes().split_at_checked(SCHEME.len()).unwrap_or_default();
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = rest.get(blanks..).unwrap_or_default();
    // Of two tokens, a proxy may have checked the other one.
    let is_one = scheme.eq_ignore_ascii_case(SCHEME)
        && blanks > 0
        && !token.is_empty()
        && values.next().is_none();
    if is_one { Bearer::Token(Secret::new(token)) } else { Bearer::Unreadable }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> Bearer {
        let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        read(&headers)
    }

    #[test]
    fn the_scheme_is_in_any_case_and_blanks_are_one_or_more() {
        for good in ["Bearer abc", "bearer abc", "BEARER abc", "bEaReR   abc", "Bearer  abc"] {
            let Bearer::Token(token) = of(&[good]) else { panic!("{good}") };
            assert!(token.verify(b"abc"), "{good}");
        }
    }

    #[test]
    fn anything_else_is_no_token() {
        for wrong in
            ["Basic abc", "abc", "Bearer", "Bearer ", "Bearer   ", "Bearerabc", "Bearer\tabc"]
        {
            assert!(matches!(of(&[wrong]), Bearer::Unreadable), "{wrong}");
        }
        assert!(matches!(of(&["Bearer abc", "Bearer def"]), Bearer::Unreadable));
        assert!(matches!(of(&[]), Bearer::Absent));
    }
}
