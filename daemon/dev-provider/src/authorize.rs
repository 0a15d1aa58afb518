//! The authorization endpoint: the code flow with PKCE (RFC 6749 section 4.1, RFC 7636, OpenID
//! Connect Core section 3.1.2).

use credsmith_http::{HeaderValue, Reply, ReplyBody, Request, StatusCode, header};
use url::Url;

use crate::accounts::Account;
use crate::clients::Client;
use crate::ledger::{Code, Grant, random};
use crate::params::{Params, Repeated, Unread};
use crate::provider::{DevProvider, SCOPES};
use crate::{page, reply};

const REPEATED: &str = "A parameter came twice.";

pub(crate) fn by_query(provider: &DevProvider, request: &Request) -> Reply {
    match Params::of_query(request) {
        Ok(params) => answer(provider, &params),
        Err(Repeated) => page::refusal(REPEATED),
    }
}

pub(crate) async fn by_form(provider: &DevProvider, request: &mut Request) -> Reply {
    match Params::of_form(request).await {
        Ok(params) => answer(provider, &params),
        Err(Unread::Repeated) => page::refusal(REPEATED),
        Err(Unread::Fault(fault)) => reply::fault(fault),
    }
}

fn answer(provider: &DevProvider, params: &Params) -> Reply {
    // Until client and redirect URI are known to belong together, there is no redirect.
    let client = params
        .get("client_id")
        .and_then(|id| provider.clients.iter().find(|client| client.id() == id));
    let Some(client) = client else { return page::refusal("No such client is registered here.") };
    let uri = params.get("redirect_uri").and_then(|uri| client.accepts_redirect(uri));
    let Some(back) = uri else {
        return page::refusal("The redirect URI is not one of the client's.");
    };

    let asked = match Asked::read(params) {
        Ok(asked) => asked,
        Err((code, description)) => {
            return send_back(
                provider,
                back,
                params,
                &[("error", code), ("error_description", description)],
            );
        }
    };
    let account = params.get("login_hint").and_then(|name| provider.accounts.find(name));
    match account {
        Some(account) => grant(provider, client, back, params, &asked, account),
        None if params.get("prompt") == Some("none") => {
            send_back(provider, back, params, &[("error", "login_required")])
        }
        None => pick(provider, client, params),
    }
}

/// A request that can be granted.
struct Asked<'a> {
    scopes: Vec<String>,
    challenge: &'a str,
    nonce: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn read(params: &'a Params) -> Result<Self, (&'static str, &'static str)> {
        if params.get("request").is_some() {
            return Err(("request_not_supported", "request objects are not supported"));
        }
        if params.get("request_uri").is_some() {
            return Err(("request_uri_not_supported", "request objects are not supported"));
        }
        if params.get("response_type") != Some("code") {
            return Err(("unsupported_response_type", "the only response type is code"));
        }
        if params.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(("invalid_request", "the only response mode is query"));
        }
        let challenge = params
            .get("code_challenge")
            .filter(|_| params.get("code_challenge_method") == Some("S256"));
        let challenge = challenge.filter(|challenge| is_challenge(challenge));
        let challenge =
            challenge.ok_or(("invalid_request", "PKCE with the method S256 is required"))?;
        let asked = params.get("scope").unwrap_or_default();
        let scopes: Vec<String> =
            asked.split(' ').filter(|scope| SCOPES.contains(scope)).map(str::to_owned).collect();
        if !scopes.iter().any(|scope| scope == "openid") {
            return Err(("invalid_scope", "the scope openid is required"));
        }
        Ok(Self { scopes, challenge, nonce: params.get("nonce") })
    }
}

// BASE64URL(SHA-256(verifier)) of RFC 7636 section 4.2: always 43 characters.
fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn grant(
    provider: &DevProvider,
    client: &Client,
    back: Url,
    params: &Params,
    asked: &Asked<'_>,
    account: std::sync::Arc<Account>,
) -> Reply {
    let now = provider.now();
    let code = random().and_then(|family| {
        let grant = Grant {
            account,
            client: client.id().to_owned(),
            scopes: asked.scopes.clone(),
            audience: vec![client.id().to_owned()],
            authenticated: now,
            family,
        };
        let code = Code {
            grant,
            redirect_uri: params.get("redirect_uri").unwrap_or_default().to_owned(),
            challenge: asked.challenge.to_owned(),
            nonce: asked.nonce.map(str::to_owned),
        };
        provider.ledger.give_code(code, now)
    });
    match code {
        Ok(code) => send_back(provider, back, params, &[("code", &code)]),
        Err(_) => send_back(provider, back, params, &[("error", "server_error")]),
    }
}

fn pick(provider: &DevProvider, client: &Client, params: &Params) -> Reply {
    let choices = provider.accounts.listed().iter().map(|account| {
        (
            account.name.clone(),
            format!("/authorize?{}", params.query_with("login_hint", &account.name)),
        )
    });
    page::picker(client.id(), choices)
}

/// Sends the user back to the client, with the client's `state` and our issuer (RFC 9207).
fn send_back(
    provider: &DevProvider,
    mut back: Url,
    params: &Params,
    answer: &[(&str, &str)],
) -> Reply {
    let state = params.get("state").map(|state| ("state", state));
    let issuer = ("iss", provider.issuer.as_str());
    back.query_pairs_mut().extend_pairs(answer).extend_pairs(state).extend_pairs([issuer]);
    match HeaderValue::from_str(back.as_str()) {
        Ok(location) => reply::no_store(ReplyBody::with_header(
            StatusCode::SEE_OTHER,
            header::LOCATION,
            location,
        )),
        Err(_) => page::refusal("The redirect URI cannot be used."),
    }
}
