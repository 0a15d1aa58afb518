//! Shows users their identity and claims, as entries.
//!
//! It makes no object anywhere, so a revoke has nothing to remove. It never shows an access token.

use credsmith_plugin_sdk::prelude::*;
use credsmith_plugin_sdk::text;

/// The service: it has no settings.
struct Info;

/// Most claims that are shown: an identity provider may send anything.
const MAX_CLAIMS: usize = 48;
/// Longest text of one, in bytes. All of them together stay below what the daemon takes.
const MAX_TEXT: usize = 4096;
/// Longest name of a claim that is shown, in characters.
const MAX_NAME: usize = 128;

impl Service for Info {
    fn describe() -> Description {
        Description::new("info", env!("CARGO_PKG_VERSION"))
    }

    fn configure(_: &Settings) -> Result<Self, Noted> {
        Ok(Self)
    }

    fn offer(&self) -> Offer {
        Offer::revocable()
    }

    fn issue(&self, request: &Request) -> Result<Outcome, NotIssued> {
        let user = request.user();
        let issued = Issued::new(request.credential_id())
            .entry(Entry::text("User id", user.id()))
            .entry(Entry::text("Provider", user.provider()))
            .entry(Entry::text("Issuer", user.issuer()))
            .entry(Entry::text("Subject", line(&user.subject())));
        Ok(claims(&user).fold(issued, Issued::entry).into())
    }

    fn revoke(&self, _: &Request, _: &Made) -> Result<(), Refusal> {
        Ok(())
    }
}

fn claims(user: &Identity) -> impl Iterator<Item = Entry> {
    let claims = user.claims();
    let left_out = claims.len().saturating_sub(MAX_CLAIMS);
    let more = (left_out > 0)
        .then(|| Entry::text("More", format!("{left_out} further claims are not shown")));
    let shown = claims.into_iter().filter(|(name, _)| is_name(name)).take(MAX_CLAIMS);
    shown.map(|(name, value)| claim(&name, &value)).chain(more)
}

/// Whether an entry may be called so.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count()) && text::is_one_line(name)
}

/// A list has a line for each element; any other value that is no text is shown as JSON.
fn claim(name: &str, value: &Value) -> Entry {
    let name = format!("Claim {name}");
    match value {
        Value::Array(values) => {
            let lines: Vec<_> = values.iter().map(plain).collect();
            Entry::textarea(name, shown(&lines.join("\n")))
        }
        other => {
            let text = shown(&plain(other));
            if text.contains(['\n', '\t']) {
                Entry::textarea(name, text)
            } else {
                Entry::text(name, text)
            }
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// Bounded, and without unruly characters but those of plain text.
fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    let (shown, left_out) = text.split_at_checked(end).unwrap_or((text, ""));
    let visible = |c: char| if text::is_unruly(c) && !matches!(c, '\n' | '\t') { '?' } else { c };
    let mark = if left_out.is_empty() { "" } else { "..." };
    shown.chars().map(visible).chain(mark.chars()).collect()
}

/// As [`shown`], on one line.
fn line(text: &str) -> String {
    shown(text).replace(['\n', '\t'], " ")
}

export_service!(Info);

#[cfg(test)]
mod tests {
    use credsmith_plugin_sdk::testing::{Call, Kit};

    use super::*;

    fn value<'a>(issued: &'a Issued, name: &str) -> Option<&'a str> {
        issued.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str())
    }

    #[test]
    fn it_shows_identity_and_claims() {
        let call = Call::of("alice")
            .claim("email", "alice@example.org")
            .claim("groups", json!(["users", "admins", 7]))
            .claim("address", json!({"country": "NO"}));
        let issued = Kit::<Info>::new().issued(&call);

        for (name, expected) in [
            ("Provider", "test"),
            ("Issuer", "https://issuer.example/"),
            ("Subject", "alice"),
            ("Claim email", "alice@example.org"),
            ("Claim groups", "users\nadmins\n7"),
            ("Claim address", r#"{"country":"NO"}"#),
        ] {
            assert_eq!(value(&issued, name), Some(expected), "{name}");
        }
        assert_eq!(issued.state, "0b5c9b3e-6d1f-4f5e-9a55-1c7d3e0f2a41");
    }

    #[test]
    fn what_a_provider_sends_is_bounded() {
        let many = (0..200).fold(Call::of("alice"), |call, n| {
            call.claim(format!("claim_{n:03}"), "x".repeat(10_000))
        });
        let odd =
            many.claim("\u{7}bell", "ding").claim("", "nameless").claim("n".repeat(500), "long");
        let issued = Kit::<Info>::new().without_grease().issued(&odd);

        assert_eq!(issued.entries.len(), 4 + MAX_CLAIMS + 1);
        assert_eq!(value(&issued, "More"), Some("155 further claims are not shown"));
        assert!(issued.entries.iter().all(|entry| entry.value.len() <= MAX_TEXT + 3));
        assert!(
            issued.entries.iter().map(|entry| entry.name.len() + entry.value.len()).sum::<usize>()
                < 256 * 1024
        );
        assert!(!issued.entries.iter().any(|entry| entry.value == "ding" || entry.value == "long"));
    }

    #[test]
    fn no_claim_reaches_the_terminal_raw() {
        let call = Call::of("a\u{1b}[2Jlice\n")
            .claim("name", "x\u{1b}[31my\0")
            .claim("turned", "gpj.\u{202e}exe\u{2028}")
            .claim("lines", "one\ntwo\r\nthree")
            .claim("groups", json!(["a\u{7}", "b"]))
            .claim("long", "\u{9}é".repeat(5000));
        let issued = Kit::<Info>::new().issued(&call);
        assert_eq!(value(&issued, "Subject"), Some("a?[2Jlice "));
        assert_eq!(value(&issued, "Claim name"), Some("x?[31my?"));
        assert_eq!(value(&issued, "Claim turned"), Some("gpj.?exe?"));
        assert_eq!(value(&issued, "Claim lines"), Some("one\ntwo?\nthree"));
        assert_eq!(value(&issued, "Claim groups"), Some("a?\nb"));
        let lines = issued.entries.iter().find(|entry| entry.name == "Claim lines").unwrap();
        assert_eq!(lines.kind, "textarea");
    }

    #[test]
    fn a_token_is_not_shown() {
        let login =
            credsmith_plugin_sdk::testing::Login::of("alice").access_token("tok-1234", true);
        let issued = Kit::<Info>::new().issued(&Call::by(login));
        assert!(!format!("{issued:?}").contains("tok-1234"));
    }

    #[test]
    fn there_is_nothing_to_take_back() {
        let kit = Kit::<Info>::new();
        let call = Call::of("alice");
        let issued = kit.issued(&call);
        assert_eq!(kit.revoke(&call, &issued), Ok(()));
        assert_eq!(kit.revoke_cut_short(&call), Ok(()));
        assert!(kit.configure().unwrap().can_revoke);
    }
}
