//! The public keys of a provider, and tokens that are signed with them.
//!
//! Most access tokens are opaque. Where one is a JWT that the provider signed, its audience and its
//! expiry are used (RFC 9068 shows what providers put there; the code relies on RFC 7519 only). An
//! ID token is always such a JWT.
//!
//! The set is read as plain JSON, key by key: an unusable key does not affect the others, and the
//! member `issuer`, by which a provider of many tenants names the tenant of a key, is in no
//! standard and in no library.

use credsmith_core::caller::Claims;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use serde_json::Value;

use crate::answer::Object;
use crate::issuer::Signer;

/// More keys than any provider publishes; further ones are ignored.
const MAX_KEYS: usize = 64;

/// Length of an Ed25519 public key (RFC 8032 section 5.1.5).
const ED25519_KEY: usize = 32;

struct PublicKey {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    signer: Signer,
    key: DecodingKey,
}

/// The signature keys that a provider publishes.
#[derive(Default)]
pub(crate) struct KeySet(Vec<PublicKey>);

/// The result of reading a token.
#[derive(Debug, PartialEq)]
pub(crate) enum Reading {
    /// Unreadable: opaque, or not signed by a key of the set.
    Opaque,
    /// A JWT that names a key which is not in the set: the set may be out of date.
    UnknownKey,
    /// A JWT with a valid signature.
    Signed(Signed),
}

/// The content of a JWT with a valid signature.
#[derive(Debug, PartialEq)]
pub(crate) struct Signed {
    pub(crate) claims: Claims,
    pub(crate) algorithm: Algorithm,
}

impl KeySet {
    /// Keeps the published keys that can verify signatures (RFC 7517 section 5). Symmetric keys are
    /// never among them: a published one proves nothing.
    ///
    /// # Errors
    /// For the log, if this is no key set.
    pub(crate) fn from_published(published: Object) -> Result<Self, &'static str> {
        let Object(mut members) = published;
        let Some(Value::Array(keys)) = members.remove("keys") else {
            return Err("the provider's key set has no list of keys");
        };
        Ok(Self(keys.into_iter().filter_map(PublicKey::new).take(MAX_KEYS).collect()))
    }

    /// Reads `token` if it is a JWT of the provider. Checks the signature, and that the key may
    /// sign for the issuer that the token names; no other claim.
    pub(crate) fn read(&self, token: &str) -> Reading {
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Reading::Opaque };
        if header.crit.is_some() {
            // RFC 7515 section 4.1.11: no extension is supported here, so a token with a critical
            // one cannot be read.
            return Reading::Opaque;
        }
        let named = |key: &&PublicKey| header.kid.is_none() || key.id == header.kid;
        let mut candidates = self.0.iter().filter(named).peekable();
        if candidates.peek().is_none() {
            return Reading::UnknownKey;
        }
        candidates
            .filter(|key| key.serves(header.alg))
            .find_map(|key| key.verify(token, header.alg))
            .map_or(Reading::Opaque, |claims| {
                Reading::Signed(Signed { claims, algorithm: header.alg })
            })
    }
}

impl PublicKey {
    fn new(published: Value) -> Option<Self> {
        let signer = Signer::of_key(published.get("issuer"))?;
        let jwk: Jwk = serde_json::from_value(published).ok()?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let algorithm = match jwk.common.key_algorithm {
            Some(named) => Some(named.to_string().parse().ok()?),
            None => None,
        };
        let usable = key.family() != AlgorithmFamily::Hmac
            && jwk.common.public_key_use != Some(PublicKeyUse::Encryption)
            && has_valid_length(&jwk, &key);
        usable.then(|| Self { id: jwk.common.key_id, algorithm, signer, key })
    }

    fn serves(&self, algorithm: Algorithm) -> bool {
        self.key.family().algorithms().contains(&algorithm)
            && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn verify(&self, token: &str, algorithm: Algorithm) -> Option<Claims> {
        verified(token, &self.key, algorithm).filter(|claims| self.signer.may_sign(claims))
    }
}

// The JWT crate takes the first 32 bytes of an Edwards key without checking its length.
fn has_valid_length(jwk: &Jwk, key: &DecodingKey) -> bool {
    match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) => {
            pair.curve == EllipticCurve::Ed25519
                && key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == ED25519_KEY)
        }
        _ => true,
    }
}

/// The claims of `token`, if it is signed with `key` by `algorithm` and no other. Checks no claim:
/// time and audience are checked elsewhere, by the daemon's clock and its own rules.
pub(crate) fn verified(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<Claims> {
    let mut signature_only = Validation::new(algorithm);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    Some(jsonwebtoken::decode::<Object>(token, key, &signature_only).ok()?.claims.0)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::signing::SigningKey;

    fn set(jwks: Value) -> KeySet {
        KeySet::from_published(Object::parse(jwks.to_string().as_bytes()).unwrap()).unwrap()
    }

    fn keys(published: &[&SigningKey]) -> KeySet {
        let jwks = json!({"keys": published.iter().map(|key| key.public_jwk().clone()).collect::<Vec<_>>()});
        set(jwks)
    }

    #[test]
    fn a_token_is_read_only_with_the_key_that_signed_it() {
        let (ours, other) =
            (SigningKey::generate("a").unwrap(), SigningKey::generate("b").unwrap());
        let token = ours.sign("at+jwt", &json!({"aud": "us", "exp": 1})).unwrap();
        let Reading::Signed(signed) = keys(&[&other, &ours]).read(&token) else {
            panic!("not read")
        };
        assert_eq!((&signed.claims["aud"], signed.algorithm), (&json!("us"), Algorithm::ES256));
        assert_eq!(keys(&[&other]).read(&token), Reading::UnknownKey);
        assert_eq!(keys(&[]).read(&token), Reading::UnknownKey);

        let impostor = SigningKey::generate("a").unwrap();
        assert_eq!(keys(&[&impostor]).read(&token), Reading::Opaque);
    }

    #[test]
    fn neither_unsigned_nor_symmetric_tokens_count() {
        let ours = SigningKey::generate("a").unwrap();
        let ours_only = keys(&[&ours]);
        let part = |value: serde_json::Value| B64.encode(value.to_string());
        let payload = part(json!({"aud": "us"}));
        for alg in ["none", "HS256", "ES384", "RS256", "EdDSA"] {
            let token = format!(
                "{}.{payload}.{}",
                part(json!({"alg": alg, "kid": "a"})),
                B64.encode([0; 64])
            );
            assert_eq!(ours_only.read(&token), Reading::Opaque, "{alg}");
        }
        let mac = jsonwebtoken::EncodingKey::from_secret(b"published");
        let token =
            jsonwebtoken::encode(&jsonwebtoken::Header::default(), &json!({"aud": "us"}), &mac)
                .unwrap();
        let oct = json!({"keys": [{"kty": "oct", "k": B64.encode("published"), "use": "sig"}]});
        assert_eq!(set(oct).read(&token), Reading::UnknownKey);
    }

    #[test]
    fn garbage_is_opaque() {
        let set = keys(&[&SigningKey::generate("a").unwrap()]);
        for token in [
            "",
            ".",
            "..",
            "a.b.c",
            "opaque",
            "eyJhbGciOiJFUzI1NiJ9..",
            "eyJhbGciOiJFUzI1NiJ9.e30.",
        ] {
            assert_eq!(set.read(token), Reading::Opaque, "{token}");
        }
    }

    #[test]
    fn a_token_with_a_critical_extension_is_not_read() {
        let ours = SigningKey::generate("a").unwrap();
        let mut header = jsonwebtoken::Header::new(Algorithm::ES256);
        header.crit = Some(vec!["b64".into()]);
        let token = ours.sign_as(&header, &json!({"aud": "us"})).unwrap();
        assert_eq!(keys(&[&ours]).read(&token), Reading::Opaque);
    }

    #[test]
    fn a_key_that_names_an_issuer_signs_for_that_one_only() {
        let ours = SigningKey::generate("a").unwrap();
        let of_issuer = |issuer: Value| {
            let mut jwk = ours.public_jwk().clone();
            jwk["issuer"] = issuer;
            set(json!({ "keys": [jwk] }))
        };
        let read = |set: &KeySet, claims: Value| {
            matches!(set.read(&ours.sign("JWT", &claims).unwrap()), Reading::Signed(_))
        };
        let one = of_issuer(json!("https://op/t1/v2.0"));
        assert!(read(&one, json!({"iss": "https://op/t1/v2.0"})));
        assert!(!read(&one, json!({"iss": "https://op/t2/v2.0", "tid": "t2"})));
        assert!(!read(&one, json!({"tid": "t1"})), "the token names no issuer");
        let any = of_issuer(json!("https://op/{tenantid}/v2.0"));
        assert!(read(&any, json!({"iss": "https://op/t2/v2.0", "tid": "t2"})));
        assert!(!read(&any, json!({"iss": "https://op/t2/v2.0", "tid": "t1"})));
        assert!(!read(&any, json!({"iss": "https://op/t2/v2.0"})));
        for unreadable in [json!(7), json!(["https://op"]), json!(null)] {
            let set = of_issuer(unreadable.clone());
            assert!(!read(&set, json!({"iss": unreadable})), "a key with an unreadable issuer");
        }
    }

    #[test]
    fn unusable_keys_do_not_affect_the_others() {
        let ours = SigningKey::generate("a").unwrap();
        let mut encrypts = SigningKey::generate("e").unwrap().public_jwk().clone();
        encrypts["use"] = json!("enc");
        let jwks = json!({"keys": [
            7, {}, {"kty": "EC"}, {"kty": "unheard-of", "kid": "a"}, {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "short"},
            {"kty": "OKP", "crv": "Ed25519", "x": "", "kid": "short"}, encrypts, ours.public_jwk(),
        ]});
        let set = set(jwks);
        assert_eq!(set.0.len(), 1);
        assert!(matches!(set.read(&ours.sign("JWT", &json!({})).unwrap()), Reading::Signed(_)));
        for (alg, kid) in [("EdDSA", "short"), ("ES256", "e")] {
            let head = B64.encode(json!({"alg": alg, "kid": kid}).to_string());
            assert_eq!(
                set.read(&format!("{head}.e30.{}", B64.encode([0; 64]))),
                Reading::UnknownKey
            );
        }
        for no_set in [json!({}), json!({"keys": {}}), json!({"keys": null})] {
            let no_set = Object::parse(no_set.to_string().as_bytes()).unwrap();
            assert!(KeySet::from_published(no_set).is_err());
        }
    }

    /// A 2048-bit key whose private half was deleted after it had signed the token of the test
    /// below.
    const ENTRA_KEY: &str = concat!(
        "w3gD7Vazy8Ak9_AWM4Xhns2kfzRyeZh8-67OrDyHWs7VDeQaylBQwejv-7Ff_ZJjg2Z8W8ZWXpNQska8w7pC2G6SzlGQwqr1BnV9",
        "c9re76lQLvTQumjJZ7_Xm0txO6a00KwCK3Tw5tW-eJNJ55ll0UtxbVyCI9UZICrslf_pYHPOowdgnLVbTbam2w1vNiVemawDao6S",
        "rNfDpxyEou2XDte8hp7QWaCm28_vWxk4Zv9StEYF9J0RCy0YeGs1ha4_WzAgUS02Z0SaauFDWYPHjMdoAzeKpxtWWJYnghd0pXSd",
        "Usu8qGbEwAjgEpp5KajkS841izwj00dWMgfF_burDQ",
    );
    const ENTRA_SIGNATURE: &str = concat!(
        "siBXGTVWwPiYvub_A6r64Ar6EWwtJuddK780pG-wdtApk1_xSWsUSpMN2JK81Uq9Ih2U7gIRIylH4Nn_GgUoohZlBber0XUz9Bqu",
        "6j_OYmeHBx5O0luYl2MThJiCj505O4-k1AKL0Nq2o9FSnclka4X5Q-IC6M_kYtFu72GkNHJ42d0d_BkD6RLA1XfGRGHQInlLu3IK",
        "E_XjbKO-jmETzx8Q8p8GlfLJfHdsJ_yQUn948KHaJMnEOt3EOd59fjYx9ZJtjjKyyuoScLiMubAURD-Zo6w8W7kIf9Jy-Cz6I6Og",
        "gA-t-n2Mt9QfIp5-XHhtOZtC4nVpYRM1nOmyhV_P7w",
    );
    const TENANT: &str = "11111111-1111-4111-8111-111111111111";

    /// Entra's keys name no algorithm, carry a certificate, and name the issuer that they belong
    /// to.
    #[test]
    fn a_token_as_entra_signs_it_is_read() {
        let part = |value: &str| B64.encode(value);
        let iss = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
        let head = part(r#"{"typ":"JWT","alg":"RS256","kid":"entra-1"}"#);
        let payload = part(&format!(r#"{{"iss":"{iss}","tid":"{TENANT}","oid":"o-1"}}"#));
        let token = format!("{head}.{payload}.{ENTRA_SIGNATURE}");
        let of_issuer = |issuer: &str| {
            set(json!({"keys": [{
                "kty": "RSA", "use": "sig", "kid": "entra-1", "x5t": "entra-1", "n": ENTRA_KEY, "e": "AQAB", "x5c": ["MIIC"],
                "cloud_instance_name": "microsoftonline.com", "issuer": issuer,
            }]}))
        };
        for template in [&iss, "https://login.microsoftonline.com/{tenantid}/v2.0"] {
            let Reading::Signed(signed) = of_issuer(template).read(&token) else {
                panic!("{template}")
            };
            assert_eq!(
                (&signed.claims["oid"], signed.algorithm),
                (&json!("o-1"), Algorithm::RS256)
            );
        }
        let personal =
            "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
        assert_eq!(
            of_issuer(personal).read(&token),
            Reading::Opaque,
            "a key for personal accounts"
        );
        let forged = format!(
            "{head}.{}.{ENTRA_SIGNATURE}",
            part(&format!(r#"{{"iss":"{iss}","tid":"{TENANT}","oid":"o-2"}}"#))
        );
        assert_eq!(of_issuer(&iss).read(&forged), Reading::Opaque);
    }

    proptest! {
        /// Some of the libraries below slice without a length check: no published key may cause a
        /// panic.
        #[test]
        fn no_key_makes_the_reader_panic(
            kty in prop::sample::select(vec!["EC", "RSA", "OKP", "oct", ""]),
            crv in prop::sample::select(vec!["P-256", "P-384", "P-521", "Ed25519", "X25519"]),
            alg in prop::sample::select(vec!["ES256", "ES384", "RS256", "PS512", "EdDSA", "HS256"]),
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 4),
            signature in prop::collection::vec(any::<u8>(), 0..140),
        ) {
            let [x, y, n, e] = [0, 1, 2, 3].map(|part| B64.encode(&parts[part]));
            let key = json!({"kty": kty, "crv": crv, "x": x, "y": y, "n": n, "e": e, "k": x});
            let head = B64.encode(json!({ "alg": alg }).to_string());
            let reading = set(json!({ "keys": [key] })).read(&format!("{head}.e30.{}", B64.encode(signature)));
            prop_assert!(!matches!(reading, Reading::Signed(_)));
        }
    }
}
