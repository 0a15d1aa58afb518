//! The profile of a user, derived from the claims of a provider: names to show. Claims are foreign
//! data, so they are cleaned and truncated here, once.

use serde_json::Value;

use crate::caller::{Claims, Subject};
use crate::link::check_link;
use crate::text::is_unfit_for_names;

/// Longest name, login or address, in characters.
const MAX_CHARS: usize = 200;

/// How a user is shown to other users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// A short login name; it need not be unique.
    pub login: String,
    /// The display name.
    pub name: String,
    /// The mail address, as the provider claims it.
    pub email: Option<String>,
    /// A URL of a picture. The daemon never fetches it.
    pub image: Option<String>,
}

impl Profile {
    /// The profile of `subject` by `claims` (`daemon/dialects/vault.md`, "Signing in").
    pub(crate) fn from_claims(claims: &Claims, subject: &Subject) -> Self {
        let preferred = text(claims, "preferred_username");
        let email = text(claims, "email");
        let login = preferred
            .as_deref()
            .and_then(before_at)
            .or_else(|| email.as_deref().and_then(before_at))
            .or_else(|| clean(&subject.subject))
            .unwrap_or_else(|| "?".to_owned());
        Self {
            name: text(claims, "name").unwrap_or_else(|| login.clone()),
            login,
            email: email.or_else(|| preferred.filter(|name| name.contains('@'))),
            image: picture(claims),
        }
    }
}

fn picture(claims: &Claims) -> Option<String> {
    let url = claims.get("picture").and_then(Value::as_str)?;
    check_link(url).ok().map(|()| url.to_owned())
}

fn text(claims: &Claims, name: &str) -> Option<String> {
    clean(claims.get(name).and_then(Value::as_str)?)
}

/// `text` without characters that are unfit for names, truncated; `None` when nothing is left.
fn clean(text: &str) -> Option<String> {
    let fit: String = text.chars().filter(|c| !is_unfit_for_names(*c)).take(MAX_CHARS).collect();
    Some(fit.trim().to_owned()).filter(|text| !text.is_empty())
}

fn before_at(text: &str) -> Option<String> {
    clean(text.split('@').next()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile(claims: &Value) -> Profile {
        let subject = Subject { issuer: "https://op.example".into(), subject: "s-1".into() };
        Profile::from_claims(claims.as_object().unwrap(), &subject)
    }

    #[test]
    fn names_come_from_the_first_claim_that_is_present() {
        for (claims, login, name, email) in [
            (json!({}), "s-1", "s-1", None),
            (json!({"preferred_username": "al@x.example"}), "al", "al", Some("al@x.example")),
            (json!({"preferred_username": "al", "email": "b@x"}), "al", "al", Some("b@x")),
            (json!({"email": "b@x.example", "name": " Bee "}), "b", "Bee", Some("b@x.example")),
            (json!({"preferred_username": "@x", "email": "@y"}), "s-1", "s-1", Some("@y")),
            (json!({"preferred_username": "", "name": ""}), "s-1", "s-1", None),
            (json!({"preferred_username": 7, "email": null, "name": ["x"]}), "s-1", "s-1", None),
        ] {
            let profile = profile(&claims);
            assert_eq!((profile.login.as_str(), profile.name.as_str()), (login, name), "{claims}");
            assert_eq!(profile.email.as_deref(), email, "{claims}");
        }
    }

    /// Attack: a name that breaks the line it is shown in, or is endless.
    #[test]
    fn names_are_cleaned_and_truncated() {
        let profile =
            profile(&json!({"name": "a\nb\u{0}", "preferred_username": "x".repeat(9999)}));
        assert_eq!(profile.name, "ab");
        assert_eq!(profile.login.len(), MAX_CHARS);
    }

    #[test]
    fn a_picture_is_a_plain_link_or_none() {
        assert_eq!(
            profile(&json!({"picture": "https://x/p"})).image.as_deref(),
            Some("https://x/p")
        );
        for bad in [json!("javascript:alert(1)"), json!("https://a:b@x/"), json!(1)] {
            assert_eq!(profile(&json!({"picture": bad})).image, None);
        }
    }
}
