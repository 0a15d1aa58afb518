//! Signs the ID tokens of the demo provider and of tests. [`crate::tokens`] signs the daemon's own
//! tokens.
//!
//! Keys are for ECDSA on P-256 (`ES256`): every OpenID library verifies it, and signing takes
//! constant time.

use std::fmt;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::Serialize;
use serde_json::{Value, json};

/// A private key with its name. Neither printed nor exported.
pub struct SigningKey {
    id: String,
    private: EncodingKey,
    public: Value,
}

/// A key could not be generated or used. The cause is for the log.
#[derive(Debug)]
pub struct SigningError(String);

impl SigningError {
    pub(crate) fn because(cause: impl fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signing failed: {}", self.0)
    }
}

impl std::error::Error for SigningError {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// A fresh key from the system's random source. `id` is its `kid` in tokens.
    ///
    /// # Errors
    /// The system's random source failed.
    pub fn generate(id: &str) -> Result<Self, SigningError> {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(SigningError::because)?;
        let private = EncodingKey::from_ec_der(pkcs8.as_ref());
        let mut public =
            Jwk::from_encoding_key(&private, Algorithm::ES256).map_err(SigningError::because)?;
        public.common.key_id = Some(id.to_owned());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = serde_json::to_value(&public).map_err(SigningError::because)?;
        Ok(Self { id: id.to_owned(), private, public })
    }

    /// `claims` as a signed compact JWT. `kind` is its `typ`: a token of one kind must not be
    /// accepted as another (RFC 8725 section 3.11).
    ///
    /// # Errors
    /// The claims have no JSON form.
    pub fn sign(&self, kind: &str, claims: &impl Serialize) -> Result<String, SigningError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(kind.to_owned());
        header.kid = Some(self.id.clone());
        self.sign_as(&header, claims)
    }

    /// As [`SigningKey::sign`], with this header.
    pub(crate) fn sign_as(
        &self,
        header: &Header,
        claims: &impl Serialize,
    ) -> Result<String, SigningError> {
        jsonwebtoken::encode(header, claims, &self.private).map_err(SigningError::because)
    }

    /// The public half as a JSON Web Key (RFC 7517).
    pub fn public_jwk(&self) -> &Value {
        &self.public
    }

    /// The JSON Web Key Set of this key alone, as a provider publishes it.
    pub fn public_jwks(&self) -> Value {
        json!({ "keys": [self.public] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_half_is_published() {
        let key = SigningKey::generate("k1").unwrap();
        let jwk = key.public_jwk();
        assert_eq!((jwk["kty"].as_str(), jwk["crv"].as_str()), (Some("EC"), Some("P-256")));
        assert_eq!(
            (jwk["kid"].as_str(), jwk["use"].as_str(), jwk["alg"].as_str()),
            (Some("k1"), Some("sig"), Some("ES256"))
        );
        assert!(jwk.get("d").is_none());
        assert_eq!(format!("{key:?}"), "SigningKey(k1)");
    }
}
