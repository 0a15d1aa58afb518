//! The private key by which the daemon proves itself to a provider (`private_key_jwt`, OpenID
//! Connect Core section 9).
//!
//! Signs with ring rather than with jsonwebtoken, whose RSA takes a time that depends on the key
//! (RUSTSEC-2023-0071). Never here: what is signed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credsmith_core::secret::Secret;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};

/// A private key of this daemon at a provider, with its name there. Neither printed nor exported.
pub struct ClientKey {
    pair: Pair,
    /// The header members by which the provider finds the public half.
    names: Map<String, Value>,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A name of an algorithm (RFC 7518 section 3.1), and how ring calls it.
#[derive(Clone, Copy)]
pub(crate) struct Signature {
    name: &'static str,
    rsa: Option<&'static dyn RsaEncoding>,
}

/// Why a text is no key that can sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKeyError {
    /// There is no readable private key in it.
    Unreadable,
    /// It is in the form `EC PRIVATE KEY`.
    Sec1,
    /// It is of another kind or size.
    Unsupported,
}

impl fmt::Display for ClientKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => {
                "has no readable private key, expected PEM with `BEGIN PRIVATE KEY`, not encrypted"
            }
            Self::Sec1 => {
                "has an `EC PRIVATE KEY`, expected PKCS#8: `openssl pkcs8 -topk8 -nocrypt` makes it"
            }
            Self::Unsupported => {
                "has a key that cannot sign here, expected RSA of 2048 to 4096 bits, EC on P-256 or \
                 P-384, or Ed25519"
            }
        })
    }
}

impl std::error::Error for ClientKeyError {}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKey(..)")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Signature {}

/// The signatures of RSA, the preferred ones first.
const RSA: [Signature; 6] = [
    Signature { name: "RS256", rsa: Some(&signature::RSA_PKCS1_SHA256) },
    Signature { name: "PS256", rsa: Some(&signature::RSA_PSS_SHA256) },
    Signature { name: "PS384", rsa: Some(&signature::RSA_PSS_SHA384) },
    Signature { name: "PS512", rsa: Some(&signature::RSA_PSS_SHA512) },
    Signature { name: "RS384", rsa: Some(&signature::RSA_PKCS1_SHA384) },
    Signature { name: "RS512", rsa: Some(&signature::RSA_PKCS1_SHA512) },
];
const P256: [Signature; 1] = [Signature { name: "ES256", rsa: None }];
const P384: [Signature; 1] = [Signature { name: "ES384", rsa: None }];
const ED25519: [Signature; 2] =
    [Signature { name: "EdDSA", rsa: None }, Signature { name: "Ed25519", rsa: None }];

impl ClientKey {
    /// The private key in `pem`: PKCS#8, or PKCS#1 for RSA. A certificate beside it is named by its
    /// thumbprints (`x5t`, `x5t#S256`), which Entra ID finds the key by. `id` is its `kid`.
    ///
    /// # Errors
    /// There is no key in it that can sign.
    pub fn from_pem(pem: &Secret, id: Option<&str>) -> Result<Self, ClientKeyError> {
        let key =
            PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_| ClientKeyError::Unreadable)?;
        let mut names: Map<String, Value> = Map::new();
        names.extend(id.map(|id| ("kid".to_owned(), id.into())));
        if let Some(Ok(certificate)) = CertificateDer::pem_slice_iter(pem.expose()).next() {
            let thumbprint =
                |hash| URL_SAFE_NO_PAD.encode(digest(hash, certificate.as_ref())).into();
            names.insert("x5t".into(), thumbprint(&SHA1_FOR_LEGACY_USE_ONLY));
            names.insert("x5t#S256".into(), thumbprint(&SHA256));
        }
        Ok(Self { pair: Pair::of(&key)?, names })
    }

    /// The public half as a JSON Web Key, to register at a provider; `None` for RSA, which is
    /// registered by a certificate or by the tools that made the key.
    pub fn public_jwk(&self) -> Option<Value> {
        let point = |pair: &EcdsaKeyPair, curve: &str| {
            // An uncompressed point (SEC 1 section 2.3.3).
            let (_, point) = pair.public_key().as_ref().split_first()?;
            let (x, y) = point.split_at_checked(point.len() / 2)?;
            let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
            Some(json!({"kty": "EC", "crv": curve, "x": x, "y": y}))
        };
        match &self.pair {
            Pair::Rsa(_) => None,
            Pair::P256(pair) => point(pair, "P-256"),
            Pair::P384(pair) => point(pair, "P-384"),
            Pair::Ed25519(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                Some(json!({"kty": "OKP", "crv": "Ed25519", "x": x}))
            }
        }
    }

    /// The first of its signatures that is among those that the provider announces, or else its
    /// usual one.
    pub(crate) fn signature(&self, announced: &[&str]) -> Signature {
        let (usual, others): (_, &[Signature]) = match self.pair {
            Pair::Rsa(_) => (RSA[0], &RSA),
            Pair::P256(_) => (P256[0], &P256),
            Pair::P384(_) => (P384[0], &P384),
            Pair::Ed25519(_) => (ED25519[0], &ED25519),
        };
        let wanted = others.iter().find(|signature| announced.contains(&signature.name));
        wanted.copied().unwrap_or(usual)
    }

    /// `claims` as a signed compact JWT; `None` if the key cannot sign so.
    pub(crate) fn sign(&self, signature: Signature, claims: &Value) -> Option<String> {
        let mut header = self.names.clone();
        header.insert("alg".into(), signature.name.into());
        header.insert("typ".into(), "JWT".into());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&Value::Object(header)), part(claims));
        let signed = self.pair.sign(signature, message.as_bytes())?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed)))
    }
}

impl Pair {
    fn of(key: &PrivateKeyDer<'_>) -> Result<Self, ClientKeyError> {
        let pkcs8 = match key {
            PrivateKeyDer::Pkcs8(key) => key.secret_pkcs8_der(),
            PrivateKeyDer::Pkcs1(key) => {
                let pair = RsaKeyPair::from_der(key.secret_pkcs1_der());
                return pair.map(Self::Rsa).map_err(|_| ClientKeyError::Unsupported);
            }
            PrivateKeyDer::Sec1(_) => return Err(ClientKeyError::Sec1),
            _ => return Err(ClientKeyError::Unreadable),
        };
        let random = SystemRandom::new();
        let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &random).ok();
        None.or_else(|| RsaKeyPair::from_pkcs8(pkcs8).ok().map(Self::Rsa))
            .or_else(|| ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::P256))
            .or_else(|| ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Self::P384))
            .or_else(|| {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8);
                pair.ok().map(Self::Ed25519)
            })
            .ok_or(ClientKeyError::Unsupported)
    }

    fn sign(&self, signature: Signature, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(signature.rsa?, &random, message, &mut signed).ok()?;
                Some(signed)
            }
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&random, message).ok().map(|signed| signed.as_ref().to_vec())
            }
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
    use ring::signature::Ed25519KeyPair;

    use super::*;

    /// A key that was made for this test, in the forms PKCS#8 and PKCS#1.
    const RSA_PKCS8: &str = "\
        MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQC01xsvBgegu25s\n\
        2LnWnGW0pmmpGPGKk7C/bJwfaUXICcyTbOMAytEAfN4UxjXlZ2289udOl5N367W0\n\
        dMvV3TmO67kG9LfedNgS42ajBRE7WQT5C4s2KMl94wOc9ngXBPsG2/xwsmm7rnn9\n\
        MLgjRHaLpJfXJjwzUYgxhzZelsEl9wbFPktun6dsp7tyttgN1sQzae/0bscY4NXU\n\
        idf4uu1TfLmYoR+lDmKR7xb5doeMuKRWXC6Z9qJ9caEKJ5AYy1IjjpcU3nvMoW8T\n\
        4N8ygEgeazFSysk7x2gxeREsQ02dcsLDGWX4HhNk7zajA4e+3A84hhTnW+S4mv3r\n\
        s4PuCLNdAgMBAAECggEAHxsH6zr5iWlr+U9/Cb3tlZjxQDuQ4oH8azTKlvGT5fBf\n\
        jrUyR7LbJ98SkRa18w9rFg+PIlrarAwwfUmAvTjX+3Aq65og3WQSPY99WkmXGPL7\n\
        Mr5MVATIgb2QY8mWRvldl2S0A4uAud5tT8J3TeOrE2J8lq6WOMqLp19HWBZMw1N0\n\
        Afb/ugqJtcdjsdzjJ1RmjvCRNNa0Pi3mmRElndVy5Uez0Myq/0D9ckWfnnMlg54m\n\
        +1i1GTGcZV2MrnTxCsYhrzibSEowqf4p7U2HGvQObbmTljIhaNfh4tWXeVW5X/EO\n\
        s/d3wKSR2YOSJ+7bzMv0G0QIUB71jXKOTE8KLlMhuQKBgQDZSX2fiQel9EUZMNTz\n\
        vHMW0AnLhUKKCbpGrvtrjLqscn1trPFKqw+QF9RDZOBu4RJa8lNBcZXbLGsrw80b\n\
        Cg0gKZh7sqCT9k3NOCqpxBjzj7Iyq/mm8YAVX5IQFqtoQCcSoPHPYhJGdm4yLK2X\n\
        A0UCtWc0eIkGsL2HhUFxrggGiQKBgQDVD0TAhCtLcgNSdKXdQBPlLZLWl+1hz8sM\n\
        0pHdlCfjTHT+I97vs65Vrn0X8jNjyEP90CmYb557+lOnGvPTp8SSZ6Rrm55KwZdN\n\
        mEya92mwaV18IKS79g2lrrVnsxGb8MA2qiuLy+llRYpaWCSWSE9oacA0QaAXHoKC\n\
        seEaxl5RNQKBgFb+vIQmOeCwxwWJ7ojTd4S3sGRCq1xW/rSUFGeABbFLeXpy1nyd\n\
        tnJrh/mfptfd1xqAkOLP1j7VLudr0m+z+4NYBAvqfa4f3BCBH1uu/optitwMzLyR\n\
        TkXAaNt2KBRqMvqbY5UzX7vEaOQ/zRR8I6Is/PAeHkaGdquOp6AbHG15AoGAfNMh\n\
        OJk2tFDr2Vc2BdYQ0ehNayQ/k1qmX7DOfL7cT7LvqCVj65Odw90itPDVYtRl4UIf\n\
        3IsokwIqGHEWAR79b7kA/3qA1tNsza041GG3rf9NIfgOC4Ewpa0h4stqua3nLx+r\n\
        u4+QAiEn2Z5icRmUTFwIm5UHMgRR+jg05fbqMzECgYAQfTyhmbjVZdFKL+6rw5Lk\n\
        rDiiyy3gXA1WMYIlUnkvbjjoLh5JowUszS8K88zY3W7/5g/pBqJHmKRAwv2BdK1i\n\
        +ShVwl2atsLCGUU3eN5JSIHppTat3GPL0eT29f4PeOtd77ZF0NMkwgO2+vZ9vZWF\n\
        XDmcbhQTLD5co2BR9Bnseg==\n\
    ";
    const RSA_PKCS1: &str = "\
        MIIEogIBAAKCAQEAtNcbLwYHoLtubNi51pxltKZpqRjxipOwv2ycH2lFyAnMk2zj\n\
        AMrRAHzeFMY15WdtvPbnTpeTd+u1tHTL1d05juu5BvS33nTYEuNmowURO1kE+QuL\n\
        NijJfeMDnPZ4FwT7Btv8cLJpu655/TC4I0R2i6SX1yY8M1GIMYc2XpbBJfcGxT5L\n\
        bp+nbKe7crbYDdbEM2nv9G7HGODV1InX+LrtU3y5mKEfpQ5ike8W+XaHjLikVlwu\n\
        mfaifXGhCieQGMtSI46XFN57zKFvE+DfMoBIHmsxUsrJO8doMXkRLENNnXLCwxll\n\
        +B4TZO82owOHvtwPOIYU51vkuJr967OD7gizXQIDAQABAoIBAB8bB+s6+Ylpa/lP\n\
        fwm97ZWY8UA7kOKB/Gs0ypbxk+XwX461Mkey2yffEpEWtfMPaxYPjyJa2qwMMH1J\n\
        gL041/twKuuaIN1kEj2PfVpJlxjy+zK+TFQEyIG9kGPJlkb5XZdktAOLgLnebU/C\n\
        d03jqxNifJauljjKi6dfR1gWTMNTdAH2/7oKibXHY7Hc4ydUZo7wkTTWtD4t5pkR\n\
        JZ3VcuVHs9DMqv9A/XJFn55zJYOeJvtYtRkxnGVdjK508QrGIa84m0hKMKn+Ke1N\n\
        hxr0Dm25k5YyIWjX4eLVl3lVuV/xDrP3d8CkkdmDkifu28zL9BtECFAe9Y1yjkxP\n\
        Ci5TIbkCgYEA2Ul9n4kHpfRFGTDU87xzFtAJy4VCigm6Rq77a4y6rHJ9bazxSqsP\n\
        kBfUQ2TgbuESWvJTQXGV2yxrK8PNGwoNICmYe7Kgk/ZNzTgqqcQY84+yMqv5pvGA\n\
        FV+SEBaraEAnEqDxz2ISRnZuMiytlwNFArVnNHiJBrC9h4VBca4IBokCgYEA1Q9E\n\
        wIQrS3IDUnSl3UAT5S2S1pftYc/LDNKR3ZQn40x0/iPe77OuVa59F/IzY8hD/dAp\n\
        mG+ee/pTpxrz06fEkmeka5ueSsGXTZhMmvdpsGldfCCku/YNpa61Z7MRm/DANqor\n\
        i8vpZUWKWlgklkhPaGnANEGgFx6CgrHhGsZeUTUCgYBW/ryEJjngsMcFie6I03eE\n\
        t7BkQqtcVv60lBRngAWxS3l6ctZ8nbZya4f5n6bX3dcagJDiz9Y+1S7na9Jvs/uD\n\
        WAQL6n2uH9wQgR9brv6KbYrcDMy8kU5FwGjbdigUajL6m2OVM1+7xGjkP80UfCOi\n\
        LPzwHh5GhnarjqegGxxteQKBgHzTITiZNrRQ69lXNgXWENHoTWskP5Napl+wzny+\n\
        3E+y76glY+uTncPdIrTw1WLUZeFCH9yLKJMCKhhxFgEe/W+5AP96gNbTbM2tONRh\n\
        t63/TSH4DguBMKWtIeLLarmt5y8fq7uPkAIhJ9meYnEZlExcCJuVBzIEUfo4NOX2\n\
        6jMxAoGAEH08oZm41WXRSi/uq8OS5Kw4osst4FwNVjGCJVJ5L2446C4eSaMFLM0v\n\
        CvPM2N1u/+YP6QaiR5ikQML9gXStYvkoVcJdmrbCwhlFN3jeSUiB6aU2rdxjy9Hk\n\
        9vX+D3jrXe+2RdDTJMIDtvr2fb2VhVw5nG4UEyw+XKNgUfQZ7Ho=\n\
    ";

    fn pem(label: &str, base64: &str) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64.trim())
    }

    fn of_der(der: &[u8]) -> String {
        pem("PRIVATE KEY", &base64::engine::general_purpose::STANDARD.encode(der))
    }

    fn key(pem: &str) -> Result<ClientKey, ClientKeyError> {
        ClientKey::from_pem(&Secret::new(pem), Some("k"))
    }

    fn verifies(key: &ClientKey, public: &DecodingKey, announced: &str) -> bool {
        let signature = key.signature(&["made-up", announced]);
        let token = key.sign(signature, &json!({"sub": "us"})).unwrap();
        let header = crate::jwt::Header::of(&token).unwrap();
        assert_eq!((signature.name, header.key_id.as_deref()), (announced, Some("k")));
        crate::jwt::verified(&token, public, header.algorithm.unwrap()).is_some()
    }

    #[test]
    fn an_rsa_key_signs_as_the_provider_announces() {
        use base64::engine::general_purpose::STANDARD;
        let pkcs1 = STANDARD.decode(RSA_PKCS1.replace(['\n', ' '], "")).unwrap();
        let jwk = Jwk::from_encoding_key(&EncodingKey::from_rsa_der(&pkcs1), Algorithm::RS256);
        let public = DecodingKey::from_jwk(&jwk.unwrap()).unwrap();
        for text in [pem("PRIVATE KEY", RSA_PKCS8), pem("RSA PRIVATE KEY", RSA_PKCS1)] {
            let key = key(&text).unwrap();
            for announced in ["RS256", "PS256", "PS512", "RS384"] {
                assert!(verifies(&key, &public, announced), "{announced}");
            }
            assert_eq!(key.signature(&["ES256"]).name, "RS256", "none that it can");
            assert_eq!(key.signature(&["PS256", "RS256"]).name, "RS256", "the usual one");
        }
    }

    #[test]
    fn keys_on_curves_sign() {
        let random = SystemRandom::new();
        let ecdsa =
            |algorithm| EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap().as_ref().to_vec();
        for (der, name) in [
            (ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING), "ES256"),
            (ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING), "ES384"),
            (Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref().to_vec(), "EdDSA"),
        ] {
            let key = key(&of_der(&der)).unwrap();
            let jwk: Jwk = serde_json::from_value(key.public_jwk().unwrap()).unwrap();
            assert!(verifies(&key, &DecodingKey::from_jwk(&jwk).unwrap(), name), "{name}");
            assert_eq!(format!("{key:?}"), "ClientKey(..)");
        }
    }

    #[test]
    fn what_is_no_usable_key_is_refused_with_the_reason() {
        let sec1 = pem("EC PRIVATE KEY", "MHcCAQEE");
        assert_eq!(key(&sec1).unwrap_err(), ClientKeyError::Sec1);
        for unreadable in
            ["", "hunter2", &pem("CERTIFICATE", "MIIC"), &pem("ENCRYPTED PRIVATE KEY", "MIIC")]
        {
            assert_eq!(key(unreadable).unwrap_err(), ClientKeyError::Unreadable, "{unreadable}");
        }
        assert_eq!(key(&of_der(&[48, 0])).unwrap_err(), ClientKeyError::Unsupported);
    }

    #[test]
    fn a_certificate_beside_the_key_is_named_by_its_thumbprints() {
        let text = format!("{}{}", pem("PRIVATE KEY", RSA_PKCS8), pem("CERTIFICATE", "AQID"));
        let key = key(&text).unwrap();
        // SHA-1 and SHA-256 of the bytes 1, 2, 3.
        assert_eq!(key.names["x5t"], "cDeAcZjCKn0rCAc3HXY3eahP388");
        assert_eq!(key.names["x5t#S256"], "A5BYxvLAy0ksUzsKTRTvd8wPeKvMztUofYShogEc-4E");
    }
}
