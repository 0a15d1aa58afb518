//! A provider of many tenants, such as Entra ID: one document and one key set for all, an issuer
//! for each.

use std::sync::Arc;
use std::time::Duration;

use crate::browser::{Browser, browser_options};

use crate::support::{Answer, Daemon, Lines, Op, options, ports, until};
use credsmith_core::Kind;
use credsmith_core::caller::Subject;
use credsmith_core::doubles::{ManualClock, TestTasks};
use credsmith_core::ids::ProviderId;
use credsmith_core::ports::Clock as _;
use credsmith_core::ports::providers::Providers as _;
use credsmith_oidc::signing::SigningKey;
use credsmith_oidc::{Limits, OidcProviders, ProviderOptions};
use serde_json::{Value, json};

const OURS: &str = "11111111-1111-4111-8111-111111111111";
const SISTER: &str = "22222222-2222-4222-8222-222222222222";
/// The tenant of all personal accounts.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const STRANGER: &str = "99999999-9999-4999-8999-999999999999";

/// A provider with a document like Entra's under `organizations`: its issuer is a template, and
/// it has non-standard members.
async fn entra() -> Op {
    let op = Op::start().await;
    let mut document = op.document_with(json!({
        "issuer": format!("{}/{{tenantid}}/v2.0", op.base),
        "introspection_endpoint": null,
        "device_authorization_endpoint": format!("{}/devicecode", op.base),
        "end_session_endpoint": format!("{}/logout", op.base),
        "kerberos_endpoint": format!("{}/kerberos", op.base),
        "mtls_endpoint_aliases": {"token_endpoint": format!("{}/mtls", op.base)},
        "token_endpoint_auth_methods_supported":
            ["client_secret_post", "private_key_jwt", "client_secret_basic", "self_signed_tls_client_auth"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "iss", "cloud_instance_name", "aud", "nonce", "preferred_username", "name", "tid", "email"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "request_uri_parameter_supported": false,
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "tls_client_certificate_bound_access_tokens": true,
        "cloud_instance_name": "microsoftonline.com",
        "rbac_url": "https://pas.windows.net",
    }));
    // `document_with` removes members that are null, but Entra sends this one.
    document["tenant_region_scope"] = Value::Null;
    for path in ["organizations", "common"] {
        let document = Answer::Json(document.clone());
        op.answer(&format!("/{path}/v2.0/.well-known/openid-configuration"), document);
    }
    op
}

fn for_tenants(mut options: ProviderOptions) -> ProviderOptions {
    options.tenants = [OURS, SISTER].map(str::to_owned).to_vec();
    options
}

async fn browser() -> Browser {
    let op = entra().await;
    let mut options =
        for_tenants(browser_options("entra", &format!("{}/organizations/v2.0", op.base)));
    options.subject_claim = "oid".into();
    Browser::with(op, options).await
}

fn iss(op: &Op, tenant: &str) -> String {
    format!("{}/{tenant}/v2.0", op.base)
}

/// The claims of a user of `tenant`.
fn of_tenant(op: &Op, tenant: &str) -> Value {
    json!({"iss": iss(op, tenant), "tid": tenant, "oid": "o-1"})
}

fn issued_for(key: &SigningKey, issuer: &str) -> Value {
    let mut jwk = key.public_jwk().clone();
    jwk["issuer"] = json!(issuer);
    jwk
}

/// Waits until the daemon has fetched document and keys again.
async fn refreshes_keys(browser: &Browser) {
    let asked = browser.op.seen("/jwks").len();
    until("it sleeps", || browser.daemon.clock.sleepers() == 1).await;
    browser.daemon.clock.advance(Duration::from_secs(2 * 3600));
    until("the keys are fetched again", || browser.op.seen("/jwks").len() > asked).await;
    until("it sleeps", || browser.daemon.clock.sleepers() == 1).await;
}

#[tokio::test]
async fn users_of_the_listed_tenants_sign_in_as_users_of_their_tenant() {
    let browser = browser().await;
    for tenant in [OURS, SISTER] {
        let vouched = browser.sign_in(&of_tenant(&browser.op, tenant)).await.unwrap();
        let expected = Subject { issuer: iss(&browser.op, tenant), subject: "o-1".into() };
        assert_eq!(vouched.subject, expected);
    }
}

#[tokio::test]
async fn an_unlisted_or_forged_tenant_is_refused() {
    let browser = browser().await;
    let op = &browser.op;
    for (attack, reason, changes) in [
        ("a tenant that is not listed", "not listed", of_tenant(op, STRANGER)),
        (
            "a listed issuer, another tid",
            "not listed",
            json!({"iss": iss(op, OURS), "tid": STRANGER, "oid": "o"}),
        ),
        (
            "a stranger's issuer, a listed tid",
            "not the issuer",
            json!({"iss": iss(op, STRANGER), "tid": OURS, "oid": "o"}),
        ),
        (
            "a sister's issuer",
            "not the issuer",
            json!({"iss": iss(op, SISTER), "tid": OURS, "oid": "o"}),
        ),
        (
            "the template",
            "not the issuer",
            json!({"iss": iss(op, "{tenantid}"), "tid": OURS, "oid": "o"}),
        ),
        (
            "the configured address",
            "not the issuer",
            json!({"iss": iss(op, "organizations"), "tid": OURS, "oid": "o"}),
        ),
        ("no tenant", "`tid` is missing", json!({"iss": iss(op, OURS), "oid": "o"})),
        ("no person", "names the user", json!({"iss": iss(op, OURS), "tid": OURS})),
    ] {
        let error = browser.sign_in(&changes).await.expect_err(attack);
        assert_eq!(error.kind(), Kind::Unauthenticated, "{attack}");
        let cause = error.cause().unwrap();
        assert!(cause.contains(reason) && !cause.contains(STRANGER), "{attack}: {cause}");
    }
}

/// Attack: a personal account can be created with any name. All of them are of one tenant, with
/// keys of its own.
#[tokio::test]
async fn a_personal_account_signs_in_only_where_its_tenant_is_listed() {
    for (tenants, comes_in) in [(vec![OURS], false), (vec![OURS, PERSONAL], true)] {
        let op = entra().await;
        let mut options =
            for_tenants(browser_options("entra", &format!("{}/common/v2.0", op.base)));
        options.tenants = tenants.into_iter().map(str::to_owned).collect();
        let browser = Browser::with(op, options).await;
        let keys = json!({"keys": [issued_for(&browser.key, &iss(&browser.op, PERSONAL))]});
        browser.op.answer("/jwks", Answer::Json(keys));
        refreshes_keys(&browser).await;
        let personal = browser.sign_in(&of_tenant(&browser.op, PERSONAL)).await;
        assert_eq!(personal.is_ok(), comes_in, "{personal:?}");
        let disguised = json!({"iss": iss(&browser.op, OURS), "tid": OURS, "oid": "o-1"});
        let error = browser.sign_in(&disguised).await.expect_err("a key of personal accounts");
        assert!(error.cause().unwrap().contains("not signed by the provider"), "{error:?}");
    }
}

/// The keys of all tenants are in one set: the key of one must not sign for another.
#[tokio::test]
async fn a_key_signs_only_for_its_tenant() {
    let browser = browser().await;
    let (op, key) = (&browser.op, &browser.key);
    let refresh = async |issuer: &str| {
        op.answer("/jwks", Answer::Json(json!({"keys": [issued_for(key, issuer)]})));
        refreshes_keys(&browser).await;
    };
    for (issuer, opens) in [
        (iss(op, OURS), true),
        (iss(op, "{tenantid}"), true),
        (iss(op, STRANGER), false),
        (iss(op, SISTER), false),
        (format!("https://login.example/{OURS}/v2.0"), false),
        ("https://login.example/{tenantid}/v2.0".into(), false),
        (String::new(), false),
    ] {
        refresh(&issuer).await;
        let outcome = browser.sign_in(&of_tenant(op, OURS)).await;
        assert_eq!(outcome.is_ok(), opens, "{issuer}: {outcome:?}");
    }
}

#[tokio::test]
async fn the_redirect_names_the_tenant_of_the_token() {
    let browser = browser().await;
    let finish = async |named: &str| {
        let flow = browser.begin().flow;
        browser.hands_out(&browser.id_token(&flow, &of_tenant(&browser.op, OURS)));
        browser.finish(flow, Some(named)).await
    };
    assert!(finish(&iss(&browser.op, OURS)).await.is_ok());
    for named in
        [iss(&browser.op, SISTER), iss(&browser.op, STRANGER), iss(&browser.op, "{tenantid}")]
    {
        assert_eq!(finish(&named).await.unwrap_err().kind(), Kind::Unauthenticated, "{named}");
    }
}

#[tokio::test]
async fn omitted_groups_give_none_and_are_logged() {
    let (lines, _guard) = Lines::record();
    let browser = browser().await;
    for overage in [
        json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://canary"}}, "groups": ["some"]}),
        json!({"hasgroups": true}),
    ] {
        let mut changes = of_tenant(&browser.op, OURS);
        changes.as_object_mut().unwrap().extend(overage.as_object().unwrap().clone());
        let vouched = browser.sign_in(&changes).await.unwrap();
        assert!(!vouched.claims.contains_key("groups"));
    }
    let mut changes = of_tenant(&browser.op, OURS);
    changes["groups"] = json!(["g-1"]);
    changes["roles"] = json!(["Vault.Admin"]);
    let vouched = browser.sign_in(&changes).await.unwrap();
    assert_eq!(
        (&vouched.claims["groups"], &vouched.claims["roles"]),
        (&json!(["g-1"]), &json!(["Vault.Admin"]))
    );
    let log = lines.text();
    let warnings: Vec<_> =
        log.lines().filter(|line| line.contains("left out the groups")).collect();
    assert_eq!(warnings.len(), 2, "{log}");
    assert!(
        warnings.iter().all(|line| line.contains("provider=\"entra\"")) && !log.contains("canary"),
        "{log}"
    );
}

/// The endpoints do not name the tenant. So a bearer token is accepted only if it is a JWT that
/// names its tenant.
#[tokio::test]
async fn a_bearer_token_has_to_name_its_tenant() {
    let (op, key) = (entra().await, SigningKey::generate("k1").unwrap());
    let for_stranger = SigningKey::generate("k2").unwrap();
    let stolen = issued_for(&for_stranger, &iss(&op, STRANGER));
    op.answer("/jwks", Answer::Json(json!({"keys": [key.public_jwk(), stolen]})));
    let configured = format!("{}/organizations/v2.0", op.base);
    let daemon = Daemon::discovered(vec![for_tenants(options("entra", &configured))]).await;
    let now = daemon.clock.now().as_secs();
    let token = |key: &SigningKey, iss: &str, tid: &str| {
        key.sign(
            "JWT",
            &json!({"iss": iss, "tid": tid, "aud": "us", "sub": "alice", "exp": now + 60}),
        )
        .unwrap()
    };
    let good = token(&key, &iss(&op, SISTER), SISTER);
    assert_eq!(daemon.identify("entra", &good).await.unwrap().subject().issuer, iss(&op, SISTER));

    for (attack, reason, bad) in [
        ("an opaque token", "does not show", "opaque".to_owned()),
        (
            "a tenant that is not listed",
            "another issuer",
            token(&key, &iss(&op, STRANGER), STRANGER),
        ),
        (
            "a stranger's issuer, a listed tid",
            "another issuer",
            token(&key, &iss(&op, STRANGER), OURS),
        ),
        ("a listed issuer, a stranger's tid", "not listed", token(&key, &iss(&op, OURS), STRANGER)),
        ("a stranger's key", "does not show", token(&for_stranger, &iss(&op, OURS), OURS)),
        (
            "a key of no tenant",
            "does not show",
            token(&SigningKey::generate("k1").unwrap(), &iss(&op, OURS), OURS),
        ),
    ] {
        let error = daemon.identify("entra", &bad).await.expect_err(attack);
        assert_eq!(error.kind(), Kind::Unauthenticated, "{attack}");
        assert!(error.cause().unwrap().contains(reason), "{attack}: {error:?}");
    }
}

#[tokio::test]
async fn every_tenant_finds_the_provider_and_lists_show_the_configured_issuer() {
    let op = entra().await;
    let configured = format!("{}/organizations/v2.0", op.base);
    let daemon = Daemon::discovered(vec![for_tenants(options("entra", &configured))]).await;
    assert_eq!(daemon.view("entra").issuer, configured);
    let id = Some(ProviderId::parse("entra").unwrap());
    for issuer in [configured, iss(&op, OURS), iss(&op, SISTER)] {
        assert_eq!(daemon.providers.by_issuer(&issuer), id, "{issuer}");
    }
    for issuer in [iss(&op, STRANGER), iss(&op, "{tenantid}"), iss(&op, "common")] {
        assert_eq!(daemon.providers.by_issuer(&issuer), None, "{issuer}");
    }
}

#[tokio::test]
async fn a_document_that_is_not_the_template_is_refused() {
    let op = entra().await;
    let configured = format!("{}/organizations/v2.0", op.base);
    for issuer in
        [configured.clone(), iss(&op, OURS), "https://canary.example/{tenantid}/v2.0".into()]
    {
        let document = op.document_with(json!({"issuer": issuer}));
        for path in ["organizations", "common"] {
            let document = Answer::Json(document.clone());
            op.answer(&format!("/{path}/v2.0/.well-known/openid-configuration"), document);
        }
        let daemon = Daemon::start(vec![for_tenants(browser_options("entra", &configured))]);
        daemon.fails("entra", "another issuer").await;
    }
    // A template where none was configured: `tenants` cannot be given there, so users of every
    // tenant could sign in.
    op.answer(
        "/.well-known/openid-configuration",
        Answer::Json(op.document_with(json!({"issuer": iss(&op, "{tenantid}")}))),
    );
    let daemon = Daemon::start(vec![browser_options("op", &op.base)]);
    daemon.fails("op", "is a template").await;
}

#[tokio::test]
async fn two_providers_of_one_tenant_are_refused_at_the_start() {
    let provider = |id: &str, issuer: &str, tenants: &[&str]| {
        let mut options = browser_options(id, issuer);
        options.tenants = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
        options
    };
    let one_tenant = format!("https://127.0.0.1:9/{OURS}/v2.0");
    let ports = ports(&ManualClock::default(), &Arc::new(TestTasks::new()));
    for (other, refused) in [
        (provider("b", "https://127.0.0.1:9/common/v2.0", &[OURS]), true),
        (provider("b", &one_tenant, &[]), true),
        (provider("b", "https://127.0.0.1:9/common/v2.0", &[STRANGER]), false),
        (provider("b", "https://127.0.0.1:10/common/v2.0", &[OURS]), false),
    ] {
        let both = vec![
            provider("a", "https://127.0.0.1:9/organizations/v2.0", &[OURS, SISTER]),
            other.clone(),
        ];
        let outcome = OidcProviders::start(both, &Limits::default(), &ports);
        let settings = outcome
            .err()
            .map(|faults| faults.iter().map(|fault| fault.setting).collect::<Vec<_>>());
        assert_eq!(settings, refused.then(|| vec!["issuer"]), "{}", other.issuer);
    }
}
