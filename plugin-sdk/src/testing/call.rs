//! The requests that a test makes.

use std::rc::Rc;

use serde_json::Value;

use super::world::HeldSecret;

/// An identity that signed in.
#[derive(Clone)]
pub struct Login {
    provider: String,
    issuer: String,
    subject: String,
    claims: Vec<(String, Value)>,
    token: Option<Rc<HeldSecret>>,
}

impl Login {
    /// `subject` at the provider `test`, with the issuer `https://issuer.example/`.
    pub fn of(subject: impl Into<String>) -> Self {
        Self {
            provider: "test".into(),
            issuer: "https://issuer.example/".into(),
            subject: subject.into(),
            claims: Vec::new(),
            token: None,
        }
    }

    /// At another provider.
    #[must_use]
    pub fn at(mut self, provider: impl Into<String>, issuer: impl Into<String>) -> Self {
        (self.provider, self.issuer) = (provider.into(), issuer.into());
        self
    }

    /// With one more claim.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.push((name.into(), value.into()));
        self
    }

    /// With an access token, as the configuration may grant it, and whether it may be revealed.
    #[must_use]
    pub fn access_token(mut self, token: impl Into<String>, reveal: bool) -> Self {
        let held =
            HeldSecret { name: "access-token".into(), value: token.into(), reveal, hmac: false };
        self.token = Some(Rc::new(held));
        self
    }
}

/// A request for a credential, or for its end.
#[derive(Clone)]
pub struct Call {
    pub(super) service: String,
    pub(super) credential_id: String,
    pub(super) user: Login,
    pub(super) additional_logins: Vec<Login>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) not_after: Option<u64>,
}

impl Call {
    /// A request of [`Login::of`] this subject, at the service `test`, with the credential id
    /// `0b5c9b3e-6d1f-4f5e-9a55-1c7d3e0f2a41`.
    pub fn of(subject: impl Into<String>) -> Self {
        Self::by(Login::of(subject))
    }

    /// A request of `user`.
    pub fn by(user: Login) -> Self {
        Self {
            service: "test".into(),
            credential_id: "0b5c9b3e-6d1f-4f5e-9a55-1c7d3e0f2a41".into(),
            user,
            additional_logins: Vec::new(),
            parameters: Vec::new(),
            not_after: None,
        }
    }

    /// With one more claim of the user.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.user = self.user.claim(name, value);
        self
    }

    /// With one more parameter. A value that is no text arrives as compact JSON.
    #[must_use]
    pub fn parameter(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let text = match value.into() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        self.parameters.push((key.into(), text));
        self
    }

    /// With another credential id.
    #[must_use]
    pub fn credential_id(mut self, id: impl Into<String>) -> Self {
        self.credential_id = id.into();
        self
    }

    /// With a time at which the daemon will revoke, in Unix seconds.
    #[must_use]
    pub fn not_after(mut self, seconds: u64) -> Self {
        self.not_after = Some(seconds);
        self
    }

    /// With one more identity of the same person.
    #[must_use]
    pub fn additional_login(mut self, login: Login) -> Self {
        self.additional_logins.push(login);
        self
    }

    /// The same as a revoke sees it: without access tokens, without additional logins, and without
    /// the parameters in `secure`.
    pub(super) fn for_revoke(&self, secure: &[String]) -> Self {
        let mut call = self.clone();
        call.user.token = None;
        call.additional_logins.clear();
        call.parameters.retain(|(key, _)| !secure.contains(key));
        call
    }

    /// The access tokens in it.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &HeldSecret> {
        [&self.user]
            .into_iter()
            .chain(&self.additional_logins)
            .filter_map(|login| login.token.as_deref())
    }
}

/// The calls of the contract.
pub(crate) mod imports {
    use super::{Call, Login};
    use crate::testing::imports::settings::Secret;

    /// A key and its value.
    pub(crate) struct Pair {
        pub(crate) key: String,
        pub(crate) value: String,
    }

    /// A request.
    pub(crate) struct Request {
        call: Call,
        grease: bool,
    }

    /// An identity.
    pub(crate) struct Identity {
        login: Login,
        grease: bool,
    }

    impl Request {
        /// The request of `call`, as a plugin sees it.
        pub(in crate::testing) fn new(call: &Call, grease: bool) -> Self {
            Self { call: call.clone(), grease }
        }

        /// The service.
        pub(crate) fn service(&self) -> String {
            self.call.service.clone()
        }

        /// The credential id.
        pub(crate) fn credential_id(&self) -> String {
            self.call.credential_id.clone()
        }

        /// The identity that makes the request.
        pub(crate) fn user(&self) -> Identity {
            Identity { login: self.call.user.clone(), grease: self.grease }
        }

        /// Further identities.
        pub(crate) fn additional_logins(&self) -> Vec<Identity> {
            let identity = |login: &Login| Identity { login: login.clone(), grease: self.grease };
            self.call.additional_logins.iter().map(identity).collect()
        }

        /// A parameter.
        pub(crate) fn parameter(&self, key: &str) -> Option<String> {
            self.call
                .parameters
                .iter()
                .find(|(known, _)| known == key)
                .map(|(_, value)| value.clone())
        }

        /// Every parameter.
        pub(crate) fn parameters(&self) -> Vec<Pair> {
            self.call.parameters.iter().cloned().map(|(key, value)| Pair { key, value }).collect()
        }

        /// The limit.
        pub(crate) fn not_after(&self) -> Option<u64> {
            self.call.not_after
        }
    }

    impl Identity {
        /// Opaque, from issuer and subject.
        pub(crate) fn id(&self) -> String {
            let both = format!("{} {}", self.login.issuer, self.login.subject);
            let digest = ring::digest::digest(&ring::digest::SHA256, both.as_bytes());
            hex::encode(digest)
        }

        /// The provider's name.
        pub(crate) fn provider(&self) -> String {
            self.login.provider.clone()
        }

        /// The issuer.
        pub(crate) fn issuer(&self) -> String {
            self.login.issuer.clone()
        }

        /// The subject.
        pub(crate) fn subject(&self) -> String {
            self.login.subject.clone()
        }

        /// A claim as JSON.
        pub(crate) fn claim(&self, name: &str) -> Option<String> {
            self.login
                .claims
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.to_string())
        }

        /// Every claim, and one of a shape that no plugin expects.
        pub(crate) fn claims(&self) -> Vec<Pair> {
            let grease = self.grease.then(|| Pair {
                key: "urn:grease:claim".into(),
                value: r#"{"deep":[null,1.5,{"er":"\u0000"}]}"#.into(),
            });
            let pair = |(key, value): &(String, serde_json::Value)| Pair {
                key: key.clone(),
                value: value.to_string(),
            };
            self.login.claims.iter().map(pair).chain(grease).collect()
        }

        /// The access token, where the call has one.
        pub(crate) fn access_token(&self) -> Option<Secret> {
            self.login.token.clone().map(Secret)
        }
    }
}
