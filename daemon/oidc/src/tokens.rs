//! Core's port `Tokens`, for the daemon's own tokens: Ed25519 signatures (`alg` `EdDSA`, RFC 8037)
//! under one key that the daemon keeps.
//!
//! No part of a token selects how it is verified: one algorithm, one key, and the kind that the
//! caller of [`Tokens::verify`] passes.

use std::fmt;

use credsmith_core::ports::tokens::{TokenKind, Tokens};
use credsmith_core::secret::Secret;
use credsmith_core::{Error, caller::Claims};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::{Value, json};

use crate::jwt;
use crate::signing::SigningError;

/// Length of an Ed25519 seed (RFC 8032 section 5.1.5).
pub const SEED_BYTES: usize = 32;

/// The bytes before the seed in a PKCS #8 file (RFC 8410 section 7), the form in which the JWT
/// crate takes a private key.
const PKCS8_HEAD: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/// The daemon's tokens are much shorter; a longer one is refused unread.
const MAX_TOKEN: usize = 8 * 1024;

/// Signs and verifies tokens with one Ed25519 key.
pub struct EdDsaTokens {
    id: String,
    private: EncodingKey,
    public: DecodingKey,
    published: Value,
}

impl fmt::Debug for EdDsaTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EdDsaTokens({})", self.id)
    }
}

impl EdDsaTokens {
    /// The key that is derived from `seed`, [`SEED_BYTES`] random bytes. The same seed gives the
    /// same key and the same `kid`, which is the SHA-256 thumbprint of the public half (RFC 7638).
    ///
    /// # Errors
    /// A seed of another length.
    pub fn new(seed: &Secret) -> Result<Self, SigningError> {
        if seed.len() != SEED_BYTES {
            return Err(SigningError::because("the seed of an Ed25519 key has 32 bytes"));
        }
        let pkcs8 = Secret::new([&PKCS8_HEAD, seed.expose()].concat());
        let private = EncodingKey::from_ed_der(pkcs8.expose());
        let mut public =
            Jwk::from_encoding_key(&private, Algorithm::EdDSA).map_err(SigningError::because)?;
        let id = public.thumbprint(ThumbprintHash::SHA256).map_err(SigningError::because)?;
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            id,
            private,
            public: DecodingKey::from_jwk(&public).map_err(SigningError::because)?,
            published: json!({ "keys": [public] }),
        })
    }

    fn header(&self, kind: TokenKind) -> Header {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(typ(kind).to_owned());
        header.kid = Some(self.id.clone());
        header
    }
}

fn typ(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Access => "at+jwt",
        TokenKind::Refresh => "rt+jwt",
    }
}

impl Tokens for EdDsaTokens {
    fn sign(&self, kind: TokenKind, claims: &Claims) -> Result<Secret, Error> {
        jsonwebtoken::encode(&self.header(kind), claims, &self.private)
            .map(Secret::new)
            .map_err(Error::internal)
    }

    fn verify(&self, kind: TokenKind, token: &Secret) -> Option<Claims> {
        let token = token.expose_str().filter(|token| token.len() <= MAX_TOKEN)?;
        let header = jsonwebtoken::decode_header(token).ok()?;
        // The daemon writes one header per kind and key: a token with any other one is not its own.
        let ours = header == self.header(kind);
        ours.then(|| jwt::verified(token, &self.public, Algorithm::EdDSA)).flatten()
    }

    fn public_keys(&self) -> Value {
        self.published.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
    use proptest::prelude::*;

    use super::*;
    use crate::signing::SigningKey;

    const KINDS: [TokenKind; 2] = [TokenKind::Access, TokenKind::Refresh];

    fn tokens(seed: u8) -> EdDsaTokens {
        EdDsaTokens::new(&Secret::new([seed; SEED_BYTES])).unwrap()
    }

    fn claims() -> Claims {
        let Value::Object(claims) = json!({"iss": "https://us", "sub": "c1", "exp": 1}) else {
            unreachable!()
        };
        claims
    }

    fn text(token: &Secret) -> String {
        token.expose_str().unwrap().to_owned()
    }

    fn part(value: &Value) -> String {
        B64.encode(value.to_string())
    }

    #[test]
    fn a_token_is_what_was_signed_and_of_its_kind_only() {
        let ours = tokens(1);
        for (kind, other) in KINDS.into_iter().zip(KINDS.into_iter().rev()) {
            let token = ours.sign(kind, &claims()).unwrap();
            assert_eq!(ours.verify(kind, &token), Some(claims()), "core checks the times");
            assert_eq!(
                ours.verify(other, &token),
                None,
                "a token of one kind is accepted as the other"
            );
            let head = jsonwebtoken::decode_header(text(&token)).unwrap();
            assert_eq!(head.typ.as_deref(), Some(typ(kind)));
            assert_eq!(head.kid.as_deref(), ours.public_keys()["keys"][0]["kid"].as_str());
        }
    }

    #[test]
    fn the_key_of_rfc_8037_has_its_public_half_and_its_thumbprint() {
        let seed = B64.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let keys = EdDsaTokens::new(&Secret::new(seed)).unwrap();
        assert_eq!(
            keys.public_keys(),
            json!({"keys": [{
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            }]})
        );
        assert_eq!(format!("{keys:?}"), "EdDsaTokens(kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k)");
    }

    #[test]
    fn a_seed_has_its_length() {
        for length in [0, 31, 33, 64] {
            assert!(EdDsaTokens::new(&Secret::new(vec![1; length])).is_err(), "{length}");
        }
    }

    #[test]
    fn the_same_seed_reads_the_token_after_a_restart_and_another_does_not() {
        let token = tokens(1).sign(TokenKind::Access, &claims()).unwrap();
        assert!(tokens(1).verify(TokenKind::Access, &token).is_some());
        assert!(tokens(2).verify(TokenKind::Access, &token).is_none(), "signed with another key");
    }

    #[test]
    fn another_key_under_our_kid_is_refused() {
        let (ours, theirs) = (tokens(1), tokens(2));
        let forged =
            jsonwebtoken::encode(&ours.header(TokenKind::Access), &claims(), &theirs.private)
                .unwrap();
        assert!(ours.verify(TokenKind::Access, &Secret::new(forged)).is_none());
    }

    #[test]
    fn a_header_cannot_select_how_it_is_verified() {
        let ours = tokens(1);
        let token = text(&ours.sign(TokenKind::Access, &claims()).unwrap());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let payload = signed.split_once('.').unwrap().1;
        let kid = ours.id.as_str();
        let with_header = |header: Value| format!("{}.{payload}.{signature}", part(&header));
        let unsigned = |alg: &str| {
            format!("{}.{payload}.", part(&json!({"typ": "at+jwt", "alg": alg, "kid": kid})))
        };

        let public = B64.decode(ours.public_keys()["keys"][0]["x"].as_str().unwrap()).unwrap();
        let mut symmetric = ours.header(TokenKind::Access);
        symmetric.alg = Algorithm::HS256;
        let by_mac = |key: &[u8]| {
            jsonwebtoken::encode(&symmetric, &claims(), &EncodingKey::from_secret(key)).unwrap()
        };
        let other_algorithm = SigningKey::generate(kid).unwrap().sign("at+jwt", &claims()).unwrap();
        let mut embedded = ours.header(TokenKind::Access);
        embedded.jwk = Some(Jwk::from_encoding_key(&tokens(2).private, Algorithm::EdDSA).unwrap());
        let by_its_own_key =
            jsonwebtoken::encode(&embedded, &claims(), &tokens(2).private).unwrap();
        let mut critical = ours.header(TokenKind::Access);
        critical.crit = Some(vec!["b64".into()]);
        let critical = jsonwebtoken::encode(&critical, &claims(), &ours.private).unwrap();

        for (attack, forged) in [
            ("no signature", unsigned("none")),
            ("no signature, spelt otherwise", unsigned("nOnE")),
            ("an empty signature", unsigned("EdDSA")),
            ("the public key as an HMAC key", by_mac(&public)),
            (
                "the published key's text as an HMAC key",
                by_mac(ours.public_keys().to_string().as_bytes()),
            ),
            ("another algorithm under our key's name", other_algorithm),
            ("a key that the token brings along", by_its_own_key),
            ("an unsupported extension", critical),
            ("no kid", with_header(json!({"typ": "at+jwt", "alg": "EdDSA"}))),
            ("no typ", with_header(json!({"alg": "EdDSA", "kid": kid}))),
            ("another typ", with_header(json!({"typ": "JWT", "alg": "EdDSA", "kid": kid}))),
            ("another kid", with_header(json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "../key"}))),
        ] {
            assert!(ours.verify(TokenKind::Access, &Secret::new(forged)).is_none(), "{attack}");
        }
        assert!(ours.verify(TokenKind::Access, &Secret::new(token)).is_some());
    }

    #[test]
    fn no_character_of_a_token_can_be_changed() {
        let ours = tokens(1);
        let token = text(&ours.sign(TokenKind::Refresh, &claims()).unwrap());
        for position in 0..token.len() {
            let mut forged = token.clone();
            forged.replace_range(
                position..=position,
                if token.as_bytes()[position] == b'A' { "B" } else { "A" },
            );
            let outcome = ours.verify(TokenKind::Refresh, &Secret::new(forged));
            assert_eq!(outcome, None, "position {position}");
        }
        for longer in
            [format!("{token}="), format!("{token} "), format!("{token}.x"), format!(" {token}")]
        {
            assert_eq!(ours.verify(TokenKind::Refresh, &Secret::new(longer)), None);
        }
    }

    #[test]
    fn a_long_or_binary_token_is_refused() {
        let ours = tokens(1);
        let mut large = claims();
        large.insert("x".into(), "y".repeat(MAX_TOKEN).into());
        let large = ours.sign(TokenKind::Access, &large).unwrap();
        assert!(ours.verify(TokenKind::Access, &large).is_none());
        assert!(ours.verify(TokenKind::Access, &Secret::new([0xff, 0xfe])).is_none());
    }

    static OURS: LazyLock<EdDsaTokens> = LazyLock::new(|| tokens(1));

    proptest! {
        #[test]
        fn garbage_is_no_token(text in "[A-Za-z0-9_.-]{0,200}") {
            prop_assert!(OURS.verify(TokenKind::Access, &Secret::new(text)).is_none());
        }
    }
}
