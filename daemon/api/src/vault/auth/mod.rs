//! Signing in: the address of the provider, the redirect back, the question to the user, the socket
//! on which a client waits, and refreshing and ending a session.
//!
//! Never here: a query or a header of these routes in a log line. They carry codes, states and
//! tokens.

mod answer;
mod page;

use std::net::{IpAddr, Ipv4Addr};

use credsmith_core::caller::{Client, Member};
use credsmith_core::error::{Error, Kind};
use credsmith_core::ids::ProviderId;
use credsmith_core::secret::Secret;
use credsmith_core::session::{
    Address, Callback, ProviderReply, Sessions, SignInResult, TokenPair, WaitingClient,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::Authenticator;
use super::cx::Cx;
use super::refuse::{self, Refusal};
use super::route::{Access, Outcome, Route};
use crate::docs::Content;
use crate::{log, negotiate};

const X_REFRESH_TOKEN: HeaderName = HeaderName::from_static("x-refresh-token");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v1/auth/uri", Access::Public, |cx| begin(cx).boxed())
            .named("beginSignIn")
            .summary("Begins a sign-in: where to send the browser, and the key to wait with.")
            .query::<String>("provider", "Id of the provider to sign in at. Without it the default one.")
            .answers::<Begun>(StatusCode::OK, "Successfully fetch Auth URI"),
        redirect(Route::get("/v1/auth/redirect", Access::Public, |cx| finish(cx, None).boxed()))
            .named("finishSignIn")
            .summary("The address to which a provider sends the browser back."),
        redirect(Route::get("/v1/auth/redirect/{provider}", Access::Public, |cx| {
            finish_at_own(cx).boxed()
        }))
        .named("finishSignInAtProvider")
        .summary("The same for a provider that has an address of its own: each but the first one."),
        answer::route(),
        Route::get("/v1/auth/socket", Access::Public, |cx| wait(cx).boxed())
            .named("waitForSignIn")
            .summary("Waits as a WebSocket for the result of a sign-in: one text with the tokens, or with an error.")
            .needs_query::<String>("callbackKey", "The callback key.")
            .answer(StatusCode::SWITCHING_PROTOCOLS, Content::Nothing { about: "The socket." })
            .fails(&[
                StatusCode::BAD_REQUEST,
                StatusCode::FORBIDDEN,
                StatusCode::NOT_FOUND,
                StatusCode::CONFLICT,
                StatusCode::UPGRADE_REQUIRED,
            ]),
        Route::post("/v1/auth/refresh", Access::Public, |cx| refresh(cx).boxed())
            .named("refreshTokens")
            .summary("New tokens for a refresh token, which is spent by the exchange. A spent one ends the session, unless it was spent a moment ago.")
            .needs_header::<String>("x-refresh-token", "The refresh token.")
            .answers::<Tokens>(StatusCode::CREATED, "Token refreshed successfully!")
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::post("/v1/auth/logout", Access::Caller, |cx| sign_out(cx).boxed())
            .named("signOut")
            .summary("Ends the session of the token.")
            .answers::<()>(StatusCode::OK, "Logged out."),
    ]
}

fn redirect(row: Route) -> Route {
    let row = row
        .needs_query::<String>("state", "The callback key.")
        .query::<String>("code", "The code of the provider for a sign-in.")
        .query::<String>("error", "The error of the provider instead of a code.")
        .query::<String>("error_description", "What the provider says about it, for the log.")
        .query::<String>("iss", "The issuer (RFC 9207).")
        .answers::<Option<Tokens>>(StatusCode::OK, "Signed in.")
        .fails(&[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]);
    with_pages(row, &[StatusCode::NOT_FOUND])
}

/// `row` with a page for each status that a browser may meet at the end of a sign-in.
fn with_pages(row: Route, more: &[StatusCode]) -> Route {
    const PAGE: Content = Content::Other { about: "A page that says so.", media_type: "text/html" };
    let statuses = [
        StatusCode::OK,
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    statuses.iter().chain(more).fold(row, |row, status| row.answer(*status, PAGE))
}

/// A sign-in that has begun.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Begun<'a> {
    /// Where to send the browser.
    uri: &'a str,
    /// The key to wait with.
    callback_key: &'a str,
}

/// The tokens of a session.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Tokens<'a> {
    /// Valid for minutes.
    access_token: &'a str,
    /// Good for the next pair, once.
    refresh_token: &'a str,
}

impl<'a> From<&'a TokenPair> for Tokens<'a> {
    fn from(pair: &'a TokenPair) -> Self {
        let [access_token, refresh_token] =
            [&pair.access, &pair.refresh].map(|token| token.expose_str().unwrap_or_default());
        Self { access_token, refresh_token }
    }
}

impl Authenticator for Sessions {
    fn authenticate<'a>(
        &'a self,
        token: &'a Secret,
        client: Client,
    ) -> BoxFuture<'a, Result<Member, Error>> {
        self.authenticate(token, client).boxed()
    }

    fn public_keys(&self) -> Value {
        self.public_keys()
    }
}

async fn begin(cx: Cx) -> Outcome {
    let query = cx.query();
    let provider = query.one("provider")?.map(ProviderId::parse).transpose();
    let provider = provider
        .map_err(|_| Refusal::invalid(["provider".into()], "Expected the id of a provider."))?;
    let begun =
        cx.core().sessions.begin(provider.as_ref(), client_address(&cx)).map_err(begin_refusal)?;
    let callback_key = begun.callback_key.expose_str().unwrap_or_default();
    cx.success(&Begun { uri: &begun.uri, callback_key })
}

/// The browser of a sign-in at a provider with an address of its own.
async fn finish_at_own(cx: Cx) -> Outcome {
    let own = cx.id("provider", ProviderId::parse)?;
    finish(cx, Some(own)).await
}

async fn finish(cx: Cx, own_uri_of: Option<ProviderId>) -> Outcome {
    // A program that checks an address before its user opens it must not use the state up.
    if cx.method() == Method::HEAD {
        return Err(Refusal::MethodNotAllowed("GET, OPTIONS".to_owned()));
    }
    if is_prefetch(cx.headers()) {
        return Err(prefetched());
    }
    let wants_json = wants_json(&cx);
    let nonce = cx.core().sessions.nonce();
    // The exchange of the code waits for its turn at the provider, which is a bound of its own.
    cx.release();
    let finished = match callback(&cx, own_uri_of, wants_json) {
        Ok(callback) => cx.core().sessions.finish(callback).await.map_err(finish_refusal),
        Err(refusal) => Err(refusal),
    };
    match (finished, wants_json) {
        (Ok(SignInResult::Tokens(pair)), _) => cx.success(&Some(Tokens::from(&pair))),
        // No program can answer for its user: whatever was asked for, this is a page.
        (Ok(SignInResult::Ask(confirmation)), _) => {
            Ok(page::question(&nonce, &answer::relative_path(&cx), &confirmation))
        }
        (Ok(SignInResult::Delivered), true) => cx.success(&None::<Tokens<'_>>),
        (Ok(SignInResult::Delivered), false) => Ok(page::signed_in(&nonce)),
        (Err(refusal), true) => Err(refusal),
        (Err(refusal), false) => Ok(page::not_signed_in(&nonce, refusal)),
    }
}

/// Whether a browser fetches ahead of its user, who may never open the address.
fn is_prefetch(headers: &HeaderMap) -> bool {
    let says_so = |value: &HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        let has = |word: &[u8]| value.windows(word.len()).any(|part| part == word);
        has(b"prefetch") || has(b"prerender") || has(b"preview")
    };
    ["sec-purpose", "purpose", "x-purpose", "x-moz"]
        .iter()
        .any(|name| headers.get_all(*name).iter().any(says_so))
}

/// Not a page: none is kept for the user, whose browser asks again.
fn prefetched() -> Refusal {
    let sentence = "The end of a sign-in is not fetched ahead; nothing was changed.";
    Error::new(Kind::Forbidden, sentence).into()
}

/// The callback that the browser brought. `code` beside `error` is no answer of a provider.
fn callback(
    cx: &Cx,
    own_uri_of: Option<ProviderId>,
    wants_tokens: bool,
) -> Result<Callback, Refusal> {
    let query = cx.query();
    let state = query
        .one("state")?
        .ok_or_else(|| Refusal::invalid(["state".into()], "This is required."))?;
    let reply = match (query.one("code")?, query.one("error")?) {
        (Some(code), None) => ProviderReply::Code(Secret::new(code)),
        (_, error) => ProviderReply::Refused {
            error: error.map(str::to_owned),
            description: query.one("error_description").ok().flatten().map(str::to_owned),
        },
    };
    let issuer = query.one("iss")?.map(str::to_owned);
    let (state, from, client) = (Secret::new(state), client_address(cx), cx.client());
    Ok(Callback { state, reply, own_uri_of, issuer, from, wants_tokens, client })
}

async fn wait(cx: Cx) -> Outcome {
    if !cx.origin_may_open_sockets() {
        return Err(
            Error::new(Kind::Forbidden, "Pages of this origin open no sockets here.").into()
        );
    }
    let query = cx.query();
    let key = Secret::new(query.one("callbackKey")?.ok_or(Refusal::NotFound)?);
    let (sessions, from) = (&cx.core().sessions, client_address(&cx));
    sessions.check_attach(&key, from)?;
    let handshake = cx.handshake()?;
    let client = sessions.attach(&key, from)?;
    cx.release();
    Ok(handshake.accept(move |socket| {
        async move {
            // A socket counts until it is closed: a client that reads slowly, or breaks the
            // protocol, frees no place for another one meanwhile.
            socket.deliver(outcome(&client)).await;
            drop(client);
        }
        .boxed()
    }))
}

/// The only text that a waiting client gets.
async fn outcome(client: &WaitingClient) -> String {
    let text = match client.tokens().await {
        Ok(pair) => json!({ "event": "auth:callback", "data": Tokens::from(&pair) }),
        Err(error) => {
            log::failure(&error);
            json!({ "event": "auth:error", "data": { "message": error.public() } })
        }
    };
    text.to_string()
}

async fn refresh(cx: Cx) -> Outcome {
    let token = cx.header(&X_REFRESH_TOKEN).ok().flatten().ok_or(Refusal::NoToken)?;
    let pair = cx.core().sessions.refresh(&Secret::new(token), &cx.client()).await?;
    cx.success(&Tokens::from(&pair))
}

async fn sign_out(cx: Cx) -> Outcome {
    cx.core().sessions.sign_out(cx.member()?).await?;
    cx.success(&())
}

/// Whether the client is a program: its `Accept` names JSON, and no page.
fn wants_json(cx: &Cx) -> bool {
    let names = |kind| {
        cx.headers().get_all(ACCEPT).iter().any(|value| negotiate::names(value.as_bytes(), kind))
    };
    names("application/json") && !names("text/html")
}

/// The address of the client. All clients of unknown address share one.
fn client_address(cx: &Cx) -> Address {
    cx.address().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).into()
}

/// A provider that cannot be reached is 503: 502 is for the directory of companies.
fn begin_refusal(error: Error) -> Refusal {
    upstream_as(error, Kind::Busy, "The provider cannot be reached; please try again later.")
}

/// A sign-in whose provider could not be asked is over: the client has nothing to send again.
fn finish_refusal(error: Error) -> Refusal {
    upstream_as(
        error,
        Kind::Unauthenticated,
        "The provider could not be asked who you are; please begin again.",
    )
}

fn upstream_as(error: Error, kind: Kind, sentence: &'static str) -> Refusal {
    match error.kind() {
        Kind::Upstream => Error::new(kind, sentence).because(error).into(),
        _ => error.into(),
    }
}

#[cfg(test)]
mod question_tests;
#[cfg(test)]
mod tests;
