//! Checks the form of values. One function for each kind; none quotes the value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use credsmith_contract::text::is_lines;
pub(super) use credsmith_contract::text::is_one_line as is_line;
use iri_string::types::UriStr;

use super::totp::TotpSecret;
use crate::field::Field;

/// The value as it is kept.
///
/// # Errors
/// The expected form.
pub(super) fn normal(field: &Field, value: String) -> Result<String, String> {
    let holds = match field.kind.as_str() {
        "multiline" => {
            expect(is_lines(&value), "text without control or direction-override characters")
        }
        "url" => expect(
            is_url(&value),
            "an absolute URL with http, https, ssh, rdp, ftp or ftps and a host, in ASCII",
        ),
        "email" => expect(is_email(&value), "a mail address in ASCII"),
        "number" => expect(is_number(&value), "a decimal number, such as 5 or -1.5"),
        "integer" => expect(is_integer(&value), "a whole number"),
        "boolean" => expect(matches!(value.as_str(), "true" | "false"), "`true` or `false`"),
        "date" => expect(is_date(&value), "a day of the calendar as YYYY-MM-DD"),
        "ip-address" => expect(value.parse::<IpAddr>().is_ok(), "an IPv4 or IPv6 address"),
        "totp-secret" => return TotpSecret::parse(&value).map(TotpSecret::into_text),
        "choice" => expect(field.choices.contains(&value), "one of the choices of the field"),
        // An unknown kind is text, as the contract says.
        _ => expect(is_line(&value), "one line without control or direction-override characters"),
    };
    holds.map(|()| value)
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| format!("expected {what}"))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_integer(text: &str) -> bool {
    is_digits(text.strip_prefix('-').unwrap_or(text))
}

fn is_number(text: &str) -> bool {
    match text.split_once('.') {
        Some((whole, fraction)) => is_integer(whole) && is_digits(fraction),
        None => is_integer(text),
    }
}

/// RFC 3339, full-date.
fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |digits: usize| -> Option<u16> {
        parts.next().filter(|part| part.len() == digits && is_digits(part))?.parse().ok()
    };
    let (Some(year), Some(month), Some(day)) = (part(4), part(2), part(2)) else { return false };
    parts.next().is_none() && (1..=days_of(year, month)).contains(&day)
}

/// None in a month that does not exist.
fn days_of(year: u16, month: u16) -> u16 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    }
}

/// RFC 3986 with a scheme that people open, and a host that exists in the DNS or is an address.
/// URLs that only browsers forgive, such as `http:/host` or `http:\\host`, mean different places to
/// different programs.
fn is_url(text: &str) -> bool {
    let Ok(url) = UriStr::new(text) else { return false };
    let scheme = url.scheme_str().to_ascii_lowercase();
    let opened = ["http", "https", "ssh", "rdp", "ftp", "ftps"].contains(&scheme.as_str());
    let Some(authority) = url.authority_components() else { return false };
    let port = authority.port().is_none_or(|port| is_digits(port) && port.parse::<u16>().is_ok());
    opened && port && is_host(authority.host())
}

fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return literal.parse::<Ipv6Addr>().is_ok();
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_address = name.rsplit('.').next().is_some_and(is_digits);
    if is_address { host.parse::<Ipv4Addr>().is_ok() } else { is_domain(name) }
}

/// Labels as they are in use: RFC 1123, and `_`, which Windows networks have.
fn is_domain(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// RFC 5321 without forms that are not in use: quoted local parts, address literals, comments.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let is_atom = |part: &str| !part.is_empty() && part.bytes().all(atom);
    text.len() <= 254 && local.len() <= 64 && local.split('.').all(is_atom) && is_domain(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spellings that a caller may try with any kind.
    const HOSTILE: &[&str] = &[
        " ",
        "\0",
        "a\u{7}",
        "a\u{1b}[2J",
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{85}b",
        "\u{ff11}\u{ff12}",
        "\u{661}\u{662}",
        "${jndi:ldap://x}",
    ];

    fn table(field: &Field, good: &[&str], bad: &[&str]) {
        for value in good {
            assert_eq!(normal(field, (*value).to_owned()).as_deref(), Ok(*value), "{}", field.kind);
        }
        for value in bad {
            let why = normal(field, (*value).to_owned()).expect_err(value);
            assert!(
                why.starts_with("expected ") || field.kind == "totp-secret",
                "{value:?}: {why}"
            );
        }
    }

    #[test]
    fn text_is_one_line_and_shows_itself() {
        let good = [
            "a",
            "  kept as it is ",
            "ä ✓ 👩‍👩‍👧",
            "مرحبا",
            "\u{ff11}",
            "'; drop table --",
            "<script>",
        ];
        let bad = [
            "a\nb",
            "a\r",
            "a\tb",
            "\0",
            "\u{7f}",
            "\u{85}",
            "a\u{2028}b",
            "\u{202e}gpj.exe",
            "\u{2066}x\u{2069}",
        ];
        for kind in ["text", "password", "hologram"] {
            table(&Field::of_kind("f", kind), &good, &bad);
        }
    }

    #[test]
    fn lines_break_but_do_nothing_else() {
        let good = ["a\nb", "a\r\nb\tc\n", "a"];
        table(&Field::multiline("f"), &good, &["\0", "a\u{1b}[2J", "a\u{202e}b", "a\u{8}"]);
    }

    #[test]
    fn urls_are_absolute_and_have_a_host() {
        let good = [
            "http://example.com",
            "HTTPS://Example.com:8443/a/b?c=d#e",
            "ssh://root@server",
            "rdp://10.0.0.1:3389",
            "ftp://user:password@host/",
            "ftps://host.",
            "https://[2001:db8::1]:443/",
            "https://my_server.lan/%C3%A4",
        ];
        let bad = [
            "example.com",
            "/path",
            "//host",
            "http:",
            "http://",
            "http:///path",
            "http://:80",
            "http://user@",
            "http:/host",
            "http:\\\\host",
            "http://ho st",
            " http://host",
            "http://host ",
            "http://host/\n",
            "http://host:65536",
            "http://host:",
            "http://host:٣",
            "http://[::1",
            "http://[v1.x]",
            "http://[::1%25eth0]",
            "http://1.2.3.999",
            "http://0x7f.1",
            "http://%6cocalhost",
            "http://-a",
            "http://a..b",
            "http://exämple.com",
            "http://１２７.0.0.1",
            "javascript:alert(1)",
            "javascript://host/%0aalert(1)",
            "file:///etc/passwd",
            "data://x",
            "ldap://host",
        ];
        table(&Field::url("f"), &good, &bad);
        table(&Field::url("f"), &[], HOSTILE);
        let long = format!("http://{}.com", "a".repeat(64));
        table(&Field::url("f"), &[], &[&long]);
    }

    #[test]
    fn mail_addresses_have_two_parts() {
        let good = ["a@b", "first.last+tag@mail.example.org", "o'neil@x-y.example"];
        let bad = [
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@b..c",
            "a@-b",
            "a@[127.0.0.1]",
            "\"a b\"@c",
            "a@b\n",
            "ä@b",
            "a@b\u{202e}",
            "Alice <a@b>",
            "a@b,c@d",
        ];
        table(&Field::email("f"), &good, &bad);
        table(&Field::email("f"), &[], HOSTILE);
        let long = format!("{}@b", "a".repeat(65));
        table(&Field::email("f"), &[], &[&long]);
    }

    #[test]
    fn numbers_are_decimal() {
        let none = [
            "", "-", "+1", "1.", ".5", "1e3", "0x10", "1_000", "1,5", "1 ", "--1", "1.2.3", "NaN",
            "inf",
        ];
        table(&Field::number("f"), &["0", "5", "-1.5", "007", "12345678901234567890.10"], &none);
        table(&Field::integer("f"), &["0", "-5", "12345678901234567890"], &none);
        table(&Field::integer("f"), &[], &["1.0"]);
        table(&Field::number("f"), &[], HOSTILE);
        table(&Field::integer("f"), &[], HOSTILE);
    }

    #[test]
    fn yes_and_no_have_one_spelling() {
        table(&Field::boolean("f"), &["true", "false"], &["True", "yes", "1", "true ", "null"]);
        table(&Field::boolean("f"), &[], HOSTILE);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let good =
            ["2026-01-31", "2024-02-29", "2000-02-29", "0000-01-01", "9999-12-31", "2026-04-30"];
        let bad = [
            "2026-02-29",
            "1900-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "2026-1-1",
            "26-01-01",
            "2026/01/01",
            "2026-01-01T00:00:00Z",
            "2026-01-01-",
            "-026-01-01",
            "+026-01-01",
            "2026-01-0１",
            "20260101",
        ];
        table(&Field::date("f"), &good, &bad);
        table(&Field::date("f"), &[], HOSTILE);
    }

    #[test]
    fn addresses_are_of_version_4_or_6() {
        let good = ["192.0.2.1", "::", "2001:db8::1", "::ffff:192.0.2.1"];
        let bad = [
            "192.0.2",
            "192.0.2.256",
            "192.0.02.1",
            "0x7f.0.0.1",
            "1.2.3.4/24",
            "[::1]",
            "fe80::1%eth0",
            "::1 ",
        ];
        table(&Field::ip_address("f"), &good, &bad);
        table(&Field::ip_address("f"), &[], HOSTILE);
    }

    #[test]
    fn choices_are_those_of_the_field() {
        let field = Field::choice("f", ["red", "dark blue"]);
        table(&field, &["red", "dark blue"], &["Red", "red ", "blue", "green"]);
        table(&field, &[], HOSTILE);
        table(&Field::of_kind("f", "choice"), &[], &["red"]);
    }

    #[test]
    fn secrets_of_one_time_passwords_have_a_form() {
        let field = Field::totp_secret("f");
        table(&field, &["JBSWY3DPEHPK3PXP", "otpauth://totp/a?secret=jbswy3dpehpk3pxp"], HOSTILE);
        assert_eq!(normal(&field, "jbsw y3dp ehpk 3pxp".to_owned()).unwrap(), "JBSWY3DPEHPK3PXP");
    }
}
