use super::*;
use pkcs8::spki::SubjectPublicKeyInfoRef;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519 as VERIFY_ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::{Digest, Sha256};

/// Its name, and what verifies it.
type Algorithm = (&'static str, &'static dyn VerificationAlgorithm);

fn read(pem: &str) -> Result<SigningKey, String> {
    SigningKey::from_pem(&Secret::new(pem))
}

fn verify(key: &SigningKey, algorithm: &'static dyn VerificationAlgorithm, signature: &[u8]) {
    let info = SubjectPublicKeyInfoRef::try_from(key.public.as_slice()).unwrap();
    let raw = info.subject_public_key.raw_bytes();
    UnparsedPublicKey::new(algorithm, raw).verify(b"message", signature).unwrap();
}

#[test]
fn every_form_of_every_kind_signs() {
    let cases: [(&str, &[Algorithm]); 7] = [
        (include_str!("testdata/ed25519-pkcs8.pem"), &[("ed25519", &VERIFY_ED25519)]),
        (include_str!("testdata/ed25519-openssh"), &[("ed25519", &VERIFY_ED25519)]),
        (
            include_str!("testdata/p256-pkcs8.pem"),
            &[("ecdsa-p256-sha256", &ECDSA_P256_SHA256_ASN1)],
        ),
        (include_str!("testdata/p256-openssh"), &[("ecdsa-p256-sha256", &ECDSA_P256_SHA256_ASN1)]),
        (include_str!("testdata/p384-sec1.pem"), &[("ecdsa-p384-sha384", &ECDSA_P384_SHA384_ASN1)]),
        (
            include_str!("testdata/rsa-pkcs8.pem"),
            &[
                ("rsa-pkcs1-sha256", &RSA_PKCS1_2048_8192_SHA256),
                ("rsa-pss-sha256", &RSA_PSS_2048_8192_SHA256),
            ],
        ),
        (
            include_str!("testdata/rsa-pkcs1.pem"),
            &[
                ("rsa-pkcs1-sha256", &RSA_PKCS1_2048_8192_SHA256),
                ("rsa-pss-sha256", &RSA_PSS_2048_8192_SHA256),
            ],
        ),
    ];
    for (pem, algorithms) in cases {
        let key = read(pem).unwrap();
        assert_eq!(
            key.algorithms().to_vec(),
            algorithms.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        );
        for (name, check) in algorithms {
            verify(&key, *check, &key.sign(name, b"message").unwrap());
        }
        assert!(key.sign("hmac-sha1", b"message").unwrap_err().contains(key.algorithms()[0]));
        assert!(key.sign(key.algorithms()[0], &vec![0; MAX_MESSAGE + 1]).is_err());
        assert!(!format!("{key:?}").contains("message"));
    }
}

/// The digests are those of `openssl pkey -pubout -outform DER`.
#[test]
fn the_public_half_is_what_openssl_writes() {
    for (pem, digest) in [
        (
            include_str!("testdata/ed25519-pkcs8.pem"),
            "2545bc61b0b5f1fbeb732e9a6caa1f7a7507f42248c7a7fc093c8235b2b3f52c",
        ),
        (
            include_str!("testdata/p256-pkcs8.pem"),
            "af01fef3ffc8dce7e796f45047b3b06727dd8ca27652a5c18240baa7456e0808",
        ),
        (
            include_str!("testdata/p384-sec1.pem"),
            "6a496748f579b7d823f2fba3b25afd6e76c15723b44b6907968650b0ea5e33f2",
        ),
        (
            include_str!("testdata/rsa-pkcs8.pem"),
            "84b9fa792a2595324805f135a3d761e315d061519a162c45c4d4959352932f32",
        ),
    ] {
        assert_eq!(hex::encode(Sha256::digest(&read(pem).unwrap().public)), digest);
    }
}

#[test]
fn what_cannot_be_used_says_why_and_what_to_do() {
    for (pem, expected) in [
        ("", "no PEM block"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "no PEM block"),
        ("-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----", "damaged"),
        ("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----", "not PKCS#8"),
        (include_str!("testdata/encrypted.pem"), "openssl pkey"),
        (include_str!("testdata/encrypted-openssh"), "ssh-keygen -p"),
        (include_str!("testdata/rsa-openssh"), "-m PKCS8"),
        (include_str!("testdata/p256-no-public.pem"), "public half"),
        (include_str!("testdata/p521-pkcs8.pem"), "P-256 or P-384"),
    ] {
        let why = read(pem).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}
