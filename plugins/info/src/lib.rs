//! Shows a user what the daemon knows about them: identity and claims, as entries.
//!
//! It makes nothing anywhere, so a revoke has nothing to take back. It never shows an access token.

use credsmith_plugin_sdk::prelude::*;

/// The service: it has no settings.
struct Info;

/// Most claims that are shown, and the longest text of one, in characters: an identity provider may send anything.
const MAX_CLAIMS: usize = 48;
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
            .entry(Entry::text("Subject", bounded(&user.subject())));
        Ok(claims(&user).fold(issued, Issued::entry).into())
    }

    fn revoke(&self, _: &Request, _: &Made) -> Result<(), Refusal> {
        Ok(())
    }
}

fn claims(user: &Identity) -> impl Iterator<Item = Entry> {
    let claims = user.claims();
    let left_out = claims.len().saturating_sub(MAX_CLAIMS);
    let more =
        (left_out > 0).then(|| Entry::text("More", format!("{left_out} further claims are not shown")));
    let shown = claims.into_iter().filter(|(name, _)| is_name(name)).take(MAX_CLAIMS);
    shown.map(|(name, value)| claim(&name, &value)).chain(more)
}

/// Whether an entry may be called so.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// A list has a line for each element; whatever else is no text is shown as JSON.
fn claim(name: &str, value: &Value) -> Entry {
    let name = format!("Claim {name}");
    match value {
        Value::String(text) => Entry::text(name, bounded(text)),
        Value::Array(values) => {
            let lines: Vec<_> = values.iter().map(plain).collect();
            Entry::textarea(name, bounded(&lines.join("\n")))
        }
        other => Entry::text(name, bounded(&other.to_string())),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
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
        let many = (0..200)
            .fold(Call::of("alice"), |call, n| call.claim(format!("claim_{n:03}"), "x".repeat(10_000)));
        let odd = many.claim("\u{7}bell", "ding").claim("", "nameless").claim("n".repeat(500), "long");
        let issued = Kit::<Info>::new().without_grease().issued(&odd);

        assert_eq!(issued.entries.len(), 4 + MAX_CLAIMS + 1);
        assert_eq!(value(&issued, "More"), Some("155 further claims are not shown"));
        assert!(issued.entries.iter().all(|entry| entry.value.len() <= MAX_TEXT + 3));
        assert!(!issued.entries.iter().any(|entry| entry.value == "ding" || entry.value == "long"));
    }

    #[test]
    fn a_token_is_not_shown() {
        let login = credsmith_plugin_sdk::testing::Login::of("alice").access_token("tok-1234", true);
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
