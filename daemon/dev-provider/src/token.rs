//! The token endpoint: codes and refresh tokens become tokens (RFC 6749 sections 4.1.3 and 6).

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credsmith_http::{Reply, Request, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::clients::{self, Client};
use crate::ledger::{Code, Grant};
use crate::params::{Params, Unread};
use crate::provider::{DevProvider, seconds};
use crate::reply;

pub(crate) async fn endpoint(provider: &DevProvider, request: &mut Request) -> Reply {
    let form = match Params::of_form(request).await {
        Ok(form) => form,
        Err(Unread::Repeated) => return refuse("invalid_request", "a parameter came twice"),
        Err(Unread::Fault(fault)) => return reply::fault(fault),
    };
    let client = match clients::authenticate(&provider.clients, request.headers(), &form) {
        Ok(client) => client,
        Err(unproven) => return unproven.reply(),
    };
    match form.get("grant_type") {
        Some("authorization_code") => redeem(provider, client, &form),
        Some("refresh_token") => refresh(provider, client, &form),
        Some(_) => {
            refuse("unsupported_grant_type", "known are authorization_code and refresh_token")
        }
        None => refuse("invalid_request", "the grant_type is missing"),
    }
}

fn refuse(code: &'static str, description: &str) -> Reply {
    reply::error(StatusCode::BAD_REQUEST, code, description)
}

fn redeem(provider: &DevProvider, client: &Client, form: &Params) -> Reply {
    let (Some(text), Some(verifier)) = (form.get("code"), form.get("code_verifier")) else {
        return refuse("invalid_request", "code and code_verifier are required");
    };
    // The code is spent by the attempt, whether or not the rest fits.
    let code = provider.ledger.take_code(text, provider.now()).filter(|code| {
        code.grant.client == client.id()
            && form.get("redirect_uri") == Some(code.redirect_uri.as_str())
            && matches_challenge(verifier, &code.challenge)
    });
    match code {
        Some(Code { grant, nonce, .. }) => hand_over(provider, grant, nonce.as_deref()),
        None => refuse(
            "invalid_grant",
            "the code is unknown, spent, expired, or was given for something else",
        ),
    }
}

// RFC 7636 sections 4.1 and 4.6
fn matches_challenge(verifier: &str, challenge: &str) -> bool {
    let plain = verifier.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    let computed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    plain
        && (43..=128).contains(&verifier.len())
        && computed.as_bytes().ct_eq(challenge.as_bytes()).into()
}

fn refresh(provider: &DevProvider, client: &Client, form: &Params) -> Reply {
    let Some(text) = form.get("refresh_token") else {
        return refuse("invalid_request", "the refresh_token is missing");
    };
    let unknown = || {
        refuse(
            "invalid_grant",
            "the refresh token is unknown, spent, expired, or of another client",
        )
    };
    let Some(granted) =
        provider.ledger.peek_refresh(text).filter(|grant| grant.client == client.id())
    else {
        return unknown();
    };
    let Some(scopes) = narrowed(&granted.scopes, form.get("scope")) else {
        return refuse("invalid_scope", "a refresh cannot widen the scope");
    };
    match provider.ledger.take_refresh(text, provider.now()) {
        Some(grant) => hand_over(provider, Grant { scopes, ..grant }, None),
        None => unknown(),
    }
}

fn narrowed(granted: &[String], asked: Option<&str>) -> Option<Vec<String>> {
    let Some(asked) = asked else { return Some(granted.to_vec()) };
    let asked: Vec<String> =
        asked.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    asked.iter().all(|scope| granted.contains(scope)).then_some(asked)
}

/// An id token, an access token and a refresh token, which replaces the one that was shown.
fn hand_over(provider: &DevProvider, grant: Grant, nonce: Option<&str>) -> Reply {
    let now = provider.now();
    let (scope, mut claims) = (grant.scopes.join(" "), id_claims(provider, &grant, nonce, now));
    let refresh = provider.ledger.give_refresh(grant.clone(), now).ok();
    let access = provider.ledger.give_access(grant, now, provider.token_lifetime).ok();
    claims.extend(access.iter().map(|access| ("at_hash".to_owned(), at_hash(access).into())));
    let id_token = provider.key.sign("JWT", &claims).ok();
    let (Some(id_token), Some(refresh), Some(access)) = (id_token, refresh, access) else {
        return reply::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "the system gives no randomness",
        );
    };
    reply::private_json(
        StatusCode::OK,
        &json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": provider.token_lifetime.as_secs(),
            "refresh_token": refresh,
            "scope": scope,
            "id_token": id_token,
        }),
    )
}

// OpenID Connect Core section 3.1.3.6, for ES256.
fn at_hash(access: &str) -> String {
    let digest = Sha256::digest(access);
    let (left, _) = digest.split_at(digest.len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

// OpenID Connect Core section 2. What the scopes release stands here as well as in the userinfo
// answer, as with many providers, unless ID tokens are to be thin.
fn id_claims(
    provider: &DevProvider,
    grant: &Grant,
    nonce: Option<&str>,
    now: SystemTime,
) -> Map<String, Value> {
    let mut claims = grant.account.released(&grant.scopes);
    if provider.thin_id_tokens {
        claims.retain(|name, _| name == "sub");
    }
    claims.insert("iss".into(), provider.issuer.clone().into());
    claims.insert("aud".into(), grant.client.clone().into());
    claims.insert("iat".into(), seconds(now).into());
    claims.insert("exp".into(), seconds(now + provider.token_lifetime).into());
    claims.insert("auth_time".into(), seconds(grant.authenticated).into());
    claims.extend(nonce.map(|nonce| ("nonce".to_owned(), nonce.into())));
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7636_matches() {
        let (verifier, challenge) = (
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        );
        assert!(matches_challenge(verifier, challenge));
        assert!(!matches_challenge(&verifier.replace('d', "e"), challenge));
        assert!(!matches_challenge(challenge, challenge));
        assert!(!matches_challenge("short", &URL_SAFE_NO_PAD.encode(Sha256::digest("short"))));
    }

    #[test]
    fn a_scope_only_narrows() {
        let granted = ["openid".to_owned(), "email".to_owned()];
        assert_eq!(narrowed(&granted, None).unwrap(), granted);
        assert_eq!(narrowed(&granted, Some("openid")).unwrap(), ["openid"]);
        assert!(narrowed(&granted, Some("openid profile")).is_none());
    }
}
