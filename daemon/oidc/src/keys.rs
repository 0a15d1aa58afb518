//! The public keys of a provider, and access tokens that are signed with them.
//!
//! Most access tokens are opaque. Where one is a JWT that the provider signed, its audience and its end count as seen
//! (RFC 9068 shows what providers put there; we rely on no more than RFC 7519).

use credsmith_core::caller::Claims;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use openidconnect::core::CoreJsonWebKeySet;

use crate::answer::Object;

/// More keys than any provider publishes; the rest is not tried.
const MAX_KEYS: usize = 32;

struct PublicKey {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// The signature keys that a provider publishes.
#[derive(Default)]
pub(crate) struct KeySet(Vec<PublicKey>);

/// What an access token turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Reading {
    /// Nothing that could be read: opaque, or signed by somebody else.
    Opaque,
    /// A JWT that names a key which is not in the set: the set may be out of date.
    UnknownKey,
    /// A JWT whose signature holds, with its claims.
    Signed(Claims),
}

impl KeySet {
    /// Takes the keys over that can verify signatures. Symmetric keys are never among them: a published one proves nothing.
    pub(crate) fn from_published(published: &CoreJsonWebKeySet) -> Self {
        let jwks = published.keys().iter().filter_map(|key| serde_json::to_value(key).ok());
        let keys =
            jwks.filter_map(|jwk| serde_json::from_value(jwk).ok()).filter_map(|jwk| PublicKey::new(&jwk));
        Self(keys.take(MAX_KEYS).collect())
    }

    /// Reads `token`, should it be a JWT of the provider. Judges the signature alone, no claim.
    pub(crate) fn read(&self, token: &str) -> Reading {
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Reading::Opaque };
        let named = |key: &&PublicKey| header.kid.is_none() || key.id == header.kid;
        let mut candidates = self.0.iter().filter(named).peekable();
        if candidates.peek().is_none() {
            return Reading::UnknownKey;
        }
        candidates
            .filter(|key| key.serves(header.alg))
            .find_map(|key| key.verify(token, header.alg))
            .map_or(Reading::Opaque, Reading::Signed)
    }
}

impl PublicKey {
    fn new(jwk: &Jwk) -> Option<Self> {
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let algorithm = match jwk.common.key_algorithm {
            Some(named) => Some(named.to_string().parse().ok()?),
            None => None,
        };
        let usable = key.family() != AlgorithmFamily::Hmac;
        usable.then(|| Self { id: jwk.common.key_id.clone(), algorithm, key })
    }

    fn serves(&self, algorithm: Algorithm) -> bool {
        self.key.family().algorithms().contains(&algorithm)
            && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn verify(&self, token: &str, algorithm: Algorithm) -> Option<Claims> {
        // Time and audience are judged elsewhere, by the daemon's clock and the provider's rule.
        let mut signature_only = Validation::new(algorithm);
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        let token = jsonwebtoken::decode::<Object>(token, &self.key, &signature_only).ok()?;
        Some(token.claims.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::signing::SigningKey;

    fn keys(published: &[&SigningKey]) -> KeySet {
        let jwks = json!({"keys": published.iter().map(|key| key.public_jwk().clone()).collect::<Vec<_>>()});
        KeySet::from_published(&serde_json::from_value(jwks).unwrap())
    }

    #[test]
    fn a_token_is_read_only_with_the_key_that_signed_it() {
        let (ours, other) = (SigningKey::generate("a").unwrap(), SigningKey::generate("b").unwrap());
        let token = ours.sign("at+jwt", &json!({"aud": "us", "exp": 1})).unwrap();
        let Reading::Signed(claims) = keys(&[&other, &ours]).read(&token) else { panic!("not read") };
        assert_eq!(claims["aud"], "us");
        assert_eq!(keys(&[&other]).read(&token), Reading::UnknownKey);
        assert_eq!(keys(&[]).read(&token), Reading::UnknownKey);

        let impostor = SigningKey::generate("a").unwrap();
        assert_eq!(keys(&[&impostor]).read(&token), Reading::Opaque);
    }

    #[test]
    fn neither_unsigned_nor_symmetric_tokens_count() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
        let ours = SigningKey::generate("a").unwrap();
        let set = keys(&[&ours]);
        let part = |value: serde_json::Value| B64.encode(value.to_string());
        let payload = part(json!({"aud": "us"}));
        for alg in ["none", "HS256", "ES384", "RS256", "EdDSA"] {
            let token =
                format!("{}.{payload}.{}", part(json!({"alg": alg, "kid": "a"})), B64.encode([0; 64]));
            assert_eq!(set.read(&token), Reading::Opaque, "{alg}");
        }
        let mac = jsonwebtoken::EncodingKey::from_secret(b"published");
        let token =
            jsonwebtoken::encode(&jsonwebtoken::Header::default(), &json!({"aud": "us"}), &mac).unwrap();
        let oct = json!({"keys": [{"kty": "oct", "k": B64.encode("published"), "use": "sig"}]});
        let set = KeySet::from_published(&serde_json::from_value(oct).unwrap());
        assert_eq!(set.read(&token), Reading::UnknownKey);
    }

    #[test]
    fn garbage_is_opaque() {
        let set = keys(&[&SigningKey::generate("a").unwrap()]);
        for token in ["", ".", "..", "a.b.c", "opaque", "eyJhbGciOiJFUzI1NiJ9..", "eyJhbGciOiJFUzI1NiJ9.e30."]
        {
            assert_eq!(set.read(token), Reading::Opaque, "{token}");
        }
    }
}
