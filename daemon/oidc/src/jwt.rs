//! Compact JWTs (RFC 7515, RFC 7519): the header, the signature, and what a token says of itself.
//!
//! The header is read here rather than by the crate jsonwebtoken, which refuses a token for an
//! unusual member that does not concern the signature, and does not know `Ed25519` as a name (RFC
//! 9864).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credsmith_core::caller::Claims;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};

use crate::answer::Object;

/// The parts of a header that select a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// `None`: not supported.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) key_id: Option<String>,
    /// Whether it has extensions that a reader has to understand (RFC 7515 section 4.1.11).
    pub(crate) critical: bool,
    members: Map<String, Value>,
}

impl Header {
    /// The header of a signed token; `None` if `token` is not one.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let (header, _, _) = parts(token)?;
        let Object(members) = object(header)?;
        Some(Self {
            algorithm: algorithm(members.get("alg")?.as_str()?),
            key_id: key_id(members.get("kid")),
            critical: members.contains_key("crit"),
            members,
        })
    }

    /// The member `typ` is this one, in any case and with or without `application/` (RFC 7515
    /// section 4.1.9).
    pub(crate) fn has_type(&self, name: &str) -> bool {
        let typ = self.members.get("typ").and_then(Value::as_str).unwrap_or_default();
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/").unwrap_or(&typ) == name
    }
}

/// The algorithm of that name, if it is an asymmetric one that is supported.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    let known = match name {
        // RFC 9864 section 2.2: the full name of the only curve of `EdDSA` that is used here.
        "Ed25519" => Algorithm::EdDSA,
        name => name.parse().ok()?,
    };
    (known.family() != AlgorithmFamily::Hmac).then_some(known)
}

/// The id of a key, which some write as a number.
pub(crate) fn key_id(id: Option<&Value>) -> Option<String> {
    match id? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// Why no signature of a token can be verified, for the log, if its form shows it. `client` names
/// the metadata of our registration at the provider, such as `userinfo`.
pub(crate) fn unverifiable(token: &str, client: &str) -> Option<String> {
    if token.split('.').count() == 5 {
        return Some(format!(
            "is encrypted, which is not supported: have the provider clear \
             `{client}_encrypted_response_alg` of our client"
        ));
    }
    let (header, _, _) = parts(token)?;
    let Object(members) = object(header)?;
    let name = members.get("alg")?.as_str()?;
    algorithm(name).is_none().then(|| {
        format!(
            "is not signed by an algorithm that is accepted here: have the provider set \
             `{client}_signed_response_alg` of our client to RS256 or ES256"
        )
    })
}

/// The claims of `token`, if it is signed with `key` by `algorithm` and no other. Checks no claim:
/// time and audience are checked elsewhere, by the daemon's clock and its own rules.
pub(crate) fn verified(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<Claims> {
    let (_, payload, signature) = parts(token)?;
    let (message, _) = token.rsplit_once('.')?;
    let holds = jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, algorithm).ok()?;
    holds.then(|| object(payload)).flatten().map(|Object(claims)| claims)
}

/// What a token says of itself, unverified: good for refusing it, never for believing it.
pub(crate) fn stated(token: &str) -> Option<Claims> {
    Header::of(token)?;
    let (_, payload, _) = parts(token)?;
    object(payload).map(|Object(claims)| claims)
}

/// Header, payload and signature.
fn parts(token: &str) -> Option<(&str, &str, &str)> {
    let mut parts = token.split('.');
    let three = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(three)
}

fn object(part: &str) -> Option<Object> {
    Object::parse(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(header: &Value, payload: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(header), part(payload))
    }

    #[test]
    fn a_header_names_key_and_algorithm() {
        let header = |header: Value| Header::of(&token(&header, &json!({})));
        let read = header(json!({"alg": "Ed25519", "kid": 7, "x5c": "odd"})).unwrap();
        assert_eq!(read.algorithm, Some(Algorithm::EdDSA));
        assert_eq!((read.key_id.as_deref(), read.critical), (Some("7"), false));
        assert!(header(json!({"alg": "ES256", "crit": []})).unwrap().critical);
        for unsupported in ["none", "nOnE", "HS256", "HS512", "ES256K", "", "RSA-OAEP"] {
            assert_eq!(header(json!({ "alg": unsupported })).unwrap().algorithm, None);
        }
        for no_token in [json!({}), json!({"alg": 7}), json!([]), json!("x")] {
            assert_eq!(header(no_token.clone()), None, "{no_token}");
        }
        for (typ, refresh) in [("rt+jwt", true), ("application/RT+JWT", true), ("at+jwt", false)] {
            let header = header(json!({"alg": "EdDSA", "typ": typ})).unwrap();
            assert_eq!(header.has_type("rt+jwt"), refresh, "{typ}");
        }
    }

    #[test]
    fn what_cannot_be_verified_is_explained() {
        let why = |token: &str| unverifiable(token, "userinfo").unwrap_or_default();
        assert!(why("a.b.c.d.e").contains("`userinfo_encrypted_response_alg`"));
        for alg in ["none", "HS256"] {
            let token = token(&json!({ "alg": alg }), &json!({}));
            assert!(why(&token).contains("`userinfo_signed_response_alg`"), "{alg}");
        }
        for other in ["", "a.b", "a.b.c", &token(&json!({"alg": "RS256"}), &json!({}))] {
            assert_eq!(why(other), "", "{other}");
        }
    }

    #[test]
    fn only_a_jwt_states_claims() {
        let jwt = token(&json!({"alg": "ES256"}), &json!({"iss": "x"}));
        assert_eq!(stated(&jwt).unwrap()["iss"], "x");
        for opaque in ["", "a.b.c", "opaque", &format!("{jwt}.x"), &jwt.replace('.', "")] {
            assert_eq!(stated(opaque), None, "{opaque}");
        }
    }
}
