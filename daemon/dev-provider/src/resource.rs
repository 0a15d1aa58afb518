//! The endpoints for access tokens: userinfo (OpenID Connect Core section 5.3), introspection (RFC
//! 7662).

use credsmith_http::{HeaderMap, HeaderValue, Reply, ReplyBody, Request, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::clients::{self, Unproven};
use crate::ledger::Access;
use crate::params::{Params, Unread};
use crate::provider::{DevProvider, seconds};
use crate::reply;

/// Errors as RFC 6750 section 3 has them.
pub(crate) fn userinfo(provider: &DevProvider, headers: &HeaderMap) -> Reply {
    let Some(token) = bearer(headers) else {
        let refused =
            reply::error(StatusCode::UNAUTHORIZED, "invalid_request", "a bearer token is required");
        return reply::with(refused, header::WWW_AUTHENTICATE, "Bearer realm=\"dev-provider\"");
    };
    let Some(access) = provider.ledger.access(token, provider.now()) else {
        let refused = reply::error(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "the token is unknown, expired or revoked",
        );
        let challenge = "Bearer realm=\"dev-provider\", error=\"invalid_token\"";
        return reply::with(refused, header::WWW_AUTHENTICATE, challenge);
    };
    let Access { grant, .. } = access;
    if !grant.scopes.iter().any(|scope| scope == "openid") {
        let refused = reply::error(
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "the token lacks the scope openid",
        );
        let challenge =
            "Bearer realm=\"dev-provider\", error=\"insufficient_scope\", scope=\"openid\"";
        return reply::with(refused, header::WWW_AUTHENTICATE, challenge);
    }
    let claims = grant.account.released(&grant.scopes);
    if provider.signed_userinfo {
        signed(provider, claims, &grant.client)
    } else {
        reply::private_json(StatusCode::OK, &Value::Object(claims))
    }
}

/// The claims as a signed JWT (OpenID Connect Core section 5.3.2).
fn signed(provider: &DevProvider, mut claims: Map<String, Value>, client: &str) -> Reply {
    claims.insert("iss".into(), provider.issuer.clone().into());
    claims.insert("aud".into(), client.into());
    match provider.key.sign("JWT", &claims) {
        Ok(jwt) => {
            const JWT: HeaderValue = HeaderValue::from_static("application/jwt");
            reply::no_store(ReplyBody::typed(StatusCode::OK, JWT, jwt))
        }
        Err(_) => reply::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "the answer cannot be signed",
        ),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

pub(crate) async fn introspect(provider: &DevProvider, request: &mut Request) -> Reply {
    let form = match Params::of_form(request).await {
        Ok(form) => form,
        Err(Unread::Repeated) => {
            return reply::error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "a parameter came twice",
            );
        }
        Err(Unread::Fault(fault)) => return reply::fault(fault),
    };
    let client = match clients::authenticate(&provider.clients, request.headers(), &form) {
        Ok(client) => client,
        // A client without credentials gets the same answer as one with wrong credentials (RFC 7662
        // section 2.3).
        Err(Unproven::Muddled) => return Unproven::Wrong { by_header: true }.reply(),
        Err(unproven) => return unproven.reply(),
    };
    if !client.is_confidential() {
        return Unproven::Wrong { by_header: false }.reply();
    }
    let Some(token) = form.get("token") else {
        return reply::error(StatusCode::BAD_REQUEST, "invalid_request", "the token is missing");
    };
    let known = provider.ledger.access(token, provider.now());
    let answer =
        known.map_or_else(|| json!({ "active": false }), |access| describe(provider, &access));
    reply::private_json(StatusCode::OK, &answer)
}

fn describe(provider: &DevProvider, access: &Access) -> Value {
    let grant = &access.grant;
    json!({
        "active": true,
        "iss": provider.issuer,
        "sub": grant.account.name,
        "username": grant.account.name,
        "client_id": grant.client,
        "aud": grant.audience,
        "scope": grant.scopes.join(" "),
        "token_type": "Bearer",
        "iat": seconds(access.issued),
        "exp": seconds(access.expires),
    })
}
