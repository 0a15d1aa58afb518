//! A provider with a browser flow, and tokens that are readable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Gate, ISSUER, PROVIDER, identity, lock};
use crate::address::Address;
use crate::error::{Error, Kind};
use crate::ids::ProviderId;
use crate::ports::sign_in::{Begun, Flow, SignIn, Vouched};
use crate::ports::tokens::{TokenKind, Tokens};
use crate::secret::Secret;

/// Vouches for the subject of each code that a test added: once for each code, as a provider does.
#[derive(Debug, Default)]
pub struct FakeSignIn {
    providers: Mutex<BTreeSet<ProviderId>>,
    codes: Mutex<BTreeMap<[u8; 32], Vouched>>,
    begun: Mutex<u64>,
    gate: Mutex<Option<Gate>>,
    down: Mutex<bool>,
    next_failure: Mutex<Option<Kind>>,
}

impl FakeSignIn {
    /// [`PROVIDER`] alone, without any codes yet.
    ///
    /// # Panics
    /// Never: the id of the provider is one.
    #[expect(clippy::expect_used, reason = "a constant that parses")]
    pub fn new() -> Self {
        let fake = Self::default();
        fake.add_provider(ProviderId::parse(PROVIDER).expect("a constant that parses"));
        fake
    }

    /// One can sign in at `provider` too.
    pub fn add_provider(&self, provider: ProviderId) {
        lock(&self.providers).insert(provider);
    }

    /// From now on `code` stands for `vouched`, once.
    pub fn add_code(&self, code: &str, vouched: Vouched) {
        lock(&self.codes).insert(Secret::new(code).digest(), vouched);
    }

    /// From now on it cannot be reached.
    pub fn go_down(&self) {
        *lock(&self.down) = true;
    }

    /// The next callback fails so, before the provider has seen its code.
    pub fn fail_next(&self, kind: Kind) {
        *lock(&self.next_failure) = Some(kind);
    }

    fn reached(&self) -> Result<(), Error> {
        if *lock(&self.down) {
            Err(Error::new(Kind::Upstream, "The provider is down."))
        } else {
            Ok(())
        }
    }

    /// Gives no answer until `gate` is open.
    pub fn hold(&self, gate: &Gate) {
        *lock(&self.gate) = Some(gate.clone());
    }
}

/// `subject` as [`PROVIDER`] vouches for them, with a verified address.
pub fn vouched(subject: &str) -> Vouched {
    let identity = identity(subject);
    let mut claims = identity.claims().clone();
    claims.insert("preferred_username".into(), json!(format!("{subject}@example.org")));
    claims.insert("email".into(), json!(format!("{subject}@example.org")));
    Vouched {
        provider: identity.provider().clone(),
        subject: identity.subject().clone(),
        claims,
        email_is_trusted: true,
    }
}

#[async_trait]
impl SignIn for FakeSignIn {
    fn begin(
        &self,
        provider: &ProviderId,
        redirect_uri: &str,
        state: &str,
    ) -> Result<Begun, Error> {
        if !lock(&self.providers).contains(provider) {
            return Err(Error::new(Kind::NotFound, "There is no such provider."));
        }
        self.reached()?;
        let mut begun = lock(&self.begun);
        *begun += 1;
        let flow = Flow {
            provider: provider.clone(),
            verifier: Secret::new(format!("verifier {begun}")),
            nonce: Secret::new(format!("nonce {begun}")),
            redirect_uri: redirect_uri.to_owned(),
        };
        Ok(Begun {
            uri: format!("{ISSUER}/authorize?redirect_uri={redirect_uri}&state={state}"),
            flow,
        })
    }

    async fn finish(
        &self,
        flow: &Flow,
        code: Secret,
        issuer: Option<&str>,
        _: Address,
    ) -> Result<Vouched, Error> {
        let gate = lock(&self.gate).clone();
        if let Some(gate) = gate {
            gate.pass().await;
        }
        self.reached()?;
        if let Some(kind) = lock(&self.next_failure).take() {
            return Err(Error::new(kind, "The provider did not answer."));
        }
        let refused = || Error::new(Kind::Unauthenticated, "The sign-in does not hold.");
        if issuer.is_some_and(|issuer| issuer != ISSUER) {
            return Err(refused());
        }
        let vouched = lock(&self.codes).remove(&code.digest());
        vouched.filter(|vouched| vouched.provider == flow.provider).ok_or_else(refused)
    }
}

/// Tokens that say what they say in base64url, with a checksum in place of a signature: as good as
/// signed to what is tested, and worth nothing as a secret.
#[derive(Debug, Default)]
pub struct FakeTokens;

impl FakeTokens {
    fn checksum(kind: TokenKind, payload: &str) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{kind:?} {payload}")))
    }
}

impl Tokens for FakeTokens {
    fn sign(&self, kind: TokenKind, claims: &Map<String, Value>) -> Result<Secret, Error> {
        let payload = URL_SAFE_NO_PAD.encode(Value::Object(claims.clone()).to_string());
        Ok(Secret::new(format!("{payload}.{}", Self::checksum(kind, &payload))))
    }

    fn verify(&self, kind: TokenKind, token: &Secret) -> Option<Map<String, Value>> {
        let (payload, checksum) = token.expose_str()?.split_once('.')?;
        if checksum != Self::checksum(kind, payload) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    fn public_keys(&self) -> Value {
        json!({ "keys": [] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_kind_and_unchanged() {
        let claims = [("sub".to_owned(), json!("alice"))].into_iter().collect();
        let token = FakeTokens.sign(TokenKind::Access, &claims).unwrap();
        assert_eq!(FakeTokens.verify(TokenKind::Access, &token), Some(claims));
        assert_eq!(FakeTokens.verify(TokenKind::Refresh, &token), None);
        let forged = format!("x{}", token.expose_str().unwrap());
        assert_eq!(FakeTokens.verify(TokenKind::Access, &Secret::new(forged)), None);
    }

    #[tokio::test]
    async fn a_code_is_good_once() {
        let fake = FakeSignIn::new();
        fake.add_code("code", vouched("alice"));
        let provider = ProviderId::parse(PROVIDER).unwrap();
        let from = std::net::IpAddr::from([192, 0, 2, 1]).into();
        for (issuer, ends_well) in
            [(Some("https://evil.example"), false), (Some(ISSUER), true), (None, false)]
        {
            let begun = fake.begin(&provider, "https://us/back", "state").unwrap();
            assert!(begun.uri.contains("state=state"));
            let finished = fake.finish(&begun.flow, Secret::new("code"), issuer, from).await;
            assert_eq!(finished.is_ok(), ends_well, "{issuer:?}");
        }
        let other = ProviderId::parse("other").unwrap();
        assert_eq!(fake.begin(&other, "", "").unwrap_err().kind(), Kind::NotFound);
    }
}
