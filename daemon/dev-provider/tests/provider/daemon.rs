//! The demo provider as the daemon sees it.

use std::sync::Arc;
use std::time::Duration;

use credsmith_core::caller::Identity;
use credsmith_core::doubles::{SeededEntropy, TestTasks};
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::providers::Providers as _;
use credsmith_core::secret::Secret;
use credsmith_core::{Error, Kind};
use credsmith_dev_provider::TokenSpec;
use credsmith_oidc::{Limits, OidcProviders, ProviderOptions, World};
use serde_json::json;

use crate::support::{Dev, PATIENCE, SECRET, loopback};

struct Daemon(Arc<OidcProviders>);

impl Daemon {
    async fn knowing(dev: &Dev) -> Self {
        let mut options = ProviderOptions::new(ProviderId::parse("dev").unwrap(), &dev.base, "app");
        options.client_secret = Some(Arc::new(Secret::new(SECRET)));
        options.allow_insecure = true;
        options.addresses = loopback();
        let world = World {
            clock: Arc::new(dev.clock.clone()),
            tasks: Arc::new(TestTasks::new()),
            entropy: Arc::new(SeededEntropy::new(1)),
        };
        let limits = Limits { request_timeout: PATIENCE, ..Limits::default() };
        let providers = OidcProviders::start(vec![options], &limits, &world).unwrap();
        let ready = async {
            while !providers.list().iter().all(|view| view.ready) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
        Self(providers)
    }

    async fn identify(&self, token: &str) -> Result<Arc<Identity>, Error> {
        self.0.identify(&ProviderId::parse("dev").unwrap(), Arc::new(Secret::new(token))).await
    }
}

#[tokio::test]
async fn demo_accounts_are_who_they_are() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    for (user, groups) in
        [("alice", json!(["users", "admins"])), ("bob", json!(["users"])), ("user-17", json!(["users"]))]
    {
        let identity = daemon.identify(&dev.token(user).await).await.unwrap();
        assert_eq!(
            (identity.subject.issuer.as_str(), identity.subject.subject.as_str()),
            (dev.base.as_str(), user)
        );
        assert_eq!(identity.claims["groups"], groups);
        assert_eq!(identity.claims["username"], user);
        assert_eq!(identity.claims["scope_list"], json!(["openid", "profile", "email"]));
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
        (&unsaid, "meant for nobody"),
        (&no_openid, "without openid"),
    ] {
        assert_eq!(daemon.identify(token).await.expect_err(what).kind(), Kind::Unauthenticated, "{what}");
    }
}

#[tokio::test]
async fn a_revocation_and_an_end_are_noticed() {
    let dev = Dev::start().await;
    let daemon = Daemon::knowing(&dev).await;
    let usual = dev.provider.usual_token();
    let revoked = dev.token("alice").await;
    let ending =
        dev.provider.issue_token("bob", &TokenSpec { lifetime: Duration::from_secs(10), ..usual }).unwrap();
    assert!(daemon.identify(&revoked).await.is_ok() && daemon.identify(&ending).await.is_ok());
    dev.provider.revoke_token(&revoked);
    dev.clock.advance(Duration::from_secs(10));
    assert!(daemon.identify(&revoked).await.is_ok(), "believed for half a minute");
    assert!(daemon.identify(&ending).await.is_err(), "ended within that half minute");
    dev.clock.advance(Duration::from_secs(20));
    assert!(daemon.identify(&revoked).await.is_err());
}
