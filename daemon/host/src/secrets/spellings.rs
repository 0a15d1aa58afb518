//! How a secret may be spelled in a text, and how a text may be read.
//!
//! Two halves of one search. A secret is looked for as it is, in hexadecimal digits and in base64,
//! wherever in the encoded bytes it begins. The text is read as it is, and with the escapes of
//! JSON, URLs and XML and with white space taken away, also one below the other. Together they find
//! a secret in what a server is likely to do with it without a purpose; a server that hides it on
//! purpose is not prevented.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, PAD};
use zeroize::Zeroizing;

const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD);
const STANDARD_PADDED: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PAD);
const URL_SAFE_PADDED: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PAD);

/// Shortest encoded spelling that is searched for, in bytes: a shorter one is in any long text.
const SHORTEST_ENCODED: usize = 8;
/// Shortest line of a longer secret that is searched for alone, in bytes.
const SHORTEST_LINE: usize = 32;
/// Most ways in which one text is read.
const MAX_READINGS: usize = 12;
/// How many escapes one below the other are taken away.
const MAX_DEPTH: u8 = 3;

type Spelling = Zeroizing<Vec<u8>>;
/// Takes one kind of escape away; `None` where there is none of it.
type Reader = fn(&[u8]) -> Option<Spelling>;

/// The spellings of `secret` that a text is searched for.
pub(crate) fn of(secret: &[u8]) -> Vec<Spelling> {
    let mut spellings = vec![Zeroizing::new(secret.to_vec())];
    spellings.extend(without_white_space(secret));
    spellings.extend(key_lines(secret));
    let encoded = hexadecimal(secret).into_iter().chain(base64(secret));
    spellings.extend(encoded.filter(|spelling| spelling.len() >= SHORTEST_ENCODED));
    spellings.sort_by(|one, other| one.as_slice().cmp(other.as_slice()));
    spellings.dedup();
    spellings
}

fn hexadecimal(secret: &[u8]) -> [Spelling; 2] {
    let lower = Zeroizing::new(hex::encode(secret));
    let upper = lower.to_ascii_uppercase();
    [Zeroizing::new(lower.as_bytes().to_vec()), Zeroizing::new(upper.into_bytes())]
}

/// In base64 the spelling of a part depends on where it begins: there are three. Of each, the
/// letters that bytes before or after it cannot change. And the whole with its padding, for secrets
/// so short that little is left otherwise.
fn base64(secret: &[u8]) -> Vec<Spelling> {
    let mut spellings: Vec<Spelling> = [STANDARD_PADDED, URL_SAFE_PADDED]
        .iter()
        .map(|engine| Zeroizing::new(engine.encode(secret).into_bytes()))
        .collect();
    for (before, changed) in [(0, 0), (1, 2), (2, 3)] {
        let shifted = std::iter::repeat_n(0, before).chain(secret.iter().copied());
        let shifted: Zeroizing<Vec<u8>> = Zeroizing::new(shifted.collect());
        let settled = shifted.len().saturating_mul(8) / 6;
        for engine in [STANDARD, URL_SAFE] {
            let whole = Zeroizing::new(engine.encode(&*shifted));
            let inner = whole.as_bytes().get(changed..settled).unwrap_or_default();
            spellings.push(Zeroizing::new(inner.to_vec()));
        }
    }
    spellings
}

/// The lines of a key in PEM: a server that wraps it anew at the same width leaves them whole.
fn key_lines(secret: &[u8]) -> impl Iterator<Item = Spelling> {
    let is_encoded = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let several = secret.contains(&b'\n');
    secret
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(move |line| several && line.len() >= SHORTEST_LINE && line.iter().all(is_encoded))
        .map(|line| Zeroizing::new(line.to_vec()))
}

/// Whether `found` holds of `text` in one of the ways in which it may be read.
pub(crate) fn in_any_reading(text: &[u8], found: impl Fn(&[u8]) -> bool) -> bool {
    if found(text) {
        return true;
    }
    let mut readings: VecDeque<(Spelling, u8)> = next_readings(text, 1).collect();
    let mut count = 0;
    while let Some((reading, depth)) = readings.pop_front() {
        if found(&reading) {
            return true;
        }
        count += 1;
        let room = MAX_READINGS.saturating_sub(count + readings.len());
        if depth < MAX_DEPTH && room > 0 {
            readings.extend(next_readings(&reading, depth + 1).take(room));
        }
    }
    false
}

fn next_readings(text: &[u8], depth: u8) -> impl Iterator<Item = (Spelling, u8)> {
    let readers: [Reader; 5] =
        [without_json, without_percent, without_plus, without_entities, without_white_space];
    readers.into_iter().filter_map(move |read| Some((read(text)?, depth)))
}

/// `text` without white space, where there is some: as base64 and PEM are wrapped.
fn without_white_space(text: &[u8]) -> Option<Spelling> {
    text.iter().any(u8::is_ascii_whitespace).then(|| {
        Zeroizing::new(text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect())
    })
}

/// `text` with the escapes of JSON strings (RFC 8259, section 7) taken away, and those that other
/// languages have besides; where there are any.
fn without_json(text: &[u8]) -> Option<Spelling> {
    memchr::memchr(b'\\', text)?;
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = unescape(escape, &mut out);
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// Takes one escape from the beginning of `text`, and returns what follows it.
fn unescape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let after = |count: usize| text.get(count..).unwrap_or_default();
    let plain = match text.get(1) {
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'u') => return unicode(text, out),
        Some(b'x') => match text.get(2..4).and_then(number) {
            Some(code) => {
                push(char::from_u32(code), out);
                return after(4);
            }
            None => b'x',
        },
        Some(other) => *other,
        None => b'\\',
    };
    out.push(plain);
    after(2)
}

/// Takes `\uXXXX`, or two of them that are one character (RFC 8259, section 7).
fn unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let unit = |from: usize| {
        let is_escape = text.get(from..from + 2) == Some(b"\\u");
        text.get(from + 2..from + 6).filter(|_| is_escape).and_then(number)
    };
    let after = |count: usize| text.get(count..).unwrap_or_default();
    let Some(first) = unit(0) else {
        out.push(b'u');
        return after(2);
    };
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = unit(6).filter(|second| (0xdc00..0xe000).contains(second))
    {
        push(char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)), out);
        return after(12);
    }
    push(char::from_u32(first), out);
    after(6)
}

fn number(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

fn push(c: Option<char>, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
}

/// `text` with percent-encoding (RFC 3986, section 2.1) taken away, where there is any.
fn without_percent(text: &[u8]) -> Option<Spelling> {
    memchr::memchr(b'%', text)?;
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        match escape.get(1..3).and_then(number).and_then(|code| u8::try_from(code).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = escape.get(3..).unwrap_or_default();
            }
            None => {
                out.push(b'%');
                rest = escape.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
    (out.len() < text.len()).then_some(out)
}

/// The same of a form, where a plus sign is a space.
fn without_plus(text: &[u8]) -> Option<Spelling> {
    memchr::memchr(b'+', text)?;
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    let spaced = Zeroizing::new(spaced);
    without_percent(&spaced).or(Some(spaced))
}

/// `text` with the character references of XML and HTML taken away, where there are any.
fn without_entities(text: &[u8]) -> Option<Spelling> {
    memchr::memchr(b'&', text)?;
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        let (plain, reference) = rest.split_at(at);
        out.extend_from_slice(plain);
        // The longest reference is that of the last character: `&#x10ffff;`, or leading zeros.
        let end = reference.iter().take(16).position(|b| *b == b';');
        let named = end.and_then(|end| Some((reference.get(1..end)?, reference.get(end + 1..)?)));
        match named.and_then(|(name, after)| Some((referenced(name)?, after))) {
            Some((c, after)) => {
                push(Some(c), &mut out);
                rest = after;
            }
            None => {
                out.push(b'&');
                rest = reference.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
    (out.len() < text.len()).then_some(out)
}

fn referenced(name: &[u8]) -> Option<char> {
    let code = match name {
        b"amp" => return Some('&'),
        b"lt" => return Some('<'),
        b"gt" => return Some('>'),
        b"quot" => return Some('"'),
        b"apos" => return Some('\''),
        [b'#', b'x' | b'X', digits @ ..] => number(digits)?,
        [b'#', digits @ ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => return None,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(text: &str, secret: &str) -> bool {
        let spellings = of(secret.as_bytes());
        in_any_reading(text.as_bytes(), |reading| {
            spellings.iter().any(|spelling| memchr::memmem::find(reading, spelling).is_some())
        })
    }

    /// Attack: a server that has a secret shows it in the syntax and the encoding of its answer.
    #[test]
    fn a_secret_is_seen_in_whatever_a_server_makes_of_it() {
        let secret = "p\"a+ss/w<ö>rd &1";
        let quoted = serde_json::Value::from(secret).to_string();
        let wrapped = STANDARD_PADDED.encode(format!("before {secret} and after"));
        let wrapped = wrapped.as_bytes().chunks(20).map(String::from_utf8_lossy);
        let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let all_percent: String = secret.bytes().map(|b| format!("%{b:02x}")).collect();
        for text in [
            secret.to_owned(),
            quoted.clone(),
            serde_json::Value::from(quoted.clone()).to_string(),
            r#""p\u0022a+ss\/w\u003C\u00f6>rd \u00261""#.to_owned(),
            form.clone(),
            serde_json::json!({ "sent": form }).to_string(),
            "p%22a%2Bss%2Fw%3C%C3%B6%3Erd%20%261".to_owned(),
            "p%22a+ss/w%3C%C3%B6%3Erd%20%261".to_owned(),
            all_percent,
            "<x>p&quot;a+ss/w&lt;&#xF6;&gt;rd &amp;1</x>".to_owned(),
            "<x>p&#34;a+ss/w&#60;&#246;&#x3e;rd&#32;&#38;1</x>".to_owned(),
            hex::encode(secret),
            format!("x{}x", hex::encode_upper(secret)),
            STANDARD.encode(secret),
            STANDARD.encode(format!("a{secret}")),
            STANDARD.encode(format!("user:{secret}")),
            URL_SAFE_PADDED.encode(format!("admin:{secret}\n")),
            wrapped.collect::<Vec<_>>().join("\r\n"),
        ] {
            assert!(shows(&text, secret), "{text}");
        }
        for text in ["", "p\"a+ss", "password", &STANDARD.encode("something else altogether")] {
            assert!(!shows(text, secret), "{text}");
        }
    }

    #[test]
    fn a_key_is_seen_however_its_lines_end() {
        let line = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v0VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
        let key = format!("-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n");
        for text in [
            key.replace('\n', "\r\n"),
            key.replace('\n', "\\n"),
            key.replace('\n', " "),
            line.to_owned(),
            format!("{}\n  {}", &line[..40], &line[40..]),
        ] {
            assert!(shows(&text, &key), "{text}");
        }
        assert!(!shows("-----BEGIN PRIVATE KEY-----\n", &key), "every key has that line");
    }

    #[test]
    fn short_encodings_are_in_any_text_and_are_not_searched_for() {
        for secret in ["abcd", "hunter", "hunter2", "hunter22"] {
            for spelling in of(secret.as_bytes()) {
                let plain = &spelling[..] == secret.as_bytes();
                assert!(plain || spelling.len() >= SHORTEST_ENCODED, "{secret}");
            }
            assert!(shows(&STANDARD_PADDED.encode(secret), secret), "{secret}");
        }
    }

    #[test]
    fn nothing_that_a_text_contains_is_lost_in_reading_it() {
        for text in ["\\", "\\u", "\\u12", "\\uzzzz", "%", "%z", "%4", "&", "&#", "&#x;", "&;", "+"]
        {
            for end in ["", "hunter22"] {
                let text = format!("{text}{end}");
                assert_eq!(shows(&text, "hunter22"), !end.is_empty(), "{text}");
            }
        }
        assert!(!shows(&"\\u005c".repeat(100_000), "hunter22"));
        assert!(!shows(&"%25+&amp;\n\\\\".repeat(100_000), "hunter22"));
    }
}
