//! The demo provider as the daemon sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use credsmith_core::caller::Identity;
use credsmith_core::doubles::{SeededEntropy, TestTasks};
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::providers::Providers as _;
use credsmith_core::ports::sign_in::{Flow, SignIn as _, Vouched};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind};
use credsmith_dev_provider::TokenSpec;
use credsmith_oidc::{CodeFlow, Limits, OidcProviders, Ports, ProviderOptions};
use serde_json::json;
use url::Url;

use crate::support::{Dev, PATIENCE, SECRET, loopback};

struct Daemon(Arc<OidcProviders>);

impl Daemon {
    async fn knowing(dev: &Dev) -> Self {
        let mut options = ProviderOptions::new(ProviderId::parse("dev").unwrap(), &dev.base, "app");
        options.client_secret = Some(Arc::new(Secret::new(SECRET)));
        options.allow_insecure = true;
        options.addresses = loopback();
        options.code_flow = Some(CodeFlow::default());
        let ports = Ports {
            clock: Arc::new(dev.clock.clone()),
            tasks: Arc::new(TestTasks::new()),
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        let limits = Limits { request_timeout: PATIENCE, ..Limits::default() };
        let providers = OidcProviders::start(vec![options], &limits, &ports).unwrap();
        let ready = async {
            while !providers.list().iter().all(|view| view.ready) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
        Self(providers)
    }

    async fn identify(&self, token: &str) -> Result<Arc<Identity>, Error> {
        let token = Arc::new(Secret::new(token));
        self.0.identify(&ProviderId::parse("dev").unwrap(), token, None).await
    }

    /// Begins a sign-in, and is `user`'s browser on the way to the provider and back.
    async fn sent_and_back(&self, dev: &Dev, user: &str) -> Back {
        let id = ProviderId::parse("dev").unwrap();
        let begun = self.0.begin(&id, "http://127.0.0.1:7/cb", "ck-state").unwrap();
        let url = Url::parse(&begun.uri).unwrap();
        let reply =
            dev.get(&format!("{}?{}&login_hint={user}", url.path(), url.query().unwrap())).await;
        let location = Url::parse(reply.headers()["location"].to_str().unwrap()).unwrap();
        let answer: HashMap<_, _> = location.query_pairs().into_owned().collect();
        assert!(location.as_str().starts_with("http://127.0.0.1:7/cb?"), "{location}");
        assert_eq!(answer["state"], "ck-state");
        Back { flow: begun.flow, code: answer["code"].clone(), issuer: answer["iss"].clone() }
    }

    async fn finish(&self, back: &Back) -> Result<Vouched, Error> {
        let flow = Flow {
            provider: back.flow.provider.clone(),
            verifier: back.flow.verifier.clone(),
            nonce: back.flow.nonce.clone(),
            redirect_uri: back.flow.redirect_uri.clone(),
        };
        let from = std::net::IpAddr::from([127, 0, 0, 1]).into();
        self.0.finish(&flow, Secret::new(back.code.clone()), Some(&back.issuer), from).await
    }
}

/// A browser that came back.
struct Back {
    flow: Flow,
    code: String,
    issuer: String,
}

#[tokio::test]
async fn demo_accounts_are_who_they_are() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    for (user, groups) in [
        ("alice", json!(["users", "admins"])),
        ("bob", json!(["users"])),
        ("user-17", json!(["users"])),
    ] {
        let identity = daemon.identify(&dev.token(user).await).await.unwrap();
        assert_eq!(
            (identity.subject().issuer.as_str(), identity.subject().subject.as_str()),
            (dev.base.as_str(), user)
        );
        assert_eq!(identity.claims()["groups"], groups);
        assert_eq!(identity.claims()["username"], user);
        assert_eq!(identity.claims()["scope_list"], json!(["openid", "profile", "email"]));
    }
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    let usual = dev.provider.usual_token();
    let issue = |spec: TokenSpec| dev.provider.issue_token("alice", &spec).unwrap();

    let revoked = issue(usual.clone());
    dev.provider.revoke_token(&revoked);
    let expired = issue(TokenSpec { lifetime: Duration::ZERO, ..usual.clone() });
    let elsewhere = issue(TokenSpec { audience: vec!["other".into()], ..usual.clone() });
    let unsaid = issue(TokenSpec { audience: vec![], ..usual.clone() });
    let no_openid = issue(TokenSpec { scopes: vec!["email".into()], ..usual });
    for (token, what) in [
        ("unknown", "unknown"),
        (&revoked, "revoked"),
        (&expired, "expired"),
        (&elsewhere, "meant for another"),
        (&unsaid, "without an audience"),
        (&no_openid, "without openid"),
    ] {
        assert_eq!(
            daemon.identify(token).await.expect_err(what).kind(),
            Kind::Unauthenticated,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_revocation_and_an_end_are_noticed() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    let usual = dev.provider.usual_token();
    let revoked = dev.token("alice").await;
    let ending = dev
        .provider
        .issue_token("bob", &TokenSpec { lifetime: Duration::from_secs(10), ..usual })
        .unwrap();
    assert!(daemon.identify(&revoked).await.is_ok() && daemon.identify(&ending).await.is_ok());
    dev.provider.revoke_token(&revoked);
    dev.clock.advance(Duration::from_secs(10));
    assert!(daemon.identify(&revoked).await.is_ok(), "believed for half a minute");
    assert!(daemon.identify(&ending).await.is_err(), "ended within that half minute");
    dev.clock.advance(Duration::from_secs(20));
    assert!(daemon.identify(&revoked).await.is_err());
}

#[tokio::test]
async fn a_user_signs_in_with_a_browser() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    let back = daemon.sent_and_back(&dev, "alice").await;
    let vouched = daemon.finish(&back).await.unwrap();
    assert_eq!(
        (
            vouched.provider.as_str(),
            vouched.subject.issuer.as_str(),
            vouched.subject.subject.as_str()
        ),
        ("dev", dev.base.as_str(), "alice")
    );
    let released = ["preferred_username", "name", "email", "picture", "groups"]
        .map(|name| &vouched.claims[name]);
    assert_eq!(
        released,
        [
            &json!("alice"),
            &json!("Alice Example"),
            &json!("alice@example.org"),
            &json!("https://example.org/people/alice.png"),
            &json!(["users", "admins"])
        ]
    );
    assert!(vouched.email_is_trusted && vouched.claims.contains_key("at_hash"));
}

/// A provider whose ID tokens name the user alone, with userinfo plain and signed.
#[tokio::test]
async fn a_user_of_thin_id_tokens_has_the_claims_of_userinfo() {
    for signed in [false, true] {
        let dev = Dev::with(|options| {
            options.thin_id_tokens = true;
            options.signed_userinfo = signed;
        })
        .await;
        let daemon = Daemon::knowing(&dev).await;
        let back = daemon.sent_and_back(&dev, "alice").await;
        let vouched = daemon.finish(&back).await.unwrap();
        let claims = ["name", "email", "groups", "aud"].map(|name| &vouched.claims[name]);
        let groups = json!(["users", "admins"]);
        let expected =
            [&json!("Alice Example"), &json!("alice@example.org"), &groups, &json!("app")];
        assert_eq!(claims, expected, "signed: {signed}");
        assert!(vouched.email_is_trusted);
        let bearer = daemon.identify(&dev.token("bob").await).await.unwrap();
        assert_eq!(bearer.claims()["email"], "bob@example.org", "signed: {signed}");
    }
}

#[tokio::test]
async fn a_code_signs_in_once() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    let back = daemon.sent_and_back(&dev, "alice").await;
    assert!(daemon.finish(&back).await.is_ok());
    let replayed = daemon.finish(&back).await.unwrap_err();
    assert_eq!(replayed.kind(), Kind::Unauthenticated);
    assert!(replayed.cause().unwrap().contains("refused the code"), "{replayed:?}");
}

#[tokio::test]
async fn a_code_is_worth_nothing_in_another_flow() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    let (victim, attacker) =
        (daemon.sent_and_back(&dev, "alice").await, daemon.sent_and_back(&dev, "bob").await);
    let injected = Back { code: victim.code, ..attacker };
    let refused = daemon.finish(&injected).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unauthenticated, "the PKCE verifier is of another flow");
}

#[tokio::test]
async fn a_code_belongs_to_its_redirect_uri() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    let mut back = daemon.sent_and_back(&dev, "alice").await;
    back.flow.redirect_uri = "http://127.0.0.1:8/cb".into();
    let refused = daemon.finish(&back).await.unwrap_err();
    assert_eq!(
        refused.kind(),
        Kind::Unauthenticated,
        "the code was given for another redirect URI"
    );
}
