//! From an HTTP request to a call (`daemon/dialects/watts.md` sections 1.3 and 1.4). Every fault
//! that does not depend on the caller is refused here, so that a malformed request is 400 before it
//! is 401.

use bytes::Bytes;
use credsmith_core::ids::{HandoffId, LeaseId, ProviderId};
use credsmith_core::leases::Leases;
use http::header::{ACCEPT, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::body::{self, IssueBody};
use super::path::{self, Resource, Version};
use super::refuse::{self, Refusal};
use crate::negotiate::{self, Accept, ContentType};

/// The header by which version 1 names the issuer.
pub(super) const ISSUER_HEADER: HeaderName = HeaderName::from_static("x-openid-connect-issuer");

/// A well-formed request.
#[derive(Debug)]
pub(super) struct DecodedRequest {
    pub(super) version: Version,
    pub(super) call: Call,
}

/// The core call that a request asks for, with its arguments.
#[derive(Debug)]
pub(super) enum Call {
    Providers,
    Info,
    Logout,
    AccessToken,
    Services(Issuer),
    Credentials(Issuer),
    Issue(Issuer, IssueBody),
    /// `None`: the text has not the form of an id, so no record has it.
    Collect(Issuer, Option<HandoffId>),
    Revoke(Issuer, Option<LeaseId>),
}

/// The provider that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Issuer {
    Configured(ProviderId),
    /// An issuer URL that is not configured. It is never dialled.
    Unknown,
}

/// Reads a request whose body has been read already.
pub(super) fn decode(
    leases: &Leases,
    method: &Method,
    behind_api: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<DecodedRequest, Refusal> {
    let content_type = match headers.get(CONTENT_TYPE) {
        None => ContentType::Other,
        Some(value) => negotiate::content_type(value.as_bytes()),
    };
    if content_type == ContentType::Malformed {
        return Err(Refusal::malformed());
    }
    let issuer_header = issuer_header(headers)?;
    let path = path::parse(behind_api, issuer_header).ok_or_else(Refusal::malformed)?;
    let issuer = || {
        path.issuer.as_deref().and_then(|text| resolve(leases, text)).ok_or_else(Refusal::malformed)
    };
    let reads = method == Method::GET || method == Method::HEAD;
    if method != Method::POST && body::is_json(body) {
        return Err(Refusal::malformed());
    }
    let call = match (path.resource, path.id.as_deref()) {
        (Resource::Providers, None) if reads => Call::Providers,
        (Resource::Info, None) if reads => Call::Info,
        (Resource::Logout, None) if reads => Call::Logout,
        (Resource::AccessToken, None) if reads => Call::AccessToken,
        (Resource::Services, None) if reads => Call::Services(issuer()?),
        (Resource::Credential, None) if reads => Call::Credentials(issuer()?),
        (Resource::CredentialData, Some(id)) if reads => {
            Call::Collect(issuer()?, HandoffId::parse(id).ok())
        }
        (Resource::Credential, None)
            if method == Method::POST && content_type == ContentType::Json =>
        {
            let issuer = issuer()?;
            Call::Issue(issuer, body::issue(body).ok_or_else(|| refuse::malformed_body(body))?)
        }
        (Resource::Credential, Some(id)) if method == Method::DELETE => {
            Call::Revoke(issuer()?, LeaseId::parse(id).ok())
        }
        _ => return Err(Refusal::malformed()),
    };
    Ok(DecodedRequest { version: path.version, call })
}

fn issuer_header(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(&ISSUER_HEADER).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::malformed());
    }
    first.map(|value| value.to_str().map_err(|_| Refusal::malformed())).transpose()
}

/// The provider that `text` names: by the id of one that lets users sign in, or by an `https`
/// issuer.
fn resolve(leases: &Leases, text: &str) -> Option<Issuer> {
    if let Ok(id) = ProviderId::parse(text)
        && let Some(provider) = leases.provider(&id)
    {
        return (!provider.login_disabled).then_some(Issuer::Configured(id));
    }
    let is_url = text.len() > 8 && text.starts_with("https://");
    is_url.then(|| leases.provider_by_issuer(text).map_or(Issuer::Unknown, Issuer::Configured))
}

/// Whether the client takes JSON.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(ACCEPT).iter().map(http::HeaderValue::as_bytes);
    let Some(first) = values.next() else { return Ok(()) };
    let joined = values.fold(first.to_vec(), |joined, next| [&joined, &b","[..], next].concat());
    match negotiate::accept(&joined) {
        Accept::Json => Ok(()),
        Accept::NotJson => Err(Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            "The answer is JSON; accept application/json to get it.",
        )),
        Accept::Malformed => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "The Accept header is no list of media ranges.",
        )),
    }
}

/// The outcome of a conditional request, where no resource has an entity tag: it proceeds, or it
/// ends with this status.
pub(super) fn precondition(method: &Method, headers: &HeaderMap) -> Result<(), StatusCode> {
    let names_tags =
        |name| headers.get_all(name).iter().any(|value| value.as_bytes().trim_ascii() != b"*");
    if names_tags(IF_MATCH) || names_tags(IF_NONE_MATCH) {
        return Err(StatusCode::PRECONDITION_FAILED);
    }
    if !headers.contains_key(IF_NONE_MATCH) {
        return Ok(());
    }
    let reads = method == Method::GET || method == Method::HEAD;
    Err(if reads { StatusCode::NOT_MODIFIED } else { StatusCode::PRECONDITION_FAILED })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn preconditions_without_entity_tags() {
        let cases = [
            (Method::GET, IF_MATCH, "\"x\"", Err(StatusCode::PRECONDITION_FAILED)),
            (Method::GET, IF_MATCH, "*", Ok(())),
            (Method::GET, IF_NONE_MATCH, "*", Err(StatusCode::NOT_MODIFIED)),
            (Method::POST, IF_NONE_MATCH, "*", Err(StatusCode::PRECONDITION_FAILED)),
            (Method::GET, IF_NONE_MATCH, "\"x\"", Err(StatusCode::PRECONDITION_FAILED)),
        ];
        for (method, name, value, expected) in cases {
            assert_eq!(
                precondition(&method, &headers(&[(name.clone(), value)])),
                expected,
                "{method} {name} {value}"
            );
        }
    }
}
