//! The public keys of a provider, and tokens that are signed with them.
//!
//! Most access tokens are opaque. Where one is a JWT that the provider signed, its audience and its
//! expiry are used (RFC 9068 shows what providers put there; the code relies on RFC 7519 only). An
//! ID token is always such a JWT.
//!
//! The set is read as plain JSON, key by key and member by member: an unusable key does not affect
//! the others, an odd member that is not used (`x5c` as a text) does not affect its key, and the
//! member `issuer`, by which a provider of many tenants names the tenant of a key, is in no
//! standard and in no library.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credsmith_core::caller::Claims;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::answer::Object;
use crate::issuer::Signer;
use crate::jwt::{self, Header};

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
        let Some(Header { algorithm: Some(algorithm), key_id, critical: false, .. }) =
            Header::of(token)
        else {
            // RFC 7515 section 4.1.11: no extension is supported here, so a token with a critical
            // one cannot be read.
            return Reading::Opaque;
        };
        // A key without an id may be the one that a token names.
        let fits = |key: &&PublicKey| key_id.is_none() || key.id.is_none() || key.id == key_id;
        let verified = self
            .0
            .iter()
            .filter(fits)
            .filter(|key| key.serves(algorithm))
            .find_map(|key| key.verify(token, algorithm));
        match verified {
            Some(claims) => Reading::Signed(Signed { claims, algorithm }),
            None if self.names(key_id.as_deref()) => Reading::Opaque,
            None => Reading::UnknownKey,
        }
    }

    /// Whether a token that names this key can be read by the set as it is.
    fn names(&self, key_id: Option<&str>) -> bool {
        match key_id {
            Some(id) => self.0.iter().any(|key| key.id.as_deref() == Some(id)),
            None => !self.0.is_empty(),
        }
    }
}

impl PublicKey {
    fn new(published: Value) -> Option<Self> {
        let Value::Object(members) = published else { return None };
        let signer = Signer::of_key(members.get("issuer"))?;
        let algorithm = match text(&members, "alg") {
            Some(name) => Some(jwt::algorithm(name)?),
            None => None,
        };
        let key = decoding_key(&members)?;
        let id = jwt::key_id(members.get("kid"));
        is_for_signatures(&members).then_some(Self { id, algorithm, signer, key })
    }

    fn serves(&self, algorithm: Algorithm) -> bool {
        self.key.family().algorithms().contains(&algorithm)
            && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn verify(&self, token: &str, algorithm: Algorithm) -> Option<Claims> {
        jwt::verified(token, &self.key, algorithm).filter(|claims| self.signer.may_sign(claims))
    }
}

/// A member that is a text, and not an empty one.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// RFC 7517 sections 4.2 and 4.3.
fn is_for_signatures(members: &Map<String, Value>) -> bool {
    let operations = members.get("key_ops").and_then(Value::as_array);
    let verifies = operations.is_none_or(|operations| {
        operations.is_empty() || operations.iter().any(|operation| operation == "verify")
    });
    text(members, "use") != Some("enc") && verifies
}

/// RFC 7518 sections 6.2 and 6.3, RFC 8037 section 2.
fn decoding_key(members: &Map<String, Value>) -> Option<DecodingKey> {
    let number = |name: &str| Some(plain_base64url(text(members, name)?));
    match text(members, "kty")? {
        "RSA" => DecodingKey::from_rsa_components(&number("n")?, &number("e")?).ok(),
        "EC" if matches!(text(members, "crv")?, "P-256" | "P-384") => {
            DecodingKey::from_ec_components(&number("x")?, &number("y")?).ok()
        }
        "OKP" if text(members, "crv")? == "Ed25519" => {
            let point = number("x")?;
            // The JWT crate takes the first 32 bytes of an Edwards key without checking its length.
            let length = URL_SAFE_NO_PAD.decode(&point).ok()?.len();
            (length == ED25519_KEY).then(|| DecodingKey::from_ed_components(&point).ok()).flatten()
        }
        _ => None,
    }
}

/// Base64url without padding, of text that some publish padded, or in the alphabet of base64.
fn plain_base64url(text: &str) -> String {
    text.trim().trim_end_matches('=').replace('+', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
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
        assert_eq!(set(oct).read(&token), Reading::Opaque);
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

    #[test]
    fn a_key_without_an_id_is_tried_for_a_token_with_one() {
        let (ours, other) =
            (SigningKey::generate("a").unwrap(), SigningKey::generate("b").unwrap());
        let mut nameless = ours.public_jwk().clone();
        nameless.as_object_mut().unwrap().remove("kid");
        let set = set(json!({"keys": [other.public_jwk(), nameless]}));
        assert!(matches!(set.read(&ours.sign("JWT", &json!({})).unwrap()), Reading::Signed(_)));
        let stranger = SigningKey::generate("c").unwrap().sign("JWT", &json!({})).unwrap();
        assert_eq!(set.read(&stranger), Reading::UnknownKey, "worth a look at the provider");
    }

    #[test]
    fn padded_members_and_odd_ones_do_not_affect_a_key() {
        let ours = SigningKey::generate("a").unwrap();
        let token = ours.sign("JWT", &json!({})).unwrap();
        let mut padded = ours.public_jwk().clone();
        for part in ["x", "y"] {
            let bytes = B64.decode(padded[part].as_str().unwrap()).unwrap();
            padded[part] = json!(STANDARD.encode(bytes));
        }
        let odd = |name: &str, value: Value| {
            let mut jwk = ours.public_jwk().clone();
            jwk[name] = value;
            jwk
        };
        for jwk in [
            padded,
            odd("x5c", json!("MIIC")),
            odd("x5c", json!([7])),
            odd("x5t", json!(7)),
            odd("x5u", json!([])),
            odd("use", json!(null)),
            odd("use", json!("verify")),
            odd("alg", json!("")),
            odd("alg", json!(null)),
            odd("key_ops", json!("verify")),
            odd("key_ops", json!(["verify"])),
            odd("key_ops", json!([])),
            odd("nbf", json!("soon")),
            odd("revoked", json!({})),
        ] {
            let set = set(json!({ "keys": [jwk] }));
            assert!(matches!(set.read(&token), Reading::Signed(_)), "{jwk}");
        }
        for jwk in [
            odd("use", json!("enc")),
            odd("key_ops", json!(["encrypt"])),
            odd("alg", json!("ECDH-ES")),
            odd("alg", json!("ES384")),
            odd("crv", json!("P-521")),
        ] {
            let set = set(json!({ "keys": [jwk] }));
            assert!(!matches!(set.read(&token), Reading::Signed(_)), "{jwk}");
        }
    }

    #[test]
    fn ed25519_is_another_name_of_eddsa() {
        use ring::signature::{Ed25519KeyPair, KeyPair as _};
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = B64.encode(pair.public_key());
        let sign = |alg: &str| {
            let head = B64.encode(json!({"alg": alg, "kid": "ed"}).to_string());
            let message = format!("{head}.{}", B64.encode("{\"sub\":\"a\"}"));
            let signature = B64.encode(pair.sign(message.as_bytes()));
            format!("{message}.{signature}")
        };
        for published in [json!("Ed25519"), json!("EdDSA"), json!(null)] {
            let jwk =
                json!({"kty": "OKP", "crv": "Ed25519", "x": public, "kid": "ed", "alg": published});
            for alg in ["Ed25519", "EdDSA"] {
                let Reading::Signed(signed) = set(json!({ "keys": [jwk] })).read(&sign(alg)) else {
                    panic!("{published} {alg}")
                };
                assert_eq!(signed.algorithm, Algorithm::EdDSA);
            }
        }
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": public, "alg": "Ed448"});
        assert_eq!(set(json!({ "keys": [jwk] })).read(&sign("EdDSA")), Reading::UnknownKey);
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
