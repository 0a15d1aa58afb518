//! A sign-in at a scripted provider: the daemon's side of the flow, and ID tokens of the provider.

use std::sync::Arc;

use crate::support::{Answer, Daemon, Op, PATIENCE, options};
use credsmith_core::Error;
use credsmith_core::address::Address;
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::Clock as _;
use credsmith_core::ports::sign_in::{Begun, Flow, SignIn as _, Vouched};
use credsmith_core::secret::Secret;
use credsmith_http::StatusCode;
use credsmith_oidc::signing::SigningKey;
use credsmith_oidc::{CodeFlow, ProviderOptions};
use serde_json::{Value, json};

pub(crate) const REDIRECT: &str = "https://us.example/v1/auth/redirect";
pub(crate) const CODE: &str = "canary-code";

/// Options for a provider with a code flow.
pub(crate) fn browser_options(id: &str, issuer: &str) -> ProviderOptions {
    let mut options = options(id, issuer);
    options.code_flow = Some(CodeFlow::default());
    options
}

/// A provider with a signing key, and a daemon at which a browser has begun to sign in there.
pub(crate) struct Browser {
    pub(crate) op: Op,
    pub(crate) key: SigningKey,
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) id: ProviderId,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let op = Op::start().await;
        let options = browser_options("op", &op.base);
        Self::with(op, options).await
    }

    pub(crate) async fn with(op: Op, options: ProviderOptions) -> Self {
        let key = SigningKey::generate("k1").unwrap();
        op.answer("/jwks", Answer::Json(key.public_jwks()));
        let id = options.id.clone();
        let daemon = Arc::new(Daemon::discovered(vec![options]).await);
        Self { op, key, daemon, id }
    }

    pub(crate) fn begin(&self) -> Begun {
        self.daemon.providers.begin(&self.id, REDIRECT, "ck-1").unwrap()
    }

    /// The claims of a good ID token for `flow`, with these changes; those that are `null` are
    /// removed.
    pub(crate) fn claims(&self, flow: &Flow, changes: &Value) -> Value {
        let now = self.daemon.clock.now().as_secs();
        let mut claims = json!({
            "iss": self.op.base, "sub": "alice", "aud": "us", "iat": now, "exp": now + 300,
            "nonce": flow.nonce.expose_str().unwrap(),
        });
        let members = claims.as_object_mut().unwrap();
        members.extend(changes.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        claims
    }

    /// A good ID token for `flow`, with these changes.
    pub(crate) fn id_token(&self, flow: &Flow, changes: &Value) -> String {
        self.key.sign("JWT", &self.claims(flow, changes)).unwrap()
    }

    /// Makes the token endpoint return `id_token`.
    pub(crate) fn hands_out(&self, id_token: &str) {
        let answer =
            json!({"access_token": "canary-access", "token_type": "Bearer", "id_token": id_token});
        self.op.answer("/token", Answer::Json(answer));
    }

    pub(crate) async fn finish(&self, flow: Flow, issuer: Option<&str>) -> Result<Vouched, Error> {
        let finish = self.daemon.providers.finish(&flow, Secret::new(CODE), issuer, here());
        tokio::time::timeout(PATIENCE, finish).await.expect("an answer")
    }

    /// A whole sign-in for which the provider makes an ID token with these changes.
    pub(crate) async fn sign_in(&self, changes: &Value) -> Result<Vouched, Error> {
        let flow = self.begin().flow;
        self.hands_out(&self.id_token(&flow, changes));
        self.finish(flow, None).await
    }

    /// A whole sign-in, with this answer of the token endpoint.
    pub(crate) async fn answered(&self, answer: Answer) -> Result<Vouched, Error> {
        self.op.answer("/token", answer);
        self.finish(self.begin().flow, None).await
    }
}

/// A raw JSON answer.
pub(crate) fn raw(status: StatusCode, body: &str) -> Answer {
    Answer::Raw(status, "application/json", body.to_owned())
}

/// The address of every browser.
pub(crate) fn here() -> Address {
    std::net::IpAddr::from([192, 0, 2, 1]).into()
}
