//! Links that users give: icons and pictures. They are stored and shown, never fetched.

use url::Url;

use crate::text::is_unfit_for_names;

/// Longest link, in bytes.
pub const MAX_LINK_BYTES: usize = 2048;

/// Whether `text` is an absolute `https` or `http` URL that is fit to be shown: no user or password
/// in it, nothing that a URL parser would silently drop.
///
/// # Errors
/// A sentence that says what was expected.
pub fn check_link(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_LINK_BYTES {
        return Err("Expected a URL of at most 2048 bytes.");
    }
    let is_absolute = ["https://", "http://"].iter().any(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let is_plain =
        !text.contains(|c: char| is_unfit_for_names(c) || c.is_whitespace() || c == '\\');
    let url = Url::parse(text).ok().filter(|_| is_absolute && is_plain);
    match url {
        None => Err("Expected an absolute https or http URL."),
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("Expected a URL without a user or password in it.")
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_web_addresses_are_links() {
        for good in [
            "https://example.com/a.png",
            "http://[::1]:8080/?a=b#c",
            "HTTPS://EXAMPLE.COM",
            "https://é.example/ü",
        ] {
            assert_eq!(check_link(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "/a.png",
            "//example.com/a",
            "https:example.com",
            "https:///",
            "ftp://example.com",
            "javascript:alert(1)",
            "data:image/png;base64,AAAA",
            "https://user@example.com",
            "https://user:word@example.com",
            "https://:@example.com:x",
            " https://example.com",
            "https://exa\tmple.com",
            "https://example.com\\@evil.example",
            "https://example.com/a b",
            "https://example.com/\u{202e}gnp.exe",
            "https://example.com/a\u{2066}b",
            "https://example.com/a\u{200f}b",
            "https://example.com/a\u{feff}b",
            "https://example.com/a\rb",
            &format!("https://example.com/{}", "a".repeat(MAX_LINK_BYTES)),
        ] {
            assert!(check_link(bad).is_err(), "{bad}");
        }
    }
}
