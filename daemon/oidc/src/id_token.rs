//! The validation of ID tokens (OpenID Connect Core section 3.1.3.7): pure rules over claims whose
//! signature has been verified.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credsmith_core::caller::Claims;
use credsmith_core::secret::Secret;
use credsmith_core::time::Timestamp;
use jsonwebtoken::Algorithm;
use ring::digest;
use serde_json::Value;

use crate::claims::{self, MAX_CLAIMS, timestamp};
use crate::error::ProviderError;
use crate::issuer::Issuer;
use crate::keys::Signed;

/// The values that the current sign-in expects in its ID token.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a Issuer,
    /// The issuer that the redirect named, if it named one.
    pub(crate) redirect_issuer: Option<&'a str>,
    /// The announced algorithms; `None`: any that a key of the provider is for.
    pub(crate) algorithms: Option<&'a [Algorithm]>,
    pub(crate) client_id: &'a str,
    /// Audiences that may stand beside `client_id` without an `azp`.
    pub(crate) extra_audiences: &'a [String],
    pub(crate) nonce: &'a Secret,
    pub(crate) access_token: Option<&'a Secret>,
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

impl Expected<'_> {
    /// Validates `token` and returns its issuer.
    ///
    /// # Errors
    /// The reason for the log.
    pub(crate) fn validate(&self, token: &Signed) -> Result<String, ProviderError> {
        let claims = &token.claims;
        if self.algorithms.is_some_and(|announced| !announced.contains(&token.algorithm)) {
            return Err(
                "the ID token is signed by an algorithm that the provider does not announce".into(),
            );
        }
        let issuer = self.issuer.of_claims(claims)?;
        if self.redirect_issuer.is_some_and(|named| named != issuer) {
            return Err("the redirect named another issuer than the ID token".into());
        }
        self.check_audience(claims)?;
        self.check_times(claims)?;
        self.check_nonce(claims)?;
        self.check_access_token_hash(claims, token.algorithm)?;
        if claims::text_length(claims) > MAX_CLAIMS {
            return Err("the claims of the user are too large".into());
        }
        claims::subject(claims, "sub")?;
        Ok(issuer)
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), &'static str> {
        let audiences = match claims.get("aud") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(list)) => list
                .iter()
                .map(Value::as_str)
                .collect::<Option<_>>()
                .ok_or("`aud` is not a list of strings")?,
            _ => return Err("`aud` is missing, or neither a string nor a list"),
        };
        if !audiences.contains(&self.client_id) {
            return Err("the ID token is meant for another client");
        }
        let expected = |audience: &&str| {
            *audience == self.client_id || self.extra_audiences.iter().any(|own| own == audience)
        };
        match claims.get("azp") {
            None if audiences.iter().all(expected) => Ok(()),
            None => Err(
                "the ID token is meant for several clients and does not say for which it was made; \
                 `extra_audiences` names those that are expected",
            ),
            Some(Value::String(party)) if party == self.client_id => Ok(()),
            Some(_) => Err("the ID token was made for another client"),
        }
    }

    fn check_times(&self, claims: &Claims) -> Result<(), ProviderError> {
        let end = timestamp(claims, "exp")?.ok_or("`exp` is missing")?;
        let made = timestamp(claims, "iat")?.ok_or("`iat` is missing")?;
        let start = timestamp(claims, "nbf")?;
        if end + self.skew <= self.now {
            return Err("the ID token has expired".into());
        }
        if made > self.now + self.skew || start.is_some_and(|start| start > self.now + self.skew) {
            return Err("the ID token is not valid yet".into());
        }
        Ok(())
    }

    // Without the nonce, an ID token that was stolen from another sign-in would be accepted.
    fn check_nonce(&self, claims: &Claims) -> Result<(), &'static str> {
        let nonce =
            claims.get("nonce").and_then(Value::as_str).ok_or("`nonce` is missing or no string")?;
        self.nonce
            .verify(nonce.as_bytes())
            .then_some(())
            .ok_or("the ID token is of another sign-in")
    }

    fn check_access_token_hash(
        &self,
        claims: &Claims,
        algorithm: Algorithm,
    ) -> Result<(), &'static str> {
        let Some(stated) = claims.get("at_hash") else { return Ok(()) };
        let token = self
            .access_token
            .ok_or("the ID token has the hash of an access token that was not sent")?;
        let computed = left_half(algorithm, token.expose());
        (stated.as_str() == Some(computed.as_str()))
            .then_some(())
            .ok_or("`at_hash` is of another access token")
    }
}

// OpenID Connect Core section 3.1.3.6. Ed25519 hashes with SHA-512.
fn left_half(algorithm: Algorithm, token: &[u8]) -> String {
    let hash = match algorithm {
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &digest::SHA384,
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => &digest::SHA512,
        _ => &digest::SHA256,
    };
    let digest = digest::digest(hash, token);
    let (left, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

/// Whether the provider states that the `email` is the user's own: `email_verified` of the
/// standard, or Entra's `xms_edov` (the owner of the email's domain is verified), in the spellings
/// that occur.
pub(crate) fn email_is_verified(claims: &Claims) -> bool {
    let is = |name: &str, spellings: &[Value]| {
        claims.get(name).is_some_and(|value| spellings.contains(value))
    };
    is("email_verified", &[true.into(), "true".into()])
        || is("xms_edov", &[true.into(), "true".into(), 1.into(), "1".into()])
}

/// Whether the provider left the groups out because there are too many of them: it then names
/// another source for them (OpenID Connect Core section 5.6.2), or only states that there are some.
pub(crate) fn groups_are_omitted(claims: &Claims) -> bool {
    let named = claims.get("_claim_names").and_then(Value::as_object);
    named.is_some_and(|names| names.contains_key("groups"))
        || claims
            .get("hasgroups")
            .is_some_and(|value| *value == Value::Bool(true) || value == "true")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn claims(changes: &Value) -> Claims {
        let mut claims = json!({
            "iss": "https://op", "sub": "alice", "aud": "us", "exp": NOW + 60, "iat": NOW, "nonce": "n-1"
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let Value::Object(mut claims) = claims else { unreachable!() };
        claims.retain(|_, value| !value.is_null());
        claims
    }

    fn validate_as(
        changes: &Value,
        algorithm: Algorithm,
        redirect_issuer: Option<&str>,
    ) -> Result<String, String> {
        let (issuer, nonce) = (Issuer::One("https://op".into()), Secret::new("n-1"));
        let access_token = Secret::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
        let expected = Expected {
            issuer: &issuer,
            redirect_issuer,
            algorithms: Some(&[Algorithm::ES256, Algorithm::EdDSA]),
            client_id: "us",
            extra_audiences: &["project".to_owned()],
            nonce: &nonce,
            access_token: Some(&access_token),
            now: Timestamp::from_secs(NOW),
            skew: Duration::from_secs(30),
        };
        let token = Signed { claims: claims(changes), algorithm };
        expected.validate(&token).map_err(|error| error.to_string())
    }

    fn validate(changes: &Value) -> Result<String, String> {
        validate_as(changes, Algorithm::ES256, None)
    }

    #[test]
    fn a_valid_token_is_accepted() {
        for good in [
            json!({}),
            json!({"aud": ["us"]}),
            json!({"aud": ["them", "us"], "azp": "us"}),
            json!({"aud": ["project", "us"]}),
            json!({"aud": ["us", "us"]}),
            json!({"azp": "us"}),
            json!({"exp": NOW - 29}),
            json!({"iat": NOW + 30, "nbf": NOW + 30}),
            json!({"exp": NOW as f64 + 0.5}),
            // The example of OpenID Connect Core, appendix A.4.
            json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
        ] {
            assert_eq!(validate(&good).as_deref(), Ok("https://op"), "{good}");
        }
        assert!(validate_as(&json!({}), Algorithm::ES256, Some("https://op")).is_ok());
    }

    #[test]
    fn an_invalid_token_is_refused() {
        for (reason, bad) in [
            ("another issuer", json!({"iss": "https://other"})),
            ("another issuer", json!({"iss": "https://op/"})),
            ("`iss` is missing", json!({"iss": null})),
            ("meant for another client", json!({"aud": "them"})),
            ("meant for another client", json!({"aud": "us2"})),
            ("meant for another client", json!({"aud": []})),
            ("meant for another client", json!({"aud": ["project"]})),
            ("does not say for which", json!({"aud": ["us", "project", "them"]})),
            ("`aud` is missing", json!({"aud": null})),
            ("`aud` is missing", json!({"aud": {"us": true}})),
            ("not a list of strings", json!({"aud": ["us", 7]})),
            ("does not say for which", json!({"aud": ["us", "them"]})),
            ("made for another client", json!({"aud": ["us", "them"], "azp": "them"})),
            ("made for another client", json!({"azp": "them"})),
            ("made for another client", json!({"azp": ["us"]})),
            ("expired", json!({"exp": NOW - 30})),
            ("expired", json!({"exp": 0})),
            ("`exp` is missing", json!({"exp": null})),
            ("`exp` is no point in time", json!({"exp": "never"})),
            ("`iat` is missing", json!({"iat": null})),
            ("not valid yet", json!({"iat": NOW + 31})),
            ("not valid yet", json!({"nbf": NOW + 31})),
            ("`nonce` is missing", json!({"nonce": null})),
            ("`nonce` is missing", json!({"nonce": ["n-1"]})),
            ("another sign-in", json!({"nonce": "n-2"})),
            ("another sign-in", json!({"nonce": ""})),
            ("another access token", json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RR"})),
            ("another access token", json!({"at_hash": 7})),
            ("names the user", json!({"sub": null})),
            ("names the user", json!({"sub": 7})),
            ("names the user", json!({"sub": "x".repeat(256)})),
            ("too large", json!({"x": "y".repeat(MAX_CLAIMS)})),
        ] {
            let why = validate(&bad).expect_err(reason);
            assert!(why.contains(reason), "{bad}: {why}");
        }
    }

    #[test]
    fn an_algorithm_has_to_be_announced() {
        let why = validate_as(&json!({}), Algorithm::RS256, None).unwrap_err();
        assert!(why.contains("does not announce"), "{why}");
    }

    #[test]
    fn the_redirect_and_the_token_are_of_one_issuer() {
        let why = validate_as(&json!({}), Algorithm::ES256, Some("https://op2")).unwrap_err();
        assert!(why.contains("redirect named another issuer"), "{why}");
    }

    #[test]
    fn the_hash_of_the_access_token_is_that_of_the_signature() {
        let lengths = [Algorithm::RS256, Algorithm::ES384, Algorithm::PS512, Algorithm::EdDSA]
            .map(|algorithm| URL_SAFE_NO_PAD.decode(left_half(algorithm, b"t")).unwrap().len());
        assert_eq!(lengths, [16, 24, 32, 32]);
    }

    #[test]
    fn an_email_is_verified_when_the_provider_says_so() {
        for good in [
            json!({"email_verified": true}),
            json!({"email_verified": "true"}),
            json!({"xms_edov": true}),
            json!({"xms_edov": 1}),
            json!({"xms_edov": "1"}),
            json!({"xms_edov": "true"}),
        ] {
            assert!(email_is_verified(&claims(&good)), "{good}");
        }
        for bad in [
            json!({}),
            json!({"email": "alice@example.org"}),
            json!({"email_verified": false}),
            json!({"email_verified": "false"}),
            json!({"email_verified": 1}),
            json!({"email_verified": [true]}),
            json!({"email_verified": "TRUE"}),
            json!({"xms_edov": 0}),
            json!({"xms_edov": "0"}),
            json!({"xms_edov": {"x": 1}}),
        ] {
            assert!(!email_is_verified(&claims(&bad)), "{bad}");
        }
    }

    #[test]
    fn omitted_groups_are_noticed() {
        for elsewhere in [
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph"}}}),
            json!({"hasgroups": true}),
            json!({"hasgroups": "true"}),
        ] {
            assert!(groups_are_omitted(&claims(&elsewhere)), "{elsewhere}");
        }
        for here in [
            json!({"groups": ["a"]}),
            json!({"_claim_names": {"address": "s"}}),
            json!({"hasgroups": false}),
        ] {
            assert!(!groups_are_omitted(&claims(&here)), "{here}");
        }
    }
}
