//! The crate openidconnect signs a user in: discovery, code flow with PKCE, userinfo, refresh,
//! introspection.

use std::collections::HashMap;

use http::StatusCode;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, IntrospectionUrl, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenIntrospectionResponse as _, TokenResponse as _,
};
use url::Url;

use crate::support::{Dev, SECRET, Wire, json, text};

type App = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

const CALLBACK: &str = "http://127.0.0.1:45678/cb";

async fn app(dev: &Dev, wire: &Wire) -> App {
    let issuer = IssuerUrl::new(dev.base.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, wire).await.unwrap();
    let secret = ClientSecret::new(SECRET.to_owned());
    CoreClient::from_provider_metadata(metadata, ClientId::new("app".into()), Some(secret))
        .set_redirect_uri(RedirectUrl::new(CALLBACK.into()).unwrap())
        .set_introspection_url(IntrospectionUrl::new(format!("{}/introspect", dev.base)).unwrap())
}

struct Begun {
    code: String,
    verifier: PkceCodeVerifier,
    nonce: Nonce,
}

/// Goes to the authorization endpoint as `user` and comes back with a code.
async fn begin(dev: &Dev, app: &App, user: &str) -> Begun {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = app
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scopes(["profile", "email"].map(|scope| Scope::new(scope.into())))
        .set_pkce_challenge(challenge)
        .add_extra_param("login_hint", user)
        .url();
    let reply = dev.get(&format!("{}?{}", url.path(), url.query().unwrap())).await;
    assert_eq!(reply.status(), StatusCode::SEE_OTHER);
    let location = Url::parse(reply.headers()["location"].to_str().unwrap()).unwrap();
    assert!(location.as_str().starts_with(&format!("{CALLBACK}?")), "{location}");
    let answer: HashMap<_, _> = location.query_pairs().into_owned().collect();
    assert_eq!(&answer["state"], state.secret());
    assert_eq!(answer["iss"], dev.base);
    Begun { code: answer["code"].clone(), verifier, nonce }
}

async fn redeem(
    app: &App,
    wire: &Wire,
    code: &str,
    verifier: PkceCodeVerifier,
) -> Result<CoreTokenResponse, String> {
    let request = app
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .unwrap()
        .set_pkce_verifier(verifier);
    request.request_async(wire).await.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn a_user_signs_in() {
    let dev = Dev::start().await;
    let wire = dev.wire();
    let app = app(&dev, &wire).await;
    let Begun { code, verifier, nonce } = begin(&dev, &app, "alice").await;
    let tokens = redeem(&app, &wire, &code, verifier).await.unwrap();

    let id_token = tokens.id_token().unwrap();
    let claims = id_token.claims(&app.id_token_verifier(), &nonce).unwrap();
    assert_eq!(claims.subject().as_str(), "alice");
    assert!(id_token.claims(&app.id_token_verifier(), &Nonce::new("another".into())).is_err());

    let access = tokens.access_token().clone();
    let info: CoreUserInfoClaims = app
        .user_info(access.clone(), Some(claims.subject().clone()))
        .unwrap()
        .request_async(&wire)
        .await
        .unwrap();
    assert_eq!(info.email().unwrap().as_str(), "alice@example.org");

    let introspection = app
        .introspect(&access)
        .set_token_type_hint("access_token")
        .request_async(&wire)
        .await
        .unwrap();
    assert!(introspection.active());
    assert_eq!(introspection.sub(), Some("alice"));
    assert_eq!(introspection.aud().unwrap(), &["app".to_owned()]);
}

#[tokio::test]
async fn a_wrong_verifier_gets_nothing_and_spends_the_code() {
    let dev = Dev::start().await;
    let wire = dev.wire();
    let app = app(&dev, &wire).await;
    let begun = begin(&dev, &app, "alice").await;
    let (_, wrong) = PkceCodeChallenge::new_random_sha256();
    let refusal = redeem(&app, &wire, &begun.code, wrong).await.unwrap_err();
    assert!(refusal.contains("invalid_grant"), "{refusal}");
    assert!(redeem(&app, &wire, &begun.code, begun.verifier).await.is_err());
}

#[tokio::test]
async fn a_code_that_comes_twice_ends_what_the_first_one_gave() {
    let dev = Dev::start().await;
    let wire = dev.wire();
    let app = app(&dev, &wire).await;
    let Begun { code, verifier, .. } = begin(&dev, &app, "bob").await;
    let again = PkceCodeVerifier::new(verifier.secret().clone());
    let tokens = redeem(&app, &wire, &code, verifier).await.unwrap();
    assert!(app.introspect(tokens.access_token()).request_async(&wire).await.unwrap().active());
    assert!(redeem(&app, &wire, &code, again).await.unwrap_err().contains("invalid_grant"));
    assert!(!app.introspect(tokens.access_token()).request_async(&wire).await.unwrap().active());
    assert!(
        app.exchange_refresh_token(tokens.refresh_token().unwrap())
            .unwrap()
            .request_async(&wire)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_code_ends_after_a_minute() {
    let dev = Dev::start().await;
    let wire = dev.wire();
    let app = app(&dev, &wire).await;
    let Begun { code, verifier, .. } = begin(&dev, &app, "bob").await;
    dev.clock.advance(std::time::Duration::from_secs(60));
    assert!(redeem(&app, &wire, &code, verifier).await.unwrap_err().contains("invalid_grant"));
}

#[tokio::test]
async fn refresh_tokens_rotate() {
    let dev = Dev::start().await;
    let wire = dev.wire();
    let app = app(&dev, &wire).await;
    let Begun { code, verifier, .. } = begin(&dev, &app, "alice").await;
    let first = redeem(&app, &wire, &code, verifier).await.unwrap();
    let refresh = async |tokens: &CoreTokenResponse| {
        app.exchange_refresh_token(tokens.refresh_token().unwrap())
            .unwrap()
            .request_async(&wire)
            .await
    };
    let second = refresh(&first).await.unwrap();
    assert_ne!(second.access_token().secret(), first.access_token().secret());
    let third = refresh(&second).await.unwrap();
    assert!(app.introspect(third.access_token()).request_async(&wire).await.unwrap().active());

    // An old one comes again: it was stolen, so the whole sign-in ends.
    assert!(refresh(&first).await.is_err());
    assert!(!app.introspect(third.access_token()).request_async(&wire).await.unwrap().active());
    assert!(refresh(&third).await.is_err());
}

#[tokio::test]
async fn another_client_cannot_use_the_code_or_the_refresh_token() {
    let dev = Dev::start().await;
    let wire = dev.wire();
    let app = app(&dev, &wire).await;
    let Begun { code, verifier, .. } = begin(&dev, &app, "alice").await;
    let form = |code: &str, verifier: &PkceCodeVerifier| {
        format!(
            "grant_type=authorization_code&client_id=cli&redirect_uri={CALLBACK}&code={code}&code_verifier={}",
            verifier.secret()
        )
    };
    let refused = dev.post("/token", &[], &form(&code, &verifier)).await;
    assert_eq!(
        (refused.status(), json(&refused)["error"].as_str()),
        (StatusCode::BAD_REQUEST, Some("invalid_grant"))
    );

    let Begun { code, verifier, .. } = begin(&dev, &app, "alice").await;
    let tokens = redeem(&app, &wire, &code, verifier).await.unwrap();
    let refresh = tokens.refresh_token().unwrap();
    let form = format!("grant_type=refresh_token&client_id=cli&refresh_token={}", refresh.secret());
    let refused = dev.post("/token", &[], &form).await;
    assert_eq!(json(&refused)["error"], "invalid_grant");
    // It was not spent by that.
    assert!(app.exchange_refresh_token(refresh).unwrap().request_async(&wire).await.is_ok());
}

#[tokio::test]
async fn a_public_client_signs_in_by_picking_an_account() {
    let dev = Dev::start().await;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let query = format!(
        "response_type=code&client_id=cli&scope=openid&state=%3Cs%26t%3E&redirect_uri={CALLBACK}&code_challenge={}&code_challenge_method=S256",
        challenge.as_str()
    );
    let page = dev.get(&format!("/authorize?{query}")).await;
    assert_eq!(page.status(), StatusCode::OK);
    let html = text(&page);
    let links: Vec<&str> =
        html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), 2, "{html}");
    assert!(links[1].contains("login_hint=bob") && !html.contains("<s&t>"), "{html}");

    let back = dev.get(&links[1].replace("&amp;", "&")).await;
    let location = Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
    let answer: HashMap<_, _> = location.query_pairs().into_owned().collect();
    assert_eq!(answer["state"], "<s&t>");
    let form = format!(
        "grant_type=authorization_code&client_id=cli&redirect_uri={CALLBACK}&code={}&code_verifier={}",
        answer["code"],
        verifier.secret()
    );
    let tokens = json(&dev.post("/token", &[], &form).await);
    assert_eq!(
        (tokens["token_type"].as_str(), tokens["scope"].as_str()),
        (Some("Bearer"), Some("openid"))
    );
}
