//! The accounts.

use std::sync::Arc;

use serde_json::{Map, Value, json};

/// Which claims a scope releases (OpenID Connect Core section 5.4). A claim that is not among them
/// comes with every token.
const RELEASED_BY: [(&str, &[&str]); 2] = [
    ("profile", &["name", "given_name", "family_name", "preferred_username", "locale", "picture"]),
    ("email", &["email", "email_verified"]),
];

/// An account. It has no password, as this provider is only for the machine it runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its name on the page, and the `sub` of its tokens.
    pub name: String,
    /// Its claims besides `sub`.
    pub claims: Map<String, Value>,
}

impl Account {
    /// An account with these claims.
    pub fn new(
        name: impl Into<String>,
        claims: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        Self {
            name: name.into(),
            claims: claims.into_iter().map(|(claim, value)| (claim.to_owned(), value)).collect(),
        }
    }

    /// `alice`, who is in the groups users and admins, and `bob`, who is in users.
    pub fn demo() -> Vec<Self> {
        vec![
            person("alice", "Alice", "Example", &["users", "admins"]),
            person("bob", "Bob", "Example", &["users"]),
        ]
    }

    /// One of the unlisted accounts `user-0` to `user-999999999`, each in the group users: as many
    /// as a benchmark may want.
    fn numbered(name: &str) -> Option<Self> {
        let number = name.strip_prefix("user-")?;
        let plain = number.bytes().all(|b| b.is_ascii_digit())
            && (number == "0" || !number.starts_with('0'));
        let fits = plain && (1..=9).contains(&number.len());
        fits.then(|| person(name, "User", number, &["users"]))
    }

    /// What a token with `scopes` may learn, `sub` included.
    pub(crate) fn released(&self, scopes: &[String]) -> Map<String, Value> {
        let granted = |claim: &str| {
            RELEASED_BY.iter().all(|(scope, claims)| {
                !claims.contains(&claim) || scopes.iter().any(|have| have == scope)
            })
        };
        let mut released: Map<String, Value> = self
            .claims
            .iter()
            .filter(|(claim, _)| granted(claim))
            .map(|(c, v)| (c.clone(), v.clone()))
            .collect();
        released.insert("sub".into(), self.name.clone().into());
        released
    }
}

fn person(name: &str, given: &str, family: &str, groups: &[&str]) -> Account {
    Account::new(
        name,
        [
            ("name", json!(format!("{given} {family}"))),
            ("given_name", json!(given)),
            ("family_name", json!(family)),
            ("preferred_username", json!(name)),
            ("picture", json!(format!("https://example.org/people/{name}.png"))),
            ("email", json!(format!("{name}@example.org"))),
            ("email_verified", json!(true)),
            ("groups", json!(groups)),
        ],
    )
}

/// All accounts, the listed ones in their order.
#[derive(Debug)]
pub(crate) struct Accounts(Vec<Arc<Account>>);

impl Accounts {
    pub(crate) fn new(listed: Vec<Account>) -> Self {
        Self(listed.into_iter().map(Arc::new).collect())
    }

    pub(crate) fn listed(&self) -> &[Arc<Account>] {
        &self.0
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Account>> {
        let listed = self.0.iter().find(|account| account.name == name).cloned();
        listed.or_else(|| Account::numbered(name).map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_accounts_exist_on_demand() {
        let accounts = Accounts::new(Account::demo());
        for name in ["alice", "bob", "user-0", "user-17", "user-999999999"] {
            assert_eq!(accounts.find(name).unwrap().name, name);
        }
        for name in
            ["", "Alice", "user-", "user-01", "user-x", "user-1000000000", "user--1", "user-1 "]
        {
            assert!(accounts.find(name).is_none(), "{name}");
        }
        assert_eq!(accounts.find("user-17").unwrap().claims["groups"], json!(["users"]));
    }

    #[test]
    fn a_claim_needs_its_scope() {
        let alice = Account::demo().remove(0);
        let names = |scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            alice.released(&scopes).keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&["openid"]), ["groups", "sub"]);
        assert_eq!(names(&["openid", "email"]), ["email", "email_verified", "groups", "sub"]);
        assert!(names(&["openid", "profile"]).contains(&"name".to_owned()));
    }
}
