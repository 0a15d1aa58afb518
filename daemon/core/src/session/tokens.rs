//! What our tokens say, and what has to be true of one that is shown.

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

/// By how much a token may seem to come from the future, when the clock was set back a little.
const SKEW: Duration = Duration::from_secs(60);

/// What an access token says of its bearer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    pub(super) scopes: Vec<String>,
}

/// What a refresh token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refresh {
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

/// A refresh token of the session `id` that holds until `expires`.
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

/// What `token` says, if it is an access token of ours, for us, and holds `now`.
pub(super) fn read_access(
    token: &Secret,
    now: Timestamp,
    options: &Options,
    tokens: &dyn Tokens,
) -> Option<Access> {
    let claims = tokens.verify(TokenKind::Access, token)?;
    let is_ours =
        text(&claims, "iss")? == options.issuer && text(&claims, "aud")? == options.audience;
    let holds = time(&claims, "exp")? > now && time(&claims, "iat")? <= now + SKEW;
    let read = Access {
        user: UserId::parse(text(&claims, "sub")?).ok()?,
        session: SessionId::parse(text(&claims, "sid")?).ok()?,
        scopes: text(&claims, "scope")?.split_ascii_whitespace().map(str::to_owned).collect(),
    };
    (is_ours && holds).then_some(read)
}

/// What `token` says, if it is a refresh token of ours; whether it holds still is for the caller to
/// judge.
pub(super) fn read_refresh(token: &Secret, tokens: &dyn Tokens) -> Option<Refresh> {
    let claims = tokens.verify(TokenKind::Refresh, token)?;
    let session = SessionId::parse(text(&claims, "sid")?).ok()?;
    Some(Refresh { session, expires: time(&claims, "exp")? })
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

fn time(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    claims.get(name)?.as_u64().map(Timestamp::from_secs)
}
