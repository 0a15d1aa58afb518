//! The claims of our tokens: signing them, and checking those of a token that a client shows.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{Options, SCOPES};
use crate::error::Error;
use crate::ids::{SessionId, UserId};
use crate::model::session::Session;
use crate::ports::tokens::{TokenKind, Tokens};
use crate::ports::{Entropy, random_16};
use crate::secret::Secret;
use crate::time::Timestamp;

/// How far in the future `iat` may be: the clock may have been set back since.
const SKEW: Duration = Duration::from_secs(60);

/// The claims of an access token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccessClaims {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    pub(super) scopes: Vec<String>,
}

/// The claims of a refresh token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RefreshClaims {
    pub(super) session: SessionId,
    pub(super) expires: Timestamp,
}

/// An access token for `session` (RFC 9068).
pub(super) fn access(
    session: &Session,
    now: Timestamp,
    options: &Options,
    entropy: &dyn Entropy,
    tokens: &dyn Tokens,
) -> Result<Secret, Error> {
    let expires = (now + options.access_lifetime).min(session.ends);
    let claims = json!({
        "iss": options.issuer,
        "aud": options.audience,
        "sub": session.user.as_str(),
        "sid": session.id.as_str(),
        "scope": SCOPES.join(" "),
        "iat": now.as_secs(),
        "exp": expires.as_secs(),
        "jti": token_id(entropy),
    });
    sign(TokenKind::Access, claims, tokens)
}

/// A refresh token of the session `id`, valid until `expires`.
pub(super) fn refresh(
    id: SessionId,
    expires: Timestamp,
    entropy: &dyn Entropy,
    tokens: &dyn Tokens,
) -> Result<Secret, Error> {
    let claims = json!({ "sid": id.as_str(), "exp": expires.as_secs(), "jti": token_id(entropy) });
    sign(TokenKind::Refresh, claims, tokens)
}

fn sign(kind: TokenKind, claims: Value, tokens: &dyn Tokens) -> Result<Secret, Error> {
    match claims {
        Value::Object(claims) => tokens.sign(kind, &claims),
        _ => Err(Error::internal("claims that are no object")),
    }
}

fn token_id(entropy: &dyn Entropy) -> String {
    URL_SAFE_NO_PAD.encode(random_16(entropy))
}

/// The claims of `token`, if it is an access token of our issuer and audience that is valid `now`.
pub(super) fn read_access(
    token: &Secret,
    now: Timestamp,
    options: &Options,
    tokens: &dyn Tokens,
) -> Option<AccessClaims> {
    let claims = tokens.verify(TokenKind::Access, token)?;
    let is_ours =
        text(&claims, "iss")? == options.issuer && text(&claims, "aud")? == options.audience;
    let is_valid = time(&claims, "exp")? > now && time(&claims, "iat")? <= now + SKEW;
    let read = AccessClaims {
        user: UserId::parse(text(&claims, "sub")?).ok()?,
        session: SessionId::parse(text(&claims, "sid")?).ok()?,
        scopes: text(&claims, "scope")?.split_ascii_whitespace().map(str::to_owned).collect(),
    };
    (is_ours && is_valid).then_some(read)
}

/// The claims of `token`, if it is a refresh token of ours. Does not check whether it has expired.
pub(super) fn read_refresh(token: &Secret, tokens: &dyn Tokens) -> Option<RefreshClaims> {
    let claims = tokens.verify(TokenKind::Refresh, token)?;
    let session = SessionId::parse(text(&claims, "sid")?).ok()?;
    Some(RefreshClaims { session, expires: time(&claims, "exp")? })
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

fn time(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    claims.get(name)?.as_u64().map(Timestamp::from_secs)
}
