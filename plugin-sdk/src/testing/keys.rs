//! Keys that really sign, so that a test can verify what a plugin made.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};

use crate::service::key::Algorithm;

/// A signing key for tests, freshly made.
#[derive(Debug)]
pub struct TestKey {
    algorithm: Algorithm,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
}

/// The bytes before the key itself in a SubjectPublicKeyInfo: RFC 8410 section 4 and RFC 5480
/// section 2.
const ED25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const P256_SPKI: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_SPKI: &[u8] =
    b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";

#[expect(
    clippy::expect_used,
    reason = "the kit runs in tests: a key that cannot be made fails them"
)]
impl TestKey {
    /// An Ed25519 key.
    pub fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("randomness");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key just made");
        Self { algorithm: Algorithm::Ed25519, pair: Pair::Ed25519(pair) }
    }

    /// An ECDSA key on P-256.
    pub fn ecdsa_p256() -> Self {
        Self::ecdsa(Algorithm::EcdsaP256Sha256, &ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    /// An ECDSA key on P-384.
    pub fn ecdsa_p384() -> Self {
        Self::ecdsa(Algorithm::EcdsaP384Sha384, &ECDSA_P384_SHA384_ASN1_SIGNING)
    }

    fn ecdsa(algorithm: Algorithm, curve: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(curve, &random).expect("randomness");
        let pair =
            EcdsaKeyPair::from_pkcs8(curve, document.as_ref(), &random).expect("a key just made");
        Self { algorithm, pair: Pair::Ecdsa(pair) }
    }

    /// The one way in which it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half as SubjectPublicKeyInfo, DER.
    pub fn public_key(&self) -> Vec<u8> {
        let (prefix, key) = match (&self.pair, self.algorithm) {
            (Pair::Ed25519(pair), _) => (ED25519_SPKI, pair.public_key().as_ref()),
            (Pair::Ecdsa(pair), Algorithm::EcdsaP384Sha384) => {
                (P384_SPKI, pair.public_key().as_ref())
            }
            (Pair::Ecdsa(pair), _) => (P256_SPKI, pair.public_key().as_ref()),
        };
        [prefix, key].concat()
    }

    /// Signs `message`; ECDSA as ASN.1 DER.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Ecdsa(pair) => {
                pair.sign(&SystemRandom::new(), message).expect("randomness").as_ref().to_vec()
            }
        }
    }
}
