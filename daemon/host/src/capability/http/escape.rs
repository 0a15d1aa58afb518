//! Escapes a secret for a body, so that it stays one value even with special characters in it.

use zeroize::Zeroizing;

/// `secret` as it stands inside a string of `syntax`.
///
/// # Errors
/// The reason, to be put after the secret's name; it quotes nothing.
pub(crate) fn escaped(syntax: &str, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let text = || std::str::from_utf8(secret).map_err(|_| "is not text and can only be raw");
    let bytes = match syntax {
        "raw" => secret.to_vec(),
        "form" => url::form_urlencoded::byte_serialize(secret).collect::<String>().into_bytes(),
        "json" => json(text()?),
        "xml" => xml(text()?)?,
        _ => return Err("needs a syntax: json, form, xml or raw"),
    };
    Ok(Zeroizing::new(bytes))
}

/// Between the quotes of a JSON string (RFC 8259, section 7).
fn json(text: &str) -> Vec<u8> {
    let quoted = Zeroizing::new(serde_json::Value::from(text).to_string());
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    inner.as_bytes().to_vec()
}

/// Inside text or a quoted attribute of XML 1.0 (section 2.2 forbids most control characters in any
/// spelling).
fn xml(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c if u32::from(c) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                return Err("has a character that XML cannot carry");
            }
            c => out.push(c),
        }
    }
    Ok(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_syntax_has_its_escapes() {
        let secret = "a\"b<c>&'d\\e f\n+=ä";
        for (syntax, expected) in [
            ("raw", secret),
            ("json", "a\\\"b<c>&'d\\\\e f\\n+=ä"),
            ("form", "a%22b%3Cc%3E%26%27d%5Ce+f%0A%2B%3D%C3%A4"),
            ("xml", "a&quot;b&lt;c&gt;&amp;&apos;d\\e f&#10;+=ä"),
        ] {
            assert_eq!(
                String::from_utf8(escaped(syntax, secret.as_bytes()).unwrap().to_vec()).unwrap(),
                expected
            );
        }
    }

    #[test]
    fn what_cannot_be_escaped_is_refused() {
        assert!(escaped("xml", b"a\0b").is_err());
        assert!(escaped("json", b"\xff").is_err());
        assert!(escaped("yaml", b"a").is_err());
        assert_eq!(escaped("raw", b"\xff\0").unwrap().as_slice(), b"\xff\0");
    }

    proptest! {
        #[test]
        fn json_stays_one_string(secret in ".*") {
            let body = format!("\"{}\"", String::from_utf8(escaped("json", secret.as_bytes()).unwrap().to_vec()).unwrap());
            prop_assert_eq!(serde_json::from_str::<String>(&body).unwrap(), secret);
        }

        #[test]
        fn form_stays_one_value(secret in ".*") {
            let body = format!("k={}&z=1", String::from_utf8(escaped("form", secret.as_bytes()).unwrap().to_vec()).unwrap());
            let pairs: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            prop_assert_eq!(pairs, [("k".to_owned(), secret), ("z".to_owned(), "1".to_owned())]);
        }

        #[test]
        fn xml_leaves_no_markup(secret in ".*") {
            if let Ok(body) = escaped("xml", secret.as_bytes()) {
                prop_assert!(!body.iter().any(|b| matches!(b, b'<' | b'>' | b'"' | b'\'' | b'\n')));
            }
        }
    }
}
